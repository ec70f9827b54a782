"""Imitations: a strongly compressed copy is the picture, and an edit beside the compression is not.

The copies are encoded by OpenCV, with and without another edit; `Evidence` is what is found without
imitations.
"""

import cv2
import numpy as np
import pytest
from make_sample import photo

from imgdup.dedupe import imitate
from imgdup.dedupe.evidence import Evidence
from imgdup.dedupe.sharpness import Filter

SEEDS = range(2, 6)


def noisy_photo(seed):
    """A photo with noise, which strong compression removes."""
    noise = np.random.default_rng(seed).normal(0, 6, (384, 512, 3))
    return np.clip(photo(seed, 512, 384) + noise, 0, 255).astype(np.uint8)


def compressed(pixels, quality):
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])


def with_patch(pixels):
    """The picture with a small square that is much lighter or darker."""
    edited = pixels.copy()
    square = edited[150:190, 200:240]
    square[:] = np.where(square < 128, square + 110, square - 110)
    return edited


@pytest.mark.parametrize("seed", SEEDS)
def test_a_strongly_compressed_copy_is_explained_in_both_directions(seed):
    original = noisy_photo(seed)
    copy = compressed(original, 8)

    for pair in ((original, copy), (copy, original)):
        assert Evidence(*pair).differs
        assert not imitate.evidence_of(*pair).differs


@pytest.mark.parametrize("seed", SEEDS)
def test_an_edit_of_a_strongly_compressed_copy_is_kept(seed):
    original = noisy_photo(seed)
    copy = compressed(with_patch(original), 8)

    for pair in ((original, copy), (copy, original)):
        assert imitate.evidence_of(*pair).differs


def test_a_change_that_no_compression_makes_is_not_imitated(monkeypatch):
    original = noisy_photo(1)
    edited = original.copy()
    edited[60:100, 60:100] = np.where(original[60:100, 60:100].mean() < 128, 255, 0)
    monkeypatch.setattr(imitate, "_imitations", None)

    assert imitate.evidence_of(original, edited).differs


@pytest.mark.parametrize("quality", [35, 50, 60])
def test_a_moderately_compressed_copy_is_imitated_exactly(quality):
    original = noisy_photo(2)
    copy = compressed(original, quality)

    pairs = list(imitate._imitations(original, copy, may_be_filtered=False))

    assert [np.array_equal(*pair) for pair in pairs] == [True]


@pytest.mark.parametrize("seed", SEEDS)
def test_moderate_compression_does_not_excuse_other_noise(seed):
    rng = np.random.default_rng(seed)
    other = noisy_photo(seed) + rng.normal(0, 12, (384, 512, 3))
    copy = compressed(np.clip(other, 0, 255).astype(np.uint8), 50)

    assert list(imitate._compressed(noisy_photo(seed), copy, 50)) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_a_quality_that_cannot_be_read_off_is_searched_for(swapped):
    page = np.full((240, 320, 3), 255, np.uint8)  # compression cuts off nearly all blocks at white
    for row in range(30, 230, 25):
        cv2.putText(page, "a page of print", (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (60, 20, 0))
    copy = compressed(page, 10)
    pair = (copy, page) if swapped else (page, copy)

    found = list(imitate._imitations(*pair, may_be_filtered=True))

    assert imitate.strong_quality(copy) is None
    assert any(np.array_equal(*each) for each in found)


def test_two_copies_of_about_one_quality_are_not_imitated(monkeypatch):
    monkeypatch.setattr(imitate, "through_jpeg", pytest.fail)
    monkeypatch.setattr(imitate, "strong_quality", {8: 8, 17: 17}.get)

    assert list(imitate._imitations(8, 17, may_be_filtered=False)) == []


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        ((imitate.SHARPENED, 0.3), [("first filtered", "second")]),
        ((0.3, imitate.SHARPENED), [("first", "second filtered")]),
        ((0.3, 0.2), []),
    ],
)
def test_the_picture_that_is_less_sharp_is_sharpened(monkeypatch, strengths, expected):
    found = iter(strengths)

    class Fitted:
        def __init__(self, *planes):
            self.strength = next(found)

    monkeypatch.setattr(imitate, "strong_quality", lambda pixels: None)
    monkeypatch.setattr(imitate, "_central_luma", lambda pixels: pixels)
    monkeypatch.setattr(imitate, "filter_between", Fitted)
    monkeypatch.setattr(imitate, "filtered", lambda pixels, fitted: f"{pixels} filtered")
    monkeypatch.setattr(imitate, "_inner", lambda pixels, width=1: pixels)
    monkeypatch.setattr(imitate, "_compressed", lambda pixels, copy: [])

    assert list(imitate._imitations("first", "second", may_be_filtered=True)) == expected


def test_pictures_of_which_one_is_blurred_are_also_compared_without_their_edges():
    original = noisy_photo(4)
    copy, changed = (cv2.GaussianBlur(each, (0, 0), 2) for each in (original, with_patch(original)))
    for each in (copy, changed):
        edge = each[:3, 100:116].astype(int)
        each[:3, 100:116] = np.where(edge < 128, edge + 45, edge - 45)

    assert Evidence(original, copy).differs
    assert not imitate.evidence_of(original, copy).differs
    assert imitate.evidence_of(original, changed).differs


def test_a_sharpened_copy_whose_outermost_pixels_were_left_as_they_are_is_explained():
    original = noisy_photo(3)
    sharper = imitate.filtered(original, Filter(-0.9, 0.0))
    copy = original.copy()
    copy[1:-1, 1:-1] = sharper[1:-1, 1:-1]

    first, second = next(imitate._imitations(original, copy, may_be_filtered=True))

    assert first.shape == second.shape == (382, 510, 3)
    assert np.abs(first.astype(int) - second).max() <= 2


@pytest.mark.parametrize("shape", [(300, 500), (300, 500, 3), (90, 40, 3), (256, 256)])
def test_the_sharpness_is_measured_at_the_centre(shape):
    pixels = np.zeros(shape, np.uint8)
    height, width = (min(side, 256) for side in shape[:2])
    top, left = (shape[0] - height) // 2 // 16 * 16, (shape[1] - width) // 2 // 16 * 16
    pixels[top : top + height, left : left + width] = 200

    centre = imitate._central_luma(pixels)

    assert centre.shape == (height, width)
    assert (centre == 200).all()


@pytest.mark.parametrize("quality", [5, 20, 45, 60])
def test_the_quality_of_a_copy_is_tried_if_it_is_a_common_one(quality):
    centre = imitate._centre(noisy_photo(2))
    goal = compressed(centre, quality)
    before = float(np.std(goal - centre.astype(int)))

    errors = imitate._common_errors(centre, goal, before)

    assert errors[quality] == 0
    assert before == pytest.approx(imitate.spread_between(centre, goal))


@pytest.mark.parametrize("before", [0.1, 90.0])
def test_no_quality_is_tried_that_changes_a_picture_by_much_more_or_less(before):
    centre = imitate._centre(noisy_photo(2))

    assert imitate._common_errors(centre, centre, before) == {}


@pytest.mark.parametrize("only_edges_differ", [True, False])
def test_a_blurred_copy_is_compared_without_its_edges_only_if_nothing_else_differs(
    only_edges_differ,
):
    picture = noisy_photo(2)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2)
    inner = picture[imitate.BLUR_REACH : -imitate.BLUR_REACH]

    found = list(imitate._filtered(picture, blurred, only_edges_differ))

    assert any(first.shape[0] == len(inner) for first, _ in found) == only_edges_differ
