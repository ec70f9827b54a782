"""An executor whose processes may die without harm to the other processes.

One thread and one pipe belong to each process, so it is known which call a process died of, and
its death does not disturb the others. (``ProcessPoolExecutor`` loses every running call when one
process dies, does not report which process died, and has locks whose holder may die.)
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait as wait_for
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, TypeVar

from imgdup.errors import ImgdupError
from imgdup.workers.child import IDLE, WATCHDOG_EXIT_CODE, Reply, receive, send, widen
from imgdup.workers.start import (
    EXIT_WAIT_S,
    Forked,
    Source,
    TemplateEndedError,
    fill_standard_streams,
    process_lock,
    shared_memory,
    source,
)

R = TypeVar("R")

GRACE_S = 1.0  # for workers to return what they have when the executor is shut down
OUTSIDE_SIGNALS = (-9, -15)  # SIGKILL, SIGTERM: sent by another program, or when memory ran out


class Setup(NamedTuple):
    """The settings of an executor."""

    workers: int  # how many calls are made at once
    timeout_s: float  # how long a worker may take for one item before it is stopped
    # Called once in each worker before its first call, as ``initializer(*initargs)``.
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()  # its arguments
    # Modules that workers need; where workers are forked, they are imported once for all.
    preload: tuple[str, ...] = ()


class Death(NamedTuple):
    """How a worker ended.

    ``position`` is that of the item it was working on, or None; ``exit_code`` is negative for a
    signal, None if unknown; ``timed_out`` is whether the watchdog ended it, ``began`` whether it
    had started well.
    """

    position: int | None
    exit_code: int | None
    timed_out: bool = False
    began: bool = True

    @property
    def from_outside(self) -> bool:
        """Whether another program may have ended it."""
        return self.exit_code in OUTSIDE_SIGNALS

    def __str__(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


class WorkerDied(Exception):
    """A worker process ended before it answered."""

    def __init__(self, death: Death) -> None:
        super().__init__(death)
        self.death = death


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self, setup: Setup, source: Source, slot: int) -> None:
        self.setup = setup
        self.slot = slot
        self.began = False
        self.state = source.shared.states[slot]
        self.state[:] = IDLE
        self.process: SpawnProcess | Forked
        self.pipe, self.process = source.start(slot)
        widen(self.pipe)

    def call(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        """Call a function in the process; before the first one, call the initializer."""
        if not self.began and self.setup.initializer is not None:
            self._ask(self.setup.initializer, self.setup.initargs)
        self.began = True
        result: R = self._ask(function, args)
        return result

    def _ask(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            send(self.pipe, (function, args))
            reply: Reply = receive(self.pipe)
        except (EOFError, OSError):
            raise WorkerDied(self._death()) from None
        if reply.error is not None:
            raise reply.error
        return reply.result

    def _death(self) -> Death:
        position, deadline = self.state
        late = time.monotonic() >= deadline
        connection.wait([self.process.sentinel], EXIT_WAIT_S)
        self.end()
        code = self.process.exitcode
        timed_out = late and code == WATCHDOG_EXIT_CODE
        return Death(int(position) if position >= 0 else None, code, timed_out, self.began)

    def is_alive(self) -> bool:
        """Return whether the process still runs; it must not be busy."""
        return not connection.wait([self.process.sentinel], timeout=0)

    def kill(self) -> None:
        with process_lock:
            self.process.kill()

    def end(self) -> None:
        """End the process and wait for it; does nothing the second time."""
        with process_lock:
            self.process.kill()
            self.process.join(EXIT_WAIT_S)
            if not self.pipe.closed:
                self.pipe.close()


class Processes(ThreadPoolExecutor):
    """Makes calls in processes, as many at once as there are workers.

    A call whose worker dies raises `WorkerDied`; the next call gets a new worker. Workers never
    import the caller's ``__main__``, ignore signals of the terminal, and end when this process
    ends, even if it is killed. Raises ImgdupError, OSError, ImportError if no process can be
    started here.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup.workers, thread_name_prefix="imgdup-worker")
        fill_standard_streams()
        self._setup = setup
        self._shared = shared_memory(setup.workers, setup.timeout_s, setup.preload)
        self._slots = deque(range(setup.workers))  # of the states that no worker has
        self._calls: set[Future[Any]] = set()
        self._workers: set[_Worker] = set()
        self._idle: deque[_Worker] = deque()
        self._lock = threading.Lock()
        with _start_errors():
            self._source = source(self._shared)

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        """Let a worker call ``function(*args)``."""
        future = super().submit(self._call, function, args)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    def _call(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        worker = self._idle_worker() or self._start()
        try:
            result = worker.call(function, args)
        except BaseException:  # the worker may be dead, or not initialized
            self._remove(worker)
            raise
        self._idle.append(worker)
        return result

    def _idle_worker(self) -> _Worker | None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._remove(worker)
        return None

    def _remove(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
                self._slots.append(worker.slot)

    def _start(self) -> _Worker:
        with self._lock:
            if self._shared.stop.value:
                raise RuntimeError("no worker may start after shutdown")
            with _start_errors():
                try:
                    worker = _Worker(self._setup, self._source, self._slots[-1])
                except TemplateEndedError:
                    self._source.close()
                    self._source = source(self._shared)
                    worker = _Worker(self._setup, self._source, self._slots[-1])
            self._slots.pop()
            self._workers.add(worker)
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all workers; busy ones get `GRACE_S` to return what they have."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self._shared.stop.value = 1
        try:
            wait_for(list(self._calls), timeout=GRACE_S)
        finally:
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                worker.kill()
            super().shutdown(wait=wait)
            for worker in workers:
                worker.end()
            self._source.close()


@contextmanager
def _start_errors() -> Iterator[None]:
    """Turn what goes wrong while a process starts into ImgdupError."""
    try:
        yield
    except (OSError, AssertionError) as error:  # the latter in a daemonic process
        raise ImgdupError(f"cannot start a worker process: {error}") from error
