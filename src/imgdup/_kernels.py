"""Plain compiled loops over arrays that the caller made: tables of one band, and their join.

Nothing is checked here and no lock is held: `imgdup.join` runs these in threads. All hashes come
as planes, ``uint64 (words, n + LANES)``: word by word, with room for one vector to read past the
end. Compiled on first use, then cached beside the package or in numba's own folder.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # hashes compared by one vector instruction or two; 8 and 32 measured slower
TILE = 4096  # hashes that stay in the cache while a chunk of rows is compared with them
CHUNK = 64  # rows that a thread takes at a time
RUN = 512  # slots of the output that a thread reserves at a time
STOP, USED, FIRST_COUNTER = 0, 1, 2  # what the words of `control` count; one counter a task then
SENTINEL = np.uint64(2**64 - 1)  # marks reserved slots that stayed free; sorts to the end


class Table(NamedTuple):
    """Rows sorted by the value of one band.

    Parameters
    ----------
    words : ndarray of uint64, shape (n_filters, n + LANES)
        The words that are compared first, in the order of the buckets.
    rows : ndarray of uint32, shape (n,)
        Row of each position; ascending within a bucket.
    starts : ndarray of int64, shape (2 ** width + 1,)
        Position where the bucket of each value begins.
    planes : ndarray of uint64, shape (words, n_rows + LANES)
        The whole hashes, by row.
    """

    words: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    planes: np.ndarray


class Rule(NamedTuple):
    """What makes a pair of one band.

    Parameters
    ----------
    filters, others : tuple of int, ndarray of int64
        Words compared first (their number is known to the compiler), and the rest.
    masks : ndarray of int64, shape (n_masks,)
        What the band's values of a pair may differ in.
    earlier : ndarray of uint64, shape (n_earlier, words)
        The bits of the bands whose pairs are not ours, ...
    radii : ndarray of int64, shape (n_earlier,)
        ... and the distance within which they are theirs.
    max_distance : int
        Largest accepted distance over all words, inclusive.
    is_self : bool
        Both tables are one: each pair of positions is compared once.
    """

    filters: tuple[int, ...]
    others: np.ndarray
    masks: np.ndarray
    earlier: np.ndarray
    radii: np.ndarray
    max_distance: int
    is_self: bool


class Packing(NamedTuple):
    """Where row, row and distance go in the 64 bits of a pair: left - first_row is highest."""

    first_row: int
    left_shift: int
    right_shift: int
    distance_shift: int


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter's lock; cached if any folder for caches can be written."""
    try:
        return njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # numba's "no locator available": read-only package, no home
        return njit(nogil=True)(loop)


@intrinsic
def popcount(_typing, _word):
    """Count the ones of a uint64."""
    return types.uint64(types.uint64), lambda _c, builder, _s, args: builder.ctpop(args[0])


