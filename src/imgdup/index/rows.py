"""What cleaning a data set needs of an index: its rows, as a protocol that ImageIndex satisfies."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imgdup.errors import IndexFormatError, UsageError
from imgdup.images.formats import OK
from imgdup.system.paths import absolute, is_below, join

RowNumbers = npt.NDArray[np.int64]


class Rows(Protocol):
    """One generation of an index, seen as rows in path order.

    The columns are those of `imgdup.index.columns.fields` and ``same_file``: the first row that
    names the same file, or -1 where it is the first itself.
    """

    @property
    def roots(self) -> Sequence[bytes]:
        """Absolute folders; ``b""`` stands for files that were named one by one."""

    @property
    def digest(self) -> str:
        """What tells this generation from any other, in hex."""

    def __len__(self) -> int:
        """Count the rows, failed files included."""

    def path(self, row: int) -> bytes:
        """Return the absolute path of a row."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, one entry a row."""


def images(rows: Rows, folders: Sequence[bytes] = ()) -> RowNumbers:
    """Return the rows that have a hash, of the whole index or of some folders.

    Parameters
    ----------
    rows : Rows
    folders : sequence of bytes
        Absolute folders or files; none means all.

    Returns
    -------
    ndarray of int64
        Ascending.
    """
    good: RowNumbers = np.flatnonzero(rows.column("status") == OK)
    if not folders:
        return good
    inside = [any(is_below(rows.path(row), folder) for folder in folders) for row in good.tolist()]
    return np.compress(inside, good)


def check_apart(a: Rows, images_a: RowNumbers, b: Rows, images_b: RowNumbers) -> None:
    """Raise UsageError if two selections of images, of one index or of two, have some in common."""
    if a.digest == b.digest and len(np.intersect1d(images_a, images_b)):
        raise UsageError("the two sets have files in common: name folders that lie apart")


def byte_keys(rows: Rows, selected: RowNumbers) -> npt.NDArray[np.uint64]:
    """Return size and content digest as words, shape (n, 3)."""
    digest = np.ascontiguousarray(rows.column("digest")[selected]).view(np.uint64)
    size = rows.column("size")[selected].astype(np.int64).view(np.uint64)
    return np.column_stack([digest, size])


def same_file(rows: Rows) -> RowNumbers:
    """Return for each row the first row of its file, or -1 where it is the first itself.

    Raises
    ------
    IndexFormatError
        If the index, which may be forged, names rows that it does not have.
    """
    first: RowNumbers = rows.column("same_file")
    if len(first) and not -1 <= first.min() <= first.max() < len(rows):
        raise IndexFormatError("the index names rows that it does not have; index again")
    return first


def file_numbers(rows: Rows) -> RowNumbers:
    """Return for each row the first row of the file that it names."""
    first = same_file(rows)
    numbers: RowNumbers = np.where(first < 0, np.arange(len(rows)), first)
    return numbers


def has_other_names(rows: Rows) -> npt.NDArray[np.bool_]:
    """Tell for each row whether its file has other names (hard links) in the index."""
    first = same_file(rows)
    linked = np.array(first >= 0)
    linked[first[linked]] = True
    return linked


def listed_paths(rows: Rows, selected: RowNumbers) -> Iterator[bytes]:
    """Yield paths for a list: relative to the root where there is one, else absolute."""
    roots = rows.roots
    skip = len(join(roots[0], b"")) if len(roots) == 1 else 0
    for row in selected.tolist():
        yield rows.path(row)[skip:]


def folder_of_index(rows: Rows, folder: str | bytes | os.PathLike[str], option: str) -> bytes:
    """Return a folder as the index writes it.

    Parameters
    ----------
    rows : Rows
    folder : str, bytes or path
        As the user named it.
    option : str
        What named it, for the message.

    Returns
    -------
    bytes
        Absolute, links resolved, ``/`` between parts.

    Raises
    ------
    UsageError
        If it is no root and no row lies in it: a mistyped one would have no effect, which the
        user would believe it had.
    """
    path = absolute(folder)
    if path in rows.roots or any(is_below(rows.path(row), path) for row in range(len(rows))):
        return path
    known = ", ".join(os.fsdecode(root) for root in rows.roots if root) or "single files only"
    raise UsageError(
        f"{option} {os.fsdecode(folder)}: no file of this index lies there; it has: {known}"
    )
