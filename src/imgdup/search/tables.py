"""The rows of a block, what they are compared with, and bands in; calls of the compiled join out.

Each band sorts both sides into a table of buckets. The calls for a band are the same for every
thread: they take rows from a shared counter until there are no more.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from imgdup.search import kernels as _kernels
from imgdup.search.bands import Band, Layout, masks
from imgdup.search.costs import Task
from imgdup.search.hamming import WORD_BITS, Hashes
from imgdup.search.kernels import FIRST_COUNTER, LANES, Output, Rule, Table

TABLE_BYTES = 1 << 30  # tables that exist at a time


class Side(NamedTuple):
    """Rows ``first..last`` of some hashes."""

    hashes: Hashes
    first: int
    last: int

    @property
    def n_rows(self) -> int:
        """How many rows these are."""
        return self.last - self.first


class Sides(NamedTuple):
    """A block of rows and what they are compared with: `others`, and themselves if `is_self`."""

    block: Side
    others: Side
    is_self: bool


def groups(layout: Layout, sides: Sides) -> list[range]:
    """Group the bands whose tables may exist at a time, by their numbers."""
    n_rows, words = sides.block.n_rows + sides.others.n_rows, sides.block.hashes.shape[1]
    widest = max(len(band.bits) for band in layout.bands)
    n_bytes = n_rows * (8 * words + 8) + 8 * 2**widest
    n_bands, at_a_time = len(layout.bands), max(1, TABLE_BYTES // n_bytes)
    return [range(n, min(n + at_a_time, n_bands)) for n in range(0, n_bands, at_a_time)]


def makers(bands: tuple[Band, ...], sides: Sides) -> list[Callable[[], Table]]:
    """List the calls that make the tables of some bands: the block's, then the others'."""
    return [partial(_table, side, band) for band in bands for side in (sides.block, sides.others)]


def joiners(
    layout: Layout, task: Task, number: int, tables: list[Table], output: Output
) -> list[Callable[[], int]]:
    """List the calls that join one band, one of each kind; every thread makes them all.

    Parameters
    ----------
    layout : Layout
        All bands.
    task : Task
        How hashes are compared.
    number : int
        Which band.
    tables : list of Table
        Its tables: the block's and the others'.
    output : Output
        Where pairs go. The counters of joins that there is nothing to do for are set to the end.

    Returns
    -------
    list of callable
        Each returns how many pairs of hashes its thread compared.
    """
    block, others = tables
    rule, counter = _rule(layout, task, number), FIRST_COUNTER + 2 * number
    output.control[counter : counter + 2] = len(block.rows)
    calls: list[Callable[[], int]] = []
    if len(others.rows):
        calls.append(partial(_kernels.join, block, others, rule, output, counter))
        output.control[counter] = 0
    if task.is_self:
        inside = rule._replace(is_self=True)
        calls.append(partial(_kernels.join, block, block, inside, output, counter + 1))
        output.control[counter + 1] = 0
    return calls


def _table(side: Side, band: Band) -> Table:
    hashes = side.hashes[side.first : side.last]
    table = Table(
        np.empty((hashes.shape[1], len(hashes) + LANES), np.uint64),
        np.empty(len(hashes), np.uint32),
        np.empty(2 ** len(band.bits) + 1, np.uint32),
    )
    values = np.empty(len(hashes), np.uint32)
    _kernels.band_values(hashes, band.bits, values)
    _kernels.fill_table(hashes, side.first, values, table)
    return table


def _rule(layout: Layout, task: Task, number: int) -> Rule:
    """Say what a pair of this band is, where the tables differ."""
    band, before = layout.bands[number], layout.bands[:number]
    earlier = np.zeros((number, task.words), np.uint64)
    for k, other in enumerate(before):
        for bit in other.bits.tolist():
            earlier[k, bit // WORD_BITS] |= np.uint64(1 << bit % WORD_BITS)
    return Rule(
        _filters(band, task),
        tuple(range(task.words)),
        masks(len(band.bits), band.radius),
        earlier,
        np.array([other.radius for other in before], np.uint64),
        task.max_distance,
        False,
    )


def _filters(band: Band, task: Task) -> tuple[int, ...]:
    """Choose the words to compare first: other bits than the band's tell more."""
    counts = np.bincount(band.bits // WORD_BITS, minlength=task.words)
    return tuple(np.argsort(counts, kind="stable")[: task.n_filters].tolist())
