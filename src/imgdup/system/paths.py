"""Paths as imgdup stores them: bytes, absolute, ``/`` between parts on every system."""

import os
import re
from pathlib import Path

from imgdup.errors import UsageError
from imgdup.system.names import from_chained, is_container, outer_file

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

    If the last part of the path is a link to a file, it keeps its own name.

    Raises
    ------
    UsageError
        If the path is empty, or relative to a folder that was deleted.
    """
    text = os.fsdecode(from_chained(os.fsencode(path)))
    if not text:
        raise UsageError("a path is empty: use . for the current folder")
    if not os.path.isabs(text):
        text = os.path.join(current_folder(), text)
    if os.path.isdir(text):
        return _slashes(os.path.realpath(text))
    folder, name = os.path.split(os.path.abspath(text))
    return _slashes(os.path.join(os.path.realpath(folder), name))


def _slashes(path: str) -> bytes:
    return os.fsencode(path.replace(os.sep, "/"))


def check_exists(path: str | bytes | os.PathLike[str]) -> None:
    """Raise UsageError if there is neither a file nor a folder at the path.

    Of the name of a member, only the container is looked for.
    """
    if not os.path.lexists(path) and not is_container(outer_file(os.fsencode(path))):
        raise UsageError(f"{os.fsdecode(path)!r}: no such file or folder")


def identity(path: bytes) -> tuple[int, int]:
    """Return device and inode of a file or folder, links followed; zeros if there is none."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):  # ValueError: a forged name with a NUL in it
        return (0, 0)
    return (as_uint64(facts.st_dev), as_uint64(facts.st_ino))


def as_uint64(number: int) -> int:
    """Return the low 64 bits of a device or inode number, which some systems make longer."""
    return number & 0xFFFF_FFFF_FFFF_FFFF
