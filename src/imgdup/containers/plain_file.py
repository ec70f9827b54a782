"""An open container as bytes at any offset, with the facts by which a change is noticed."""

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from imgdup.system.files import OPEN_FLAGS, stat_size_mtime
from imgdup.system.paths import as_uint64

_PREAD: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)  # not on Windows
_MOST_AT_ONCE = 1 << 30  # bytes; a call of the system returns no more than 2 GB


class Stamp(NamedTuple):
    """Which file a container is, and its size and mtime: another stamp means that it changed."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> "Stamp":
        """Return the stamp of a file."""
        return cls(as_uint64(facts.st_dev), as_uint64(facts.st_ino), *stat_size_mtime(facts))


class ContainerChangedError(OSError):
    """A container is another one than when it was opened."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the container changed while it was read")


def raise_if_unread(error: Exception) -> None:
    """Raise an error that says that bytes could not be read, not that they are damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


class OpenFile(Protocol):
    """A container as bytes: a file, or an object on a server."""

    path: bytes
    stamp: Stamp

    @property
    def raw(self) -> Any:
        """The same as a file object of Python."""

    @property
    def size(self) -> int:
        """Bytes in it when it was opened."""

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end."""

    def reaches(self, offset: int) -> bool:
        """Return whether there are so many bytes."""

    def has_changed(self) -> bool:
        """Return whether it changed since it was opened."""

    def close(self) -> None:
        """Close it."""


class PlainFile:
    """An open file.

    Parameters
    ----------
    path : bytes

    Attributes
    ----------
    stamp : Stamp
        When it was opened.
    raw : FileIO

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.raw = open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, OPEN_FLAGS))
        facts = os.fstat(self.raw.fileno())
        if not stat.S_ISREG(facts.st_mode):
            self.raw.close()
            raise OSError("not a regular file")
        self.stamp = Stamp.of(facts)

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self.stamp.size

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end of the file."""
        if offset + n_bytes > self.size:
            n_bytes = max(0, self.size - offset)
        if _PREAD is not None and n_bytes <= _MOST_AT_ONCE:
            return _PREAD(self.raw.fileno(), n_bytes, offset)
        self.raw.seek(offset)
        parts = []
        while n_bytes and (part := self.raw.read(n_bytes)):
            parts.append(part)
            n_bytes -= len(part)
        return b"".join(parts)

    def reaches(self, offset: int) -> bool:
        """Return whether there are so many bytes."""
        return offset <= self.size

    def has_changed(self) -> bool:
        """Return whether the file that is open has another size or mtime than at first."""
        return Stamp.of(os.fstat(self.raw.fileno())) != self.stamp

    def close(self) -> None:
        """Close it."""
        self.raw.close()
