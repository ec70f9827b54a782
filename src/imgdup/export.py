"""An index -> files that other programs read."""

import os
import pickle
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

from imgdup.atomic import replacing
from imgdup.index import ImageIndex


def export_pickle(index: ImageIndex, file: Path) -> int:
    """Write the hash dictionary as the tutorial has it: ``{hash: [paths]}``, builtins only.

    Returns
    -------
    int
        How many images were written.
    """
    generation = index.generation
    table: dict[int, list[str]] = {}
    offsets = generation.class_offsets.tolist()
    hashes = index.column("hashes")
    for start, stop in pairwise(offsets):
        rows = generation.class_rows[start:stop].tolist()
        number = int.from_bytes(hashes[rows[0]].tobytes(), "little")
        table[number] = [os.fsdecode(index.path(row)) for row in rows]
    data = pickle.dumps(dict(sorted(table.items())))
    with replacing(file, needed_bytes=len(data), sync=False) as out:
        out.write(data)
    return sum(map(len, table.values()))


FORMATS: Mapping[str, Callable[[ImageIndex, Path], int]] = {"pickle": export_pickle}
