"""Plain compiled loops over arrays that the caller made: tables of one band, and their join.

Nothing is checked here and no lock is held: `imgdup.search.join` runs these in threads. Hashes
come as ``uint64 (n, words)``, in tables word by word as ``uint64 (words, n + LANES)``, with room
for a vector to read past the end. Compiled on first use, then cached beside the package or, where
that cannot be written, in numba's own folder.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 2048  # hashes whose bits are gathered at a time
LANES = 16  # hashes that `near` compares at once; 8 and 32 take within a tenth as long
TILE = 4096  # hashes that stay in the cache while a chunk of rows is compared with them
CHUNK = 64  # rows that a thread takes at a time
MAX_HITS = 4096  # hits of a thread between two looks at them
RUN = 512  # slots of the output that a thread reserves at a time
STOP, USED, FIRST_COUNTER = 0, 1, 2  # what the words of `control` count; one counter a task then
SENTINEL = np.uint64(2**64 - 1)  # marks reserved slots that stayed free; sorts to the end


class Table(NamedTuple):
    """Rows sorted by the value of one band.

    Parameters
    ----------
    words : ndarray of uint64, shape (words, n + LANES)
        The hashes, in the order of the buckets.
    rows : ndarray of uint32, shape (n,)
        Row of each position; ascending within a bucket.
    starts : ndarray of uint32, shape (2 ** width + 1,)
        Position where the bucket of each value begins.
    """

    words: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


class Rule(NamedTuple):
    """What makes a pair of one band.

    Parameters
    ----------
    filters, every : tuple of int
        The words that are compared first, and all; how many is known to the compiler.
    masks : ndarray of int64, shape (n_masks,)
        What the band's values of a pair may differ in.
    earlier : ndarray of uint64, shape (n_earlier, words)
        The bits of the bands whose pairs are not ours, ...
    radii : ndarray of uint64, shape (n_earlier,)
        ... and the distance within which they are theirs.
    max_distance : int
        Largest accepted distance over all words, inclusive.
    is_self : bool
        Both tables are one: each pair of positions is compared once.
    """

    filters: tuple[int, ...]
    every: tuple[int, ...]
    masks: np.ndarray
    earlier: np.ndarray
    radii: np.ndarray
    max_distance: int
    is_self: bool


class Scratch(NamedTuple):
    """What one thread works in: spans of buckets, hits (row, first lane, lanes), its counters."""

    spans: np.ndarray
    hits: np.ndarray
    cursor: np.ndarray


class Packing(NamedTuple):
    """Where row, row and distance go in the 64 bits of a pair: left - first_row is highest."""

    first_row: int
    left_shift: int
    right_shift: int
    distance_shift: int


class Output(NamedTuple):
    """Where all threads write: packed pairs to `slots`, uint64 (n,), as far as `control` says."""

    packing: Packing
    control: np.ndarray
    slots: np.ndarray


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

    return types.uint64(types.uint64), generate


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
        for word in cgutils.unpack_tuple(builder, args[0]):
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
    row = builder.mul(cgutils.unpack_tuple(builder, struct.shape, 2)[1], word)
    return builder.gep(struct.data, [builder.add(row, position)])


def _splat(builder, scalar, vector):
    """Copy one number to every lane."""
    blank = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    first = builder.insert_element(blank, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, blank, zeros)


@compiled
def band_values(hashes, bits, values):
    """Gather a band's bits into ``values``, uint32 (n,): bit k comes from ``bits[k]``."""
    column, gathered = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    for start in range(0, len(hashes), BLOCK):
        n = min(BLOCK, len(hashes) - start)
        gathered[:] = 0
        word = -1
        for k in range(len(bits)):
            if bits[k] // 64 != word:
                word = bits[k] // 64
                for i in range(n):
                    column[i] = hashes[start + i, word]
            right, left = np.uint64((bits[k] - k) % 64), np.uint64((k - bits[k]) % 64)
            place = np.uint64(1) << np.uint64(k)
            for i in range(n):
                gathered[i] |= (column[i] >> right | column[i] << left) & place
        for i in range(n):
            values[start + i] = gathered[i]


@compiled
def fill_table(hashes, first_row, values, table):
    """Sort hashes by value, a stable counting sort; `first_row` is the row of the first."""
    starts, rows, words = table.starts, table.rows, table.words
    starts[:] = 0
    for i in range(len(values)):
        starts[values[i] + 1] += 1
    for value in range(len(starts) - 1):
        starts[value + 1] += starts[value]
    for i in range(len(values)):
        position = starts[values[i]]
        starts[values[i]] = position + 1
        rows[position] = i
    for value in range(len(starts) - 1, 0, -1):
        starts[value] = starts[value - 1]
    starts[0] = 0
    for word in range(len(words)):
        for position in range(len(rows)):
            words[word, position] = hashes[rows[position], word]
    for position in range(len(rows)):
        rows[position] += first_row


