"""Planner: the cheapest way by the estimates, and the estimates in words."""

import numpy as np
import pytest

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
