"""Find the pairs of very many hashes by independent tasks, each on two shards of the hashes.

A task takes arrays and returns arrays, so any executor can run it, also on another machine. Its
answer is kept in a folder. A run that was interrupted continues there: tasks whose shards did not
change are not done again. The pairs are those of one search over all hashes.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgdup.errors import ImgdupError
from imgdup.index import store
from imgdup.search.equal import Pairs
from imgdup.search.hamming import Hashes, check_hashes, check_max_distance
from imgdup.search.join import iter_pairs
from imgdup.system.files import NEW_DIGEST_KIND, content_digest

KIND = "pairs of shards"
CHUNK_PAIRS = 1 << 22  # of one answer in one block of the result
PENDING = 2  # tasks that wait or run, for each worker

Found = dict[str, Any]
"""Arrays ``left``, ``right`` and ``distances``, as in `Pairs`, numbered within the two shards."""


@dataclass(frozen=True)
class Sharding:
    """How a search is divided.

    Parameters
    ----------
    n_shards : int
        Of each side.
    folder : Path
        Where the answers of the tasks are kept; it must exist.
    executor : Executor
        Runs the tasks.
    workers : int
        How many tasks the executor runs at a time.
    threads : int
        That each task uses.
    """

    n_shards: int
    folder: Path
    executor: Executor
    workers: int = 1
    threads: int = 1


class _Shard(NamedTuple):
    start: int
    hashes: Hashes
    digest: str


class _Task(NamedTuple):
    left: _Shard
    right: _Shard
    max_distance: int
    is_self: bool

    def head(self) -> dict[str, Any]:
        """Return what the answer depends on."""
        return {
            "kind": KIND,
            "left": self.left.digest,
            "right": "" if self.is_self else self.right.digest,
            "max_distance": self.max_distance,
        }

    def file(self, folder: Path) -> Path:
        """Name the file of the answer."""
        return folder / f"pairs.{self.left.start}.{self.right.start}"


def join_shards(left: Hashes, right: Hashes | None, max_distance: int, threads: int) -> Found:
    """Find the pairs of two shards, or of one: the task of a worker."""
    blocks = list(iter_pairs(left, max_distance, other=right, threads=threads))
    empty = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
    columns = zip(*(blocks or [empty]), strict=True)
    return dict(zip(Pairs._fields, map(np.concatenate, columns), strict=True))


def iter_sharded_pairs(
    distinct: Hashes, max_distance: int, sharding: Sharding, *, other: Hashes | None = None
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, as `imgdup.search.join.iter_pairs` does.

    A task needs its two shards, what `iter_pairs` needs for them, and its pairs.

    Parameters
    ----------
    distinct : ndarray of uint64, shape (n, words)
        The hashes; they may be mapped from a file.
    max_distance : int
        Largest accepted distance, in bits, inclusive.
    sharding : Sharding
    other : ndarray of uint64, shape (n_other, words), optional
        The hashes to compare with; by default `distinct` is compared with itself.

    Yields
    ------
    Pairs
        Blocks sorted by left row, then right row; their concatenation is sorted too.

    Raises
    ------
    ValueError
        If the arguments are not as described, or there is less than one shard.
    """
    check_hashes("distinct", distinct)
    if other is not None:
        check_hashes("other", other, distinct.shape[1])
    if sharding.n_shards < 1:
        raise ValueError(f"n_shards must be at least 1, got {sharding.n_shards}")
    distance = check_max_distance(max_distance, distinct.shape[1])
    left = _shards(distinct, sharding.n_shards)
    right = left if other is None else _shards(other, sharding.n_shards)
    rows = [
        [
            _Task(a, b, distance, other is None and a.start == b.start)
            for b in right
            if other is not None or b.start >= a.start
        ]
        for a in left
    ]
    _do(list(chain.from_iterable(rows)), sharding)
    return (block for row in rows for block in _joined(row, sharding.folder))


def _shards(hashes: Hashes, n_shards: int) -> list[_Shard]:
    edges = [len(hashes) * number // n_shards for number in range(n_shards + 1)]
    shards = []
    for start, stop in pairwise(edges):
        if start < stop:
            part = hashes[start:stop]
            digest = content_digest(np.ascontiguousarray(part).tobytes(), NEW_DIGEST_KIND)
            shards.append(_Shard(start, part, digest.hex()))
    return shards


def _do(tasks: Sequence[_Task], sharding: Sharding) -> None:
    """Run the tasks that have no answer yet, a few at a time, and keep the answers."""
    waiting = (task for task in tasks if _answer(task, sharding.folder) is None)
    running: dict[Future[Found], _Task] = {}
    try:
        for task in waiting:
            right = None if task.is_self else task.right.hashes
            future = sharding.executor.submit(
                join_shards, task.left.hashes, right, task.max_distance, sharding.threads
            )
            running[future] = task
            if len(running) >= PENDING * sharding.workers:
                _keep(running, sharding.folder)
        while running:
            _keep(running, sharding.folder)
    finally:
        for future in running:
            future.cancel()


def _keep(running: dict[Future[Found], _Task], folder: Path) -> None:
    """Wait for a task, and write the answers of those that are done."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        task = running.pop(future)
        store.save(task.file(folder), task.head(), future.result(), sync=False)


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
        ends = [int(np.searchsorted(found["left"], row)) for found in answers]
        columns = [
            (found["left"][a:b] + task.left.start, found["right"][a:b] + task.right.start,
             found["distances"][a:b])
            for task, found, a, b in zip(tasks, answers, starts, ends, strict=True)
        ]  # fmt: skip
        left, right, distances = map(np.concatenate, zip(*columns, strict=True))
        order = np.argsort(left, kind="stable")
        yield Pairs(left[order], right[order], distances[order])


def _next_row(answers: Sequence[Found], starts: Sequence[int]) -> int:
    """Return the row before which the next block ends: it has a chunk of an answer, or one row."""
    rest = [found["left"][start:] for found, start in zip(answers, starts, strict=True)]
    first = min(int(rows[0]) for rows in rest if len(rows))
    last = max(int(rows[-1]) for rows in rest if len(rows))
    full = [int(rows[CHUNK_PAIRS]) for rows in rest if len(rows) > CHUNK_PAIRS]
    return max(first, min([last, *(row - 1 for row in full)])) + 1
