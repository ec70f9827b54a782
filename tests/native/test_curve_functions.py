"""Tone curves of one number or two: equal to twins in NumPy, at every level.

A twin fits each number by least squares, again and again, with less weight for the levels that lie
far from the curve before.
"""

import numpy as np
import pytest

from imgdup.native.curves import curve_errors, plain_curves, single_curves, smooth_curve
from imgdup.native.levels import CurveRules, levels_off
from native_levels import assert_equal_at, by_level
from native_parts import ascending, stiff_curve
from tone_curves import LEVELS

RULES = CurveRules(clipped_at=6, most_clipped=0.1, far_off=3, rounds=4)
KERNEL, FREEDOM = np.linspace(1, 0.2, 17), np.linspace(0, 1, 256)


def levels_along(seed, gamma=1.3):
    """Counts and means of levels, some of which do not occur, along a curve with noise."""
    rng = np.random.default_rng(seed)
    counts = np.floor(rng.gamma(0.7, 60, 256)) * (rng.random(256) > 0.2)
    means = np.clip(280 * np.linspace(0, 1, 256) ** gamma + rng.normal(0, 2, 256), 0, 255)
    return counts, np.where(counts > 0, means, 0)


def inside(counts, means):
    """The counts of the levels that are not cut off in either picture."""
    nearest = np.minimum.reduce([LEVELS, 255 - LEVELS, means, 255 - means])
    return np.where(nearest > 6, counts, 0)


def fitted(weights, means, curve_by):
    """The curve that a rule fits to the means by weights, cut off at 0 and 255."""
    close = weights
    for _ in range(4):
        curve = curve_by(close)
        close = weights / (1 + ((means - curve) / 3) ** 2)
    return np.clip(curve, 0, 255)


def by_factor(means, pivot):
    """The rule that fits a factor of the distance from a pivot."""
    x, y = LEVELS - pivot, means - pivot
    return lambda close: (
        pivot + np.average(x * y, weights=close) / (np.average(x * x, weights=close)) * x
    )


def by_gamma(means):
    x, y = (np.log(np.maximum(each, 1) / 255) for each in (LEVELS, means))
    return lambda close: (
        255
        * (LEVELS / 255) ** (np.average(x * y, weights=close) / np.average(x * x, weights=close))
    )


@pytest.mark.parametrize("seed", range(3))
@by_level
def test_curves_of_one_number_are_fitted_by_least_squares(level, seed):
    counts, means = levels_along(seed)
    weights = inside(counts, means)

    found = single_curves(counts, means, 99.5, RULES)

    expected = [
        fitted(weights, means, by_factor(means, 0)),
        fitted(weights, means, lambda close: LEVELS + np.average(means - LEVELS, weights=close)),
        fitted(weights, means, by_gamma(means)),
        fitted(weights, means, by_factor(means, 128)),
        fitted(weights, means, by_factor(means, 99.5)),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert_equal_at(level, lambda: [single_curves(counts, means, 99.5, RULES)])


@pytest.mark.parametrize("gamma", [0.05, 0.4, 1.0, 3.0, 40.0])
def test_a_gamma_is_found_however_far_it_bends_and_is_at_least_a_tenth(gamma):
    means = np.clip(255 * (LEVELS / 255) ** max(gamma, 0.1), 0, 255)
    exact = 255 * (LEVELS / 255) ** gamma

    found = single_curves(np.full(256, 9.0), exact, 128, RULES)[2]

    np.testing.assert_allclose(found, means, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@by_level
def test_a_line_and_a_gamma_are_fitted_by_least_squares(level, seed):
    counts, means = levels_along(seed)
    weights = inside(counts, means)

    found = plain_curves(counts, means, RULES, 8)

    def line(close):
        slope, offset = np.polyfit(LEVELS, means, 1, w=np.sqrt(close))
        return slope * LEVELS + offset

    expected = [fitted(weights, means, line), fitted(weights, means, by_gamma(means))]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)
    assert_equal_at(level, lambda: [plain_curves(counts, means, RULES, 8)])


def test_without_enough_levels_no_line_is_fitted():
    counts = np.where((LEVELS >= 100) & (LEVELS < 107), 5.0, 0.0)

    assert plain_curves(counts, LEVELS + 10.0, RULES, 7).shape == (2, 256)
    assert plain_curves(counts, LEVELS + 10.0, RULES, 8).shape == (0, 256)
    assert plain_curves(0 * counts, LEVELS + 10.0, RULES, 0).shape == (0, 256)


def test_without_levels_curves_of_one_number_are_finite():
    assert np.isfinite(single_curves(np.zeros(256), np.zeros(256), 128, RULES)).all()


@pytest.mark.parametrize("seed", range(3))
@by_level
def test_a_smooth_curve_is_a_stiff_one_that_follows_some_levels(level, seed):
    counts, means = levels_along(seed)

    found = smooth_curve(counts, means, RULES, (KERNEL, 0.5), FREEDOM)

    stiff = stiff_curve(counts, means, RULES)
    free = stiff + FREEDOM * levels_off(counts, means, stiff, KERNEL, 0.5)
    np.testing.assert_array_equal(found, np.clip(ascending(free, counts + 1e-9), 0, 255))
    assert_equal_at(level, lambda: [smooth_curve(counts, means, RULES, (KERNEL, 0.5), FREEDOM)])


@pytest.mark.parametrize("shape", [(1, 1), (40, 33, 3), (70, 61)], ids=str)
@pytest.mark.parametrize("n_curves", [1, 8, 11])
@by_level
def test_the_error_of_a_curve_is_the_mean_of_squares_that_are_cut_off(level, shape, n_curves):
    rng = np.random.default_rng(shape)
    a, b = rng.integers(0, 256, (2, *shape), np.uint8)
    curves = rng.uniform(-20, 300, (n_curves, 256))

    found = curve_errors(a, b, curves, 400)

    off = [(np.rint(curve)[a] - b) ** 2 for curve in curves]
    assert found.tolist() == [np.minimum(each, 400).sum() / a.size for each in off]
    assert_equal_at(level, lambda: [curve_errors(a, b, curves, 400)])


def test_errors_do_not_overflow():
    a = np.zeros(20_001, np.uint8)

    assert curve_errors(a, a, [np.full(256, 1 << 14)], 1 << 16).tolist() == [1 << 16]


def test_pictures_and_curves_of_other_shapes_and_numbers_are_refused():
    plane, levels = np.zeros((3, 4), np.uint8), np.zeros(256)

    for call in (
        lambda: curve_errors(plane, plane[:2], [levels], 400),
        lambda: curve_errors(plane, plane.T, [levels], 400),
        lambda: curve_errors(plane[:0], plane[:0], [levels], 400),
        lambda: curve_errors(plane, plane, [levels[1:]], 400),
        lambda: curve_errors(plane, plane.astype(float), [levels], 400),
        lambda: curve_errors(plane, plane, [levels + 20_000], 400),
        lambda: curve_errors(plane, plane, [levels - 20_000], 400),
        lambda: curve_errors(plane, plane, [levels - 2.0**31], 400),
        lambda: curve_errors(plane, plane, [levels], -1),
        lambda: single_curves(levels, levels[1:], 128, RULES),
        lambda: plain_curves(levels.astype(int), levels, RULES, 8),
        lambda: smooth_curve(levels, levels, RULES, (levels, 0.5), levels),
        lambda: smooth_curve(levels, levels, RULES, (KERNEL, 0.5), levels[1:]),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
