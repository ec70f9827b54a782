"""Typed functions over arrays that call ``join.c``; ``imgdup.h`` describes what they do.

The library checks nothing, so this module checks each number, and the dtype, shape and layout of
each array. It trusts what its own functions wrote: places, rows, and where buckets begin. Every
call releases the interpreter's lock.
"""

import ctypes
import operator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.native.loader import load_library

# The same as in imgdup.h.
MAX_WORDS, MAX_MASKS = 16, 4096
LANES, TILE, RUN = 16, 2048, 512
STOP, USED, FIRST_COUNTER = 0, 1, 2  # the words of `control`; then one counter per join
FOUND = 1024  # matches that a scan has room for at first

Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.uint32]
Shape: TypeAlias = tuple[int | None, ...]  # None is any length


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
    "imgdup_count_parts": (_ADDRESS, _INTEGER, _INTEGER, _INTEGER, _ADDRESS),
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
    loaded = load_library()
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
    address, n, words = _hashes(hashes)
    bits_address, width = _address(bits, np.int64, (None,)), _number("width", len(bits), 0, 32)
    for bit in bits.tolist():
        _number("bit", bit, 0, 64 * words - 1)
    _functions().imgdup_count_values(
        *(address, n, words, bits_address, width),
        _output(values, np.uint32, (n,)),
        _output(counts, np.uint32, (1 << width,)),
    )


def place_rows(values: Rows, first_row: int, places: Rows, rows: Rows) -> None:
    """Write row ``first_row + i`` to ``rows[places[values[i]]]``, and advance that place."""
    values_address = _address(values, np.uint32, (None,))
    _number("value", int(values.max(initial=0)), 0, len(places) - 1)
    _functions().imgdup_place_rows(
        values_address,
        _number("number of values", len(values), 0, len(rows)),
        _number("first_row", first_row, 0, (1 << 32) - len(values)),
        _output(places, np.uint32, (None,)),
        _output(rows, np.uint32, (None,)),
    )


