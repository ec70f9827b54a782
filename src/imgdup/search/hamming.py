"""Hashes as arrays of words: hexadecimal text, Hamming distances, and a scan of all hashes.

A hash of ``64 * words`` bits is a row of a ``uint64 (n, words)`` array; bit i of its integer is
bit ``i % 64`` of word ``i // 64``. Arrays of hashes are always 2-D, even for one hash or one word.
"""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.native.join import MAX_WORDS
from imgdup.native.scan import scan
from imgdup.system.limits import usable_cores

Hashes: TypeAlias = npt.NDArray[np.uint64]
Hash: TypeAlias = npt.NDArray[np.uint64]  # one row of Hashes: shape (words,)
Integers: TypeAlias = npt.NDArray[np.int64]

WORD_BITS = 64
BLOCK = 1 << 17  # hashes that fit in the cache while several probes are compared with them


class Matches(NamedTuple):
    """The matches of each probe, nearest first, ties by index.

    The matches of probe ``i`` are the slice ``offsets[i]:offsets[i + 1]`` of the other two.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_probes + 1,)
        Where the matches of each probe begin.
    indices : ndarray of int64, shape (n_matches,)
        Rows of the hashes that were searched.
    distances : ndarray of int64, shape (n_matches,)
        Hamming distances, in bits.
    """

    offsets: Integers
    indices: Integers
    distances: Integers


@dataclass(frozen=True)
class Chosen:
    """Some of many hashes, which are not copied; row i means ``hashes[numbers[i]]``.

    Pickled, it holds copies of these hashes and no others.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n_hashes, words)
        Hashes, for example of an index file that is mapped into memory.
    numbers : ndarray of uint32, shape (n,), or None
        Which of them are meant; None means all.
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
    """Check that an argument is a 2-D array of hashes.

    Parameters
    ----------
    name : str
        The name of the argument, for the message.
    hashes : ndarray of uint64, shape (n, words)
        The array to check.
    words : int, optional
        The required width; by default any width from 1 to ``MAX_WORDS``.

    Raises
    ------
    TypeError
        If `hashes` is not an ndarray.
    ValueError
        If its dtype or shape is wrong; the message names the expected and the actual one.
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
    """Return `max_distance` as a plain int.

    Parameters
    ----------
    max_distance : int
        Largest accepted distance, in bits.
    words : int
        Width of the hashes; ``64 * words`` is the largest possible distance.

    Returns
    -------
    int
        The same number.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is outside ``0..64 * words``.
    """
    bits = words * WORD_BITS
    distance = operator.index(max_distance)
    if not 0 <= distance <= bits:
        raise ValueError(f"max_distance must be from 0 to {bits} bits, got {distance}")
    return distance


def to_hex(hashes: Hashes) -> list[str]:
    """Write each hash as one hexadecimal number, most significant digit first.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes.

    Returns
    -------
    list of str
        ``n`` texts of ``16 * words`` lower-case digits; PDQ hashes read as in public hash lists.

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
    """Compare two arrays of hashes row by row.

    Parameters
    ----------
    left, right : ndarray of uint64, shape (n, words)
        The hashes; an array of one row is compared with every row of the other.

    Returns
    -------
    ndarray of int64, shape (n,)
        Hamming distances, in bits.

    Raises
    ------
    ValueError
        If dtypes, widths or numbers of rows do not match.

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
    """Sort the matches of all blocks by probe, distance and index.

    Parameters
    ----------
    found : iterable of Near
        Matches in any order; a hash may occur only once per probe.
    n_probes : int
        The number of probes; those without a match get an empty slice.

    Returns
    -------
    Matches
        The same matches, sorted.
    """
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
    """Find every hash within a Hamming distance of each probe by comparing all of them.

    The cost is one comparison per hash and probe, limited by memory bandwidth: about 0.3 ms for a
    million 64-bit hashes.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes to search.
    probes : ndarray of uint64, shape (n_probes, words)
        The hashes to look up.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**.

    Returns
    -------
    Matches
        Nearest first, ties by index.

    Raises
    ------
    ValueError
        If an array is not 2-D uint64, the widths differ, or `max_distance` is outside
        ``0..64 * words``.

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
    """Return the hashes of both sides; raise as `iter_pairs` does if they are none."""
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
