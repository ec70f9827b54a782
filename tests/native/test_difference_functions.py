"""Steps of the comparison of two pictures: equal to twins in NumPy, at every level.

The twins use numbers of double precision, or whole numbers where the result is exact.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native import difference
from imgdup.native.difference import (
    blended,
    block_moments,
    blurred,
    blurs,
    fine_detail,
    fitted_filter,
    level_moments,
    shrunk,
    window_means,
)
from native_levels import assert_equal_at, by_level, native_level

SHAPES = [(1, 1), (1, 40), (2, 16), (3, 5), (4, 4), (17, 33), (64, 64), (121, 187)]


def planes_of(shape, n):
    rng = np.random.default_rng(shape)
    return [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(n)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("damping", [0.001, 40.0])
def test_a_filter_is_fitted_by_damped_least_squares(shape, damping):
    a, noise = planes_of(shape, 2)
    goal = np.clip(1.5 * a - 0.5 * blurred(a, 1.0) + noise / 20, 0, 255)

    found = fitted_filter(a, goal, blurs(1.0, 2.5, damping))

    design = np.stack([(blurred(a, sigma) - a).ravel() for sigma in (1.0, 2.5)]).astype(np.float64)
    products = design @ design.T + damping * a.size * np.eye(2)
    expected = np.linalg.solve(products, design @ (goal - a).ravel())
    np.testing.assert_allclose([found.fine, found.coarse], expected, rtol=1e-3, atol=1e-3)
    plane = np.clip(a + (expected @ design).reshape(shape), 0, 255)
    np.testing.assert_allclose(found.plane, plane, atol=0.2)
    assert found.error == pytest.approx(np.mean((found.plane - goal) ** 2, dtype=float), rel=1e-4)


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


def test_a_blur_of_integers_or_with_too_large_a_sigma_is_refused():
    (plane,) = planes_of((4, 5), 1)

    wrong_planes = plane.astype(np.uint8), plane[0], plane[:0], plane[:, :0]
    for wrong, sigma in (*((each, 1.0) for each in wrong_planes), (plane, 0.0), (plane, 11)):
        with pytest.raises(ValueError, match=r"a sigma up to 10\.7"):
            blurred(wrong, sigma)
    for fine, coarse in ((0, 1), (2, 1), (1, 11)):
        with pytest.raises(ValueError, match=r"two ascending sigmas up to 10\.7"):
            blurs(fine, coarse, 0.001)
    with pytest.raises(ValueError, match=r"a sigma up to 10\.7"):
        fine_detail(plane, 11)
    with pytest.raises(ValueError, match="planes with pixels"):
        fitted_filter(plane[:, :0], plane[:, :0], blurs(1.0, 2.5, 0.001))


def test_two_blurs_keep_their_weights():
    a, b = planes_of((9, 14), 2)
    two = blurs(1.0, 2.5, 0.001)
    expected = fitted_filter(a, b, two)

    difference._gaussian.cache_clear()
    others = [np.full(n, 9, np.float32) for n in (4, 9) * 50]  # where the weights were, if freed

    np.testing.assert_array_equal(fitted_filter(a, b, two).plane, expected.plane)
    assert len(others) == 100


@pytest.mark.parametrize("shape", [*SHAPES, (3, 1500), (90, 1024)], ids=str)
def test_the_fine_detail_is_the_mean_square_of_what_a_blur_takes_away(shape):
    (plane,) = planes_of(shape, 1)

    found = fine_detail(plane, 0.8)

    taken = plane.astype(float) - blurred(plane, 0.8)
    assert found == pytest.approx(np.mean(taken**2), rel=1e-5)


@pytest.mark.parametrize("side", [1, 2, 4, 8, 16, 32, 64])
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


@pytest.mark.parametrize("grid", [(5, 6), (6, 7), (4, 5), (5, 8), (1, 1), (6, 3)], ids=str)
def test_the_moments_of_levels_are_cut_or_continued_to_a_grid(grid):
    a, b = (each.astype(np.uint8) for each in planes_of((10, 12), 2))
    rows, columns = (np.minimum(np.arange(n), most) for n, most in zip(grid, (4, 5), strict=True))

    found = level_moments(a, b, 2, grid)

    whole = block_moments(a.astype(np.float32), b.astype(np.float32), 2)
    np.testing.assert_array_equal(found, whole[:, rows][:, :, columns])
    with pytest.raises(ValueError, match="uint8"):
        level_moments(a, b.astype(np.float32), 2, grid)
    with pytest.raises(ValueError, match="blocks of one or more"):
        level_moments(a, b, 0, grid)


def test_planes_of_another_shape_or_dtype_are_refused():
    a, b = planes_of((4, 4), 2)

    with pytest.raises(ValueError, match="one shape"):
        block_moments(a, b[:3], 4)
    with pytest.raises(ValueError, match="float64"):
        fitted_filter(a, b.astype(np.float64), blurs(1.0, 2.5, 1.0))
    with pytest.raises(ValueError, match="at least one pixel"):
        block_moments(a, b, 0)


def overlaps(n_in, n_out):
    """How much each output pixel, of length n_in, has of each input pixel, of length n_out."""
    ours, theirs = (np.arange(n + 1) * step for n, step in ((n_out, n_in), (n_in, n_out)))
    ends = np.minimum.outer(ours[1:], theirs[1:])
    return np.maximum(ends - np.maximum.outer(ours[:-1], theirs[:-1]), 0).astype(np.float64)


def shrunk_twin(pixels, height, width):
    """Multiply by matrices of overlaps, exactly below 2 ** 53, and divide in whole numbers."""
    rows, columns = pixels.shape[:2]
    levels = pixels.reshape(rows, columns, -1).astype(np.float64)
    sums = np.tensordot(overlaps(rows, height), levels, 1)
    areas = (
        np.tensordot(sums, overlaps(columns, width), ((1,), (1,))).swapaxes(1, 2).astype(np.int64)
    )
    averages = (2 * areas + rows * columns) // (2 * rows * columns)
    return averages.astype(np.uint8).reshape(height, width, *pixels.shape[2:])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_picture_is_shrunk_to_the_averages_of_equal_areas(data):
    rows, columns = (data.draw(st.integers(1, 24)) for _ in range(2))
    channels = data.draw(st.sampled_from([(), (1,), (3,), (4,)]))
    pixels = data.draw(hnp.arrays(np.uint8, (rows, columns, *channels)))
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))

    found = shrunk(pixels, height, width)

    np.testing.assert_array_equal(found, shrunk_twin(pixels, height, width))


SHRUNK = [  # factors near 1, of some pixels, and of many; fewer and more than four rows of gray
    *(((61, 83), size) for size in ((61, 80), (59, 83), (17, 40), (30, 19), (7, 3), (3, 5))),
    *(((61, 83, 3), size) for size in ((61, 80), (58, 70), (30, 41), (29, 19), (4, 6), (1, 1))),
    *(((40, 64, channels), (21, 30)) for channels in (1, 2, 4)),
    *(((40, 64, channels), (9, 7)) for channels in (1, 2, 4)),
    *(((rows, 9), (size, 9)) for rows in (257, 258, 259) for size in (200, 97, 10)),  # over 16 bits
]


@by_level
@pytest.mark.parametrize(("shape", "size"), SHRUNK, ids=str)
def test_every_level_shrinks_to_the_averages_of_equal_areas(level, shape, size):
    pixels = np.random.default_rng(size).integers(0, 256, shape, np.uint8)
    white = np.full(shape, 255, np.uint8)

    with native_level(level):
        found, still_white = shrunk(pixels, *size), shrunk(white, *size)

    np.testing.assert_array_equal(found, shrunk_twin(pixels, *size))
    assert still_white.min() == 255


def strips_of(n_pixels, totals):
    """Rows of so many pixels whose levels add up to each total."""
    whole, rest = np.divmod(totals, n_pixels)
    return (whole[:, None] + (np.arange(n_pixels) < rest[:, None])).astype(np.uint8)


@by_level
@pytest.mark.parametrize("n_pixels", [1, 2, 3, 7, 16, 51, 100])
def test_each_total_is_divided_and_rounded_as_in_whole_numbers(level, n_pixels):
    totals = np.arange(255 * n_pixels + 1)

    with native_level(level):
        found = shrunk(strips_of(n_pixels, totals), len(totals), 1)

    assert found.ravel().tolist() == ((2 * totals + n_pixels) // (2 * n_pixels)).tolist()


# Averages of larger areas than 8,405,023 pixels take 64 bits.
@by_level
@pytest.mark.parametrize("n_pixels", [65_793, 1 << 20, 8_405_023, 8_405_024, 16_777_213])
def test_large_areas_are_rounded_up_from_a_half(level, n_pixels):
    steps = np.array([1, 2, 127, 128, 254, 255]) * n_pixels - n_pixels // 2

    with native_level(level):
        found = [
            shrunk(strips_of(n_pixels, np.array([total])), 1, 1).item()
            for total in (*(steps - 1), *steps)
        ]

    assert found == [0, 1, 126, 127, 253, 254, 1, 2, 127, 128, 254, 255]


def test_a_large_picture_of_odd_sides_is_shrunk_in_64_bits():
    pixels = np.random.default_rng(1).integers(0, 256, (2903, 2897, 3), np.uint8)

    np.testing.assert_array_equal(shrunk(pixels, 40, 30), shrunk_twin(pixels, 40, 30))


def test_a_long_white_strip_remains_white():
    strip = np.full((1, 1 << 18), 255, np.uint8)

    assert shrunk(strip, 1, 1).tolist() == [[255]]
    assert shrunk(strip.T, 3, 1).ravel().tolist() == [255] * 3


@pytest.mark.parametrize(("height", "width"), [(0, 2), (4, 2), (2, 5), (2, 0)])
def test_a_picture_is_not_enlarged_or_emptied(height, width):
    with pytest.raises(ValueError, match=f"to {height} x {width}"):
        shrunk(np.zeros((3, 4), np.uint8), height, width)


@by_level
def test_every_level_gives_the_same_planes_and_sums(level):
    rng = np.random.default_rng(4)
    p, q = (rng.uniform(0, 255, (61, 83)).astype(np.float32) for _ in range(2))
    a = rng.integers(0, 256, (61, 83), np.uint8)

    def results():
        return [
            blended(p, q, p, (0.3, 0.9, -0.2)),
            *(window_means(np.stack([p, q]), side) for side in (2, 4, 8, 16, 32)),
            shrunk(a, 17, 40),
            *map(np.array, fitted_filter(p, q, blurs(1.0, 2.5, 0.001))),
            np.array(fine_detail(p, 0.8)),
            *(blurred(p, sigma) for sigma in (0.8, 2.5)),
            *(block_moments(p, q, side) for side in (2, 4, 5)),
            level_moments(a, a[::-1].copy(), 2, (32, 42)),
            *(block_moments(p[:, :width], q[:, :width], 4) for width in (3, 5, 8, 11, 16, 17)),
        ]

    assert_equal_at(level, results)
