"""Gray pixels -> perceptual hashes, uint64 words.

A hasher is a grid and a comparison: the grid's numbers are the picture multiplied by two linear
operators, one for its rows and one for its columns; the comparison turns them into bits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing.comparisons import (
    Words,
    compare_frequencies,
    compare_mean,
    compare_neighbours,
    pdq_qualities,
)
from imgdup.hashing.grids import Grid, sample
from imgdup.hashing.operators import Floats
from imgdup.images.gray import GrayImage

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

    def compute(self, gray: GrayImage, bits: int) -> Words:
        """Hash a picture: uint64 of shape (bits // 64,)."""
        grids = (self.grids[bits],)
        room = _room(grids, 1)
        sample(gray, grids, [each[0] for each in room])
        words: Words = self.compare(room[0].swapaxes(1, 2), bits)[0]
        return words


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


def fingerprint(gray: GrayImage, name: str, bits: int) -> Fingerprint:
    """Compute both hashes of a picture and its quality.

    The quality is that of PDQ, but 0 if a side is shorter than 16 pixels.

    Parameters
    ----------
    gray : GrayImage
    name : str
        Of the search hash, a key of ``HASHERS``.
    bits : int
        Length of the search hash, one of the hasher's ``widths``.

    Examples
    --------
    >>> pixels = np.arange(0, 192, 2, dtype=np.uint8).reshape(1, 96).repeat(64, axis=0)
    >>> gray = GrayImage(pixels, 64, 96)
    >>> hashes, pdq, quality = fingerprint(gray, "dhash", 64)
    >>> hex(hashes[0]), quality
    ('0xffffffffffffffff', 22)
    """
    samples = Samples(name, bits, room=1)
    samples.add(gray)
    hashes, pdq, qualities = samples.fingerprints()
    return Fingerprint(hashes[0], pdq[0], int(qualities[0]))


class Samples:
    """What hashing keeps of some pictures, so as to compare it for all of them at once.

    For a dozen and more pictures comparing takes a third of the time that it takes one by one.

    Parameters
    ----------
    name : str
    bits : int
        As in `fingerprint`.
    room : int
        How many pictures it can hold.
    """

    def __init__(self, name: str, bits: int, room: int) -> None:
        self._hasher, self._bits = HASHERS[name], bits
        self._kinds = tuple(dict.fromkeys((_PDQ_GRID, self._hasher.grids[bits])))
        self._grids = _room(self._kinds, room)
        self._large = np.zeros(room, dtype=np.uint8)
        self._n = 0

    def __len__(self) -> int:
        """Count the pictures."""
        return self._n

    def add(self, gray: GrayImage) -> None:
        """Do what a fingerprint needs of a picture's pixels."""
        sample(gray, self._kinds, [grids[self._n] for grids in self._grids])
        self._large[self._n] = min(gray.height, gray.width) >= TINY_SIDE
        self._n += 1

    def fingerprints(self) -> Fingerprints:
        """Compute the fingerprints of all pictures, at least one, in the order they came."""
        samples, *others = (grids[: self._n].swapaxes(1, 2) for grids in self._grids)
        pdq = compare_frequencies(samples, PDQ_BITS)
        hashes = self._hasher.compare(others[0], self._bits) if others else pdq
        return Fingerprints(hashes, pdq, pdq_qualities(samples) * self._large[: self._n])

    def clear(self) -> None:
        """Forget all pictures."""
        self._n = 0


def _room(kinds: Sequence[Grid], n: int) -> list[Floats]:
    """Make room for the grids of some pictures, transposed, as they come from their products."""
    return [np.empty((n, columns, rows)) for _, rows, columns in kinds]


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
