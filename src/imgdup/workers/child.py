"""The code of a worker process, and how values go through the pipe to it and back.

Nothing heavy is imported here, so that the process is set up before NumPy and OpenCV are loaded.
A value is pickled, but the memory of large arrays goes straight from one process to the other: a
decoded photo of 640 x 480 so takes a fifth of the CPU time that ``Connection.send`` takes.
"""

import faulthandler
import gc
import math
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol, TypeVar

from imgdup.system.limits import THREAD_VARIABLES

LARGE = 1 << 16  # bytes; less is pickled with the rest
PIPE_BYTES = 1 << 20  # that wait in a pipe, if the system allows it
HAS_DESCRIPTORS = sys.platform != "win32"  # there, only `Connection` can use the pipe
T = TypeVar("T")
R = TypeVar("R")
WATCHDOG_EXIT_CODE = 1  # faulthandler's
NO_WATCHDOG_EXIT_CODE = 71  # "system error" in BSD's sysexits.h
REARM_S = 1.0  # setting the watchdog starts a thread, about 0.1 ms: not for every item
NO_ITEM = -1.0
# pyarrow's allocator gives memory back 10 ms after it is freed, and the next page of a table maps
# it again: 0.3 of 0.5 s of a worker that reads 140 MB.
KEEP_FREED = ("MIMALLOC_PURGE_DELAY", "-1")
# Python's own thresholds of garbage collection. A command collects less often while it imports, but
# the few objects that a worker leaves in cycles may hold pictures.
COLLECT_AFTER = (700, 10, 10)


def widen(pipe: Connection) -> None:
    """Let more bytes wait in a pipe, so that both processes take turns less often."""
    if HAS_DESCRIPTORS:
        with suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_BYTES)


def send(pipe: Connection, value: object) -> None:
    """Send a value.

    Raises OSError if the other process has ended. Raises Exception if the value cannot be pickled;
    then nothing was sent.
    """
    parts: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        part = buffer.raw()
        if part.nbytes < LARGE:
            return True
        parts.append(part)
        return False

    data = pickle.dumps(value, protocol=5, buffer_callback=is_small)
    pipe.send_bytes(pickle.dumps((data, [part.nbytes for part in parts])))
    for part in parts:
        _write(pipe, part)


def receive(pipe: Connection) -> Any:
    """Wait for a value, and return it.

    Raises EOFError, OSError if the other process has ended. Raises Exception if the value cannot be
    made here from what was sent.
    """
    data, sizes = pickle.loads(pipe.recv_bytes())
    parts = [bytearray(n_bytes) for n_bytes in sizes]
    for part in parts:
        _read_into(pipe, part)
    return pickle.loads(data, buffers=parts)


def _write(pipe: Connection, part: memoryview) -> None:
    if not HAS_DESCRIPTORS:
        pipe.send_bytes(part)
        return
    while part.nbytes:
        part = part[os.write(pipe.fileno(), part) :]


def _read_into(pipe: Connection, part: bytearray) -> None:
    if not HAS_DESCRIPTORS:
        pipe.recv_bytes_into(part)
        return
    rest = memoryview(part)
    while rest.nbytes:
        n_read = os.readv(pipe.fileno(), [rest])
        if n_read == 0:
            raise EOFError
        rest = rest[n_read:]


class Stopped(Exception):
    """The run is being interrupted: keep what is done and return."""


class State(NamedTuple):
    """The state of a worker in shared memory, which the parent can read even after it dies.

    ``position`` is that of the item being worked on, or NO_ITEM; ``deadline`` is when the watchdog
    ends the process, in seconds of the monotonic clock.
    """

    position: float
    deadline: float


IDLE = State(NO_ITEM, math.inf)


class Flag(Protocol):
    """A number in shared memory."""

    value: int


class Reply(NamedTuple):
    """The result of a call, or the exception that it raised."""

    result: Any
    error: Exception | None


class _Watchdog:
    """Ends this process when an item takes too long, and keeps its state up to date."""

    def __init__(self, state: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
        self.state = state
        self.stop = stop
        self.timeout_s = timeout_s
        self.rearm_s = min(REARM_S, timeout_s / 10)
        self.due = 0.0
        self.sink = open(os.devnull, "w")

    def before_item(self, position: int) -> None:
        """Record the next item, and start its time limit."""
        if self.stop.value:
            raise Stopped
        now = time.monotonic()
        if now >= self.due:
            self.arm(now)
        self.state[0] = position

    def arm(self, now: float) -> None:
        """Let the process end in `timeout_s`, even inside a C call that holds Python's lock."""
        self.due = now + self.rearm_s
        self.state[1] = now + self.timeout_s
        try:
            faulthandler.dump_traceback_later(self.timeout_s, exit=True, file=self.sink)
        except RuntimeError:  # no memory for its thread: an earlier item has not released it
            os._exit(NO_WATCHDOG_EXIT_CODE)

    def disarm(self) -> None:
        """Wait for the next call without a time limit."""
        faulthandler.cancel_dump_traceback_later()
        self.state[:] = IDLE


_watchdog: _Watchdog | None = None  # of this process, if it is a worker


def is_worker() -> bool:
    """Return whether this process is a worker, whose memory may be limited."""
    return _watchdog is not None


def run_batch(function: Callable[[Sequence[T], Callable[[int], None]], R], items: Sequence[T]) -> R:
    """Call a function for a batch; in a worker, under the watchdog."""
    if _watchdog is None:
        return function(items, _unwatched)
    if _watchdog.stop.value:
        raise Stopped
    _watchdog.arm(time.monotonic())
    try:
        return function(items, _watchdog.before_item)
    finally:
        _watchdog.disarm()


def _unwatched(position: int) -> None:
    pass


def serve(pipe: Connection, state: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
    """Make every call that arrives through the pipe, until it is closed.

    A call names functions, whose modules are imported when it is received: by then this process
    is set up.
    """
    global _watchdog
    set_up_process()
    widen(pipe)
    _watchdog = _Watchdog(state, stop, timeout_s)
    with suppress(EOFError, OSError):
        while True:
            _send(pipe, _reply(pipe))


def set_up_process() -> None:
    """Use one thread, keep freed memory, ignore Ctrl-C, and end when the parent ends."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    os.environ.setdefault(*KEEP_FREED)
    gc.set_threshold(*COLLECT_AFTER)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _reply(pipe: Connection) -> Reply:
    """Receive one call and make it; if the function exits, so does this worker."""
    try:
        function, args = receive(pipe)
    except (EOFError, OSError):
        raise
    except Exception as error:
        return _failure(error)
    try:
        return Reply(function(*args), None)
    except SystemExit as error:
        os._exit(error.code if isinstance(error.code, int) else 1)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Reply:
    """Add the traceback to an exception, for the parent to show."""
    error.add_note("Raised in a worker process:\n" + "".join(traceback.format_exception(error)))
    return Reply(None, error)


def _send(pipe: Connection, reply: Reply) -> None:
    """Send a reply; if it cannot be pickled, send the reason."""
    try:
        send(pipe, reply)
    except OSError:
        raise
    except Exception as error:
        send(pipe, Reply(None, TypeError(f"a worker cannot send {reply!r}: {error}")))
