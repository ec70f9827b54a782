"""Steps of the comparison of two pictures: equal to twins in NumPy, at every level.

The twins use numbers of double precision, or whole numbers where the result is exact.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native.difference import (
    ascending,
    blended,
    block_moments,
    blurred,
    curve_error,
    edges,
    end_steps,
    filter_sums,
    frequency_powers,
    level_sums,
    line_powers,
    mean_square,
    nearer_counts,
    shrunk,
    transposed,
    weighted_lines,
    window_means,
)
from native_levels import by_level, native_level

SHAPES = [(1, 1), (1, 40), (2, 16), (3, 5), (4, 4), (17, 33), (64, 64), (121, 187)]


def planes_of(shape, n):
    rng = np.random.default_rng(shape)
    return [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(n)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_sums_of_a_filter_equal_those_in_double_precision(shape):
    a, fine, coarse, b = planes_of(shape, 4)
    x, z, y = (each.astype(np.float64) - a for each in (fine, coarse, b))

    found = filter_sums(a, fine, coarse, b)

    products = [x * x, x * z, z * z, x, z, x * y, z * y, y]
    scale = [np.abs(each).sum() for each in products]
    off = np.abs(np.array(found) - [each.sum() for each in products])
    assert np.all(off <= 1e-5 * np.array(scale))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_blend_is_the_weighted_sum_cut_off_at_black_and_white(shape):
    planes = planes_of(shape, 3)
    weights = 2.0, -1.5, 0.5

    found = blended(*planes, weights)

    total = sum(w * each.astype(np.float64) for w, each in zip(weights, planes, strict=True))
    np.testing.assert_allclose(found, np.clip(total, 0, 255), atol=1e-3)
    assert found.min() >= 0
    assert found.max() <= 255


@pytest.mark.parametrize("shape", [*SHAPES, (20, 31, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("sigma", [0.8, 2.5])
def test_a_blur_is_the_mean_of_the_pixels_weighted_by_a_gaussian(shape, sigma):
    (plane,) = planes_of(shape, 1)
    reach = math.ceil(3 * sigma)
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-(places**2) / (2 * sigma**2))
    weights /= weights.sum()
    expected = np.pad(
        plane.astype(float), [(reach, reach)] * 2 + [(0, 0)] * (len(shape) - 2), "reflect"
    )
    for axis in (0, 1):
        shifted = [np.roll(expected, place, axis) for place in places]
        expected = sum(w * each for w, each in zip(weights, shifted, strict=True))

    found = blurred(plane, sigma)

    inner = expected[reach : reach + shape[0], reach : reach + shape[1]]
    np.testing.assert_allclose(found, inner, rtol=1e-5)


def test_a_blur_of_levels_or_beyond_its_reach_is_refused():
    (plane,) = planes_of((4, 5), 1)

    for wrong, sigma in ((plane.astype(np.uint8), 1.0), (plane[0], 1.0), (plane, 0.0), (plane, 11)):
        with pytest.raises(ValueError, match=r"a sigma up to 10\.7"):
            blurred(wrong, sigma)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_mean_square_of_differences_is_that_in_double_precision(shape):
    a, b = planes_of(shape, 2)

    assert mean_square(a, b) == pytest.approx(np.mean((a.astype(float) - b) ** 2), rel=1e-5)


LEVELS = st.integers(0, 255)


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


@pytest.mark.parametrize("side", [1, 2, 4, 16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_means_of_windows_are_those_of_planes_with_repeated_edges(shape, side):
    planes = np.stack(planes_of(shape, 2))
    before, after = side // 2, side - 1 - side // 2

    found = window_means(planes, side)

    edged = np.pad(planes.astype(np.float64), ((0, 0), *((before, after),) * 2), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(edged, (side, side), axis=(1, 2))
    np.testing.assert_allclose(found, windows.mean(axis=(3, 4)), rtol=1e-6)


def test_windows_of_other_sides_and_arrays_of_other_shapes_are_refused():
    plane = planes_of((4, 4), 1)[0]

    for side in (0, 3, -2):
        with pytest.raises(ValueError, match="power of two"):
            window_means(plane[np.newaxis], side)
    with pytest.raises(ValueError, match="height, width"):
        window_means(plane, 2)
    with pytest.raises(ValueError, match="height, width"):
        window_means(plane[np.newaxis, :0], 2)


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


@pytest.mark.parametrize("side", [1, 2, 4, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_moments_of_blocks_are_the_means_of_their_pixels(shape, side):
    a, b = planes_of(shape, 2)
    p, q = a.astype(np.float64), b.astype(np.float64)
    products = [p, q, p * p, q * q, p * q, (q - p) ** 2]
    # The last block begins earlier, so that it is whole.
    rows, columns = ([max(0, min(i, n - side)) for i in range(0, n, side)] for n in shape)

    found = block_moments(a, b, side)

    expected = [
        [[each[y : y + side, x : x + side].mean() for x in columns] for y in rows]
        for each in products
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_planes_that_are_not_contiguous_give_the_same_moments():
    a, b = planes_of((20, 30), 2)

    found = block_moments(a[:, ::2], b[:, ::2], 4)

    expected = block_moments(np.ascontiguousarray(a[:, ::2]), np.ascontiguousarray(b[:, ::2]), 4)
    np.testing.assert_array_equal(found, expected)


def test_planes_of_another_shape_or_dtype_are_refused():
    a, b = planes_of((4, 4), 2)

    with pytest.raises(ValueError, match="one shape"):
        block_moments(a, b[:3], 4)
    with pytest.raises(ValueError, match="float64"):
        filter_sums(a, a, a, b.astype(np.float64))
    with pytest.raises(ValueError, match="at least one pixel"):
        block_moments(a, b, 0)


def shrunk_twin(pixels, height, width):
    """Repeat each pixel so often that every area is whole, and average in whole numbers."""
    rows, columns = pixels.shape[:2]
    large = pixels.astype(np.int64).repeat(height, axis=0).repeat(width, axis=1)
    areas = large.reshape(height, rows, width, columns, *pixels.shape[2:]).sum(axis=(1, 3))
    return ((2 * areas + rows * columns) // (2 * rows * columns)).astype(np.uint8)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_picture_is_shrunk_to_the_averages_of_equal_areas(data):
    rows, columns = (data.draw(st.integers(1, 24)) for _ in range(2))
    channels = data.draw(st.sampled_from([(), (1,), (3,), (4,)]))
    pixels = data.draw(hnp.arrays(np.uint8, (rows, columns, *channels)))
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))

    found = shrunk(pixels, height, width)

    np.testing.assert_array_equal(found, shrunk_twin(pixels, height, width))


def test_a_long_white_strip_remains_white():
    strip = np.full((1, 1 << 18), 255, np.uint8)

    assert shrunk(strip, 1, 1).tolist() == [[255]]
    assert shrunk(strip.T, 3, 1).ravel().tolist() == [255] * 3


@pytest.mark.parametrize(("height", "width"), [(0, 2), (4, 2), (2, 5), (2, 0)])
def test_a_picture_is_not_enlarged_or_emptied(height, width):
    with pytest.raises(ValueError, match=f"to {height} x {width}"):
        shrunk(np.zeros((3, 4), np.uint8), height, width)


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


@pytest.mark.parametrize("shape", [*SHAPES, (0, 5)], ids=str)
def test_rows_and_columns_are_exchanged(shape):
    (plane,) = planes_of(shape, 1)

    np.testing.assert_array_equal(transposed(plane), plane.T)


@pytest.mark.parametrize("shape", [(7, 5), (8, 1), (17, 33), (32, 40)], ids=str)
def test_the_powers_of_frequencies_equal_those_in_double_precision(shape):
    plane = np.random.default_rng(shape).uniform(0, 255, shape).astype(np.float32)
    transform = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0].astype(np.float32)

    found = frequency_powers(plane, transform)

    n_rows = shape[0] // 8 * 8
    blocks = plane[:n_rows].astype(np.float64).reshape(-1, 8, shape[1])
    expected = (np.einsum("ki,bix->kbx", transform, blocks) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 9), (33, 20), (9, 1100)], ids=str)
def test_edges_are_where_levels_change_more_than_beside(shape):
    plane = np.random.default_rng(shape).uniform(0, 255, shape).astype(np.float32)

    rows, columns = edges(plane)

    for found, values in ((columns, plane.astype(np.float64)), (rows, plane.T.astype(np.float64))):
        expected = np.zeros(values.shape[1])
        for x in range(2, values.shape[1] - 1):
            before, here, after = (
                np.abs(values[:, i + 1] - values[:, i]) for i in (x - 2, x - 1, x)
            )
            expected[x] = np.maximum(2 * here - before - after, 0).sum()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (7, 12), (12, 7), (40, 31)], ids=str)
@pytest.mark.parametrize("n_lines", [1, 5])
@pytest.mark.parametrize("channel", [None, 1])
def test_lines_are_the_middle_of_rows_and_columns_that_are_spread_evenly(shape, n_lines, channel):
    pixels = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)
    plane = pixels[..., 0].copy() if channel is None else pixels[..., channel]
    length = min(shape)
    weights = np.linspace(0.5, 2, length).astype(np.float32)
    expected = []
    for each in (plane, plane.T):
        start = (each.shape[1] - length) // 2
        for line in range(n_lines):
            row = each[int((line + 0.5) * len(each) / n_lines), start : start + length].astype(
                float
            )
            expected.append((row - row.mean()) * weights)

    np.testing.assert_allclose(weighted_lines(plane, n_lines, weights), expected, atol=1e-4)


def test_the_powers_of_lines_are_sums_of_squares():
    rng = np.random.default_rng(8)
    spectra = (rng.normal(size=(6, 11)) + 1j * rng.normal(size=(6, 11))).astype(np.complex64)

    found = line_powers(spectra)

    np.testing.assert_allclose(found, (np.abs(spectra.astype(complex)) ** 2).sum(axis=0), rtol=1e-6)


def test_wrong_planes_and_spectra_have_no_lines_and_no_powers():
    for plane, n_weights in ((np.zeros((3, 4)), 3), (np.zeros((3, 4), np.uint8), 4)):
        with pytest.raises(ValueError, match="as many weights as its shorter side"):
            weighted_lines(plane, 2, np.ones(n_weights, np.float32))
    with pytest.raises(ValueError, match="complex64"):
        line_powers(np.zeros((2, 3), complex))


@by_level
def test_every_level_gives_the_same_results(level):
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 61, 83), np.uint8)
    p, q = (rng.uniform(0, 255, (61, 83)).astype(np.float32) for _ in range(2))

    def results():
        return [
            blended(p, q, p, (0.3, 0.9, -0.2)),
            ascending(p[0].astype(np.float64), q[0].astype(np.float64)),
            *(window_means(np.stack([p, q]), side) for side in (2, 16)),
            shrunk(a, 17, 40),
            level_sums(a, b, a // 4),
            np.array(curve_error(a, b, np.arange(256, 0, -1, dtype=np.int32), 400)),
            frequency_powers(p, q[:8, :8]),
            np.array(filter_sums(p, q, p, q)),
            np.array(mean_square(p, q)),
            *(blurred(p, sigma) for sigma in (0.8, 2.5)),
            np.array(nearer_counts(a, b, np.linspace(9, 250, 256), np.arange(256) > 20)),
            end_steps(a, 2, 99),
            weighted_lines(a, 7, p[0, :61]),
            line_powers(p[:, :82].view(np.complex64)),
            *(block_moments(p, q, side) for side in (2, 4, 5)),
            *edges(p),
        ]

    expected = results()
    with native_level(level):
        found = results()

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
