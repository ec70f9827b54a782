"""Paths as imgdup keeps them: bytes, absolute, ``/`` between parts on every system."""

import os

from imgdup.errors import UsageError


def path_key(path: bytes) -> bytes:
    """Return what sorts paths by their parts (no name holds a NUL)."""
    return path.replace(b"/", b"\0")


def join(root: bytes, relative: bytes) -> bytes:
    """Return the absolute path; files that were named one by one have the root ``b""``."""
    return root + relative if root.endswith(b"/") or not root else root + b"/" + relative


def is_below(path: bytes, folder: bytes) -> bool:
    """Tell whether `path` is `folder` or lies in it."""
    return not folder or path == folder or path.startswith(join(folder, b""))


def absolute(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return a path as imgdup keeps it: absolute, links of folders resolved, ``/`` between parts.

    The last part of a path to a file stays as it is, so that a link keeps its own name.

    Raises
    ------
    UsageError
        If the path is empty.
    """
    text = os.fsdecode(path)
    if not text:
        raise UsageError("an empty name means nothing: say . for the current folder")
    if os.path.isdir(text):
        return _slashes(os.path.realpath(text))
    folder, name = os.path.split(os.path.abspath(text))
    return _slashes(os.path.join(os.path.realpath(folder), name))


def _slashes(path: str) -> bytes:
    return os.fsencode(path.replace(os.sep, "/"))


def check_exists(path: str | bytes | os.PathLike[str]) -> None:
    """Raise UsageError where there is neither file nor folder."""
    if not os.path.lexists(path):
        raise UsageError(f"{os.fsdecode(path)!r}: no such file or folder")


def identity(path: bytes) -> tuple[int, int]:
    """Return device and inode of the file or folder that a path leads to, zeros if it does not."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):  # of a forged name with a NUL in it
        return (0, 0)
    return (facts.st_dev, facts.st_ino)
