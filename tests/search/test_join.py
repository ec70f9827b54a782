"""All pairs within a distance: the join by bands, its blocks, its threads, its way back to rows.

Oracle: ``oracles_pairs.pairs_inside`` and ``pairs_across``, which look at every pair with NumPy
alone. The join promises the same pairs, order and distances, so every comparison is equality.

Sets are drawn clustered, because a bound that is wrong by one shows at ties only. Small sets are
scanned unless the test says otherwise, so bands are forced: any number, any widths, any bits.
"""

import gc
import math
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from imgdup import search
from imgdup.native import join as native
from imgdup.search import Chosen, bands, equal, join, sorting
from imgdup.search.bands import Band, Layout
from imgdup.search.join import JoinStats, RowBlock
from imgdup.search.planner import Workload
from native_levels import by_level, native_level, supported_levels
from oracles_pairs import (
    bucket_products,
    classes_of,
    clustered,
    hamming_matrix,
    pairs_across,
    pairs_inside,
    varying_bits,
)

WORDS = [1, 2, 3, 4, 16]
by_width = pytest.mark.parametrize("words", WORDS, ids=[f"{64 * words}-bit" for words in WORDS])
# Patches of constants hold for all draws of a test.
patient = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def layouts(draw, words, max_distance):
    """Any bands that must find all pairs: radii by the pigeonhole, any bits, most that vary."""
    n_bands = draw(st.integers(1, min(max_distance + 1, 6)))
    whole, more = divmod(max_distance + 1, n_bands)
    others = draw(st.sets(st.integers(0, 64 * words - 1), max_size=4))
    order = np.array(draw(st.permutations(sorted({*varying_bits(words), *others}))), np.int64)
    cuts = draw(st.lists(st.integers(0, len(order)), min_size=n_bands - 1, max_size=n_bands - 1))
    dealt = np.split(order, sorted(cuts))
    radii = [whole - (number >= more) for number in range(n_bands)]
    return Layout(
        tuple(Band(np.sort(bits), radius) for bits, radius in zip(dealt, radii, strict=True)),
        n_expected=0,
        cost_s=0.0,
        skew=1.0,
        pair_share=draw(st.sampled_from([1e-3, 0.1, 1.0])),
    )


def is_a_scan(layout):
    """Whether every hash is compared with every other hash."""
    return len(layout.bands[0].bits) == 0


def as_tuples(found):
    columns = (found.left.tolist(), found.right.tolist(), found.distances.tolist())
    return list(zip(*columns, strict=True))


def find_pairs(hashes, max_distance, other=None):
    """All pairs of rows, sorted: equal hashes are grouped, joined and expanded."""
    classes = equal.group_equal(hashes)
    others = None if other is None else equal.group_equal(other)
    distinct = None if other is None else others.distinct(other)
    blocks = join.iter_pairs(classes.distinct(hashes), max_distance, other=distinct)
    found = list(equal.expand(classes, blocks, other=others))
    columns = zip(*found, strict=True) if found else [[], [], []]
    left, right, distances = (np.concatenate([np.empty(0, np.int64), *c]) for c in columns)
    order = np.lexsort((right, left))
    return equal.Pairs(left[order], right[order], distances[order])


def in_one(blocks):
    return [pair for block in blocks for pair in as_tuples(block)]


def random_hashes(n, words, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (n, words), dtype=np.uint64)


