"""What differs between two pictures beyond what copying explains: the measures, window by window.

Twins: loops over windows and sorted lists, written from the docstrings.
"""

import math

import numpy as np
import pytest
from make_sample import photo

from imgdup.dedupe import evidence
from imgdup.dedupe.evidence import Evidence, _Moments
from imgdup.dedupe.excess import CALM, LEAST_NOISE, LUMA_LIMITS, _chroma_rules, luma_part
from imgdup.images.opencv import luma_of
from native_parts import raise_chroma


def planes(shape=(24, 31), n=2, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(n)]


def moments_of(a, b):
    """The moments of planes of which each element is a block."""
    return _Moments(np.stack([a, b, a * a, b * b, a * b, (b - a) ** 2]).astype(np.float32))


def windows_of(a, b, side=4):
    return moments_of(a, b).windows(side)


# --- squares beyond what is explained


def unlike_moments(squares, shape=(40, 40), variance=50.0):
    """Moments of planes with equal means, of one texture, that differ by these squares."""
    flat = np.zeros(shape, np.float32)
    return np.stack([flat, flat, flat + variance, flat + variance, flat, squares])


def outlier(at, square=2000.0, shape=(40, 40)):
    """Squares that are alike everywhere but in one window."""
    squares = np.random.default_rng(3).uniform(50, 100, shape).astype(np.float32)
    squares[at] = square
    return squares


@pytest.mark.parametrize("at", [(0, 0), (20, 20), (39, 0), (5, 39)])
def test_one_window_that_stands_out_among_all_is_an_excess(at):
    moments = unlike_moments(outlier(at, 700))

    _, found, differs = luma_part((moments, 1), 1, 1.0, is_plain=False)

    assert differs
    assert np.argwhere(found).tolist() == [list(at)]
    assert found[at] == np.sqrt(np.float32(700))


@pytest.mark.parametrize(
    ("at", "square", "shape"),
    [((20, 20), 590, (40, 40)), ((20, 20), 240, (40, 40)), ((11, 11), 700, (12, 12))],
    ids=["below the least", "not that much more", "too few others"],
)
def test_a_window_that_hardly_stands_out_is_no_excess(at, square, shape):
    moments = unlike_moments(outlier(at, square, shape), shape)

    _, found, differs = luma_part((moments, 1), 1, 1.0, is_plain=False)

    assert not differs
    assert not found.any()


def test_faint_outliers_count_only_in_plain_pictures():
    squares = np.full((40, 40), 1, np.float32)
    squares[20, 20] = 100
    moments = unlike_moments(squares, variance=500.0)

    found = [luma_part((moments, 1), 2, 0.2, is_plain=is_plain)[1] for is_plain in (True, False)]

    assert [np.argwhere(each).tolist() for each in found] == [[[20, 20]], []]


def test_an_even_change_of_chroma_is_an_excess_even_beside_edges():
    light = unlike_moments(np.zeros((40, 40), np.float32))
    red, blue = light.copy(), np.zeros_like(light)
    red[1, 20, 20] = 8.0  # by so many levels
    red[2:4] = 5000.0 + red[:2] ** 2  # edges everywhere ...
    red[2:4, 20, 20] = red[:2, 20, 20] ** 2  # ... but in this window
    squares = np.zeros((40, 40), np.float32)

    raise_chroma(squares, (light, red, blue), _chroma_rules(4), CALM)

    assert np.argwhere(squares).tolist() == [[20, 20]]
    assert squares[20, 20] == 64


# --- windows that agree


def test_a_picture_agrees_with_itself_and_not_with_another_one():
    a, b = planes()

    assert evidence._agreement(windows_of(a, a)) == 1.0
    assert evidence._agreement(windows_of(a, 255 - a)) == 1.0  # a negative has the same structure
    assert evidence._agreement(windows_of(a, b)) < 0.05


def test_without_any_structure_nothing_agrees():
    flat = np.full((20, 20), 90, np.float32)

    assert evidence._agreement(windows_of(flat, flat)) == 0.0


