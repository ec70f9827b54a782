"""Batches of items in, one answer for each item out, whatever a worker does.

A worker is a process of its own, held by one thread over one pipe. Workers share nothing but a
flag, so the death of one, even while it sends, cannot block or break another.
"""

import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from imgdup import workers as worker_side
from imgdup.errors import ImgdupError
from imgdup.workers import Reply, Stopped, run_batch

__all__ = ["Died", "Setup", "Stopped", "answers", "inline", "processes", "usable_cores"]

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

GRACE_S = 1.0  # for workers to return what they have when the run is interrupted
LAST_BREATH_S = 5.0  # from the end of a worker's pipe to the end of its process
MAX_CRASHES = 2  # deaths with the same item in hand, alone, that convict it
MAX_LOSSES = 3  # deaths with nothing in hand before a batch is done item by item


class Died(NamedTuple):
    """The answer for an item that ended its worker.

    ``reason`` is ``"timed-out"`` or ``"crashed"``; ``detail`` says how, in one line.
    """

    reason: str
    detail: str


class Setup(NamedTuple):
    """What an executor is made from."""

    workers: int
    timeout_s: float
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()


class _WorkerDied(Exception):
    """A worker ended without an answer: the position of the item in hand, if any, and how."""

    def __init__(
        self, in_hand: int | None, exit_code: int | None, *, timed_out: bool, began: bool
    ) -> None:
        super().__init__(in_hand, exit_code)
        self.in_hand = in_hand
        self.exit_code = exit_code
        self.timed_out = timed_out
        self.began = began

    @property
    def killed(self) -> bool:
        """Whether it was a signal that no decoder raises: out of memory, or someone outside."""
        return self.exit_code in (-9, -15)

    def __str__(self) -> str:
        if self.exit_code is None or self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


@dataclass(frozen=True)
class _Batch(Generic[T]):
    """Items that are done in one call, and what befell them so far."""

    items: Sequence[T]
    crashes: int = 0
    losses: int = 0
    alone: bool = False  # to be done while no other worker takes memory


def answers(
    task: Callable[[Sequence[T], Callable[[int], None]], R],
    batches: Iterable[Sequence[T]],
    *,
    workers: int,
    timeout_s: float,
    scratch: Path | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    engine: Callable[[Setup], Executor] | None = None,
) -> Iterator[tuple[Sequence[T], R | Died]]:
    """Do a task on every batch in parallel; every item ends in exactly one answer.

    See the module.
    """
    executor = (engine or processes)(Setup(workers, timeout_s, initializer, initargs))
    try:
        yield from _answers(task, batches, executor, timeout_s, 2 * workers)
    finally:
        executor.shutdown(cancel_futures=True)


def _answers(
    task: Callable[[Sequence[T], Callable[[int], None]], R],
    batches: Iterable[Sequence[T]],
    executor: Executor,
    timeout_s: float,
    window: int,
) -> Iterator[tuple[Sequence[T], R | Died]]:
    fresh = (_Batch(items) for items in batches)
    again: deque[_Batch[T]] = deque()
    live: dict[Future[Any], _Batch[T]] = {}
    while True:
        while len(live) < window and (batch := _next_batch(again, fresh, live)) is not None:
            live[executor.submit(run_batch, task, batch.items)] = batch
        if not live:
            return
        for future in wait(live, return_when=FIRST_COMPLETED).done:
            batch = live.pop(future)
            try:
                yield batch.items, future.result()
            except _WorkerDied as death:
                fate = _fate(batch, death, timeout_s)
                if isinstance(fate, Died):
                    yield batch.items, fate
                else:
                    again.extend(fate)


def _next_batch(
    again: deque[_Batch[T]], fresh: Iterator[_Batch[T]], live: dict[Future[Any], _Batch[T]]
) -> _Batch[T] | None:
    """Choose what to submit; None where nothing is left or nothing may run beside what runs."""
    if any(batch.alone for batch in live.values()):
        return None
    if again and again[0].alone and live:
        return None
    return again.popleft() if again else next(fresh, None)


def _fate(batch: _Batch[T], death: _WorkerDied, timeout_s: float) -> Died | list[_Batch[T]]:
    """Judge the death of a worker: the verdict on the only item, or what to do again."""
    if death.in_hand is None:
        return _after_loss(batch, death)
    if len(batch.items) > 1:
        suspect = _Batch(batch.items[death.in_hand : death.in_hand + 1], alone=death.killed)
        rest = [item for i, item in enumerate(batch.items) if i != death.in_hand]
        return [suspect, _Batch(rest)]
    if death.timed_out:
        return Died("timed-out", f"no answer within {timeout_s:g} s")
    if death.killed and not batch.alone:
        return [replace(batch, alone=True)]
    if batch.crashes + 1 == MAX_CRASHES:
        return Died("crashed", f"ended its process {MAX_CRASHES} times: {death}")
    return [replace(batch, crashes=batch.crashes + 1)]


def _after_loss(batch: _Batch[T], death: _WorkerDied) -> Died | list[_Batch[T]]:
    """Judge a death that no item can be blamed for."""
    if batch.losses + 1 < MAX_LOSSES:
        return [replace(batch, losses=batch.losses + 1)]
    if not death.began:
        raise ImgdupError(f"worker processes end while they start ({death})")
    if len(batch.items) > 1:
        return [_Batch([item]) for item in batch.items]
    return Died("crashed", f"ended its process {MAX_LOSSES} times: {death}")


