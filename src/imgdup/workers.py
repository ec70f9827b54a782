"""The worker's side of a pipe: calls come in, answers go out, until the parent closes it or ends.

Nothing heavy is imported here, so that a worker can be set up before NumPy and OpenCV are loaded.
"""

import faulthandler
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# One picture at a time in each worker: their number, not their threads, uses the cores.
SINGLE_THREADED = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
WATCHDOG_EXIT_CODE = 1  # what faulthandler ends a process with
REARM_S = 1.0  # arming the watchdog starts a thread (about 0.1 ms), so not for each item
NOTHING = -1.0


class Stopped(Exception):
    """The run is being interrupted: a task should keep what it has and return."""


class Reply(NamedTuple):
    """What a call came to: its result, or the exception that it raised."""

    result: Any
    error: BaseException | None


class Flag(Protocol):
    """A number in memory that parent and workers share."""

    value: int


class Board(NamedTuple):
    """What a worker shows to its parent, in shared memory so that it outlives any death.

    ``in_hand`` is the position of the item being worked on, or NOTHING; ``deadline`` the time on
    the monotonic clock, in seconds, at which the watchdog ends the process.
    """

    in_hand: float
    deadline: float


IDLE = Board(NOTHING, math.inf)


class _Watch:
    """Of one worker: the board, the watchdog and the flag that asks to stop."""

    def __init__(self, board: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
        self.board = board
        self.stop = stop
        self.timeout_s = timeout_s
        self.rearm_s = min(REARM_S, timeout_s / 10)
        self.sink = open(os.devnull, "w")
        self.due = 0.0

    def before_item(self, position: int) -> None:
        """Say which item is next; its time begins to run."""
        if self.stop.value:
            raise Stopped
        now = time.monotonic()
        if now >= self.due:
            self.arm(now)
        self.board[0] = position

    def arm(self, now: float) -> None:
        """Let the process end in `timeout_s`, also if a C function holds the interpreter lock."""
        self.due = now + self.rearm_s
        self.board[1] = now + self.timeout_s
        faulthandler.dump_traceback_later(self.timeout_s, exit=True, file=self.sink)

    def rest(self) -> None:
        """Wait for the next call as long as it takes."""
        faulthandler.cancel_dump_traceback_later()
        self.due = 0.0
        self.board[:] = IDLE


_watch: _Watch | None = None  # this process's own, if it is a worker


def run_batch(
    task: Callable[[Sequence[T], Callable[[int], None]], R], items: Sequence[T]
) -> R | None:
    """Do a task on a batch, watched if this process is a worker; None if it was stopped before."""
    if _watch is None:
        return task(items, lambda position: None)
    if _watch.stop.value:
        return None
    _watch.arm(time.monotonic())
    try:
        return task(items, _watch.before_item)
    finally:
        _watch.rest()


def serve(pipe: Connection, board: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
    """Be a worker: answer every call that comes through the pipe.

    The first call is the caller's initializer. It is unpickled, hence its module imported, only
    after the process has been set up.
    """
    global _watch
    _settle()
    _watch = _Watch(board, stop, timeout_s)
    with suppress(EOFError, OSError):  # the parent closed the pipe or ended: so does the worker
        while True:
            _send(pipe, _reply(pipe))


def _settle() -> None:
    """Set up this process; must come before NumPy is imported."""
    os.environ.update(dict.fromkeys(SINGLE_THREADED, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _reply(pipe: Connection) -> Reply:
    """Receive one call and make it."""
    try:
        function, args = pipe.recv()
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
    """Carry an exception, and where it was raised, to the parent."""
    error.add_note("In the worker process:\n" + "".join(traceback.format_exception(error)))
    return Reply(None, error)


def _send(pipe: Connection, reply: Reply) -> None:
    """Send a reply; one that cannot be pickled is told as text."""
    try:
        pipe.send(reply)
    except OSError:
        raise
    except Exception as error:
        pipe.send(Reply(None, RuntimeError(f"cannot send {reply!r}: {error}")))
