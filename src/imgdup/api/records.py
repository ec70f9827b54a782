"""What an index gives for each of its rows: an image, a failed file, or a pair."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

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


def pairs_of(
    block: RowPairs, left: Callable[[int], Path], right: Callable[[int], Path]
) -> Iterator[Pair]:
    """Yield the pairs of a block; `left` and `right` give the path of a row."""
    columns = (block.left, block.right, block.distances, block.match_distances, block.duplicate)
    lists = (*(column.tolist() for column in columns), block.orientation_names())
    for i, j, *facts in zip(*lists, strict=True):
        yield Pair(left(i), right(j), *facts)
