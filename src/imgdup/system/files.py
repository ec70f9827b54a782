"""Read files as a whole and compute their digests; write files durably and as a whole."""

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from blake3 import blake3

from imgdup.errors import ImageError, ImgdupError, IndexFormatError
from imgdup.system.limits import Limits, size_text
from imgdup.system.paths import outer_file

DIGEST_BYTES = 16  # of the content
READ_BYTES = 1 << 20  # of an open file at a time
MAX_INT64 = (1 << 63) - 1
# Non-blocking, so that opening a FIFO or a device does not wait.
OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_ATTEMPTS = 2


TEMPORARY_SUFFIX = ".tmp"
TOKEN_BYTES = 4  # of the random part of a temporary name, written in hex
NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
PUBLIC, PRIVATE = 0o666, 0o600  # modes of a new file, before the umask
NO_SYNC = (errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL))  # file systems without fsync
# Windows refuses to replace a file that a reader holds open for a moment.
REPLACE_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if os.name == "nt" else ()


class FileBytes(NamedTuple):
    """A file's content and its stat facts."""

    data: bytes
    size: int
    mtime_ns: int


def read_file(path: bytes | str, limits: Limits) -> FileBytes:
    """Read a regular file; if it changed while it was read, read it again.

    The size is compared with ``max_file_bytes`` before anything is read. Raises ImageError:
    ``missing``; ``unreadable``, also for what is not a regular file; ``too-large``; ``changed``
    during both readings.
    """
    try:
        for _ in range(_ATTEMPTS):
            if content := _read_unchanged(path, limits):
                return content
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("missing", error_words(error)) from error
    except OSError as error:
        raise ImageError("unreadable", error_words(error)) from error
    except ValueError as error:
        raise ImageError("missing", f"no file can have this name: {error}") from error
    except MemoryError as error:
        raise ImageError("too-large", "the file needs more memory than is available") from error
    raise ImageError("changed", "the file changed while it was read")


def stat_size_mtime(facts: os.stat_result) -> tuple[int, int]:
    """Return size and mtime in nanoseconds, each brought into the range of int64.

    A file may have any time: of the year 2262 or later, or before 1677.
    """
    size, mtime_ns = facts.st_size, facts.st_mtime_ns
    return max(0, min(size, MAX_INT64)), max(-MAX_INT64 - 1, min(mtime_ns, MAX_INT64))


Chunk = bytes | memoryview


def _blake2b(parts: Iterable[Chunk]) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _blake3(parts: Iterable[Chunk]) -> bytes:
    digest = blake3()
    for part in parts:
        digest.update(part)
    return digest.digest(DIGEST_BYTES)


# How the content of a file is digested, by the name that indexes, plans and journals give it.
# Where they name none, they were written when there was only the first.
FIRST_DIGEST_KIND = "blake2b"
NEW_DIGEST_KIND = "blake3"  # of new indexes: of large files, in a sixth of the time
DIGEST_KINDS: Mapping[str, Callable[[Iterable[Chunk]], bytes]] = {
    FIRST_DIGEST_KIND: _blake2b,
    NEW_DIGEST_KIND: _blake3,
}


def content_digest(data: Chunk, kind: str) -> bytes:
    """Return a digest of 16 bytes, of one of `DIGEST_KINDS`; only equal contents have equal ones.

    Examples
    --------
    >>> content_digest(b"", "blake3").hex()
    'af1349b9f5f9a1a6a0404dea36dcc949'
    """
    return DIGEST_KINDS[kind]((data,))


def file_digest(descriptor: int, kind: str) -> bytes:
    """Return the content digest of an open file, from its current position to its end."""
    return DIGEST_KINDS[kind](_parts(descriptor))


def _parts(descriptor: int) -> Iterator[bytes]:
    while part := os.read(descriptor, READ_BYTES):
        yield part


def error_words(error: OSError) -> str:
    """Return the reason that the system gives, without the path."""
    return error.strerror or str(error)


def _read_unchanged(path: bytes | str, limits: Limits) -> FileBytes | None:
    """Read a file; None if it changed meanwhile."""
    descriptor = os.open(path, OPEN_FLAGS)
    try:
        before = os.fstat(descriptor)
        _check(before, limits)
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    size = before.st_size
    if before.st_mtime_ns != after.st_mtime_ns or not size == after.st_size == len(data):
        return None
    return FileBytes(data, *stat_size_mtime(before))


