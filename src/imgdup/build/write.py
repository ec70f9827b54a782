"""Write the file of the next generation from a finished listing and the sources of its facts.

Columns are gathered one at a time and in blocks, to need little memory in addition to the listing.
Also finds which rows name the same file: hard links, symbolic links that are followed, a folder
and a bind mount of it, a second spelling of a folder. Such rows have the same device and inode.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imgdup.build.checkpoints import Checkpoints
from imgdup.build.known import COPIED
from imgdup.build.listing import OLD, TO_READ, Listing
from imgdup.images.formats import OK, REASONS
from imgdup.index import store
from imgdup.index.columns import (
    IDENTITY,
    IDENTITY_FORM,
    LOCATOR,
    TRIMMED,
    TRIMMED_ROWS,
    RowNumbers,
    expanded,
    failure_arrays,
    failure_detail,
    fields,
)
from imgdup.index.generation import TREE_PREFIX, Generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import stored_root
from imgdup.search.bands import choose_layout, typical_distance
from imgdup.search.equal import group_equal
from imgdup.search.vptree import VPTree
from imgdup.system.paths import absolute, identity

Identities = npt.NDArray[np.uint64]
Array = npt.NDArray[Any]

BLOCK_ROWS = 1 << 18  # of a column, gathered at a time
NOWHERE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)  # the device of files whose identity cannot be read

MISSING = REASONS.index("missing")


class Table(Protocol):
    """What a generation is written from: rows in path order, with the facts of each."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The hash parameters, and which optional columns there are."""

    @property
    def fields(self) -> Mapping[str, tuple[str, tuple[int, ...]]]:
        """Dtype and row shape of each column."""

    @property
    def same_file(self) -> RowNumbers:
        """For each row, the first row of the same file, or -1 if it is that row itself."""

    @property
    def mode(self) -> int:
        """Permissions of the index."""

    def __len__(self) -> int:
        """Count the rows."""

    def path_arrays(self) -> Mapping[str, "Array | store.Column"]:
        """Return the arrays that `imgdup.index.paths.Paths` reads, by their names in the file."""

    def identity_blocks(self) -> Iterator[Identities]:
        """Yield device and inode of the file of each row, in blocks; zeros where unknown."""

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Array:
        """Return one field of the rows from `start` up to `stop`, in row order."""

    def failures(self, status: Array) -> dict[int, str]:
        """Return what went wrong, by row, for rows whose status is not ok."""


