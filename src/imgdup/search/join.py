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

from imgdup.search import packed
from imgdup.search.bands import JoinStats, Layout, choose, upper_share
from imgdup.search.costs import Task
from imgdup.search.equal import Pairs
from imgdup.search.hamming import Hashes
from imgdup.search.kernels import FIRST_COUNTER, RUN, STOP, USED, Output, Packing
from imgdup.search.packed import Parts, Run
from imgdup.search.tables import Side, Sides, groups, joiners, makers

BLOCK_PAIRS = 1 << 26  # in one block: 8 bytes a pair while it runs, 16 when it is sorted
FILL = 0.75  # of a block, by what the block before it gave
PROGRESS_S = 0.1  # between two looks at the counters


@dataclass
class Job:
    """What all blocks share: the hashes, how they are joined, the threads and the slots."""

    left: Hashes
    right: Hashes
    task: Task
    layout: Layout
    effort: JoinStats
    pool: ThreadPoolExecutor
    threads: int
    nearest_first: bool
    slots: npt.NDArray[np.uint64]


class Stretch(NamedTuple):
    """Left rows ``start..stop`` and how far they are: `control` counts what is done of them."""

    start: int
    stop: int
    n_before: int  # comparisons of a scan that earlier rows stand for
    n_scanned: int  # and these
    control: npt.NDArray[np.int64]


def iter_blocks(
    left: Hashes,
    right: Hashes | None,
    max_distance: int,
    *,
    threads: int,
    effort: JoinStats,
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
    effort : JoinStats
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
    slots = np.empty(_n_slots(task, effort.layout, threads), np.uint64)
    with ThreadPoolExecutor(threads) as pool:
        yield from _blocks(
            Job(left, others, task, effort.layout, effort, pool, threads, nearest_first, slots)
        )


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
    """Join some left rows after the others, and hand out their pairs."""
    task, start, n_done, share = job.task, 0, 0, job.layout.pair_share
    while start < task.n_left:
        stop = start + _n_rows(job, start, share)
        n_scanned = _n_scanned(task, start, stop)
        control = np.zeros(FIRST_COUNTER + 2 * len(job.layout.bands), np.int64)
        stretch = Stretch(start, stop, n_done, n_scanned, control)
        run = partial(_run, job, stretch)
        found = _joined(job, stretch, run)
        if found is None:
            if stop - start == 1:
                raise RuntimeError(f"row {start} has more pairs than there are rows")
            share = min(1.0, 2 * max(share, _capacity(task) / n_scanned))
            continue
        yield from packed.unpack(found, run)
        share = upper_share(len(found.keys), n_scanned)
        start, n_done = stop, n_done + n_scanned


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


def _joined(job: Job, stretch: Stretch, run: Run) -> Parts | None:
    """Find the pairs of some left rows; None if they are more than a block holds."""
    task, layout = job.task, job.layout
    block = Side(job.left, stretch.start, stretch.stop)
    others = Side(job.right, stretch.stop if task.is_self else 0, task.n_right)
    sides = Sides(block, others, task.is_self)
    output = Output(_packing(job, stretch.start), stretch.control, job.slots)
    for numbers in groups(layout, sides):
        job.effort.n_compared += _compare(job, numbers, sides, output, run)
        if stretch.control[STOP]:
            return None
    used = job.slots[: stretch.control[USED]]
    found = packed.part(used, output.packing, block.n_rows, run, job.threads)
    return found if len(found.keys) <= _capacity(task) else None


def _compare(job: Job, numbers: range, sides: Sides, output: Output, run: Run) -> int:
    """Make the tables of some bands, join them, and count the comparisons."""
    tables = run(makers(job.layout.bands[numbers.start : numbers.stop], sides))
    calls: list[Callable[[], int]] = []
    for k, number in enumerate(numbers):
        ours = tables[2 * k : 2 * k + 2]
        calls += joiners(job.layout, job.task, number, ours, output) * job.threads
    return sum(run(calls))


def _run(job: Job, stretch: Stretch, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls in threads and tell how far they are; stop them all when one fails."""
    try:
        futures = [job.pool.submit(call) for call in calls]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, PROGRESS_S, FIRST_EXCEPTION)
            _tell(job, stretch)
            if any(future.exception() for future in done):
                break
        return [future.result() for future in futures]
    except BaseException:  # also a keyboard interrupt: threads must not go on for minutes
        stretch.control[STOP] = 1
        raise


def _tell(job: Job, stretch: Stretch) -> None:
    """Tell which share of the comparisons of a scan has been decided."""
    if job.effort.on_progress is not None:
        n_rows = stretch.stop - stretch.start
        share = float(np.minimum(stretch.control[FIRST_COUNTER:], n_rows).mean()) / n_rows
        job.effort.on_progress((stretch.n_before + share * stretch.n_scanned) / job.task.n_pairs)
