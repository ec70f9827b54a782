"""Choose the distance within which a search finds few enough pairs of different pictures by chance.

Takes hashes of a sample of a collection and the number of pairs that are compared; known duplicates
in the sample do not count, since they are not there by chance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index.columns import Rows, images
from imgdup.query.match import are_duplicates
from imgdup.query.row_pairs import COLUMNS, Side
from imgdup.search.chance import Chance, count_distances, estimate, sample_rows

Words = npt.NDArray[np.uint64]


class Pictures(NamedTuple):
    """What is known of some pictures, one row each, as in the columns of an index."""

    hashes: Words
    match: Words
    quality: npt.NDArray[np.uint8]
    digest: npt.NDArray[np.uint8]


def known_duplicates(pictures: Pictures) -> npt.NDArray[np.bool_]:
    """Return which pairs of pictures are duplicates by their match hashes or bytes: (n, n)."""
    n = len(pictures.match)
    found = np.zeros((n, n), np.bool_)
    for i in range(n):
        distances = np.bitwise_count(pictures.match ^ pictures.match[i]).sum(axis=1)
        quality = np.minimum(pictures.quality, pictures.quality[i])
        same_bytes = np.all(pictures.digest == pictures.digest[i], axis=1)
        found[i] = are_duplicates(distances, quality, same_bytes)
    return found


def chance_among(pictures: Pictures, by: str) -> Chance | None:
    """Estimate the share of pairs that are within each distance by chance.

    Parameters
    ----------
    pictures : Pictures
        A sample of a collection, as `sample_rows` chooses it. By match hash, all of them
        have enough structure to be compared.
    by : str
        ``"match"`` or ``"search"``: which hash is compared.

    Returns
    -------
    Chance or None
        None if the pictures are too few, or too much alike, for an estimate.
    """
    hashes = pictures.match if by == "match" else pictures.hashes
    first = MATCH_MAX_DISTANCE + 1 if by == "match" else 0
    return estimate(count_distances(hashes, known_duplicates(pictures)), first)


def pairs_distance(
    max_false_pairs: float, left: Side, right: Side | None = None, *, by: str
) -> int:
    """Return the largest distance within which few enough pairs are expected by chance.

    Parameters
    ----------
    max_false_pairs : float
        How many pairs of different pictures are accepted.
    left, right : Side
        What is compared: the images of one side with each other, or those of two sides.
    by : str
        ``"match"`` or ``"search"``.

    Raises
    ------
    UsageError
        If there are too few images for an estimate, or the number is too small for any distance.
    """
    sides = [left] if right is None else [left, right]
    if by == "match":
        sides = [side.with_structure() for side in sides]
    n, m = len(sides[0].rows), len(sides[-1].rows)
    n_pairs = n * (n - 1) // 2 if right is None else n * m
    return _distance(chance_among(_sample(sides), by), n_pairs, max_false_pairs)


def query_distance(rows: Rows, max_false_pairs: float, n_probes: int) -> int:
    """Return that distance for so many probes, whose search hashes are looked up in an index."""
    side = Side(rows, images(rows))
    chance = chance_among(_sample([side]), "search")
    return _distance(chance, n_probes * len(side.rows), max_false_pairs)


def _distance(chance: Chance | None, n_pairs: int, max_false_pairs: float) -> int:
    if chance is None:
        raise UsageError(
            "--max-false-pairs: there are too few different images for an estimate; give --max-dist"
        )
    found = chance.largest_distance(n_pairs, max_false_pairs)
    if found is None:
        raise UsageError(
            f"--max-false-pairs {max_false_pairs:g}: even at distance 0, more pairs of different "
            "images are expected; give a larger number, or --max-dist"
        )
    return found


def _sample(sides: list[Side]) -> Pictures:
    """Take the columns of some images of all sides, chosen at random."""
    ends = np.cumsum([len(side.rows) for side in sides])
    chosen = sample_rows(int(ends[-1]))
    parts = [
        Side(side.index, side.rows[chosen[(chosen >= end - len(side.rows)) & (chosen < end)] - end])
        for side, end in zip(sides, ends.tolist(), strict=True)
    ]
    names = (COLUMNS["search"], COLUMNS["match"], "quality", "digest")
    return Pictures(*(np.concatenate([part.column(name) for part in parts]) for name in names))
