"""Hashes of the compiled library: the bits of two twins, at every level of the processor.

``oracles_operators`` does in NumPy what ``hash.c`` does, on pictures of all small sizes, reduced
and turned in all ways, and some large ones. That the twin is right, too, ``test_hashers`` shows by
one in exact fractions.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.images.decode import decode
from imgdup.images.gray import GrayImage
from imgdup.native import LEVELS, best_level
from imgdup.native.hashes import KINDS, MATCH, TRIMMED, hash_pictures
from imgdup.system.limits import Limits
from oracles_operators import OPERATORS, quality
from real_pictures import DATA, needs_data


def pixels_of(rng, shape):
    """Random pixels, or smooth ones as those of a photo."""
    if rng.integers(2):
        return rng.integers(0, 256, shape, dtype=np.uint8)
    y, x = np.ogrid[: shape[0], : shape[1]]
    period, turn = rng.uniform(5, 40), rng.uniform(0, 6)
    waves = np.sin(x / period + turn) * np.cos(y / period * rng.uniform(0.5, 2))
    return np.clip(127 + 90 * waves + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)


def picture_of(rng, height, width):
    """A picture of that size: reduced, turned, in float32 or not, as the dice say."""
    reduction = int(rng.choice([1, 2, 4, 8]))
    shape = (-(-height // reduction), -(-width // reduction))
    turned = rng.integers(3)
    pixels = pixels_of(rng, shape[::-1] if turned == 1 else shape)
    if rng.integers(2):
        pixels = (pixels / np.float32(255.5) * np.float32(255)).astype(np.float32)
    if turned == 1:
        pixels = pixels.T
    elif turned == 2:
        pixels = pixels[::-1, ::-1]
    short_first = (bool(rng.integers(2)), bool(rng.integers(2)))
    return GrayImage(pixels, height, width, reduction, short_first)


def assert_equal_to_operators(pictures):
    found = hash_pictures(pictures, KINDS)

    assert tuple(OPERATORS) == KINDS
    for kind, operator in OPERATORS.items():
        expected = [operator(each).tolist() for each in pictures]
        assert found.hashes[kind].tolist() == expected, kind
    assert found.qualities.tolist() == [quality(each) for each in pictures]


@pytest.mark.parametrize("first_height", range(1, 301, 50))
def test_small_pictures_have_the_bits_of_the_operators(first_height):
    rng = np.random.default_rng(first_height)
    heights = range(first_height, first_height + 50)

    assert_equal_to_operators([picture_of(rng, h, int(rng.integers(1, 301))) for h in heights])


@pytest.mark.parametrize(
    "size",
    [(1, 1), (4, 5), (1, 70_000), (66_000, 70), (65_793, 9), (65_794, 9), (768, 769), (3000, 2001)],
)
def test_large_and_odd_pictures_have_the_bits_of_the_operators(size):
    rng = np.random.default_rng(size)

    assert_equal_to_operators([picture_of(rng, *size) for _ in range(3)])


def framed(rng, picture):
    """The picture with borders of some width on some sides, each of its own level and noise."""
    pixels = picture.pixels.copy()
    for axis in (0, 1):
        n = pixels.shape[axis]
        for side in (slice(0, n // int(rng.integers(3, 60))), slice(n - n // 9, n)):
            border = np.moveaxis(pixels, axis, 0)[side]
            if rng.integers(4) == 0:
                border[:] = rng.integers(255) + rng.integers(0, 10, border.shape)
    return picture._replace(pixels=pixels)


def test_what_borders_enclose_has_the_bits_of_the_operators():
    rng = np.random.default_rng(12)
    sizes = rng.integers(90, 500, (60, 2)).tolist()
    pictures = [framed(rng, picture_of(rng, *size)) for size in sizes]

    assert_equal_to_operators(pictures)
    found = hash_pictures(pictures, [MATCH, TRIMMED]).hashes[TRIMMED].any(axis=1)
    assert 10 < found.sum() < 50  # both with and without


def test_a_border_does_not_change_the_hash_of_what_it_encloses():
    rng = np.random.default_rng(4)
    photo = pixels_of(rng, (180, 240))
    photo[0, ::2] = 255 - photo[0, ::2]  # its own edge varies
    pictures = [photo, np.pad(photo, ((30, 30), (0, 0))), np.pad(photo, 12, constant_values=255)]

    found = hash_pictures([GrayImage(p, *p.shape) for p in pictures], [MATCH, TRIMMED]).hashes

    whole, trimmed = found[MATCH].tolist(), found[TRIMMED].tolist()
    assert trimmed == [[0] * 4, whole[0], whole[0]]


def test_long_edges_of_black_and_white_are_no_borders():
    """The differences of 516 levels from their mean need more than 16 bits."""
    photo = pixels_of(np.random.default_rng(5), (516, 530))
    for edge in (photo[0], photo[-1], photo[:, 0], photo[:, -1]):
        edge[:] = np.arange(len(edge)) % 2 * 255

    found = hash_pictures([GrayImage(photo, *photo.shape)], [MATCH, TRIMMED])

    assert found.qualities[0] > 50
    assert not found.hashes[TRIMMED].any()


def test_a_picture_that_is_narrower_than_what_is_compared_at_once_has_borders():
    photo = np.random.default_rng(6).integers(0, 256, (80, 17), dtype=np.uint8)
    pictures = [np.pad(photo, ((0, 0), (left, 3)), constant_values=9) for left in range(9)]

    assert_equal_to_operators([GrayImage(p[:, n:], 80, 20) for n, p in enumerate(pictures)])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != TRIMMED])
def test_a_hash_is_the_same_whatever_is_asked_for_with_it(kind):
    rng = np.random.default_rng(8)
    sizes = [*rng.integers(1, 700, (20, 2)).tolist(), (8_224, 9), (8_225, 9)]
    pictures = [picture_of(rng, *size) for size in sizes]

    alone = hash_pictures(pictures, [kind]).hashes[kind]

    assert alone.tolist() == hash_pictures(pictures, KINDS).hashes[kind].tolist()


def test_what_a_border_encloses_is_hashed_only_with_the_whole():
    with pytest.raises(ValueError, match="together with the match hash"):
        hash_pictures([], [TRIMMED])


@needs_data
def test_photos_have_the_bits_of_the_operators():
    paths = sorted((Path(DATA) / "caltech-101").rglob("*.jpg"))[::60]

    assert_equal_to_operators([decode(path.read_bytes(), Limits()).gray for path in paths])


def hashes_of_painted_pictures():
    """All hashes and qualities of some pictures, as text."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 900, (60, 2))
    found = hash_pictures([picture_of(rng, int(h), int(w)) for h, w in sizes], KINDS)
    lines = [array.tobytes().hex() for array in found.hashes.values()]
    return "\n".join([*lines, found.qualities.tobytes().hex()])


