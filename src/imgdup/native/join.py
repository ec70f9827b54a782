"""Typed functions over arrays that call ``join.c``; ``imgdup.h`` describes what they do.

This module checks the arrays once; the library does not. Every call releases the interpreter's
lock.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.native.loader import library

# The same as in imgdup.h.
LANES, TILE, RUN = 16, 2048, 512
STOP, USED, FIRST_COUNTER = 0, 1, 2  # the words of `control`; then one counter per join
FOUND = 1024  # matches that a scan has room for at first

Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.uint32]


class Table(NamedTuple):
    """Rows of some hashes, sorted by the value of one band.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n_hashes, words)
        All hashes, by row.
    columns : ndarray of uint64, shape (n_first, n + LANES)
        The words to compare first, sorted.
    rows : ndarray of uint32, shape (n,)
        The row at each position, ascending within a bucket.
    starts : ndarray of uint32, shape (n_buckets + 1,)
        Where the bucket of each value begins.
    """

    hashes: Words
    columns: Words
    rows: Rows
    starts: Rows


class Rule(NamedTuple):
    """The condition for a pair of one band.

    Parameters
    ----------
    masks : ndarray of int64, shape (n_masks,)
        The masks by which the values of the band may differ in a pair.
    earlier : ndarray of uint64, shape (n_earlier, words)
        The bits of the earlier bands, ...
    radii : ndarray of uint64, shape (n_earlier,)
        ... and the distance within which they find a pair.
    max_distance : int
        Largest accepted distance over all words, inclusive.
    """

    masks: Integers
    earlier: Words
    radii: Words
    max_distance: int


class Packing(NamedTuple):
    """Where the rows are in the 64 bits of a pair: left - first_row, right, then the distance."""

    first_row: int
    left_shift: int
    right_shift: int


class Output(NamedTuple):
    """The arrays that all threads write to.

    Parameters
    ----------
    packing : Packing
        How a pair is packed.
    control : ndarray of int64
        Counters that the threads share: STOP, USED, and one for each join.
    slots : ndarray of uint64, shape (n_slots,)
        The packed pairs; the first ``control[USED]`` slots are in use.
    """

    packing: Packing
    control: Integers
    slots: Words


class _Table(ctypes.Structure):
    """JoinTable."""

    _fields_ = (
        ("hashes", ctypes.c_void_p),
        ("columns", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("n", ctypes.c_int64),
        ("n_buckets", ctypes.c_int64),
    )


class _Call(ctypes.Structure):
    """JoinCall."""

    _fields_ = (
        ("left", _Table),
        ("right", _Table),
        ("is_self", ctypes.c_int64),
        ("words", ctypes.c_int64),
        ("n_first", ctypes.c_int64),
        ("max_distance", ctypes.c_int64),
        ("masks", ctypes.c_void_p),
        ("n_masks", ctypes.c_int64),
        ("earlier", ctypes.c_void_p),
        ("radii", ctypes.c_void_p),
        ("n_earlier", ctypes.c_int64),
        ("first_row", ctypes.c_int64),
        ("left_shift", ctypes.c_int64),
        ("right_shift", ctypes.c_int64),
        ("control", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("n_slots", ctypes.c_int64),
    )


_ADDRESS, _INTEGER = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "imgdup_count_values": (
        *(_ADDRESS, _INTEGER, _INTEGER, _ADDRESS, _INTEGER, _ADDRESS, _ADDRESS),
    ),
    "imgdup_place_rows": (_ADDRESS, _INTEGER, _INTEGER, _ADDRESS, _ADDRESS),
    "imgdup_copy_columns": (
        *(_ADDRESS, _INTEGER, _ADDRESS, _INTEGER, _ADDRESS, _INTEGER, _INTEGER),
        *(_INTEGER, _ADDRESS),
    ),
    "imgdup_join": (_ADDRESS, _INTEGER),
    "imgdup_count_parts": (_ADDRESS, _INTEGER, _INTEGER, _ADDRESS),
    "imgdup_scatter": (*(_ADDRESS, _INTEGER, _INTEGER, _INTEGER, _INTEGER, _ADDRESS, _ADDRESS),),
    "imgdup_scan": (
        *(_ADDRESS, _INTEGER, _ADDRESS, _INTEGER, _ADDRESS, _INTEGER),
        *(_ADDRESS, _ADDRESS, _INTEGER),
    ),
    "imgdup_distances": (_ADDRESS, _INTEGER, _INTEGER, _ADDRESS, _ADDRESS),
}
_COUNTS = ("imgdup_join", "imgdup_scan")  # these return a number, the others nothing


@cache
def _functions() -> ctypes.CDLL:
    """Return the library, with the argument types of its functions set."""
    loaded = library()
    for name, arguments in _ARGUMENTS.items():
        function = getattr(loaded, name)
        function.argtypes = arguments
        function.restype = _INTEGER if name in _COUNTS else None
    return loaded


def count_values(hashes: Words, bits: Integers, values: Rows, counts: Rows) -> None:
    """Gather the bits of a band into values, and count how often each value occurs.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes.
    bits : ndarray of int64, shape (width,)
        The bits that form a value, ascending, at most 32.
    values : ndarray of uint32, shape (n,)
        Receives the values.
    counts : ndarray of uint32, shape (2 ** width,)
        The counts are added to it.
    """
    _functions().imgdup_count_values(
        _address(hashes, np.uint64),
        *hashes.shape,
        _address(bits, np.int64),
        len(bits),
        _address(values, np.uint32),
        _address(counts, np.uint32),
    )


def place_rows(values: Rows, first_row: int, places: Rows, rows: Rows) -> None:
    """Write row ``first_row + i`` to ``rows[places[values[i]]]``, and advance that place."""
    _functions().imgdup_place_rows(
        _address(values, np.uint32),
        len(values),
        first_row,
        _address(places, np.uint32),
        _address(rows, np.uint32),
    )


def copy_columns(table: Table, first: Integers, positions: range) -> None:
    """Fill columns of a table at some positions; `first`, int64 (n_first,), are the words."""
    _functions().imgdup_copy_columns(
        _address(table.hashes, np.uint64),
        table.hashes.shape[1],
        _address(first, np.int64),
        len(first),
        _address(table.rows, np.uint32),
        positions.start,
        positions.stop,
        table.columns.shape[1],
        _address(table.columns, np.uint64),
    )


@dataclass(frozen=True)
class Join:
    """The join of two tables by one band: every thread calls it and processes a share of the rows.

    Parameters
    ----------
    left, right : Table
        Tables of one band. If they are one object, each pair of rows counts once.
    rule : Rule
        The condition for a pair.
    output : Output
        Receives the pairs.
    counter : int
        The word of ``output.control`` that deals out the rows of `left`.
    """

    left: Table
    right: Table
    rule: Rule
    output: Output
    counter: int

    def __call__(self) -> int:
        """Write pairs to the output; return how many pairs of hashes this thread compared."""
        left, right, rule, output = self.left, self.right, self.rule, self.output
        call = _Call(
            _table(left),
            _table(right),
            left is right,
            left.hashes.shape[1],
            len(left.columns),
            rule.max_distance,
            _address(rule.masks, np.int64),
            len(rule.masks),
            _address(rule.earlier, np.uint64),
            _address(rule.radii, np.uint64),
            len(rule.radii),
            *output.packing,
            _address(output.control, np.int64),
            _address(output.slots, np.uint64),
            len(output.slots),
        )
        n_compared: int = _functions().imgdup_join(ctypes.byref(call), self.counter)
        return n_compared


def _table(table: Table) -> _Table:
    return _Table(
        _address(table.hashes, np.uint64),
        _address(table.columns, np.uint64),
        _address(table.rows, np.uint32),
        _address(table.starts, np.uint32),
        len(table.rows),
        len(table.starts) - 1,
    )


def count_parts(packed: Words, shift: int, n_parts: int) -> Integers:
    """Count the packed pairs of each part ``packed >> shift``; free slots are in none."""
    counts = np.zeros(n_parts, np.int64)
    _functions().imgdup_count_parts(
        _address(packed, np.uint64), len(packed), shift, _address(counts, np.int64)
    )
    return counts


def scatter(packed: Words, shift: int, parts: range, places: Integers, out: Words) -> None:
    """Move the packed pairs of some parts to ``out[place:]``, and advance the places."""
    _functions().imgdup_scatter(
        _address(packed, np.uint64),
        len(packed),
        shift,
        parts.start,
        len(parts),
        _address(places, np.int64),
        _address(out, np.uint64),
    )


def scan(
    hashes: Words, ranges: Integers, probe: Words, max_distance: int
) -> tuple[Integers, Integers]:
    """Find the hashes within a distance of one probe in some ranges.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes.
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
    if len(ranges) and not 0 <= ranges[0, 0] <= ranges[-1, 1] <= len(hashes):
        raise ValueError(f"ranges must lie in 0..{len(hashes)}, got {ranges[0]} to {ranges[-1]}")
    n_found, capacity = FOUND, 0
    while n_found > capacity:  # at most twice: the scan also counts the matches that do not fit
        capacity = n_found
        positions, distances = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        n_found = _functions().imgdup_scan(
            _address(hashes, np.uint64),
            hashes.shape[1],
            _address(ranges, np.int64),
            len(ranges),
            _address(probe, np.uint64),
            max_distance,
            _address(positions, np.int64),
            _address(distances, np.int64),
            capacity,
        )
    return positions[:n_found], distances[:n_found]


def distances_from(hashes: Words, probe: Words) -> npt.NDArray[np.uint16]:
    """Compare every hash (n, words) with a probe (words,): distances in bits, shape (n,)."""
    distances = np.empty(len(hashes), np.uint16)
    _functions().imgdup_distances(
        _address(hashes, np.uint64),
        len(hashes),
        hashes.shape[1],
        _address(probe, np.uint64),
        _address(distances, np.uint16),
    )
    return distances


def _address(array: npt.NDArray[Any], dtype: type[np.generic]) -> int:
    """Return the address of an array; refuse one that is not contiguous or has another dtype."""
    if array.dtype != dtype or not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"expected a contiguous array of {np.dtype(dtype)}, got {array.dtype}")
    address: int = array.__array_interface__["data"][0]
    return address
