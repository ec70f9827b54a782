"""Read a regular file that does not change while it is read, and compute its digest."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from blake3 import blake3

from imgdup.errors import ImageError
from imgdup.system.limits import Limits

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


Part = bytes | memoryview


def _blake2b(parts: Iterable[Part]) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _blake3(parts: Iterable[Part]) -> bytes:
    digest = blake3()
    for part in parts:
        digest.update(part)
    return digest.digest(DIGEST_BYTES)


# How the content of a file is digested, by the name that indexes, plans and journals give it.
# Where they name none, they were written when there was only the first.
FIRST_DIGEST_KIND = "blake2b"
NEW_DIGEST_KIND = "blake3"  # of new indexes: of large files, in a sixth of the time
DIGEST_KINDS: Mapping[str, Callable[[Iterable[Part]], bytes]] = {
    FIRST_DIGEST_KIND: _blake2b,
    NEW_DIGEST_KIND: _blake3,
}


def content_digest(data: Part, kind: str) -> bytes:
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
