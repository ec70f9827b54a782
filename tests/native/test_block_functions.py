"""Blocks of 8 x 8 pixels: equal to twins in NumPy, at every level."""

import numpy as np
import pytest

from imgdup.native.blocks import clipped_blocks, mixture_errors, on_steps, varied_blocks
from native_levels import assert_equal_at, by_level

SHAPES = pytest.mark.parametrize("shape", [(7, 40), (8, 8), (25, 70), (64, 33)], ids=str)


def blocks_of(plane):
    """The whole blocks of a plane or picture, row by row."""
    rows, columns = (side // 8 for side in plane.shape[:2])
    return [
        plane[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] for y in range(rows) for x in range(columns)
    ]


@SHAPES
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, 3:], np.s_[1:, ::-1], np.s_[::-1]], ids=str)
@by_level
def test_blocks_with_a_level_near_black_or_white_are_marked(level, shape, channels, part):
    rng = np.random.default_rng(shape)
    pixels = rng.integers(2, 255, (*shape, *[channels] * (channels > 0)), np.uint8)
    pixels[rng.random(pixels.shape) < 0.98] = 99
    pixels = pixels[part]

    found = clipped_blocks(pixels, 20, 240)

    expected = [bool(((each <= 20) | (each >= 240)).any()) for each in blocks_of(pixels)]
    assert found.tolist() == expected
    assert_equal_at(level, lambda: [clipped_blocks(pixels, 20, 240)])


def planes_of(shape, n):
    rng = np.random.default_rng((n, *shape))
    goal = rng.uniform(0, 255, shape)
    return [(goal + 9 * k * rng.standard_normal(shape)).astype(np.float32) for k in range(n)]


@SHAPES
@by_level
def test_blocks_vary_if_their_variance_is_large_and_none_is_clipped(level, shape):
    (plane,) = planes_of(shape, 1)
    plane[:, 20:] /= 100
    blocks = blocks_of(plane)
    clipped = np.arange(len(blocks)) % 3 == 1

    found = varied_blocks(plane, 100.0, clipped)

    large = [each.astype(float).var() > 100 for each in blocks]
    assert found.tolist() == (np.array(large, bool) & ~clipped).tolist()
    assert_equal_at(level, lambda: [varied_blocks(plane, 100.0, clipped)])


@pytest.mark.parametrize("shape", [(25, 70), (64, 33)], ids=str)
@pytest.mark.parametrize("n_planes", [1, 3, 16])
@pytest.mark.parametrize("ridge", [1e-6, 0.5])
@by_level
def test_planes_are_mixed_by_least_squares(level, shape, n_planes, ridge):
    goal, *planes = planes_of(shape, n_planes + 1)
    judged = np.arange(len(blocks_of(goal))) % 3 != 1

    shown, errors = mixture_errors(goal, planes, judged, ridge)

    def judged_pixels(plane):
        chosen = [x for x, is_judged in zip(blocks_of(plane), judged, strict=True) if is_judged]
        return np.array(chosen).reshape(-1, 64)

    columns = [judged_pixels(each).ravel().astype(float) for each in planes]
    columns = np.array([columns[0], *(each - columns[0] for each in columns[1:])])
    columns = np.vstack([columns, np.ones_like(columns[0])])
    levels = judged_pixels(goal).ravel().astype(float)
    levels -= levels.mean()
    products = columns @ columns.T
    products += ridge * np.diag(np.diag(products) + 1)
    expected = levels - np.linalg.solve(products, columns @ levels) @ columns
    np.testing.assert_array_equal(shown, judged_pixels(goal))
    np.testing.assert_allclose(errors, expected.reshape(-1, 64), atol=1e-3)
    assert_equal_at(level, lambda: mixture_errors(goal, planes, judged, ridge))


def test_equal_planes_are_mixed_without_harm():
    goal, plane = planes_of((16, 24), 2)

    once, often = (mixture_errors(goal, [plane] * n, np.ones(6, bool), 1e-6)[1] for n in (1, 5))

    np.testing.assert_allclose(often, once, atol=1e-3)


def test_without_blocks_nothing_is_mixed():
    goal, plane = planes_of((16, 24), 2)

    shown, errors = mixture_errors(goal, [plane], np.zeros(6, bool), 1e-6)

    assert shown.shape == errors.shape == (0, 64)


@pytest.mark.parametrize("n", [0, 1, 33, 400])
@by_level
def test_values_on_multiples_of_their_steps_are_counted(level, n):
    rng = np.random.default_rng(n)
    values, places = rng.uniform(0, 99, n).astype(np.float32), rng.integers(0, 64, n, np.int32)
    tables = rng.integers(1, 99, (7, 64), np.int32)

    found = on_steps(values, places, tables, 1.5)

    steps = tables[:, places]
    multiples = np.rint(values / steps)
    is_on = (np.abs(values - multiples * steps) <= 1.5) & (multiples > 0)
    np.testing.assert_array_equal(found, np.count_nonzero(is_on, axis=1))
    assert_equal_at(level, lambda: [on_steps(values, places, tables, 1.5)])


def test_planes_and_masks_of_other_shapes_are_refused():
    (plane,) = planes_of((16, 24), 1)
    mask = np.ones(6, bool)

    for call in (
        lambda: clipped_blocks(plane, 3, 252),
        lambda: clipped_blocks(np.zeros(9, np.uint8), 3, 252),
        lambda: varied_blocks(plane.astype(float), 1.0, mask),
        lambda: varied_blocks(plane, 1.0, mask[1:]),
        lambda: varied_blocks(plane, 1.0, mask.astype(np.uint8)),
        lambda: mixture_errors(plane, [plane[1:]], mask, 1e-6),
        lambda: mixture_errors(plane, [], mask, 1e-6),
        lambda: mixture_errors(plane, [plane] * 17, mask, 1e-6),
        lambda: mixture_errors(plane, [plane], mask[1:], 1e-6),
        lambda: on_steps(plane[0], np.zeros(23, np.int32), np.ones((3, 64), np.int32), 1.5),
        lambda: on_steps(plane[0], np.full(24, 64, np.int32), np.ones((3, 64), np.int32), 1.5),
        lambda: on_steps(plane[0], np.zeros(24, np.int32), np.ones((3, 63), np.int32), 1.5),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
