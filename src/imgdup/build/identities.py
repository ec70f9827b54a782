"""A listing -> which file each row names, and which rows name the same one.

A file may have several rows: hard links, symbolic links that are followed, a folder and a bind
mount of it, a second spelling of a folder. Device and inode tell.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.build.listing import Listing
from imgdup.index.columns import IDENTITY, RowNumbers
from imgdup.index.generation import Generation
from imgdup.system.paths import identity

Identities = npt.NDArray[np.uint64]

BLOCK_ROWS = 1 << 16  # of identities, made at a time

NOWHERE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)  # in place of a device, for files that cannot be asked


def row_identities(listing: Listing, old: Generation | None) -> Identities:
    """Return device and inode of the file of each row, shape (n, 2); zeros where unknown.

    Rows that were not scanned have what the old generation says, unless their size and mtime are
    those of a row that was scanned: then the disk is asked.
    """
    found = _scanned(listing, 0, len(listing))
    kept = np.array(listing.kept, np.int64)
    if old is None or not len(kept):
        return found
    if IDENTITY in old.arrays:
        found[kept] = old.arrays[IDENTITY][np.frombuffer(listing.origin_row, np.int64)[kept]]
    paths = listing.paths
    for row in _rows_to_ask(listing, kept, all_rows=IDENTITY not in old.arrays).tolist():
        now = identity(paths[row])
        if now != (0, 0):
            found[row] = now
    return found


def identity_blocks(listing: Listing, old: Generation | None) -> Iterator[Identities]:
    """Yield what `row_identities` returns, in blocks; in one where rows were not scanned."""
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


def _rows_to_ask(listing: Listing, kept: RowNumbers, *, all_rows: bool) -> RowNumbers:
    """Return kept rows of the size and mtime of a scanned row, or of any other row."""
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
        asked = np.bincount(group)[group] > 1
    else:
        asked = ~is_kept[order][starts][group]
    rows: RowNumbers = order[asked & is_kept[order]]
    return np.sort(rows)


def same_file(listing: Listing, old: Generation | None) -> RowNumbers:
    """Return for each row the first row of the same file, or -1 where it is the first itself.

    Rows whose file cannot be asked stay with those that they were with in the old generation.
    """
    device: npt.NDArray[Any] = np.frombuffer(listing.device, np.uint32)
    inode = np.frombuffer(listing.inode, np.uint64)
    if old is not None and len(listing.kept):
        found = _with_old_groups(listing, old, row_identities(listing, old))
        device, inode = found.T
    first = np.full(len(listing), -1, np.int64)
    for rows in _groups(inode, [device]):
        first[rows[1:]] = rows[0]
    return first


def same_files(found: Identities, before: Identities) -> bool:
    """Tell whether rows name the files that they named before.

    Some devices get another number when they are mounted again: it does not count which one it
    is, if it is one for one.
    """
    if not np.array_equal(found[:, 1], before[:, 1]):
        return False
    if np.array_equal(found[:, 0], before[:, 0]):
        return True
    devices = np.column_stack([found[:, 0], before[:, 0]])
    n_pairs = len(np.unique(devices, axis=0))
    return n_pairs == len(np.unique(found[:, 0])) == len(np.unique(before[:, 0]))


def linked_rows(listing: Listing) -> list[RowNumbers]:
    """Return the rows of each scanned file that has several, ascending; they need one reading.

    Some file systems invent inode numbers, so size and mtime must agree, too.
    """
    inode = np.frombuffer(listing.inode, np.uint64)
    columns: list[npt.NDArray[Any]] = [
        np.frombuffer(listing.device, np.uint32),
        np.frombuffer(listing.size, np.int64),
        np.frombuffer(listing.mtime_ns, np.int64),
    ]
    return _groups(inode, columns)


def _with_old_groups(listing: Listing, old: Generation, found: Identities) -> Identities:
    """Give kept rows without identity one that they share with the rows they were with."""
    kept = np.array(listing.kept, np.int64)
    unknown = kept[found[kept, 1] == 0]
    first = old.arrays["same_file"]
    old_rows = np.frombuffer(listing.origin_row, np.int64)[unknown]
    leaders = np.where(first[old_rows] < 0, old_rows, first[old_rows])
    found[unknown, 0] = NOWHERE
    found[unknown, 1] = (leaders + 1).astype(np.uint64)
    return found


def _groups(inode: npt.NDArray[np.uint64], columns: Sequence[npt.NDArray[Any]]) -> list[RowNumbers]:
    """Return the rows that agree in inode and columns, ascending; an inode of 0 is none."""
    rows = _repeated(inode)
    keys = [inode[rows], *(column[rows] for column in columns)]
    order = np.lexsort(keys)
    starts = np.ones(len(rows), bool)
    starts[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    groups = np.split(rows[order], np.flatnonzero(starts)[1:])
    return [group for group in groups if len(group) > 1]


def _repeated(inode: npt.NDArray[np.uint64]) -> RowNumbers:
    """Return the rows whose inode is another row's, too, ascending; few as a rule."""
    order = np.argsort(inode, kind="stable")
    ascending = inode[order]
    repeats = ascending[1:] == ascending[:-1]
    is_repeated = np.zeros(len(inode), bool)
    is_repeated[order[1:][repeats]] = is_repeated[order[:-1][repeats]] = True
    return np.flatnonzero(is_repeated & (inode != 0))
