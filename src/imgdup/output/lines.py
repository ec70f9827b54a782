r"""Fields -> one line of text, and back: escaped for a terminal or a pipe, or NUL-separated.

A path is bytes and may hold anything but NUL. The escapes are one rule everywhere: a backslash is
``\\``, tab, newline and carriage return are ``\t``, ``\n`` and ``\r``, and each byte of another
control character, of a line separator, or of a character that reorders text (the trick that makes
``gpj.exe`` read as ``exe.jpg``) is ``\xNN``. Lines for a pipe hold all other bytes as they are;
text for a terminal also writes ``\xNN`` for bytes that are not UTF-8 and for characters that the
terminal's encoding lacks. `unescape` takes either back.
"""

import re
from collections.abc import Iterable

SPECIAL = re.compile(
    rb"[\x00-\x1f\x7f\\]"  # control characters, backslash
    rb"|\xc2[\x80-\x9f]"  # control characters U+0080 to U+009F
    rb"|\xe2\x80[\xa8-\xae]"  # U+2028, U+2029: line separators; U+202A to U+202E: reordering
    rb"|\xe2\x81[\xa6-\xa9]"  # U+2066 to U+2069: reordering
)
ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|([\\tnr]))")
SHORT = {b"\\": rb"\\", b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}
LONG = {b"\\": b"\\", b"t": b"\t", b"n": b"\n", b"r": b"\r"}

Cell = str | bytes | int | float | None
"""A field: a path is bytes, a yes or no is a bool, what is not known is None."""


def escape(path: bytes) -> bytes:
    r"""Escape what would break a line or command a terminal; other bytes stay as they are.

    Parameters
    ----------
    path : bytes
        A path, or any text as UTF-8.

    Returns
    -------
    bytes
        One line without control characters.

    Examples
    --------
    >>> escape(b"holiday\t1.jpg")
    b'holiday\\t1.jpg'
    """
    return SPECIAL.sub(_escaped, path)


def unescape(line: bytes) -> bytes:
    r"""Undo `escape`, and `shown` when its text is given as UTF-8.

    Parameters
    ----------
    line : bytes
        A field that `escape` wrote.

    Returns
    -------
    bytes
        The path.

    Examples
    --------
    >>> unescape(rb"holiday\t1.jpg")
    b'holiday\t1.jpg'
    """
    return ESCAPED.sub(_unescaped, line)


def shown(path: bytes, encoding: str = "utf-8") -> str:
    r"""Write a path as text that a terminal of an encoding can show and cannot be fooled by.

    Parameters
    ----------
    path : bytes
        A path, or any text as UTF-8.
    encoding : str
        Encoding of the stream that will carry the text, such as ``sys.stdout.encoding``.

    Returns
    -------
    str
        One line that `encoding` can encode.

    Examples
    --------
    >>> shown("plage d'été.jpg".encode(), "ascii")
    "plage d'\\xc3\\xa9t\\xc3\\xa9.jpg"
    """
    text = escape(path).decode("utf-8", "backslashreplace")
    if _fits(text, encoding):
        return text
    return "".join(each if _fits(each, encoding) else _byte_escapes(each) for each in text)


def tsv_line(cells: Iterable[Cell]) -> bytes:
    r"""Write fields as one line for a pipe: separated by tabs, escaped, ended by a newline.

    Parameters
    ----------
    cells : iterable of str, bytes, int, float, bool or None
        A bool is ``yes`` or ``no``, None is an empty field.

    Returns
    -------
    bytes
        The line. `tsv_fields` takes it apart.

    Examples
    --------
    >>> tsv_line([3, True, None, b"a\tb.jpg"])
    b'3\tyes\t\ta\\tb.jpg\n'
    """
    return b"\t".join(escape(_field(cell)) for cell in cells) + b"\n"


def tsv_fields(line: bytes) -> list[bytes]:
    r"""Take a line of `tsv_line` apart.

    Parameters
    ----------
    line : bytes
        With or without its newline.

    Returns
    -------
    list of bytes
        The fields as they were, paths byte for byte.

    Examples
    --------
    >>> tsv_fields(b"3\tyes\t\ta\\tb.jpg\n")
    [b'3', b'yes', b'', b'a\tb.jpg']
    """
    return [unescape(field) for field in line.removesuffix(b"\n").split(b"\t")]


def null_line(path: bytes) -> bytes:
    r"""Write a path for ``xargs -0``: raw, ended by NUL.

    Parameters
    ----------
    path : bytes
        The path.

    Returns
    -------
    bytes
        The path and one NUL.

    Examples
    --------
    >>> null_line(b"a\nb.jpg")
    b'a\nb.jpg\x00'
    """
    return path + b"\0"


def cell_text(cell: Cell, encoding: str = "utf-8") -> str:
    """Write a field for people.

    Parameters
    ----------
    cell : str, bytes, int, float, bool or None
        A bool is ``yes`` or ``no``, None is ``-``.
    encoding : str
        As in `shown`.

    Returns
    -------
    str
        One line; thousands are separated by commas.

    Examples
    --------
    >>> cell_text(9144), cell_text(None), cell_text(b"a.jpg")
    ('9,144', '-', 'a.jpg')
    """
    if isinstance(cell, bool | str | bytes):
        return shown(_field(cell), encoding)
    return "-" if cell is None else f"{cell:,}"


def _escaped(match: re.Match[bytes]) -> bytes:
    """Write one special character's escape."""
    special = match[0]
    return SHORT.get(special) or b"".join(b"\\x%02x" % byte for byte in special)


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Read an escape."""
    return bytes.fromhex(match[1].decode()) if match[1] else LONG[match[2]]


def _fits(text: str, encoding: str) -> bool:
    """Say whether an encoding carries a text; Shift JIS takes a yen sign for a backslash."""
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def _byte_escapes(text: str) -> str:
    """Write an escape for each byte of a text in UTF-8."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def _field(cell: Cell) -> bytes:
    """Write a field as bytes, not yet escaped."""
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, bool):
        return b"yes" if cell else b"no"
    return b"" if cell is None else str(cell).encode("utf-8", "surrogateescape")


def counted(number: int, noun: str, several: str = "") -> str:
    """Say how many there are of something, in the singular where it is one.

    Examples
    --------
    >>> counted(1, "image"), counted(1200, "image"), counted(2, "match", "matches")
    ('1 image', '1,200 images', '2 matches')
    """
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
