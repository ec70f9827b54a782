"""Pairs packed in 64 bits each, in any order, in; sorted arrays of rows and distances out.

A packed pair holds the left row (counted from the first of its block) in its highest bits, then
the right row and the distance in the order of the sort. The highest bit of all is free: only
slots that were reserved and not used have it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.search import kernels as _kernels
from imgdup.search.equal import Pairs
from imgdup.search.hamming import Integers
from imgdup.search.kernels import Packing

KEY_BITS = 63
PART_PAIRS = 1 << 15  # pairs sorted at a time: they stay in the cache
YIELDED_PAIRS = 1 << 23  # pairs taken apart at a time: 150 MB
MAX_SHARES = 32  # calls to sort these

Packed: TypeAlias = npt.NDArray[np.uint64]
Run: TypeAlias = Callable[[Sequence[Callable[[], Any]]], list[Any]]  # calls in threads: results


def packing(first_row: int, n_right: int, max_distance: int, *, nearest_first: bool) -> Packing:
    """Lay out a packed pair.

    Parameters
    ----------
    first_row : int
        The smallest left row.
    n_right, max_distance : int
        How many right rows there are, and the largest distance.
    nearest_first : bool
        Whether the pairs of a left row are sorted by distance before row.

    Returns
    -------
    Packing
        For `_kernels.join` and `part`.
    """
    row_bits, distance_bits = max(1, (n_right - 1).bit_length()), max(1, max_distance.bit_length())
    if nearest_first:
        return Packing(first_row, row_bits + distance_bits, 0, row_bits)
    return Packing(first_row, row_bits + distance_bits, distance_bits, 0)


def max_rows(packing: Packing) -> int:
    """Tell how many left rows a block may have."""
    return 1 << min(32, KEY_BITS - packing.left_shift)


class Parts(NamedTuple):
    """Packed pairs cut in parts of ascending left rows, each in any order.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n_pairs,)
        The packed pairs.
    bounds : ndarray of int64, shape (n_parts + 1,)
        Where the parts begin and end.
    packing : Packing
        How they are packed.
    """

    keys: Packed
    bounds: Integers
    packing: Packing


def part(packed: Packed, packing: Packing, n_rows: int, run: Run, threads: int) -> Parts:
    """Cut packed pairs in parts small enough to be sorted in the cache.

    Parameters
    ----------
    packed : ndarray of uint64, shape (n_slots,)
        The pairs, with sentinels between them.
    packing : Packing
        How they are packed.
    n_rows : int
        How many left rows there are.
    run : callable
        Makes calls in threads.
    threads : int
        How many pieces to cut at a time.

    Returns
    -------
    Parts
        The same pairs, without sentinels.
    """
    rows_shift = max(0, (n_rows - 1).bit_length() - (len(packed) // PART_PAIRS).bit_length())
    shift, n_parts = packing.left_shift + rows_shift, ((n_rows - 1) >> rows_shift) + 1
    pieces = np.array_split(packed, threads)
    counts = run([partial(_kernels.count_parts, piece, shift, n_parts) for piece in pieces])
    places, bounds = _places(np.array(counts))
    keys = np.empty(bounds[-1], np.uint64)
    jobs = zip(pieces, places, strict=True)
    run([partial(_kernels.scatter, piece, shift, place, keys) for piece, place in jobs])
    return Parts(keys, bounds, packing)


def _places(counts: Integers) -> tuple[Integers, Integers]:
    """Find where each piece puts its pairs of each part, and where the parts begin."""
    ends = np.cumsum(counts.T).reshape(counts.T.shape)
    bounds = np.concatenate([np.zeros(1, np.int64), ends[:, -1]])
    return np.ascontiguousarray((ends - counts.T).T), bounds


def unpack(parts: Parts, run: Run) -> Iterator[Pairs]:
    """Sort parts and take their pairs apart.

    Parameters
    ----------
    parts : Parts
        The pairs; sorted in place.
    run : callable
        Makes calls in threads.

    Yields
    ------
    Pairs
        About ``YIELDED_PAIRS`` at a time, sorted as the packing says; those of a left row
        together.
    """
    start, n_parts = 0, len(parts.bounds) - 1
    while start < n_parts:
        wanted = parts.bounds[start] + YIELDED_PAIRS
        stop = max(start + 1, int(np.searchsorted(parts.bounds, wanted, side="right")) - 1)
        n_pairs = parts.bounds[stop] - parts.bounds[start]
        if n_pairs:
            pairs = Pairs(
                np.empty(n_pairs, np.int64),
                np.empty(n_pairs, np.int64),
                np.empty(n_pairs, np.uint16),
            )
            shares = np.array_split(np.arange(start, stop), MAX_SHARES)
            run([partial(_finish, parts, start, share, pairs) for share in shares if len(share)])
            yield pairs
        start = stop


def _finish(parts: Parts, first: int, numbers: Integers, pairs: Pairs) -> None:
    """Sort some parts and write their fields; `first` is the first part in `pairs`."""
    packing, offset = parts.packing, parts.bounds[first]
    for number in numbers:
        keys = parts.keys[parts.bounds[number] : parts.bounds[number + 1]]
        keys.sort()
        where = slice(parts.bounds[number] - offset, parts.bounds[number + 1] - offset)
        left, right = pairs.left[where].view(np.uint64), pairs.right[where].view(np.uint64)
        np.right_shift(keys, np.uint64(packing.left_shift), out=left)
        left += np.uint64(packing.first_row)
        _field(keys, packing.right_shift, packing, right)
        pairs.distances[where] = _field(keys, packing.distance_shift, packing)


def _field(keys: Packed, shift: int, packing: Packing, out: Packed | None = None) -> Packed:
    """Take the bits from `shift` to the next field."""
    shifts = (packing.right_shift, packing.distance_shift, packing.left_shift)
    end = min(other for other in shifts if other > shift)
    field: Packed = np.right_shift(keys, np.uint64(shift), out=out)
    field &= np.uint64((1 << (end - shift)) - 1)
    return field