@intrinsic
def lowest_bit(_typing, _word):
    """Find the position of the lowest one of a uint64 that is not zero."""

    def generate(_context, builder, _signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def fetch_add(_typing, counters, index, amount):
    """Add to a shared counter; return what it was."""

    def generate(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        slot = builder.gep(array.data, [args[1]])
        return builder.atomic_rmw("add", slot, args[2], "monotonic")

    return types.int64(counters, types.int64, types.int64), generate


@intrinsic
def near(_typing, filters, left, i, right, j, limit):
    """Set bit k where hash ``j + k`` of `right` differs from hash `i` of `left` in <= `limit` bits.

    Written in LLVM's own vectors because its vectoriser makes 3 G comparisons/s of the same loop
    and these 20 G, on a processor with AVX-512; portable, since LLVM lowers them anywhere.
    """
    vector = ir.VectorType(ir.IntType(64), LANES)
    ctpop = ir.FunctionType(vector, [vector])

    def generate(context, builder, signature, args):
        count = cgutils.get_or_insert_function(builder.module, ctpop, f"llvm.ctpop.v{LANES}i64")
        total = ir.Constant(vector, None)
        for word in range(filters.count):
            one = builder.load(
                _address(context, builder, signature.args[1], args[1], word, args[2])
            )
            many = _address(context, builder, signature.args[3], args[3], word, args[4])
            many = builder.load(builder.bitcast(many, vector.as_pointer()), align=8)
            differing = builder.xor(many, _splat(builder, one, vector))
            total = builder.add(total, builder.call(count, [differing]))
        is_near = builder.icmp_unsigned("<=", total, _splat(builder, args[5], vector))
        return builder.zext(builder.bitcast(is_near, ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(filters, left, types.int64, right, types.int64, types.uint64), generate


def _address(context, builder, array_type, array, word, position):
    """Address of ``array[word, position]``."""
    struct = context.make_array(array_type)(context, builder, array)
    row = builder.mul(
        cgutils.unpack_tuple(builder, struct.shape, 2)[1], ir.Constant(ir.IntType(64), word)
    )
    return builder.gep(struct.data, [builder.add(row, position)])


def _splat(builder, scalar, vector):
    """Copy one number to every lane."""
    blank = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    first = builder.insert_element(blank, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, blank, zeros)


@compiled
def band_values(planes, first_row, bits, values):
    """Gather a band's bits into ``values``, uint32 (n,): bit k comes from ``bits[k]``."""
    block = 2048
    values[:] = 0
    for start in range(0, len(values), block):
        stop = min(start + block, len(values))
        for k in range(len(bits)):
            plane = planes[bits[k] // 64]
            shift, place = np.uint64(bits[k] % 64), np.uint64(k)
            for i in range(start, stop):
                values[i] |= np.uint32(((plane[first_row + i] >> shift) & np.uint64(1)) << place)


@compiled
def fill_table(table, first_row, filters, values):
    """Sort the rows from `first_row` on by value (a stable counting sort) into `table`."""
    starts = table.starts
    starts[:] = 0
    for i in range(len(values)):
        starts[values[i] + 1] += 1
    for value in range(len(starts) - 1):
        starts[value + 1] += starts[value]
    for i in range(len(values)):
        position = starts[values[i]]
        starts[values[i]] = position + 1
        table.rows[position] = first_row + i
        for f in range(len(filters)):
            table.words[f, position] = table.planes[filters[f], first_row + i]
    for value in range(len(starts) - 1, 0, -1):
        starts[value] = starts[value - 1]
    starts[0] = 0


@compiled
def join(left, right, rule, packing, control, counter, out):
    """Write this band's pairs to `out`, packed; several threads share one call's arguments.

    Rows are taken by ``control[counter]``, slots of `out` by ``control[USED]``. A full `out` sets
    ``control[STOP]``, as the caller may. Returns how many hashes were compared.
    """
    spans = np.empty((2, len(rule.masks)), np.int64)
    hits = np.empty((2, 4 * TILE), np.int64)
    slots = np.zeros(2, np.int64)  # the next free slot, the end of the reserved ones
    n_rows, n_compared, n_hits = len(left.rows), 0, 0
    while fetch_add(control, STOP, 0) == 0:
        start = fetch_add(control, counter, CHUNK)
        if start >= n_rows:
            break
        stop = min(start + CHUNK, n_rows)
        n_more, n_hits = _compare_rows(
            start, stop, left, right, rule, packing, control, out, spans, hits, n_hits, slots
        )
        n_compared += n_more
    _keep(hits[:, :n_hits], left, right, rule, packing, control, out, slots)
    out[slots[0] : slots[1]] = SENTINEL
    return n_compared


@compiled
def _compare_rows(
    start, stop, left, right, rule, packing, control, out, spans, hits, n_hits, slots
):
    """Compare positions ``start..stop`` of `left` with their neighbours in `right`."""
    limit = np.uint64(rule.max_distance)
    starts, words, other_words, filters = left.starts, left.words, right.words, rule.filters
    other_starts, masks, is_self = right.starts, rule.masks, rule.is_self
    value = np.searchsorted(starts, start, side="right") - 1
    n_compared = 0
    while start < stop:
        while starts[value + 1] <= start:
            value += 1
        end = min(stop, np.int64(starts[value + 1]))
        n_spans = _find_spans(other_starts, masks, value, is_self, spans)
        for s in range(n_spans):
            for tile in range(spans[0, s], spans[1, s], TILE):
                last = min(tile + TILE, spans[1, s])
                for i in range(start, end):
                    j = max(tile, i + 1) if is_self else tile
                    n_compared += max(0, last - j)
                    while j < last:
                        found = near(filters, words, i, other_words, j, limit)
                        if last - j < LANES:
                            found &= (np.uint64(1) << np.uint64(last - j)) - np.uint64(1)
                        while found != 0:
                            hits[0, n_hits] = i
                            hits[1, n_hits] = j + lowest_bit(found)
                            n_hits += 1
                            found &= found - np.uint64(1)
                        j += LANES
                    if n_hits > 3 * TILE:
                        _keep(hits[:, :n_hits], left, right, rule, packing, control, out, slots)
                        n_hits = 0
        start = end
    return n_compared, n_hits


@compiled
def _find_spans(starts, masks, value, is_self, spans):
    """List the buckets near `value` that hold anything, without a branch to mispredict."""
    n_spans = 0
    lowest = value if is_self else 0
    for k in range(len(masks)):
        near_value = value ^ masks[k]
        start, stop = np.int64(starts[near_value]), np.int64(starts[near_value + 1])
        spans[0, n_spans] = start
        spans[1, n_spans] = stop
        n_spans += np.int64((stop > start) & (near_value >= lowest))
    return n_spans


@compiled
def _keep(hits, left, right, rule, packing, control, out, slots):
    """Write those hits that are near over all words and that no earlier band finds."""
    rows, other_rows, words, other_words = left.rows, right.rows, left.words, right.words
    planes, other_planes, filters, others = left.planes, right.planes, rule.filters, rule.others
    earlier, radii = rule.earlier, rule.radii
    differing = np.empty(len(planes), np.uint64)
    for h in range(hits.shape[1]):
        i, j = hits[0, h], hits[1, h]
        a, b = np.uint64(rows[i]), np.uint64(other_rows[j])
        distance = np.uint64(0)
        for f in range(len(filters)):
            differing[filters[f]] = words[f, i] ^ other_words[f, j]
            distance += popcount(differing[filters[f]])
        for w in others:
            differing[w] = planes[w, a] ^ other_planes[w, b]
            distance += popcount(differing[w])
        is_ours = distance <= np.uint64(rule.max_distance)
        for e in range(len(radii)):
            if is_ours:
                in_band = 0
                for w in range(len(differing)):
                    in_band += np.int64(popcount(differing[w] & earlier[e, w]))
                is_ours = in_band > radii[e]
        if is_ours:
            if slots[0] == slots[1]:
                _reserve(control, len(out), slots)
            if rule.is_self and a > b:
                a, b = b, a
            out[slots[0]] = (
                ((a - np.uint64(packing.first_row)) << np.uint64(packing.left_shift))
                | (b << np.uint64(packing.right_shift))
                | (distance << np.uint64(packing.distance_shift))
            )
            slots[0] += 1


@compiled
def _reserve(control, n_slots, slots):
    """Take the next free slots; where there are none, stop all threads and write over old pairs."""
    slots[0] = fetch_add(control, USED, RUN)
    if slots[0] + RUN > n_slots:
        fetch_add(control, STOP, 1)
        slots[0] = 0
    slots[1] = slots[0] + RUN


@compiled
def count_parts(packed, shift, n_parts):
    """Count the packed pairs of each part ``packed >> shift``; sentinels are in none."""
    counts = np.zeros(n_parts, np.int64)
    for i in range(len(packed)):
        if packed[i] != SENTINEL:
            counts[np.int64(packed[i] >> np.uint64(shift))] += 1
    return counts


@compiled
def scatter(packed, shift, places, out):
    """Move the packed pairs of each part to ``out[places[part]:]``."""
    for i in range(len(packed)):
        if packed[i] != SENTINEL:
            part = np.int64(packed[i] >> np.uint64(shift))
            out[places[part]] = packed[i]
            places[part] += 1
