"""Curves between the levels of two pictures: those of programs, and those that move one object."""

import cv2
import numpy as np
import pytest

from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.tones import equal_colours


def bright_scene(seed):
    """A picture of soft patches, most of which are bright: a third of it is cut off if brighter."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(20, 250, (9, 12, 3)).astype(np.float32)
    soft = cv2.resize(patches, (320, 240), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 20, (240, 320, 1)), (0, 0), 1)[..., np.newaxis]
    return np.clip(soft + 40 + grain, 0, 255).round().astype(np.uint8)


def with_levels(pixels, curve):
    return np.clip(curve(np.arange(256.0)), 0, 255).round().astype(np.uint8)[pixels]


CURVES = {
    "a factor": lambda x: 1.3 * x,
    "an offset": lambda x: x + 40,
    "contrast": lambda x: 1.3 * (x - 128) + 128,
    "gamma": lambda x: 255 * (x / 255) ** 0.7,
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_plain_curve_is_found_though_many_levels_are_cut_off(seed, curve):
    first = bright_scene(seed)
    second = with_levels(first, curve)

    mapped, goal, tones = equal_colours(first, second)

    off = np.abs(mapped.astype(int) - goal)
    assert tones == (True, False)
    assert np.quantile(off, 0.99) <= 4
    assert compare_pictures(first, second).relation == "same-picture"


def gray_object(level, height=240, width=320):
    """A shaded object of one gray before white."""
    y, x = np.mgrid[:height, :width]
    shade = level * (0.8 + 0.3 * np.sin(y / 40) + 0.1 * np.cos(x / 25))
    picture = np.full((height, width), 255.0)
    picture[50:190, 80:240] = np.clip(shade, 0, 255)[50:190, 80:240]
    return np.repeat(picture.round().astype(np.uint8)[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize("quality", [95, 60, 20])
@pytest.mark.parametrize("other", [96, 150])
def test_an_object_of_another_gray_before_white_is_no_copy(other, quality):
    _, data = cv2.imencode(".jpg", gray_object(other), [cv2.IMWRITE_JPEG_QUALITY, quality])

    verdict = compare_pictures(gray_object(120), cv2.imdecode(data, cv2.IMREAD_COLOR))

    assert verdict.relation in ("recoloured", "edited")