def _check(status: os.stat_result, limits: Limits) -> None:
    """Refuse a file that is not regular, or too large."""
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("unreadable", "not a regular file")
    limits.check_bytes(status.st_size)


def _read_all(descriptor: int, size: int) -> bytes:
    """Read up to one byte more than expected, so that a growing file is noticed."""
    data = os.read(descriptor, size + 1)
    if len(data) >= size:
        return data
    parts, n_left = [data], size + 1 - len(data)
    while part := os.read(descriptor, n_left):
        parts.append(part)
        n_left -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def replacing(
    path: Path, *, needed_bytes: int | None = None, sync: bool = True, mode: int = PUBLIC
) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces a file when it is closed.

    The temporary file is in the same folder. The order is write, flush, fsync, replace, fsync of
    the folder [1]_: a reader, also after a crash or a power cut, sees the old content or the new
    one, never a part of either. Without `sync`, a power cut can lose the file. After an exception
    the old content stays. The file has its mode, which the umask restricts, from its first byte on.

    Raises ImgdupError if the operating system refuses, or if there is something else than a regular
    file. If a disk or quota is full, the text names the bytes needed.

    References
    ----------
    .. [1] Git 2.36, ``core.fsync``: rename without fsync left empty files on ext4.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note"
    >>> with replacing(target, needed_bytes=5) as file:
    ...     written = file.write(b"hello")
    >>> target.read_bytes()
    b'hello'
    """
    temporary = path.with_name(f"{path.name}.{os.urandom(TOKEN_BYTES).hex()}{TEMPORARY_SUFFIX}")
    try:
        _check_place(path)
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        _replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise write_error(path, error, needed_bytes) from error
    except BaseException:
        _remove(temporary)
        raise


def common_mode(paths: Iterable[bytes]) -> int:
    """Return the mode for a file about other files: the permissions that all of them share.

    The group counts only where it is that of this process, which the new file gets. A file that
    does not exist has nothing to protect.

    Examples
    --------
    >>> oct(common_mode([]))
    '0o666'
    """
    mode = PUBLIC
    for path in paths:
        try:
            mode = narrowed_mode(mode, os.stat(outer_file(path)))
        except (OSError, ValueError):  # a forged name may contain a NUL
            continue
        if mode == PRIVATE:
            break
    return mode


def narrowed_mode(mode: int, facts: os.stat_result) -> int:
    """Return a mode without the permissions that a file of these facts lacks."""
    if mode == PRIVATE:
        return mode
    others = facts.st_mode & 0o006
    group = facts.st_mode if facts.st_gid == _own_group() else others << 3
    return mode & (group & 0o060 | others | PRIVATE)


@cache
def _own_group() -> int:
    return os.getegid() if hasattr(os, "getegid") else 0


def _check_place(path: Path) -> None:
    """Refuse to replace a device, a pipe or a link, such as /dev/null."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ImgdupError(f"cannot write {path}: it exists and is not a regular file")


def write_error(path: Path, error: OSError, needed_bytes: int | None = None) -> ImgdupError:
    """Describe in one line why a file could not be written, with the remedy."""
    reason = error.strerror or str(error)
    if error.errno in NO_ROOM:
        needs = "" if needed_bytes is None else f", which needs {size_text(needed_bytes)}"
        return ImgdupError(
            f"no room to write {path}{needs} ({reason}): "
            "free some space, then run the same command again"
        )
    return ImgdupError(f"cannot write {path}: {reason}")


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can sync folders."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _replace(source: Path, target: Path) -> None:
    """Replace a file; on Windows try again while a reader has it open."""
    for pause_s in REPLACE_PAUSES_S:
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(pause_s)
    return os.replace(source, target)


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, unbuffered, without waiting for a pipe or a device.

    Raises FileNotFoundError if it does not exist, IndexFormatError if it is not a regular file, and
    ImgdupError if it cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ImgdupError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IndexFormatError(f"cannot read {path}: not a regular file")
    return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))
