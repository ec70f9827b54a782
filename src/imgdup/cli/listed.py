"""The paths that the command line names, or that stdin lists."""

import os
import sys
from collections.abc import Sequence

from imgdup.cli.printing import note
from imgdup.errors import UsageError


def _read_list(null: bool) -> list[bytes]:
    """Read the paths on stdin: one per line, or separated by NUL."""
    data = sys.stdin.buffer.read()
    if null:
        return [path for path in data.split(b"\0") if path]
    if b"\0" in data:
        raise UsageError("the list on stdin is NUL-separated: add --null")
    return [path for path in (line.rstrip(b"\r") for line in data.split(b"\n")) if path]


def named_or_listed(paths: Sequence[str], null: bool) -> list[bytes]:
    """Return the paths of the command line, with ``-`` replaced by those on stdin."""
    found: list[bytes] = []
    for path in paths:
        found.extend(_read_list(null) if path == "-" else [os.fsencode(path)])
    if paths and not found:
        note("imgdup: the list on stdin is empty: nothing to do")
    return found
