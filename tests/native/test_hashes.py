"""Hashes of the compiled library: the bits of the NumPy operators, at every level.

Pictures are of all small sizes, reduced and turned in all ways, and some large ones: smooth, as
photos are, or random.
"""

import numpy as np
import pytest

from imgdup.hashing import HASHERS, fingerprint
from imgdup.images.gray import GrayImage
from imgdup.native.hashes import KINDS, hash_pictures


def pixels_of(rng, shape, *, smooth):
    if not smooth:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]] / rng.uniform(5, 40)
    waves = np.sin(x + rng.uniform(0, 6)) * np.cos(y * rng.uniform(0.5, 2)) + rng.normal(
        0, 0.1, shape
    )
    return np.clip(127 + 90 * waves, 0, 255).astype(np.uint8)


def picture_of(rng, height, width):
    """A picture of that size: reduced, turned, float or not, as the dice say."""
    reduction = int(rng.choice([1, 2, 4, 8]))
    shape = (-(-height // reduction), -(-width // reduction))
    pixels = pixels_of(rng, shape, smooth=rng.integers(2))
    if rng.integers(2):
        pixels = (pixels + rng.random(shape, dtype=np.float32)).astype(np.float32)
    turned = rng.integers(3)
    if turned == 1:
        pixels = pixels.T.copy().T
    elif turned == 2:
        pixels = pixels[::-1, ::-1]
    short_first = (bool(rng.integers(2)), bool(rng.integers(2)))
    return GrayImage(pixels, height, width, reduction, short_first)


def assert_equal_to_operators(pictures):
    found = hash_pictures(pictures, KINDS)

    for name, bits in KINDS:
        expected = [HASHERS[name].compute(each, bits).tolist() for each in pictures]
        assert found.hashes[name, bits].tolist() == expected, (name, bits)
    assert found.qualities.tolist() == [fingerprint(each, "pdq", 256).quality for each in pictures]


@pytest.mark.parametrize("first_height", range(1, 301, 50))
def test_small_pictures_have_the_bits_of_the_operators(first_height):
    rng = np.random.default_rng(first_height)

    assert_equal_to_operators(
        [
            picture_of(rng, height, int(rng.integers(1, 301)))
            for height in range(first_height, first_height + 50)
        ]
    )


@pytest.mark.parametrize(
    "size", [(1, 70_000), (66_000, 70), (65_793, 9), (768, 769), (3000, 2001), (1, 1), (4, 5)]
)
def test_large_and_odd_pictures_have_the_bits_of_the_operators(size):
    rng = np.random.default_rng(size)

    assert_equal_to_operators([picture_of(rng, *size) for _ in range(3)])