def copy_columns(table: Table, first: Integers, positions: range) -> None:
    """Fill columns of a table at some positions; `first`, int64 (n_first,), are the words."""
    address, _, words = _hashes(table.hashes)
    first_address, rows_address = (
        _address(first, np.int64, (None,)),
        _address(table.rows, np.uint32, (None,)),
    )
    n = len(table.rows)
    for word in first.tolist():
        _number("word", word, 0, words - 1)
    _functions().imgdup_copy_columns(
        *(address, words, first_address, len(first), rows_address),
        _number("first position", positions.start, 0, n),
        _number("last position", positions.stop, 0, n),
        n + LANES,
        _output(table.columns, np.uint64, (len(first), n + LANES)),
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
        left, right, (packing, control, slots) = self.left, self.right, self.output
        (_, _, words), n_first = _hashes(left.hashes), len(left.columns)
        call = _Call(
            _table(left, words, n_first),
            _table(right, words, n_first),
            left is right,
            words,
            _number("number of first words", n_first, 1, words),
            *_rule(self.rule, words, min(len(left.starts), len(right.starts)) - 1),
            _number("first_row", packing.first_row, 0, 1 << 32),
            _number("left_shift", packing.left_shift, 0, 63),
            _number("right_shift", packing.right_shift, 0, 63),
            _output(control, np.int64, (None,)),
            _output(slots, np.uint64, (None,)),
            _number("number of slots", len(slots), RUN, 1 << 62),
        )
        counter = _number("counter", self.counter, FIRST_COUNTER, len(control) - 1)
        n_compared: int = _functions().imgdup_join(ctypes.byref(call), counter)
        return n_compared


def _table(table: Table, words: int, n_first: int) -> _Table:
    """Describe a table to the library."""
    n = len(table.rows)
    n_buckets = _number("number of buckets", len(table.starts) - 1, 1, 1 << 32)
    return _Table(
        _address(table.hashes, np.uint64, (None, words)),
        _address(table.columns, np.uint64, (n_first, n + LANES)),
        _address(table.rows, np.uint32, (n,)),
        _address(table.starts, np.uint32, (n_buckets + 1,)),
        n,
        n_buckets,
    )


def _rule(rule: Rule, words: int, n_buckets: int) -> tuple[int, ...]:
    """Return what the library reads of a rule; a value that a mask changes is a bucket too."""
    masks = _address(rule.masks, np.int64, (None,))
    if n_buckets.bit_count() != 1:
        raise ValueError(f"the number of buckets must be a power of 2, got {n_buckets}")
    if len(rule.masks):
        _number("smallest mask", int(rule.masks.min()), 0, n_buckets - 1)
        _number("largest mask", int(rule.masks.max()), 0, n_buckets - 1)
    n_earlier = len(rule.radii)
    return (
        _number("max_distance", rule.max_distance, 0, 64 * words),
        masks,
        _number("number of masks", len(rule.masks), 0, MAX_MASKS),
        _address(rule.earlier, np.uint64, (n_earlier, words)),
        _address(rule.radii, np.uint64, (n_earlier,)),
        n_earlier,
    )


def count_parts(packed: Words, shift: int, n_parts: int) -> Integers:
    """Count the packed pairs of each part ``packed >> shift``; free slots are in none."""
    counts = np.zeros(_number("number of parts", n_parts, 0, 1 << 32), np.int64)
    _functions().imgdup_count_parts(
        _address(packed, np.uint64, (None,)),
        len(packed),
        _number("shift", shift, 0, 63),
        n_parts,
        _address(counts, np.int64, (n_parts,)),
    )
    return counts


def scatter(packed: Words, shift: int, parts: range, places: Integers, out: Words) -> None:
    """Move the packed pairs of some parts to ``out[place:]``, and advance the places."""
    _functions().imgdup_scatter(
        _address(packed, np.uint64, (None,)),
        len(packed),
        _number("shift", shift, 0, 63),
        _number("first part", parts.start, 0, 1 << 32),
        len(parts),
        _output(places, np.int64, (len(parts),)),
        _output(out, np.uint64, (None,)),
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
    address, n, words = _hashes(hashes)
    ranges_address = _address(ranges, np.int64, (None, 2))
    if len(ranges) and ranges.view(np.uint64).max() > n:  # a negative number becomes a large one
        raise ValueError(f"ranges must lie in 0..{n}, got {ranges.min()} to {ranges.max()}")
    inputs = (
        *(address, words, ranges_address, len(ranges)),
        _address(probe, np.uint64, (words,)),
        _number("max_distance", max_distance, 0, 64 * words),
    )
    n_found, capacity = FOUND, 0
    while n_found > capacity:  # at most twice: the scan also counts the matches that do not fit
        capacity = n_found
        positions, distances = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        n_found = _functions().imgdup_scan(
            *inputs,
            _address(positions, np.int64, (capacity,)),
            _address(distances, np.int64, (capacity,)),
            capacity,
        )
    return positions[:n_found], distances[:n_found]


def distances_from(hashes: Words, probe: Words) -> npt.NDArray[np.uint16]:
    """Compare every hash (n, words) with a probe (words,): distances in bits, shape (n,)."""
    address, n, words = _hashes(hashes)
    probe_address = _address(probe, np.uint64, (words,))
    distances = np.empty(n, np.uint16)
    _functions().imgdup_distances(
        address, n, words, probe_address, _address(distances, np.uint16, (n,))
    )
    return distances


def _hashes(hashes: Words) -> tuple[int, int, int]:
    """Return the address of some hashes, their number and their width in words."""
    address = _address(hashes, np.uint64, (None, None))
    return address, len(hashes), _number("words", hashes.shape[1], 1, MAX_WORDS)


def _output(array: npt.NDArray[Any], dtype: type[np.generic], shape: Shape) -> int:
    """Return the address of an array to write to; refuse one that must not be written."""
    address = _address(array, dtype, shape)
    if not array.flags.writeable:
        raise ValueError(f"cannot write to a read-only array of shape {array.shape}")
    return address


def _address(array: npt.NDArray[Any], dtype: type[np.generic], shape: Shape) -> int:
    """Return the address of an array; refuse another dtype, shape or layout."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected an ndarray of {np.dtype(dtype)}, got {type(array).__name__}")
    fits = (
        array.dtype == dtype
        and array.flags.c_contiguous
        and array.flags.aligned
        and array.ndim == len(shape)
    )
    for wanted, found in zip(shape, array.shape, strict=False):
        fits = fits and wanted in (found, None)
    if not fits:
        wanted_shape = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(
            f"expected a contiguous array of {np.dtype(dtype)} of shape ({wanted_shape}), "
            f"got {array.dtype} of shape {array.shape} and strides {array.strides}"
        )
    address: int = array.__array_interface__["data"][0]
    return address


def _number(name: str, value: int, least: int, greatest: int) -> int:
    """Return a whole number; refuse one that is out of range."""
    number = operator.index(value)
    if not least <= number <= greatest:
        raise ValueError(f"the {name} must be from {least} to {greatest}, got {number}")
    return number
