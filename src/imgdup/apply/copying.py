"""Copy a file with its rights and times to a new name, safely in folders of other users.

Other users may be allowed to write to the folder of the copy and could replace it by a link at any
moment. So all operations use the open file, not its name. After renaming the copy, a caller can
check whether the new name still refers to it.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imgdup.apply.recheck import READ_FLAGS, SkipFile
from imgdup.apply.steps import Rights
from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import file_digest, sync_folder

NEW_FILE = os.O_CREAT | os.O_EXCL
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
    NEW_FILE |= getattr(os, _name, 0)
PERMISSIONS = 0o777  # of a mode; the bits that change who a program runs as are never copied
NO_ATTRIBUTES = tuple(
    getattr(errno, name)
    for name in ("ENOTSUP", "EOPNOTSUPP", "ENODATA", "EINVAL", "EPERM", "EACCES")
    if hasattr(errno, name)
)


class Copy(NamedTuple):
    """A new copy: its first name, device and inode."""

    path: bytes
    status: os.stat_result

    def is_at(self, path: bytes) -> bool:
        """Return whether a name refers to the copy, and not through a link."""
        try:
            return os.path.samestat(self.status, os.lstat(path))
        except FileNotFoundError:
            return False

    def check_at(self, path: bytes) -> None:
        """Raise SkipFile unless a name refers to the copy."""
        if not self.is_at(path):
            name = os.fsdecode(path)
            raise SkipFile("changed", f"{name} was replaced while the file was copied")

    def remove(self, path: bytes) -> None:
        """Remove a name of the copy, unless it now belongs to another file."""
        if self.is_at(path):
            os.unlink(path)


@contextlib.contextmanager
def copied(
    source: bytes,
    target: bytes,
    facts: FileFacts,
    *,
    rights: Rights | None = None,
    mtime_ns: int | None = None,
) -> Iterator[Copy]:
    """Copy a file with its permissions, owner and times, and sync it to the disk.

    The owner is that of the process if the process may not change it. `rights` and `mtime_ns`
    replace those of the source. Neither name is followed if it is a symbolic link. The file is open
    inside the ``with`` block. After an exception, the copy is removed if it still has its first
    name.

    Raises FileExistsError if there is something at `target`. Raises SkipFile if the copy's content
    is not that of `facts`, or its name leads to another file. Raises OSError if the system refuses.
    """
    with contextlib.ExitStack() as opened:
        original = os.open(source, READ_FLAGS)
        opened.callback(os.close, original)
        descriptor = os.open(target, os.O_RDWR | NEW_FILE, 0o600)
        opened.callback(os.close, descriptor)
        copy = Copy(target, os.fstat(descriptor))
        try:
            status = os.fstat(original)
            _copy_content(original, descriptor, facts)
            _set_rights(descriptor, rights or Rights.of(status))
            _copy_attributes(original, descriptor)
            time_ns = status.st_mtime_ns if mtime_ns is None else mtime_ns
            _set_times(descriptor, target, (status.st_atime_ns, time_ns))
            os.fsync(descriptor)
            copy.check_at(target)
            sync_folder(Path(os.fsdecode(os.path.dirname(target))))
            if os.name == "nt":
                opened.close()  # an open file cannot be renamed there
            yield copy
        except BaseException:
            if os.name == "nt":
                opened.close()
            copy.remove(target)
            raise


def _copy_content(original: int, descriptor: int, facts: FileFacts) -> None:
    """Copy the bytes, then read them back; SkipFile if they are not what they should be."""
    if not stat.S_ISREG(os.fstat(original).st_mode):
        raise SkipFile("not-regular", "not a regular file")
    with open(original, "rb", closefd=False) as file, open(descriptor, "wb", closefd=False) as new:
        shutil.copyfileobj(file, new)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if file_digest(descriptor, facts.digest_kind) != facts.digest:
        raise SkipFile("changed", "its content changed while it was copied")


def _set_rights(descriptor: int, rights: Rights) -> None:
    """Set owner, then mode: a change of owner may clear bits of the mode."""
    if hasattr(os, "fchown"):
        with contextlib.suppress(OSError):  # only root may change the owner
            os.fchown(descriptor, rights.owner, rights.group)
        os.fchmod(descriptor, rights.mode & PERMISSIONS)


def _copy_attributes(original: int, descriptor: int) -> None:
    """Copy extended attributes, such as tags, if the system supports them."""
    if not hasattr(os, "listxattr"):
        return
    try:
        for name in os.listxattr(original):
            if name.startswith("user."):
                os.setxattr(descriptor, name, os.getxattr(original, name))
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES:
            raise


def _set_times(descriptor: int, path: bytes, times_ns: tuple[int, int]) -> None:
    """Set the access and modification times; by name only if necessary (Windows)."""
    if os.utime in os.supports_fd:
        os.utime(descriptor, ns=times_ns)
    else:
        os.utime(path, ns=times_ns)
