"""Store absolute paths in columns of an index, each relative to its root; find the rows of paths.

Path order is the order of the path's parts: ``a/b`` precedes ``a-b``, as a sorted walk
of the folders finds them. So an update is a merge of two sorted streams.
"""

import functools
import heapq
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.index.columns import RowNumbers, TextBuilder, TextColumn
from imgdup.system.paths import absolute, is_below, join, path_key

Unknown = Literal["raise", "keep", "drop"]
"""What to do with a path that an index does not have."""

BISECTIONS = 20  # paths of an index that a search by bisection reads, about
UP = b".."


class Paths:
    """The absolute paths of all rows, kept relative to the roots.

    Roots are absolute folders, with ``/`` between parts; ``b""`` holds files named one by one. Rows
    ``run_rows[i]`` up to the next run are in root ``run_roots[i]``. `relative` has one path per
    row.
    """

    def __init__(
        self,
        roots: Sequence[bytes],
        run_rows: npt.NDArray[np.int64],
        run_roots: npt.NDArray[np.int64],
        relative: TextColumn,
    ) -> None:
        self.roots = list(roots)
        self.run_rows = run_rows
        self.run_roots = run_roots
        self.relative = relative

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of an index file that hold the paths."""
        return {
            "run_rows": self.run_rows,
            "run_roots": self.run_roots,
            "path_offsets": self.relative.offsets,
            "path_blob": self.relative.blob,
        }

    def __len__(self) -> int:
        return len(self.relative)

    def root_of(self, row: int) -> bytes:
        """Return the root in which `row` is."""
        run = int(np.searchsorted(self.run_rows, row, side="right")) - 1
        return self.roots[int(self.run_roots[run])]

    def __getitem__(self, row: int) -> bytes:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)}")
        return join(self.root_of(row), self.relative[row])

    def __iter__(self) -> Iterator[bytes]:
        return self.between(0, len(self))

    def of_root(self, root: bytes) -> Iterator[bytes]:
        """Yield the absolute paths of the rows that are in a root."""
        for start, stop, number in self._runs():
            if self.roots[number] == root:
                yield from self.between(start, stop)

    def between(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the absolute paths of the rows from `start` up to `stop`."""
        for first, last, number in self._runs():
            prefix = join(self.roots[number], b"")
            for relative in self.relative.between(max(start, first), min(stop, last)):
                yield prefix + relative

    def runs_between(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield start, stop and root of each run of rows in one root, from `start` to `stop`."""
        for first, last, number in self._runs():
            if max(start, first) < min(stop, last):
                yield max(start, first), min(stop, last), self.roots[number]

    def of_rows(self, rows: Iterable[int]) -> Iterator[bytes]:
        """Yield the absolute paths of some rows, ascending; neighbours cost little."""
        for _, span in groupby(enumerate(rows), key=lambda pair: pair[1] - pair[0]):
            start = next(span)[1]
            n_more = sum(1 for _ in span)  # noqa: B031 what is left of it
            yield from self.between(start, start + 1 + n_more)

    def find(self, path: bytes) -> int | None:
        """Return the row of an absolute path, by bisection, or None."""
        key = path_key(path)
        for start, stop in chain.from_iterable(self.sorted_spans):
            row = self._first_from(key, start, stop)
            if row < stop and self[row] == path:
                return row
        return None

    def below(self, folder: bytes) -> list[tuple[int, int]]:
        """Return the spans of rows that are a folder or are in it, by bisection: start, stop."""
        if not folder:
            return [(0, len(self))]
        key = path_key(join(folder, b""))[:-1]
        spans = [
            (self._first_from(key, start, stop), self._first_from(key + b"\1", start, stop))
            for start, stop in chain.from_iterable(self.sorted_spans)
        ]
        return [(start, stop) for start, stop in spans if start < stop]

    def rows_below(self, folder: bytes) -> RowNumbers:
        """Return the rows that are a folder or are in it, ascending."""
        spans = [np.arange(start, stop, dtype=np.int64) for start, stop in self.below(folder)]
        return np.concatenate([np.zeros(0, np.int64), *spans])

    def holds(self, folder: bytes) -> bool:
        """Return whether any row is in a folder, by bisection."""
        return any(stop - start > 1 or self[start] != folder for start, stop in self.below(folder))

    @functools.cached_property
    def sorted_spans(self) -> list[list[tuple[int, int]]]:
        """The rows as lists of spans, start and stop; the paths of each list ascend.

        One span of all rows as a rule. If a root was renamed since the index was written, its
        place among the roots may be another one: then there is one list per root.
        """
        runs = list(self._runs())
        ends = ((path_key(self[start - 1]), path_key(self[start])) for start, _, _ in runs[1:])
        if all(last < first for last, first in ends):
            return [[(0, len(self))]]
        spans: list[list[tuple[int, int]]] = [[] for _ in self.roots]
        for start, stop, number in runs:
            spans[number].append((start, stop))
        return spans

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield start, stop and number of the root of each run of rows in one root."""
        starts = self.run_rows.tolist()
        stops = [*starts[1:], *([len(self)] if starts else [])]
        return zip(starts, stops, self.run_roots.tolist(), strict=True)

    def _first_from(self, key: bytes, low: int, high: int) -> int:
        """Return the first row of a sorted span whose key is not less than `key`, or its end."""
        while low < high:
            middle = (low + high) // 2
            if path_key(self[middle]) < key:
                low = middle + 1
            else:
                high = middle
        return low


class PathsBuilder:
    """Collects absolute paths, in path order, into `Paths`."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._roots = list(roots)
        self._numbers = {root: number for number, root in enumerate(roots)}
        self._run_rows = array("q")
        self._run_roots = array("q")
        self._relative = TextBuilder()
        self._n_rows = 0

    def append(self, root: bytes, path: bytes) -> None:
        """Add the path of the next row, which is in a root."""
        number = self._numbers[root]
        if not self._run_roots or self._run_roots[-1] != number:
            self._run_rows.append(self._n_rows)
            self._run_roots.append(number)
        self._relative.append(path[len(join(root, b"")) :])
        self._n_rows += 1

    def paths(self) -> Paths:
        """Return what was added."""
        return Paths(
            self._roots,
            np.array(self._run_rows, np.int64),
            np.array(self._run_roots, np.int64),
            self._relative.column(),
        )


def merge_sorted(streams: Iterable[Iterator[tuple[bytes, Any]]]) -> Iterator[tuple[bytes, Any]]:
    """Merge streams of ``(path_key, value)``, each sorted by the key, into one."""
    return heapq.merge(*streams, key=lambda pair: pair[0])


def stored_root(root: bytes, index_folder: bytes) -> bytes:
    """Return a root as the index stores it.

    A root that contains the index is stored relative to the index folder, as in ``../..``, so
    that it may be renamed or mounted elsewhere; any other root stays absolute.
    """
    if not root or root == index_folder or not is_below(index_folder, root):
        return root
    inside = index_folder[len(join(root, b"")) :]
    return b"/".join(UP for _ in inside.split(b"/"))


def resolved_root(stored: bytes, index_folder: bytes) -> bytes:
    """Return the absolute path of a root that `stored_root` made.

    Raises ValueError if a forged one leads above the top folder.
    """
    names = stored.split(b"/")
    if set(names) != {UP}:
        return stored
    parts = index_folder.split(b"/")[: -len(names)]
    if not parts:
        raise ValueError("a root above the top folder")
    above = b"/".join(parts)
    return above if b"/" in above else above + b"/"


def rows_of_paths(
    known: Paths, paths: Iterable[str | bytes | os.PathLike[str]], *, unknown: Unknown = "raise"
) -> list[int | None]:
    """Return the row of each path, None for a path that the index does not have.

    Paths are absolute, or relative to the current folder. With ``unknown="raise"``, an unknown path
    is an error. Raises UsageError for that, or if `unknown` is none of these words; TypeError if
    `paths` is a single path.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"paths must be a list of paths, got one: {paths!r}")
    if unknown not in get_args(Unknown):
        raise UsageError(f"unknown must be one of {', '.join(get_args(Unknown))}, got {unknown!r}")
    named = [os.fsdecode(path) for path in paths]
    folder = functools.cache(absolute)
    parts = map(os.path.split, named)
    full = [join(folder(parent or os.curdir), os.fsencode(name)) for parent, name in parts]
    if len(full) * BISECTIONS < len(known):
        found = [known.find(path) for path in full]
    else:
        numbers = {path: row for row, path in enumerate(known)}
        found = [numbers.get(path) for path in full]
    if unknown == "raise" and None in found:
        first = found.index(None)
        raise UsageError(
            f"the index does not have {found.count(None):,} of {len(found):,} paths, such as "
            f"{named[first]!r}, which is {os.fsdecode(full[first])!r}; the indexed folders are: "
            f"{', '.join(os.fsdecode(root) for root in known.roots if root) or 'single files only'}"
        )
    return found
