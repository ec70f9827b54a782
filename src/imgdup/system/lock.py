"""Lock files: one writer at a time; the lock is free when the writer dies.

The operating system locks the file (flock, or locking on Windows), so the lock of a dead process is
free at once, and only one of several waiting processes gets it. The file holds a note that names
the holder. Where a file system has no locks, a second file is created exclusively; after a crash
the user must delete it, because it is not certain that its creator is dead.

The package ``filelock`` (4.3) is not used: of the file systems without locks it knows only those
that return ENOSYS (Lustre returns ENOLCK, some FUSE systems EOPNOTSUPP), it locks a named pipe, and
on Windows it locks the first byte, so that the note cannot be read.
"""

import contextlib
import datetime
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imgdup.errors import ImgdupError, LockedError
from imgdup.system.files import open_regular

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, WINDOWS_LOCK_AT, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _give_back(descriptor: int) -> None:
        os.lseek(descriptor, WINDOWS_LOCK_AT, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give_back(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


MAX_NOTE_BYTES = 4096
WINDOWS_LOCK_AT = 1 << 30  # a byte far behind the note, so that the note can be read
NOTE_WAIT_S, NOTE_PAUSE_S = 1.0, 0.02  # how long a new holder may take to write its note
BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


class Holder(NamedTuple):
    """Who holds a lock; ``since`` is in UTC."""

    host: str
    pid: int
    since: str


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file, or raise without waiting; messages call it `what`.

    The lock file is created if it does not exist. It is not deleted afterwards: else one process
    could lock the deleted file and another one a new file. Raises LockedError if another process,
    or this one, holds the lock; the text names its pid, host and start. Raises ImgdupError if the
    file cannot be created.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with locked(path, "the index"):
    ...     holder(path).pid == os.getpid()
    True
    >>> holder(path) is None
    True
    """
    held = path
    try:
        descriptor = _acquired(path)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise ImgdupError(f"cannot lock {path}: {error.strerror}") from error
        held = path.with_name(f"{path.name}.held")
        descriptor = _created(held)
    if descriptor is None:
        raise _locked_error(held, what)
    try:
        _write_note(descriptor)
        yield
    finally:
        _release(descriptor)
        if held != path:
            held.unlink(missing_ok=True)


def take(descriptor: int, what: str) -> None:
    """Lock an open file until it is closed, without a note; messages call it `what`.

    Nothing is locked where the file system has no locks, or none for files open for reading. Raises
    LockedError if another process, or this one by another descriptor, holds it. Raises ImgdupError
    if the system refuses.
    """
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in BUSY:
            raise LockedError(f"{what} is in use by another process; wait until it ends") from error
        if error.errno not in NO_LOCKS | {errno.EBADF}:
            raise ImgdupError(f"cannot lock {what}: {error.strerror}") from error


def holder(path: Path) -> Holder | None:
    """Read the note of a lock file; None if there is no valid one."""
    try:
        with open_regular(path) as file:
            fields = json.loads(file.read(MAX_NOTE_BYTES))
    except (OSError, ImgdupError, ValueError, RecursionError):
        return None
    if type(fields) is not dict or sorted(fields) != sorted(Holder._fields):
        return None
    found = Holder(**fields)
    words = [type(word) is str and word.isprintable() for word in (found.host, found.since)]
    return found if all(words) and type(found.pid) is int and found.pid > 0 else None


def _acquired(path: Path) -> int | None:
    """Open and lock the file; return None if another process holds it.

    If the note names a dead process, wait a moment: the new holder may be writing its own.
    """
    deadline = time.monotonic() + NOTE_WAIT_S
    while (descriptor := _try_once(path)) is None:
        if _may_be_alive(holder(path)) or time.monotonic() > deadline:
            break
        time.sleep(NOTE_PAUSE_S)
    return descriptor


def _try_once(path: Path) -> int | None:
    descriptor = _open(path)
    try:
        _take(descriptor)
        if _is_at(descriptor, path):
            return descriptor
    except OSError as error:
        if error.errno not in BUSY:
            os.close(descriptor)
            raise
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    """Open the lock file, but do not follow a link: it could lead to a file of the user."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file still has its name; locking a deleted file is useless."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _created(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    except OSError as error:
        raise ImgdupError(f"cannot lock {path}: {error.strerror}") from error


def _write_note(descriptor: int) -> None:
    """Write who holds the lock; if the disk is full, the lock holds without a note."""
    since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    note = json.dumps(Holder(_host(), os.getpid(), since)._asdict())
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, note.encode())


def _release(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        _give_back(descriptor)
    os.close(descriptor)


def _host() -> str:
    """Return the name of this machine, without loading the network functions."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _may_be_alive(found: Holder | None) -> bool:
    """Return whether the note names a process of another host, or one that runs here."""
    if found is None:
        return False
    if found.host != _host() or sys.platform == "win32":
        return True  # on Windows os.kill(pid, 0) would send Ctrl-C
    try:
        os.kill(found.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _locked_error(path: Path, what: str) -> LockedError:
    found = holder(path)
    who = "another process"
    if found is not None:
        who = f"pid {found.pid} on {found.host} since {found.since}"
    return LockedError(
        f"{what} is being written by {who}; wait for it or, if that machine is gone, delete {path}"
    )
