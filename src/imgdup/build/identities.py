"""Find the rows that name the same file, by device and inode.

These are hard links, symbolic links that are followed, a folder and a bind mount of it, and a
second spelling of a folder.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.build.listing import TO_READ, Listing
from imgdup.index.columns import IDENTITY, RowNumbers
from imgdup.index.generation import Generation
from imgdup.system.paths import identity

Array = npt.NDArray[Any]
BLOCK_ROWS = 1 << 18  # of a column, gathered at a time
NOWHERE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)  # the device of files whose identity cannot be read
Identities = npt.NDArray[np.uint64]


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
    """Return for each row the first row of the same file, or -1 if it is the first itself.

    A row whose identity cannot be read remains in the group that it has in the old generation.
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
    """Return for each row the row whose result it can use, or -1 if its file must be read.

    A scanned file with several names is read once, unless one of its names has a result already.
    Some file systems invent inode numbers, so size and mtime must be equal, too.
    """
    inode = np.frombuffer(listing.inode, np.uint64)
    rows = repeated(inode)
    columns: list[npt.NDArray[Any]] = [
        np.frombuffer(listing.origin, np.int32) == TO_READ,  # those with an answer first
        inode,
        np.frombuffer(listing.device, np.uint32),
        np.frombuffer(listing.size, np.int64),
        np.frombuffer(listing.mtime_ns, np.int64),
    ]
    needs_answer, *keys = (column[rows] for column in columns)
    return first_rows(len(listing), rows, keys, needs_answer)


def _with_old_groups(listing: Listing, old: Generation, found: Identities) -> Identities:
    """Give kept rows of unknown identity invented ones, equal within each old group."""
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
    """Return the positions in an order at which any key has another value than before."""
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
