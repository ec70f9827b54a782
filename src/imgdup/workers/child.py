"""The worker's side of a pipe: calls come in, replies go out, until the parent closes it or ends.

Nothing heavy is imported here, so that a process is set up before NumPy and OpenCV are loaded.
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

from imgdup.system.limits import THREAD_VARIABLES

T = TypeVar("T")
R = TypeVar("R")

WATCHDOG_EXIT_CODE = 1  # faulthandler's
UNWATCHED_EXIT_CODE = 71  # the system's fault, in BSD's sysexits
REARM_S = 1.0  # arming the watchdog starts a thread, about 0.1 ms: not for every item
NOTHING = -1.0


class Stopped(Exception):
    """The run is being interrupted: keep what is done and return."""


class Board(NamedTuple):
    """What a worker shows to its parent, in shared memory because that outlives any death.

    ``in_hand`` is the position of the item being worked on, or NOTHING; ``deadline`` is when the
    watchdog ends the process, in seconds of the monotonic clock.
    """

    in_hand: float
    deadline: float


IDLE = Board(NOTHING, math.inf)


class Flag(Protocol):
    """A number in shared memory."""

    value: int


class Reply(NamedTuple):
    """What a call came to: its result, or the exception that it raised."""

    result: Any
    error: Exception | None


class _Watch:
    """A worker's board, its watchdog, and the flag that asks it to stop."""

    def __init__(self, board: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
        self.board = board
        self.stop = stop
        self.timeout_s = timeout_s
        self.rearm_s = min(REARM_S, timeout_s / 10)
        self.due = 0.0
        self.sink = open(os.devnull, "w")

    def before_item(self, position: int) -> None:
        """Say which item is next, and let its time begin to run."""
        if self.stop.value:
            raise Stopped
        now = time.monotonic()
        if now >= self.due:
            self.arm(now)
        self.board[0] = position

    def arm(self, now: float) -> None:
        """Let the process end in `timeout_s`, even inside a C call that holds the lock."""
        self.due = now + self.rearm_s
        self.board[1] = now + self.timeout_s
        try:
            faulthandler.dump_traceback_later(self.timeout_s, exit=True, file=self.sink)
        except RuntimeError:  # no room for its thread: what ran here before has not let go of it
            os._exit(UNWATCHED_EXIT_CODE)

    def rest(self) -> None:
        """Wait for the next call, however long."""
        faulthandler.cancel_dump_traceback_later()
        self.board[:] = IDLE


_watch: _Watch | None = None  # of this process, if it is a worker


def is_worker() -> bool:
    """Tell whether this process is a worker, whose memory and streams may be restricted."""
    return _watch is not None


def run_batch(task: Callable[[Sequence[T], Callable[[int], None]], R], items: Sequence[T]) -> R:
    """Do a task on a batch; watched, if this process is a worker."""
    if _watch is None:
        return task(items, _unwatched)
    if _watch.stop.value:
        raise Stopped
    _watch.arm(time.monotonic())
    try:
        return task(items, _watch.before_item)
    finally:
        _watch.rest()


def _unwatched(position: int) -> None:
    pass


def serve(pipe: Connection, board: MutableSequence[float], stop: Flag, timeout_s: float) -> None:
    """Be a worker: make every call that comes through the pipe, until it is closed.

    Calls are received, which imports the functions' modules, only once this process is set up.
    """
    global _watch
    _settle()
    _watch = _Watch(board, stop, timeout_s)
    with suppress(EOFError, OSError):
        while True:
            _send(pipe, _reply(pipe))


def _settle() -> None:
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _reply(pipe: Connection) -> Reply:
    """Receive one call and make it; a task that exits is a worker that died."""
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
    """Let an exception tell, in the parent too, where it was raised."""
    error.add_note("Raised in a worker process:\n" + "".join(traceback.format_exception(error)))
    return Reply(None, error)


def _send(pipe: Connection, reply: Reply) -> None:
    """Send a reply, or if it cannot be pickled the reason why."""
    try:
        pipe.send(reply)
    except OSError:
        raise
    except Exception as error:
        pipe.send(Reply(None, TypeError(f"a worker cannot send {reply!r}: {error}")))
