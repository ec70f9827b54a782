"""What is usual in windows, and what exceeds it: equal to sorted lists and loops."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native.windows import Outliers, quantile, raise_to_outliers, thirds, usual_squares
from native_levels import by_level, native_level

RULE = Outliers(factor=3.0, nearly_all=0.99, apart=3, few=40, least_ratio=0.5, least=20.0)
USUAL = 2.0, 0.25


def planes_of(shape, n=2):
    """Planes with many equal elements, some of them large."""
    rng = np.random.default_rng(shape)
    return [np.round(rng.gamma(0.4, 20, shape) * 4).astype(np.float32) / 4 for _ in range(n)]


@given(
    hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-9, 255, width=32)),
    st.sampled_from([0, 0.5, 0.75, 1]),
)
@settings(max_examples=60, deadline=None)
def test_a_quantile_is_the_element_at_that_share_of_the_sorted_ones(values, share):
    expected = sorted(values.tolist())[int(share * (len(values) - 1))]

    assert quantile(values, share) == expected


def test_no_values_or_a_share_above_one_have_no_quantile():
    for values, share in ((np.zeros(0, np.float32), 0.5), (np.zeros(3, np.float32), 1.5)):
        with pytest.raises(ValueError, match="share from 0 to 1"):
            quantile(values, share)
    with pytest.raises(ValueError, match="float32"):
        quantile(np.zeros(3), 0.5)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("many_bare", [0.05, 0.9])
@pytest.mark.parametrize("n", [1, 2, 5, 40, 1000])
def test_thirds_are_the_first_windows_with_the_least_and_the_most_texture(n, many_bare, step):
    (near,) = planes_of((n,), 1)
    places = list(range(0, n, step))
    textured = [i for i in places if near[i] > 1]
    places = textured if len(textured) > many_bare * len(places) else places
    third = max(1, len(places) // 3)

    flat, rich = thirds(near, step, 1.0, many_bare)

    assert flat.tolist() == sorted(sorted(places, key=lambda i: (near[i], i))[:third])
    assert rich.tolist() == sorted(sorted(places, key=lambda i: (-near[i], i))[:third])


@pytest.mark.parametrize("least", [0.0, 3.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 50)], ids=str)
def test_usual_squares_are_quantiles_of_flat_windows_and_of_the_share_in_rich_ones(shape, least):
    squares, near = planes_of(shape)
    flat, rich = thirds(near, 1, 1.0, 0.05)
    values, texture = squares.ravel(), near.ravel()
    noise = sorted(values[flat].tolist())[int(0.75 * (len(flat) - 1))]
    beyond = [max(0.0, float(values[i]) - max(noise, least)) for i in rich]
    shares = sorted(b / (float(texture[i]) + 1) for b, i in zip(beyond, rich, strict=True))

    found = usual_squares(squares, near, (flat, rich), 0.75, least)

    assert found == pytest.approx((noise, shares[int(0.75 * (len(rich) - 1))]), rel=1e-6)


def outliers_twin(squares, near, rule):
    """Mark the outliers window by window."""
    height, width = squares.shape
    ratios = squares / (np.float32(USUAL[0]) + np.float32(USUAL[1]) * near)
    row, column = divmod(int(np.argmax(ratios)), width)
    others = sorted(
        float(ratios[y, x])
        for y in range(height)
        for x in range(width)
        if max(abs(y - row), abs(x - column)) > rule.apart
    )
    if len(others) < rule.few:
        return np.zeros(squares.shape, bool)
    usual = max(rule.least_ratio, others[int(rule.nearly_all * (len(others) - 1))])
    is_outlier = (ratios > np.float32(rule.factor * usual)) & (squares > rule.least)
    return is_outlier & (squares > np.float32(rule.texture_share) * near)


@pytest.mark.parametrize("shape", [(1, 60), (7, 7), (9, 6), (30, 40)], ids=str)
@pytest.mark.parametrize("texture_share", [0.0, 2.0])
@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_the_excess_is_raised_to_squares_that_exceed_nearly_all_others(
    shape, texture_share, factor
):
    squares, near = planes_of(shape)
    excess = np.full(shape, 30, np.float32)
    rule = RULE._replace(texture_share=texture_share, factor=factor)
    expected = np.where(outliers_twin(squares, near, rule), np.maximum(squares, 30), 30)

    raise_to_outliers(excess, squares, near, USUAL, rule)

    np.testing.assert_array_equal(excess, expected)


@pytest.mark.parametrize("at", [(0, 0), (0, 9), (9, 0), (9, 9), (5, 5)], ids=str)
def test_windows_near_the_largest_one_are_no_others_in_any_corner(at):
    squares, near = np.ones((10, 10), np.float32), np.zeros((10, 10), np.float32)
    box = np.s_[max(0, at[0] - 3) : at[0] + 4, max(0, at[1] - 3) : at[1] + 4]
    squares[box] = 90
    squares[at] = 100
    excess = np.zeros_like(squares)

    raise_to_outliers(excess, squares, near, USUAL, RULE)

    np.testing.assert_array_equal(excess > 0, squares > 80)


def test_planes_of_unequal_shape_are_refused():
    squares, near = planes_of((6, 8))

    with pytest.raises(ValueError, match="shape"):
        raise_to_outliers(np.zeros((6, 7), np.float32), squares, near, USUAL, RULE)
    with pytest.raises(ValueError, match="shape"):
        usual_squares(squares, near[:3], thirds(near, 1, 1.0, 0.05), 0.75, 3.0)
    with pytest.raises(ValueError, match="step at least"):
        thirds(near, 0, 1.0, 0.05)


@by_level
def test_every_level_finds_the_same_windows(level):
    squares, near = planes_of((61, 83))

    def results():
        excess, places = np.zeros_like(squares), thirds(near, 2, 1.0, 0.05)
        raise_to_outliers(excess, squares, near, USUAL, RULE)
        usual = usual_squares(squares, near, places, 0.75, 3.0)
        return [excess, *places, np.array([*usual, quantile(near, 0.6)])]

    expected = results()
    with native_level(level):
        found = results()

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
