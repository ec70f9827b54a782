"""Gray levels and tone curves: equal to twins in NumPy, at every level.

Sums and counts of levels are exact. Ascending values are compared in double precision.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native.levels import (
    ascending,
    curve_error,
    end_steps,
    level_sums,
    luma,
    nearer_counts,
)
from native_levels import assert_equal_at, by_level

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


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (6, 5, 3), (7, 1, 3)], ids=str)
@pytest.mark.parametrize("rows_apart", [1, 4])
def test_steps_near_black_and_white_are_counted_where_both_pixels_are_near(shape, rows_apart):
    pixels = np.random.default_rng(shape).integers(0, 256, shape, np.uint8)
    expected = np.zeros((2, 256), np.int64)
    for row in pixels.reshape(*shape[:2], -1).astype(int)[::rows_apart]:
        for before, here in zip(row[:-1].ravel(), row[1:].ravel(), strict=True):
            expected[0, abs(here - before)] += max(here, before) < 90
            expected[1, abs(here - before)] += min(here, before) > 255 - 90

    np.testing.assert_array_equal(end_steps(pixels, rows_apart, 90), expected)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_sums_of_levels_count_each_pixel(data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=9))
    a, b, weights = (data.draw(hnp.arrays(np.uint8, shape)) for _ in range(3))

    found = level_sums(a, b, weights)

    expected = np.zeros((3, 256), np.int64)
    for level, other, weight in zip(*(x.ravel().tolist() for x in (a, b, weights)), strict=True):
        expected[:, level] += weight, weight * other, weight * other**2
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1), (40, 33, 3)], ids=str)
def test_the_error_of_a_curve_is_the_mean_of_squares_that_are_cut_off(shape):
    rng = np.random.default_rng(shape)
    a, b = rng.integers(0, 256, (2, *shape), np.uint8)
    curve = rng.integers(-20, 300, 256).astype(np.int32)

    found = curve_error(a, b, curve, 400)

    off = [
        (int(curve[x]) - y) ** 2
        for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    ]
    assert found == sum(min(each, 400) for each in off) / a.size


def test_a_curve_between_planes_of_other_shapes_is_refused():
    levels = np.arange(256, dtype=np.int32)
    plane = np.zeros((3, 4), np.uint8)

    for one, other in [(plane, plane[:2]), (plane, plane.T), (plane[:0], plane[:0])]:
        with pytest.raises(ValueError):
            curve_error(one, other, levels, 400)


def test_a_curve_of_other_levels_is_refused():
    picture = np.zeros((3, 4), np.uint8)

    for curve in (np.zeros(255, np.int32), np.zeros(256)):
        with pytest.raises(ValueError, match="256 levels of int32"):
            curve_error(picture, picture, curve, 400)


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


def test_values_and_weights_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        ascending(np.zeros(3), np.ones(2))


@by_level
def test_every_processor_level_gives_the_same_sums_and_counts(level):
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 61, 83), np.uint8)
    values, weights = rng.uniform(0, 255, (2, 83))

    def results():
        return [
            level_sums(a, b, a // 4),
            np.array(curve_error(a, b, np.arange(256, 0, -1, dtype=np.int32), 400)),
            np.array(nearer_counts(a, b, np.linspace(9, 250, 256), np.arange(256) > 20)),
            end_steps(a, 2, 99),
            ascending(values, weights),
        ]

    assert_equal_at(level, results)
