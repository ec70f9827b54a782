"""Sums over two pictures: equal to a twin in NumPy with numbers of double precision."""

import numpy as np
import pytest

from imgdup.native.difference import block_moments, filter_sums

SHAPES = [(1, 1), (1, 40), (3, 5), (4, 4), (17, 33), (64, 64), (121, 187)]


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


@pytest.mark.parametrize("side", [1, 2, 4, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_moments_of_blocks_are_the_means_of_their_pixels(shape, side):
    a, b = planes_of(shape, 2)
    p, q = a.astype(np.float64), b.astype(np.float64)
    products = [p, q, p * p, q * q, p * q, (q - p) ** 2]
    rows, columns = (range(0, n, side) for n in shape)

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
