"""Typed functions over arrays that call ``join.c``; ``imgdup.h`` describes what they do.

The library checks nothing, so this module checks each number, and the dtype, shape and layout of
each array. It trusts what its own functions wrote: places, rows, and where buckets begin.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.native import ADDRESS, INTEGER, checked_number, declared, read_address, write_address

# The same as in imgdup.h.
MAX_WORDS, MAX_MASKS = 16, 4096
LANES, TILE, RUN = 16, 2048, 512
STOP, USED, FIRST_COUNTER = 0, 1, 2  # the words of `control`; then one counter per join

Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
SmallIntegers: TypeAlias = npt.NDArray[np.uint32]


class Table(NamedTuple):
    """Rows of some hashes, sorted by the value of one band.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n_hashes, words)
        All hashes.
    columns : ndarray of uint64, shape (n_first, n + LANES)
        What is compared first, sorted: column c is the exclusive or of the words c, c + n_first,
        c + 2 * n_first ... Two hashes differ in at least as many bits as their columns.
    rows : ndarray of uint32, shape (n,)
        The row at each position, ascending within a bucket.
    starts : ndarray of uint32, shape (n_buckets + 1,)
        Where the bucket of each value begins.
    chosen : ndarray of uint32, shape (n_rows,), or None
        Which of the hashes is that of a row; None means all, by row.
    """

    hashes: Words
    columns: Words
    rows: SmallIntegers
    starts: SmallIntegers
    chosen: SmallIntegers | None = None


class BandRule(NamedTuple):
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
        *((name, ADDRESS) for name in ("hashes", "chosen", "columns", "rows", "starts")),
        *((name, INTEGER) for name in ("n", "n_buckets")),
    )


class _Call(ctypes.Structure):
    """JoinCall."""

    _fields_ = (
        *((name, _Table) for name in ("left", "right")),
        *((name, INTEGER) for name in ("is_self", "words", "n_first", "max_distance")),
        *(("masks", ADDRESS), ("n_masks", INTEGER)),
        *(("earlier", ADDRESS), ("radii", ADDRESS), ("n_earlier", INTEGER)),
        *((name, INTEGER) for name in ("first_row", "left_shift", "right_shift")),
        *(("control", ADDRESS), ("slots", ADDRESS), ("n_slots", INTEGER)),
    )


_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_count_values": (
        *(None, ADDRESS, ADDRESS, INTEGER, INTEGER, ADDRESS, INTEGER),
        *(ADDRESS, ADDRESS),
    ),
    "imgdup_place_rows": (None, ADDRESS, INTEGER, INTEGER, ADDRESS, ADDRESS),
    "imgdup_copy_columns": (*(None, ADDRESS, INTEGER, INTEGER, INTEGER, INTEGER, ADDRESS),),
    "imgdup_join": (INTEGER, ADDRESS, INTEGER),
    "imgdup_count_parts": (None, ADDRESS, INTEGER, INTEGER, INTEGER, ADDRESS),
    "imgdup_scatter": (None, ADDRESS, INTEGER, INTEGER, INTEGER, INTEGER, ADDRESS, ADDRESS),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def count_values(
    hashes: Words,
    bits: Integers,
    values: SmallIntegers,
    counts: SmallIntegers,
    *,
    chosen: SmallIntegers | None = None,
) -> None:
    """Gather the bits of a band into values, and count how often each value occurs.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n_hashes, words)
    bits : ndarray of int64, shape (width,)
        The bits that form a value, ascending, at most 32.
    values : ndarray of uint32, shape (n,)
        Receives the values.
    counts : ndarray of uint32, shape (2 ** width,)
        The counts are added to it.
    chosen : ndarray of uint32, shape (n,), optional
        Which of the hashes these are; by default all, in their order.
    """
    address, n_hashes, words = words_address(hashes)
    n = n_hashes if chosen is None else len(values)
    bits_address = read_address(bits, np.int64, (None,))
    width = checked_number("width", len(bits), 0, 32)
    for bit in bits.tolist():
        checked_number("bit", bit, 0, 64 * words - 1)
    _functions().imgdup_count_values(
        *(address, _chosen(chosen, n, n_hashes), n, words, bits_address, width),
        write_address(values, np.uint32, (n,)),
        write_address(counts, np.uint32, (1 << width,)),
    )


def place_rows(
    values: SmallIntegers, first_row: int, places: SmallIntegers, rows: SmallIntegers
) -> None:
    """Write row ``first_row + i`` to ``rows[places[values[i]]]``, and advance that place."""
    values_address = read_address(values, np.uint32, (None,))
    checked_number("value", int(values.max(initial=0)), 0, len(places) - 1)
    _functions().imgdup_place_rows(
        values_address,
        checked_number("number of values", len(values), 0, len(rows)),
        checked_number("first_row", first_row, 0, (1 << 32) - len(values)),
        write_address(places, np.uint32, (None,)),
        write_address(rows, np.uint32, (None,)),
    )


def copy_columns(table: Table, positions: range) -> None:
    """Fill the columns of a table at some positions."""
    _, _, words = words_address(table.hashes)
    n, n_first = len(table.rows), checked_number("columns", len(table.columns), 1, words)
    _functions().imgdup_copy_columns(
        ctypes.byref(_table(table, words, n_first)),
        *(words, n_first),
        checked_number("first position", positions.start, 0, n),
        checked_number("last position", positions.stop, 0, n),
        write_address(table.columns, np.uint64, (n_first, n + LANES)),
    )


@dataclass(frozen=True)
class Join:
    """The join of two tables by one band: every thread calls it and processes a share of the rows.

    Parameters
    ----------
    left, right : Table
        Tables of one band. If they are one object, each pair of rows counts once.
    rule : BandRule
        The condition for a pair.
    output : Output
        Receives the pairs.
    counter : int
        The word of ``output.control`` that deals out the rows of `left`.
    """

    left: Table
    right: Table
    rule: BandRule
    output: Output
    counter: int

    def __call__(self) -> int:
        """Write pairs to the output; return how many pairs of hashes this thread compared."""
        left, right, (packing, control, slots) = self.left, self.right, self.output
        (_, _, words), n_first = words_address(left.hashes), len(left.columns)
        call = _Call(
            _table(left, words, n_first),
            _table(right, words, n_first),
            left is right,
            words,
            checked_number("columns", n_first, 1, words),
            *_rule(self.rule, words, min(len(left.starts), len(right.starts)) - 1),
            checked_number("first_row", packing.first_row, 0, 1 << 32),
            checked_number("left_shift", packing.left_shift, 0, 63),
            checked_number("right_shift", packing.right_shift, 0, 63),
            write_address(control, np.int64, (None,)),
            write_address(slots, np.uint64, (None,)),
            checked_number("number of slots", len(slots), RUN, 1 << 62),
        )
        counter = checked_number("counter", self.counter, FIRST_COUNTER, len(control) - 1)
        n_compared: int = _functions().imgdup_join(ctypes.byref(call), counter)
        return n_compared


def _table(table: Table, words: int, n_first: int) -> _Table:
    """Describe a table to the library."""
    n = len(table.rows)
    n_buckets = checked_number("number of buckets", len(table.starts) - 1, 1, 1 << 32)
    return _Table(
        read_address(table.hashes, np.uint64, (None, words)),
        None if table.chosen is None else read_address(table.chosen, np.uint32, (None,)),
        read_address(table.columns, np.uint64, (n_first, n + LANES)),
        read_address(table.rows, np.uint32, (n,)),
        read_address(table.starts, np.uint32, (n_buckets + 1,)),
        n,
        n_buckets,
    )


def _chosen(chosen: SmallIntegers | None, n: int, n_hashes: int) -> int | None:
    """Return the address of the numbers of `n` hashes; no address means all hashes."""
    if chosen is None:
        return None
    address = read_address(chosen, np.uint32, (n,))
    checked_number("number of a hash", int(chosen.max(initial=0)), 0, max(0, n_hashes - 1))
    return address


def _rule(rule: BandRule, words: int, n_buckets: int) -> tuple[int, ...]:
    """Return what the library reads of a rule; a value that a mask changes is a bucket too."""
    masks = read_address(rule.masks, np.int64, (None,))
    if n_buckets.bit_count() != 1:
        raise ValueError(f"the number of buckets must be a power of 2, got {n_buckets}")
    if len(rule.masks):
        checked_number("smallest mask", int(rule.masks.min()), 0, n_buckets - 1)
        checked_number("largest mask", int(rule.masks.max()), 0, n_buckets - 1)
    n_earlier = len(rule.radii)
    return (
        checked_number("max_distance", rule.max_distance, 0, 64 * words),
        masks,
        checked_number("number of masks", len(rule.masks), 0, MAX_MASKS),
        read_address(rule.earlier, np.uint64, (n_earlier, words)),
        read_address(rule.radii, np.uint64, (n_earlier,)),
        n_earlier,
    )


def count_parts(packed: Words, shift: int, n_parts: int) -> Integers:
    """Count the packed pairs of each part ``packed >> shift``; free slots are in none."""
    counts = np.zeros(checked_number("number of parts", n_parts, 0, 1 << 32), np.int64)
    _functions().imgdup_count_parts(
        read_address(packed, np.uint64, (None,)),
        len(packed),
        checked_number("shift", shift, 0, 63),
        n_parts,
        read_address(counts, np.int64, (n_parts,)),
    )
    return counts


def scatter(packed: Words, shift: int, parts: range, places: Integers, out: Words) -> None:
    """Move the packed pairs of some parts to ``out[place:]``, and advance the places."""
    _functions().imgdup_scatter(
        read_address(packed, np.uint64, (None,)),
        len(packed),
        checked_number("shift", shift, 0, 63),
        checked_number("first part", parts.start, 0, 1 << 32),
        len(parts),
        write_address(places, np.int64, (len(parts),)),
        write_address(out, np.uint64, (None,)),
    )


def words_address(hashes: Words) -> tuple[int, int, int]:
    """Return the address of some hashes, their number and their width in words."""
    address = read_address(hashes, np.uint64, (None, None))
    return address, len(hashes), checked_number("words", hashes.shape[1], 1, MAX_WORDS)