@dataclass(frozen=True)
class Facts:
    """The sources of the facts of a listing: the old generation, checkpoints, parameters.

    `other` is the generation of another index, of which rows are copied.
    """

    listing: Listing
    old: Generation | None
    checkpoints: Checkpoints
    parameters: Mapping[str, Any]
    other: Generation | None = None

    @property
    def fields(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtype and row shape of each column."""
        with_pdq, with_trimmed = (bool(self.parameters[f"with_{x}"]) for x in ("pdq", TRIMMED))
        words, with_members = int(self.parameters["bits"]) // 64, self.listing.has_members
        optional = {"with_pdq": with_pdq, "with_trimmed": with_trimmed}
        return fields(words, **optional, with_members=with_members)

    @cached_property
    def same_file(self) -> RowNumbers:
        """For each row, the first row of the same file, or -1 if it is that row itself."""
        return same_file(self.listing, self.old)

    @cached_property
    def mode(self) -> int:
        """Permissions of the index: those that all its pictures have in common.

        The permissions of the old generation represent pictures that were not scanned.
        """
        mode = self.listing.tally.mode
        is_kept = self.old is not None and len(self.listing.kept)
        return mode & os.stat(self.old.file).st_mode if self.old and is_kept else mode

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.listing)

    def path_arrays(self) -> Mapping[str, Array]:
        """Return the arrays of the paths."""
        return self.listing.paths.arrays()

    def identity_blocks(self) -> Iterator[Identities]:
        """Yield device and inode of the file of each row, as `identity_blocks` does."""
        return identity_blocks(self.listing, self.old)

    def sources(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[RowNumbers, RowNumbers, int]]:
        """Yield rows, the rows of their source, and its number, for each source of some rows."""
        origin = np.frombuffer(self.listing.origin, np.int32)[start:stop]
        origin_row = np.frombuffer(self.listing.origin_row, np.int64)
        order = np.argsort(origin, kind="stable")
        numbers, starts = np.unique(origin[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
            if number >= OLD:
                rows = rows + start
                yield rows, origin_row[rows], number

    def _values(self, number: int, field: str, source_rows: RowNumbers) -> Array:
        """Return what some rows of a source have in a column."""
        name = self.listing.checkpoint_names[number]
        generation = self.old if number == OLD else self.other if name == COPIED else None
        if generation is None:
            return self.checkpoints.columns(name, source_rows)[field][source_rows]
        if field == TRIMMED:
            arrays = generation.arrays
            return expanded(arrays[TRIMMED_ROWS], arrays[TRIMMED], source_rows)
        return generation.arrays[field][source_rows]

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Array:
        """Gather one field of some rows, in row order; rows without a source are zero."""
        if field == LOCATOR:
            return self.listing.locator_array()[start:stop]
        dtype, shape = self.fields[field]
        stop = len(self.listing) if stop is None else stop
        column = np.zeros((stop - start, *shape), dtype)
        for rows, source_rows, number in self.sources(start, stop):
            column[rows - start] = self._values(number, field, source_rows)
        if field == "mtime_ns" and self.listing.has_members:  # of a container with equal members
            is_member = self.listing.locator_array()[start:stop].any(axis=1)
            mtime_ns = np.frombuffer(self.listing.mtime_ns, np.int64)[start:stop]
            column[is_member] = mtime_ns[is_member]
        return column

    def failures(self, status: Array) -> dict[int, str]:
        """Return what went wrong, by row, for rows whose status is not ok."""
        found = {}
        for rows, source_rows, number in self.sources():
            failed = np.flatnonzero(status[rows] != OK)
            if len(failed):
                detail = self._details(number)
                for row, source_row in zip(rows[failed], source_rows[failed], strict=True):
                    found[int(row)] = detail(int(source_row))
        return found

    def _details(self, number: int) -> Callable[[int], str]:
        """Return a function that describes what went wrong with the file of a row of a source."""
        if number == OLD and self.old is not None:
            return partial(failure_detail, self.old.arrays)
        known = self.checkpoints.failures(self.listing.checkpoint_names[number])
        return lambda row: known.get(row, "")


def write_generation(file: Path, table: Table, roots: Mapping[bytes, ScanOptions]) -> None:
    """Write the next generation; its bytes depend on nothing but the table and the roots.

    Its permissions are those that all its pictures have in common.
    """
    status, (dtype, shape) = table.gather("status"), IDENTITY_FORM
    arrays: dict[str, Array | store.Column] = {
        **table.path_arrays(),
        "status": status,
        IDENTITY: store.Column(dtype, (len(table), *shape), table.identity_blocks()),
        "same_file": table.same_file,
        **failure_arrays(table.failures(status)),
    }
    dictionary, skew = _dictionary(table.gather("hashes"), status)
    arrays |= dictionary
    for name, (dtype, shape) in table.fields.items():
        if name == TRIMMED:
            arrays |= _trimmed(table)
        elif name != "status":
            arrays[name] = store.Column(dtype, (len(table), *shape), _late(table, name))
    place = absolute(file.parent)
    stated = {k: v for k, v in table.parameters.items() if k != "with_trimmed"}  # arrays show it
    head = {
        "kind": "index",
        **stated,
        "band_skew_thousandths": round(1000 * skew),
        "roots": [_root(stored_root(root, place), options) for root, options in roots.items()],
    }
    store.save(file, head, arrays, mode=table.mode)


def _late(table: Table, field: str) -> Iterator[Array]:
    """Gather a column when it is written, and in blocks."""
    for start in range(0, len(table), BLOCK_ROWS):
        yield table.gather(field, start, min(start + BLOCK_ROWS, len(table)))


def _trimmed(table: Table) -> dict[str, Array]:
    """Gather the match hashes of what borders enclose, and the rows that have one."""
    rows, hashes = [np.zeros(0, np.int64)], [table.gather(TRIMMED, 0, 0)]
    for number, block in enumerate(_late(table, TRIMMED)):
        places = np.flatnonzero(block.any(axis=1))
        rows.append(places + number * BLOCK_ROWS)
        hashes.append(block[places])
    return {TRIMMED_ROWS: np.concatenate(rows), TRIMMED: np.concatenate(hashes)}


def _root(path: bytes, options: ScanOptions) -> dict[str, Any]:
    return {
        "path": path.decode("utf-8", "surrogateescape"),
        "exclude": list(options.exclude),
        "follow_symlinks": int(options.follow_symlinks),
        "hidden": int(options.hidden),
        **({} if options.part.is_whole else {"part": str(options.part)}),
        **({"containers": 1} if options.containers else {}),
        **({"column": options.column} if options.column else {}),
    }


def _dictionary(hashes: Array, status: Array) -> tuple[dict[str, Array], float]:
    """Make the hash dictionary, the tree over its hashes, and measure the skew of their bands."""
    ok = np.flatnonzero(status == OK)
    hashes = hashes[ok]
    classes = group_equal(hashes)
    distinct = hashes[classes.rows]
    del hashes
    tree = VPTree.build(distinct)
    dictionary = {
        "class_offsets": classes.offsets,
        "class_rows": ok[classes.members],
        **{TREE_PREFIX + name: array for name, array in tree.arrays().items()},
    }
    return dictionary, choose_layout(distinct, None, typical_distance(distinct.shape[1])).skew


def drop_missing(facts: Facts) -> Listing:
    """Return the listing without the files that vanished between listing and reading."""
    listing = facts.listing
    gone = set(np.flatnonzero(facts.gather("status") == MISSING).tolist())
    if not gone:
        return listing
    return listing.without(gone)


def row_identities(listing: Listing, old: Generation | None) -> Identities:
    """Return device and inode of the file of each row, shape (n, 2); zeros where unknown.

    Rows that were not scanned keep the identity of the old generation, unless their size and mtime
    are those of a row that was scanned: then the identity is read from the disk.
    """
    found = _scanned(listing, 0, len(listing))
    kept = np.array(listing.kept, np.int64)
    if old is None or not len(kept):
        return found
    if IDENTITY in old.arrays:
        found[kept] = old.arrays[IDENTITY][np.frombuffer(listing.origin_row, np.int64)[kept]]
    paths = listing.paths
    for row in _rows_to_stat(listing, kept, all_rows=IDENTITY not in old.arrays).tolist():
        now = identity(paths[row])
        if now != (0, 0):
            found[row] = now
    return found


def identity_blocks(listing: Listing, old: Generation | None) -> Iterator[Identities]:
    """Yield what `row_identities` returns, in blocks; if some rows were not scanned, in one."""
    if old is not None and len(listing.kept):
        yield row_identities(listing, old)
        return
    for start in range(0, len(listing), BLOCK_ROWS):
        yield _scanned(listing, start, min(start + BLOCK_ROWS, len(listing)))


def _scanned(listing: Listing, start: int, stop: int) -> Identities:
    """Return device and inode as the scan found them, of the rows from `start` up to `stop`."""
    found = np.empty((stop - start, 2), np.uint64)
    devices = np.array(listing.devices, np.uint64)
    found[:, 0] = devices[np.frombuffer(listing.device, np.uint32)[start:stop]]
    found[:, 1] = np.frombuffer(listing.inode, np.uint64)[start:stop]
    return found


def _rows_to_stat(listing: Listing, kept: RowNumbers, *, all_rows: bool) -> RowNumbers:
    """Return the kept rows that have the size and mtime of a scanned row, or of any other row."""
    size = np.frombuffer(listing.size, np.int64)
    mtime_ns = np.frombuffer(listing.mtime_ns, np.int64)
    is_kept = np.zeros(len(listing), bool)
    is_kept[kept] = True
    order = np.lexsort((is_kept, mtime_ns, size))
    starts = np.ones(len(order), bool)  # of each group of equal size and mtime, scanned rows first
    starts[1:] = np.diff(size[order]) != 0
    starts[1:] |= np.diff(mtime_ns[order]) != 0
    group = np.cumsum(starts) - 1
    if all_rows:
        may_share = np.bincount(group)[group] > 1
    else:
        may_share = ~is_kept[order][starts][group]
    rows: RowNumbers = order[may_share & is_kept[order]]
    return np.sort(rows)


def same_file(listing: Listing, old: Generation | None) -> RowNumbers:
    """Return for each row the first row of the same file, or -1 where it is the first itself.

    Rows whose identity cannot be read stay in the group that they have in the old generation.
    """
    device: npt.NDArray[Any] = np.frombuffer(listing.device, np.uint32)
    inode = np.frombuffer(listing.inode, np.uint64)
    if old is not None and len(listing.kept):
        found = _with_old_groups(listing, old, row_identities(listing, old))
        device, inode = found.T
    rows = repeated(inode)
    return first_rows(len(listing), rows, [inode[rows], device[rows]])


def same_files(found: Identities, before: Identities) -> bool:
    """Return whether rows name the same files as before.

    A device may get another number when it is mounted again. So device numbers may differ, as long
    as each old number corresponds to one new number.
    """
    if not np.array_equal(found[:, 1], before[:, 1]):
        return False
    if np.array_equal(found[:, 0], before[:, 0]):
        return True
    devices = np.column_stack([found[:, 0], before[:, 0]])
    n_pairs = len(np.unique(devices, axis=0))
    return n_pairs == len(np.unique(found[:, 0])) == len(np.unique(before[:, 0]))


def shared_answers(listing: Listing) -> RowNumbers:
    """Return for each row the row whose answer it shares, or -1 where the row needs its own.

    A scanned file with several names is read once, unless one of its names has an answer. Some file
    systems invent inode numbers, so size and mtime must be equal, too.
    """
    inode = np.frombuffer(listing.inode, np.uint64)
    rows = repeated(inode)
    columns: list[npt.NDArray[Any]] = [
        np.frombuffer(listing.origin, np.int32) == TO_READ,  # those with an answer come first
        inode,
        np.frombuffer(listing.device, np.uint32),
        np.frombuffer(listing.size, np.int64),
        np.frombuffer(listing.mtime_ns, np.int64),
    ]
    needs_answer, *keys = (column[rows] for column in columns)
    return first_rows(len(listing), rows, keys, needs_answer)


def _with_old_groups(listing: Listing, old: Generation, found: Identities) -> Identities:
    """Give the kept rows of unknown identity an invented one, the same for each old group."""
    kept = np.array(listing.kept, np.int64)
    unknown = kept[found[kept, 1] == 0]
    first = old.arrays["same_file"]
    old_rows = np.frombuffer(listing.origin_row, np.int64)[unknown]
    leaders = np.where(first[old_rows] < 0, old_rows, first[old_rows])
    found[unknown, 0] = NOWHERE
    found[unknown, 1] = (leaders + 1).astype(np.uint64)
    return found


def first_rows(
    n_rows: int, rows: RowNumbers, keys: Sequence[Array], order: Array | None = None
) -> RowNumbers:
    """Return for each of `n_rows` the first row with equal keys, or -1 where it is the first.

    Only `rows`, ascending, have keys, one value of each key per row. `order` says which rows with
    equal keys come first, in place of the row numbers.
    """
    by_key = np.lexsort(keys if order is None else [order, *keys])
    starts = _starts(keys, by_key)
    ordered = rows[by_key]
    firsts = np.repeat(ordered[starts], np.diff(starts, append=len(rows)))
    firsts[starts] = -1
    found = np.full(n_rows, -1, np.int64)
    found[ordered] = firsts
    return found


def _starts(keys: Sequence[Array], order: RowNumbers) -> RowNumbers:
    """Return where, in an order, a value begins that differs from the one before in any key."""
    begins = np.arange(len(order)) == 0
    for key in keys:
        values = key[order]
        begins[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(begins)


def repeated(inode: npt.NDArray[np.uint64]) -> RowNumbers:
    """Return the rows whose inode occurs more than once, ascending; usually only a few."""
    order = np.argsort(inode, kind="stable")
    ascending = inode[order]
    repeats = ascending[1:] == ascending[:-1]
    is_repeated = np.zeros(len(inode), bool)
    is_repeated[order[1:][repeats]] = is_repeated[order[:-1][repeats]] = True
    return np.flatnonzero(is_repeated & (inode != 0))
