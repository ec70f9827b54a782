"""Find the pairs of very many hashes by independent tasks, each on two shards of the hashes.

A task takes arrays and returns arrays, so any executor can run it, also on another machine. Its
answer is kept in a folder. A run that was interrupted continues there: tasks whose shards did not
change are not done again. The pairs are those of one search over all hashes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgdup.errors import ImgdupError, UsageError
from imgdup.hashing import dihedral_hashes
from imgdup.images.gray import ORIENTATIONS
from imgdup.index import store
from imgdup.query.transformed import pairs_in_orientation
from imgdup.search import Chosen, Hashes, Integers, check_max_distance, checked_sides
from imgdup.search.bands import Layout
from imgdup.search.equal import Pairs
from imgdup.search.join import JoinStats, iter_pairs, measured_layout
from imgdup.system.files import NEW_DIGEST_KIND, content_digest

KIND = "pairs of shards"
CHUNK_PAIRS = 1 << 20  # of all answers in one block of the result: 65 MB
PENDING = 2  # tasks that wait or run, for each worker
MAX_SHARDS = 250  # that a limit of memory leads to: 31,375 tasks

# Memory beside the files that are mapped: of the program, and for each hash of the numbers of its
# rows and of its place in a table. A search over all hashes has tables of several bands and the
# pairs of a block, a task the pairs that it finds. To turn hashes, they are copied and turned.
PROGRAM_BYTES, ROW_BYTES, TABLE_BYTES, TURNED_BYTES = 80_000_000, 36, 24, 64
WHOLE_BYTES, TASK_BYTES = 350_000_000, 100_000_000

Found = dict[str, Any]
"""Arrays ``left``, ``right`` and ``distances``, as in `Pairs`, numbered within the two shards."""
STORED: dict[str, type[np.unsignedinteger[Any]]] = {
    "left": np.uint32,
    "right": np.uint32,
    "distances": np.uint16,
}


@dataclass(frozen=True)
class Sharding:
    """How a search is divided."""

    n_shards: int  # of each side
    folder: Path  # where the answers of the tasks are kept; it must exist
    executor: Executor  # runs the tasks
    workers: int = 1  # how many tasks the executor runs at a time
    threads: int = 1  # that each task uses
    # Called in the caller's thread with the number of tasks that are done, and of all tasks: in the
    # beginning, and whenever a task is done.
    on_task: Callable[[int, int], None] | None = None


class _Shard(NamedTuple):
    start: int
    hashes: Chosen
    digest: str


class _Task(NamedTuple):
    left: _Shard
    right: _Shard
    is_self: bool
    how: "_How"

    def head(self) -> dict[str, Any]:
        """Return what the answer depends on."""
        head = {
            "kind": KIND,
            "left": self.left.digest,
            "right": "" if self.is_self else self.right.digest,
            "max_distance": self.how.max_distance,
        }
        turned = self.how.orientation
        return head if turned is None else {**head, "orientation": ORIENTATIONS[turned]}

    def file(self, folder: Path) -> Path:
        turned = "" if self.how.orientation is None else f".{ORIENTATIONS[self.how.orientation]}"
        return folder / f"pairs.{self.left.start}.{self.right.start}{turned}"


class _How(NamedTuple):
    """What all tasks have in common."""

    max_distance: int
    layout: Layout
    threads: int
    orientation: int | None


def join_shards(left: Chosen, right: Chosen | None, how: _How) -> Found:
    """Find the pairs of two shards, or of one: the task of a worker.

    One band after the other, so that only the tables of one band are in memory.
    """
    stats = JoinStats(layout=how.layout, bands_at_a_time=1)
    if how.orientation is None:
        blocks = iter_pairs(left, how.max_distance, other=right, threads=how.threads, stats=stats)
    else:
        blocks = pairs_in_orientation(
            how.orientation,
            left[:],
            how.max_distance,
            other=None if right is None else right[:],
            threads=how.threads,
            stats=stats,
        )
    columns: dict[str, list[Any]] = {name: [np.zeros(0, kind)] for name, kind in STORED.items()}
    for block in blocks:
        for name, kept in columns.items():
            kept.append(getattr(block, name).astype(STORED[name]))
    return {name: np.concatenate(columns.pop(name)) for name in STORED}


def iter_sharded_pairs(
    distinct: Hashes | Chosen,
    max_distance: int,
    sharding: Sharding,
    *,
    other: Hashes | Chosen | None = None,
    orientation: int | None = None,
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, as `imgdup.search.join.iter_pairs` does.

    The hashes may be mapped from a file. With an orientation, a position in
    `imgdup.images.gray.ORIENTATIONS`, these are the pairs that are nearest in it, as by
    `imgdup.query.transformed.pairs_in_orientation`. All tasks use the same bands, which are chosen
    for two shards. In addition to its two shards, a task needs at most 24 bytes for each of their
    hashes, and 16 bytes for each of its pairs. Raises ValueError if the arguments are not as
    described, or there is less than one shard.
    """
    one, two = checked_sides(distinct, other)
    if sharding.n_shards < 1:
        raise ValueError(f"n_shards must be at least 1, got {sharding.n_shards}")
    distance = check_max_distance(max_distance, one.words)
    layout = layout_of_tasks(one, two, distance, sharding.n_shards, orientation)
    how = _How(distance, layout, sharding.threads, orientation)
    left = _shards(one, sharding.n_shards)
    right = left if two is None else _shards(two, sharding.n_shards)
    rows = [
        [
            _Task(a, b, two is None and a.start == b.start, how)
            for b in right
            if two is not None or b.start >= a.start
        ]
        for a in left
    ]
    _do(list(chain.from_iterable(rows)), sharding)
    return (block for row in rows for block in _joined(row, sharding.folder))


