"""Detail and the start of JPEG's grid: equal to twins in NumPy, at every level.

The twins use numbers of double precision, and look at one column of a block at a time.
"""

import numpy as np
import pytest

from imgdup.native.detail import DetailRules, detail_share, grid_start
from native_levels import assert_equal_at, by_level

TRANSFORM = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0].astype(np.float32)
RULES = DetailRules(TRANSFORM, 32, 0.1, 0.5, 0.3, 0.75)


def planes(shape):
    """Noise, blurred noise, and noise on a grid of blocks."""
    rng = np.random.default_rng(shape)
    noise = rng.uniform(0, 255, shape).astype(np.float32)
    yield noise
    small = rng.uniform(0, 255, (shape[0] // 4 + 2, shape[1] // 4 + 2))
    yield np.kron(small, np.ones((4, 4)))[: shape[0], : shape[1]].astype(np.float32)
    blocks = np.kron(rng.uniform(0, 255, (shape[0] // 8 + 2, shape[1] // 8 + 2)), np.ones((8, 8)))
    yield (noise / 99 + blocks[3 : 3 + shape[0], 6 : 6 + shape[1]]).astype(np.float32)


def first_edge_of(rows):
    """The place, modulo 8, where twice a change exceeds its neighbours most, along each row."""
    if rows.shape[1] < 32:
        return 0
    means = [[] for _ in range(8)]
    for x in range(2, rows.shape[1] - 1):
        before, here, after = (np.abs(rows[:, i + 1] - rows[:, i]) for i in (x - 2, x - 1, x))
        means[x % 8].append(np.maximum(2 * here - before - after, 0).sum())
    return int(np.argmax([np.mean(each) for each in means]))


def slow_share(plane):
    share = 1.0
    top, left = first_edge_of(plane.T), first_edge_of(plane)
    plane = plane[top:, left:]
    while min(plane.shape) >= 32:
        height, width = (side // 8 * 8 for side in plane.shape)
        n = height * width / 8
        of_columns = np.einsum(
            "ki,bix->kbx", TRANSFORM, plane[:height, :width].reshape(-1, 8, width)
        )
        of_rows = np.einsum(
            "ki,bix->kbx", TRANSFORM, plane[:height, :width].T.reshape(-1, 8, height)
        )
        squares = [(each[1:] ** 2).sum(axis=(1, 2)) for each in (of_columns, of_rows)]
        powers = np.maximum(sum(squares) / n / 2 - RULES.rounding, 0)
        if powers[:2].sum() < RULES.least_variance:
            return share
        detail = powers * np.arange(1, 8) ** 2
        found = np.minimum(detail / detail[:3].max() / RULES.least_share, 1)[1:].mean()
        if found >= RULES.sharp:
            return share * found
        share /= 2
        plane = plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2]
        plane = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
    return share


SHAPES = [(1, 1), (3, 3), (33, 4), (3, 40), (33, 20), (32, 32), (35, 61), (90, 171), (40, 1100)]


@pytest.mark.parametrize("shape", [*SHAPES, (1100, 40)], ids=str)
def test_the_grid_begins_where_levels_change_most(shape):
    for plane in planes(shape):
        exact = plane.astype(np.float64)

        assert grid_start(plane, 32) == (first_edge_of(exact.T), first_edge_of(exact))


@pytest.mark.parametrize("shape", [*SHAPES, (1100, 40)], ids=str)
def test_the_share_of_detail_equals_that_in_double_precision(shape):
    for plane in [*planes(shape), np.full(shape, 7, np.float32)]:
        found = detail_share(plane, RULES)

        assert found == pytest.approx(slow_share(plane.astype(np.float64)), rel=1e-4)


def test_a_side_that_is_too_short_for_a_mean_is_refused():
    with pytest.raises(ValueError, match="at least 32, got 31"):
        grid_start(np.zeros((40, 40), np.float32), 31)
    with pytest.raises(ValueError, match="at least 32, got 9"):
        detail_share(np.zeros((40, 40), np.float32), RULES._replace(min_side=9))


@by_level
@pytest.mark.parametrize("shape", [(61, 83), (200, 1100)], ids=str)
def test_every_level_finds_the_same_detail(level, shape):
    def results():
        return [(*grid_start(each, 32), detail_share(each, RULES)) for each in planes(shape)]

    assert_equal_at(level, results)
