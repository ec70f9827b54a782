"""Grey pixels -> perceptual hashes, uint64 words. NumPy only.

Every hash is a grid of the picture, made by two linear operators, and a comparison. Bit ``i`` of
the hash as an integer is the ``i``-th comparison, row by row; word ``w`` of ``hashes`` holds bits
``64 * w`` to ``64 * w + 63``.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.grey import Grey
from imgdup.operators import area_grid, pdq_samples

PARAMETERS_VERSION = 1  # changes whenever any picture's hash does

PDQ_BITS = 256
PDQ_MAX_DISTANCE = 31  # bits; what PDQ's authors advise for "the same picture"
PDQ_MIN_QUALITY = 50  # of 100; below it a PDQ hash says too little to be compared
PDQ_MIN_SIDE = 5  # pixels; PDQ gives smaller pictures the zero hash of quality 0

TIE = 1e-5  # grey levels: an average so close below a half is rounded up as one that is on it
COEFFICIENT_DECIMALS = 6  # coefficients that agree so far are equal: flat pictures give no noise

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


class Hasher(NamedTuple):
    """A perceptual hash.

    Attributes
    ----------
    name : str
    widths : tuple of int
        Lengths it comes in, in bits, the default first.
    max_distance : mapping of int to int
        By width: the largest distance, in bits, at which two pictures are taken for matches
        unless the user says otherwise.
    compute : callable
        ``compute(grey, bits)`` gives uint64 of shape (bits // 64,).
    """

    name: str
    widths: tuple[int, ...]
    max_distance: Mapping[int, int]
    compute: Callable[[Grey, int], Words]


class Fingerprint(NamedTuple):
    """Search hash, uint64 (words,); PDQ hash, uint64 (4,); PDQ quality, 0 to 100."""

    hashes: Words
    pdq: Words
    quality: int


def fingerprint(grey: Grey, name: str, bits: int) -> Fingerprint:
    """Compute a picture's search hash, PDQ hash and quality.

    Parameters
    ----------
    grey : Grey
    name : str
        Of the search hash, a key of ``HASHERS``.
    bits : int
        Its length, one of the hasher's ``widths``.
    """
    pdq, quality = pdq_hash(grey)
    hashes = pdq if name == "pdq" else HASHERS[name].compute(grey, bits)
    return Fingerprint(hashes, pdq, quality)


def dhash(grey: Grey, bits: int) -> Words:
    """Compute the difference hash: is an area average darker than its right neighbour.

    64 bits from a grid of 9 x 8 averages, 256 bits from 17 x 16; averages are rounded to integers,
    halves up, so that flat regions tie (bit 0) instead of flickering.

    References
    ----------
    .. [1] N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013.
    .. [2] A. Rosebrock, "Image hashing with OpenCV and Python", PyImageSearch, 2017: the bit
       order.
    """
    side = _side(bits)
    levels = _levels(area_grid(grey, side, side + 1))
    return _pack(levels[:, :-1] < levels[:, 1:])


def ahash(grey: Grey, bits: int) -> Words:
    """Compute the average hash: is an area average brighter than the mean of all.

    64 bits from a grid of 8 x 8 averages, 256 bits from 16 x 16, rounded as in `dhash`.

    References
    ----------
    .. [1] N. Krawetz, "Looks Like It", The Hacker Factor Blog, 2011.
    """
    side = _side(bits)
    levels = _levels(area_grid(grey, side, side))
    return _pack(levels * bits > levels.sum())


def phash(grey: Grey, bits: int) -> Words:
    """Compute the DCT hash: is a low frequency above the median of the low frequencies.

    64 bits: 8 x 8 coefficients of a grid of 32 x 32 averages; 256 bits: 16 x 16 of 64 x 64. The
    first row and column of the transform, which hold the mean brightness, are left out. The median
    is the lower one: as many bits are 0 as 1 unless coefficients are equal.

    References
    ----------
    .. [1] C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
       section 3.2.1.
    """
    side = _side(bits)
    return _above_median(area_grid(grey, 4 * side, 4 * side), side)


def pdq_hash(grey: Grey) -> tuple[Words, int]:
    """Compute the PDQ hash and its quality.

    The 16 x 16 low frequencies of 64 x 64 samples, each compared with their median. A picture
    with a side under 5 pixels gives the zero hash of quality 0.

    Returns
    -------
    hashes : ndarray of uint64, shape (4,)
    quality : int
        From 0 to 100: the sum of the differences between neighbouring samples.

    References
    ----------
    .. [1] Facebook, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm",
       2019.
    """
    if min(grey.height, grey.width) < PDQ_MIN_SIDE:
        return np.zeros(PDQ_BITS // 64, dtype=np.uint64), 0
    samples = pdq_samples(grey)
    return _above_median(samples, _side(PDQ_BITS)), pdq_quality(samples)


def pdq_quality(samples: Floats) -> int:
    """Sum the differences between neighbouring samples, in whole percents of full scale."""
    total = 0
    for axis in (0, 1):
        total += int((np.abs(np.diff(samples, axis=axis)) * (100 / 255) + TIE).astype(int).sum())
    return min(total // 90, 100)


def _pdq_words(grey: Grey, bits: int) -> Words:
    """PDQ in the form of the other hashers."""
    return pdq_hash(grey)[0]


def _side(bits: int) -> int:
    """Side of the square that so many bits fill."""
    return 8 if bits == 64 else 16


def _levels(averages: Floats) -> npt.NDArray[np.int64]:
    """Round averages to integers, halves up."""
    return np.floor(averages + (0.5 + TIE)).astype(np.int64)


def _above_median(grid: Floats, side: int) -> Words:
    """Compare the low frequencies of a square grid with their lower median."""
    basis = _cosines(side, len(grid))
    coefficients = np.round(basis @ grid @ basis.T, COEFFICIENT_DECIMALS).ravel()
    middle = len(coefficients) // 2 - 1
    return _pack(coefficients > np.partition(coefficients, middle)[middle])


@lru_cache
def _cosines(rows: int, columns: int) -> Floats:
    """Rows 1 to `rows` of the orthonormal DCT-II of so many columns."""
    frequency = np.arange(1, rows + 1)[:, None]
    angle = np.pi / (2 * columns) * frequency * (2 * np.arange(columns) + 1)
    return np.sqrt(2 / columns) * np.cos(angle)


def _pack(flags: npt.NDArray[np.bool_]) -> Words:
    """Comparisons, row by row, as words, the first comparison in the lowest bit."""
    return np.packbits(flags, bitorder="little").view("<u8").astype(np.uint64, copy=False)


HASHERS: Mapping[str, Hasher] = {
    "dhash": Hasher("dhash", (64, 256), {64: 10, 256: 31}, dhash),
    "ahash": Hasher("ahash", (64, 256), {64: 10, 256: 31}, ahash),
    "phash": Hasher("phash", (64, 256), {64: 10, 256: 31}, phash),
    "pdq": Hasher("pdq", (256,), {256: PDQ_MAX_DISTANCE}, _pdq_words),
}