def shards_within(
    memory_bytes: int, n_left: int, n_right: int | None, *, orientations: bool = False
) -> int | None:
    """Return the fewest shards with which a search needs no more memory; None means no shards.

    The memory is that beside the files that are mapped. Without `n_right`, hashes are compared with
    each other. Raises UsageError if the memory is too little for any number of shards.
    """
    n = n_left + (n_right or 0)
    rows_bytes = PROGRAM_BYTES + ROW_BYTES * n
    hash_bytes = TABLE_BYTES + TURNED_BYTES * orientations
    if rows_bytes + WHOLE_BYTES + hash_bytes * n <= memory_bytes:
        return None
    tables_bytes = hash_bytes * n * (2 if n_right is None else 1)
    least = rows_bytes + TASK_BYTES + -(-tables_bytes // MAX_SHARDS)
    if memory_bytes < least:
        raise UsageError(
            f"{n:,} images cannot be compared in {memory_bytes / 1e6:,.0f} MB: "
            f"at least {least / 1e6:,.0f} MB are needed"
        )
    return max(2, -(-tables_bytes // (memory_bytes - rows_bytes - TASK_BYTES)))


def layout_of_tasks(
    left: Chosen,
    right: Chosen | None,
    max_distance: int,
    n_shards: int,
    orientation: int | None = None,
) -> Layout:
    """Choose the bands of all tasks for every k-th hash, which are as many as a shard has."""
    if right is None and n_shards == 1 and not orientation:
        return measured_layout(left, None, max_distance)
    sides = (left, 0), (left, 1) if right is None else (right, 0)
    one, two = (_every(side, first, n_shards) for side, first in sides)
    if orientation:
        two = Chosen(dihedral_hashes(two[:], [orientation])[0])
    return measured_layout(one, two, max_distance)


def _every(hashes: Chosen, first: int, step: int) -> Chosen:
    if hashes.numbers is None:
        return Chosen(hashes.hashes[first::step])
    return Chosen(hashes.hashes, hashes.numbers[first::step])


def _shards(hashes: Chosen, n_shards: int) -> list[_Shard]:
    edges = [len(hashes) * number // n_shards for number in range(n_shards + 1)]
    shards = []
    for start, stop in pairwise(edges):
        if start < stop:
            data = np.ascontiguousarray(hashes[start:stop]).data.cast("B")
            digest = content_digest(data, NEW_DIGEST_KIND)
            shards.append(_Shard(start, hashes.part(start, stop), digest.hex()))
    return shards


def _do(tasks: Sequence[_Task], sharding: Sharding) -> None:
    """Run the tasks that have no answer yet, a few at a time, and keep the answers."""
    waiting = deque(task for task in tasks if _answer(task, sharding.folder) is None)
    running: dict[Future[Found], _Task] = {}
    n_done = len(tasks) - len(waiting)
    _report(tasks, n_done, sharding)
    try:
        while waiting or running:
            while waiting and len(running) < PENDING * sharding.workers:
                task = waiting.popleft()
                right = None if task.is_self else task.right.hashes
                future = sharding.executor.submit(join_shards, task.left.hashes, right, task.how)
                running[future] = task
            n_done += _keep(running, sharding.folder)
            _report(tasks, n_done, sharding)
    finally:
        for future in running:
            future.cancel()


def _report(tasks: Sequence[_Task], n_done: int, sharding: Sharding) -> None:
    """Report how many tasks are done, in all orientations if there are several."""
    if sharding.on_task is None or not tasks:
        return
    orientation = tasks[0].how.orientation
    n_searches = 1 if orientation is None else len(ORIENTATIONS)
    sharding.on_task((orientation or 0) * len(tasks) + n_done, n_searches * len(tasks))


def _keep(running: dict[Future[Found], _Task], folder: Path) -> int:
    """Wait for a task, write the answers of those that are done, and count these."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        task = running.pop(future)
        store.save(task.file(folder), task.head(), future.result(), sync=False)
    return len(done)


def _answer(task: _Task, folder: Path) -> Found | None:
    """Return the answer of a task; None if there is none, or it is damaged or of other hashes."""
    try:
        stored = store.load(task.file(folder), verify=True)
    except (FileNotFoundError, ImgdupError):
        return None
    return stored.arrays if stored.head == task.head() else None


def _joined(tasks: Sequence[_Task], folder: Path) -> Iterator[Pairs]:
    """Yield the pairs of the tasks of one left shard, which are in the order of the right one."""
    answers = []
    for task in tasks:
        found = _answer(task, folder)
        if found is None:
            raise ImgdupError(f"{task.file(folder)} was removed or damaged: search again")
        answers.append(found)
    ends = [0] * len(tasks)
    while any(end < len(found["left"]) for end, found in zip(ends, answers, strict=True)):
        starts, row = ends, _next_row(answers, ends)
        ends = [_first_at(found["left"], row) for found in answers]
        columns = [
            (_rows(found["left"][a:b], task.left), _rows(found["right"][a:b], task.right),
             found["distances"][a:b])
            for task, found, a, b in zip(tasks, answers, starts, ends, strict=True)
        ]  # fmt: skip
        left, right, distances = map(np.concatenate, zip(*columns, strict=True))
        order = np.argsort(left, kind="stable")
        yield Pairs(left[order], right[order], distances[order])


def _rows(numbers: Integers, shard: _Shard) -> Integers:
    return numbers.astype(np.int64) + shard.start


def _first_at(numbers: Integers, row: int) -> int:
    """Return where the numbers reach a row; of another type, all of them would be copied."""
    return int(np.searchsorted(numbers, numbers.dtype.type(row)))


def _next_row(answers: Sequence[Found], starts: Sequence[int]) -> int:
    """Return the row before which the next block ends: it has at most a chunk, or one row."""
    most = max(1, CHUNK_PAIRS // len(answers))
    rest = [found["left"][start:] for found, start in zip(answers, starts, strict=True)]
    first = min(int(rows[0]) for rows in rest if len(rows))
    last = max(int(rows[-1]) for rows in rest if len(rows))
    full = [int(rows[most]) for rows in rest if len(rows) > most]
    return max(first, min([last, *(row - 1 for row in full)])) + 1
