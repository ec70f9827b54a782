"""Spectra of two copies of a picture: which was enlarged, which reduced.

Oracle of the spectrum: the discrete Fourier sum of each line, written down cycle by cycle.
"""

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from encoded import save, scenery
from imgdup.images.decode import decode_rgb
from imgdup.images.spectra import BANDS, N_LINES, OCTAVES, change_of_size, spectrum
from imgdup.system.limits import Limits

METHODS = [Image.Resampling[name] for name in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING")]
PICTURE = Image.fromarray(scenery(240, 320))
SMOOTH = METHODS[:3]


def resized(image, factor, method=Image.Resampling.BICUBIC):
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


def through(image, name, quality):
    return Image.fromarray(decode_rgb(save(image, name, quality=quality), Limits(), 1024))


def change(first, second, quality=100):
    """What the spectra of two images show, the larger one first."""
    pixels = [np.asarray(each) for each in (first, second)]
    factor = math.sqrt(pixels[0][..., 0].size / pixels[1][..., 0].size)
    return change_of_size(*map(spectrum, pixels), factor, quality)


@pytest.mark.parametrize("factor", [1.1, 1.25, 1.5, 2, 3])
@pytest.mark.parametrize("method", SMOOTH)
@pytest.mark.parametrize("quality", [100, 90, 60])
def test_an_enlarged_copy_is_found(factor, method, quality):
    copy = resized(PICTURE, factor, method)

    assert change(copy if quality == 100 else through(copy, "jpeg", quality), PICTURE) == "enlarged"


@pytest.mark.parametrize("factor", [0.9, 0.7, 0.5, 0.3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quality", [100, 90, 60])
def test_the_original_of_a_reduced_copy_is_not_enlarged(factor, method, quality):
    copy = resized(PICTURE, factor, method)

    assert change(PICTURE, copy if quality == 100 else through(copy, "jpeg", quality)) == "reduced"


@pytest.mark.parametrize("quality", [95, 60])
def test_a_poor_original_does_not_look_like_an_enlarged_copy(quality):
    original = through(PICTURE, "jpeg", quality)

    assert change(original, resized(original, 0.5), quality) == "reduced"
    assert change(resized(original, 1.5), original, quality) == "enlarged"


def test_a_soft_original_is_not_taken_for_an_enlarged_copy():
    soft = through(PICTURE.filter(ImageFilter.GaussianBlur(1)), "jpeg", 95)

    assert change(soft, resized(soft, 0.5), 95) == "reduced"


def test_of_a_very_soft_picture_nothing_is_known():
    soft = PICTURE.filter(ImageFilter.GaussianBlur(3))

    assert change(resized(soft, 2), soft, 90) is None
    assert change(soft, resized(soft, 0.5), 90) is None


@pytest.mark.parametrize("factor", [0.5, 0.3])
def test_a_copy_reduced_without_smoothing_is_not_taken_for_the_original(factor):
    assert change(PICTURE, resized(PICTURE, factor, Image.Resampling.NEAREST)) != "enlarged"


@pytest.mark.parametrize("brightness", [0.7, 1.3])
def test_brightness_changes_nothing(brightness):
    enlarged, half = resized(PICTURE, 1.5), resized(PICTURE, 0.5)
    larger, original, smaller = (
        ImageEnhance.Brightness(each).enhance(brightness) for each in (enlarged, PICTURE, half)
    )

    assert change(larger, PICTURE) == change(enlarged, original) == "enlarged"
    assert change(PICTURE, smaller) == change(original, half) == "reduced"


def test_a_gray_copy_is_compared_like_one_in_colour():
    half = resized(PICTURE, 0.5).convert("L")

    assert change_of_size(spectrum(np.asarray(PICTURE)), spectrum(np.asarray(half)), 2, 100) == (
        "reduced"
    )


@pytest.mark.parametrize("factor", [1.0, 1.04, 8.1])
def test_sizes_that_are_too_near_or_too_far_show_nothing(factor):
    found = spectrum(np.asarray(PICTURE))

    assert change_of_size(found, found, factor, 100) is None


@pytest.mark.parametrize("size", [(1, 1), (31, 500), (500, 31)])
def test_a_tiny_picture_has_no_spectrum(size):
    assert spectrum(np.full(size, 77, np.uint8)) == ()
    assert change_of_size(spectrum(np.asarray(PICTURE)), (), 2, 100) is None


def test_a_flat_picture_has_no_power_and_shows_nothing():
    flat = np.full((64, 80, 3), 200, np.uint8)

    assert spectrum(flat) == (-300,) * (BANDS * OCTAVES)
    assert change_of_size(spectrum(flat), spectrum(flat[::2, ::2]), 2, 100) is None


def test_the_spectrum_is_the_mean_of_fourier_sums_of_some_lines():
    gray = scenery(48, 65)[..., 1]

    found = spectrum(gray)

    expected = slow_powers(gray.tolist())
    assert [power / 100 for power in found] == pytest.approx(
        [math.log10(power + 1e-3) for power in expected], abs=0.006
    )


def slow_powers(gray):
    """The mean power in each band of evenly spread rows and columns, cycle by cycle."""
    length = min(len(gray), len(gray[0]))
    lines = middles(gray, length) + middles(
        [list(each) for each in zip(*gray, strict=True)], length
    )
    window = [0.5 - 0.5 * math.cos(2 * math.pi * (x + 1) / (length + 1)) for x in range(length)]
    norm = sum(weight**2 for weight in window)
    powers = [0.0] * (length // 2 + 1)
    for line in lines:
        mean = sum(line) / length
        for cycles in range(len(powers)):
            total = sum(
                weight * (level - mean) * cmath.exp(-2j * math.pi * cycles * x / length)
                for x, (weight, level) in enumerate(zip(window, line, strict=True))
            )
            powers[cycles] += abs(total) ** 2 / norm / len(lines)
    bounds = [
        min(length / 2 * 2 ** (-band / BANDS) + 0.5, len(powers))
        for band in range(BANDS * OCTAVES + 1)
    ]
    return [
        sum(
            power * max(0.0, min(high, cycles + 1) - max(low, cycles))
            for cycles, power in enumerate(powers)
        )
        / (high - low)
        for high, low in pairwise(bounds)
    ]


def middles(rows, length):
    """The middle pixels of evenly spread rows."""
    start = (len(rows[0]) - length) // 2
    chosen = [rows[int((number + 0.5) * len(rows) / N_LINES)] for number in range(N_LINES)]
    return [row[start : start + length] for row in chosen]
