"""Files from place to place: nothing is ever overwritten, and nothing is only half there."""

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from imgdup.apply.recheck import Skip, digest_of
from imgdup.system.atomic import sync_folder

_NO_LINKS = {
    getattr(errno, name)
    for name in ("EPERM", "EACCES", "EMLINK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")
    if hasattr(errno, name)
}
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def move(source: bytes, target: bytes) -> None:
    """Give a file another name on the same device, unless that name is taken.

    The new name is durable before the old one goes, so that a power cut leaves one of them. If
    somebody else takes the old name away meanwhile, the new one is the only one, and stays.

    Raises
    ------
    FileExistsError
        If there is something at `target`.
    OSError
        If the system refuses; the file is then where it was.
    """
    if os.name == "nt":
        os.rename(source, target)  # does not replace there
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _move_over_own(source, target)
        return
    try:
        sync_parent(target)
        os.unlink(source)
    except OSError:
        if are_names_of_one(source, target):
            os.unlink(target)
            raise


def are_names_of_one(source: bytes, target: bytes) -> bool:
    """Tell whether both names are there and of one file."""
    try:
        return os.path.samestat(os.lstat(source), os.lstat(target))
    except FileNotFoundError:
        return False


def _move_over_own(source: bytes, target: bytes) -> None:
    """Take the name by creating it, then replace what was created; for disks without hard links."""
    os.close(os.open(target, _NEW_FILE, 0o600))
    try:
        os.replace(source, target)
    except BaseException:
        if os.path.lexists(source):  # else it was replaced after all, and the target is the file
            os.unlink(target)
        raise


def copy(source: bytes, target: bytes, digest: bytes) -> None:
    """Copy a file with its times, mode and owner, and wait until the disk has it.

    Who may not give files away owns the copy.

    Raises
    ------
    FileExistsError
        If there is something at `target`.
    Skip
        If the copy's content is not that of `digest`.
    OSError
        If the system refuses. After any exception there is no copy.
    """
    with open(source, "rb") as file:
        descriptor = os.open(target, _NEW_FILE, 0o600)
        _fill(descriptor, file, source, target, digest)


def _fill(descriptor: int, file: BinaryIO, source: bytes, target: bytes, digest: bytes) -> None:
    """Write a copy that was begun, or take it away again."""
    try:
        with open(descriptor, "wb") as copied:
            shutil.copyfileobj(file, copied)
            copied.flush()
            os.fsync(copied.fileno())
        _copy_owner(source, target)
        shutil.copystat(source, target)
        _check_digest(target, digest)
        sync_parent(target)
    except BaseException:
        remove(target)
        raise


def _copy_owner(source: bytes, target: bytes) -> None:
    if hasattr(os, "chown"):
        status = os.lstat(source)
        with contextlib.suppress(OSError):
            os.chown(target, status.st_uid, status.st_gid)


def _check_digest(path: bytes, digest: bytes) -> None:
    with open(path, "rb") as file:
        if digest_of(file.fileno()) != digest:
            raise Skip("changed", "its content changed while it was copied")


def make_folder(path: bytes) -> None:
    """Make a folder and those above it, each durable before the next."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_parent(path)


def free_name(path: bytes) -> bytes:
    """Return the path, or with ``~1``, ``~2`` before its ending the first one that is free."""
    stem, ending = os.path.splitext(path)
    number = 0
    while os.path.lexists(path):
        number += 1
        path = stem + b"~%d" % number + ending
    return path


def remove(path: bytes) -> None:
    """Delete a file of ours, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sync_parent(path: bytes) -> None:
    """Make the names in a file's folder durable."""
    sync_folder(Path(os.fsdecode(os.path.dirname(path))))


def settle(path: bytes) -> None:
    """Make the names in a file's folder durable if that can be; nothing depends on it."""
    with contextlib.suppress(OSError):
        sync_parent(path)
