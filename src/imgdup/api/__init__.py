"""The library as objects: an index, its groups and plans, comparisons and splits of sets.

This module makes records of the facts of an index: its images, failed files and pairs.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgdup.images.formats import OK, reason_of
from imgdup.index.columns import RowNumbers, Rows
from imgdup.index.folder import Current
from imgdup.index.generation import Generation, GenerationRows, describe
from imgdup.system.paths import as_path

if TYPE_CHECKING:
    from imgdup.query.match import Match
    from imgdup.query.probe import Image
    from imgdup.query.row_pairs import RowPairs


class IndexedImage(NamedTuple):
    """An image of an index.

    Attributes
    ----------
    path : Path
        Absolute.
    width, height : int
        In pixels, upright.
    size : int
        Of the file, in bytes.
    quality : int
        How much structure the picture has, 0 to 100; below 50 it matches only by its bytes.
    row : int
        Its row in the index.
    """

    path: Path
    width: int
    height: int
    size: int
    quality: int
    row: int


class FailedFile(NamedTuple):
    """A file that could not be read, and why: a word, and one line for people."""

    path: Path
    reason: str
    detail: str


class Pair(NamedTuple):
    """Two indexed images that are near each other.

    Attributes
    ----------
    a, b : Path
        Absolute.
    distance, match_distance : int
        Of their search hashes, in bits, and of their match hashes, in bits of 256.
    duplicate : bool
        Whether the match distance is at most 31 and both qualities are at least 50, or the bytes
        are equal.
    orientation : str
        How `b` must be turned to lie as `a`, one of `imgdup.images.gray.ORIENTATIONS`.
    """

    a: Path
    b: Path
    distance: int
    match_distance: int
    duplicate: bool
    orientation: str


def indexed_images(rows: GenerationRows, images: RowNumbers) -> Iterator[IndexedImage]:
    """Yield the images of some rows, ascending."""
    paths = rows.generation.paths.of_rows(images.tolist())
    names = ("width", "height", "size", "quality")
    columns = (rows.column(name)[images].tolist() for name in names)
    for path, *facts in zip(paths, *columns, images.tolist(), strict=True):
        yield IndexedImage(as_path(path), *facts)


def failed_files(rows: GenerationRows) -> list[FailedFile]:
    """Return the files that could not be read, in path order."""
    status = rows.column("status")
    return [
        FailedFile(
            as_path(rows.path(row)), reason_of(int(status[row])), rows.generation.detail(row)
        )
        for row in np.flatnonzero(status != OK).tolist()
    ]


def matches_of(
    generation: Generation,
    image: "Image",
    limits: tuple[int | None, int | None],
    *,
    orientations: bool,
    by: str | None,
) -> "list[Match]":
    """Look up an image; `limits` are the largest distance and the number of matches."""
    from imgdup.query.matches import QueryOptions, look_up  # starts faster

    options = QueryOptions(*limits, orientations=orientations, by=by)
    return look_up(generation, image, options)


def pairs_of(blocks: "Iterable[RowPairs]", left: Rows, right: Rows) -> Iterator[Pair]:
    """Yield the pairs of some blocks; `left` and `right` are the tables of their rows."""
    for block in blocks:
        columns = (block.left, block.right, block.distances, block.match_distances, block.duplicate)
        lists = (*(column.tolist() for column in columns), block.orientation_names())
        for i, j, *facts in zip(*lists, strict=True):
            yield Pair(as_path(left.path(i)), as_path(right.path(j)), *facts)


def index_facts(folder: Path, current: Current | None, generation: Generation) -> dict[str, Any]:
    """Return the facts of an index, by the keys of ``imgdup info --json``."""
    files = [folder] if generation.is_pack else folder.rglob("*")
    n_bytes = sum(file.stat().st_size for file in files if file.is_file())
    facts = {**describe(generation), "bytes": n_bytes}
    if current is not None:  # a pack has no time
        facts["built"] = datetime.fromisoformat(current.built).isoformat()
        facts |= {"version": current.version, "generation": current.generation}
    return {**facts, "digest": generation.digest}
