"""What C libraries print on standard error -> off the terminal, and heard.

libjpeg, libpng and libtiff print a line for many a damaged file, which no option of theirs that is
within reach turns off. For libjpeg that line is the only word about data that end too early: it
fills up the rest with gray and calls the picture done.
"""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

R = TypeVar("R")

STDERR = 2
LIBJPEG = (  # how the lines of libjpeg begin; jerror.h of libjpeg-turbo 3.1
    b"Application transferred too many scanlines",
    b"Corrupt JPEG data",
    b"Inconsistent progression sequence",
    b"Invalid SOS parameters",
    b"Premature end of JPEG",
    b"Unknown Adobe color transform",
    b"Warning: unknown JFIF revision",
)

_lock = threading.RLock()  # of descriptor 2, which all threads share
_listening = False  # whether it leads into a file of ours


def silence_libraries() -> None:
    """Send what C libraries print into a file of ours; Python's own stream goes on.

    For the rest of this process, as for one that decodes and does nothing else.
    """
    global _listening
    if _listening or not _is_open():
        return
    terminal = os.dup(STDERR)
    _lead_into_a_file()
    _listening = True
    sys.stderr = open(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Do so meanwhile; Python's own stderr goes into the file as well, and other threads wait."""
    global _listening
    with _lock:
        if _listening or not _is_open():
            yield
            return
        saved = os.dup(STDERR)
        try:
            _lead_into_a_file()
            _listening = True
            yield
        finally:
            _listening = False
            os.dup2(saved, STDERR)
            os.close(saved)


def heard(action: Callable[[], R]) -> tuple[R, bytes]:
    """Do something, and return with its result what was printed meanwhile.

    In a process that was silenced this takes a microsecond; in any other one, some twenty, and one
    thread at a time is heard: what others print meanwhile is printed a moment later. Nothing is
    heard where standard error is closed.
    """
    with _lock:
        if _listening:
            chatter()
            return action(), chatter()
        with quiet_libraries():
            result, said = action(), chatter()
        if said:
            _pass_on(said)
    return result, said


def _pass_on(said: bytes) -> None:
    """Print what was not said by a library."""
    others = [line for line in said.splitlines(True) if not line.startswith(LIBJPEG)]
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(STDERR, b"".join(others))


def chatter() -> bytes:
    """Return what has been printed since the last call; nothing where no one listens."""
    if not _listening:
        return b""
    n_bytes = os.lseek(STDERR, 0, os.SEEK_CUR)
    if n_bytes == 0:
        return b""
    os.lseek(STDERR, 0, os.SEEK_SET)
    said = os.read(STDERR, n_bytes)
    os.lseek(STDERR, 0, os.SEEK_SET)
    os.ftruncate(STDERR, 0)
    return said


def _is_open() -> bool:
    """Tell whether descriptor 2 is standard error, and not what took its place; flush it."""
    if sys.stderr is None and sys.__stderr__ is None:
        return False
    try:
        os.fstat(STDERR)
    except OSError:
        return False
    if sys.stderr is not None:
        sys.stderr.flush()
    return True


def _lead_into_a_file() -> None:
    """Let descriptor 2 be a file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("chatter")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.dup2(descriptor, STDERR)
    os.close(descriptor)