class _Worker:
    """The parent's side of one worker process."""

    def __init__(self, stop: worker_side.Flag, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.board = context.RawArray("d", worker_side.IDLE)
        self.setup = setup
        self.began = False
        self.process = SpawnProcess(
            target=worker_side.serve,
            args=(theirs, self.board, stop, setup.timeout_s),
            daemon=True,
        )
        with _undisturbed_start():
            self.process.start()
        theirs.close()

    def begin(self) -> None:
        """Wait until the process is up and the caller's initializer has run in it."""
        if not self.began:
            self.ask(self.setup.initializer or _nothing, self.setup.initargs)
            self.began = True

    def ask(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        """Call a function in the process."""
        try:
            self.pipe.send((function, args))
            reply: Reply = self.pipe.recv()
        except (EOFError, OSError):
            raise self.death() from None
        if reply.error is not None:
            raise reply.error
        result: R = reply.result
        return result

    def death(self) -> _WorkerDied:
        """Find out how the process ended."""
        in_hand, deadline = self.board
        timed_out = time.monotonic() >= deadline
        connection.wait([self.process.sentinel], LAST_BREATH_S)
        self.end()
        code = self.process.exitcode
        return _WorkerDied(
            None if in_hand < 0 else int(in_hand),
            code,
            timed_out=timed_out and code == worker_side.WATCHDOG_EXIT_CODE,
            began=self.began,
        )

    def end(self) -> None:
        """Kill the process and wait for its end."""
        with _starting:
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _nothing() -> None:
    pass


class _Processes(ThreadPoolExecutor):
    """An executor whose every thread has its calls made by a process."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup.workers, thread_name_prefix="imgdup-worker")
        self._setup = setup
        self._stop = multiprocessing.get_context("spawn").RawValue("b", 0)
        self._live: set[Future[Any]] = set()
        self._closing = False
        self._known: set[_Worker] = set()
        self._idle: deque[_Worker] = deque()
        self._lock = threading.Lock()
        self._idle.append(self._start())

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        future = super().submit(self._call, function, args)
        self._live.add(future)
        future.add_done_callback(self._live.discard)
        return future

    def _start(self) -> _Worker:
        with self._lock:
            if self._closing:
                raise Stopped
            worker = _Worker(self._stop, self._setup)
            self._known.add(worker)
        return worker

    def _call(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._start()
        try:
            worker.begin()
            result = worker.ask(function, args)
        except _WorkerDied:
            self._known.discard(worker)
            raise
        self._idle.append(worker)
        return result

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all workers; those at work get a moment to return what they have."""
        super().shutdown(wait=False, cancel_futures=True)
        self._stop.value = 1
        try:
            _wait_for(self._live, GRACE_S)
        finally:
            with self._lock:
                self._closing = True
            for worker in list(self._known):
                worker.process.kill()
            super().shutdown(wait=True)
            for worker in list(self._known):
                worker.end()


def _wait_for(futures: set[Future[Any]], timeout_s: float) -> None:
    wait(list(futures), timeout=timeout_s)


_starting = threading.Lock()


@contextmanager
def _undisturbed_start() -> Iterator[None]:
    """Let a process start that never sees the caller's ``__main__`` nor an interrupt."""
    with _starting, _hidden_main(), _blocked_interrupts():
        yield


@contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block the terminal's signals, which a starting process inherits."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which unblocks, hence first
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Inline(Executor):
    """Makes each call at once, in this process."""

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        future: Future[R] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def inline(setup: Setup) -> Executor:
    """Work in this process: no isolation, no time limit."""
    if setup.initializer is not None:
        setup.initializer(*setup.initargs)
    return _Inline()


def processes(setup: Setup) -> Executor:
    """Work in processes of this machine; in this process, with a warning, where none can start."""
    try:
        return _Processes(setup)
    except (OSError, ImportError, NotImplementedError) as error:
        log.warning("cannot start worker processes (%s): working in this one", error)
        return inline(setup)


def usable_cores() -> int:
    """Count the cores that this process may use: its affinity mask and its cgroup's quota."""
    count = getattr(os, "process_cpu_count", _affinity)() or 1
    return max(1, math.ceil(min(count, _cgroup_cores(Path("/")))))


def _affinity() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cgroup_cores(root: Path) -> float:
    """Read how many cores' time this process's control groups allow; infinite if unlimited."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    return min((_group_cores(root, *line.split(":", 2)[1:]) for line in lines), default=math.inf)


def _group_cores(root: Path, controllers: str, group: str) -> float:
    """Read the quota of one group and of those above it."""
    if controllers not in ("", "cpu") and "cpu" not in controllers.split(","):
        return math.inf
    top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
    folder = top / group.lstrip("/")
    quotas = []
    while True:
        quotas.append(_quota_v1(folder) if controllers else _quota_v2(folder))
        if folder == top:
            return min(quotas)
        folder = folder.parent


def _quota_v2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf


def _quota_v1(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 else math.inf