@pytest.mark.skipif(best_level() not in LEVELS, reason="this processor has one level")
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_gives_the_same_hashes(level):
    if LEVELS.index(level) > LEVELS.index(best_level()):
        pytest.skip(f"this processor has no {level}")
    script = "import test_hashes; print(test_hashes.hashes_of_painted_pictures())"

    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "IMGDUP_NATIVE": level, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )

    assert result.stdout.strip() == hashes_of_painted_pictures(), result.stderr


def test_unused_pixels_between_rows_are_not_read():
    rng = np.random.default_rng(3)
    wide = rng.integers(0, 256, (90, 200), dtype=np.uint8)
    part = wide[::2, 7:127]

    found = hash_pictures([GrayImage(part, 45, 120)], KINDS)

    alone = hash_pictures([GrayImage(part.copy(), 45, 120)], KINDS)
    assert [h.tolist() for h in found.hashes.values()] == [
        h.tolist() for h in alone.hashes.values()
    ]


def test_only_what_is_asked_for_is_given():
    picture = GrayImage(np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8), 64, 64)

    found = hash_pictures([picture], [("ahash", 64)])

    assert list(found.hashes) == [("ahash", 64)]
    assert found.qualities.tolist() == [0]


def test_no_pictures_have_no_hashes():
    found = hash_pictures([], KINDS)

    assert [found.hashes[kind].shape for kind in KINDS] == [(0, bits // 64) for _, bits in KINDS]
    assert found.qualities.shape == (0,)


def test_an_unknown_hash_is_refused():
    with pytest.raises(ValueError, match="expected a hash and its bits from"):
        hash_pictures([], [("dhash", 128)])


DTYPES = st.sampled_from(["u1", "f4", "i1", "u2", "f8", "f2", ">f4", "?", "c8", "O"])
SIDES = st.integers(-1, 70) | st.sampled_from([1 << 31, (1 << 31) + 1, 1 << 63])


@st.composite
def views(draw):
    """Arrays of any dtype, shape and strides, zero sizes and unaligned ones among them."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=70))
    array = np.zeros(shape, dtype=draw(DTYPES))
    if array.ndim == 2 and draw(st.booleans()):
        array = array[:: draw(st.sampled_from([-2, -1, 2])), :: draw(st.sampled_from([-1, 1, 3]))]
    if array.ndim == 2 and draw(st.booleans()):
        array = np.lib.stride_tricks.as_strided(array, array.shape, (0, array.strides[1]))
    if array.dtype == np.float32 and array.size and draw(st.booleans()):
        unaligned = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:]
        array = unaligned.view(np.float32).reshape(array.shape)
        array.fill(draw(st.sampled_from([0, np.nan, np.inf, -1e38, 1e38, 255])))
    return array


@given(pixels=views(), height=SIDES, width=SIDES, reduction=st.integers(-1, 9), fits=st.booleans())
def test_pixels_of_any_form_are_hashed_or_refused(pixels, height, width, reduction, fits):
    """The library itself would read outside of the array, or crash."""
    if fits and pixels.ndim == 2:
        height, width, reduction = *pixels.shape, 1
    shape = (-(-height // reduction), -(-width // reduction)) if reduction > 0 else None
    is_valid = (
        pixels.dtype in (np.uint8, np.float32)
        and reduction in (1, 2, 4, 8)
        and pixels.shape == shape
        and min(height, width) > 0
    )

    try:
        found = hash_pictures([GrayImage(pixels, height, width, reduction)], KINDS)
    except (TypeError, ValueError):
        assert not is_valid
    else:
        assert is_valid
        assert len(found.qualities) == 1
