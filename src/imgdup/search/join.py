"""Find all pairs of hashes within a distance: sorted blocks, in bounded memory.

The left rows are divided into blocks. A block has as many rows as should give as many pairs as
there are slots; if it gives more, it is repeated with fewer rows. A block is joined band by band:
first a table of buckets for each side, then the compiled join. Threads take rows from a shared
counter. It does not matter which thread finds a pair, because blocks are sorted at the end.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from imgdup.native.join import FIRST_COUNTER, RUN, STOP, USED, Join, Output, Table, Words
from imgdup.search import (
    Chosen,
    Hashes,
    Integers,
    check_max_distance,
    checked_sides,
    checked_threads,
)
from imgdup.search.bands import (
    NEAR_PAIRS,
    SMALL,
    Layout,
    NearPairs,
    as_bits,
    choose_layout,
    evenly,
    n_near_sample,
    scan_layout,
    upper_share,
)
from imgdup.search.equal import Pairs
from imgdup.search.planner import BLOCK_PAIRS, FILL, Workload
from imgdup.search.sorting import (
    CallAll,
    SortedPairs,
    TablePlan,
    make_tables,
    max_rows,
    packing,
    table_bytes,
)

TABLE_BYTES = 1 << 28  # of the tables that exist at a time, if there are several
PROGRESS_S = 0.1  # between two progress reports


@dataclass
class JoinStats:
    """Progress and statistics of a join, updated while it runs."""

    # Called regularly in the caller's thread with the share that is done, from 0 to 1.
    on_progress: Callable[[float], None] | None = None
    layout: Layout | None = None  # the bands in use, once they are chosen
    n_compared: int = 0  # pairs of hashes compared so far, in all bands
    # How many bands may have their tables in memory at the same time; by default as many as need a
    # quarter of a gigabyte.
    bands_at_a_time: int | None = None


@dataclass(frozen=True)
class JoinPlan:
    """What all blocks have in common: the hashes, the layout, the threads and the slots."""

    left: Chosen
    right: Chosen
    work: Workload
    layout: Layout
    stats: JoinStats
    pool: ThreadPoolExecutor
    threads: int
    slots: Words


class RowBlock(NamedTuple):
    """Left rows ``start..stop``; `control` counts how many of them are done."""

    start: int
    stop: int
    n_before: int  # comparisons that a scan makes for earlier rows
    n_scanned: int  # comparisons that a scan makes for these rows
    control: Integers


def iter_blocks(
    left: Chosen, right: Chosen | None, max_distance: int, *, threads: int, stats: JoinStats
) -> Iterator[Pairs]:
    """Find all pairs as `iter_pairs` does; arguments are not checked.

    Without `right`, the hashes are compared with each other. If `stats` has no layout, one is
    chosen and stored there.
    """
    if stats.layout is None:
        stats.layout = measured_layout(left, right, max_distance)
    left = _readable(left)
    others = left if right is None else _readable(right)
    work = Workload(len(left), len(others), left.words, max_distance, right is None)
    slots = np.empty(_n_slots(work, stats.layout, threads), np.uint64)
    with ThreadPoolExecutor(threads) as pool:
        yield from _blocks(JoinPlan(left, others, work, stats.layout, stats, pool, threads, slots))


def measured_layout(left: Chosen, right: Chosen | None, max_distance: int) -> Layout:
    """Choose the bands as `choose_layout` does, by the near pairs among many of the hashes."""
    others = left if right is None else right
    work = Workload(len(left), len(others), left.words, max_distance, right is None)
    if work.n_pairs <= SMALL:
        return choose_layout(left, right, max_distance)
    n = n_near_sample(left, others, work)
    one, two = evenly(left, n), evenly(others, n)
    part = work._replace(n_left=len(one), n_right=len(two))
    stats = JoinStats(layout=scan_layout(part, NEAR_PAIRS / part.n_pairs))
    sides = Chosen(one), None if right is None else Chosen(two)
    blocks = list(iter_blocks(*sides, max_distance, threads=1, stats=stats))
    differing = [one[block.left] ^ two[block.right] for block in blocks]
    near = as_bits(np.concatenate([np.zeros((0, left.words), np.uint64), *differing]))
    return choose_layout(left, right, max_distance, NearPairs(near, part.n_pairs))


def _readable(chosen: Chosen) -> Chosen:
    """Copy hashes that compiled code cannot read where they are."""
    return Chosen(np.require(chosen.hashes, requirements=["C", "A"]), chosen.numbers)


def _capacity(work: Workload) -> int:
    """Return how many pairs a block holds: at least those of one row."""
    return min(max(BLOCK_PAIRS, work.n_right), work.n_pairs)


def _n_slots(work: Workload, layout: Layout, threads: int) -> int:
    """Return the number of slots: for the pairs of a block, and reserved ones that stay unused."""
    return _capacity(work) + RUN * threads * 2 * len(layout.bands)


def _blocks(plan: JoinPlan) -> Iterator[Pairs]:
    """Join the left rows block by block, and yield their pairs."""
    work, start, n_done, share = plan.work, 0, 0, plan.layout.pair_share
    while start < work.n_left:
        stop = start + _n_rows(plan, start, share)
        n_scanned = work.n_scanned(start, stop)
        control = np.zeros(FIRST_COUNTER + 2 * len(plan.layout.bands), np.int64)
        block = RowBlock(start, stop, n_done, n_scanned, control)
        found = _joined(plan, block)
        if found is None:
            if stop - start == 1:
                raise RuntimeError(f"row {start} has more pairs than there are rows")
            share = min(1.0, 2 * max(share, _capacity(work) / n_scanned))
            continue
        yield from found
        share = upper_share(len(found), n_scanned)
        start, n_done = stop, n_done + n_scanned


def _n_rows(plan: JoinPlan, start: int, share: float) -> int:
    """Return how many rows from `start` on should fill a block, if `share` of the pairs match."""
    work, n_rest = plan.work, plan.work.n_left - start
    n_rows = float(n_rest)
    if work.n_scanned(start, work.n_left) > _capacity(work):
        n_wanted = FILL * _capacity(work) / share
        if work.is_self:
            n_rows -= math.sqrt(max(0.0, n_rest**2 - 2 * n_wanted))
        else:
            n_rows = min(n_rows, n_wanted / work.n_right)
    return max(1, min(int(n_rows), max_rows(packing(start, work.n_right, work.max_distance))))


def _joined(plan: JoinPlan, block: RowBlock) -> SortedPairs | None:
    """Find the pairs of some left rows; None if a block cannot hold them."""
    call_all = partial(_call_all, plan, block)
    how = packing(block.start, plan.work.n_right, plan.work.max_distance)
    output = Output(how, block.control, plan.slots)
    for numbers in _band_groups(plan, block):
        plan.stats.n_compared += _join_bands(plan, block, numbers, output, call_all)
        if block.control[STOP]:
            return None
    used = plan.slots[: block.control[USED]]
    n_rows = block.stop - block.start
    found = SortedPairs(used, output.packing, n_rows, call_all, plan.threads)
    return found if len(found) <= _capacity(plan.work) else None


def _band_groups(plan: JoinPlan, block: RowBlock) -> list[range]:
    """Group the bands, by number, whose tables exist at the same time."""
    n_rows = block.stop - block.start + len(_others(plan, block))
    widest = max(len(band.bits) for band in plan.layout.bands)
    n_bytes = table_bytes(n_rows, widest, plan.work.n_first)
    n_bands = len(plan.layout.bands)
    at_a_time = plan.stats.bands_at_a_time or max(1, TABLE_BYTES // n_bytes)
    return [range(n, min(n + at_a_time, n_bands)) for n in range(0, n_bands, at_a_time)]


def _others(plan: JoinPlan, block: RowBlock) -> range:
    """Return the right rows to compare a block with, apart from the block itself."""
    return range(block.stop if plan.work.is_self else 0, plan.work.n_right)


def _join_bands(
    plan: JoinPlan, block: RowBlock, numbers: range, output: Output, call_all: CallAll
) -> int:
    """Make the tables of some bands, join them, and count the comparisons."""
    sides = ((plan.left, range(block.start, block.stop)), (plan.right, _others(plan, block)))
    bands = [plan.layout.bands[number] for number in numbers]
    tables = make_tables(
        [
            TablePlan(hashes, rows, band.bits, plan.work.n_first)
            for band in bands
            for hashes, rows in sides
        ],
        call_all,
        plan.threads,
    )
    calls: list[Callable[[], int]] = []
    for k, number in enumerate(numbers):
        calls += _band_joins(plan, number, tables[2 * k : 2 * k + 2], output) * plan.threads
    return sum(call_all(calls))


def _band_joins(plan: JoinPlan, number: int, tables: list[Table], output: Output) -> list[Join]:
    """List the joins of one band, with the others and with itself; every thread makes them.

    Counters of joins with nothing to do are set to the end.
    """
    block, others = tables
    rule = plan.layout.rule(number, plan.work.words, plan.work.max_distance)
    counter = FIRST_COUNTER + 2 * number
    output.control[counter : counter + 2] = len(block.rows)
    joins = []
    if len(others.rows):
        joins.append(Join(block, others, rule, output, counter))
        output.control[counter] = 0
    if plan.work.is_self:
        joins.append(Join(block, block, rule, output, counter + 1))
        output.control[counter + 1] = 0
    return joins


def _call_all(plan: JoinPlan, block: RowBlock, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls in threads and report progress; stop all of them if one fails."""
    waiting: list[Callable[[], Any] | None] = [*calls]
    try:
        futures = [plan.pool.submit(_take_and_call, waiting, i) for i in range(len(waiting))]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, PROGRESS_S, FIRST_EXCEPTION)
            _report_progress(plan, block)
            if any(future.exception() for future in done):
                break
        return [future.result() for future in futures]
    except BaseException:  # also on Ctrl-C: threads must not continue for minutes
        block.control[STOP] = 1
        raise


