"""Find pairs of images by match hash when one may be rotated or mirrored.

The hashes of all eight orientations follow from the bits of one, so nothing is stored for them: the
hashes of one side are turned when pairs are looked for. Turning both of two hashes alike does not
change their distance, therefore it does not matter which side is turned.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imgdup.hashing import dihedral_hashes
from imgdup.images.gray import ORIENTATIONS
from imgdup.search.equal import Pairs
from imgdup.search.hamming import distances
from imgdup.search.join import JoinStats, iter_pairs

# The orientation that takes a picture back, by number from 0; that of a quarter turn is another.
INVERSE = np.array([0, 1, 2, 3, 4, 7, 6, 5])
PAIRS_TOGETHER = 1 << 16  # whose hashes are turned at a time: 16 MB

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]


def pairs_in_orientation(
    orientation: int,
    left: Words,
    max_distance: int,
    *,
    other: Words | None = None,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find the pairs within a distance that are nearest in one orientation; exact.

    Over all orientations each pair occurs once. The first of equally near orientations counts, so
    that a picture which is its own mirror image is not found twice.

    Parameters
    ----------
    orientation : int
        How the right picture is turned to lie as the left one: a position in
        `imgdup.images.gray.ORIENTATIONS`.
    left : ndarray of uint64, shape (n, 4)
        Match hashes.
    max_distance : int
        Largest accepted distance, in bits, inclusive.
    other : ndarray of uint64, shape (n_other, 4), optional
        Those to compare them with; by default they are compared with each other.
    threads : int, optional
        All cores by default.
    stats : JoinStats, optional
        Updated while the join runs; the progress is that of all orientations.

    Yields
    ------
    Pairs
        As `iter_pairs`.
    """
    own_stats = _share_of(stats, orientation)
    right = left if other is None else other
    turned = other if orientation == 0 else dihedral_hashes(right, [orientation])[0]
    for block in iter_pairs(left, max_distance, other=turned, threads=threads, stats=own_stats):
        kept = nearest_orientations(left, right, block.left, block.right)[1] == orientation
        if other is None:
            kept &= block.left < block.right
        if kept.any():
            yield Pairs(*(column[kept] for column in block))
    if stats is not None:
        stats.n_compared += own_stats.n_compared


def _share_of(stats: JoinStats | None, orientation: int) -> JoinStats:
    """Return statistics of the join of one orientation that report the progress of all."""
    report = None if stats is None else stats.on_progress
    if report is None:
        return JoinStats()
    return JoinStats(lambda share: report((orientation + share) / len(ORIENTATIONS)))


def nearest_orientations(
    left: Words, right: Words, i: Integers, j: Integers
) -> tuple[Integers, Integers]:
    """Find the nearest orientation of pairs of hashes: their distances, and the orientations.

    Parameters
    ----------
    left, right : ndarray of uint64, shape (n, 4)
        Match hashes.
    i, j : ndarray of int64, shape (n_pairs,)
        The pairs: positions in `left` and in `right`, which is turned.

    Returns
    -------
    tuple of ndarray of int64, shape (n_pairs,)
        Distances in bits, and positions in `imgdup.images.gray.ORIENTATIONS`; the first one of
        equally near ones.
    """
    bits, nearest = np.empty(len(i), np.int64), np.empty(len(i), np.int64)
    for start in range(0, len(i), PAIRS_TOGETHER):
        part = slice(start, start + PAIRS_TOGETHER)
        turned = dihedral_hashes(right[j[part]])
        each = np.array([distances(left[i[part]], hashes) for hashes in turned])
        nearest[part] = each.argmin(axis=0)
        bits[part] = each.min(axis=0)
    return bits, nearest
