"""Which of two copies was made from the other, by the errors of rounding.

The copies are made by Pillow, and decoded by it: it resizes and compresses by its own code.
"""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from encoded import save, scenery, with_orientation
from imgdup.dedupe.resized import MIDDLE, change_of_size, copy_of_equal_size, middle
from imgdup.images.headers import LOSSLESS_STEPS, rounding_steps

BICUBIC, BILINEAR, LANCZOS, NEAREST = (
    Image.Resampling[name] for name in ("BICUBIC", "BILINEAR", "LANCZOS", "NEAREST")
)
SHARP = Image.fromarray(scenery(216, 288))
SOFT = SHARP.filter(ImageFilter.GaussianBlur(1))


def seen(image, name, **options):
    """A saved image as it is decoded: its middle, and itself."""
    data = save(image, name, **options)
    with Image.open(io.BytesIO(data)) as found:
        shown = found.convert("RGB")
    return middle(np.asarray(shown), rounding_steps(data)), shown


def resized(image, factor, method):
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


@pytest.mark.parametrize("photo", [SHARP, SOFT], ids=["sharp", "soft"])
@pytest.mark.parametrize("quality", [95, 60])
@pytest.mark.parametrize(
    ("factor", "method", "name", "options"),
    [
        (1.5, BICUBIC, "png", {}),
        (2, BILINEAR, "jpeg", {"quality": 75}),
        (2, NEAREST, "jpeg", {"quality": 90}),
        (3, NEAREST, "png", {}),
        (0.5, LANCZOS, "png", {}),
        (0.66, BICUBIC, "jpeg", {"quality": 90}),
    ],
)
def test_an_enlarged_copy_is_told_from_a_reduced_one(photo, quality, factor, method, name, options):
    original, shown = seen(photo, "jpeg", quality=quality)
    copy, _ = seen(resized(shown, factor, method), name, **options)

    expected = "enlarged" if factor > 1 else "reduced"
    assert change_of_size(original, copy) == expected
    assert change_of_size(copy, original) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.point(lambda level: round(level * 0.9)),
        lambda image: image.filter(ImageFilter.GaussianBlur(0.5)),
        lambda image: image.filter(ImageFilter.UnsharpMask(1.5, 60, 0)),
    ],
    ids=["darker", "softer", "sharper"],
)
def test_a_copy_that_was_changed_a_little_before_it_was_saved_is_recognised(change):
    original, shown = seen(SOFT, "jpeg", quality=80)
    copy, _ = seen(change(resized(shown, 1.5, BICUBIC)), "jpeg", quality=80)

    assert change_of_size(original, copy) == "enlarged"


@pytest.mark.parametrize("factor", [2, 3])
def test_repeated_pixels_are_an_enlargement_though_the_smaller_picture_could_be_every_nth_one(
    factor,
):
    original, shown = seen(SOFT, "png")
    copy, _ = seen(resized(shown, factor, NEAREST), "png")

    assert change_of_size(original, copy) == "enlarged"


def test_the_middle_of_a_large_picture_is_enough():
    large = Image.fromarray(scenery(600, 800)).filter(ImageFilter.GaussianBlur(1))
    original, shown = seen(large, "jpeg", quality=60)
    copy, _ = seen(resized(shown, 0.7, LANCZOS), "jpeg", quality=85)

    assert original.pixels.shape == (MIDDLE, MIDDLE, 3)
    assert original.top % 8 == original.left % 8 == 0
    assert np.array_equal(
        original.pixels, np.asarray(shown)[original.top :, original.left :][:MIDDLE, :MIDDLE]
    )
    assert change_of_size(original, copy) == "reduced"


JPEG, WEBP = "jpeg", "webp"


@pytest.mark.parametrize(
    ("original", "copy"),
    [
        ((JPEG, 95), (JPEG, 80)),
        ((JPEG, 95), (JPEG, 90)),
        ((JPEG, 95), (JPEG, 30)),
        ((JPEG, 80), (JPEG, 95)),
        ((JPEG, 60), (JPEG, 90)),
        ((JPEG, 60), (JPEG, 70)),
        ((JPEG, 70), (JPEG, 60)),
        ((JPEG, 50), (JPEG, 75)),
        ((JPEG, 60), (WEBP, 95)),
        ((JPEG, 95), (WEBP, 80)),
        ((WEBP, 80), (JPEG, 90)),
        ((WEBP, 95), (JPEG, 95)),
    ],
)
@pytest.mark.parametrize("photo", [SHARP, SOFT], ids=["sharp", "soft"])
def test_a_copy_that_was_compressed_again_is_told_from_its_original(photo, original, copy):
    first, shown = seen(photo, original[0], quality=original[1])
    second, _ = seen(shown, copy[0], quality=copy[1])

    assert copy_of_equal_size(first, second) == "second"
    assert copy_of_equal_size(second, first) == "first"


