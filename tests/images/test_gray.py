"""Gray pixels: luma in exact thousandths, and the eight EXIF orientations.

Pillow's ``ImageOps.exif_transpose`` is the oracle of the turns.
"""

import numpy as np
import pytest
from PIL import Image, ImageOps

from encoded import stored
from imgdup.images import gray as gray
from imgdup.images.gray import (
    GrayImage,
    WholePicture,
    fills_few_bits,
    luma,
    not_premultiplied,
    to_gray,
    upright,
)
from imgdup.images.opencv import in_orientation

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6)


def turned_by_pillow(pixels, orientation):
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_turns_as_pillow_does(orientation):
    assert np.array_equal(upright(PIXELS, orientation), turned_by_pillow(PIXELS, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_turns_colour_too(orientation):
    pixels = np.dstack([PIXELS, PIXELS + 50, PIXELS + 100])

    assert np.array_equal(upright(pixels, orientation), turned_by_pillow(pixels, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_a_file_stores_is_turned_upright(orientation):
    turned = upright(stored(PIXELS, orientation), orientation)

    assert np.array_equal(turned, PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_partial_blocks_are_followed_through_the_turn(orientation):
    full = np.arange(13 * 10).reshape(13, 10)  # stored so; blocks of 4 end with 1 row, 2 columns
    blocks = full[::4, ::4].astype(np.uint8)

    result = to_gray(blocks, full.shape, 4, orientation)

    assert (result.height, result.width) == upright(full, orientation).shape
    first_rows, first_columns = result.short_first
    shown_rows = upright(np.arange(13)[:, None].repeat(10, 1) == 12, orientation)
    shown_columns = upright(np.arange(10)[None].repeat(13, 0) >= 8, orientation)
    last_row, last_column = (
        (shown_rows, shown_columns)
        if orientation < 5
        else (
            shown_columns,
            shown_rows,
        )
    )
    assert first_rows == bool(last_row[0].all())
    assert first_columns == bool(last_column[:, 0].all())


def test_luma_is_the_weighted_sum_in_exact_thousandths():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)

    result = luma(rgb)

    thousandths = rgb.astype(np.int64) @ np.array([299, 587, 114])
    assert result.dtype == np.float32
    assert np.array_equal(result, (thousandths / 1000).astype(np.float32))


def test_luma_of_gray_is_that_gray():
    shades = np.arange(256, dtype=np.uint8)[None]

    assert np.array_equal(luma(np.dstack([shades] * 3)), shades)


def test_luma_by_bands_is_luma(monkeypatch):
    rgb = np.random.default_rng(0).integers(0, 256, (41, 50, 3), dtype=np.uint8)
    whole = luma(rgb)

    monkeypatch.setattr(gray, "ROWS_PIXELS", 120)

    assert np.array_equal(luma(rgb), whole)


def test_gray_pixels_are_not_changed():
    assert to_gray(PIXELS, (4, 6))._replace(pixels=None) == GrayImage(None, 4, 6)
    assert to_gray(PIXELS, (4, 6)).pixels.base is PIXELS.base


@pytest.mark.parametrize(
    ("mode", "upper", "few"),
    [
        ("RGB", (15, 15, 15), True),
        ("RGB", (15, 16, 15), False),
        ("RGBA", (15, 15, 15, 255), True),
        ("RGBA", (200, 15, 15, 15), True),  # alpha of 12 bits beside bright colours
        ("RGBA", (200, 15, 15, 16), False),
        ("RGBa", (255, 255, 255, 15), True),  # the colours were divided by alpha
        ("RGBa", (15, 15, 15, 255), False),
        ("CMYK", (15, 15, 15, 15), True),
        ("CMYK", (15, 15, 15, 16), False),
    ],
)
def test_upper_bytes_up_to_15_mean_12_bits_or_fewer(mode, upper, few):
    pixels = np.zeros((3, 4, len(upper)), np.uint8)
    pixels[1, 2] = upper

    assert fills_few_bits(mode, pixels) is few


def test_premultiplied_colours_are_divided_by_their_alpha():
    pixels = np.array([[[50, 100, 0, 100], [7, 7, 7, 0], [200, 255, 1, 255]]], np.uint8)

    assert not_premultiplied(pixels).tolist() == [
        [[128, 255, 0, 100], [255, 255, 255, 0], [200, 255, 1, 255]]
    ]


def test_each_colour_survives_being_multiplied_by_its_alpha():
    alpha = np.arange(128, 256)[:, None]
    colours = np.arange(256)[None, :]
    multiplied = (colours * alpha + 127) // 255
    pixels = np.stack([multiplied] * 3 + [np.broadcast_to(alpha, multiplied.shape)], axis=2)

    restored = not_premultiplied(pixels.astype(np.uint8))

    assert np.abs(restored[..., 0].astype(int) - colours).max() <= 1


def test_a_gray_whole_picture_is_shown_in_three_equal_channels_and_upright():
    pixels = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)

    shown = WholePicture(pixels, 6, False).rgb()

    assert shown.shape == (3, 2, 3)
    assert shown[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert shown.flags.c_contiguous


@pytest.mark.parametrize("shape", [(5, 7), (4, 9, 3), (1, 6, 3), (3, 1)], ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_copy_has_the_pixels_of_the_turned_view(orientation, shape):
    pixels = np.random.default_rng(shape).integers(0, 256, shape, np.uint8)

    found = in_orientation(pixels, orientation)

    np.testing.assert_array_equal(found, upright(pixels, orientation))
    assert found.flags.c_contiguous
