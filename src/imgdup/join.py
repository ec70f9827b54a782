"""Two sets of hashes and a distance in; blocks of sorted pairs out, in bounded memory.

Work is cut by left rows: a block takes as many as should give as many pairs as its buffer holds,
and is tried again with fewer where there were more. A block runs band by band: a table of buckets
for either side, then the compiled join, whose rows are dealt out to threads by a shared counter.
Which thread found a pair does not matter: blocks are sorted at the end.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup import _kernels, packed
from imgdup._kernels import FIRST_COUNTER, LANES, RUN, STOP, USED, Output, Packing, Rule, Table
from imgdup.bands import Band, Effort, Layout, choose, masks, upper_share
from imgdup.classes import Pairs
from imgdup.costs import Task
from imgdup.hamming import WORD_BITS, Hashes
from imgdup.packed import Run

BLOCK_PAIRS = 1 << 24  # in one block: 8 bytes a pair while it runs, 26 more when it is sorted
FILL = 0.75  # of a block, by what the blocks before it gave
TABLE_BYTES = 1 << 30  # tables that exist at a time
PROGRESS_S = 0.1  # between two looks at the counters


class Side(NamedTuple):
    """Rows ``first..last`` of some hashes."""

    hashes: Hashes
    first: int
    last: int

    @property
    def n_rows(self) -> int:
        """How many rows these are."""
        return self.last - self.first


@dataclass
class Job:
    """What all blocks share: the hashes, how they are joined, the threads and the buffer."""

    left: Hashes
    right: Hashes
    task: Task
    layout: Layout
    effort: Effort
    pool: ThreadPoolExecutor
    threads: int
    nearest_first: bool
    out: npt.NDArray[np.uint64]
    n_done: int = 0  # comparisons of a scan that the blocks so far stand for


def iter_blocks(
    left: Hashes,
    right: Hashes | None,
    max_distance: int,
    *,
    threads: int,
    effort: Effort,
    nearest_first: bool = False,
) -> Iterator[Pairs]:
    """Find all pairs within a distance; arguments are trusted.

    Parameters
    ----------
    left : ndarray of uint64, shape (n_left, words)
        The hashes.
    right : ndarray of uint64, shape (n_right, words) or None
        What they are compared with; None: with each other, each pair once.
    max_distance : int
        Largest accepted distance, in bits, inclusive.
    threads : int
        How many threads compare.
    effort : Effort
        Told what is done. If it has a layout, this is used, else one is chosen and put there.
    nearest_first : bool
        Sort the pairs of a left row by distance, then by right row; else by right row.

    Yields
    ------
    Pairs
        Ascending and disjoint in `left`, each sorted, none empty.
    """
    if effort.layout is None:
        effort.layout = choose(left, right, max_distance)
    left = _for_kernels(left)
    others = left if right is None else _for_kernels(right)
    task = Task(len(left), len(others), left.shape[1], max_distance, right is None)
    with ThreadPoolExecutor(threads) as pool:
        out = np.empty(_n_slots(task, effort.layout, threads), np.uint64)
        job = Job(left, others, task, effort.layout, effort, pool, threads, nearest_first, out)
        yield from _blocks(job)


def _for_kernels(hashes: Hashes) -> Hashes:
    """Copy what a kernel would have to be compiled for once more, such as a mapped array."""
    return np.require(hashes, requirements=["C", "A", "W"])


def _capacity(task: Task) -> int:
    """How many pairs a block holds; at least those of one row."""
    return min(max(BLOCK_PAIRS, task.n_right), task.n_pairs)


def _n_slots(task: Task, layout: Layout, threads: int) -> int:
    """Count slots for a block's pairs, and for the reserved ones that a call leaves unused."""
    return _capacity(task) + RUN * threads * 2 * len(layout.bands)


def _blocks(job: Job) -> Iterator[Pairs]:
    start, share = 0, job.layout.pair_share
    while start < job.task.n_left:
        stop = start + _n_rows(job, start, share)
        n_scanned = _n_scanned(job.task, start, stop)
        block = _block(job, start, stop)
        if block is None:
            share = min(1.0, 2 * max(share, _capacity(job.task) / n_scanned))
            continue
        job.n_done += n_scanned
        share = upper_share(len(block.left), n_scanned)
        start = stop
        if len(block.left):
            yield block


def _n_rows(job: Job, start: int, share: float) -> int:
    """How many rows from `start` on should fill a block, if `share` of their pairs are near."""
    task, n_rest = job.task, job.task.n_left - start
    n_rows = float(n_rest)
    if _n_scanned(task, start, task.n_left) > _capacity(task):
        n_wanted = FILL * _capacity(task) / share
        if task.is_self:
            n_rows -= math.sqrt(max(0.0, n_rest**2 - 2 * n_wanted))
        else:
            n_rows = min(n_rows, n_wanted / task.n_right)
    return max(1, min(int(n_rows), packed.max_rows(_packing(job, start))))