def _take_and_call(waiting: list[Callable[[], Any] | None], number: int) -> Any:
    """Make a call and let go of it: a pool keeps what it ran, and so the tables, for a moment."""
    call, waiting[number] = waiting[number], None
    return call() if call else None


def _report_progress(plan: JoinPlan, block: RowBlock) -> None:
    """Report the share of the comparisons of a scan that is done."""
    if plan.stats.on_progress is not None:
        n_rows = block.stop - block.start
        share = float(np.minimum(block.control[FIRST_COUNTER:], n_rows).mean()) / n_rows
        plan.stats.on_progress((block.n_before + share * block.n_scanned) / plan.work.n_pairs)


def iter_pairs(
    distinct: Hashes | Chosen,
    max_distance: int,
    *,
    other: Hashes | Chosen | None = None,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, block by block, in bounded memory.

    The search is exact. In addition to the hashes it needs the larger of 24 bytes per hash (of 256
    bits at 31; 16 bytes for 64 bits) and a quarter of a gigabyte, and 8 bytes per pair for at most
    2**24 pairs (or the pairs of one row, if these are more).

    Parameters
    ----------
    distinct : ndarray of uint64, shape (n, words), or Chosen
        The hashes. Equal hashes are allowed, but each pair of them counts; use `group_equal` first.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**; ``64 * words`` accepts all.
    other : ndarray of uint64, shape (n_other, words), or Chosen, optional
        The hashes to compare with; by default `distinct` is compared with itself.
    threads : int, optional
        By default one per usable core. The pairs are the same for any number.
    stats : JoinStats, optional
        Updated while the join runs. If it has a layout, that is used.

    Yields
    ------
    Pairs
        Blocks sorted by left row, then right row, none of them empty; their concatenation is
        sorted too.

    Raises
    ------
    ValueError
        If an array is not 2-D uint64, the widths differ, `max_distance` lies outside
        ``0..64 * words`` or `threads` is less than 1.

    Notes
    -----
    On two cores, a million hashes of 256 bits at 31 take 1 s, ten million 35 s.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
    >>> list(iter_pairs(hashes, 2))  # doctest: +NORMALIZE_WHITESPACE
    [Pairs(left=array([0, 1]), right=array([1, 2]), distances=array([1, 2], dtype=uint16))]
    """
    left, right = checked_sides(distinct, other)
    max_distance, threads = check_max_distance(max_distance, left.words), checked_threads(threads)
    if not len(left) * (len(left) - 1 if right is None else len(right)):
        return iter(())
    return iter_blocks(left, right, max_distance, threads=threads, stats=stats or JoinStats())