def test_a_blurred_copy_of_the_same_size_is_told_from_its_original():
    first, shown = seen(SHARP, JPEG, quality=90)
    second, _ = seen(shown.filter(ImageFilter.GaussianBlur(0.8)), JPEG, quality=90)

    assert copy_of_equal_size(first, second) == "second"


def test_copies_of_equal_size_that_show_nothing_are_not_judged():
    picture, shown = seen(SHARP, JPEG, quality=80)
    grain = np.random.default_rng(1).normal(0, 12, (216, 288, 3))
    grainy = np.clip(np.asarray(shown) + grain, 0, 255).astype(np.uint8)
    others = [
        seen(shown, JPEG, quality=80)[0],  # by the same steps
        seen(shown, JPEG, quality=82)[0],  # by steps that are nearly the same
        seen(shown, "png")[0],  # lossless
        seen(resized(shown, 0.9, BICUBIC), JPEG, quality=60)[0],  # of another size
        seen(Image.fromarray(grainy), JPEG, quality=98)[0],  # not only compressed
        seen(Image.fromarray(grainy), WEBP, quality=98)[0],
        seen(Image.new("RGB", (288, 216), (90, 90, 90)), JPEG, quality=60)[0],  # flat
    ]
    tiny = [seen(shown.resize((20, 7)), JPEG, quality=each)[0] for each in (95, 60)]

    assert [copy_of_equal_size(picture, each) for each in others] == [None] * len(others)
    assert copy_of_equal_size(*tiny) is None


def test_pictures_that_show_nothing_are_not_judged():
    picture, shown = seen(SOFT, "jpeg", quality=80)
    enlarged, _ = seen(resized(shown, 2, BICUBIC), "png")
    others = [
        seen(SHARP, "jpeg", quality=80)[0],  # of the same size
        seen(resized(shown, 5, BICUBIC), "png")[0],  # much larger
        seen(shown.resize((shown.width * 2, shown.height // 2)), "png")[0],  # squashed
        seen(Image.new("RGB", (144, 108), (90, 90, 90)), "png")[0],  # flat
        seen(shown.resize((20, 15)), "png")[0],  # tiny
        seen(Image.fromarray(scenery(270, 360, seed=9)), "png")[0],  # another picture
        enlarged._replace(steps=()),
    ]

    assert change_of_size(picture, enlarged) == "enlarged"
    assert [change_of_size(picture, each) for each in others] == [None] * len(others)


def test_two_copies_of_a_third_picture_are_not_called_copies_of_each_other():
    sharp = SHARP.resize((432, 324), LANCZOS)
    one, _ = seen(resized(sharp, 0.5, LANCZOS).filter(ImageFilter.GaussianBlur(2)), "png")
    other, _ = seen(resized(sharp, 0.8, BILINEAR), "png")

    assert change_of_size(one, other) is None


@pytest.mark.parametrize("quality", [20, 75, 98])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_steps_of_a_jpeg_file_are_those_that_pillow_reads(quality, mode):
    data = save(SHARP.convert(mode), "jpeg", quality=quality)

    with Image.open(io.BytesIO(data)) as image:
        assert list(rounding_steps(data)) == list(image.quantization[0])


def test_the_steps_of_a_turned_jpeg_file_are_those_of_the_shown_picture():
    pixels = np.asarray(SHARP)  # both sides are multiples of 8
    steps = np.reshape(rounding_steps(save(SHARP, "jpeg", quality=50)), (8, 8))

    for orientation in range(1, 9):
        turned = rounding_steps(with_orientation(pixels, orientation, "jpeg", quality=50))
        assert np.array_equal(np.reshape(turned, (8, 8)), steps.T if orientation > 4 else steps)
        cut = rounding_steps(with_orientation(pixels[:-3], orientation, "jpeg", quality=50))
        assert (cut == ()) == (orientation > 1)


def test_steps_are_whole_levels_of_lossless_files_and_unknown_of_other_lossy_ones():
    assert rounding_steps(save(SHARP, "png")) == LOSSLESS_STEPS
    assert rounding_steps(save(SHARP, "webp", lossless=True)) == LOSSLESS_STEPS
    assert rounding_steps(save(SHARP, "webp", quality=80)) == ()