@compiled
def join(left, right, rule, output, counter):
    """Write this band's pairs to `output`; several threads share one call's arguments.

    Rows are taken by ``control[counter]``, slots by ``control[USED]``. When no slot is left,
    ``control[STOP]`` is set, as the caller may. Returns how many pairs of hashes were compared.
    """
    spans = np.empty((2, len(rule.masks)), np.int64)
    hits = np.empty((3, MAX_HITS), np.uint64)
    cursor = np.zeros(3, np.int64)  # the next free slot, the end of the reserved ones, the hits
    scratch = Scratch(spans, hits, cursor)
    n_rows, n_compared = len(left.rows), 0
    while fetch_add(output.control, STOP, 0) == 0:
        start = fetch_add(output.control, counter, CHUNK)
        if start >= n_rows:
            break
        stop = min(start + CHUNK, n_rows)
        n_compared += _compare_rows(start, stop, left, right, rule, output, scratch)
    _keep(left, right, rule, output, scratch)
    output.slots[cursor[0] : cursor[1]] = SENTINEL
    return n_compared


@compiled
def _compare_rows(start, stop, left, right, rule, output, scratch):
    """Compare positions ``start..stop`` of `left` with their neighbours in `right`."""
    limit, is_self = np.uint64(rule.max_distance), rule.is_self
    filters, every = rule.filters, rule.every
    starts, words, other_words = left.starts, left.words, right.words
    spans, hits = scratch.spans, scratch.hits
    value = np.searchsorted(starts, start, side="right") - 1
    n_hits, n_compared = scratch.cursor[2], 0
    while start < stop:
        while starts[value + 1] <= start:
            value += 1
        end = min(stop, np.int64(starts[value + 1]))
        for s in range(_find_spans(right.starts, rule.masks, value, is_self, spans)):
            for tile in range(spans[0, s], spans[1, s], TILE):
                last = min(tile + TILE, spans[1, s])
                for i in range(start, end):
                    first = max(tile, i + 1) if is_self else tile
                    n_compared += max(0, last - first)
                    for j in range(first, last, LANES):
                        found = near(filters, words, i, other_words, j, limit)
                        if last - j < LANES:
                            found &= (np.uint64(1) << np.uint64(last - j)) - np.uint64(1)
                        if found != 0 and len(filters) < len(every):
                            found &= near(every, words, i, other_words, j, limit)
                        if found != 0:
                            hits[0, n_hits], hits[1, n_hits], hits[2, n_hits] = i, j, found
                            n_hits += 1
                    if n_hits > MAX_HITS - TILE // LANES:
                        scratch.cursor[2] = n_hits
                        _keep(left, right, rule, output, scratch)
                        n_hits = 0
        start = end
    scratch.cursor[2] = n_hits
    return n_compared


@compiled
def _find_spans(starts, masks, value, is_self, spans):
    """List the buckets near `value` that hold anything, without a branch to guess."""
    n_spans = 0
    lowest = value if is_self else 0
    for k in range(len(masks)):
        near_value = value ^ masks[k]
        start, stop = np.int64(starts[near_value]), np.int64(starts[near_value + 1])
        spans[0, n_spans] = start
        spans[1, n_spans] = stop
        n_spans += (stop > start) & (near_value >= lowest)
    return n_spans


@compiled
def _keep(left, right, rule, output, scratch):
    """Write those hits that no earlier band finds."""
    words, other_words, earlier, radii = left.words, right.words, rule.earlier, rule.radii
    hits, cursor, slots = scratch.hits, scratch.cursor, output.slots
    n_words = len(rule.every)
    differing = np.empty(n_words, np.uint64)
    slot, end = cursor[0], cursor[1]
    for h in range(cursor[2]):
        i, found = hits[0, h], hits[2, h]
        while found != 0:
            j = hits[1, h] + lowest_bit(found)
            found &= found - np.uint64(1)
            distance = np.uint64(0)
            for w in range(n_words):
                differing[w] = words[w, i] ^ other_words[w, j]
                distance += popcount(differing[w])
            is_ours = True
            for e in range(len(radii)):
                in_band = np.uint64(0)
                for w in range(n_words):
                    in_band += popcount(differing[w] & earlier[e, w])
                if in_band <= radii[e]:
                    is_ours = False
                    break
            if slot == end:
                slot = _reserve(output)
                end = slot + RUN
            a, b = left.rows[i], right.rows[j]
            slots[slot] = _packed(a, b, distance, rule.is_self, output.packing)
            slot += is_ours
    cursor[0], cursor[1], cursor[2] = slot, end, 0


@njit(inline="always")
def _packed(row, other_row, distance, is_self, packing):
    """Pack a pair, the smaller row first where both are of one set."""
    a = min(row, other_row) if is_self else row
    b = max(row, other_row) if is_self else other_row
    return (
        ((np.uint64(a) - np.uint64(packing.first_row)) << np.uint64(packing.left_shift))
        | (np.uint64(b) << np.uint64(packing.right_shift))
        | (distance << np.uint64(packing.distance_shift))
    )


@compiled
def _reserve(output):
    """Take the next free slots; where there are none, stop all threads and take used ones."""
    slot = fetch_add(output.control, USED, RUN)
    if slot + RUN > len(output.slots):
        fetch_add(output.control, STOP, 1)
        return 0
    return slot


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