def _n_scanned(task: Task, start: int, stop: int) -> int:
    """How many comparisons of a scan some left rows stand for."""
    n_rows = stop - start
    if not task.is_self:
        return n_rows * task.n_right
    return n_rows * (n_rows - 1) // 2 + n_rows * (task.n_right - stop)


def _packing(job: Job, start: int) -> Packing:
    task = job.task
    return packed.packing(start, task.n_right, task.max_distance, nearest_first=job.nearest_first)


def _block(job: Job, start: int, stop: int) -> Pairs | None:
    """Find the pairs of some left rows; None if they are more than a block holds."""
    block = Side(job.left, start, stop)
    rest = Side(job.right, stop if job.task.is_self else 0, job.task.n_right)
    control = np.zeros(FIRST_COUNTER + 2 * len(job.layout.bands), np.int64)
    run = partial(_run, job, control, _n_scanned(job.task, start, stop), block.n_rows)
    packing = _packing(job, start)
    output = Output(packing, control, job.out)
    for numbers in _groups(job.layout, block.n_rows + rest.n_rows, job.task.words):
        job.effort.n_compared += _join_bands(job, numbers, block, rest, output, run)
        if control[STOP]:
            return None
    found = packed.sort(job.out[: control[USED]], packing, block.n_rows, run, job.threads)
    return found if len(found.left) <= _capacity(job.task) else None


def _groups(layout: Layout, n_rows: int, words: int) -> list[range]:
    """Numbers of the bands whose tables exist at a time."""
    widest = max(len(band.bits) for band in layout.bands)
    n_bytes = n_rows * (8 * words + 8) + 8 * 2**widest
    n_bands, at_a_time = len(layout.bands), max(1, TABLE_BYTES // n_bytes)
    return [range(n, min(n + at_a_time, n_bands)) for n in range(0, n_bands, at_a_time)]


def _join_bands(
    job: Job,
    numbers: range,
    block: Side,
    rest: Side,
    output: Output,
    run: Run,
) -> int:
    """Make the tables of some bands, join them, and count what was compared."""
    bands = [job.layout.bands[number] for number in numbers]
    tables = run([partial(_table, side, band) for band in bands for side in (block, rest)])
    calls = []
    for i, number in enumerate(numbers):
        left, right = tables[2 * i], tables[2 * i + 1]
        rule, counter = _rule(job, number), FIRST_COUNTER + 2 * number
        inside = rule._replace(is_self=True)
        joins = [(right, rule, rest.n_rows > 0), (left, inside, job.task.is_self)]
        for k, (others, what, is_due) in enumerate(joins):
            call = partial(_kernels.join, left, others, what, output, counter + k)
            calls += [call] * job.threads if is_due else []
            output.control[counter + k] = 0 if is_due else block.n_rows
    return sum(run(calls))


def _filters(band: Band, task: Task) -> tuple[int, ...]:
    """Choose the words to compare first: other bits than the band's tell more."""
    counts = np.bincount(band.bits // WORD_BITS, minlength=task.words)
    return tuple(np.argsort(counts, kind="stable")[: task.n_filters].tolist())


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


def _rule(job: Job, number: int) -> Rule:
    """Say what a pair of this band is, where the tables differ."""
    bands = job.layout.bands
    earlier = np.zeros((number, job.task.words), np.uint64)
    for k, band in enumerate(bands[:number]):
        for bit in band.bits.tolist():
            earlier[k, bit // WORD_BITS] |= np.uint64(1 << bit % WORD_BITS)
    return Rule(
        _filters(bands[number], job.task),
        masks(len(bands[number].bits), bands[number].radius),
        earlier,
        np.array([band.radius for band in bands[:number]], np.uint64),
        job.task.max_distance,
        False,
    )


def _run(
    job: Job,
    control: npt.NDArray[np.int64],
    n_scanned: int,
    n_rows: int,
    calls: Sequence[Callable[[], Any]],
) -> list[Any]:
    """Make calls in threads and tell how far they are; stop them all when one fails."""
    try:
        futures = [job.pool.submit(call) for call in calls]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, PROGRESS_S, FIRST_EXCEPTION)
            _tell(job, control, n_scanned, n_rows)
            if any(future.exception() for future in done):
                break
        return [future.result() for future in futures]
    except BaseException:  # also a keyboard interrupt: threads must not go on for minutes
        control[STOP] = 1
        raise


def _tell(job: Job, control: npt.NDArray[np.int64], n_scanned: int, n_rows: int) -> None:
    """Tell which share of the comparisons of a scan has been decided."""
    if job.effort.on_progress is None:
        return
    counters = np.minimum(control[FIRST_COUNTER:], n_rows)
    share = float(counters.mean()) / n_rows
    job.effort.on_progress((job.n_done + share * n_scanned) / job.task.n_pairs)
