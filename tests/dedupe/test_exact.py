"""What was changed on purpose in pictures that are otherwise equal pixel for pixel."""

import cv2
import numpy as np
import pytest

from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.exact import changed_detail, colour_was_changed


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def shirt(colour):
    """A drawing of flat colours on white, with a black outline."""
    picture = np.full((400, 400, 3), 255, np.uint8)
    corners = np.array([[60, 90], [340, 90], [300, 180], [290, 360], [110, 360], [100, 180]])
    cv2.fillPoly(picture, [corners], colour)
    cv2.polylines(picture, [corners], True, (0, 0, 0), 1)
    return picture


def scene(rng):
    """A textured background with a flat, slightly shaded object."""
    rough = rng.integers(40, 200, (40, 60, 3)).astype(np.uint8)
    picture = cv2.resize(rough, (480, 320), interpolation=cv2.INTER_CUBIC)
    picture[120:220, 180:300] = (150, 120, 90)
    picture[120:220, 180:300] += np.arange(0, 20, 20 / 120).astype(np.uint8)[None, :, None]
    return picture


def jpeg(pixels, quality):
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize("other", [(127, 56, 190), (123, 56, 194), (120, 60, 190)])
def test_a_drawing_in_another_tint_is_recoloured_however_near_the_tint(other):
    first, second = shirt((123, 56, 190)), shirt(other)

    assert colour_was_changed(first, second)
    assert compare_pictures(first, second).relation == "recoloured"


def test_an_object_in_another_tint_before_a_background_that_is_equal_is_found(rng):
    first = scene(rng)
    second = first.copy()
    second[120:220, 180:300, 0] -= 5

    assert colour_was_changed(first, second)
    assert compare_pictures(first, second).relation == "recoloured"


def pill(rng, letters):
    """A pill with faint letters before a background with noise."""
    picture = np.full((300, 450, 3), 180, np.uint8)
    picture += rng.integers(0, 7, picture.shape[:2])[:, :, None].astype(np.uint8)
    cv2.ellipse(picture, (225, 150), (90, 45), 0, 0, 360, (225, 240, 245), -1)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, letters, (190, 162), font, 1, (200, 213, 217), 2, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("letters", ["L50", "D80", "D2"])
def test_other_letters_before_a_background_that_is_equal_are_found(letters):
    first, second = (pill(np.random.default_rng(5), each) for each in ("D20", letters))

    rows, columns = np.nonzero((first != second).any(axis=2))
    box = columns.min() / 450, rows.min() / 300, (columns.max() + 1) / 450, (rows.max() + 1) / 300
    peak = np.abs(first.astype(int) - second).max()
    assert changed_detail(first, second) == (peak, pytest.approx(box))
    assert changed_detail(first[:, :, 0], second[:, :, 0]) is not None
    assert compare_pictures(first, second).relation in ("edited", "recoloured")


def half(pixels):
    return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


SAVED = {
    "JPEG 95": lambda p: jpeg(p, 95),
    "JPEG 75": lambda p: jpeg(p, 75),
    "JPEG 20": lambda p: jpeg(p, 20),
    "half the size": half,
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 1),
}


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize("letters", ["L50", "D80"])
def test_other_faint_letters_are_no_copy_and_no_turned_one_however_saved(letters, save):
    first, second = (pill(np.random.default_rng(5), each) for each in ("D20", letters))

    for pair in ((first, save(second)), (save(second), first)):
        assert compare_pictures(*pair).relation not in ("same-picture", "turned")


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_the_same_faint_letters_are_the_same_picture_however_saved(save):
    picture = pill(np.random.default_rng(5), "D20")

    assert compare_pictures(picture, save(picture)).relation == "same-picture"


@pytest.mark.parametrize("quality", [100, 98, 90, 50, 10])
def test_compression_changes_nothing_on_purpose(rng, quality):
    for first in (shirt((123, 56, 190)), scene(rng), jpeg(scene(rng), quality), pill(rng, "D20")):
        assert not colour_was_changed(first, jpeg(first, quality))
        assert changed_detail(first, jpeg(first, quality)) is None


@pytest.mark.parametrize("change", [-30, -4, 4, 30])
def test_brightness_changes_no_colour_on_purpose(rng, change):
    for first in (shirt((123, 56, 190)), scene(rng)):
        second = np.clip(first.astype(int) + change, 0, 255).astype(np.uint8)

        assert not colour_was_changed(first, second)


def test_a_reduced_palette_changes_no_colour_on_purpose(rng):
    first = scene(rng)
    second = first // 16 * 16 + 8

    assert not colour_was_changed(first, second)


def test_noise_in_half_of_the_pixels_changes_no_colour_on_purpose(rng):
    first = scene(rng)
    noise = rng.integers(-9, 10, first.shape) * (rng.random(first.shape[:2]) < 0.5)[:, :, None]

    second = np.clip(first + noise, 0, 255).astype(np.uint8)

    assert not colour_was_changed(first, second)
    assert changed_detail(first, second) is None


@pytest.mark.parametrize("shapes", [((8, 8, 3), (8, 9, 3)), ((8, 8), (8, 8)), ((8, 8), (8, 8, 3))])
def test_pictures_of_unequal_shape_or_without_colour_are_not_compared(shapes):
    first, second = (
        np.full(shape, value, np.uint8) for shape, value in zip(shapes, (1, 9), strict=True)
    )

    assert not colour_was_changed(first, second)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize(
    ("share", "changed"), [(1.0, True), (0.9, True), (0.7, False), (0.5, False)]
)
def test_a_colour_is_changed_only_if_nearly_all_pixels_change_in_one_direction(
    rng, channel, share, changed
):
    first = scene(rng)
    first[120:220, 180:300] = (150, 120, 90)
    second = first.copy()
    area = second[120:220, 180:300, channel]
    goes_up = rng.permutation(area.size).reshape(area.shape) < share * area.size
    area += np.where(goes_up, 6, -6).astype(np.int8).view(np.uint8)

    assert colour_was_changed(first, second) == changed
    assert colour_was_changed(second, first) == changed


@pytest.mark.parametrize(("levels", "changed"), [(1, False), (2, True), (9, True)])
def test_a_change_of_colour_has_at_least_two_levels(rng, levels, changed):
    first = scene(rng)
    second = first.copy()
    second[120:220, 180:300, 0] -= levels

    assert colour_was_changed(first, second) == changed


def test_few_pixels_are_no_change_of_colour(rng):
    first = scene(rng)
    for side, changed in ((7, False), (16, True)):
        second = first.copy()
        second[120 : 120 + side, 180 : 180 + side, 0] -= 9

        assert colour_was_changed(first, second) == changed


def test_pictures_of_different_shapes_and_gray_ones_have_no_changed_colour(rng):
    first = scene(rng)

    assert not colour_was_changed(first, first[:-1])
    assert not colour_was_changed(first[..., 0], first[..., 0] + 5)
    assert not colour_was_changed(first, first.copy())
