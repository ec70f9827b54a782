"""A file as a plan describes it -> certainty that it is so now, or why to leave it alone."""

import errno
import hashlib
import os
import stat
from typing import NamedTuple

from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import DIGEST_BYTES

READ_BYTES = 1 << 20
NO_ROOM = "no-room"
SKIP_REASONS = {
    "missing": (errno.ENOENT, errno.ENOTDIR),
    "other-device": (errno.EXDEV,),
    "no-links": (
        errno.EMLINK,
        errno.ENOSYS,
        getattr(errno, "ENOTSUP", errno.ENOSYS),
        getattr(errno, "EOPNOTSUPP", errno.ENOSYS),
    ),
    "denied": (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY),
    "taken": (errno.EEXIST,),
    NO_ROOM: (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)),
}

_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class Skip(Exception):
    """Leave this file alone.

    Parameters
    ----------
    reason : str
        A word: a key of ``SKIP_REASONS``, ``changed``, ``not-regular``, ``same-file``,
        ``different-bytes``, ``failed``, ``not-reached``, ``cannot-undo``.
    detail : str
        What was found, for people; one line.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, error: OSError) -> "Skip":
        """Return the word for what the operating system refused."""
        for reason, codes in SKIP_REASONS.items():
            if error.errno in codes:
                return cls(reason, error.strerror or str(error))
        return cls("failed", error.strerror or str(error))


class Skipped(NamedTuple):
    """A file that was left alone, and why."""

    path: bytes
    reason: str
    detail: str


def verify(facts: FileFacts, path: bytes | None = None) -> os.stat_result:
    """Make sure that a path still names the file that a plan describes.

    Parameters
    ----------
    facts : FileFacts
    path : bytes, optional
        Where the file is now; without it, where the plan says.

    Returns
    -------
    os.stat_result
        Of the open file whose whole content was read.

    Raises
    ------
    Skip
        If it is missing, no regular file, unreadable, or differs in size, time or content.
    """
    path = facts.path if path is None else path
    try:
        return _verified(facts, path)
    except OSError as error:
        raise Skip.of(error) from error


def _verified(facts: FileFacts, path: bytes) -> os.stat_result:
    _check_regular(os.lstat(path))
    descriptor = os.open(path, _FLAGS)
    try:
        _check_facts(facts, os.fstat(descriptor))
        if digest_of(descriptor) != facts.digest:
            raise Skip("changed", "its content is another")
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    _check_facts(facts, status)
    if not os.path.samestat(status, os.lstat(path)):
        raise Skip("changed", "another file took its name")
    return status


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise Skip("not-regular", "a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise Skip("not-regular", "not a regular file")


def _check_facts(facts: FileFacts, status: os.stat_result) -> None:
    _check_regular(status)
    if (status.st_size, status.st_mtime_ns) != (facts.size, facts.mtime_ns):
        raise Skip("changed", "its size or time is another")


def digest_of(descriptor: int) -> bytes:
    """Return the content digest of an open file."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    while data := os.read(descriptor, READ_BYTES):
        digest.update(data)
    return digest.digest()


def verify_two(remove: FileFacts, keep: FileFacts, remove_path: bytes | None = None) -> None:
    """Make sure that both files are as described, and two.

    Raises
    ------
    Skip
        As `verify` does; the detail says which of the two it is about.
    """
    going = verify(remove, remove_path)
    try:
        staying = verify(keep)
    except Skip as skip:
        raise Skip(
            skip.reason, f"the file that stays, {os.fsdecode(keep.path)}: {skip.detail}"
        ) from skip
    if are_one(going, staying):
        raise Skip("same-file", f"it is {os.fsdecode(keep.path)} under another name")


def are_one(going: os.stat_result, staying: os.stat_result) -> bool:
    """Tell whether two paths name one file, or may for all that the file system says."""
    return os.path.samestat(going, staying) or 0 in (going.st_ino, staying.st_ino)
