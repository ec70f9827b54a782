"""Find pairs of images by match hash when one may be rotated, mirrored or a crop of the other.

Nothing is stored for this. The hashes of all eight orientations follow from the bits of one, so the
hashes of one side are turned when pairs are looked for. Turning both of two hashes alike does not
change their distance, therefore it does not matter which side is turned.

For crops: the bits of a match hash are the signs of the low frequencies of a picture. The
frequencies of a part of the picture can be computed from those of the whole. Their size is not
known, but in photos it falls with the frequency, so that the signs alone give a rough picture, and
the signs of its part agree with the hash of a real crop much better than those of the whole do.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from imgdup.hashing import dihedral_hashes
from imgdup.images.gray import ORIENTATIONS
from imgdup.native import hashes as native
from imgdup.native.hashes import LikelyParts
from imgdup.search import distances
from imgdup.search.equal import Pairs
from imgdup.search.join import JoinStats, iter_pairs

# The orientation that turns a picture back, by number from 0; that of a quarter turn is another.
INVERSE = np.array([0, 1, 2, 3, 4, 7, 6, 5])
PAIRS_TOGETHER = 1 << 16  # whose hashes are turned at a time: 16 MB

# Parts of a picture by what is cut off: shares at the top, bottom, left and right.
_ALL_SIDES = tuple((share,) * 4 for share in (0.015, 0.025, 0.04, 0.05))
_ONE_SIDE = tuple(tuple(0.05 * (side == each) for each in range(4)) for side in range(4))
CROPS: tuple[tuple[float, ...], ...] = (*_ALL_SIDES, *_ONE_SIDE)
WIDEST_JOIN = (0.05,) * 4  # pairs are looked for with the hash of this part, too

NEAR_WHOLE, NEAR_PART = 72, 68  # bits up to which pairs are looked at
MOST_DIFFERENT = 115  # thousandths of the weight of all frequencies
# The same, if it is at most half of what differs without a crop. Of photos that only look alike,
# hardly more differs in the whole.
MOST_DIFFERENT_IN_CROPS = 130
UNCUT = (0.0,) * 4
FALL = 0.5  # the size of a frequency is taken to fall with its length to the power of this

SIDE = 16  # frequencies in each direction
SAMPLES = 64  # lines of the grid that a match hash is made of
UNIT = 1 << 10  # weights are whole multiples of 1 / UNIT, so that sums are exact

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def pairs_in_orientation(
    orientation: int,
    left: Words,
    max_distance: int,
    *,
    other: Words | None = None,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find the pairs of match hashes within a distance that are nearest in one orientation; exact.

    The orientation, a position in `imgdup.images.gray.ORIENTATIONS`, is how the right picture is
    turned to lie as the left one. Over all orientations each pair occurs once. The first of equally
    near orientations counts, so that a picture which is its own mirror image is not found twice.
    `stats` are updated while the join runs; the progress is that of all orientations. If they have
    a layout, that is used.
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
    if stats is None:
        return JoinStats()
    own, report = replace(stats, n_compared=0), stats.on_progress
    if report is not None:
        own.on_progress = lambda share: report((orientation + share) / len(ORIENTATIONS))
    return own


def nearest_orientations(
    left: Words, right: Words, i: Integers, j: Integers
) -> tuple[Integers, Integers]:
    """Find the nearest orientation of pairs of match hashes: their distances, and the orientations.

    The pairs are positions in `left` and in `right`, which is turned. Orientations are positions in
    `imgdup.images.gray.ORIENTATIONS`; of equally near ones the first.
    """
    bits, nearest = np.empty(len(i), np.int64), np.empty(len(i), np.int64)
    for start in range(0, len(i), PAIRS_TOGETHER):
        part = slice(start, start + PAIRS_TOGETHER)
        turned = dihedral_hashes(right[j[part]])
        each = np.array([distances(left[i[part]], hashes) for hashes in turned])
        nearest[part] = each.argmin(axis=0)
        bits[part] = each.min(axis=0)
    return bits, nearest


@cache
def _operator(before: float, after: float) -> Reals:
    """Return the matrix from frequencies along an axis to those of a part, in units of 1 / UNIT."""
    waves = np.arange(SIDE)
    scale = np.sqrt(np.where(waves > 0, 2.0, 1.0))[:, np.newaxis]
    places = (np.arange(SAMPLES) + 0.5) / SAMPLES
    inside = before + (1 - before - after) * places
    whole, part = (scale * np.cos(np.pi * np.outer(waves, x)) for x in (inside, places))
    return np.asarray(np.rint(part @ whole.T * (UNIT / SAMPLES)))


def likely_parts(match: Words, crop: tuple[float, ...]) -> LikelyParts:
    """Return about the match hashes that a part of each picture has.

    `crop` has the shares that are cut off at the top, bottom, left and right.
    """
    squares = np.arange(SIDE) ** 2
    sizes = np.rint(UNIT * (1 + squares[:, np.newaxis] + squares) ** (-FALL / 2))
    sizes[0, 0] = 0  # of the mean brightness, which is not known
    return native.likely_parts(match, sizes, _operator(*crop[:2]), _operator(*crop[2:]))


def are_crops(left: Words, right: Words, i: Integers, j: Integers) -> npt.NDArray[np.bool_]:
    """Return of pairs of match hashes whether one picture may be a crop of the other.

    That is so if the hash that a part of one is likely to have and the hash of the other differ in
    frequencies that have 11.5 % of the weight of all, or less; or 13 %, if that is at most half of
    what it is for the whole.
    """
    if left is right:  # a picture of many pairs is often the first of some and the second of others
        found = _have_parts(left, np.concatenate([i, j]), left[np.concatenate([j, i])])
        return found[: len(i)] | found[len(i) :]
    return _have_parts(left, i, right[j]) | _have_parts(right, j, left[i])


def _have_parts(wholes: Words, which: Integers, others: Words) -> npt.NDArray[np.bool_]:
    """Return of some of the hashes whether parts of their pictures may have the other hashes."""
    found = np.zeros(len(which), bool)
    rows, place = np.unique(which, return_inverse=True)
    uncut, all_uncut = _different(likely_parts(wholes[rows], UNCUT), place, others)
    for crop in CROPS:
        different, weights = _different(likely_parts(wholes[rows], crop), place, others)
        is_crop = 2 * different * all_uncut <= uncut * weights
        most = np.where(is_crop, MOST_DIFFERENT_IN_CROPS, MOST_DIFFERENT)
        found |= 1000 * different <= most * weights
    return found


def _different(part: LikelyParts, place: Integers, others: Words) -> tuple[Integers, Integers]:
    """Return the weight of the frequencies in which parts and other hashes differ, and of all."""
    differs = part.hashes[place] ^ others
    weight = np.zeros(len(place), np.int64)
    for k, plane in enumerate(part.planes):
        weight += np.bitwise_count(differs & plane[place]).sum(axis=1, dtype=np.int64) << k
    return weight, part.weights[place]


def crop_pairs(
    left: Words, *, other: Words | None = None, threads: int | None = None
) -> Iterator[Pairs]:
    """Find the pairs of match hashes of which one may be a crop of the other, in blocks.

    Those are looked at whose hashes are within 72 bits, and those where the hash that a part of one
    picture is likely to have is within 68 bits of the hash of the other picture. A pair may be
    found several times, always with the distance of the two hashes as they are.
    """
    right = left if other is None else other
    for i, j, bits in _near_pairs(left, other, threads):
        kept = are_crops(left, right, i, j)
        yield Pairs(i[kept], j[kept], bits[kept])


def _near_pairs(left: Words, other: Words | None, threads: int | None) -> Iterator[Pairs]:
    """Find the pairs that are to be looked at, with the distances of the two hashes as they are."""
    yield from iter_pairs(left, NEAR_WHOLE, other=other, threads=threads)
    right = left if other is None else other
    parts = likely_parts(left, WIDEST_JOIN).hashes
    joins = [(parts, right)]
    if other is not None:
        joins.append((left, likely_parts(other, WIDEST_JOIN).hashes))
    for one, another in joins:
        for i, j, _ in iter_pairs(one, NEAR_PART, other=another, threads=threads):
            whole = distances(left[i], right[j])
            far = whole > NEAR_WHOLE  # the others were found before
            i, j, bits = i[far], j[far], whole[far].astype(np.uint16)
            if other is None:
                i, j = np.minimum(i, j), np.maximum(i, j)
            yield Pairs(i, j, bits)
