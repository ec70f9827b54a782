"""Paths as imgdup stores them: bytes, absolute, ``/`` between parts on every system.

A picture in a container is named by both: ``DIR/shard.tar!/a.jpg`` is ``a.jpg`` in
``DIR/shard.tar``. A container is a file that holds other files: zip, tar, Parquet, Arrow. It is
recognized by its extension. A name that begins like ``s3://`` is that of an object on a server.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PosixPath, WindowsPath

from imgdup.errors import UsageError

SEPARATOR = b"!/"  # between the path of a container and the name of what is in it
EXTENSIONS = {
    b".zip": "zip",
    b".tar": "tar",
    **dict.fromkeys((b".tar.gz", b".tgz"), "tar.gz"),
    **dict.fromkeys((b".tar.xz", b".txz"), "tar.xz"),
    **dict.fromkeys((b".tar.bz2", b".tbz2", b".tbz"), "tar.bz2"),
    **dict.fromkeys((b".parquet", b".pq"), "parquet"),
    b".arrow": "arrow",
}
TABLES = ("parquet", "arrow")  # kinds of containers whose members are cells
_PACKED = (b".gz", b".xz", b".bz2")
SCHEMES = (b"s3://", b"gs://", b"az://", b"http://", b"https://")  # of objects on servers
# ``zip://a.jpg::DIR/x.zip``, as the package fsspec writes the same
_CHAINED = re.compile(rb"(?:zip|tar|parquet|arrow)://(?P<member>.*?)::(?P<container>.+)", re.DOTALL)
_SCHEME = re.compile(r"^(?:s3|gs|az|https?):(?=/)")
_FILE_SCHEME = re.compile(rb"(?:file|local)://")
# Temporary names of files in apply and undo; a file that is left was left by a killed run.
# The hex digits are those of the run, the number is that of the step in its journal; a second
# number is that of a link which the step changes.
TEMPORARY_NAME = re.compile(rb"\.imgdup-([0-9a-f]{16})-[0-9]+(?:-[0-9]+)?\.(?:aside|link|part|old)")


if sys.platform == "win32":
    _SystemPath = WindowsPath
else:
    _SystemPath = PosixPath


class _Address(_SystemPath):
    """The name of a picture on a server, whose text keeps both slashes behind the scheme."""

    __slots__ = ()

    def __str__(self) -> str:
        return _SCHEME.sub(r"\g<0>/", super().__str__().replace("\\", "/"))


def as_path(path: bytes) -> Path:
    """Return a path of an index, or the name of a picture on a server, as the system writes it.

    Examples
    --------
    >>> str(as_path(b"s3://bucket/a.tar!/b.jpg"))
    's3://bucket/a.tar!/b.jpg'
    """
    text = os.fsdecode(path)
    return _Address(text) if is_remote(path) else Path(text)


def kind_of(path: bytes) -> str | None:
    """Return the kind of a container by its extension, or None for any other file.

    Examples
    --------
    >>> kind_of(b"train-00012.TAR"), kind_of(b"a.tar.gz"), kind_of(b"a.gz"), kind_of(b".zip")
    ('tar', 'tar.gz', None, None)
    """
    stem, dot, extension = path[path.rfind(b"/") + 1 :].lower().rpartition(b".")
    if dot + extension in _PACKED and stem.endswith(b".tar"):
        stem, extension = stem[: -len(b".tar")], b"tar." + extension
    return EXTENSIONS.get(dot + extension) if stem else None


def is_remote(name: bytes) -> bool:
    """Return whether a name is that of an object on a server, or of a member of one."""
    return name[:8].lower().startswith(SCHEMES)


def is_container(path: bytes) -> bool:
    """Return whether a path is that of a file with the extension of a container.

    Of an object on a server, only the extension counts: a prefix has none.
    """
    return kind_of(path) is not None and (is_remote(path) or os.path.isfile(path))


def inside(container: bytes, member: bytes = b"") -> bytes:
    """Return the name of a member; without one, the start of the names of all, less the ``/``."""
    return container + SEPARATOR + member if member else container + SEPARATOR[:1]


def members_folder(path: bytes) -> bytes | None:
    """Return the container whose members are named as if they were in a folder of this path."""
    container = path[: -len(SEPARATOR[:1])]
    if not path.endswith(SEPARATOR[:1]) or not kind_of(container):
        return None
    return container if is_remote(path) or not os.path.isdir(path) else None


def containers_of(name: bytes) -> Iterator[bytes]:
    """Yield the paths of containers in which a member of this name may be, by the name alone."""
    at = name.find(SEPARATOR)
    while at >= 0:
        if kind_of(name[:at]):
            yield name[:at]
        at = name.find(SEPARATOR, at + 1)


def split(name: bytes) -> tuple[bytes, bytes] | None:
    """Divide the name of a member into the path of its container and the name in it.

    A folder may be called ``x.zip!``: so what is a file or folder of that name is no member. None
    if the name is that of no member.
    """
    name = from_chained(name)
    if SEPARATOR not in name:
        return None
    containers = list(containers_of(name))
    if not containers or (not is_remote(name) and os.path.lexists(name)):
        return None
    is_there = is_container if is_remote(name) else os.path.isfile
    container = next(filter(is_there, containers), containers[0])
    member = name[len(container) + len(SEPARATOR) :]
    return (container, member) if member else None


def outer_file(name: bytes) -> bytes:
    """Return the file that a name leads to: its container, or the path itself."""
    found = split(name)
    return name if found is None else found[0]


def from_chained(text: bytes) -> bytes:
    """Turn the chained form of fsspec into a name; other texts stay as they are.

    Examples
    --------
    >>> from_chained(b"zip://a/b.jpg::file://DIR/x.zip"), from_chained(b"tar://a.jpg::x.tar.gz")
    (b'DIR/x.zip!/a/b.jpg', b'x.tar.gz!/a.jpg')
    """
    found = _CHAINED.fullmatch(text) if b"::" in text else None
    if found is None:
        return text
    container = _FILE_SCHEME.sub(b"", found["container"], count=1)
    member = found["member"].lstrip(b"/")
    return inside(container, member) if member else container


def safe_name(stored: bytes) -> bytes:
    """Return the name of a member without what would lead out of its container.

    Examples
    --------
    >>> safe_name(b"/etc/../../a.jpg"), safe_name(b"./a//b.jpg"), safe_name(b"..")
    (b'etc/a.jpg', b'a/b.jpg', b'')
    """
    if not (b"//" in stored or b"." in stored[:1] or b"/." in stored or stored[:1] == b"/"):
        return stored
    parts = stored.split(b"/")
    return b"/".join(part for part in parts if part not in (b"", b".", b".."))


def path_key(path: bytes) -> bytes:
    """Return a key that sorts paths part by part (no name holds a NUL)."""
    return path.replace(b"/", b"\0")


def join(root: bytes, relative: bytes) -> bytes:
    """Join a root and a relative path; files that were named one by one have the root ``b""``."""
    return root + relative if root.endswith(b"/") or not root else root + b"/" + relative


def is_below(path: bytes, folder: bytes) -> bool:
    """Return whether `path` is `folder` or is in it."""
    return not folder or path == folder or path.startswith(join(folder, b""))


def current_folder() -> Path:
    """Return the current folder.

    Raises UsageError if it was deleted: then only absolute paths can be used.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the current folder was deleted: change to another one, or use only absolute paths"
        ) from error


