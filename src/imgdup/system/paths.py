"""Paths as imgdup stores them: bytes, absolute, ``/`` between parts on every system."""

import os
import re
from pathlib import Path

from imgdup.errors import UsageError
from imgdup.system.names import from_chained, is_container, is_remote, outer_file

# Temporary names of files in apply and undo; a file that is left was left by a killed run.
# The hex digits are those of the run, the number is that of the step in its journal; a second
# number is that of a link which the step changes.
TEMPORARY_NAME = re.compile(rb"\.imgdup-([0-9a-f]{16})-[0-9]+(?:-[0-9]+)?\.(?:aside|link|part|old)")


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

    Raises
    ------
    UsageError
        If it was deleted: then only absolute paths can be used.
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

    Raises
    ------
    UsageError
        If the path is empty, or relative to a folder that was deleted; or if an address names no
        server, or holds a password or a query.
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
