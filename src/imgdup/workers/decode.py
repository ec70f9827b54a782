"""A task that decodes files -> its answers, from processes that are capped for it."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from imgdup.system.limits import Limits, usable_cores
from imgdup.workers.child import is_worker
from imgdup.workers.pool import Died, Task, answers, local
from imgdup.workers.process import Setup

T = TypeVar("T")
R = TypeVar("R")


def batched(items: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """Cut a list into pieces of at most `n`."""
    return (items[start : start + n] for start in range(0, len(items), n))


def decode_batches(
    task: Task[T, R],
    batches: Iterable[Sequence[T]],
    limits: Limits,
    *,
    workers: int | None = None,
    engine: Callable[[Setup], Executor] = local,
) -> Generator[tuple[Sequence[T], R | Died], None, None]:
    """Do a task on batches of files, as `imgdup.workers.pool.answers` does.

    Parameters
    ----------
    task : callable
        As for `answers`.
    batches : iterable of sequences
        The files.
    limits : Limits
        The caps on each file and on each process.
    workers : int, optional
        How many processes; all usable cores by default.
    engine : callable
        Makes the executor.
    """
    return answers(
        task,
        batches,
        workers=workers or usable_cores(),
        timeout_s=limits.timeout_s,
        initializer=_init_worker,
        initargs=(limits,),
        engine=engine,
    )


def _init_worker(limits: Limits) -> None:
    """Set a worker up; OpenCV is imported there and not in the parent, which stays as it is."""
    if is_worker():
        from imgdup.images.decode import init_worker

        init_worker(limits)
