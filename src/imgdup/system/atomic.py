"""Write files durably and as a whole, or leave them unchanged."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, cast

from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.system.limits import size_text
from imgdup.system.paths import outer_file

TEMPORARY_SUFFIX = ".tmp"
TOKEN_BYTES = 4  # of the random part of a temporary name, written in hex
NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
PUBLIC, PRIVATE = 0o666, 0o600  # modes of a new file, before the umask
NO_SYNC = (errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL))  # file systems without fsync
# Windows refuses to replace a file that a reader holds open for a moment.
REPLACE_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if os.name == "nt" else ()


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
