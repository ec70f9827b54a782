"""How strongly a WebP file was compressed, read off its bytes."""

import numpy as np
import pytest
from PIL import Image

from encoded import photo, save, scenery
from imgdup.images.facts import image_facts
from imgdup.images.webp import is_lossless_webp, webp_quality
from imgdup.system.limits import Limits


@pytest.mark.parametrize("quality", [1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100])
@pytest.mark.parametrize("method", [0, 4, 6])
def test_the_quality_is_that_of_the_writer(quality, method):
    data = save(photo(), "webp", quality=quality, method=method)

    assert webp_quality(data) == pytest.approx(quality, abs=4)


def test_noise_does_not_look_like_quality():
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)

    assert image_facts(save(noise, "webp", quality=10), Limits()).quality < 30
    assert image_facts(save(noise, "webp", lossless=True), Limits()).quality == 100


def test_the_quality_is_found_beside_transparency_and_in_frames():
    picture = Image.fromarray(scenery(40, 60))
    transparent = picture.convert("RGBA")
    transparent.putalpha(99)
    frames = [Image.fromarray(scenery(40, 60, seed)) for seed in (1, 2)]

    files = [
        save(transparent, "webp", quality=30),
        save(picture, "webp", quality=30, save_all=True, append_images=frames),
    ]

    assert [webp_quality(each) for each in files] == pytest.approx([30, 30], abs=10)
    assert [is_lossless_webp(each) for each in files] == [False, False]


def test_a_lossless_file_has_no_quality():
    data = save(photo(), "webp", lossless=True)

    assert is_lossless_webp(data)
    assert webp_quality(data) is None


def test_a_cut_or_changed_file_has_some_quality_or_none():
    data = save(photo(), "webp", quality=50)
    rng = np.random.default_rng(0)
    changed = [data[:20] + rng.integers(0, 256, 60, np.uint8).tobytes() for _ in range(100)]

    found = [webp_quality(each) for each in [*(data[:n] for n in range(60)), *changed]]

    assert all(each is None or 1 <= each <= 100 for each in found)
