"""Luma, colour and texture of pictures: equal to twins in NumPy, at every level."""

import cv2
import numpy as np
import pytest

from imgdup.native.colours import Smooth, chroma, coloured_share, is_smooth, luma_plane
from native_levels import assert_equal_at, by_level

SHAPES = pytest.mark.parametrize("shape", [(1, 1), (9, 14), (5, 64), (40, 33)], ids=str)


def pixels_of(shape, channels=3):
    return np.random.default_rng(shape).integers(0, 256, (*shape, channels), np.uint8)


@SHAPES
@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, ::-1], np.s_[::-1]], ids=str)
@by_level
def test_the_luma_is_that_of_opencv(level, shape, part):
    rgb = pixels_of(shape)[part]

    found = luma_plane(rgb)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., 0])
    np.testing.assert_array_equal(luma_plane(rgb[..., 1]), rgb[..., 1])
    assert_equal_at(level, lambda: [luma_plane(rgb)])


@SHAPES
@by_level
def test_the_chroma_is_that_of_opencv(level, shape):
    rgb = np.concatenate([pixels_of(shape), pixels_of(shape) // 255 * 255])

    found = chroma(rgb)

    expected = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    np.testing.assert_array_equal(found, np.moveaxis(expected[..., 1:], 2, 0))
    assert_equal_at(level, lambda: [chroma(rgb)])
    with pytest.raises(ValueError, match="expected RGB pixels"):
        chroma(rgb[..., 0])


@SHAPES
@by_level
def test_pixels_with_colour_are_counted(level, shape):
    rgb = pixels_of(shape) // 8 + 100

    found = coloured_share(rgb, 15)

    assert found == np.mean(np.ptp(rgb.astype(int), axis=2) > 15)
    assert coloured_share(rgb[..., 0], 15) == 0
    assert_equal_at(level, lambda: [np.array(coloured_share(rgb, 15))])


def textured_share(plane, side, textured):
    """The share of the blocks whose variance is larger; the last ones begin earlier."""
    height, width = plane.shape
    variances = [
        plane[top : top + side, left : left + side].astype(float).var()
        for top in (min(y, max(0, height - side)) for y in range(0, height, side))
        for left in (min(x, max(0, width - side)) for x in range(0, width, side))
    ]
    return np.mean(np.array(variances) > textured)


@SHAPES
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [3, 8])
@by_level
def test_a_smooth_picture_has_few_blocks_with_texture(level, shape, channels, side):
    pixels = pixels_of(shape, channels)
    pixels[:, : shape[1] // 2] //= 16
    plane = pixels[..., channels // 2]
    pixels = pixels if channels == 3 else pixels[..., 0]
    share = textured_share(plane[::2, ::2], side, 200.5)

    def found(least):
        return is_smooth(pixels, Smooth(side=side, textured=200.5, share=least))

    assert [found(share), found(share + 1e-6)] == [False, True]
    assert_equal_at(level, lambda: [np.array([found(share), found(share + 1e-6)])])


def test_pictures_of_other_kinds_are_refused():
    rules, picture = Smooth(side=8, textured=25.0, share=0.5), pixels_of((4, 5))

    for pixels in (picture.astype(np.float32), picture[:0], picture[..., :2], picture[0, 0]):
        for call in (luma_plane, lambda x: coloured_share(x, 6), lambda x: is_smooth(x, rules)):
            with pytest.raises(ValueError, match="expected RGB or gray pixels"):
                call(pixels)
    with pytest.raises(ValueError, match="1 to 16 pixels a side"):
        is_smooth(picture, Smooth(side=17, textured=25.0, share=0.5))
