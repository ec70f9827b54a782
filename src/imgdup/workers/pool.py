"""Batches of items in, one answer for every item out, whatever becomes of a worker.

An executor is anything with the ``submit`` and ``shutdown`` of ``concurrent.futures``: processes
of this machine, this process itself, a cluster.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from imgdup.errors import ImgdupError
from imgdup.system.limits import usable_cores
from imgdup.workers.child import Stopped, run_batch
from imgdup.workers.process import Death, Processes, Setup, WorkerDied

__all__ = ["Died", "Setup", "Stopped", "answers", "inline", "local", "usable_cores"]

T = TypeVar("T")
R = TypeVar("R")
Task = Callable[[Sequence[T], Callable[[int], None]], R]

MAX_CRASHES = 2  # deaths with one item in hand, and it alone in the batch, that convict it
MAX_LOSSES = 5  # deaths with nothing in hand that a batch may see

_log = logging.getLogger(__name__)


class _Inline(Executor):
    """Makes each call when it is submitted, in this process."""

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        future: Future[R] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def inline(setup: Setup) -> Executor:
    """Work in this process, without isolation, time limit or parallelism."""
    if setup.initializer is not None:
        setup.initializer(*setup.initargs)
    return _Inline()


def local(setup: Setup) -> Executor:
    """Work in processes of this machine; where none can start, in this one, with a warning."""
    try:
        return Processes(setup)
    except (ImgdupError, OSError, ImportError) as error:
        _log.warning("%s; one file after the other, and a bad one may end the run", error)
        return inline(setup)


class Died(NamedTuple):
    """The answer for an item that ended the process it was worked on in.

    ``reason`` is ``"timed-out"`` or ``"crashed"``; ``detail`` says how, in one line.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class _Batch(Generic[T]):
    """Items that are worked on in one call, and what befell them so far."""

    items: Sequence[T]
    crashes: int = 0
    losses: int = 0
    alone: bool = False  # while nothing else runs, so that it has all the memory


@dataclass(frozen=True)
class _Again(Generic[T]):
    """Batches to be submitted in place of one that got no answer."""

    batches: list[_Batch[T]]


def answers(
    task: Task[T, R],
    batches: Iterable[Sequence[T]],
    *,
    workers: int,
    timeout_s: float,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    engine: Callable[[Setup], Executor] = local,
) -> Generator[tuple[Sequence[T], R | Died], None, None]:
    """Do a task on every batch, in parallel.

    Parameters
    ----------
    task : callable
        A function of a module, called in a worker as ``task(items, before_item)``. It calls
        ``before_item(i)`` before it touches ``items[i]``: from then on its time runs, and it is
        the one to be blamed if the worker dies. ``before_item`` raises `Stopped` when the run is
        interrupted. A failure that can be caught is the task's own business.
    batches : iterable of sequences
        Consumed as workers become free; items must be picklable.
    workers : int
        How many processes.
    timeout_s : float
        How long one item may take.
    initializer, initargs : callable, tuple
        Called once in each worker before anything else.
    engine : callable
        Makes the executor; by default `local`.

    Yields
    ------
    tuple
        A batch, or what is left of one, with the task's result; or a sequence of one item with
        `Died`. Every item comes in exactly one of them, in any order.

    Raises
    ------
    ImgdupError
        If worker processes die while they start.
    Exception
        Whatever the task or the initializer raised, with a note where.

    Notes
    -----
    If a worker dies, the item that it had in hand is suspected and tried by itself, the others of
    its batch are done again. The suspect is the culprit if its time runs out again, or if it ends
    its worker twice more; a kill counts only while nothing else runs, because it may come from
    outside, or from lack of memory. Closing the generator, or any exception in it, gives the
    workers a second to return what they have, then ends them.
    """
    executor = engine(Setup(workers, timeout_s, initializer, initargs))
    fresh = map(_Batch, batches)
    again: deque[_Batch[T]] = deque()
    live: dict[Future[R], _Batch[T]] = {}
    try:
        while True:
            while len(live) < 2 * workers and (batch := _next_batch(again, fresh, live)):
                live[executor.submit(run_batch, task, batch.items)] = batch
            if not live:
                return
            for future in wait(live, return_when=FIRST_COMPLETED).done:
                batch = live.pop(future)
                outcome = _outcome(batch, future, timeout_s)
                if isinstance(outcome, _Again):
                    again.extend(outcome.batches)
                else:
                    yield batch.items, outcome
    finally:
        executor.shutdown(cancel_futures=True)


def _next_batch(
    again: deque[_Batch[T]], fresh: Iterator[_Batch[T]], live: dict[Future[R], _Batch[T]]
) -> _Batch[T] | None:
    """Take the batch to submit next; none while one is to be alone, or if nothing is left."""
    if any(batch.alone for batch in live.values()):
        return None
    if again:
        return None if again[0].alone and live else again.popleft()
    return next(fresh, None)


def _outcome(batch: _Batch[T], future: Future[R], timeout_s: float) -> R | Died | _Again[T]:
    """Get the answer for a batch, or what to do instead if there is none."""
    try:
        return future.result()
    except WorkerDied as error:
        if error.death.in_hand is None:
            return _after_loss(batch, error.death)
        if len(batch.items) > 1:
            return _after_suspicion(batch, error.death, error.death.in_hand)
        return _verdict(batch, error.death, timeout_s)


def _after_loss(batch: _Batch[T], death: Death) -> Died | _Again[T]:
    """Judge a death that no item can be blamed for."""
    if batch.losses + 1 < MAX_LOSSES:
        return _Again([replace(batch, losses=batch.losses + 1)])
    if not death.began:
        raise ImgdupError(f"worker processes die while they start ({death})")
    if len(batch.items) > 1:
        return _Again([_Batch([item]) for item in batch.items])
    return Died("crashed", f"ended its worker process each time: {death}")


def _after_suspicion(batch: _Batch[T], death: Death, position: int) -> _Again[T]:
    """Part the item that was in hand from the others."""
    suspect = _Batch([batch.items[position]], alone=death.from_outside)
    rest = [item for i, item in enumerate(batch.items) if i != position]
    return _Again([suspect, _Batch(rest)])


def _verdict(batch: _Batch[T], death: Death, timeout_s: float) -> Died | _Again[T]:
    """Judge an item that was by itself when its worker died."""
    if death.timed_out:
        return Died("timed-out", f"no answer within {timeout_s:g} s")
    if death.from_outside and not batch.alone:
        return _Again([replace(batch, alone=True)])
    if batch.crashes + 1 < MAX_CRASHES:
        return _Again([replace(batch, crashes=batch.crashes + 1)])
    return Died("crashed", f"ended its worker process each time: {death}")
