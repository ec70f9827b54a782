"""Sort rows into tables by the value of a band, and sort the pairs of rows that a join finds.

A table holds the rows of hashes in buckets, one bucket per value of the band, and columns of mixed
words that are compared first. The words themselves are read from the hashes, and only if the
columns are near. Each thread counts values, places rows and fills columns for a piece of the rows.
A counting sort keeps the order of the rows.

A join packs each pair in 64 bits: the left row (counted from the first of its block) in the highest
bits, then the right row, then the distance. The highest bit of all is set only in slots that were
reserved and not used. Pairs are sorted in parts of ascending left rows, which needs little memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from imgdup.native.join import (
    LANES,
    Packing,
    SmallIntegers,
    Table,
    Words,
    copy_columns,
    count_parts,
    count_values,
    place_rows,
    scatter,
)
from imgdup.search import Chosen, Integers
from imgdup.search.equal import Pairs

PIECE = 1 << 16  # smallest number of rows in a piece
KEY_BITS = 63
PART_PAIRS = 1 << 15  # pairs to sort at a time: they fit in the cache
SORTED_PAIRS = 1 << 20  # pairs to sort and unpack at a time: 27 MB
MAX_SHARES = 32  # calls among which these are divided

# Makes calls in threads, and returns their results in order.
CallAll: TypeAlias = Callable[[Sequence[Callable[[], Any]]], list[Any]]


@dataclass(frozen=True)
class TablePlan:
    """The content of a table."""

    hashes: Chosen  # all hashes
    rows: range  # the rows of the table
    bits: Integers  # the bits of the band, ascending
    n_first: int  # the number of columns that are compared first


def table_bytes(n_rows: int, width: int, n_first: int) -> int:
    """Return the memory that a table needs while it is made."""
    return n_rows * (8 * n_first + 8) + (8 << width)


def make_tables(plans: Sequence[TablePlan], call_all: CallAll, threads: int) -> list[Table]:
    """Make several tables at once; `call_all` makes calls in threads."""
    makers = [_Maker(plan, threads if len(plans) < threads else 1) for plan in plans]
    call_all(_joined(maker.counting() for maker in makers))
    call_all(_joined(maker.placing() for maker in makers))
    call_all(_joined(maker.copying() for maker in makers))
    return [maker.table for maker in makers]


class _Maker:
    """A table that is being made: three rounds of calls, each with one call per piece of rows."""

    def __init__(self, plan: TablePlan, threads: int) -> None:
        n, n_buckets = len(plan.rows), 1 << len(plan.bits)
        n_pieces = max(1, min(threads, n // max(PIECE, n_buckets)))
        self._plan = plan
        self._pieces = [range(k * n // n_pieces, (k + 1) * n // n_pieces) for k in range(n_pieces)]
        self._values = np.empty(n, np.uint32)
        self._counts = np.zeros((n_pieces, n_buckets), np.uint32)
        columns = np.empty((plan.n_first, n + LANES), np.uint64)
        columns[:, n:] = 0
        starts = np.zeros(n_buckets + 1, np.uint32)
        rows = np.empty(n, np.uint32)
        self.table = Table(plan.hashes.hashes, columns, rows, starts, plan.hashes.numbers)

    def counting(self) -> list[Callable[[], None]]:
        """List the calls that compute the value of each row."""
        chosen = self._plan.hashes.part(self._plan.rows.start, self._plan.rows.stop)
        pieces = ((chosen.part(p.start, p.stop), self._values[_slice(p)]) for p in self._pieces)
        return [
            partial(count_values, part.hashes, self._plan.bits, values, counts, chosen=part.numbers)
            for (part, values), counts in zip(pieces, self._counts, strict=True)
        ]

    def placing(self) -> list[Callable[[], None]]:
        """List the calls that sort the rows by value."""
        np.cumsum(self._counts.sum(axis=0), out=self.table.starts[1:], dtype=np.uint32)
        places = _row_places(self._counts, self.table.starts[:-1])
        first_row = self._plan.rows.start
        return [
            partial(place_rows, self._values[_slice(p)], first_row + p.start, own, self.table.rows)
            for p, own in zip(self._pieces, places, strict=True)
        ]

    def copying(self) -> list[Callable[[], None]]:
        """List the calls that fill the columns to compare first."""
        del self._values, self._counts
        return [partial(copy_columns, self.table, p) for p in self._pieces]


def _row_places(counts: SmallIntegers, starts: SmallIntegers) -> SmallIntegers:
    """Compute where each piece writes its first row of each value: (n_pieces, n_buckets)."""
    places = np.empty_like(counts)
    places[0] = starts
    np.cumsum(counts[:-1], axis=0, out=places[1:], dtype=np.uint32)
    places[1:] += starts
    return places


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def _joined(lists: Iterable[list[Callable[[], None]]]) -> list[Callable[[], None]]:
    return [each for some in lists for each in some]


def packing(first_row: int, n_right: int, max_distance: int) -> Packing:
    """Choose the layout of a packed pair for the compiled join and `SortedPairs`."""
    row_bits, distance_bits = max(1, (n_right - 1).bit_length()), max(1, max_distance.bit_length())
    return Packing(first_row, row_bits + distance_bits, distance_bits)


def max_rows(packing: Packing) -> int:
    """Return the largest number of left rows of a block."""
    return 1 << min(32, KEY_BITS - packing.left_shift)


class SortedPairs:
    """Packed pairs, counted by parts of ascending left rows; iteration yields them sorted.

    There may be free slots between the pairs. `call_all` makes calls in threads.
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
        places, bounds = _pair_places(counts)
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


def _pair_places(counts: Integers) -> tuple[Integers, Integers]:
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
        np.right_shift(part, np.uint64(packing.right_shift), out=right)
        right &= np.uint64((1 << (packing.left_shift - packing.right_shift)) - 1)
        pairs.distances[where] = part & np.uint64((1 << packing.right_shift) - 1)
