"""Exact search in arrays of hashes: matches and pairs. Usable without the rest of imgdup.

This module has what all others need: hexadecimal text, Hamming distances, and scans of all hashes.
A hash of ``64 * words`` bits is a row of a ``uint64 (n, words)`` array; bit i of its integer is bit
``i % 64`` of word ``i // 64``. Arrays of hashes are always 2-D, even for one hash or one word.
"""

import operator
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.native.join import LANES, MAX_WORDS
from imgdup.native.scan import scan, scan_folded
from imgdup.system.limits import usable_cores

Hashes: TypeAlias = npt.NDArray[np.uint64]
Hash: TypeAlias = npt.NDArray[np.uint64]  # one row of Hashes: shape (words,)
Integers: TypeAlias = npt.NDArray[np.int64]

WORD_BITS = 64
BLOCK = 1 << 17  # hashes that fit in the cache while several probes are compared with them

AFTER_PROBES = 16  # making the copy takes as long as three to eight scans do
# Folded hashes of different pictures differ in half of their bits; up to three eighths, few enough
# of them are near for the copy to save time.
MOST_OF_FOLDED = 3 / 8


class Matches(NamedTuple):
    """The matches of each probe, nearest first, ties by index.

    Those of probe ``i`` are the slice ``offsets[i]:offsets[i + 1]`` of `indices`, rows of the
    hashes that were searched, and of `distances`, in bits.
    """

    offsets: Integers
    indices: Integers
    distances: Integers


@dataclass(frozen=True)
class Chosen:
    """Some of many hashes, which are not copied; row i means ``hashes[numbers[i]]``.

    The hashes may be those of an index file that is mapped into memory. If `numbers` is None, all
    of them are meant. Pickled, it holds copies of the hashes that are meant and no others.
    """

    hashes: Hashes
    numbers: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        """Count the hashes that are meant."""
        return len(self.hashes if self.numbers is None else self.numbers)

    def __getitem__(self, rows: slice | Integers) -> Hashes:
        """Return the hashes of some rows; copies, unless all are meant and `rows` is a slice."""
        return self.hashes[rows if self.numbers is None else self.numbers[rows]]

    def __reduce__(self) -> tuple[type["Chosen"], tuple[Hashes]]:
        """Leave out the hashes that are not meant."""
        return Chosen, (self[:],)

    @property
    def words(self) -> int:
        """Width of a hash."""
        return int(self.hashes.shape[1])

    def part(self, start: int, stop: int) -> "Chosen":
        """Return the rows from `start` up to `stop`."""
        if self.numbers is None:
            return Chosen(self.hashes[start:stop])
        return Chosen(self.hashes, self.numbers[start:stop])


def as_chosen(hashes: Hashes | Chosen) -> Chosen:
    """Return an array of hashes as the choice of all of them."""
    return hashes if isinstance(hashes, Chosen) else Chosen(hashes)


class Near(NamedTuple):
    """The matches of one probe in one block of hashes, in any order."""

    probe: int
    indices: Integers
    distances: Integers


def check_hashes(name: str, hashes: Hashes, words: int | None = None) -> None:
    """Raise TypeError or ValueError unless an argument is a 2-D array of hashes.

    `name` is that of the argument, for the message. By default a hash may have 1 to ``MAX_WORDS``
    words.
    """
    if not isinstance(hashes, np.ndarray):
        raise TypeError(f"{name} must be an ndarray of uint64, got {type(hashes).__name__}")
    fits = hashes.ndim == 2 and (
        1 <= hashes.shape[1] <= MAX_WORDS if words is None else hashes.shape[1] == words
    )
    if hashes.dtype != np.uint64 or not fits:
        width = f"words) with 1 to {MAX_WORDS} words" if words is None else f"{words})"
        raise ValueError(
            f"{name} must be uint64 of shape (n, {width}, "
            f"got {hashes.dtype} of shape {hashes.shape}"
        )


def check_max_distance(max_distance: int, words: int) -> int:
    """Return a distance as a plain int; ValueError unless it is from 0 to ``64 * words`` bits."""
    bits = words * WORD_BITS
    distance = operator.index(max_distance)
    if not 0 <= distance <= bits:
        raise ValueError(f"max_distance must be from 0 to {bits} bits, got {distance}")
    return distance


def to_hex(hashes: Hashes) -> list[str]:
    """Write each hash as one hexadecimal number, most significant digit first.

    A hash has ``16 * words`` lower-case digits; PDQ hashes read as in public hash lists.

    Examples
    --------
    >>> import numpy as np
    >>> to_hex(np.array([[0xAB, 0x1]], dtype=np.uint64))
    ['000000000000000100000000000000ab']
    """
    check_hashes("hashes", hashes)
    digits = hashes[:, ::-1].astype(">u8").tobytes().hex()
    step = 16 * hashes.shape[1]
    return [digits[start : start + step] for start in range(0, len(digits), step)]


def distances(left: Hashes, right: Hashes) -> Integers:
    """Return the Hamming distances of two arrays of hashes, row by row, in bits.

    An array of one row is compared with every row of the other. Raises ValueError if dtypes,
    widths or numbers of rows do not match.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
    >>> distances(hashes[:1], hashes)
    array([0, 1, 3])
    """
    check_hashes("left", left)
    check_hashes("right", right, left.shape[1])
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise ValueError(f"left and right must pair up, got {len(left)} and {len(right)} rows")
    bits: Integers = np.bitwise_count(left ^ right).sum(axis=1, dtype=np.int64)
    return bits


