"""Process batches of items: one answer for each item, even if worker processes die.

The work is done by an executor of the form of ``concurrent.futures``: processes of this machine,
this process itself, or a cluster. `decode_each` calls a function on each of many files.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, repeat
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from imgdup.errors import ImageError, ImgdupError, as_image_error
from imgdup.system.limits import Limits, usable_cores
from imgdup.workers.child import is_worker, run_batch
from imgdup.workers.process import Death, Processes, Setup, WorkerDied

T = TypeVar("T")
R = TypeVar("R")
BatchFunction = Callable[[Sequence[T], Callable[[int], None]], R]

MAX_CRASHES = 2  # an item that ends its worker this often, alone in its batch, is to blame
MAX_LOSSES = 5  # how often a batch may lose its worker between two items
BATCH_FILES = 32  # a file takes milliseconds, a batch a millisecond to send
PRELOAD = ("imgdup.images.decode",)
BATCHES_PER_WORKER = 2  # submitted at once: one that is worked on, one that waits

_log = logging.getLogger(__name__)


class _Inline(Executor):
    """Make each call in this process, as soon as it is submitted."""

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        future: Future[R] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def inline(setup: Setup) -> Executor:
    """Make an executor that works in this process: one call at a time, without a time limit."""
    if setup.initializer is not None:
        setup.initializer(*setup.initargs)
    return _Inline()


def local(setup: Setup) -> Executor:
    """Make an executor of processes; if none can start, log a warning and work in this process."""
    try:
        return Processes(setup)
    except (ImgdupError, OSError, ImportError) as error:
        _log.warning(
            "%s; continuing in this process, one file at a time: a broken file may end the run",
            error,
        )
        return inline(setup)


class Remote(Protocol):
    """Workers on other machines, which need not see the files of this one."""

    @property
    def n_workers(self) -> int:
        """How many calls they make at once; this may change."""

    def require_seen(self, paths: Sequence[bytes]) -> None:
        """Raise ImgdupError unless they all can read those of the paths that this process can."""


class Pool:
    """Workers that stay ready for many calls of `answers`, until the pool is closed.

    They start at the first batch and stop at the end of the ``with`` block. Several threads may use
    one pool at the same time. `engine` makes the executor from the setup; `remote` says of the
    workers that they are on other machines.

    Examples
    --------
    >>> def square(items, before_item):
    ...     return [item * item for item in items]
    >>> with Pool(Setup(workers=1, timeout_s=30.0), inline) as pool:
    ...     sorted(answers(square, [[1, 2], [3]], pool))
    [([1, 2], [1, 4]), ([3], [9])]
    """

    def __init__(
        self,
        setup: Setup,
        engine: Callable[[Setup], Executor] = local,
        remote: Remote | None = None,
    ) -> None:
        self.setup = setup
        self.remote = remote
        self._engine = engine
        self._executor: Executor | None = None
        self._lock = threading.Lock()

    @property
    def n_workers(self) -> int:
        """How many calls are made at once."""
        return self.setup.workers if self.remote is None else self.remote.n_workers

    def start(self) -> Executor:
        """Start the workers, if they were not; they import while the caller prepares the work."""
        with self._lock:
            if self._executor is None:
                self._executor = self._engine(self.setup)
        return self._executor

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:
        """Let a worker call ``function(*args)``."""
        return self.start().submit(function, *args)

    def close(self) -> None:
        """Give busy workers a second to return their results, then stop all workers."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        except KeyboardInterrupt:  # Ctrl-C again, perhaps before the workers were told to end
            self.close()
            raise


class Died(NamedTuple):
    """The answer for an item that ended its worker: ``"timed-out"`` or ``"crashed"``, and how."""

    reason: str
    detail: str


@dataclass(frozen=True)
class _Batch(Generic[T]):
    """The items of one call, and how often it failed so far."""

    items: Sequence[T]
    crashes: int = 0
    losses: int = 0
    alone: bool = False  # run it while nothing else runs, so that it can use all the memory


@dataclass(frozen=True)
class _Retry(Generic[T]):
    """The batches to submit in place of one that got no answer."""

    batches: list[_Batch[T]]


