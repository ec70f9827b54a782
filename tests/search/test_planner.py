"""Planner: the cheapest way by the estimates, and the estimates in words."""

import itertools

import numpy as np
import pytest

from imgdup.search import Chosen, bands, join, planner
from imgdup.search.planner import STRATEGIES, Workload, explain, plan

# What photos' 64-bit hashes make a tree of a million visit, by distance.
VISITED = np.interp(np.arange(65), [0, 2, 4, 6, 10, 20, 64], [0.001, 0.02, 0.06, 0.15, 0.4, 1, 1])


def chosen(n, n_probes, max_distance, *, words=1, visited=VISITED, skew=8.0):
    work = Workload(n_probes, n, words, max_distance, is_self=False)
    return plan(work, visited, skew)


def test_all_ways_are_estimated_cheapest_first():
    estimates = chosen(1_000_000, 10, 4).estimates

    assert sorted(e.strategy for e in estimates) == sorted(STRATEGIES)
    assert [e.seconds for e in estimates] == sorted(e.seconds for e in estimates)


@pytest.mark.parametrize(
    ("n", "n_probes", "max_distance", "strategy"),
    [
        (1_000_000, 1, 2, "tree"),
        (1_000_000, 1, 30, "scan"),
        (10_000_000, 1, 10, "tree"),
        (1_000_000, 100_000, 2, "bands"),
        (1_000_000, 10_000, 10, "bands"),
        (9_000, 1, 10, "scan"),
        (9_000, 1, 0, "scan"),
        (300_000, 1, 0, "tree"),
    ],
)
def test_the_way_fits_the_question(n, n_probes, max_distance, strategy):
    assert chosen(n, n_probes, max_distance).strategy == strategy


def test_comparisons_are_never_more_than_a_scan_makes():
    for max_distance in (0, 10, 64):
        for estimate in chosen(50_000, 700, max_distance).estimates:
            assert 0 <= estimate.n_compared <= 50_000 * 700


def test_skew_makes_bands_dearer():
    def bands_s(skew):
        return next(
            e.seconds for e in chosen(10**6, 10**4, 10, skew=skew).estimates
            if e.strategy == "bands"
        )  # fmt: skip

    assert bands_s(1.0) < bands_s(20.0)


@pytest.mark.parametrize("n_probes", [0, 1])
def test_an_empty_index_or_no_probe_is_planned(n_probes):
    assert chosen(0, n_probes, 10).strategy in STRATEGIES


def test_a_width_of_256_bits_is_planned():
    visited = np.linspace(0.01, 1, 257)

    assert chosen(1_000_000, 100_000, 31, words=4, visited=visited).strategy == "bands"


def test_the_explanation_names_the_choice_and_all_three():
    lines = explain(chosen(1_000_000, 1, 2))

    assert lines[0] == "strategy tree"
    assert len(lines) == 4


@pytest.mark.parametrize("is_self", [True, False], ids=["one set", "two sets"])
def test_the_comparisons_of_some_rows_are_those_that_nested_loops_make(is_self):
    n = 12
    work = Workload(n, n, 1, 10, is_self)
    blocks = [range(start, stop) for start in range(n + 1) for stop in range(start, n + 1)]

    counted = [sum(1 for i in block for j in range(n) if i < j or not is_self) for block in blocks]

    assert [work.n_scanned(block.start, block.stop) for block in blocks] == counted
    assert work.n_scanned(0, n) == work.n_pairs


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_the_odds_that_a_band_finds_a_pair_are_those_of_all_ways_to_differ(radius):
    n_bits, width, distance = 8, 3, 4
    ways = list(itertools.combinations(range(n_bits), distance))

    found = sum(1 for bits in ways if sum(bit < width for bit in bits) <= radius)

    assert planner._odds(n_bits, width, radius, distance) == pytest.approx(found / len(ways))


def test_near_pairs_cost_more_in_bands_of_several_words_and_in_several_blocks():
    def cost_s(near, words=4):
        work = Workload(10**7, 10**7, words, 31, True, near)
        return planner.band_s(work, 16, 1, 1e-4)

    few, many = ((5, 1e-7),), ((5, 2e-6),)

    assert cost_s(()) < cost_s(few) < cost_s(many)
    assert Workload(10**7, 10**7, 4, 31, True, many).n_blocks > 1
    assert cost_s(few) - cost_s(()) > cost_s(few, words=1) - cost_s((), words=1)


@pytest.mark.parametrize("is_self", [True, False], ids=["one set", "two sets"])
def test_the_near_pairs_of_a_layout_are_those_of_a_sample(monkeypatch, is_self):
    monkeypatch.setattr(join, "SMALL", 0)
    monkeypatch.setattr(bands, "SMALL", 0)
    monkeypatch.setattr(bands, "NEAR_COST", 1)
    monkeypatch.setattr(bands, "NEAR_PAIRS", 10**9)
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**64, (600, 4), np.uint64)
    hashes[1::3] = hashes[::3] ^ np.uint64(0b1011)  # 12 bits in all, 3 in each word
    left, right = Chosen(hashes), None if is_self else Chosen(hashes)
    given = []
    choose_layout = join.choose_layout
    monkeypatch.setattr(
        join, "choose_layout", lambda *args: given.append(args[-1]) or choose_layout(*args)
    )

    join.measured_layout(left, right, 31)

    (near,) = given
    assert len(near.differing) == (200 if is_self else 600 + 2 * 200)
    assert near.n_looked == (600 * 599 // 2 if is_self else 600 * 600)
    if is_self:
        assert near.by_distance() == ((12, 50 / near.n_looked),) * 4
        assert near.found(np.array([0, 1, 64, 200]), 2) == 0
        assert near.found(np.array([0, 1, 64, 200]), 3) == 200 / near.n_looked


def test_fewer_hashes_are_compared_for_near_pairs_where_many_are_near():
    work = Workload(10**7, 10**7, 1, 10, True)
    rng = np.random.default_rng(4)
    unlike = Chosen(rng.integers(0, 2**64, (1_000, 1), np.uint64))
    alike = Chosen(unlike.hashes & np.uint64(0xFF))

    assert bands.n_near_sample(unlike, unlike, work) == bands.NEAR_SAMPLE
    assert bands.n_near_sample(alike, alike, work) < 300
    assert bands.n_near_sample(unlike, unlike, work._replace(n_left=12_000)) < 1_601
