"""Rows of fields -> lines for a terminal: aligned, folded to its width, nothing cut."""

import unicodedata
from collections.abc import Mapping, Sequence

from imgdup.output.lines import Cell, cell_text

GAP = "  "
MIN_FOLDED = 24  # columns; a last column narrower than this is not worth a table
ZERO_WIDTH = ("Mn", "Me", "Cf")  # Unicode categories: marks over another character, invisible ones
DOUBLE_WIDTH = ("W", "F")  # East Asian widths


def rows_as_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int = 80,
    encoding: str = "utf-8",
) -> str:
    r"""Lay out rows under a header.

    Columns are aligned, numbers to the right. The last column is folded where the terminal is too
    narrow for it, and where even that does not help each field gets a line of its own. Text is
    folded, never cut, so that names stay whole.

    Parameters
    ----------
    header : sequence of str
        One name a column.
    rows : sequence of sequences of str, bytes, int, float, bool or None
        One field a column; bytes are a path, escaped as `imgdup.output.lines.shown` does.
    width : int
        Of the terminal, in columns; from 20 up.
    encoding : str
        Of the stream that will carry the text.

    Returns
    -------
    str
        Lines, each with its newline; nothing if there are no rows.

    Raises
    ------
    ValueError
        If a row has not one field a column.

    Examples
    --------
    >>> print(rows_as_table(["dist", "path"], [[3, b"a.jpg"], [10, b"b\t.jpg"]]), end="")
    dist  path
       3  a.jpg
      10  b\t.jpg
    """
    if not rows:
        return ""
    texts = [[cell_text(cell, encoding) for cell in row] for row in rows]
    columns = list(zip(header, *texts, strict=True))
    widths = [max(map(display_width, column)) for column in columns]
    left = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    if width - left < min(MIN_FOLDED, widths[-1]):
        return "\n".join(_stacked(header, row, width) for row in texts)
    numeric = [all(map(_is_number, column)) for column in zip(*rows, strict=True)]
    table = [list(header), *texts]
    return "".join(_line(row, widths, numeric, width - left) for row in table)


def facts_table(
    facts: Mapping[str, Cell | Sequence[Cell]], *, width: int = 80, encoding: str = "utf-8"
) -> str:
    """Lay out facts, a name and a value a line.

    Parameters
    ----------
    facts : mapping of str to a field or a list of fields
        Each field of a list gets its own line; an empty list is ``-``.
    width, encoding : int, str
        As in `rows_as_table`.

    Returns
    -------
    str
        Lines, each with its newline.

    Examples
    --------
    >>> print(facts_table({"images": 9144, "roots": [b"/photos", b"/more"]}), end="")
    images  9,144
    roots   /photos
            /more
    """
    left = max(map(display_width, facts), default=0) + len(GAP)
    lines: list[str] = []
    for name, value in facts.items():
        fields: Sequence[Cell] = [value] if isinstance(value, Cell) else value
        texts = [cell_text(field, encoding) for field in fields] or ["-"]
        folded = [line for text in texts for line in fold(text, width - left)]
        lines.append(hung(_padded(name, left, False), folded))
    return "".join(lines)


def display_width(text: str) -> int:
    r"""Count the terminal columns that a text takes.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    int
        Two columns for each East Asian wide character, none for a combining one.

    Examples
    --------
    >>> display_width("photo"), display_width("\u5199\u771f"), display_width("e\u0301")
    (5, 4, 1)
    """
    return sum(map(_character_width, text))


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines of at most so many columns.

    Parameters
    ----------
    text : str
        One line.
    width : int
        In columns; less than 2, the widest character, counts as 2.

    Returns
    -------
    list of str
        The text's pieces in order; one empty line for an empty text.

    Examples
    --------
    >>> fold("/photos/a.jpg", 8)
    ['/photos/', 'a.jpg']
    """
    lines, start, used = [], 0, 0
    for i, character in enumerate(text):
        columns = _character_width(character)
        if used + columns > max(2, width):
            lines.append(text[start:i])
            start, used = i, 0
        used += columns
    return [*lines, text[start:]]


def _character_width(character: str) -> int:
    """Count the columns of one character."""
    if character.isascii():
        return 1
    if unicodedata.category(character) in ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in DOUBLE_WIDTH else 1


def _is_number(cell: Cell) -> bool:
    """Say whether a field belongs to the right of its column."""
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _padded(text: str, width: int, to_the_right: bool) -> str:
    """Fill a text up with blanks."""
    blanks = " " * (width - display_width(text))
    return blanks + text if to_the_right else text + blanks


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], room: int) -> str:
    """Lay out one row of a table, its last field folded into the room that it has."""
    padded = [_padded(*each) for each in zip(row, widths, numeric, strict=True)]
    start = "".join(text + GAP for text in padded[:-1])
    last = padded[-1].rstrip() if room >= widths[-1] else row[-1]
    return hung(start, fold(last, room))


def hung(start: str, lines: Sequence[str]) -> str:
    """Join lines under each other behind a start."""
    indent = "\n" + " " * display_width(start)
    return (start + indent.join(lines)).rstrip() + "\n"


def _stacked(header: Sequence[str], row: Sequence[str], width: int) -> str:
    """Lay out one row as a line a field."""
    left = max(map(display_width, header)) + len(GAP)
    fields = zip(header, row, strict=True)
    return "".join(
        hung(_padded(name, left, False), fold(text, width - left)) for name, text in fields
    )