def answers(
    function: BatchFunction[T, R], batches: Iterable[Sequence[T]], pool: Pool
) -> Generator[tuple[Sequence[T], R | Died], None, None]:
    """Call a function for every batch, in parallel.

    It is a function of a module, called in a worker as ``function(items, before_item)``. It calls
    ``before_item(i)`` before it touches ``items[i]``: this starts the item's time limit, and if the
    worker dies, this item is suspected. ``before_item`` raises `Stopped` when the pool is being
    closed. The function handles exceptions of single items itself. Batches are read as workers
    become free; the items must be picklable.

    Yields a batch, or what is left of one, with the result of the function; or a sequence of one
    item with `Died`. Every item is in exactly one of them, in any order. The workers remain when
    this generator ends.

    When a worker dies, the item that it was working on is suspected and tried by itself. It is to
    blame if its time runs out again, or if it ends its worker twice more. A kill counts only while
    nothing else of this call runs: another program, or a lack of memory, may be the cause.

    Raises ImgdupError if worker processes die while they start, and what the function or the
    initializer raised, with a note that names the place.
    """
    fresh = map(_Batch, batches)
    again: deque[_Batch[T]] = deque()
    live: dict[Future[R], _Batch[T]] = {}
    try:
        while True:
            most = BATCHES_PER_WORKER * pool.n_workers
            while len(live) < most and (batch := _next_batch(again, fresh, live)):
                live[pool.submit(run_batch, function, batch.items)] = batch
            if not live:
                return
            for future in wait(live, return_when=FIRST_COMPLETED).done:
                batch = live.pop(future)
                answer = _answer(batch, future, pool.setup.timeout_s)
                if isinstance(answer, _Retry):
                    again.extend(answer.batches)
                else:
                    yield batch.items, answer
    finally:
        for future in live:
            future.cancel()


def _next_batch(
    again: deque[_Batch[T]], fresh: Iterator[_Batch[T]], live: dict[Future[R], _Batch[T]]
) -> _Batch[T] | None:
    """Return the batch to submit next; None if there is none, or if one must run alone."""
    if any(batch.alone for batch in live.values()):
        return None
    if again:
        return None if again[0].alone and live else again.popleft()
    return next(fresh, None)


def _answer(batch: _Batch[T], future: Future[R], timeout_s: float) -> R | Died | _Retry[T]:
    """Return the answer for a batch, or what to submit instead if there is none."""
    try:
        return future.result()
    except WorkerDied as error:
        if error.death.position is None:
            return _after_loss(batch, error.death)
        if len(batch.items) > 1:
            return _isolate(batch, error.death, error.death.position)
        return _judge(batch, error.death, timeout_s)


def _after_loss(batch: _Batch[T], death: Death) -> Died | _Retry[T]:
    """Decide what to do after a death that no item caused."""
    if batch.losses + 1 < MAX_LOSSES:
        return _Retry([replace(batch, losses=batch.losses + 1)])
    if not death.began:
        raise ImgdupError(f"worker processes end while they start ({death})")
    if len(batch.items) > 1:
        return _Retry([_Batch([item]) for item in batch.items])
    return Died("crashed", f"it ended its worker process each time: {death}")


def _isolate(batch: _Batch[T], death: Death, position: int) -> _Retry[T]:
    """Separate the suspected item from the others of its batch."""
    suspect = _Batch([batch.items[position]], alone=death.from_outside)
    rest = [item for i, item in enumerate(batch.items) if i != position]
    return _Retry([suspect, _Batch(rest)])


def _judge(batch: _Batch[T], death: Death, timeout_s: float) -> Died | _Retry[T]:
    """Decide whether an item that was alone in its batch is to blame for the death."""
    if death.timed_out:
        return Died("timed-out", f"no answer within {timeout_s:g} s")
    if death.from_outside and not batch.alone:
        return _Retry([replace(batch, alone=True)])
    if batch.crashes + 1 < MAX_CRASHES:
        return _Retry([replace(batch, crashes=batch.crashes + 1)])
    return Died("crashed", f"it ended its worker process each time: {death}")


