"""Curves between the levels of two pictures: those of programs, and those that move one object."""

from functools import partial

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

    found = equal_colours(first, second)

    off = np.abs(found.first.astype(int) - found.second)
    assert found.is_mapped and not found.may_hide_change
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


def low_contrast_scene(seed):
    """A picture of soft patches whose tones fill half of all."""
    return (70 + 0.5 * bright_scene(seed)).round().astype(np.uint8)


def before(level, brightness, seed):
    """Some dark, grained patches before a background of one level."""
    inside = np.zeros((240, 320, 1))
    inside[60:180, 80:240] = 1
    inside = cv2.GaussianBlur(inside, (0, 0), 1)[..., np.newaxis]
    picture = inside * brightness * bright_scene(seed) + (1 - inside) * level
    return picture.round().astype(np.uint8)


FEW_TONES = {
    "darker": (low_contrast_scene, lambda x: 0.7 * x),
    "brighter": (low_contrast_scene, lambda x: 1.2 * x),
    "more contrast": (partial(before, 255, 0.4), lambda x: 1.3 * (x - 128) + 128),
    "gamma": (partial(before, 255, 0.4), lambda x: 255 * (x / 255) ** 0.7),
    "darker, background included": (partial(before, 8, 0.6), lambda x: 0.7 * x),
}


@pytest.mark.parametrize(("paint", "curve"), FEW_TONES.values(), ids=FEW_TONES)
def test_few_tones_hide_no_object_if_one_number_explains_all_of_them(paint, curve):
    first = paint(3)
    second = jpeg(with_levels(first, curve), 97)

    assert not equal_colours(first, second).may_hide_change
    assert compare_pictures(first, second).relation == "same-picture"


def jpeg(pixels, quality):
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def sphere(level):
    """A ball with light and shade before white: it has as many tones as a photo."""
    y, x = np.mgrid[:240, :320]
    right, down = (x - 160) / 90, (y - 120) / 90
    front = np.sqrt(np.clip(1 - right**2 - down**2, 0, 1))
    light = np.clip(0.77 * front - 0.4 * right - 0.5 * down, 0, 1)
    inside = cv2.GaussianBlur((front > 0).astype(np.float64), (0, 0), 0.7)
    picture = inside * level * (0.3 + 0.7 * light) + (1 - inside) * 255
    return np.repeat(picture.round().astype(np.uint8)[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize("quality", [95, 75, 50])
@pytest.mark.parametrize("other", [150, 200, 225])
def test_a_ball_of_another_gray_is_no_copy_because_its_edges_are_not_cut_off(other, quality):
    verdict = compare_pictures(sphere(175), jpeg(sphere(other), quality))

    assert verdict.relation in ("recoloured", "edited")


def test_a_stain_on_a_page_is_found_although_the_copy_is_lighter():
    page = np.full((300, 400, 3), (232, 242, 246), np.uint8)
    for row in range(30, 290, 30):
        cv2.putText(page, "a page of print", (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (45, 45, 50))
    stained = page.copy()
    cv2.circle(stained, (300, 160), 30, (212, 224, 230), -1)

    verdict = compare_pictures(page, jpeg(with_levels(stained, FEW_TONES["gamma"][1]), 90))

    assert verdict.relation in ("recoloured", "edited")
