"""Lists of paths -> files for other programs, one path after the other, all of them or none."""

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from imgdup.dedupe.split import Split
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.rows import Rows, listed_paths
from imgdup.system.atomic import replacing

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


def write_split(folder: Path, rows: Rows, division: Split, end: bytes = b"\n") -> list[Path]:
    """Write one list of paths a split: ``NAME.txt``, in path order.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    rows : Rows
    division : Split
    end : bytes
        What ends a path: a newline, or NUL.

    Raises
    ------
    ImgdupError
        If a list cannot be written, or a path holds a newline and that is what ends paths.
    UsageError
        If the folder holds a list of another split.
    """
    lists = {
        folder / f"{name}.txt": list_data(
            listed_paths(rows, division.images[division.places == place]), end
        )
        for place, name in enumerate(division.names)
    }
    _check_folder(folder, lists)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImgdupError(f"--out {folder}: {error.strerror}; nothing was written") from error
    write_lists(lists)
    return list(lists)


def _check_folder(folder: Path, lists: Container[Path]) -> None:
    """Refuse a folder with other lists: one of an earlier split would share pictures with these."""
    for file in sorted(folder.glob("*.txt")):
        if file not in lists:
            raise UsageError(
                f"--out {folder} holds {file.name}, which is none of these lists: delete it, or "
                "name another folder"
            )
