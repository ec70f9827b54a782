"""Edited copies of a painted picture: each is what its name says."""

import numpy as np
import pytest

from imgdup.images.decode import decode_rgb
from imgdup.images.edits import EDITS
from imgdup.images.formats import SNIFF_BYTES, sniff
from imgdup.system.limits import Limits
from patchworks import patchwork

PICTURE = patchwork(1, 200, 120)


def copy(name, picture=PICTURE):
    return decode_rgb(EDITS[name](picture), Limits(), 4096).astype(float)


def difference(name, expected):
    return np.abs(copy(name) - expected).mean()


@pytest.mark.parametrize("name", EDITS)
def test_a_copy_is_the_same_each_time_and_differs_from_the_picture(name):
    before = PICTURE.copy()

    data = EDITS[name](PICTURE)

    assert data == EDITS[name](PICTURE)
    assert np.array_equal(PICTURE, before)
    assert sniff(data[:SNIFF_BYTES]) == ("webp" if name == "WebP" else "jpeg")
    pixels = decode_rgb(data, Limits(), 4096)
    assert pixels.shape != PICTURE.shape or not np.array_equal(pixels, PICTURE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5)])
@pytest.mark.parametrize("name", EDITS)
def test_tiny_pictures_have_copies_too(name, shape):
    picture = np.full((*shape, 3), 77, np.uint8)

    assert min(copy(name, picture).shape) >= 1


def test_lower_quality_moves_the_pixels_further():
    moved = [difference(f"JPEG quality {quality}", PICTURE) for quality in (80, 50, 20, 10)]

    assert moved == sorted(moved)
    assert moved[0] < 6


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resized to 200 %", (240, 400)),
        ("resized to 50 %", (60, 100)),
        ("resized to 25 %", (30, 50)),
        ("128 pixels", (77, 128)),
        ("cropped by 2 %", (118, 196)),
        ("cropped by 5 %", (114, 190)),
        ("border", (128, 212)),
        ("letterbox", (156, 200)),
        ("rotated by 90 degrees", (200, 120)),
        ("mirrored", (120, 200)),
        ("logo", (120, 200)),
    ],
)
def test_copies_have_the_size_that_their_name_describes(name, size):
    assert copy(name).shape[:2] == size


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("brighter", lambda p: p + 30),
        ("darker", lambda p: p * 0.7),
        ("less contrast", lambda p: 0.7 * (p - 128) + 128),
        ("gamma 1.5", lambda p: 255 * (p / 255) ** 1.5),
        ("colour filter", lambda p: p * [1.15, 1, 0.8]),
        ("mirrored", lambda p: p[:, ::-1]),
        ("rotated by 180 degrees", lambda p: p[::-1, ::-1]),
        ("rotated by 90 degrees", lambda p: p.transpose(1, 0, 2)[:, ::-1]),
        ("cropped by 5 %", lambda p: p[3:117, 5:195]),
        ("gray", lambda p: np.repeat((p @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)),
    ],
)
def test_copies_have_the_pixels_that_their_name_describes(name, change):
    expected = np.clip(change(PICTURE.astype(float)), 0, 255)

    assert difference(name, expected) < difference("JPEG quality 80", PICTURE) + 3


def test_logo_and_text_change_a_small_region_only():
    for name in ("logo", "text"):
        changed = np.abs(copy(name) - PICTURE).max(axis=2) > 60
        assert 0.002 < changed.mean() < 0.2