def absolute(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return a path as imgdup stores it, with the links of its folders resolved.

    The chained form of fsspec, as ``zip://a.jpg::DIR/x.zip``, becomes ``DIR/x.zip!/a.jpg``.

    If the last part of the path is a link to a file, it keeps its own name. An address of an
    object, such as ``s3://bucket/a.jpg``, is absolute.

    Raises UsageError if the path is empty, or relative to a folder that was deleted; or if an
    address names no server, or holds a password or a query.
    """
    named = from_chained(os.fsencode(path))
    if is_remote(named):
        return _checked_address(named)
    text = os.fsdecode(named)
    if not text:
        raise UsageError("a path is empty: use . for the current folder")
    if not os.path.isabs(text):
        text = os.path.join(current_folder(), text)
    if os.path.isdir(text):
        return _slashes(os.path.realpath(text))
    folder, name = os.path.split(os.path.abspath(text))
    return _slashes(os.path.join(os.path.realpath(folder), name))


def _checked_address(name: bytes) -> bytes:
    """Return the address of an object or prefix without ``/`` at its end.

    What may be secret in it is not shown.
    """
    scheme, _, rest = name.partition(b"://")
    scheme = scheme.lower()
    server, _, key = rest.partition(b"/")
    shown = os.fsdecode(scheme + b"://" + server.rpartition(b"@")[2])
    if b"@" in server:
        raise UsageError(
            f"{shown}/...: names and passwords do not belong in an address, which is stored in "
            "the index: put credentials in the environment"
        )
    if scheme.startswith(b"http") and (b"?" in rest or b"#" in rest):
        shown = shown.partition("?")[0].partition("#")[0]
        raise UsageError(
            f"{shown}/...: an address with ? or # is not read, as what follows may be a password "
            "and would be stored in the index; in a name, write them as %3F and %23"
        )
    if not server:
        raise UsageError(f"{os.fsdecode(name)!r} names no bucket or server")
    return scheme + b"://" + (server + b"/" + key).rstrip(b"/")


def _slashes(path: str) -> bytes:
    return os.fsencode(path.replace(os.sep, "/"))


def check_exists(path: str | bytes | os.PathLike[str]) -> None:
    """Raise UsageError if there is neither a file nor a folder at the path.

    Of the name of a member, only the container is looked for; of the address of an object, only
    the form is checked.
    """
    name = os.fsencode(path)
    if is_remote(name):  # whether it is there is seen when it is read
        absolute(name)
    elif not os.path.lexists(path) and not is_container(outer_file(name)):
        raise UsageError(f"{os.fsdecode(path)!r}: no such file or folder")


def identity(path: bytes) -> tuple[int, int]:
    """Return device and inode of a file or folder, links followed; zeros if there is none."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):  # an object on a server, or a forged name with a NUL in it
        return (0, 0)
    return (as_uint64(facts.st_dev), as_uint64(facts.st_ino))


def as_uint64(number: int) -> int:
    """Return the low 64 bits of a device or inode number, which some systems make longer."""
    return number & 0xFFFF_FFFF_FFFF_FFFF
