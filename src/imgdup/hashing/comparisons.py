"""Grids of numbers -> bits: the comparisons that make hashes, many pictures at a time.

A comparison takes float64 (n, rows, columns) and gives uint64 (n, words). Bit ``i`` of a hash as an
integer is the ``i``-th comparison, row by row; word ``w`` holds bits ``64 * w`` to ``64 * w + 63``.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from imgdup.hashing.operators import Floats

PERCENT = 100 / 255 * (1 + 1e-9)  # of full scale; whole percents stay whole in spite of rounding
PDQ_GRADIENTS = 90  # sum of differences that makes one point of quality
TIE = 1e-5  # gray levels: what is so close below a half is taken for a half
COEFFICIENT_UNIT = 1e-6  # gray levels: coefficients equal after rounding to it are equal

Words = npt.NDArray[np.uint64]

_SIDES = {64: 8, 256: 16}  # of the square that so many bits fill


def compare_neighbours(grids: Floats, bits: int) -> Words:
    """Tell where an average is darker than its right neighbour: the dHash.

    Averages are rounded to integers, halves up, so that flat regions tie instead of flickering.

    Parameters
    ----------
    grids : ndarray of float64, shape (n, side, side + 1)
        Area averages, side 8 or 16.
    bits : int
        64 or 256.

    Returns
    -------
    ndarray of uint64, shape (n, bits // 64)

    References
    ----------
    .. [1] N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013.
    .. [2] A. Rosebrock, "Image hashing with OpenCV and Python", PyImageSearch, 2017: the order of
       the bits.
    """
    del bits
    levels = _levels(grids)
    return _packed(levels[:, :, :-1] < levels[:, :, 1:])


def compare_mean(grids: Floats, bits: int) -> Words:
    """Tell where an average is brighter than the mean of all: the aHash.

    Parameters
    ----------
    grids : ndarray of float64, shape (n, side, side)
        Area averages, side 8 or 16; they are rounded as those of the dHash.
    bits : int
        64 or 256.

    Returns
    -------
    ndarray of uint64, shape (n, bits // 64)

    References
    ----------
    .. [1] N. Krawetz, "Looks Like It", The Hacker Factor Blog, 2011.
    """
    levels = _levels(grids)
    return _packed(levels * bits > levels.sum(axis=(1, 2), keepdims=True))


def compare_frequencies(grids: Floats, bits: int) -> Words:
    """Tell where a low frequency is above the median of the low ones: the pHash, and PDQ.

    They are the coefficients (1, 1) to (side, side) of the two-dimensional DCT-II; row and column
    0, which hold the brightness, are left out. The median is the lower one.

    Parameters
    ----------
    grids : ndarray of float64, shape (n, 4 * side, 4 * side)
        Area averages for the pHash, PDQ's samples for PDQ; side 8 or 16.
    bits : int
        64 or 256.

    Returns
    -------
    ndarray of uint64, shape (n, bits // 64)

    References
    ----------
    .. [1] C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010:
       the pHash of 64 bits; that of 256 bits is the same with twice the side.
    .. [2] Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
       2019.
    """
    basis = _cosines(_SIDES[bits], grids.shape[1])
    coefficients = np.rint(basis @ grids @ basis.T).reshape(-1, bits)
    middle = bits // 2 - 1
    medians = np.partition(coefficients, middle, axis=1)[:, middle, None]
    return _packed(coefficients > medians)


def pdq_qualities(samples: Floats) -> npt.NDArray[np.uint8]:
    """Sum the differences between neighbouring PDQ samples, as the standard does.

    Each difference counts in whole percents of the full scale, and 90 of them make a point.

    Parameters
    ----------
    samples : ndarray of float64, shape (n, 64, 64)

    Returns
    -------
    ndarray of uint8, shape (n,)
        From 0 (flat) to 100.
    """
    totals = _steps(samples.swapaxes(1, 2))
    if (totals < PDQ_GRADIENTS * 100).any():
        totals += _steps(samples)
    return np.minimum(totals // PDQ_GRADIENTS, 100).astype(np.uint8)


def _steps(samples: Floats) -> Floats:
    """Sum, in whole percents, the differences between each row and the next."""
    steps = samples[:, 1:] - samples[:, :-1]
    steps *= PERCENT
    np.abs(steps, out=steps)
    totals: Floats = np.floor(steps, out=steps).sum(axis=(1, 2))
    return totals


def _levels(averages: Floats) -> Floats:
    """Round averages to integers, halves up."""
    return np.floor(averages + (0.5 + TIE))


@lru_cache
def _cosines(side: int, columns: int) -> Floats:
    """Rows 1 to `side` of the orthonormal DCT-II, in a unit that makes coefficients comparable."""
    angles = np.arange(1, side + 1)[:, None] * (2 * np.arange(columns) + 1) * (np.pi / 2 / columns)
    basis: Floats = np.cos(angles) * np.sqrt(2 / columns / COEFFICIENT_UNIT)
    return basis


def _packed(flags: npt.NDArray[np.bool_]) -> Words:
    """Comparisons, row by row, as words: the first comparison is the lowest bit."""
    octets = np.packbits(flags.reshape(len(flags), -1), axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)
