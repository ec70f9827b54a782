"""Label images by their folders or by a table, and read a table of labelled pairs."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import RowNumbers, Rows
from imgdup.system.paths import is_below, join

HEADINGS = ("path", "file", "filename", "image")  # of the first column, if there is a heading
COLUMNS = ("label", "a", "b")  # of a table of pairs


class ImageSet(NamedTuple):
    """Images of an index: their rows, ascending, and the label of each, None without one."""

    rows: Rows
    images: RowNumbers
    labels: Sequence[str | None]


def folder_labels(
    rows: Rows, selected: RowNumbers, bases: Sequence[bytes] = ()
) -> list[str | None]:
    """Return as the label of each image the first folder below a base; by default, below its root.

    An image that lies directly in a base has none.
    """
    return [_folder_of(relative) for _, relative in _placed(rows, selected, bases)]


def _folder_of(relative: bytes) -> str | None:
    folder, slash, _ = relative.partition(b"/")
    return os.fsdecode(folder) if slash else None


def _placed(
    rows: Rows, selected: RowNumbers, bases: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield each path twice: absolute, and relative to its base."""
    bases = sorted(bases or [root for root in rows.roots if root], key=len, reverse=True)
    for row in selected.tolist():
        path = rows.path(row)
        base = next((base for base in bases if is_below(path, base)), os.path.dirname(path))
        yield path, path[len(join(base, b"")) :]


def table_labels(
    table: Mapping[bytes, str], rows: Rows, selected: RowNumbers, bases: Sequence[bytes] = ()
) -> list[str | None]:
    """Look up the label of each image in a table from `read_labels`; None if it is not there.

    The table has paths relative to a base, as in `folder_labels`, or absolute ones.
    """
    placed = _placed(rows, selected, bases)
    return [table.get(path, table.get(relative)) for path, relative in placed]


def read_labels(path: Path) -> dict[bytes, str]:
    """Read a CSV file of paths and labels; return the labels by path, with ``/`` between parts.

    Raises UsageError if there is no such file, a line has fewer than two fields, or a path has two
    labels. Raises ImgdupError if it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _table(path, csv.reader(file, strict=True))
    except FileNotFoundError as error:
        raise UsageError(f"labels {path}: no such file") from error
    except OSError as error:
        raise ImgdupError(f"labels {path}: {error.strerror}") from error
    except csv.Error as error:
        raise UsageError(f"labels {path} is not CSV: {error}") from error


def _table(path: Path, lines: Iterator[list[str]]) -> dict[bytes, str]:
    table: dict[bytes, str] = {}
    for number, fields in enumerate(lines, start=1):
        if not fields or (number == 1 and fields[0].strip().lower() in HEADINGS):
            continue
        if len(fields) < 2:
            raise UsageError(f"labels {path}, line {number}: expected a path and a label")
        name, label = os.fsencode(fields[0].replace(os.sep, "/")), fields[1]
        name = name.removeprefix(b"./")
        if table.setdefault(name, label) != label:
            raise UsageError(
                f"labels {path}, line {number}: {fields[0]!r} has two labels, "
                f"{table[name]!r} and {label!r}"
            )
    return table


class LabelledPair(NamedTuple):
    """Two files, and what the user calls them, such as ``same`` or ``different``."""

    label: str
    a: bytes
    b: bytes


def read_pairs(path: Path) -> list[LabelledPair]:
    """Read a CSV file of labelled pairs: its columns are ``label``, ``a``, ``b``.

    Paths are relative to the folder of the file or to a folder above it, or absolute.

    Raises UsageError if there is no such file, a column is missing, or a file that it names does
    not exist.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = list(csv.DictReader(file, strict=True))
    except OSError as error:
        raise UsageError(f"pairs {path}: {error.strerror}") from error
    except csv.Error as error:
        raise UsageError(f"pairs {path} is not CSV: {error}") from error
    for number, line in enumerate(lines, start=2):
        if any(not line.get(name) for name in COLUMNS):
            raise UsageError(f"pairs {path}, line {number}: expected the columns label, a and b")
    return [
        LabelledPair(line["label"], _place(path, line["a"]), _place(path, line["b"]))
        for line in lines
    ]


def _place(table: Path, name: str) -> bytes:
    """Find a file named in a table."""
    for folder in table.absolute().parents:
        if (folder / name).is_file():
            return os.fsencode(folder / name)
    raise UsageError(f"pairs {table}: there is no file {name} in its folder or above it")
