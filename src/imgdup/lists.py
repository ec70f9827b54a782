"""Lists of paths -> files for other programs, one path after the other, all of them or none."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from imgdup.atomic import replacing
from imgdup.errors import ImgdupError

NEWLINE, NUL = b"\n", b"\0"


def list_data(paths: Iterable[bytes], end: bytes = NEWLINE) -> bytes:
    r"""Write paths as the content of a list.

    Parameters
    ----------
    paths : iterable of bytes
    end : bytes
        What ends a path: a newline, or NUL.

    Raises
    ------
    ImgdupError
        If a path holds a newline and that is what ends paths.

    Examples
    --------
    >>> list_data([b"a.jpg", b"b.jpg"])
    b'a.jpg\nb.jpg\n'
    """
    lines = list(paths)
    for line in lines:
        if end in line:
            name = os.fsdecode(line)
            raise ImgdupError(f"{name!r} holds a newline: end paths by NUL with --null")
    return b"".join(line + end for line in lines)


def write_lists(lists: Mapping[Path, bytes]) -> None:
    """Write lists, each of which appears whole or not at all.

    Parameters
    ----------
    lists : mapping
        File -> content, of `list_data`.

    Raises
    ------
    ImgdupError
        If one cannot be written.
    """
    for path, data in lists.items():
        with replacing(path, needed_bytes=len(data), sync=False) as file:
            file.write(data)