def decoding_pool(
    limits: Limits,
    workers: int | None = None,
    engine: Callable[[Setup], Executor] = local,
    preload: tuple[str, ...] = PRELOAD,
) -> Pool:
    """Return a pool of processes that decode files; they start at the first file.

    Without `workers`, there is a process for each usable core. They load the modules `preload`.
    """
    return Pool(decoding_setup(limits, workers or usable_cores(), preload), engine)


def decoding_setup(limits: Limits, workers: int, preload: tuple[str, ...]) -> Setup:
    """Return the setup of processes that decode files; see `decoding_pool`."""
    return Setup(workers, limits.timeout_s, _init_worker, (limits,), (__name__, *preload))


def decode_each(
    function: Callable[[T], R],
    files: Iterable[T],
    pool: Pool,
    *,
    batch_files: int | Iterable[int] = BATCH_FILES,
) -> Generator[R | ImageError, None, None]:
    """Call a function on each file in the workers of a pool.

    The function is one of a module, or a `functools.partial` of one. Files are paths, or other
    picklable values that name a file; they are read as workers become free, and sent in batches of
    one size, or of the sizes that are given. Yields one answer for each, in order: what the
    function returned, or why there is no result. A file that ends its process is ``crashed`` or
    ``timed-out``.

    Raises ImgdupError if the function raises one that is not an `ImageError`, or no worker can
    start.
    """
    decode_batch = partial(_decode_batch, function)
    batches = batched(enumerate(files), batch_files)
    early: dict[int, R | ImageError] = {}  # answers that came before that of an earlier file
    n_given = 0
    with closing(answers(decode_batch, batches, pool)) as answered:
        for batch, found in answered:
            if isinstance(found, Died):
                early[batch[0][0]] = ImageError(found.reason, found.detail)
            else:
                early.update(zip((number for number, _ in batch), found, strict=True))
            while n_given in early:
                yield early.pop(n_given)
                n_given += 1


def begin_each(
    function: Callable[[T], R], files: Iterable[T], pool: Pool, *, batch_files: int = BATCH_FILES
) -> list[tuple[list[T], Future[list[R | ImageError]]]]:
    """Begin to call a function on each file as `decode_each` does, and return at once.

    Returns batches of files with what gives their answers. If that raises an exception, a file may
    have ended its worker; `decode_each` finds out which.
    """
    decode_batch = partial(_decode_batch, function)
    return [
        (batch, pool.submit(run_batch, decode_batch, list(enumerate(batch))))
        for batch in batched(files, batch_files)
    ]


def batched(items: Iterable[T], sizes: int | Iterable[int]) -> Iterator[list[T]]:
    """Cut items into lists of a size, or of several sizes one after the other.

    Examples
    --------
    >>> list(batched("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    >>> list(batched("abcde", [3, 1, 1]))
    [['a', 'b', 'c'], ['d'], ['e']]
    """
    rest = iter(items)
    for size in repeat(sizes) if isinstance(sizes, int) else sizes:
        batch = list(islice(rest, size))
        if not batch:
            return
        yield batch


def falling(n_items: int, parts: int, most: int) -> Iterator[int]:
    """Yield sizes of batches: a part of the items that are left, but 1 to `most`.

    Workers so take few batches, and end at nearly the same time.

    Examples
    --------
    >>> list(falling(20, 4, 3))
    [3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    """
    while n_items > 0:
        size = min(most, max(1, n_items // parts))
        yield size
        n_items -= size


def _decode_batch(
    function: Callable[[T], R], batch: Sequence[tuple[int, T]], before_item: Callable[[int], None]
) -> list[R | ImageError]:
    """Call the function on each file of a batch, in a worker."""
    found: list[R | ImageError] = []
    for i, (_, file) in enumerate(batch):
        before_item(i)
        try:
            found.append(function(file))
        except Exception as error:
            found.append(as_image_error(error))
    return found


def _init_worker(limits: Limits) -> None:
    """Cap the memory of a worker, but not that of the host process."""
    if is_worker():
        from imgdup.images.decode import init_worker  # NumPy, which the parent may not need

        init_worker(limits)
