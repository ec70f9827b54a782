"""The table of an index: one row a file, in path order, as plain columns.

Path order is the order of the path's parts: ``a/b`` comes before ``a-b``, as a sorted walk
of the folders finds them. So an update is a merge of two sorted streams.
"""

import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.index.terms import Terms, could_end_otherwise
from imgdup.system.files import DIGEST_BYTES
from imgdup.system.paths import join, path_key

PDQ_WORDS = 4

# What is known of a file: dtype on disk and shape of one row. ``hashes`` is as wide as the
# search hash and stands beside these.
FIELDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "size": ("<i8", ()),
    "mtime_ns": ("<i8", ()),
    "width": ("<u4", ()),
    "height": ("<u4", ()),
    "format": ("|u1", ()),
    "quality": ("|u1", ()),
    "status": ("|u1", ()),
    "digest": ("|u1", (DIGEST_BYTES,)),
    "pdq": ("<u8", (PDQ_WORDS,)),
}


def fields(words: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and row shape of each column of a table whose search hash has `words`."""
    return {**FIELDS, "hashes": ("<u8", (words,))}


def empty_columns(n: int, words: int) -> dict[str, npt.NDArray[Any]]:
    """Return a zeroed column of `n` rows for each field."""
    return {name: np.zeros((n, *shape), dtype) for name, (dtype, shape) in fields(words).items()}


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Byte strings as one blob: string i is ``blob[offsets[i]:offsets[i + 1]]``."""

    offsets: npt.NDArray[np.uint64]
    blob: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        """Count the strings."""
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> bytes:
        """Return string `i`; a forged offset outside the blob gives an empty string."""
        return self.blob[int(self.offsets[i]) : int(self.offsets[i + 1])].tobytes()


class TextBuilder:
    """A growing `TextColumn`, 8 bytes a string beside its text."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._offsets = array("Q", [0])

    def append(self, text: bytes) -> None:
        """Add one string at the end."""
        self._blob += text
        self._offsets.append(len(self._blob))

    def column(self) -> TextColumn:
        """Return what was added, without copying it."""
        return TextColumn(
            np.frombuffer(self._offsets, np.uint64), np.frombuffer(self._blob, np.uint8)
        )


class Why(NamedTuple):
    """Why a file gave no hash: what was found, for people, and the terms on which it was read."""

    detail: str
    terms: Terms


UNKNOWN = Why("", Terms(0, 0, 0, 0, 0))  # as a forged index has it


def failure_arrays(failures: Mapping[int, Why]) -> dict[str, npt.NDArray[Any]]:
    """Return failures by row as four arrays, rows ascending."""
    texts, rows = TextBuilder(), sorted(failures)
    for row in rows:
        texts.append(failures[row].detail.encode("utf-8", "surrogateescape"))
    column = texts.column()
    terms = np.array([failures[row].terms for row in rows], np.int64)
    return {
        "failed_rows": np.array(rows, np.int64),
        "failed_terms": terms.reshape(len(rows), len(Terms._fields)),
        "detail_offsets": column.offsets,
        "detail_blob": column.blob,
    }


def failure_of(arrays: Mapping[str, npt.NDArray[Any]], row: int) -> Why:
    """Return what went wrong with `row`."""
    rows = arrays["failed_rows"]
    i = int(np.searchsorted(rows, row))
    if i == len(rows) or rows[i] != row:
        return UNKNOWN
    texts = TextColumn(arrays["detail_offsets"], arrays["detail_blob"])
    terms = Terms(*arrays["failed_terms"][i].tolist())
    return Why(texts[i].decode("utf-8", "surrogateescape"), terms)


def hopeful_rows(arrays: Mapping[str, npt.NDArray[Any]], now: Terms) -> frozenset[int]:
    """Return the failed rows that could end otherwise on the terms of now."""
    rows, status = arrays["failed_rows"], arrays["status"]
    there = np.flatnonzero((rows >= 0) & (rows < len(status)))
    hopeful = could_end_otherwise(status[rows[there]], arrays["failed_terms"][there], now)
    return frozenset(rows[there[hopeful]].tolist())


class Paths:
    """The absolute paths of all rows, kept relative to the roots.

    Parameters
    ----------
    roots : sequence of bytes
        Absolute folders, with ``/`` between parts; ``b""`` holds files named one by one.
    run_rows, run_roots : ndarray of int64, shape (n_runs,)
        Rows ``run_rows[i]`` up to the next run lie in root ``run_roots[i]``.
    relative : TextColumn
        One path a row.
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

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.relative)

    def root_of(self, row: int) -> bytes:
        """Return the root in which `row` lies."""
        run = int(np.searchsorted(self.run_rows, row, side="right")) - 1
        return self.roots[int(self.run_roots[run])]

    def __getitem__(self, row: int) -> bytes:
        """Return the absolute path of `row`."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)}")
        return join(self.root_of(row), self.relative[row])

    def __iter__(self) -> Iterator[bytes]:
        """Yield the absolute path of each row."""
        return self.between(0, len(self))

    def of_root(self, root: bytes) -> Iterator[bytes]:
        """Yield the absolute paths of the rows that lie in a root."""
        bounds = [*self.run_rows.tolist(), len(self)]
        for run, number in enumerate(self.run_roots.tolist()):
            if self.roots[number] == root:
                yield from self.between(bounds[run], bounds[run + 1])

    def between(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the absolute paths of the rows from `start` up to `stop`."""
        bounds = [*self.run_rows.tolist(), len(self)]
        for run, root in enumerate(self.run_roots.tolist()):
            prefix = join(self.roots[root], b"")
            for row in range(max(start, bounds[run]), min(stop, bounds[run + 1])):
                yield prefix + self.relative[row]

    def find(self, path: bytes) -> int | None:
        """Return the row of an absolute path, by bisection, or None."""
        row = self._first_from(path_key(path))
        return row if row < len(self) and self[row] == path else None

    def holds(self, folder: bytes) -> bool:
        """Tell, by bisection, whether any row lies in a folder."""
        inside = join(folder, b"")
        row = self._first_from(path_key(inside))
        return row < len(self) and self[row].startswith(inside)

    def _first_from(self, key: bytes) -> int:
        """Return the first row whose key is not less than `key`."""
        low, high = 0, len(self)
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
        """Add the path of the next row, which lies in a root."""
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