def test_copies_of_a_photo_agree_and_photos_of_different_scenes_do_not():
    first, second = (luma_of(photo(number, 128, 96)) for number in (1, 2))
    flat = np.full_like(first, 90)

    assert evidence.visible_agreement(first, first) == 1.0
    assert evidence.visible_agreement(first, first // 2 + 40) > 0.95
    assert evidence.visible_agreement(first, second) < 0.4
    assert evidence.visible_agreement(flat, flat) == 1.0  # nothing is to be seen that differs


@pytest.mark.parametrize(("noise", "low", "high"), [(0, 0.99, 1.0), (8, 0.4, 0.95), (60, 0.0, 0.4)])
def test_the_share_of_tones_is_large_where_means_differ_and_small_where_details_do(
    noise, low, high
):
    rng = np.random.default_rng(5)
    a = np.full((40, 40), 100, np.float32)
    b = a + 10 + rng.normal(0, max(noise, 1e-3), a.shape).astype(np.float32)
    moments = evidence._moments(a, b, 4)

    share = evidence._tone_share(moments, np.ones(moments.planes[0].shape, bool))

    assert low <= share <= high + 1e-6
    assert evidence._tone_share(moments, np.zeros(moments.planes[0].shape, bool)) == 0.0


# --- whole pictures


def test_equal_pictures_give_no_evidence():
    picture = photo(4, 160, 120)

    found = Evidence(picture, picture.copy())

    assert not found.differs
    assert not found.excess.any()
    assert not found.structure_excess.any()
    assert found.agreement == 1.0


@pytest.mark.parametrize("is_gray", [False, True])
def test_a_detail_that_differs_is_evidence_where_it_lies(is_gray):
    picture = photo(4, 160, 120)
    picture = picture[..., 1].copy() if is_gray else picture
    other = picture.copy()
    other[40:64, 80:112] = 255 - other[40:64, 80:112]

    found = Evidence(picture, other)

    assert found.differs
    assert found.luma_differs
    assert found.excess[10:16, 20:28].mean() > 5 * found.excess.mean()
    assert math.isclose(found.excess.max(), found.luma_excess.max()) or not is_gray


def test_gray_pictures_have_no_evidence_of_colour():
    gray = photo(4, 160, 120)[..., 1].copy()

    found = Evidence(gray, gray.copy())

    assert found._chroma == []
    assert found.excess is found.luma_excess


def test_slight_gradients_of_different_strength_differ_smoothly():
    ramp = np.tile(np.linspace(100, 110, 64).astype(np.uint8), (64, 1))
    other = np.tile(np.linspace(100, 120, 64).astype(np.uint8), (64, 1))

    assert Evidence(ramp, other).recoloured
    assert not Evidence(ramp, ramp.copy()).recoloured


@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0, 20.0, 60.0])
def test_structure_that_is_always_explained_is_shared(noise):
    limits = LUMA_LIMITS[2][0]
    rng = np.random.default_rng(3)
    a = np.tile(np.linspace(0, 255, 100, dtype=np.float32), (80, 1))
    b = a.copy()
    b[20:40, 20:40] += rng.normal(0, noise, (20, 20)).astype(np.float32)  # in one place alone
    windows = evidence._moments(a, b, 4).windows(2)
    mean_a, mean_b, _, _, mean_ab, _ = windows.planes
    covariances, larger = mean_ab - mean_a * mean_b, np.maximum(*windows.variances)
    products = windows.variances[0] * windows.variances[1] + np.float32(evidence.FLOOR)
    unlike = larger * (1 - np.minimum(1, covariances * covariances / products))
    usual = np.sort(unlike[larger <= np.sort(larger, axis=None)[(larger.size - 1) // 3]])
    usual = max(LEAST_NOISE, float(usual[int(0.75 * (len(usual) - 1))]))
    allowed = min(limits.factor * usual, limits.most_noise) + 0.35 * larger

    found = evidence.unlike_structure(windows.planes, evidence.STRUCTURE, limits)

    np.testing.assert_array_equal(found, np.where(unlike > allowed, np.sqrt(unlike), 0))
