"""Gray levels and tone curves: equal to twins in NumPy, at every level.

Sums and counts of levels are exact. Ascending values are compared in double precision.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native.levels import (
    CurveRules,
    end_steps,
    equally_matched,
    evenness,
    every,
    level_counts,
    levels_off,
    luma,
    matched_levels,
    missed,
    nearer_counts,
)
from native_levels import assert_equal_at, by_level
from native_parts import ascending, stiff_curve

LEVELS = st.integers(0, 255)


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (3, 70)], ids=str)
@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, 1:], np.s_[:, ::-1], np.s_[::-1]], ids=str)
@by_level
def test_luma_is_the_nearest_number_to_the_weighted_sum_of_the_colours(level, shape, part):
    rgb = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)[part]
    expected = [
        [(299 * red + 587 * green + 114 * blue) / 1000 for red, green, blue in row]
        for row in rgb.tolist()
    ]

    twin = np.array(expected, np.float32).reshape(rgb.shape[:2])
    np.testing.assert_array_equal(luma(rgb), twin)
    assert_equal_at(level, lambda: [luma(rgb)])


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 4)], ids=str)
def test_luma_of_anything_but_rgb_is_refused(shape):
    with pytest.raises(ValueError, match="expected RGB pixels of uint8"):
        luma(np.zeros(shape, np.uint8))


@given(
    hnp.arrays(np.uint8, (2, 50), elements=LEVELS),
    hnp.arrays(np.float64, 256, elements=st.floats(-9, 300)),
    hnp.arrays(np.bool_, 256),
)
@settings(max_examples=40, deadline=None)
def test_pixels_that_a_curve_takes_nearer_are_counted_one_by_one(pixels, curve, is_counted):
    a, b = pixels
    pairs = [(s, t) for s, t in zip(a.tolist(), b.tolist(), strict=True) if is_counted[s]]
    n_nearer = sum(abs(curve[s] - t) < abs(s - t) for s, t in pairs)

    assert nearer_counts(a, b, curve, is_counted) == (len(pairs), n_nearer)


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (6, 5, 3), (7, 1, 3), (2, 600)], ids=str)
@pytest.mark.parametrize("rows_apart", [1, 4])
def test_steps_near_black_and_white_are_counted_where_both_pixels_are_near(shape, rows_apart):
    pixels = np.random.default_rng(shape).integers(0, 256, shape, np.uint8)
    expected = np.zeros((2, 256), np.int64)
    for row in pixels.reshape(*shape[:2], -1).astype(int)[::rows_apart]:
        for before, here in zip(row[:-1].ravel(), row[1:].ravel(), strict=True):
            expected[0, abs(here - before)] += max(here, before) < 90
            expected[1, abs(here - before)] += min(here, before) > 255 - 90

    np.testing.assert_array_equal(end_steps(pixels, rows_apart, 90), expected)


def test_each_step_of_a_long_row_is_counted_once():
    dark, bright = end_steps(np.resize(np.arange(9, dtype=np.uint8), (1, 3000)), 1, 90)

    assert (dark[1], dark[8], dark.sum()) == (2999 - 333, 333, 2999)
    assert bright.sum() == 0


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (6, 5, 3), (7, 1, 3)], ids=str)
@pytest.mark.parametrize("apart", [1, 2, 5])
def test_pixels_are_taken_from_the_first_one_on(shape, apart):
    pixels = np.random.default_rng(shape).integers(0, 256, shape, np.uint8)

    np.testing.assert_array_equal(every(pixels, apart), pixels[::apart, ::apart])
    np.testing.assert_array_equal(every(pixels[::-1], apart), pixels[::-1][::apart, ::apart])
    with pytest.raises(ValueError, match="a picture and a step"):
        every(pixels, 0)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_levels_are_matched_pixel_by_pixel(data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=9))
    a, b = (data.draw(hnp.arrays(np.uint8, shape)) for _ in range(2))
    weights = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(1, 255)))

    found, back = matched_levels(a, b, weights)

    pixels = list(zip(*(x.ravel().tolist() for x in (a, b, weights)), strict=True))
    for level in range(256):
        here = [(other, weight) for own, other, weight in pixels if own == level]
        count = sum(weight for _, weight in here)
        mean = sum(other * weight for other, weight in here) / count if here else 0
        assert found.counts[level] == count
        assert found.means[level] == pytest.approx(mean)
    off = sum(weight * (other - found.means[own]) ** 2 for own, other, weight in pixels)
    assert found.total == weights.sum(dtype=int)
    assert found.spread == pytest.approx(off / found.total, abs=1e-6)
    assert_matches_equal(back, matched_levels(b, a, weights)[0])
    assert_matches_equal(equally_matched(a, b), matched_levels(a, b, np.ones_like(a))[0])


def assert_matches_equal(one, other):
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.means, other.means)
    assert (one.total, one.spread) == (other.total, other.spread)


@pytest.mark.parametrize("weight", [1, 255])
def test_levels_of_many_pixels_are_matched_without_overflow(weight):
    a, b = np.full(200_001, 255, np.uint8), np.full(200_001, 255, np.uint8)
    b[0] = 0

    found, back = matched_levels(a, b, np.full_like(a, weight))
    alike = equally_matched(a, b)

    assert found.counts[255] == found.total == 200_001 * weight
    assert found.means[255] == 200_000 * 255 / 200_001
    assert back.counts[[0, 255]].tolist() == [weight, 200_000 * weight]
    assert back.spread == 0
    assert alike.counts[255] == alike.total == 200_001
    assert (alike.means[255], alike.spread) == pytest.approx((found.means[255], found.spread))


@pytest.mark.parametrize("shape", [(0,), (1, 1), (9, 14, 3)], ids=str)
def test_levels_are_counted(shape):
    pixels = np.random.default_rng(1).integers(0, 9, shape, np.uint8)

    found = level_counts(pixels)

    assert found.tolist() == np.bincount(pixels.ravel(), minlength=256).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1, 3), (12, 30), (9, 11, 3)], ids=str)
def test_levels_are_weighed_by_the_range_of_their_neighbours(shape):
    rng = np.random.default_rng(shape)
    a, b = rng.integers(0, 256, (2, *shape), np.uint8)
    b //= 2
    weights = rng.permutation(256).astype(np.uint8)

    found = evenness(a, b, weights)

    expected = np.zeros(shape, int)
    for place in np.ndindex(*shape):
        y, x, *channel = place
        near = np.s_[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2, *channel]
        expected[place] = weights[max(int(np.ptp(each[near])) for each in (a, b))]
    np.testing.assert_array_equal(found, expected)


def levels_of(seed):
    """Counts and means of levels, some of which do not occur, along a curve with noise."""
    rng = np.random.default_rng(seed)
    counts = np.floor(rng.gamma(0.7, 60, 256)) * (rng.random(256) > 0.2)
    means = np.clip(255 * np.linspace(0, 1.1, 256) ** 1.4 + rng.normal(0, 3, 256), 0, 255)
    return counts, np.where(counts > 0, means, 0)


@pytest.mark.parametrize("seed", range(3))
def test_what_lies_off_a_curve_is_averaged_over_the_levels_nearby(seed):
    (counts, means), curve = levels_of(seed), np.linspace(9, 200, 256)
    kernel = np.linspace(1, 0.2, 17) ** 2

    found = levels_off(counts, means, curve, kernel, 0.01)

    weights = kernel[np.minimum(np.abs(np.subtract.outer(range(256), range(256))), 16)]
    weights[np.abs(np.subtract.outer(range(256), range(256))) > 16] = 0
    expected = weights @ (counts * (means - curve)) / (weights @ counts + 0.01)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert missed(counts, means, curve, 2.5) == pytest.approx(
        sum(counts * np.clip(np.abs(means - curve) - 2.5, 0, None) ** 2)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dark", [False, True])
def test_a_stiff_curve_is_a_polynomial_fitted_by_weighted_least_squares(seed, dark):
    counts, means = levels_of(seed)
    means = np.minimum(means, 5) if dark else means
    rules = CurveRules(clipped_at=6, most_clipped=0.1, far_off=3, rounds=4)

    found = stiff_curve(counts, means, rules)

    design = np.vander(np.sqrt(np.arange(256) / 255), 5)
    prior = 1e-4 * counts.sum() / 256
    inside = (means > 6) & (means < 249)
    weights = counts * inside if (counts * inside).sum() >= 0.1 * counts.sum() else counts
    for _ in range(4):
        rows = np.sqrt(np.concatenate([weights, np.full(256, prior)]))[:, np.newaxis]
        goal = np.concatenate([means, np.arange(256)])[:, np.newaxis]
        fitted = np.linalg.lstsq(rows * np.vstack([design, design]), rows * goal, rcond=None)[0]
        curve = (design @ fitted)[:, 0]
        clipped = (np.maximum(curve, means) < 6) | (np.minimum(curve, means) > 249)
        weights = counts * ~clipped / (1 + ((means - np.clip(curve, 0, 255)) / 3) ** 2)
    np.testing.assert_allclose(found, np.clip(curve, 0, 255), atol=0.01)  # a ridge of 1e-9


def test_levels_of_other_shapes_and_numbers_are_refused():
    a, levels = np.zeros((3, 4), np.uint8), np.zeros(256)

    for call in (
        lambda: matched_levels(a, a[1:], a),
        lambda: matched_levels(a[:0], a[:0], a[:0]),
        lambda: equally_matched(a, a[1:]),
        lambda: evenness(a, a[1:], np.zeros(256, np.uint8)),
        lambda: evenness(a, a, np.zeros(255, np.uint8)),
        lambda: missed(levels, levels, levels[1:], 0.0),
        lambda: levels_off(levels, levels, levels, levels, 0.0),
    ):
        with pytest.raises(ValueError, match=r"shape|float64"):
            call()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_nearest_ascending_values_are_means_of_runs(data):
    n = data.draw(st.integers(0, 12))
    values = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), np.float64)
    weights = np.array(data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n)), np.float64)

    found = ascending(values, weights)

    def mean(start, stop):
        return np.average(values[start:stop], weights=weights[start:stop])

    # Each value is the largest, over all starts before it, of the least mean up to a later end.
    expected = [
        max(min(mean(start, stop) for stop in range(i + 1, n + 1)) for start in range(i + 1))
        for i in range(n)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@by_level
def test_every_processor_level_gives_the_same_sums_and_counts(level):
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 61, 83), np.uint8)
    values, weights = rng.uniform(0, 255, (2, 83))
    counts, means = levels_of(4)

    def results():
        return [
            *(fact for found in matched_levels(a, b, a // 4) for fact in found),
            *equally_matched(a, b),
            every(a, 3),
            level_counts(a),
            evenness(a, b, np.arange(256).astype(np.uint8)),
            stiff_curve(counts, means, CurveRules(6, 0.1, 3, 5)),
            levels_off(counts, means, np.linspace(9, 200, 256), np.linspace(1, 0.1, 17), 1.0),
            np.array(missed(counts, means, np.linspace(9, 200, 256), 2.0)),
            np.array(nearer_counts(a, b, np.linspace(9, 250, 256), np.arange(256) > 20)),
            end_steps(a, 2, 99),
            ascending(values, weights),
        ]

    assert_equal_at(level, results)
