"""Read a picture by its name: from a file, or as a member of a container.

`read_content` is the one function for this in hashing, queries, comparisons and reports.
"""

import atexit
import importlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import NamedTuple, Protocol

from imgdup.containers import (
    ContainerChangedError,
    Directory,
    Locator,
    OpenFile,
    Place,
    PlainFile,
    Stamp,
)
from imgdup.containers.tar import TarFile
from imgdup.containers.zip import ZipFile
from imgdup.errors import ImageError, ImgdupError
from imgdup.system.files import FileBytes, error_words, read_file
from imgdup.system.limits import Limits, import_uncapped
from imgdup.system.paths import SEPARATOR, TABLES, containers_of, is_remote, kind_of, split

TABLE_MODULE = "imgdup.containers.table"  # which imports pyarrow
REMOTE_MODULE = "imgdup.containers.remote"  # which imports obstore
MAX_OPEN = 2  # containers that a process keeps open: the next member is often of the same one


class Container(Protocol):
    """An open container."""

    @property
    def file(self) -> OpenFile:
        """The file."""

    def directory(self, limits: Limits, column: str) -> Directory:
        """List the members, with what is wrong with the container.

        `column` is the one with pictures, in a table; if empty, it is found.
        """

    def read(self, place: Place, limits: Limits) -> bytes:
        """Read the member at a place."""

    def head(self, place: Place, n_bytes: int) -> bytes:
        """Return the first bytes of the member at a place; none if they cannot be read."""


def _open_table(file: OpenFile, kind: str) -> Container:
    """Open a Parquet or Arrow file; ImgdupError if pyarrow, an extra, is not installed."""
    try:
        import_uncapped(TABLE_MODULE)
        table = importlib.import_module(TABLE_MODULE)
    except ImportError as error:
        file.close()
        raise ImgdupError(
            f"{os.fsdecode(file.path)}: reading it needs pyarrow: pip install pyarrow, or leave "
            "out such files with --exclude '*.parquet'"
        ) from error
    opened: Container = table.TableFile(file, kind)
    return opened


OPENERS: dict[str, Callable[[OpenFile], Container]] = {
    "zip": ZipFile,
    **{kind: partial(TarFile, kind=kind) for kind in ("tar", "tar.gz", "tar.xz", "tar.bz2")},
    **{kind: partial(_open_table, kind=kind) for kind in TABLES},
}


def open_file(path: bytes) -> OpenFile:
    """Open a file, or an object on a server; OSError if it cannot be opened."""
    if is_remote(path):
        opened: OpenFile = remote().RemoteFile(path)
        return opened
    return PlainFile(path)


def open_container(path: bytes) -> Container:
    """Open a container; its extension determines its kind.

    Raises OSError if it cannot be opened.
    """
    return OPENERS[str(kind_of(path))](open_file(path))


def remote() -> ModuleType:
    """Return the module that reads from servers; ImgdupError if obstore, an extra, is missing."""
    try:
        import_uncapped(REMOTE_MODULE)
        return importlib.import_module(REMOTE_MODULE)
    except ImportError as error:
        raise ImgdupError(
            "buckets and web servers are read with obstore: pip install 'neardup[remote]'"
        ) from error


def stamp_of(path: bytes) -> Stamp:
    """Return the current stamp of a file or object without reading it; OSError if it is missing."""
    if is_remote(path):
        stamp: Stamp = remote().stamp_of(path)
        return stamp
    return Stamp.of(os.stat(path))


def read_content(name: bytes, limits: Limits, locator: Locator | None = None) -> FileBytes:
    """Read a file, or a member of a container, and notice if it changes meanwhile.

    A member has a name such as ``DIR/shard.tar!/a.jpg``. Its locator says where it is; without it,
    the container is listed. ``max_file_bytes`` holds for the bytes of a member as it is unpacked,
    whatever its container declares; its mtime is that of the container. Raises ImageError as
    `read_file` does; ``changed`` also if a container is not the one of the locator.
    """
    parts = split(name) if locator is None else _parts_of_open(name) or split(name)
    if parts is None and not is_remote(name):
        return read_file(name, limits)
    try:
        if parts is not None:
            return _read_member(*parts, limits, locator)
        content: FileBytes | Exception = remote().read_objects([name], limits)[0]
        if isinstance(content, Exception):
            raise content
        return content
    except (OSError, MemoryError) as error:
        raise _as_image_error(error) from error


