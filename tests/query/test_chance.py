"""The estimate of pairs by chance: against the exact binomial, against all pairs, and at edges."""

import math
from fractions import Fraction

import numpy as np
import pytest

from imgdup.query.chance import SAMPLE, count_distances, estimate, sample_rows


def uniform(n, bits, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**64, (n, bits // 64), dtype=np.uint64)


def dependent(n, seed=0):
    """64 bits: the signs of mixtures of 8 properties of a picture, and of noise."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((8, 64))
    noise = np.sqrt(8) * rng.standard_normal((n, 64))
    bits = rng.standard_normal((n, 8)) @ mixing + noise > 0
    return np.packbits(bits.astype(np.uint8), axis=1).view(np.uint64)


def binomial_distance(bits, n_pairs, max_false_pairs):
    """The largest distance by exact arithmetic, for independent fair bits."""
    within, distance = Fraction(0), -1
    while True:
        within += Fraction(math.comb(bits, distance + 1), 2**bits)
        if within * n_pairs > max_false_pairs:
            return distance if distance >= 0 else None
        distance += 1


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("n", [10_000, 1_000_000, 100_000_000])
@pytest.mark.parametrize("budget", [1, 100])
def test_on_uniform_random_hashes_the_distance_agrees_with_the_binomial(bits, n, budget):
    chance = estimate(count_distances(uniform(SAMPLE, bits)))
    n_pairs = n * (n - 1) // 2

    found = chance.largest_distance(n_pairs, budget)

    assert 0 <= binomial_distance(bits, n_pairs, budget) - found <= 1


def test_the_upper_bound_lies_above_the_binomial_in_95_of_100_cases_and_never_far():
    n_above = 0
    for seed in range(40):
        chance = estimate(count_distances(uniform(1000, 64, seed)))
        true = sum(math.comb(64, k) for k in range(7)) / 2**64
        n_above += chance.upper[6] > true
        assert true / 5 < chance.upper[6] < 50 * true

    assert n_above >= 35  # of 40; fewer than 35 would be a chance of 1 in 70


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_predicts_the_pairs_of_a_collection_whose_bits_depend_on_each_other(seed):
    hashes = dependent(12_000, seed)
    all_pairs = np.zeros(65)
    for i, each in enumerate(hashes):
        found = np.bitwise_count(hashes[i + 1 :] ^ each)[:, 0]
        all_pairs += np.bincount(found, minlength=65)
    seen = np.cumsum(all_pairs)

    chance = estimate(count_distances(hashes[sample_rows(len(hashes))]))

    distances = [d for d in range(65) if 50 <= seen[d] <= 5_000]
    assert min(distances) <= chance.fitted[0] < max(distances)
    for distance in distances:
        expected = chance.shares[distance] * seen[-1]
        upper = chance.upper[distance] * seen[-1]
        assert expected / 2 < seen[distance] < 1.3 * upper
        assert upper < 4 * seen[distance]


def test_counts_are_those_of_a_slow_loop_without_the_pairs_left_out():
    hashes = uniform(30, 256)
    left_out = np.zeros((30, 30), bool)
    left_out[3, 8] = left_out[8, 3] = True
    numbers = [sum(int(word) << (64 * i) for i, word in enumerate(each)) for each in hashes]
    slow = np.zeros((30, 257), int)
    for i in range(30):
        for j in range(30):
            if i != j and {i, j} != {3, 8}:
                slow[i, (numbers[i] ^ numbers[j]).bit_count()] += 1

    assert np.array_equal(count_distances(hashes, left_out), slow)


def test_pairs_that_are_seen_in_the_sample_count_even_where_the_fit_expects_none():
    """Blank pictures have equal hashes, whatever the others have."""
    hashes = uniform(1000, 64)
    hashes[:60] = 0
    chance = estimate(count_distances(hashes))

    assert chance.largest_distance(10**6, 1) is None
    assert chance.upper[0] > 0.5 * (60 * 59) / (1000 * 999)


def test_copies_that_are_left_out_do_not_change_the_estimate():
    hashes = uniform(1000, 64)
    without = estimate(count_distances(hashes))
    hashes[500:520] = hashes[:20]
    left_out = np.zeros((1000, 1000), bool)
    for i in range(20):
        left_out[i, 500 + i] = left_out[500 + i, i] = True

    chance = estimate(count_distances(hashes, left_out))

    n_pairs = 10**10
    assert chance.largest_distance(n_pairs, 1) == without.largest_distance(n_pairs, 1)


def test_bounds_rise_with_the_distance_and_reach_one():
    for hashes in (uniform(500, 64), uniform(500, 256), uniform(60, 256), dependent(500)):
        chance = estimate(count_distances(hashes))

        assert np.all(np.diff(chance.upper) >= 0)
        assert np.all(np.diff(chance.shares) >= 0)
        assert chance.upper[-1] == 1
        assert chance.shares[-1] == 1


def test_a_larger_budget_never_gives_a_smaller_distance():
    chance = estimate(count_distances(uniform(1000, 64)))
    budgets = (0, 0.001, 1, 100, 10**6, 10**12)

    found = [chance.largest_distance(10**9, budget) for budget in budgets]

    assert found[0] is None
    assert found[-1] == 64
    assert found[1:] == sorted(found[1:])


@pytest.mark.parametrize(
    "hashes",
    [
        np.zeros((0, 1), np.uint64),
        uniform(1, 64),
        uniform(6, 64),
        np.zeros((500, 1), np.uint64),
        np.repeat(uniform(2, 64), 250, axis=0),
        np.repeat(uniform(7, 256), 2, axis=0),
    ],
    ids=["none", "one", "six", "equal", "two different ones", "seven, each twice"],
)
def test_too_few_or_too_uniform_hashes_give_no_estimate(hashes):
    assert estimate(count_distances(hashes)) is None


def test_a_sample_has_each_row_once_and_is_the_same_each_time():
    assert sample_rows(10).tolist() == list(range(10))
    rows = sample_rows(10**6)

    assert len(set(rows.tolist())) == SAMPLE
    assert np.all(np.diff(rows) > 0)
    assert np.array_equal(rows, sample_rows(10**6))


@pytest.mark.parametrize("seed", range(20))
def test_small_samples_never_give_a_distance_that_is_much_too_large(seed):
    chance = estimate(count_distances(uniform(120, 256, seed)))

    found = chance and chance.largest_distance(10**10, 1)

    assert found is None or found <= binomial_distance(256, 10**10, 1) + 2


def test_one_pair_of_equal_hashes_in_a_sample_counts_in_a_large_collection():
    hashes = uniform(1000, 64)
    hashes[7] = hashes[400]
    n_sampled = 1000 * 999 // 2

    chance = estimate(count_distances(hashes))

    assert chance.largest_distance(n_sampled, 1) >= 8
    assert chance.largest_distance(100 * n_sampled, 1) is None
