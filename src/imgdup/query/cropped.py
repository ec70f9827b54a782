"""Find pairs of images by match hash when one may be a crop of the other.

The bits of a match hash are the signs of the low frequencies of a picture. The frequencies of a
part of the picture can be computed from those of the whole. Their size is not known, but in photos
it falls with the frequency, so that the signs alone give a rough picture, and the signs of its
part agree with the hash of a real crop much better than those of the whole do. As with turned
pictures, nothing is stored for this.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imgdup.native import hashes as native
from imgdup.native.hashes import LikelyParts
from imgdup.search.equal import Pairs
from imgdup.search.hamming import distances
from imgdup.search.join import iter_pairs

# Parts of a picture by what is cut off: shares at the top, bottom, left and right.
_ALL_SIDES = tuple((share,) * 4 for share in (0.015, 0.025, 0.04, 0.05))
_ONE_SIDE = tuple(tuple(0.05 * (side == each) for each in range(4)) for side in range(4))
CROPS: tuple[tuple[float, ...], ...] = (*_ALL_SIDES, *_ONE_SIDE)
WIDEST_JOIN = (0.05,) * 4  # pairs are looked for with the hash of this part, too

NEAR_WHOLE, NEAR_PART = 72, 68  # bits up to which pairs are looked at
MOST_DIFFERENT = 115  # thousandths of the weight of all frequencies
FALL = 0.5  # the size of a frequency is taken to fall with its length to the power of this

SIDE = 16  # frequencies in each direction
SAMPLES = 64  # lines of the grid that a match hash is made of
UNIT = 1 << 10  # weights are whole multiples of 1 / UNIT, so that sums are exact

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


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

    Parameters
    ----------
    match : ndarray of uint64, shape (n, 4)
    crop : tuple of float
        The shares that are cut off at the top, bottom, left and right.
    """
    squares = np.arange(SIDE) ** 2
    sizes = np.rint(UNIT * (1 + squares[:, np.newaxis] + squares) ** (-FALL / 2))
    sizes[0, 0] = 0  # of the mean brightness, which is not known
    return native.likely_parts(match, sizes, _operator(*crop[:2]), _operator(*crop[2:]))


def are_crops(left: Words, right: Words, i: Integers, j: Integers) -> npt.NDArray[np.bool_]:
    """Return of pairs of match hashes whether one picture may be a crop of the other.

    That is so if the hash that a part of one is likely to have and the hash of the other differ in
    frequencies that have 11.5 % of the weight of all, or less.

    Parameters
    ----------
    left, right : ndarray of uint64, shape (n, 4)
    i, j : ndarray of int64, shape (n_pairs,)
        The pairs: positions in `left` and in `right`.
    """
    found = np.zeros(len(i), bool)
    for wholes, whole, others in ((left, i, right[j]), (right, j, left[i])):
        rows, place = np.unique(whole, return_inverse=True)
        for crop in CROPS:
            part = likely_parts(wholes[rows], crop)
            differs = part.hashes[place] ^ others
            weight = np.zeros(len(i), np.int64)
            for k, plane in enumerate(part.planes):
                bits = np.bitwise_count(differs & plane[place]).sum(axis=1, dtype=np.int64)
                weight += bits << k
            found |= 1000 * weight <= MOST_DIFFERENT * part.weights[place]
    return found


def crop_pairs(
    left: Words, *, other: Words | None = None, threads: int | None = None
) -> Iterator[Pairs]:
    """Find the pairs of which one may be a crop of the other, in blocks.

    Those are looked at whose hashes are within 72 bits, and those where the hash that a part of one
    picture is likely to have is within 68 bits of the hash of the other picture.

    Parameters
    ----------
    left : ndarray of uint64, shape (n, 4)
        Match hashes.
    other : ndarray of uint64, shape (n_other, 4), optional
        Those to compare them with; by default they are compared with each other.
    threads : int, optional
        All cores by default.

    Yields
    ------
    Pairs
        As `iter_pairs`, but a pair may be found several times, always with the distance of the two
        hashes as they are.
    """
    right = left if other is None else other
    for block in _near_pairs(left, other, threads):
        kept = are_crops(left, right, block.left, block.right)
        i, j = block.left[kept], block.right[kept]
        yield Pairs(i, j, distances(left[i], right[j]).astype(np.uint16))


def _near_pairs(left: Words, other: Words | None, threads: int | None) -> Iterator[Pairs]:
    """Find the pairs to look at."""
    yield from iter_pairs(left, NEAR_WHOLE, other=other, threads=threads)
    parts = likely_parts(left, WIDEST_JOIN).hashes
    if other is None:
        for i, j, bits in iter_pairs(parts, NEAR_PART, other=left, threads=threads):
            apart = i != j
            i, j = np.minimum(i, j)[apart], np.maximum(i, j)[apart]
            yield Pairs(i, j, bits[apart])
        return
    yield from iter_pairs(parts, NEAR_PART, other=other, threads=threads)
    yield from iter_pairs(
        left, NEAR_PART, other=likely_parts(other, WIDEST_JOIN).hashes, threads=threads
    )
