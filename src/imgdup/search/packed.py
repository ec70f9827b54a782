"""Sort pairs that are packed in 64 bits each, and unpack them into rows and distances.

A packed pair holds the left row (counted from the first of its block) in its highest bits, then
the right row and the distance in the order of the sort. The highest bit of all is set only in slots
that were reserved and not used.

The pairs are sorted in parts of ascending left rows, so that sorting needs little more memory.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from imgdup.native.join import Packing, Words, count_parts, scatter
from imgdup.search.equal import Pairs
from imgdup.search.hamming import Integers
from imgdup.search.tables import CallAll

KEY_BITS = 63
PART_PAIRS = 1 << 15  # pairs to sort at a time: they fit in the cache
SORTED_PAIRS = 3 << 20  # pairs to sort and unpack at a time: 82 MB
MAX_SHARES = 32  # calls among which these are divided


def packing(first_row: int, n_right: int, max_distance: int, *, nearest_first: bool) -> Packing:
    """Choose the layout of a packed pair.

    Parameters
    ----------
    first_row : int
        The smallest left row.
    n_right, max_distance : int
        The number of right rows and the largest distance.
    nearest_first : bool
        Whether the pairs of a left row are sorted by distance, then row.

    Returns
    -------
    Packing
        The layout, for the compiled join and `SortedPairs`.
    """
    row_bits, distance_bits = max(1, (n_right - 1).bit_length()), max(1, max_distance.bit_length())
    if nearest_first:
        return Packing(first_row, row_bits + distance_bits, 0, row_bits)
    return Packing(first_row, row_bits + distance_bits, distance_bits, 0)


def max_rows(packing: Packing) -> int:
    """Return the largest number of left rows of a block."""
    return 1 << min(32, KEY_BITS - packing.left_shift)


class SortedPairs:
    """Packed pairs, counted by parts of ascending left rows; iteration yields them sorted.

    Parameters
    ----------
    packed : ndarray of uint64, shape (n_slots,)
        The pairs, with free slots between them.
    packing : Packing
        How they are packed.
    n_rows : int
        The number of left rows.
    call_all : callable
        Makes calls in threads.
    threads : int
        The number of threads.
    """

    def __init__(
        self, packed: Words, packing: Packing, n_rows: int, call_all: CallAll, threads: int
    ) -> None:
        self._packing, self._call_all = packing, call_all
        n_parts = (len(packed) // PART_PAIRS).bit_length()
        rows_shift = max(0, (n_rows - 1).bit_length() - n_parts)
        self._shift = packing.left_shift + rows_shift
        self._pieces = np.array_split(packed, threads)
        n_parts = ((n_rows - 1) >> rows_shift) + 1
        counting = [partial(count_parts, piece, self._shift, n_parts) for piece in self._pieces]
        self._counts: Integers = np.array(call_all(counting))
        self._ends: Integers = np.cumsum(self._counts.sum(axis=0))

    def __len__(self) -> int:
        """Count the pairs."""
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[Pairs]:
        """Yield about ``SORTED_PAIRS`` sorted pairs at a time, those of one left row together."""
        start, n_before = 0, 0
        while n_before < len(self):
            wanted = n_before + SORTED_PAIRS
            stop = max(start + 1, int(np.searchsorted(self._ends, wanted, side="right")))
            n_pairs = int(self._ends[stop - 1]) - n_before
            if n_pairs:
                yield self._sorted(range(start, stop), n_pairs)
            start, n_before = stop, n_before + n_pairs

    def _sorted(self, parts: range, n_pairs: int) -> Pairs:
        """Collect the pairs of some parts, sort them and unpack their fields."""
        counts = self._counts[:, parts.start : parts.stop]
        places, bounds = _places(counts)
        keys = np.empty(n_pairs, np.uint64)
        pieces = zip(self._pieces, places, strict=True)
        self._call_all([partial(scatter, p, self._shift, parts, own, keys) for p, own in pieces])
        pairs = Pairs(
            np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64), np.empty(n_pairs, np.uint16)
        )
        shares = np.array_split(np.arange(len(parts)), min(MAX_SHARES, len(parts)))
        self._call_all(
            [partial(_finish, keys, bounds, share, self._packing, pairs) for share in shares]
        )
        return pairs


def _places(counts: Integers) -> tuple[Integers, Integers]:
    """Compute where each piece writes its pairs of each part, and where the parts begin."""
    ends = np.cumsum(counts.T).reshape(counts.T.shape)
    bounds = np.concatenate([np.zeros(1, np.int64), ends[:, -1]])
    return np.ascontiguousarray((ends - counts.T).T), bounds


def _finish(keys: Words, bounds: Integers, parts: Integers, packing: Packing, pairs: Pairs) -> None:
    """Sort some parts and unpack their fields."""
    for number in parts:
        where = slice(bounds[number], bounds[number + 1])
        part = keys[where]
        part.sort()
        left, right = pairs.left[where].view(np.uint64), pairs.right[where].view(np.uint64)
        np.right_shift(part, np.uint64(packing.left_shift), out=left)
        left += np.uint64(packing.first_row)
        _field(part, packing.right_shift, packing, right)
        pairs.distances[where] = _field(part, packing.distance_shift, packing)


def _field(
    keys: Words, shift: int, packing: Packing, out: Words | None = None
) -> npt.NDArray[np.uint64]:
    """Extract the bits from `shift` to the next field."""
    shifts = (packing.right_shift, packing.distance_shift, packing.left_shift)
    end = min(other for other in shifts if other > shift)
    field: Words = np.right_shift(keys, np.uint64(shift), out=out)
    field &= np.uint64((1 << (end - shift)) - 1)
    return field
