"""Estimate the pairs of different pictures that an index has by chance; choose a distance by it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index.columns import PDQ, Rows, images
from imgdup.query.chance import Chance, Counts, count_distances, estimate, sample_rows
from imgdup.query.match import are_duplicates
from imgdup.query.row_pairs import COLUMNS, Side
from imgdup.search.hamming import Hashes


class Pictures(NamedTuple):
    """What is known of some pictures, one row each, as in the columns of an index."""

    hashes: Hashes
    match: Hashes
    quality: npt.NDArray[np.uint8]
    digest: npt.NDArray[np.uint8]
    pdq: Hashes | None = None

    def of(self, rows: Counts) -> "Pictures":
        """Return some of the pictures."""
        hashes, match, quality, digest, pdq = self
        some = None if pdq is None else pdq[rows]
        return Pictures(hashes[rows], match[rows], quality[rows], digest[rows], some)

    def hashes_by(self, by: str) -> Hashes:
        """Return the hashes that ``"match"``, ``"search"`` or ``"pdq"`` names."""
        found = {"match": self.match, "search": self.hashes, "pdq": self.pdq}[by]
        if found is None:
            raise UsageError("these pictures have no PDQ hashes")
        return found


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


def different_pairs(hashes: Hashes, pictures: Pictures) -> tuple[Counts, Counts, Counts]:
    """Return the row numbers and the distances of all pairs that are no known duplicates."""
    duplicates = known_duplicates(pictures)
    nothing = np.zeros(0, np.int64)
    left, right, far = [nothing], [nothing], [nothing]
    for i in range(len(hashes) - 1):
        others = i + 1 + np.flatnonzero(~duplicates[i, i + 1 :])
        left.append(np.full(len(others), i))
        right.append(others)
        far.append(np.bitwise_count(hashes[others] ^ hashes[i]).sum(axis=1, dtype=np.int64))
    return np.concatenate(left), np.concatenate(right), np.concatenate(far)


def chance_among(pictures: Pictures, by: str) -> Chance | None:
    """Estimate the share of pairs that are within each distance by chance.

    Parameters
    ----------
    pictures : Pictures
        A sample of a collection, as `sample_rows` chooses it. By match hash and PDQ hash, all of
        them have enough structure to be compared.
    by : str
        ``"match"``, ``"search"`` or ``"pdq"``: which hash is compared.

    Returns
    -------
    Chance or None
        None if the pictures are too few, or too much alike, for an estimate.
    """
    hashes = pictures.hashes_by(by)
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
    chance, n_pairs = _chance_and_pairs(left, right, by)
    return _distance(chance, n_pairs, max_false_pairs)


def expected_pairs(
    max_distance: int, left: Side, right: Side | None = None, *, by: str
) -> float | None:
    """Estimate how many pairs of different pictures are within a distance.

    The parameters are those of `pairs_distance`; None if there are too few images.
    """
    chance, n_pairs = _chance_and_pairs(left, right, by)
    return None if chance is None else float(chance.shares[max_distance]) * n_pairs


def _chance_and_pairs(left: Side, right: Side | None, by: str) -> tuple[Chance | None, int]:
    """Return the shares within each distance, and the number of pairs that are compared."""
    sides = [left] if right is None else [left, right]
    if by == "match":
        sides = [side.with_structure() for side in sides]
    n, m = len(sides[0].rows), len(sides[-1].rows)
    n_pairs = n * (n - 1) // 2 if right is None else n * m
    return chance_among(_sample(sides), by), n_pairs


def query_distance(rows: Rows, max_false_pairs: float, n_probes: int) -> int:
    """Return the same distance for a number of probes that are looked up by their search hashes."""
    side = Side(rows, images(rows))
    chance = chance_among(_sample([side]), "search")
    return _distance(chance, n_probes * len(side.rows), max_false_pairs)


def _distance(chance: Chance | None, n_pairs: int, max_false_pairs: float) -> int:
    if chance is None:
        raise UsageError(
            "there are too few different images to estimate the false pairs; choose a distance"
        )
    found = chance.largest_distance(n_pairs, max_false_pairs)
    if found is None:
        raise UsageError(
            f"even at distance 0, more than {max_false_pairs:g} pairs of different images are "
            "expected; accept more of them, or choose a distance"
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
    return pictures_of(parts)


def pictures_of(sides: Sequence[Side]) -> Pictures:
    """Take the columns of all images of some sides; PDQ hashes if every side has them."""
    names = [COLUMNS["search"], COLUMNS["match"], "quality", "digest"]
    names += [PDQ] if all(side.has_pdq() for side in sides) else []
    return Pictures(*(np.concatenate([side.column(name) for side in sides]) for name in names))
