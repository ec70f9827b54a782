"""Format rows of fields as a table for a terminal: aligned, with every path in one piece.

A path that is too long for a line is continued in the next one by the terminal: no newline is
inserted, so it can be copied.

rich measures characters and lays the columns out. It prints plain text: no colour, and no markup or
emoji code that a file name may contain is interpreted.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from imgdup.output import Cell, cell_text, facts_lines

GAP = 2  # columns of the terminal between two columns of a table
MIN_LAST = 24  # columns; if the last column is narrower, each field gets its own line
ANY_WIDTH = 1 << 20  # columns of the console, so that rich breaks no text
BLOCK_ROWS = 500  # laid out at a time: a long table appears while it is made

Field = Cell | Sequence[Cell]
"""Of a row: the last one may be several cells, which are printed under one another."""


class _Whole:
    """Texts under one another, each in one piece."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text in self.texts:
            yield Segment(text)
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(cell_len, self.texts))
        return Measurement(widest, widest)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Field]],
    *,
    width: int = 80,
    encoding: str = "utf-8",
) -> Iterator[str]:
    r"""Lay out rows under a header, a block of them at a time; yield nothing if there are no rows.

    Bytes are a path, escaped as `imgdup.output.shown` does. Numbers are aligned to the right. Where
    the terminal, 20 columns wide or more, leaves too little room for the last column, each field
    gets its own line. Raises ValueError if a row does not have one field per column.

    Examples
    --------
    >>> print("".join(table(["dist", "path"], [[3, b"a.jpg"], [10, b"b\t.jpg"]])), end="")
    dist  path
       3  a.jpg
      10  b\t.jpg
    """
    widths = [cell_len(title) for title in header]
    rest = iter(rows)
    is_first = True
    while block := list(islice(rest, BLOCK_ROWS)):
        texts = [[_texts(field, encoding) for field in row] for row in block]
        _widen(widths, texts)
        n_left = sum(widths[:-1]) + GAP * (len(widths) - 1)  # columns left of the last field
        if width - n_left < min(MIN_LAST, widths[-1]):
            named = (dict(zip(header, row, strict=True)) for row in block)
            stacked = "\n".join("".join(facts_lines(each, encoding=encoding)) for each in named)
            yield stacked if is_first else "\n" + stacked
        else:
            numeric = [all(map(_is_number, column)) for column in zip(*block, strict=True)]
            titles = header if is_first else ()
            yield _printed(_grid(texts, widths, numeric, titles))
        is_first = False


def _widen(widths: list[int], rows: Sequence[Sequence[Sequence[str]]]) -> None:
    """Let each column be as wide as its widest text so far."""
    for row in rows:
        if len(row) != len(widths):
            raise ValueError(f"expected {len(widths)} fields per row, got {len(row)}")
        for i, texts in enumerate(row):
            widths[i] = max(widths[i], *map(cell_len, texts))


def _texts(field: Field, encoding: str) -> list[str]:
    cells: Sequence[Cell] = [field] if isinstance(field, Cell) else field
    return [cell_text(cell, encoding) for cell in cells] or ["-"]


def _is_number(field: Field) -> bool:
    return field is None or (isinstance(field, int | float) and not isinstance(field, bool))


def _grid(
    rows: Sequence[Sequence[Sequence[str]]],
    widths: Sequence[int],
    numeric: Sequence[bool],
    titles: Sequence[str],
) -> Table:
    """Lay out a block of rows; without titles it continues the table of the block before."""
    grid = Table(
        box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="", show_header=bool(titles)
    )
    last = len(widths) - 1
    for i, least in enumerate(widths):
        grid.add_column(
            Text(titles[i]) if titles else "",
            justify="right" if numeric[i] else "left",
            no_wrap=i < last,
            min_width=least if i < last or numeric[i] else None,
        )
    for row in rows:
        end = Text(row[-1][0]) if numeric[-1] else _Whole(row[-1])
        grid.add_row(*(Text(texts[0]) for texts in row[:-1]), end)
    return grid


def _printed(grid: Table) -> str:
    """Return what rich prints to a file, without blanks at line ends."""
    console = Console(
        file=io.StringIO(),
        width=ANY_WIDTH,
        height=1,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
        _environ={},  # COLUMNS, FORCE_COLOR and similar variables have no effect
    )
    with console.capture() as captured:
        console.print(grid)
    lines = captured.get().splitlines() if grid.rows else []
    return "".join(f"{line.rstrip()}\n" for line in lines)
