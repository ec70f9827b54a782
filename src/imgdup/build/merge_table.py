"""The rows of several generations as one table in path order, from which a generation is written.

For each row, only its generation, its number there and the length of its path are in memory: 14
bytes. Columns and paths are copied from the generations in blocks, when they are written.
"""

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.build.identities import BLOCK_ROWS, NOWHERE, Array, Identities, first_rows, repeated
from imgdup.images.formats import OK
from imgdup.index import store
from imgdup.index.columns import (
    IDENTITY,
    LOCATOR,
    TRIMMED,
    TRIMMED_ROWS,
    RowNumbers,
    expanded,
    fields,
)
from imgdup.index.generation import Generation
from imgdup.system.files import PUBLIC
from imgdup.system.paths import join

GENERATION_SHIFT = np.uint64(48)  # in an invented inode: the generation above, the row below


class RowSources:
    """Which row of which generation each row comes from; rows are added one by one."""

    def __init__(self, generations: Sequence[Generation]) -> None:
        self.generations = generations
        self._numbers = array("H")
        self._rows = array("q")

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, number: int, row: int) -> None:
        """Add a row of a generation."""
        self._numbers.append(number)
        self._rows.append(row)

    def replace(self, place: int, number: int, row: int) -> None:
        """Use another source for a row."""
        self._numbers[place], self._rows[place] = number, row

    def of(self, place: int) -> tuple[int, int]:
        """Return the number of the generation of a row, and its row there."""
        return self._numbers[place], self._rows[place]

    def groups(self, places: RowNumbers | slice) -> Iterator[tuple[int, RowNumbers, RowNumbers]]:
        """Yield the number of each generation, which of some places it has, and its rows."""
        numbers = np.frombuffer(self._numbers, np.uint16)[places]
        rows = np.frombuffer(self._rows, np.int64)[places]
        for number in np.flatnonzero(np.bincount(numbers, minlength=1)).tolist():
            where = np.flatnonzero(numbers == number)
            yield number, where, rows[where]

    def gather(self, name: str, places: RowNumbers | slice, like: Array) -> Array:
        """Fill an array of zeros with a column; where a generation lacks it, zeros remain."""
        for number, where, rows in self.groups(places):
            found = values(self.generations[number], name, rows)
            if found is not None:
                like[where] = found
        return like


def values(generation: Generation, name: str, rows: RowNumbers) -> Array | None:
    """Return a column of some rows, or None if the generation does not have it."""
    arrays = generation.arrays
    if name not in arrays:
        return None
    return (
        expanded(arrays[TRIMMED_ROWS], arrays[name], rows)
        if name == TRIMMED
        else arrays[name][rows]
    )


