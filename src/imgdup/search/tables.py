"""Make tables that hold the rows of hashes in buckets, by the value of a band, in several threads.

A table also holds the words that are compared first. The other words are read from the hashes
themselves, and only if the first words are near. Each thread counts values, places rows and copies
words for a piece of the rows; a counting sort keeps the order of the rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from imgdup.native.join import LANES, Rows, Table, copy_columns, count_values, place_rows
from imgdup.search.hamming import Hashes, Integers

PIECE = 1 << 16  # smallest number of rows in a piece

# Makes calls in threads, and returns their results in order.
CallAll: TypeAlias = Callable[[Sequence[Callable[[], Any]]], list[Any]]


@dataclass(frozen=True)
class TablePlan:
    """The content of a table.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        All hashes.
    rows : range
        The rows of the table.
    bits : ndarray of int64, shape (width,)
        The bits of the band, ascending.
    first : ndarray of int64, shape (n_first,)
        The words that are compared first.
    """

    hashes: Hashes
    rows: range
    bits: Integers
    first: Integers


def table_bytes(n_rows: int, width: int, n_first: int) -> int:
    """Return the memory that a table needs while it is made."""
    return n_rows * (8 * n_first + 8) + (8 << width)


def make_tables(plans: Sequence[TablePlan], call_all: CallAll, threads: int) -> list[Table]:
    """Make several tables at once.

    Parameters
    ----------
    plans : sequence of TablePlan
        The content of each table.
    call_all : callable
        Makes calls in threads.
    threads : int
        The number of threads.

    Returns
    -------
    list of Table
        One table per plan.
    """
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
        columns = np.empty((len(plan.first), n + LANES), np.uint64)
        columns[:, n:] = 0
        starts = np.zeros(n_buckets + 1, np.uint32)
        self.table = Table(plan.hashes, columns, np.empty(n, np.uint32), starts)

    def counting(self) -> list[Callable[[], None]]:
        """List the calls that compute the value of each row."""
        hashes = self._plan.hashes[self._plan.rows.start : self._plan.rows.stop]
        pieces = ((hashes[_slice(p)], self._values[_slice(p)]) for p in self._pieces)
        return [
            partial(count_values, part, self._plan.bits, values, counts)
            for (part, values), counts in zip(pieces, self._counts, strict=True)
        ]

    def placing(self) -> list[Callable[[], None]]:
        """List the calls that sort the rows by value."""
        np.cumsum(self._counts.sum(axis=0), out=self.table.starts[1:], dtype=np.uint32)
        places = _places(self._counts, self.table.starts[:-1])
        first_row = self._plan.rows.start
        return [
            partial(place_rows, self._values[_slice(p)], first_row + p.start, own, self.table.rows)
            for p, own in zip(self._pieces, places, strict=True)
        ]

    def copying(self) -> list[Callable[[], None]]:
        """List the calls that copy the words to compare first."""
        del self._values, self._counts
        return [partial(copy_columns, self.table, self._plan.first, p) for p in self._pieces]


def _places(counts: Rows, starts: Rows) -> Rows:
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
