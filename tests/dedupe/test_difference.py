"""compare_pictures on painted pictures: one test for each relation, and hostile sizes."""

import cv2
import numpy as np
import pytest

from imgdup.dedupe.difference import compare_pictures


@pytest.fixture(scope="module")
def scene():
    """A picture with texture, edges and colours; RGB, 240 x 320."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    picture += 25 * cv2.GaussianBlur(rng.standard_normal((240, 320, 1)), (0, 0), 1.5)[..., None] * 3
    for x, y in rng.integers(20, 220, (12, 2)):
        cv2.circle(picture, (int(x), int(y)), 9, rng.integers(0, 256, 3).tolist(), -1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def jpeg(pixels, quality=80):
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def levels(pixels, function):
    curve = np.clip(function(np.arange(256.0)), 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, curve)


COPIES = {
    "equal": lambda p: p.copy(),
    "recompressed": lambda p: jpeg(p, 30),
    "half the size": lambda p: jpeg(
        cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    ),
    "brighter": lambda p: levels(p, lambda x: x + 30),
    "less contrast": lambda p: levels(p, lambda x: 0.7 * x + 38),
    "gamma": lambda p: levels(p, lambda x: 255 * (x / 255) ** 1.4),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
    "gray": lambda p: cv2.cvtColor(p, cv2.COLOR_RGB2GRAY),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_shows_the_same_picture(scene, copy):
    assert compare_pictures(scene, copy(scene)) == ("same-picture", 0.0, None)


def test_a_changed_region_is_found_and_lies_in_the_box(scene):
    edited = scene.copy()
    cv2.putText(edited, "17", (200, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)

    verdict = compare_pictures(scene, jpeg(edited))

    x, y, width, height = verdict.box
    assert verdict.relation == "edited"
    assert verdict.peak > 20
    assert x <= 1000 * 210 / 320 <= x + width
    assert y <= 1000 * 172 / 240 <= y + height
    assert width < 250 and height < 250


def test_other_colours_are_recoloured(scene):
    swapped = np.ascontiguousarray(scene[..., ::-1])

    assert compare_pictures(scene, swapped).relation == "recoloured"


def test_a_crop_lies_in_the_box(scene):
    verdict = compare_pictures(scene, jpeg(scene[24:216, 32:288]))

    assert verdict.relation == "cropped"
    np.testing.assert_allclose(verdict.box, (100, 100, 800, 800), atol=6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_is_found_when_orientations_are_tried(scene, turns):
    turned = jpeg(np.rot90(scene, turns))

    assert compare_pictures(scene, turned, orientations=True).relation == "turned"
    assert compare_pictures(scene, turned).relation == "different"


def test_another_picture_is_different(scene):
    other = np.random.default_rng(8).integers(0, 256, (12, 16, 3)).astype(np.uint8)

    assert compare_pictures(scene, cv2.resize(other, (320, 240))).relation == "different"


SHAPES = [(1, 1), (1, 50), (50, 1), (7, 9), (8, 8), (33, 9)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("other", SHAPES, ids=str)
def test_tiny_pictures_get_a_verdict(shape, other):
    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 256, each).astype(np.uint8) for each in (shape, other))

    verdict = compare_pictures(first, second, orientations=True)

    assert verdict.relation == ("same-picture" if np.array_equal(first, second) else "different")
