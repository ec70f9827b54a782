"""Grey pixels -> perceptual hashes, uint64 words.

A hasher is a grid and a comparison: the grid's numbers are the picture multiplied by two linear
operators, one for its rows and one for its columns; the comparison turns them into bits.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.comparisons import (
    Words,
    compare_frequencies,
    compare_mean,
    compare_neighbours,
    pdq_qualities,
)
from imgdup.grey import Grey
from imgdup.grids import Grid, sample
from imgdup.operators import Floats

PARAMETERS_VERSION = 1  # changes whenever any picture's hash does

PDQ_BITS = 256
PDQ_MAX_DISTANCE = 31  # bits at which the authors of PDQ take two pictures for the same
PDQ_MIN_QUALITY = 50  # below it a picture has too little structure to be compared
TINY_SIDE = 16  # pixels; a shorter side holds too little to compare, whatever samples of it say


class Hasher(NamedTuple):
    """A perceptual hash.

    Attributes
    ----------
    name : str
    grids : mapping of int to Grid
        What it looks at, by its length in bits; the default length comes first.
    max_distance : mapping of int to int
        By length: the distance in bits up to which a search finds, unless the user says otherwise.
    compare : callable
        ``compare(grids, bits)`` turns float64 (n, rows, columns) into uint64 (n, bits // 64).
    """

    name: str
    grids: Mapping[int, Grid]
    max_distance: Mapping[int, int]
    compare: Callable[[Floats, int], Words]

    @property
    def widths(self) -> tuple[int, ...]:
        """Lengths that it comes in, in bits, the default first."""
        return tuple(self.grids)

    def compute(self, grey: Grey, bits: int) -> Words:
        """Hash a picture: uint64 of shape (bits // 64,)."""
        words: Words = self.compare(_stacked(sample(grey, (self.grids[bits],))), bits)[0]
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


@lru_cache
def _grids(name: str, bits: int) -> tuple[Grid, ...]:
    """Grids of a fingerprint: that of PDQ, and that of the search hash if it is another."""
    return tuple(dict.fromkeys((_PDQ_GRID, HASHERS[name].grids[bits])))


def _stacked(grids: Sequence[Floats]) -> Floats:
    """Put grids of one shape into one array; they come transposed from their products."""
    return np.stack([grid.T for grid in grids]).swapaxes(1, 2)


_PDQ_GRID = Grid("pdq", 64, 64)
_DISTANCES = {64: 10, 256: 31}

HASHERS: Mapping[str, Hasher] = {
    "dhash": Hasher(
        "dhash",
        {64: Grid("area", 8, 9), 256: Grid("area", 16, 17)},
        _DISTANCES,
        compare_neighbours,
    ),
    "ahash": Hasher(
        "ahash", {64: Grid("area", 8, 8), 256: Grid("area", 16, 16)}, _DISTANCES, compare_mean
    ),
    "phash": Hasher(
        "phash",
        {64: Grid("area", 32, 32), 256: Grid("area", 64, 64)},
        _DISTANCES,
        compare_frequencies,
    ),
    "pdq": Hasher("pdq", {PDQ_BITS: _PDQ_GRID}, {PDQ_BITS: PDQ_MAX_DISTANCE}, compare_frequencies),
}
