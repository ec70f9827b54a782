"""Where pixels are not equal: counts and sums, exact, at every level."""

import numpy as np
import pytest

from imgdup.native.changes import added_changes, count_changed, spread_between
from native_levels import assert_equal_at, by_level


def pair_of(shape):
    """Two pictures that are equal in places."""
    rng = np.random.default_rng(shape)
    a = rng.integers(0, 256, shape, np.uint8)
    return a, np.where(rng.random(shape) < 0.5, a, rng.integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (3, 5000), (11, 30, 3)], ids=str)
@pytest.mark.parametrize("rows_apart", [1, 4])
@pytest.mark.parametrize("least", [1, 100, 255])
@by_level
def test_levels_that_change_by_enough_are_counted(level, shape, rows_apart, least):
    a, b = pair_of(shape)

    found = count_changed(a, b, least, rows_apart)

    sizes = np.abs(a.astype(int) - b)[::rows_apart]
    assert found == np.count_nonzero(sizes >= least)
    assert_equal_at(level, lambda: [np.array(count_changed(a, b, least, rows_apart))])


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 9000, 3), (31, 24, 3)], ids=str)
@pytest.mark.parametrize("rows_apart", [1, 4])
@by_level
def test_changes_are_added_up_by_channel(level, shape, rows_apart):
    a, b = pair_of(shape)

    found = added_changes(a, b, rows_apart)

    changes = (b.astype(int) - a)[::rows_apart]
    assert found.n_pixels == np.count_nonzero(changes.any(axis=2))
    assert found.sums == changes.sum(axis=(0, 1)).tolist()
    assert found.sizes == np.abs(changes).sum(axis=(0, 1)).tolist()
    assert_equal_at(level, lambda: [np.array(each) for each in added_changes(a, b, rows_apart)])


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (3, 5000), (11, 30, 3)], ids=str)
@by_level
def test_the_spread_of_changes_is_their_standard_deviation(level, shape):
    a, b = pair_of(shape)

    found = spread_between(a, b)

    assert found == pytest.approx((b.astype(int) - a).std(), rel=1e-12)
    assert_equal_at(level, lambda: [np.array(spread_between(a, b))])


def test_changes_do_not_overflow():
    black, white = np.zeros((1, 20_000, 3), np.uint8), np.full((1, 20_000, 3), 255, np.uint8)

    found = added_changes(white, black)

    assert found == (20_000, [-255 * 20_000] * 3, [255 * 20_000] * 3)
    assert count_changed(white, black, 255) == 60_000
    assert spread_between(white, black) == 0


def test_pictures_of_other_shapes_are_refused():
    a = np.zeros((3, 4, 3), np.uint8)

    for call in (
        lambda: count_changed(a, a[:2], 1),
        lambda: count_changed(a, a, 0),
        lambda: count_changed(a, a, 256),
        lambda: count_changed(a, a.astype(float), 1),
        lambda: count_changed(a[:0], a[:0], 1),
        lambda: added_changes(a, a, 0),
        lambda: added_changes(a[..., 0], a[..., 0]),
        lambda: added_changes(a[..., :2], a[..., :2]),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
