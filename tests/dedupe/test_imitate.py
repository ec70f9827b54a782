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


def test_two_copies_of_about_one_quality_are_not_imitated(monkeypatch):
    monkeypatch.setattr(imitate, "through_jpeg", pytest.fail)
    monkeypatch.setattr(imitate, "strong_quality", {8: 8, 17: 17}.get)

    assert list(imitate._imitations(8, 17, may_be_sharpened=False)) == []


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
    monkeypatch.setattr(imitate, "_inner", lambda pixels: pixels)

    assert list(imitate._imitations("first", "second", may_be_sharpened=True)) == expected


def test_a_sharpened_copy_whose_outermost_pixels_were_left_as_they_are_is_explained():
    original = noisy_photo(3)
    sharper = imitate.filtered(original, Filter(-0.9, 0.0))
    copy = original.copy()
    copy[1:-1, 1:-1] = sharper[1:-1, 1:-1]

    pairs = list(imitate._imitations(original, copy, may_be_sharpened=True))

    assert [np.abs(a.astype(int) - b).max() <= 2 for a, b in pairs] == [True]


@pytest.mark.parametrize("shape", [(300, 500), (300, 500, 3), (90, 40, 3), (256, 256)])
def test_the_sharpness_is_measured_at_the_centre(monkeypatch, shape):
    monkeypatch.setattr(imitate, "plane_of", lambda plane, level: plane)
    pixels = np.zeros(shape, np.uint8)
    height, width = (min(side, 256) for side in shape[:2])
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    pixels[top : top + height, left : left + width] = 200

    centre = imitate._central_luma(pixels)

    assert centre.shape == (height, width)
    assert (centre == 200).all()
