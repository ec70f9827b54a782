r"""Write results for people and for other programs.

A path is bytes and may hold anything but NUL. One rule escapes it everywhere: a backslash is
``\\``; tab, newline and carriage return are ``\t``, ``\n`` and ``\r``; each byte of any other
control character, of a line separator, or of a character that reorders text (the trick that makes
``gpj.exe`` read as ``exe.jpg``) is ``\xNN``. Lines for a pipe hold all other bytes unchanged.
Text for a terminal also has ``\xNN`` for bytes that are not UTF-8 and for characters that the
terminal's encoding lacks.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imgdup.errors import ImgdupError

SPECIAL = re.compile(
    rb"[\x00-\x1f\x7f\\]"  # control characters, backslash
    rb"|\xc2[\x80-\x9f]"  # control characters U+0080 to U+009F
    rb"|\xe2\x80[\xa8-\xae]"  # U+2028, U+2029: line separators; U+202A to U+202E: reordering
    rb"|\xe2\x81[\xa6-\xa9]"  # U+2066 to U+2069: reordering
)
SHORT = {b"\\": rb"\\", b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}
NEWLINE, NUL = b"\n", b"\0"

Cell = str | bytes | int | float | None
"""A field: a path is bytes, a yes or no is a bool, an unknown value is None."""


def escape(path: bytes) -> bytes:
    r"""Escape what would break a line or control a terminal; leave other bytes unchanged.

    Examples
    --------
    >>> escape(b"holiday\t1.jpg")
    b'holiday\\t1.jpg'
    """
    return SPECIAL.sub(_escaped, path)


def _escaped(match: re.Match[bytes]) -> bytes:
    special = match[0]
    return SHORT.get(special) or b"".join(b"\\x%02x" % byte for byte in special)


def shown(path: bytes, encoding: str = "utf-8") -> str:
    r"""Write a path, or any UTF-8 text, as one line that a terminal of an encoding can show.

    Examples
    --------
    >>> shown("plage d'été.jpg".encode(), "ascii")
    "plage d'\\xc3\\xa9t\\xc3\\xa9.jpg"
    """
    text = escape(path).decode("utf-8", "backslashreplace")
    if _fits(text, encoding):
        return text
    return "".join(each if _fits(each, encoding) else _byte_escapes(each) for each in text)


def _fits(text: str, encoding: str) -> bool:
    """Check whether an encoding can represent a text; Shift JIS reads a backslash as a yen sign."""
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def _byte_escapes(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def cell_text(cell: Cell, encoding: str = "utf-8") -> str:
    """Write a field for people: ``yes`` or ``no``, ``-`` for None, commas between thousands.

    Examples
    --------
    >>> cell_text(9144), cell_text(None), cell_text(b"a.jpg")
    ('9,144', '-', 'a.jpg')
    """
    if isinstance(cell, bool | str | bytes):
        return shown(_field(cell), encoding)
    return "-" if cell is None else f"{cell:,}"


def counted(number: int, noun: str, several: str = "") -> str:
    """Write a number with its noun, in the singular for one.

    Examples
    --------
    >>> counted(1, "image"), counted(1200, "image"), counted(2, "match", "matches")
    ('1 image', '1,200 images', '2 matches')
    """
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def _field(cell: Cell) -> bytes:
    """Write a field as bytes, not yet escaped."""
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, bool):
        return b"yes" if cell else b"no"
    return b"" if cell is None else str(cell).encode("utf-8", "surrogateescape")


def tsv_line(cells: Iterable[Cell]) -> bytes:
    r"""Write fields as one line for a pipe: escaped, separated by tabs, ended by a newline.

    A bool is ``yes`` or ``no``, None is an empty field.

    Examples
    --------
    >>> tsv_line([3, True, None, b"a\tb.jpg"])
    b'3\tyes\t\ta\\tb.jpg\n'
    """
    return b"\t".join(escape(_field(cell)) for cell in cells) + b"\n"


def null_line(path: bytes) -> bytes:
    r"""Write a path for ``xargs -0``: raw, ended by NUL.

    Examples
    --------
    >>> null_line(b"a\nb.jpg")
    b'a\nb.jpg\x00'
    """
    return path + NUL


def list_data(paths: Iterable[bytes], end: bytes = NEWLINE) -> bytes:
    r"""Write paths as the content of a list file, each with an end: a newline, or NUL.

    Raises ImgdupError if paths end with a newline and one of them contains a newline.

    Examples
    --------
    >>> list_data([b"a.jpg", b"b.jpg"])
    b'a.jpg\nb.jpg\n'
    """
    lines = list(paths)
    for line in lines:
        if end in line:
            name = os.fsdecode(line)
            raise ImgdupError(f"{name!r} contains a newline: use --null to end paths with NUL")
    return b"".join(line + end for line in lines)


def facts_lines(
    facts: Mapping[str, Cell | Sequence[Cell]], *, encoding: str = "utf-8"
) -> Iterator[str]:
    """Lay out facts, one name and value per line; each cell of a sequence gets its own line.

    Examples
    --------
    >>> print("".join(facts_lines({"images": 9144, "folders": [b"/photos", b"/more"]})), end="")
    images   9,144
    folders  /photos
             /more
    """
    width = max(map(len, facts))
    for name, value in facts.items():
        cells: Sequence[Cell] = [value] if isinstance(value, Cell) else value
        for i, cell in enumerate(cells or [None]):
            text = cell_text(cell, encoding)
            title = name if i == 0 else ""
            yield f"{title:<{width}}  {text}\n" if text else f"{title}\n"
