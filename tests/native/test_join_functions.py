"""The functions that join and scan hashes: each by itself, at every level of the processor.

Twins: loops over Python's integers, which share nothing with the library. What the functions do
together, `tests/search/test_join.py` compares with a look at every pair.
"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.native import join
from imgdup.native.scan import FOUND, distances_from, scan
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
        found = distances_from(hashes, probe)

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
        positions, distances = scan(hashes, ranges, probe, max_distance)

    (number,), numbers = as_integers(probe[None]), as_integers(hashes)
    inside = [i for start, stop in ranges.tolist() for i in range(start, stop)]
    expected = [(i, (number ^ numbers[i]).bit_count()) for i in inside]
    found = zip(positions.tolist(), distances.tolist(), strict=True)
    assert list(found) == [pair for pair in expected if pair[1] <= max_distance]


@pytest.mark.parametrize("n", [FOUND - 1, FOUND, FOUND + 1, 3 * FOUND])
def test_a_scan_finds_more_than_there_is_room_for_at_first(n):
    positions, distances = scan(
        np.zeros((n, 1), np.uint64), np.array([[0, n]]), np.ones(1, np.uint64), 1
    )

    assert positions.tolist() == list(range(n))
    assert distances.tolist() == [1] * n


@pytest.mark.parametrize("ranges", [[[0, 4]], [[-1, 2]], [[0, 1], [2, 9]]])
def test_a_scan_outside_of_the_hashes_is_refused(ranges):
    with pytest.raises(ValueError, match=r"ranges must lie in 0\.\.3"):
        scan(np.zeros((3, 1), np.uint64), np.array(ranges), np.zeros(1, np.uint64), 0)


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


@by_level
@given(hashes=hash_sets(3, min_size=1, bits=64), data=st.data())
def test_a_table_of_some_hashes_is_that_of_their_copies(level, hashes, data):
    numbers = st.lists(st.integers(0, len(hashes) - 1), min_size=1, unique=True)
    chosen = np.array(sorted(data.draw(numbers)), np.uint32)
    bits, n = np.array([3, 64, 190]), len(chosen)
    made = []

    for source, which in ((hashes, chosen), (hashes[chosen], None)):
        values, counts = np.empty(n, np.uint32), np.zeros(8, np.uint32)
        starts, columns = np.zeros(9, np.uint32), np.zeros((2, n + join.LANES), np.uint64)
        table = join.Table(source, columns, np.empty(n, np.uint32), starts, which)
        with native_level(level):
            join.count_values(source, bits, values, counts, chosen=which)
            np.cumsum(counts, out=starts[1:])
            join.place_rows(values, 0, starts[:-1].copy(), table.rows)
            join.copy_columns(table, range(n))
        made.append([each.tolist() for each in (values, counts, table.rows, columns)])

    assert made[0] == made[1]


@pytest.mark.parametrize(
    "chosen",
    [np.array([0, 3], np.uint32), np.array([0, 1]), np.zeros(3, np.uint32), [0, 1]],
    ids=["beyond the end", "another type", "too many", "a list"],
)
def test_numbers_that_are_not_of_these_hashes_are_refused(chosen):
    arrays = (zeros(np.uint64, 3, 2), np.array([0]), zeros(np.uint32, 2), zeros(np.uint32, 2))

    with pytest.raises((TypeError, ValueError)):
        join.count_values(*arrays, chosen=chosen)


@pytest.mark.parametrize("n_first", [1, 2, 3])
@given(hashes=hash_sets(3, min_size=1, bits=64), data=st.data())
def test_rows_and_their_mixed_words_are_sorted_by_value(n_first, hashes, data):
    n = len(hashes)
    values = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    starts = np.array([sum(v < value for v in values) for value in range(5)], np.uint32)
    columns = np.zeros((n_first, n + join.LANES), np.uint64)
    table = join.Table(hashes, columns, np.empty(n, np.uint32), starts)

    join.place_rows(np.array(values, np.uint32), 0, starts[:4].copy(), table.rows)
    join.copy_columns(table, range(n))

    rows = sorted(range(n), key=values.__getitem__)
    assert table.rows.tolist() == rows
    mixed = {1: lambda a, b, c: [a ^ b ^ c], 2: lambda a, b, c: [a ^ c, b]}.get(
        n_first, lambda a, b, c: [a, b, c]
    )
    assert columns[:, :n].T.tolist() == [mixed(*hashes[row].tolist()) for row in rows]


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


# --- arguments that the library must never see


def zeros(dtype, *shape):
    return np.zeros(shape, dtype)


def table():
    """Three hashes of two words in one of four buckets."""
    columns, starts = zeros(np.uint64, 1, 3 + join.LANES), zeros(np.uint32, 5)
    starts[1:] = 3
    return join.Table(zeros(np.uint64, 3, 2), columns, np.arange(3, dtype=np.uint32), starts)


def joined(**parts):
    """Join a table with another one."""
    left, rule, packing = (
        kind(*(parts[name] for name in kind._fields))
        for kind in (join.Table, join.BandRule, join.Packing)
    )
    output = join.Output(packing, parts["control"], parts["slots"])
    return join.Join(left, table(), rule, output, parts["counter"])()


def copied(positions, hashes, columns, rows):
    made = join.Table(hashes, columns, rows, zeros(np.uint32, 5))
    join.copy_columns(made, positions)


# Each function, and arguments that it takes.
CALLS = {
    join.count_values: lambda: {
        "hashes": zeros(np.uint64, 3, 2),
        "bits": np.array([0, 127]),
        "values": zeros(np.uint32, 3),
        "counts": zeros(np.uint32, 4),
    },
    join.place_rows: lambda: {
        "values": zeros(np.uint32, 3),
        "first_row": 0,
        "places": zeros(np.uint32, 4),
        "rows": zeros(np.uint32, 3),
    },
    copied: lambda: {
        "positions": range(3),
        "hashes": zeros(np.uint64, 3, 2),
        "columns": zeros(np.uint64, 1, 3 + join.LANES),
        "rows": zeros(np.uint32, 3),
    },
    joined: lambda: {
        **table()._asdict(),
        "masks": zeros(np.int64, 2),
        "earlier": zeros(np.uint64, 2, 2),
        "radii": zeros(np.uint64, 2),
        "max_distance": 3,
        "first_row": 0,
        "left_shift": 32,
        "right_shift": 16,
        "control": zeros(np.int64, 3),
        "slots": zeros(np.uint64, 2 * join.RUN),
        "counter": 2,
    },
    join.count_parts: lambda: {"packed": zeros(np.uint64, 3), "shift": 8, "n_parts": 2},
    join.scatter: lambda: {
        "packed": np.array([0, 256, 512], np.uint64),
        "shift": 8,
        "parts": range(1, 3),
        "places": np.array([0, 1]),
        "out": zeros(np.uint64, 3),
    },
    scan: lambda: {
        "hashes": zeros(np.uint64, 3, 2),
        "ranges": np.array([[0, 1], [2, 3]]),
        "probe": zeros(np.uint64, 2),
        "max_distance": 3,
    },
    distances_from: lambda: {
        "hashes": zeros(np.uint64, 3, 2),
        "probe": zeros(np.uint64, 2),
    },
}
WRITTEN = ("values", "counts", "places", "columns", "control", "slots", "out")


def unaligned(array):
    return np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype)


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


SPOILERS = {
    "a list": np.ndarray.tolist,
    "no array": lambda array: None,
    "floats": lambda array: array.astype(np.float64),
    "another size of integers": lambda array: array.astype(np.uint16),
    "the other order of bytes": lambda array: array.astype(array.dtype.newbyteorder()),
    "one dimension more": lambda array: array[None],
    "no dimension": lambda array: array.reshape(-1)[0],
    "gaps": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[..., ::-1],
    "columns first": np.asfortranarray,
    "unaligned": lambda array: unaligned(array).reshape(array.shape),
}


ARRAYS = [
    pytest.param(call, name, id=f"{call.__name__}-{name}")
    for call, arguments in CALLS.items()
    for name, value in arguments().items()
    if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_arguments_that_fit_are_accepted(call):
    call(**CALLS[call]())


@pytest.mark.parametrize("how", SPOILERS)
@pytest.mark.parametrize(("call", "name"), ARRAYS)
def test_arrays_that_the_library_cannot_read_are_refused(call, name, how):
    arguments = CALLS[call]()
    spoilt = SPOILERS[how](arguments[name])
    if isinstance(spoilt, np.ndarray) and spoilt.ndim == arguments[name].ndim:
        flags = spoilt.flags
        if spoilt.dtype == arguments[name].dtype and flags.c_contiguous and flags.aligned:
            pytest.skip("an array of one element or column has no other layout")

    with pytest.raises((TypeError, ValueError)):
        call(**{**arguments, name: spoilt})


@pytest.mark.parametrize(("call", "name"), [each for each in ARRAYS if each.values[1] in WRITTEN])
def test_arrays_that_must_not_be_written_are_refused(call, name):
    arguments = CALLS[call]()
    if (call is join.place_rows and name == "values") or (call is joined and name == "columns"):
        pytest.skip("this array is only read")

    with pytest.raises(ValueError, match="cannot write to a read-only array"):
        call(**{**arguments, name: read_only(arguments[name])})


@pytest.mark.parametrize(
    ("call", "changed"),
    [
        (join.count_values, {"values": zeros(np.uint32, 2)}),
        (join.count_values, {"counts": zeros(np.uint32, 3)}),
        (join.count_values, {"bits": np.array([0, 128])}),
        (join.count_values, {"bits": np.array([-1, 3])}),
        (join.count_values, {"bits": np.arange(33)}),
        (join.count_values, {"hashes": zeros(np.uint64, 3, 0)}),
        (join.count_values, {"hashes": zeros(np.uint64, 3, 17)}),
        (join.place_rows, {"rows": zeros(np.uint32, 2)}),
        (join.place_rows, {"values": np.array([0, 4, 0], np.uint32)}),
        (join.place_rows, {"first_row": -1}),
        (join.place_rows, {"first_row": 1 << 32}),
        (copied, {"columns": zeros(np.uint64, 3, 3 + join.LANES)}),
        (copied, {"columns": zeros(np.uint64, 0, 3 + join.LANES)}),
        (copied, {"positions": range(4)}),
        (copied, {"positions": range(-1, 2)}),
        (copied, {"columns": zeros(np.uint64, 1, 3)}),
        (joined, {"hashes": zeros(np.uint64, 3, 1)}),
        (joined, {"columns": zeros(np.uint64, 0, 3 + join.LANES)}),
        (joined, {"columns": zeros(np.uint64, 1, 3)}),
        (joined, {"columns": zeros(np.uint64, 2, 3 + join.LANES)}),
        (joined, {"rows": zeros(np.uint32, 4)}),
        (joined, {"starts": zeros(np.uint32, 1)}),
        (joined, {"starts": zeros(np.uint32, 4)}),
        (joined, {"masks": np.array([0, 4])}),
        (joined, {"masks": np.array([-1, 0])}),
        (joined, {"masks": zeros(np.int64, join.MAX_MASKS + 1)}),
        (joined, {"earlier": zeros(np.uint64, 1, 2)}),
        (joined, {"earlier": zeros(np.uint64, 2, 1)}),
        (joined, {"max_distance": -1}),
        (joined, {"max_distance": 129}),
        (joined, {"first_row": -1}),
        (joined, {"left_shift": 64}),
        (joined, {"right_shift": -1}),
        (joined, {"control": zeros(np.int64, 2)}),
        (joined, {"counter": 1}),
        (joined, {"counter": 3}),
        (joined, {"slots": zeros(np.uint64, join.RUN - 1)}),
        (join.count_parts, {"shift": 64}),
        (join.count_parts, {"n_parts": -1}),
        (join.scatter, {"places": zeros(np.int64, 1)}),
        (join.scatter, {"parts": range(-1, 1)}),
        (join.scatter, {"shift": -1}),
        (scan, {"probe": zeros(np.uint64, 3)}),
        (scan, {"ranges": np.array([[0, 1], [2, 9], [2, 3]])}),
        (scan, {"ranges": zeros(np.int64, 2, 3)}),
        (scan, {"max_distance": -1}),
        (scan, {"max_distance": 1 << 70}),
        (distances_from, {"probe": zeros(np.uint64, 1)}),
        (
            distances_from,
            {"hashes": zeros(np.uint64, 3, 17), "probe": zeros(np.uint64, 17)},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)
def test_sizes_and_numbers_that_do_not_fit_are_refused(call, changed):
    with pytest.raises(ValueError, match=r"must be from|must lie in|expected a contiguous|power"):
        call(**{**CALLS[call](), **changed})


@pytest.mark.parametrize("wrong", [1.5, None, "3"])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        pytest.param(call, name, id=f"{call.__name__}-{name}")
        for call, arguments in CALLS.items()
        for name, value in arguments().items()
        if isinstance(value, int)
    ],
)
def test_what_is_no_whole_number_is_refused(call, name, wrong):
    with pytest.raises(TypeError):
        call(**{**CALLS[call](), name: wrong})


def test_pairs_of_no_part_are_not_counted():
    packed = np.array([0, 2 << 8, 2**63, 2**64 - 1], np.uint64)

    assert join.count_parts(packed, 8, 2).tolist() == [1, 0]
