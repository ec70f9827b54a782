"""Grey pixels -> perceptual hashes, uint64 words. NumPy only.

A hasher is a grid and a comparison: the grid's numbers are the picture multiplied by two linear
operators, one for its rows and one for its columns; the comparison turns them into bits. Bit ``i``
of the hash as an integer is the ``i``-th comparison, row by row; word ``w`` of ``hashes`` holds
bits ``64 * w`` to ``64 * w + 63``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.grey import Grey
from imgdup.grids import Grid, sample
from imgdup.operators import Floats

PARAMETERS_VERSION = 1  # changes whenever any picture's hash does

PDQ_BITS = 256
PDQ_MAX_DISTANCE = 31  # bits at which the authors of PDQ take two pictures for the same
PDQ_MIN_QUALITY = 50  # below it a picture has too little structure to be compared
PERCENT = 100 / 255 * (1 + 1e-9)  # of full scale; whole percents stay whole in spite of rounding
PDQ_GRADIENTS = 90  # sum of differences that makes one point of quality
TINY_SIDE = 16  # pixels; a shorter side holds too little to compare, whatever samples of it say

TIE = 1e-5  # grey levels: what is so close below a half is taken for a half
COEFFICIENT_UNIT = 1e-6  # grey levels: coefficients equal after rounding to it are equal

Words = npt.NDArray[np.uint64]


class Hasher(NamedTuple):
    """A perceptual hash.

    Attributes
    ----------
    name : str
    widths : tuple of int
        Lengths it comes in, in bits, the default first.
    max_distance : mapping of int to int
        By length: the distance in bits up to which a search finds, unless the user says otherwise.
    grid : callable
        ``grid(bits)`` gives the `Grid` to look at.
    compare : callable
        ``compare(grids, bits)`` turns float64 (n, rows, columns) into uint64 (n, bits // 64).
    """

    name: str
    widths: tuple[int, ...]
    max_distance: Mapping[int, int]
    grid: Callable[[int], Grid]
    compare: Callable[[Floats, int], Words]

    def compute(self, grey: Grey, bits: int) -> Words:
        """Hash a picture: uint64 of shape (bits // 64,)."""
        words: Words = self.compare(_stacked(sample(grey, (self.grid(bits),))), bits)[0]
        return words


class Sampled(NamedTuple):
    """What hashing keeps of a picture: its grids, that of PDQ first, and whether it is tiny."""

    grids: list[Floats]
    tiny: bool


class Fingerprints(NamedTuple):
    """Search hashes, uint64 (n, words); PDQ hashes, uint64 (n, 4); qualities, uint8 (n,)."""

    hashes: Words
    pdq: Words
    qualities: npt.NDArray[np.uint8]


class Fingerprint(NamedTuple):
    """A picture's search hash, uint64 (words,), PDQ hash, uint64 (4,), and quality, 0 to 100."""

    hashes: Words
    pdq: Words
    quality: int


def fingerprint(grey: Grey, name: str, bits: int) -> Fingerprint:
    """Compute both hashes of a picture and its quality.

    The quality is that of PDQ, but 0 if a side is shorter than 16 pixels.

    Parameters
    ----------
    grey : Grey
    name : str
        Of the search hash, a key of ``HASHERS``.
    bits : int
        Length of the search hash, one of the hasher's ``widths``.

    Examples
    --------
    >>> grey = Grey(np.arange(0, 192, 2, dtype=np.uint8).reshape(1, 96).repeat(64, axis=0), 64, 96)
    >>> hashes, pdq, quality = fingerprint(grey, "dhash", 64)
    >>> hex(hashes[0]), quality
    ('0xffffffffffffffff', 22)
    """
    hashes, pdq, qualities = fingerprints([sample_picture(grey, name, bits)], name, bits)
    return Fingerprint(hashes[0], pdq[0], int(qualities[0]))


def sample_picture(grey: Grey, name: str, bits: int) -> Sampled:
    """Do what a fingerprint needs of the pixels; `fingerprints` does the rest for many at once.

    Parameters
    ----------
    grey : Grey
    name : str
    bits : int
        As in `fingerprint`.
    """
    return Sampled(sample(grey, _grids(name, bits)), min(grey.height, grey.width) < TINY_SIDE)


def fingerprints(sampled: Sequence[Sampled], name: str, bits: int) -> Fingerprints:
    """Compute the fingerprints of pictures from their samples.

    For a dozen and more it takes a third of the time that they take one by one.

    Parameters
    ----------
    sampled : sequence of Sampled
        At least one, by `sample_picture` with the same `name` and `bits`.
    name : str
    bits : int
        As in `fingerprint`.
    """
    samples, *others = (_stacked(each) for each in zip(*[s.grids for s in sampled], strict=True))
    pdq = compare_frequencies(samples, PDQ_BITS)
    hashes = HASHERS[name].compare(others[0], bits) if others else pdq
    large = [not s.tiny for s in sampled]
    return Fingerprints(hashes, pdq, pdq_qualities(samples) * np.array(large, dtype=np.uint8))


def compare_neighbours(grids: Floats, bits: int) -> Words:
    """Tell where a rounded average is darker than its right neighbour."""
    del bits
    levels = _levels(grids)
    return _packed(levels[:, :, :-1] < levels[:, :, 1:])


def compare_mean(grids: Floats, bits: int) -> Words:
    """Tell where a rounded average is brighter than the mean of all."""
    levels = _levels(grids)
    return _packed(levels * bits > levels.sum(axis=(1, 2), keepdims=True))


def compare_frequencies(grids: Floats, bits: int) -> Words:
    """Tell where a low frequency of a square grid is above the lower median of all.

    They are coefficients (1, 1) to (side, side) of the two-dimensional DCT-II.
    """
    basis = _cosines(_SIDES[bits], grids.shape[1])
    coefficients = np.rint(basis @ grids @ basis.T).reshape(-1, bits)
    middle = bits // 2 - 1
    medians = np.partition(coefficients, middle, axis=1)[:, middle, None]
    return _packed(coefficients > medians)


def pdq_qualities(samples: Floats) -> npt.NDArray[np.uint8]:
    """Sum the differences between neighbouring PDQ samples, as the standard does.

    Each difference counts in whole percents of the full scale.

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


_SIDES = {64: 8, 256: 16}  # of the square that so many bits fill


def _dhash_grid(bits: int) -> Grid:
    return Grid("area", _SIDES[bits], _SIDES[bits] + 1)


def _ahash_grid(bits: int) -> Grid:
    return Grid("area", _SIDES[bits], _SIDES[bits])


def _phash_grid(bits: int) -> Grid:
    return Grid("area", 4 * _SIDES[bits], 4 * _SIDES[bits])


def _pdq_grid(bits: int) -> Grid:
    return Grid("pdq", 4 * _SIDES[bits], 4 * _SIDES[bits])


def _levels(averages: Floats) -> Floats:
    """Round averages to integers, halves up."""
    return np.floor(averages + (0.5 + TIE))


@lru_cache
def _grids(name: str, bits: int) -> tuple[Grid, ...]:
    """Grids of a fingerprint: that of PDQ, and that of the search hash if it is another."""
    return tuple(dict.fromkeys((PDQ_GRID, HASHERS[name].grid(bits))))


@lru_cache
def _cosines(side: int, columns: int) -> Floats:
    """Rows 1 to `side` of the orthonormal DCT-II, in a unit that makes coefficients comparable."""
    angles = np.arange(1, side + 1)[:, None] * (2 * np.arange(columns) + 1) * (np.pi / 2 / columns)
    basis: Floats = np.cos(angles) * np.sqrt(2 / columns / COEFFICIENT_UNIT)
    return basis


def _stacked(grids: Sequence[Floats]) -> Floats:
    """Put grids of one shape into one array; they come transposed from their products."""
    return np.stack([grid.T for grid in grids]).swapaxes(1, 2)


def _packed(flags: npt.NDArray[np.bool_]) -> Words:
    """Comparisons, row by row, as words: the first comparison is the lowest bit."""
    octets = np.packbits(flags.reshape(len(flags), -1), axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


PDQ_GRID = _pdq_grid(PDQ_BITS)

HASHERS: Mapping[str, Hasher] = {
    "dhash": Hasher("dhash", (64, 256), {64: 10, 256: 31}, _dhash_grid, compare_neighbours),
    "ahash": Hasher("ahash", (64, 256), {64: 10, 256: 31}, _ahash_grid, compare_mean),
    "phash": Hasher("phash", (64, 256), {64: 10, 256: 31}, _phash_grid, compare_frequencies),
    "pdq": Hasher("pdq", (256,), {256: PDQ_MAX_DISTANCE}, _pdq_grid, compare_frequencies),
}
