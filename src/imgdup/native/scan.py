"""Compare hashes with one probe: typed functions over arrays that call ``join.c``.

The library checks nothing, so this module checks each number, and the dtype, shape and layout of
each array. ``imgdup.h`` describes what the functions do.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.native import ADDRESS, INTEGER, checked_number, declared, read_address
from imgdup.native.join import LANES, Integers, Words, words_address

FOUND = 1024  # matches that a scan has room for at first

_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_scan": (
        *(INTEGER, ADDRESS, INTEGER, ADDRESS, INTEGER, ADDRESS, INTEGER),
        *(ADDRESS, ADDRESS, INTEGER),
    ),
    "imgdup_scan_folded": (
        *(INTEGER, ADDRESS, ADDRESS, INTEGER, INTEGER, INTEGER, INTEGER),
        *(ADDRESS, INTEGER, ADDRESS, ADDRESS, INTEGER),
    ),
    "imgdup_distances": (None, ADDRESS, INTEGER, INTEGER, ADDRESS, ADDRESS),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def scan(
    hashes: Words, ranges: Integers, probe: Words, max_distance: int
) -> tuple[Integers, Integers]:
    """Find the hashes within a distance of one probe in some ranges.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
    ranges : ndarray of int64, shape (n_ranges, 2)
        First position of each range and the position after its last. Ascending, not overlapping.
    probe : ndarray of uint64, shape (words,)
        The hash that is looked up.
    max_distance : int
        Largest accepted distance, in bits, inclusive.

    Returns
    -------
    positions : ndarray of int64, shape (n_found,)
        Ascending.
    distances : ndarray of int64, shape (n_found,)
        In bits.
    """
    address, n, words = words_address(hashes)
    ranges_address = read_address(ranges, np.int64, (None, 2))
    if len(ranges) and ranges.view(np.uint64).max() > n:  # a negative number becomes a large one
        raise ValueError(f"ranges must lie in 0..{n}, got {ranges.min()} to {ranges.max()}")
    inputs = (
        *(address, words, ranges_address, len(ranges)),
        read_address(probe, np.uint64, (words,)),
        checked_number("max_distance", max_distance, 0, 64 * words),
    )
    return _found(_functions().imgdup_scan, inputs)


def scan_folded(
    hashes: Words, folded: Words, positions: range, probe: Words, max_distance: int
) -> tuple[Integers, Integers]:
    """Find the same as `scan` at some positions, by the folded form of the hashes.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        Of an even number of words.
    folded : ndarray of uint64, shape (words // 2, n + LANES)
        Word w is the exclusive or of the words w and w + words // 2 of each hash; the last LANES
        numbers are not used.
    positions : range
        The positions to look at, with step 1.
    probe, max_distance
        As for `scan`.
    """
    address, n, words = words_address(hashes)
    if words % 2:
        raise ValueError(f"only hashes of an even number of words are folded, got {words}")
    stop = checked_number("last position", positions.stop, 0, n)
    inputs = (
        *(address, read_address(folded, np.uint64, (words // 2, n + LANES)), n, words),
        *(checked_number("first position", positions.start, 0, stop), stop),
        read_address(probe, np.uint64, (words,)),
        checked_number("max_distance", max_distance, 0, 64 * words),
    )
    return _found(_functions().imgdup_scan_folded, inputs)


def _found(function: Any, inputs: tuple[int, ...]) -> tuple[Integers, Integers]:
    """Call a function that writes positions and distances, with enough room for all of them."""
    n_found, capacity = FOUND, 0
    while n_found > capacity:  # at most twice: the scan also counts the matches that do not fit
        capacity = n_found
        positions, distances = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        n_found = function(
            *inputs,
            read_address(positions, np.int64, (capacity,)),
            read_address(distances, np.int64, (capacity,)),
            capacity,
        )
    return positions[:n_found], distances[:n_found]


def distances_from(hashes: Words, probe: Words) -> npt.NDArray[np.uint16]:
    """Compare every hash (n, words) with a probe (words,): distances in bits, shape (n,)."""
    address, n, words = words_address(hashes)
    probe_address = read_address(probe, np.uint64, (words,))
    distances = np.empty(n, np.uint16)
    _functions().imgdup_distances(
        address, n, words, probe_address, read_address(distances, np.uint16, (n,))
    )
    return distances
