"""Check the structure of an index, and find the temporary files beside its images.

What needs more than the index is checked by `imgdup.query.check_index`.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError
from imgdup.images.formats import OK, REASONS
from imgdup.index.columns import Rows
from imgdup.index.generation import GenerationRows
from imgdup.system.paths import TEMPORARY_NAME, path_key


def check_structure(index: GenerationRows) -> Iterator[str]:
    """Yield what is wrong with the structure of an index, one line each.

    Checks the checksum of every array, the offsets, the hash dictionary and the order of the paths;
    reads no pictures.
    """
    try:
        index.generation.check_arrays()
    except ImgdupError as error:
        yield str(error)
        return
    arrays = index.generation.arrays
    for name in ("path_offsets", "class_offsets", "detail_offsets"):
        if not _rises(arrays[name]):
            yield f"{name}: the offsets do not ascend"
    n, rows = len(index), index.generation.class_rows
    ok = np.flatnonzero(index.column("status") == OK)
    if not np.array_equal(np.sort(rows), ok):
        yield "class_rows: the hash dictionary does not contain each image once"
    first = index.column("same_file")
    if n and not (first.min() >= -1 and bool(np.all(first < np.arange(n)))):
        yield "same_file: a row names itself or a later row as the first row of its file"
    if index.column("status").max(initial=0) >= len(REASONS):
        yield "status: an unknown number"
    keys = map(path_key, index.generation.paths)
    if not all(a < b for a, b in _neighbours(keys)):
        yield "paths: not in path order"


def _rises(offsets: npt.NDArray[Any]) -> bool:
    return len(offsets) > 0 and int(offsets[0]) == 0 and bool(np.all(offsets[1:] >= offsets[:-1]))


def _neighbours(keys: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    previous = next(keys, None)
    for key in keys:
        if previous is not None:
            yield previous, key
        previous = key


def temporary_files(rows: Rows) -> Iterator[tuple[bytes, bytes]]:
    """Yield the path of each temporary file of apply and undo, and the token of its run.

    Only the folders of the files in the index are searched, and its roots.
    """
    folders = {os.path.dirname(rows.path(row)) for row in range(len(rows))}
    for folder in sorted(folders.union(root for root in rows.roots if root)):
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # gone, or not for us: imgdup index reports that
            continue
        for name in names:
            if match := TEMPORARY_NAME.fullmatch(name):
                yield os.path.join(folder, name), match[1]
