"""The face of the join's compiled functions: each by itself, at every level of the processor.

Twins: loops over Python's integers, which share nothing with the library. What the functions do
together, `tests/search/test_join.py` compares with a look at every pair.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdup.native import join
from native_levels import by_level, native_level
from oracles_vptree import hash_sets

any_hashes = st.integers(1, 16).flatmap(lambda words: hash_sets(words, bits=64))


def as_integers(hashes):
    return [sum(int(word) << 64 * i for i, word in enumerate(row)) for row in hashes]


def probed(data, bits=64):
    """Some hashes and one more of the same width."""
    words = data.draw(st.integers(1, 16))
    return data.draw(hash_sets(words, bits=bits)), data.draw(hash_sets(words, 1, bits))[0]


@by_level
@given(data=st.data())
def test_distances_are_those_of_big_integers(level, data):
    hashes, probe = probed(data)

    with native_level(level):
        found = join.distances_from(hashes, probe)

    (number,) = as_integers(probe[None])
    assert found.tolist() == [(number ^ other).bit_count() for other in as_integers(hashes)]


@by_level
@given(data=st.data())
def test_a_scan_finds_what_lies_within_the_distance_in_its_ranges(level, data):
    hashes, probe = probed(data, bits=6)
    max_distance = data.draw(st.integers(0, 8) | st.integers(0, 64 * len(probe)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(hashes)))))
    ranges = np.array(cuts[: len(cuts) // 2 * 2], np.int64).reshape(-1, 2)

    with native_level(level):
        positions, distances = join.scan(hashes, ranges, probe, max_distance)

    (number,), numbers = as_integers(probe[None]), as_integers(hashes)
    inside = [i for start, stop in ranges.tolist() for i in range(start, stop)]
    expected = [(i, (number ^ numbers[i]).bit_count()) for i in inside]
    found = zip(positions.tolist(), distances.tolist(), strict=True)
    assert list(found) == [pair for pair in expected if pair[1] <= max_distance]


@pytest.mark.parametrize("n", [join.FOUND - 1, join.FOUND, join.FOUND + 1, 3 * join.FOUND])
def test_a_scan_finds_more_than_there_is_room_for_at_first(n):
    positions, distances = join.scan(
        np.zeros((n, 1), np.uint64), np.array([[0, n]]), np.ones(1, np.uint64), 1
    )

    assert positions.tolist() == list(range(n))
    assert distances.tolist() == [1] * n


@pytest.mark.parametrize("ranges", [[[0, 4]], [[-1, 2]], [[0, 1], [2, 9]]])
def test_a_scan_outside_of_the_hashes_is_refused(ranges):
    with pytest.raises(ValueError, match=r"ranges must lie in 0\.\.3"):
        join.scan(np.zeros((3, 1), np.uint64), np.array(ranges), np.zeros(1, np.uint64), 0)


@by_level
@given(hashes=any_hashes, data=st.data())
def test_the_bits_of_a_band_make_a_value(level, hashes, data):
    positions = st.integers(0, 64 * hashes.shape[1] - 1)
    bits = sorted(data.draw(st.sets(positions, max_size=12)))
    values, counts = np.empty(len(hashes), np.uint32), np.ones(1 << len(bits), np.uint32)

    with native_level(level):
        join.count_values(hashes, np.array(bits, np.int64), values, counts)

    expected = [
        sum((number >> bit & 1) << k for k, bit in enumerate(bits))
        for number in as_integers(hashes)
    ]
    assert values.tolist() == expected
    assert (counts - 1).tolist() == [expected.count(value) for value in range(len(counts))]


@by_level
def test_more_hashes_than_a_block_holds_get_their_values(level):
    hashes = np.random.default_rng(0).integers(0, 2**64, (5_000, 2), dtype=np.uint64)
    values, counts = np.empty(5_000, np.uint32), np.zeros(4, np.uint32)

    with native_level(level):
        join.count_values(hashes, np.array([63, 64]), values, counts)

    numbers = as_integers(hashes)
    assert values.tolist() == [number >> 63 & 3 for number in numbers]


@pytest.mark.parametrize("n_first", [1, 2, 3])
@given(hashes=hash_sets(3, min_size=1, bits=64), data=st.data())
def test_rows_and_their_words_are_sorted_by_value(n_first, hashes, data):
    n = len(hashes)
    values = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    first = np.array(data.draw(st.permutations(range(3)))[:n_first], np.int64)
    starts = np.array([sum(v < value for v in values) for value in range(5)], np.uint32)
    columns = np.zeros((n_first, n + join.LANES), np.uint64)
    table = join.Table(hashes, columns, np.empty(n, np.uint32), starts)

    join.place_rows(np.array(values, np.uint32), 0, starts[:4].copy(), table.rows)
    join.copy_columns(table, first, range(n))

    rows = sorted(range(n), key=values.__getitem__)
    assert table.rows.tolist() == rows
    assert columns[:, :n].tolist() == [[int(hashes[row, w]) for row in rows] for w in first]


@given(st.lists(st.integers(0, 2**10 - 1)), st.integers(0, 3), st.integers(0, 3))
def test_packed_pairs_are_dealt_to_their_parts_without_free_slots(numbers, first, n_free):
    shift, n_parts, parts = 8, 4, range(first, 4)
    free = [2**64 - 1] * n_free
    packed = np.array(free + numbers + free, np.uint64)

    counts = join.count_parts(packed, shift, n_parts)
    places = np.concatenate([[0], np.cumsum(counts[parts.start : -1])])
    out = np.zeros(counts[parts.start :].sum(), np.uint64)
    join.scatter(packed, shift, parts, places.astype(np.int64), out)

    by_part = [[number for number in numbers if number >> shift == part] for part in range(4)]
    assert counts.tolist() == [len(part) for part in by_part]
    assert out.tolist() == [number for part in parts for number in by_part[part]]


@pytest.mark.parametrize(
    "hashes",
    [
        np.zeros((4, 1), np.int64),
        np.zeros((4, 2), np.uint64)[:, :1],
        np.frombuffer(bytes(33), np.uint64, count=4, offset=1).reshape(4, 1),
    ],
    ids=["another dtype", "with gaps", "not aligned"],
)
def test_arrays_that_the_library_cannot_read_are_refused(hashes):
    with pytest.raises(ValueError, match="contiguous array of uint64"):
        join.distances_from(hashes, np.zeros(1, np.uint64))
