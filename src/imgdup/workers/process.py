"""An executor whose every call is made by a process of its own, held by one thread over one pipe.

Workers share nothing but a flag: the death of one, even while it sends a result, neither blocks
nor breaks another, and it is known which call it died of. (``ProcessPoolExecutor`` loses all that
is in flight, says neither who died nor of what, and has locks whose holder may die.)
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, TypeVar

from imgdup.errors import ImgdupError
from imgdup.workers.child import IDLE, WATCHDOG_EXIT_CODE, Flag, Reply, serve

R = TypeVar("R")

GRACE_S = 1.0  # for workers to return what they have when the executor is shut down
LAST_BREATH_S = 5.0  # between the end of a worker's pipe and that of its process
STDERR = 2  # the last of the standard streams
OUTSIDE_SIGNALS = (-9, -15)  # SIGKILL and SIGTERM: memory ran out, or someone else's doing

_starting = threading.Lock()  # of processes, and their waiting: multiprocessing has one list of all


class Setup(NamedTuple):
    """What an executor is made from.

    Parameters
    ----------
    workers : int
        How many calls are made at once.
    timeout_s : float
        How long a worker may take for one item before it is ended.
    initializer : callable or None
        Called once in each worker before its first call, as ``initializer(*initargs)``.
    initargs : tuple
        Its arguments.
    """

    workers: int
    timeout_s: float
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()


class Death(NamedTuple):
    """How a worker ended.

    ``in_hand`` is the position of the item that it was working on, or None; ``exit_code`` is
    negative for a signal, None if not known; ``timed_out`` says that the watchdog ended it,
    ``began`` that it had started well.
    """

    in_hand: int | None
    exit_code: int | None
    timed_out: bool = False
    began: bool = True

    @property
    def from_outside(self) -> bool:
        """Whether it may have been nobody's fault."""
        return self.exit_code in OUTSIDE_SIGNALS

    def __str__(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


class WorkerDied(Exception):
    """A worker ended without an answer."""

    def __init__(self, death: Death) -> None:
        super().__init__(death)
        self.death = death


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self, setup: Setup, stop: Flag) -> None:
        context = multiprocessing.get_context("spawn")
        self.setup = setup
        self.began = False
        self.board = context.RawArray("d", IDLE)
        self.pipe, theirs = context.Pipe()
        with theirs:
            self.process = SpawnProcess(
                target=serve, args=(theirs, self.board, stop, setup.timeout_s), daemon=True
            )
            with _undisturbed():
                self.process.start()

    def call(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        """Call a function in the process, the first time after the caller's initializer."""
        if not self.began and self.setup.initializer is not None:
            self._ask(self.setup.initializer, self.setup.initargs)
        self.began = True
        result: R = self._ask(function, args)
        return result

    def _ask(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            self.pipe.send((function, args))
            reply: Reply = self.pipe.recv()
        except (EOFError, OSError):
            raise WorkerDied(self._death()) from None
        if reply.error is not None:
            raise reply.error
        return reply.result

    def _death(self) -> Death:
        in_hand, deadline = self.board
        late = time.monotonic() >= deadline
        connection.wait([self.process.sentinel], LAST_BREATH_S)
        self.end()
        code = self.process.exitcode
        timed_out = late and code == WATCHDOG_EXIT_CODE
        return Death(int(in_hand) if in_hand >= 0 else None, code, timed_out, self.began)

    def is_alive(self) -> bool:
        """Whether the process can be called."""
        return not connection.wait([self.process.sentinel], timeout=0)

    def kill(self) -> None:
        """End the process now."""
        with _starting:
            self.process.kill()

    def end(self) -> None:
        """End the process and see it gone; whoever comes second finds nothing to do."""
        with _starting:
            self.process.kill()
            self.process.join(LAST_BREATH_S)
            if not self.pipe.closed:
                self.pipe.close()


class Processes(ThreadPoolExecutor):
    """Makes calls in processes, as many at once as there are workers.

    A call whose worker dies raises `WorkerDied`; the next call gets a new worker. Workers never
    import the caller's ``__main__``, are deaf to the terminal's signals, and end when this
    process does, however it does.

    Parameters
    ----------
    setup : Setup
        Number of workers, time limit and initializer.

    Raises
    ------
    ImgdupError, OSError, ImportError
        If no process can be started here.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup.workers, thread_name_prefix="imgdup-worker")
        _fill_standard_streams()
        self._setup = setup
        self._stop = multiprocessing.get_context("spawn").RawValue("b", 0)
        self._calls: set[Future[Any]] = set()
        self._workers: set[_Worker] = set()
        self._idle: deque[_Worker] = deque()
        self._lock = threading.Lock()
        self._idle.append(self._start())

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
        except WorkerDied:
            self._bury(worker)
            raise
        self._idle.append(worker)
        return result

    def _idle_worker(self) -> _Worker | None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._bury(worker)
        return None

    def _bury(self, worker: _Worker) -> None:
        worker.end()
        self._workers.discard(worker)

    def _start(self) -> _Worker:
        with self._lock:
            if self._stop.value:
                raise RuntimeError("no worker may start after shutdown")
            try:
                worker = _Worker(self._setup, self._stop)
            except (OSError, AssertionError) as error:  # the latter in a daemonic process
                raise ImgdupError(f"cannot start a worker process: {error}") from error
            self._workers.add(worker)
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all workers; those at work get `GRACE_S` to return what they have."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self._stop.value = 1
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


def _fill_standard_streams() -> None:
    """Open nothing in the place of closed streams: a pipe to a worker would get their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a process start that never hears the terminal nor sees the caller's ``__main__``."""
    with _deaf(), _starting, _hidden_main():
        yield


@contextmanager
def _deaf() -> Iterator[None]:
    """Block the terminal's signals in this thread: a process that it starts inherits that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # would be started with the process, and unblock them
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide where ``__main__`` came from, so that a spawned process does not run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = _Anonymous(main)
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Anonymous(types.ModuleType):
    """A module without origin that otherwise is another one, for threads that look at it."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self._module, name)
