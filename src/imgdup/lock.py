"""A lock file in, the right to write out: one writer at a time, freed when it dies.

The lock is the operating system's (flock, or locking on Windows), so a dead holder's frees itself
and two who take over at once cannot both win. The text in the file only says who holds it.
Where a file system has no such locks, the file ``lock.held`` is created exclusively; that one must
be deleted by hand after a crash, because nothing can tell for sure that its maker is dead.
"""

import contextlib
import datetime
import errno
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from imgdup.errors import ImgdupError, LockedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

MAX_NOTE_BYTES = 4096
WINDOWS_LOCK_AT = 1 << 30  # a byte far behind the note, which others may go on reading
TRY_S, TRY_PAUSE_S = 1.0, 0.05  # how long a holder may take to write its note
BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
NO_LOCKS = {
    getattr(errno, name, errno.ENOSYS) for name in ("ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP")
}


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file, or raise at once.

    Parameters
    ----------
    path : Path
        The lock file, made if it is not there; it stays when the lock is given back, because
        deleting it would race with those who are waiting at the door.
    what : str
        What is locked, for the message.

    Raises
    ------
    LockedError
        If another process, or this one, holds it; the text says which, where and since when.
    ImgdupError
        If the file cannot be made.
    """
    try:
        descriptor = _acquired(path)
    except OSError as error:
        if error.errno in NO_LOCKS:
            with _created(path.with_name(f"{path.name}.held"), what):
                yield
            return
        raise ImgdupError(f"cannot lock {path}: {error.strerror}") from error
    if descriptor is None:
        raise _locked_error(path, what)
    try:
        _write_note(descriptor)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquired(path: Path) -> int | None:
    """Open and lock; None if somebody alive holds it. A lock file deleted meanwhile is no lock."""
    deadline = time.monotonic() + TRY_S
    while True:
        descriptor = _open(path)
        try:
            if _try_lock(descriptor) and _is_at(descriptor, path):
                return descriptor
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if _names_a_living(read_note(path)) or time.monotonic() > deadline:
            return None
        time.sleep(TRY_PAUSE_S)


def _open(path: Path) -> int:
    """Open the lock file itself: a link could lead to a file that is not ours to write in."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, WINDOWS_LOCK_AT, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in BUSY:
            return False
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _created(path: Path, what: str) -> Iterator[None]:
    """Hold a lock by having created its file, where the file system knows no locks."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise _locked_error(path, what) from error
    try:
        _write_note(descriptor)
        yield
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _write_note(descriptor: int) -> None:
    since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    note = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(note).encode())


def read_note(path: Path) -> dict[str, object]:
    """Read who holds a lock: ``host``, ``pid``, ``since``; empty if nobody says so."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(MAX_NOTE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if type(note) is not dict or type(note.get("pid")) is not int:
        return {}
    words = [note.get("host"), note.get("since")]
    if not all(type(word) is str and word.isprintable() and word.isascii() for word in words):
        return {}
    return note


def _names_a_living(note: dict[str, object]) -> bool:
    """Whether a note names somebody who may be alive: elsewhere, or a process of this host."""
    pid = note.get("pid")
    if type(pid) is not int or pid <= 0:
        return False
    if note["host"] != socket.gethostname() or os.name == "nt":
        return True  # on Windows os.kill(pid, 0) would send Ctrl-C
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _locked_error(path: Path, what: str) -> LockedError:
    note = read_note(path)
    who = "another process"
    if note:
        who = f"pid {note['pid']} on {note['host']} since {note['since']}"
    return LockedError(
        f"{what} is being written by {who}; wait for it or, if that machine is gone, delete {path}"
    )