@dataclass
class MergedTable:
    """What `imgdup.build.write.write_generation` writes: rows of several generations, merged."""

    generations: Sequence[Generation]  # of the same hash
    roots: Sequence[bytes]  # those of the next generation, absolute
    # Whether each optional column is written, as parameters such as ``with_pdq``.
    optional: Mapping[str, bool]
    sources: RowSources = field(init=False)

    def __post_init__(self) -> None:
        self.sources = RowSources(self.generations)
        self._lengths = array("I")
        self._run_rows, self._run_roots = array("q"), array("q")
        self._numbers = {root: number for number, root in enumerate(self.roots)}

    def add(self, path: bytes, root: bytes, number: int, row: int) -> None:
        """Add the next row in path order, which is in one of the roots."""
        root_number = self._numbers[root]
        if not self._run_roots or self._run_roots[-1] != root_number:
            self._run_rows.append(len(self))
            self._run_roots.append(root_number)
        self._lengths.append(len(path) - len(join(root, b"")))
        self.sources.add(number, row)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The hash parameters, which all generations share."""
        chosen = {name: int(is_there) for name, is_there in self.optional.items()}
        return {**self.generations[0].parameters, **chosen}

    @property
    def fields(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtype and row shape of each column."""
        with_members = any(LOCATOR in each.arrays for each in self.generations)
        words = self.generations[0].bits // 64
        return fields(words, **self.optional, with_members=with_members)

    @property
    def mode(self) -> int:
        """The permissions that all generations have in common."""
        mode = PUBLIC
        for generation in self.generations:
            mode &= os.stat(generation.file).st_mode
        return mode

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Array:
        """Return one field of the rows from `start` up to `stop`."""
        dtype, shape = self.fields[field]
        stop = len(self) if stop is None else stop
        zeros = np.zeros((stop - start, *shape), dtype)
        return self.sources.gather(field, slice(start, stop), zeros)

    def path_arrays(self) -> dict[str, Array | store.Column]:
        """Return the arrays of the paths, two of which are made when they are written."""
        lengths = np.frombuffer(self._lengths, np.uint32)
        n_bytes = int(lengths.sum(dtype=np.int64))
        return {
            "run_rows": np.array(self._run_rows, np.int64),
            "run_roots": np.array(self._run_roots, np.int64),
            "path_offsets": store.Column("<u8", (len(self) + 1,), _offsets(lengths)),
            "path_blob": store.Column("|u1", (n_bytes,), self._path_blocks()),
        }

    def _path_blocks(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the paths, each relative to its root, one after the other."""
        lengths = np.frombuffer(self._lengths, np.uint32)
        for start in range(0, len(self), BLOCK_ROWS):
            places = slice(start, min(start + BLOCK_ROWS, len(self)))
            paths = [b""] * (places.stop - start)
            for number, where, rows in self.sources.groups(places):
                found = self.generations[number].paths.of_rows(rows.tolist())
                for i, path in zip(where.tolist(), found, strict=True):
                    paths[i] = path
            pairs = zip(paths, lengths[places].tolist(), strict=True)
            blob = b"".join([path[len(path) - length :] for path, length in pairs])
            yield np.frombuffer(blob, np.uint8)

    def identity_blocks(self) -> Iterator[Identities]:
        """Yield device and inode of the file of each row; zeros where they are unknown."""
        for start in range(0, len(self), BLOCK_ROWS):
            yield self._identities(slice(start, min(start + BLOCK_ROWS, len(self))))

    def _identities(self, places: slice) -> Identities:
        zeros = np.zeros((len(range(*places.indices(len(self)))), 2), np.uint64)
        return self.sources.gather(IDENTITY, places, zeros)

    @cached_property
    def same_file(self) -> RowNumbers:
        """For each row, the first row of the same file, or -1 if it is that row itself.

        Device numbers may come from several machines, so the contents must be the same, too. A file
        of unknown identity remains in the group that it has in its generation.
        """
        found = self._identities(slice(0, len(self)))
        self._name_unknown(found)
        rows = repeated(found[:, 1])
        device, inode = found[rows].T
        del found
        digest = self.sources.gather("digest", rows, np.zeros((len(rows), 16), np.uint8))
        words = digest.view(np.uint64).T
        times = (
            self.sources.gather(name, rows, np.zeros(len(rows), np.int64))
            for name in ("size", "mtime_ns")
        )
        return first_rows(len(self), rows, [inode, device, *words, *times])

    def _name_unknown(self, found: Identities) -> None:
        """Give rows of unknown identity an invented one, the same for each group of names."""
        unknown = np.flatnonzero(found[:, 1] == 0)
        for number, where, rows in self.sources.groups(unknown):
            first = self.generations[number].arrays["same_file"][rows]
            leaders = np.where(first < 0, rows, first).astype(np.uint64) + np.uint64(1)
            found[unknown[where], 0] = NOWHERE
            found[unknown[where], 1] = leaders | (np.uint64(number) << GENERATION_SHIFT)

    def failures(self, status: Array) -> dict[int, str]:
        """Return what went wrong, by row, for rows whose status is not ok."""
        failed = np.flatnonzero(status != OK).tolist()
        sources = ((place, *self.sources.of(place)) for place in failed)
        return {place: self.generations[number].detail(row) for place, number, row in sources}


def _offsets(lengths: npt.NDArray[np.uint32]) -> Iterator[npt.NDArray[np.uint64]]:
    """Yield where each path begins, and last where the last one ends."""
    yield np.zeros(1, np.uint64)
    end = 0
    for start in range(0, len(lengths), BLOCK_ROWS):
        ends = np.cumsum(lengths[start : start + BLOCK_ROWS], dtype=np.uint64) + np.uint64(end)
        end = int(ends[-1])
        yield ends


class Facts(NamedTuple):
    """The facts by which one of two rows of a path is chosen, the most important first."""

    is_ok: bool
    mtime_ns: int
    size: int
    digest: bytes
    others: bytes

    def may_be_one(self, other: "Facts") -> bool:
        """Return whether both can be of one content, which one of them perhaps did not read."""
        one_failed = not (self.is_ok and other.is_ok) and self.mtime_ns == other.mtime_ns
        return self.size == other.size and (self.digest == other.digest or one_failed)


def different_rows(table: MergedTable, places: RowNumbers, others: RowSources) -> Iterator[int]:
    """Yield the numbers of the other rows whose facts are not those of the chosen row."""
    for start in range(0, len(places), BLOCK_ROWS):
        span = slice(start, min(start + BLOCK_ROWS, len(places)))
        differs = np.zeros(span.stop - start, bool)
        for name, (dtype, shape) in table.fields.items():
            mine, theirs = (np.zeros((len(differs), *shape), dtype) for _ in range(2))
            table.sources.gather(name, places[span], mine)
            others.gather(name, span, theirs)
            differs |= (mine != theirs).reshape(len(differs), -1).any(axis=1)
        yield from (start + np.flatnonzero(differs)).tolist()


def facts_of(table: MergedTable, number: int, row: int) -> Facts:
    """Return the facts of a row of one of the generations."""
    arrays = table.generations[number].arrays
    digest = arrays["digest"][row].tobytes()
    rows = np.array([row])
    columns = (values(table.generations[number], name, rows) for name in table.fields)
    others = b"".join(column.tobytes() for column in columns if column is not None)
    mtime_ns, size = int(arrays["mtime_ns"][row]), int(arrays["size"][row])
    return Facts(bool(arrays["status"][row] == OK), mtime_ns, size, digest, others)