def flipped(hash_, n_bits, seed):
    """The same hash with so many bits changed."""
    out = hash_.copy()
    for bit in np.random.default_rng(seed).choice(64 * len(hash_), n_bits, replace=False).tolist():
        out[bit // 64] ^= np.uint64(1 << bit % 64)
    return out


# --- exactness


@by_width
@patient
@given(data=st.data())
def test_iter_pairs_equals_the_scan_of_all_pairs_whatever_the_bands(words, data):
    hashes = data.draw(clustered(words))
    max_distance = data.draw(st.integers(0, 5) | st.integers(0, 64 * words))
    layout = data.draw(layouts(words, max_distance))

    expected = pairs_inside(hashes, max_distance)
    for level in supported_levels():
        with native_level(level):
            found = in_one(join.iter_pairs(hashes, max_distance, stats=JoinStats(layout=layout)))

        assert found == expected, level


@by_width
@patient
@given(data=st.data())
def test_iter_pairs_across_two_sets_equals_the_scan_whatever_the_bands(words, data):
    left, right = data.draw(clustered(words)), data.draw(clustered(words))
    max_distance = data.draw(st.integers(0, 5) | st.integers(0, 64 * words))
    stats = JoinStats(layout=data.draw(layouts(words, max_distance)))

    expected = pairs_across(left, right, max_distance)
    for level in supported_levels():
        with native_level(level):
            found = in_one(join.iter_pairs(left, max_distance, other=right, stats=stats))

        assert found == expected, level


@by_width
@patient
@given(data=st.data())
def test_the_bands_that_are_chosen_find_all_pairs(words, data, monkeypatch):
    monkeypatch.setattr(bands, "SMALL", 0)
    hashes = data.draw(clustered(words))
    max_distance = data.draw(st.integers(0, 12))
    stats = JoinStats()

    found = in_one(join.iter_pairs(hashes, max_distance, stats=stats))

    assert found == pairs_inside(hashes, max_distance)


@patient
@given(clustered(1, max_size=40), clustered(1, max_size=40), st.integers(0, 4))
def test_one_set_against_another_is_the_cross_part_of_both_joined(left, right, max_distance):
    n_left = len(left)

    across = find_pairs(left, max_distance, other=right)
    inside = find_pairs(np.concatenate([left, right]), max_distance)

    is_cross = (inside.left < n_left) & (inside.right >= n_left)
    assert across.left.tolist() == inside.left[is_cross].tolist()
    assert across.right.tolist() == (inside.right[is_cross] - n_left).tolist()
    assert across.distances.tolist() == inside.distances[is_cross].tolist()


@by_level
@pytest.mark.parametrize(
    ("words", "max_distance", "is_scan"),
    [
        (1, 4, False),
        (1, 8, False),
        (2, 12, False),
        (4, 31, False),
        (8, 60, False),
        (8, 60, True),
        (16, 60, False),
        (16, 124, True),
    ],
)
def test_planted_pairs_are_found_at_the_distance_and_not_one_bit_farther(
    level, words, max_distance, is_scan, monkeypatch
):
    monkeypatch.setattr(bands, "SMALL", 10**9 if is_scan else 0)
    numbers = {4: 30_000, 8: 30_000, 16: 30_000}  # bands of wide hashes pay in large sets only
    hashes = random_hashes(8_000 if is_scan else numbers.get(words, 8_000), words)
    for k in range(100):
        hashes[5_000 + k] = flipped(hashes[k], max_distance, seed=k)
        hashes[5_500 + k] = flipped(hashes[1_000 + k], max_distance + 1, seed=k)
    stats = JoinStats()

    with native_level(level):
        found = in_one(join.iter_pairs(hashes, max_distance, stats=stats))

    assert is_a_scan(stats.layout) == is_scan
    assert found == [(k, 5_000 + k, max_distance) for k in range(100)]


@pytest.mark.parametrize("max_distance", [0, 31, 60, 124])
@pytest.mark.parametrize("words", [2, 4, 8, 16])
def test_chosen_bands_of_any_width_find_all_pairs_at_any_distance(words, max_distance, monkeypatch):
    monkeypatch.setattr(bands, "SMALL", 0)
    monkeypatch.setattr(Workload, "scan_s", math.inf)  # so that bands are chosen
    left = random_hashes(120, words)
    distances = (max_distance // 3, max_distance, min(max_distance + 1, 64 * words))
    right = np.array([flipped(left[k], n, seed=k) for k in range(len(left)) for n in distances])
    both = np.concatenate([left, right])
    inside, across = JoinStats(), JoinStats()

    found = in_one(join.iter_pairs(both, max_distance, stats=inside))
    found_across = in_one(join.iter_pairs(left, max_distance, other=right, stats=across))

    assert not is_a_scan(inside.layout)
    assert not is_a_scan(across.layout)
    assert found == pairs_inside(both, max_distance)
    assert found_across == pairs_across(left, right, max_distance)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("n_other", [None, 0, 1, 2])
def test_sets_of_no_hash_one_and_two_are_joined(n, n_other):
    hashes = np.zeros((n, 1), np.uint64)
    other = None if n_other is None else np.zeros((n_other, 1), np.uint64)

    found = as_tuples(find_pairs(hashes, 0, other=other))

    every = pairs_inside(hashes, 0) if other is None else pairs_across(hashes, other, 0)
    assert found == every


# --- blocks, threads, statistics


@by_width
@patient
@given(data=st.data())
def test_blocks_are_sorted_disjoint_and_no_longer_than_they_may_be(words, data, monkeypatch):
    monkeypatch.setattr(join, "BLOCK_PAIRS", 16)
    monkeypatch.setattr(join, "TABLE_BYTES", 1)
    monkeypatch.setattr(sorting, "PIECE", 1)
    monkeypatch.setattr(sorting, "PART_PAIRS", 8)
    monkeypatch.setattr(sorting, "SORTED_PAIRS", 40)
    hashes = data.draw(clustered(words, max_size=40))
    max_distance = data.draw(st.integers(0, 4))
    stats = JoinStats(layout=data.draw(layouts(words, max_distance)))

    found = list(join.iter_pairs(hashes, max_distance, stats=stats))

    assert in_one(found) == pairs_inside(hashes, max_distance)
    assert all(0 < len(block.left) <= max(16, len(hashes)) for block in found)
    lefts = [set(block.left.tolist()) for block in found]
    assert sum(map(len, lefts)) == len(set().union(*lefts))


@pytest.mark.parametrize("is_scan", [True, False])
def test_any_number_of_threads_gives_the_same_blocks(is_scan, monkeypatch):
    monkeypatch.setattr(join, "BLOCK_PAIRS", 1_000)
    monkeypatch.setattr(join, "TABLE_BYTES", 1)
    monkeypatch.setattr(sorting, "PIECE", 100)
    hashes = random_hashes(2_000, 1) & np.uint64(0x0F0F0F0F0F)
    bits = np.arange(0) if is_scan else np.array([0, 9, 18, 27])
    layout = Layout((Band(bits, 0), Band(bits + 2, 0), Band(bits + 1, 1)), 0, 0.0, 1.0, 1.0)

    runs = [
        list(join.iter_pairs(hashes, 3, threads=threads, stats=JoinStats(layout=layout)))
        for threads in (1, 2, 7)
    ]

    assert in_one(runs[0]) == pairs_inside(hashes, 3)
    assert len(runs[0]) > 3
    assert [as_tuples(block) for block in runs[1]] == [as_tuples(block) for block in runs[0]]
    assert [as_tuples(block) for block in runs[2]] == [as_tuples(block) for block in runs[0]]


@patient
@given(data=st.data())
def test_as_many_hashes_are_compared_as_lie_in_neighbouring_buckets(data):
    left, right = data.draw(clustered(1)), data.draw(clustered(1))
    stats = JoinStats(layout=data.draw(layouts(1, 3)))

    list(join.iter_pairs(left, 3, other=right, stats=stats))

    assert stats.n_compared == bucket_products(left, right, stats.layout.bands)


@by_level
def test_a_bucket_of_more_hashes_than_a_tile_is_compared_whole(level):
    n = 2 * native.TILE + native.LANES + 3
    hashes = np.arange(n, dtype=np.uint64)[:, None] << np.uint64(20)
    stats = JoinStats(layout=Layout((Band(np.arange(8), 1),), 0, 0.0, 1.0, 1.0))

    with native_level(level):
        found = in_one(join.iter_pairs(hashes, 1, stats=stats))

    one_bit_apart = [
        (i, i | 1 << bit, 1) for i in range(n) for bit in range(14) if not i >> bit & 1
    ]
    assert found == sorted(pair for pair in one_bit_apart if pair[1] < n)
    assert stats.n_compared == n * (n - 1) // 2


def test_the_threads_are_as_many_as_the_usable_cores(monkeypatch):
    monkeypatch.setattr(search, "usable_cores", lambda: 3)
    pools = []
    monkeypatch.setattr(
        join, "ThreadPoolExecutor", lambda n: pools.append(n) or ThreadPoolExecutor(n)
    )
    hashes = random_hashes(10, 1)

    list(join.iter_pairs(hashes, 3))
    list(join.iter_pairs(hashes, 3, other=hashes))
    list(join.iter_pairs(hashes, 3, threads=2))

    assert pools == [3, 3, 2]


def test_a_table_is_the_same_whatever_the_number_of_its_pieces(monkeypatch):
    monkeypatch.setattr(sorting, "PIECE", 1)
    hashes = random_hashes(1_000, 2) & np.uint64(0xFF)
    plan = sorting.TablePlan(Chosen(hashes), range(100, 900), np.array([0, 1, 2, 65]), n_first=2)
    with ThreadPoolExecutor(3) as pool:

        def call_all(calls):
            return [future.result() for future in [pool.submit(call) for call in calls]]

        made = [sorting.make_tables([plan], call_all, threads)[0] for threads in (1, 2, 7)]

    values = (hashes[100:900, 0] & np.uint64(7)) | (hashes[100:900, 1] >> np.uint64(1) & 1) << 3
    order = np.argsort(values, kind="stable")
    for table in made:
        assert table.rows.tolist() == (100 + order).tolist()
        assert table.starts.tolist() == np.searchsorted(values[order], np.arange(17)).tolist()
        assert table.columns[:, :800].tolist() == hashes[100:900][order].T.tolist()


def test_progress_rises_to_the_end():
    reported = []
    stats = JoinStats(on_progress=reported.append)

    list(join.iter_pairs(random_hashes(20_000, 4), 31, stats=stats))

    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(1.0)


def test_progress_rises_over_all_blocks_to_the_end(monkeypatch):
    monkeypatch.setattr(join, "BLOCK_PAIRS", 1_000)
    reported = []
    stats = JoinStats(on_progress=reported.append)

    blocks = list(join.iter_pairs(random_hashes(300, 1), 64, stats=stats))

    assert len(blocks) > 10
    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(1.0)


def test_an_exception_in_the_callers_thread_stops_the_threads_at_once(monkeypatch):
    def give_up(share):
        if share > 0:
            raise KeyboardInterrupt

    stretches = []
    monkeypatch.setattr(
        join, "RowBlock", lambda *args: stretches.append(RowBlock(*args)) or stretches[-1]
    )
    stats = JoinStats(on_progress=give_up, layout=Layout((Band(np.arange(0), 0),), 0, 0, 1, 1e-9))
    before = set(threading.enumerate())

    with pytest.raises(KeyboardInterrupt):
        list(join.iter_pairs(random_hashes(1_000_000, 1), 10, stats=stats))

    assert set(threading.enumerate()) <= before
    (stretch,) = stretches
    n_dealt = stretch.control[native.FIRST_COUNTER :].min()
    assert n_dealt < stretch.stop - stretch.start


# --- equal hashes


@by_width
@patient
@given(data=st.data())
def test_classes_hold_the_rows_of_equal_hashes_by_first_row(words, data):
    hashes = data.draw(clustered(words))

    found = equal.group_equal(hashes)

    rows = np.split(found.members, found.offsets[1:-1])
    expected = classes_of(hashes)
    assert [members.tolist() for members in rows if len(hashes)] == expected
    assert found.rows.tolist() == [members[0] for members in expected]


@by_width
@patient
@given(data=st.data())
def test_pairs_of_chosen_hashes_are_those_of_their_copies(words, data):
    hashes = data.draw(clustered(words, max_size=40))
    is_chosen = np.array([data.draw(st.booleans()) for _ in hashes], bool)
    chosen = Chosen(hashes, np.flatnonzero(is_chosen).astype(np.uint32))
    max_distance = data.draw(st.integers(0, 64 * words))

    classes = equal.group_equal(chosen)
    found = in_one(equal.expand(classes, join.iter_pairs(classes.choose(chosen), max_distance)))
    across = in_one(join.iter_pairs(chosen, max_distance, other=hashes))

    assert sorted(found) == pairs_inside(hashes[is_chosen], max_distance)
    assert across == in_one(join.iter_pairs(hashes[is_chosen], max_distance, other=hashes))


def test_grouping_and_joining_need_at_most_52_bytes_a_hash_beside_them(monkeypatch):
    monkeypatch.setattr(join, "BLOCK_PAIRS", 1 << 16)
    monkeypatch.setattr(join, "TABLE_BYTES", 1)
    hashes = random_hashes(200_000, 4)
    hashes[::10] = hashes[1::10]
    tracemalloc.start()

    chosen = Chosen(hashes)
    classes = equal.group_equal(chosen)
    blocks = join.iter_pairs(classes.choose(chosen), 31, threads=2)
    n_pairs = sum(len(block.left) for block in equal.expand(classes, blocks))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_pairs == 20_000
    assert peak <= 52 * len(hashes) + 3 * 10**6  # 3 MB: the slots of a block, buckets, the sample


def test_a_pool_that_keeps_what_it_ran_keeps_no_table_of_an_earlier_band(monkeypatch):
    alive, kept, make_tables = [], [], join.make_tables

    class KeepingPool(ThreadPoolExecutor):
        def submit(self, call, /, *args):
            kept.append((call, args))
            return super().submit(call, *args)

    def made(*args):
        gc.collect()
        assert not any(each() is not None for each in alive)
        tables = make_tables(*args)
        alive.extend(weakref.ref(table.rows) for table in tables)
        return tables

    monkeypatch.setattr(join, "ThreadPoolExecutor", KeepingPool)
    monkeypatch.setattr(join, "make_tables", made)
    monkeypatch.setattr(join, "TABLE_BYTES", 1)
    hashes = random_hashes(40_000, 4)

    in_one(join.iter_pairs(hashes, 31, threads=2))

    assert len(alive) > 4
    assert len(kept) > 4


def test_hashes_that_share_their_mixed_number_are_distinguished(monkeypatch):
    monkeypatch.setattr(equal, "MULTIPLIERS", (0,))
    hashes = random_hashes(10, 2)[[0, 1, 0, 2, 1, 1]]

    found = equal.group_equal(hashes)

    assert found.rows.tolist() == [0, 1, 3]
    assert found.members.tolist() == [0, 2, 1, 4, 5, 3]


@by_width
@patient
@given(data=st.data())
def test_find_pairs_equals_the_scan_of_all_rows(words, data, monkeypatch):
    monkeypatch.setattr(equal, "EXPANDED_PAIRS", 7)
    hashes = data.draw(clustered(words, max_size=40))
    max_distance = data.draw(st.integers(0, 5) | st.integers(0, 64 * words))

    found = find_pairs(hashes, max_distance)

    assert as_tuples(found) == pairs_inside(hashes, max_distance)


@patient
@given(clustered(2), st.integers(0, 6))
def test_expand_streams_each_pair_of_rows_once(hashes, max_distance):
    grouped = equal.group_equal(hashes)
    found = join.iter_pairs(hashes[grouped.rows], max_distance)

    rows = in_one(equal.expand(grouped, found))

    assert sorted(rows) == pairs_inside(hashes, max_distance)


def test_a_hundred_thousand_equal_hashes_are_one_class():
    hashes = np.full((100_000, 4), 5, np.uint64)

    found = equal.group_equal(hashes)

    assert found.rows.tolist() == [0]
    assert list(join.iter_pairs(hashes[found.rows], 31)) == []


# --- skew


def test_correlated_bits_are_dealt_to_different_bands():
    rng = np.random.default_rng(0)
    half = rng.integers(0, 2, (500, 16), dtype=np.uint8)
    sample = np.concatenate([half, half], axis=1)  # bit k + 16 repeats bit k

    dealt = bands.deal_bits(sample, [16, 16])

    assert sorted(np.concatenate(dealt).tolist()) == list(range(32))
    assert [len(set((bits % 16).tolist())) for bits in dealt] == [16, 16]


def test_bits_that_hardly_vary_are_dealt_last():
    sample = random_hashes(300, 1, seed=3).view(np.uint8)[:, :8] & 1
    sample[:, [2, 5]] = 1

    dealt = bands.deal_bits(sample, [3, 3])

    assert sorted(np.concatenate(dealt).tolist()) == [0, 1, 3, 4, 6, 7]


def test_hashes_of_which_a_third_share_half_their_bits_are_joined_exactly():
    hashes = random_hashes(30_000, 1)
    hashes[::3] &= np.uint64(0xFFFFFFFF)
    stats = JoinStats()

    found = in_one(join.iter_pairs(hashes, 8, stats=stats))

    assert not is_a_scan(stats.layout)
    near = np.argwhere(np.triu(hamming_matrix(hashes[:900], hashes) <= 8, 1))
    assert [[i, j] for i, j, _ in found if i < 900] == near.tolist()


@pytest.mark.parametrize("words", range(1, 17))
def test_the_skew_of_any_width_is_measured_at_a_distance_it_has(words):
    distance = bands.typical_distance(words)

    layout = bands.choose_layout(random_hashes(12_000, words), None, distance)

    assert 0 < distance < 64 * words
    assert layout.skew >= 1.0


@pytest.mark.parametrize(("max_distance", "is_scan"), [(10, False), (30, True)])
def test_the_scan_is_chosen_where_bands_do_not_pay(max_distance, is_scan):
    layout = bands.choose_layout(random_hashes(50_000, 1), None, max_distance)

    assert is_a_scan(layout) == is_scan


@patient
@given(st.integers(0, 60), st.sampled_from(WORDS), st.floats(1, 50))
def test_bands_never_lose_a_pair_by_their_number(max_distance, words, skew):
    task = bands.Workload(10**6, 10**6, words, max_distance, True)

    shape = bands.best_shape(task, skew)

    if shape is not None:
        assert sum(radius + 1 for _, radius in shape.bands) == max_distance + 1
        assert sum(width for width, _ in shape.bands) <= 64 * words
        assert all(width > 0 and radius >= 0 for width, radius in shape.bands)


# --- refusals and costs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hashes": np.zeros((2, 1))}, "uint64 of shape"),
        ({"hashes": np.zeros(2, np.uint64)}, r"got uint64 of shape \(2,\)"),
        ({"other": np.zeros((2, 4), np.uint64)}, r"other must be .* \(n, 1\), .* \(2, 4\)"),
        ({"max_distance": -1}, "0 to 64 bits, got -1"),
        ({"max_distance": 65}, "0 to 64 bits, got 65"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"threads": -3}, "threads must be at least 1, got -3"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(arguments, message):
    arguments = {"hashes": np.zeros((2, 1), np.uint64), "max_distance": 3} | arguments
    hashes, max_distance = arguments.pop("hashes"), arguments.pop("max_distance")

    with pytest.raises(ValueError, match=message):
        join.iter_pairs(hashes, max_distance, **arguments)
