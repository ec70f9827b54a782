"""Names of the pictures in containers: ``DIR/shard.tar!/a.jpg`` is ``a.jpg`` in ``DIR/shard.tar``.

A container is a file that holds other files: zip, tar, Parquet, Arrow. It is recognized by its
extension. A name that begins like ``s3://`` is that of an object on a server.
"""

import os
import re
from collections.abc import Iterator

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
_PACKED = (b".gz", b".xz", b".bz2")
SCHEMES = (b"s3://", b"gs://", b"az://", b"http://", b"https://")  # of objects on servers

# ``zip://a.jpg::DIR/x.zip``, as the package fsspec writes the same
_CHAINED = re.compile(rb"(?:zip|tar|parquet|arrow)://(?P<member>.*?)::(?P<container>.+)", re.DOTALL)
_FILE_SCHEME = re.compile(rb"(?:file|local)://")


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