def read_together(names: Sequence[bytes], limits: Limits) -> list[FileBytes | ImageError]:
    """Read objects on servers at the same time; return the content of each, or an error."""
    found = remote().read_objects(names, limits)
    return [_as_image_error(each) if isinstance(each, Exception) else each for each in found]


def _as_image_error(error: Exception) -> ImageError:
    """Return what an error means for a picture."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError("too-large", "the member needs more memory than is available")
    reason = "unreadable"
    if isinstance(error, ContainerChangedError):
        reason = "changed"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        reason = "missing"
    words = error_words(error) if isinstance(error, OSError) else str(error)
    return ImageError(reason, words)


def _parts_of_open(name: bytes) -> tuple[bytes, bytes] | None:
    """Divide the name of a member of a container that is open; its place is known."""
    for container in containers_of(name):
        if _Key(os.getpid(), container) in _open:
            return container, name[len(container) + len(SEPARATOR) :]
    return None


def _read_member(path: bytes, name: bytes, limits: Limits, locator: Locator | None) -> FileBytes:
    opened = _opened(path, locator)
    stamp = opened.container.file.stamp
    if locator is None or not locator.kind:  # of a member with a fault no place is known
        place = _place(opened, name, limits)
    elif (stamp.size, stamp.mtime_ns) != locator[-2:]:
        raise ImageError("changed", "the container changed after it was listed")
    else:
        place = locator.place
    data = opened.container.read(place, limits)
    if opened.container.file.has_changed():
        raise ImageError("changed", "the container changed while it was read")
    return FileBytes(data, len(data), stamp.mtime_ns)


def _place(opened: "_Opened", name: bytes, limits: Limits) -> Place:
    """Return where a member lies, from the directory of its container."""
    column = os.fsdecode(name.partition(b"/")[2]) if opened.is_table else ""
    member = opened.listed(limits, column).find(name)
    if member is None:
        raise ImageError("missing", "the container has no member of this name")
    if member.fault is not None:
        raise ImageError(*member.fault)
    return member.place


class _Opened:
    """A container that is kept open, and its directory if a member was looked up by name."""

    def __init__(self, path: bytes) -> None:
        self.container = open_container(path)
        self.is_table = kind_of(path) in TABLES
        self._directories: dict[str, Directory] = {}

    def listed(self, limits: Limits, column: str) -> Directory:
        """Return its directory, which is made once for each column."""
        if column not in self._directories:
            self._directories[column] = self.container.directory(limits, column)
        return self._directories[column]


class _Key(NamedTuple):
    """A process opens its own files: children that are forked would share a position."""

    process: int
    path: bytes


def _is_current(path: bytes, stamp: Stamp, locator: Locator | None) -> bool:
    if is_remote(path) and locator is not None and locator[-2:] == (stamp.size, stamp.mtime_ns):
        return True
    return stamp_of(path) == stamp


_open: "OrderedDict[_Key, _Opened]" = OrderedDict()


@atexit.register
def close_containers() -> None:
    """Close the containers that this process keeps open."""
    while _open:
        _open.popitem()[1].container.file.close()


def _opened(path: bytes, locator: Locator | None) -> _Opened:
    """Return an open container, unless a different file now has its path.

    Of one on a server it is enough that the locator is of the same: each read notices a change.
    """
    key = _Key(os.getpid(), path)
    found = _open.get(key)
    if found is not None and _is_current(path, found.container.file.stamp, locator):
        _open.move_to_end(key)
        return found
    if found is not None:
        found.container.file.close()
        del _open[key]
    _open[key] = _Opened(path)
    while len(_open) > MAX_OPEN:
        _open.popitem(last=False)[1].container.file.close()
    return _open[key]