def as_matches(found: Iterable[Near], n_probes: int) -> Matches:
    """Sort the matches of all blocks by probe, distance and index; a probe may have none."""
    finds = list(found)
    sizes = [len(near.indices) for near in finds]
    probe = np.repeat(np.array([near.probe for near in finds], np.int64), sizes)
    indices = _joined([near.indices for near in finds])
    bits = _joined([near.distances for near in finds])
    order = np.lexsort((indices, bits, probe))
    offsets = np.zeros(n_probes + 1, np.int64)
    np.cumsum(np.bincount(probe, minlength=n_probes), out=offsets[1:])
    return Matches(offsets, indices[order], bits[order])


def _joined(pieces: list[Integers]) -> Integers:
    return np.concatenate([np.empty(0, np.int64), *pieces])


def scan_within(hashes: Hashes, probes: Hashes, max_distance: int) -> Matches:
    """Find every hash within a Hamming distance, **inclusive**, of each probe by comparing all.

    Matches are nearest first, ties by index. The cost is one comparison per hash and probe, limited
    by memory bandwidth: about 0.3 ms for a million 64-bit hashes. Raises ValueError if an array is
    not 2-D uint64, the widths differ, or `max_distance` is outside ``0..64 * words``.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
    >>> scan_within(hashes, hashes[:1], max_distance=1)
    Matches(offsets=array([0, 2]), indices=array([0, 1]), distances=array([0, 1]))
    """
    check_hashes("hashes", hashes)
    check_hashes("probes", probes, hashes.shape[1])
    max_distance = check_max_distance(max_distance, hashes.shape[1])
    return as_matches(iter_near(hashes, probes, max_distance), len(probes))


def iter_near(hashes: Hashes, probes: Hashes, max_distance: int) -> Iterator[Near]:
    """Find the same as `scan_within`, unsorted, block by block; arguments are not checked."""
    probes = np.ascontiguousarray(probes)
    step = BLOCK if len(probes) > 1 else max(1, len(hashes))
    for start in range(0, len(hashes), step):
        block = np.ascontiguousarray(hashes[start : start + step])
        everything = np.array([[0, len(block)]])
        for number, probe in enumerate(probes):
            positions, bits = scan(block, everything, probe, max_distance)
            if len(positions):
                yield Near(number, start + positions, bits)


def checked_sides(
    distinct: Hashes | Chosen, other: Hashes | Chosen | None
) -> tuple[Chosen, Chosen | None]:
    """Return the hashes of both sides; raise as `iter_pairs` does for anything else."""
    left, right = as_chosen(distinct), None if other is None else as_chosen(other)
    check_hashes("distinct", left.hashes)
    if right is not None:
        check_hashes("other", right.hashes, left.words)
    return left, right


def checked_threads(threads: int | None) -> int:
    """Return the given number of threads, or by default the number of usable cores."""
    if threads is None:
        return usable_cores()
    number = operator.index(threads)
    if number < 1:
        raise ValueError(f"threads must be at least 1, got {number}")
    return number


def fold(hashes: Hashes) -> Hashes:
    """Return the folded form of hashes (n, words), word by word: shape (words // 2, n + LANES).

    Examples
    --------
    >>> fold(np.array([[0b1100, 0b1010]], dtype=np.uint64))[:, :1]
    array([[6]], dtype=uint64)
    """
    n, words = hashes.shape
    folded = np.zeros((words // 2, n + LANES), np.uint64)
    for w, word in enumerate(folded):
        np.bitwise_xor(hashes[:, w], hashes[:, w + words // 2], out=word[:n])
    return folded


class RepeatedScan:
    """Hashes of an even number of words that are scanned again and again, by several threads.

    After `AFTER_PROBES` probes, a folded copy of them is made: each hash is folded to half its
    length by the exclusive or of its halves. Two hashes differ in at least as many bits as their
    folded forms; so where those differ in too many bits, nothing else of the hash is read.
    """

    def __init__(self, hashes: Hashes) -> None:
        check_hashes("hashes", hashes)
        if hashes.shape[1] % 2:
            raise ValueError(f"the number of words must be even, got {hashes.shape[1]}")
        self.hashes = np.ascontiguousarray(hashes)
        self._folded: Hashes | None = None
        self._n_probes = 0
        self._lock = threading.Lock()

    def within(self, probes: Hashes, max_distance: int) -> Matches:
        """Find every hash within a distance of each probe, as `scan_within` does."""
        words = self.hashes.shape[1]
        check_hashes("probes", probes, words)
        limit = check_max_distance(max_distance, words)
        folded = None
        if limit <= MOST_OF_FOLDED * WORD_BITS * words / 2:
            folded = self._folded_after(len(probes))
        if folded is None:
            return scan_within(self.hashes, probes, limit)
        probes = np.ascontiguousarray(probes)
        return as_matches(self._iter_near(folded, probes, limit), len(probes))

    def _iter_near(self, folded: Hashes, probes: Hashes, limit: int) -> Iterator[Near]:
        """Scan the copy, for several probes block by block; what is found is not sorted."""
        n = len(self.hashes)
        step = BLOCK if len(probes) > 1 else max(1, n)
        for start in range(0, n, step):
            block = range(start, min(start + step, n))
            for number, probe in enumerate(probes):
                positions, bits = scan_folded(self.hashes, folded, block, probe, limit)
                if len(positions):
                    yield Near(number, positions, bits)

    def _folded_after(self, n_probes: int) -> Hashes | None:
        """Count the probes, and return the folded copy; None while there were too few."""
        if self._folded is None:
            with self._lock:
                self._n_probes += n_probes
                if self._folded is None and self._n_probes > AFTER_PROBES:
                    self._folded = fold(self.hashes)
        return self._folded
