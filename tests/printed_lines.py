"""Read the lines that commands print for other programs, as such a program would."""

import re

ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|([\\tnr]))")
LONG = {b"\\": b"\\", b"t": b"\t", b"n": b"\n", b"r": b"\r"}


def unescape(line: bytes) -> bytes:
    """Return what a path was before it was escaped for a line."""
    return ESCAPED.sub(_unescaped, line)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else LONG[match[2]]


def tsv_fields(line: bytes) -> list[bytes]:
    """Split a line, with or without its newline, into its fields."""
    return [unescape(field) for field in line.removesuffix(b"\n").split(b"\t")]
