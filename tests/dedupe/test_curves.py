"""Tone curves that are fitted to the levels of two pictures.

Twins: loops over pixels and levels in plain Python, written from the docstrings.
"""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from make_sample import photo

from imgdup.dedupe import curves
from imgdup.native.levels import matched_levels
from tone_curves import CURVES, LEVELS, as_curve

few = settings(max_examples=30)


def levels_of(a, b, weights):
    """What the levels of a picture have become in another one."""
    return curves.Levels(matched_levels(a, b, weights)[0])


@st.composite
def pairs_of_pictures(draw):
    """Two small gray pictures of one size and the weights of their pixels."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    numbers = hnp.arrays(np.uint8, shape, elements=st.integers(0, 255))
    weights = hnp.arrays(np.uint8, shape, elements=st.integers(1, 64))
    return draw(numbers), draw(numbers), draw(weights)


@few
@given(pairs_of_pictures(), st.sampled_from([0.0, 2.5]))
def test_the_error_of_a_curve_is_the_weighted_mean_of_squares(drawn, slack):
    a, b, weights = drawn
    curve = 20 + 0.8 * LEVELS
    means, total = {}, int(weights.sum())
    for level in np.unique(a).tolist():
        here = a == level
        means[level] = float((b[here] * weights[here].astype(float)).sum() / weights[here].sum())
    spread = sum(
        int(w) * (int(y) - means[int(x)]) ** 2
        for x, y, w in zip(a.ravel(), b.ravel(), weights.ravel(), strict=True)
    )
    missed = sum(
        int(w) * max(abs(means[int(x)] - curve[x]) - slack, 0) ** 2
        for x, w in zip(a.ravel(), weights.ravel(), strict=True)
    )

    levels = levels_of(a, b, weights)

    assert levels.spread == pytest.approx(spread / total, abs=1e-6)
    assert levels.error(curve, slack) == pytest.approx((spread + missed) / total, abs=1e-6)


def test_without_pixels_nearby_a_level_is_not_off_a_curve():
    a = np.full((4, 4), 100, np.uint8)
    levels = levels_of(a, a + 10, np.ones_like(a))

    off = levels.off(LEVELS.astype(float))

    assert off[100] == pytest.approx(10, rel=1e-3)
    assert off[[0, 50, 200]].tolist() == pytest.approx([0, 0, 0], abs=1e-3)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_a_fitted_curve_follows_the_levels_and_never_falls(curve):
    a = cv2.cvtColor(photo(3, 160, 120), cv2.COLOR_RGB2GRAY)

    found = curves.smooth_curve(levels_of(a, curve[a], np.ones_like(a)))

    used = np.bincount(a.ravel(), minlength=256) > 20
    assert np.abs(found - curve)[used].mean() < 2
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() <= 255


def test_levels_are_left_where_noise_explains_their_move():
    a = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    b = np.clip(a.astype(int) + 6, 0, 255).astype(np.uint8)

    found = curves.near_identity(levels_of(a, b, np.ones_like(a)), np.full(256, 2.0))

    assert found[20:230].tolist() == (LEVELS[20:230] + 2).tolist()
    assert found.max() <= 255


def plain_levels(curve):
    """Levels of a picture that has all of them, and what a curve makes of each."""
    a = np.tile(LEVELS.astype(np.uint8), (4, 1))
    return levels_of(a, curve[a], np.ones_like(a))


@pytest.mark.parametrize(
    ("curve", "kind"),
    [(CURVES["darker and flatter"], 0), (CURVES["contrast"], 0), (CURVES["gamma"], 1)],
    ids=["factor and offset", "factor and offset, cut off", "gamma"],
)
def test_a_plain_change_of_all_levels_is_found_exactly(curve, kind):
    found = curves.plain_curves(plain_levels(curve))

    assert len(found) == 2
    assert np.abs(found[kind] - curve).max() < 1
    assert np.abs(found[1 - kind] - curve).max() > 2


SINGLE = {
    "factor": as_curve(lambda level: 0.7 * level),
    "offset": as_curve(lambda level: level + 0.15),
    "gamma": as_curve(lambda level: level**1.5),
    "contrast about 128": as_curve(lambda level: 128 / 255 + 1.3 * (level - 128 / 255)),
    "contrast about the mean": as_curve(lambda level: 0.5 + 0.7 * (level - 0.5)),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_change_by_one_number_is_found_exactly_and_by_its_name(name):
    levels = plain_levels(SINGLE[name])

    found = curves.single_curves(levels, 127.5)

    misfits = {each: levels.misfit(curve) for each, curve in found.items()}
    assert list(found) == list(SINGLE)
    assert np.abs(found[name] - SINGLE[name]).max() < 1
    assert misfits[name] < 0.5
    assert min(misfits, key=misfits.get) in (name, "contrast about 128")  # 128 is near the mean


@few
@given(hnp.arrays(np.uint8, (8, 9)), hnp.arrays(np.uint8, (8, 9)))
def test_the_misfit_is_taken_over_all_tones_that_are_not_rare(a, b):
    a //= 32
    levels = levels_of(a, b, np.ones_like(a))
    weights, squares = [], []
    for level in range(8):
        others = [int(y) for x, y in zip(a.ravel(), b.ravel(), strict=True) if x == level]
        if len(others) >= curves.FEWEST_PIXELS:
            weights.append(min(len(others), curves.MOST_COUNTED * a.size))
            squares.append((sum(others) / len(others) - level) ** 2)
    total = sum(w * s for w, s in zip(weights, squares, strict=True))

    assert levels.misfit(LEVELS.astype(float)) == pytest.approx((total / sum(weights)) ** 0.5)


@pytest.mark.parametrize(("n_levels", "n_curves"), [(7, 0), (8, 2)])
def test_too_few_levels_show_no_plain_curve(n_levels, n_curves):
    a = np.tile(np.arange(100, 100 + n_levels, dtype=np.uint8), (4, 1))

    found = curves.plain_curves(levels_of(a, a + 10, np.ones_like(a)))

    assert len(found) == n_curves


def test_levels_that_are_cut_off_show_no_plain_curve():
    white = np.full(256, 255, np.uint8)

    assert curves.plain_curves(plain_levels(white)) == []
    assert curves.plain_curves(plain_levels(255 - white)) == []
