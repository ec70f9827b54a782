"""Real detail and traces of JPEG, on painted pictures and on photos."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from encoded import scenery
from imgdup.images.detail import (
    UPSCALED,
    central_luma,
    detail_share,
    is_toned,
    strong_quality,
    trace_quality,
)
from imgdup.images.facts import image_facts
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

BICUBIC, BILINEAR, LANCZOS = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.LANCZOS,
)


def through_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "jpeg", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def resized(image, factor, method=BICUBIC):
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


def detail(image):
    return detail_share(central_luma(np.asarray(image)))


def trace(image):
    return trace_quality(np.asarray(image))


PAINTED = Image.fromarray(scenery(300, 400))


@pytest.mark.parametrize("quality", [None, 95, 75, 60])
def test_a_sharp_picture_shows_detail_in_all_its_resolution(quality):
    image = PAINTED if quality is None else through_jpeg(PAINTED, quality)

    assert detail(image) >= 0.9


@pytest.mark.parametrize("method", [BICUBIC, BILINEAR, LANCZOS])
@pytest.mark.parametrize("quality", [None, 95, 60])
@pytest.mark.parametrize("factor", [2, 3, 4, 16])
def test_an_enlarged_picture_shows_only_the_detail_it_had_before(factor, quality, method):
    image = resized(PAINTED.crop((0, 0, 100, 80)), factor, method)
    image = image if quality is None else through_jpeg(image, quality)

    assert detail(image) < UPSCALED
    assert 0.6 < detail(image) * factor < 1.6


def test_a_smaller_copy_shows_detail_in_all_its_resolution():
    assert detail(resized(PAINTED, 0.5)) >= 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (31, 31), (33, 40), (400, 300)])
def test_flat_and_tiny_pictures_are_not_judged(size):
    flat = np.full(size, 77, dtype=np.uint8)

    assert detail(Image.fromarray(flat)) == 1
    assert trace(flat) is None


def test_only_the_centre_of_a_large_picture_is_looked_at():
    pixels = np.zeros((3000, 2500), dtype=np.uint8)
    pixels[480:2528, 224:2272] = np.arange(2048)[:, None] % 251

    assert central_luma(pixels).tolist() == (pixels[472:2520, 224:2272]).tolist()


@pytest.mark.parametrize("quality", [5, 10, 20, 30, 50, 60, 75])
def test_the_quality_of_the_jpeg_file_before_is_found(quality):
    assert trace(through_jpeg(PAINTED, quality)) == pytest.approx(quality, abs=3)


@pytest.mark.parametrize("corner", [(1, 0), (3, 5), (7, 7)])
def test_the_quality_is_found_in_a_part_of_the_picture(corner):
    image = through_jpeg(PAINTED, 30).crop((*corner, 390, 290))

    assert trace(image) == pytest.approx(30, abs=3)


def test_the_quality_is_found_in_a_gray_copy():
    assert trace(through_jpeg(PAINTED, 30).convert("L")) == pytest.approx(30, abs=3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [5, 10, 20, 30, 45, 60])
def test_a_low_quality_is_found_exactly(quality, mode):
    image = through_jpeg(PAINTED.convert(mode), quality).convert(mode)

    assert strong_quality(np.asarray(image)) == quality


@pytest.mark.parametrize("quality", [None, 70, 80, 95])
def test_no_low_quality_is_found_where_there_was_none(quality):
    image = PAINTED if quality is None else through_jpeg(PAINTED, quality)

    assert strong_quality(np.asarray(image)) is None
    assert strong_quality(np.asarray(image.resize((150, 120), BICUBIC))) is None


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (8, 8), (300, 7), (64, 64)])
def test_flat_and_tiny_pictures_have_no_low_quality(size):
    assert strong_quality(np.full(size, 77, np.uint8)) is None
    assert strong_quality(np.full((*size, 3), 255, np.uint8)) is None


def test_no_trace_is_found_where_there_was_no_jpeg_file():
    blurred = resized(resized(PAINTED, 0.25), 4)
    stripes = np.tile((np.arange(400) // 8 % 2 * 100).astype(np.uint8), (300, 1))

    assert [trace(each) for each in (PAINTED, PAINTED.convert("L"), blurred, stripes)] == [None] * 4


def facts(image, name, **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return image_facts(file.getvalue(), Limits())


@pytest.mark.parametrize("name", ["png", "bmp", "tiff"])
def test_facts_of_a_lossless_file_show_that_it_was_a_poor_jpeg(name):
    assert facts(through_jpeg(PAINTED, 5), name).trace_quality == pytest.approx(5, abs=2)
    assert facts(PAINTED, name).trace_quality is None
    assert facts(PAINTED, "jpeg", quality=5).trace_quality is None


@pytest.mark.parametrize("name", ["png", "jpeg", "bmp"])
def test_facts_of_an_enlarged_picture_show_that(name):
    assert facts(resized(PAINTED, 2), name).detail < UPSCALED
    assert facts(PAINTED, name).detail >= UPSCALED


def test_the_quality_orders_copies_of_any_format():
    poor_png = facts(through_jpeg(PAINTED, 20), "png")

    assert facts(PAINTED, "jpeg", quality=70).quality == 70
    assert facts(PAINTED, "png").quality == 100
    assert poor_png.quality == poor_png.trace_quality
    for name, options in (("webp", {}), ("avif", {"speed": 9})):
        poor, good = (facts(PAINTED, name, quality=each, **options).quality for each in (10, 90))
        assert 1 <= poor < good - 20 < 80


@needs_data
def test_photos_are_distinguished_from_enlarged_ones():
    paths = sorted((DATA / "caltech-101").rglob("*.jpg"))[::60]
    photos = [Image.open(path).convert("RGB") for path in paths]

    sharp = [detail(each) >= UPSCALED for each in photos]
    enlarged = [detail(through_jpeg(resized(each, 2), 60)) < UPSCALED for each in photos]

    assert len(photos) > 100
    assert np.mean(sharp) > 0.98
    assert np.mean(enlarged) > 0.98


@pytest.mark.parametrize("change", [1.2, 1.05, 0.8])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_brighter_or_darker_copy_shows_missing_or_doubled_levels(change, mode):
    copy = ImageEnhance.Brightness(PAINTED.convert(mode)).enhance(change)

    assert is_toned(np.asarray(copy))


@pytest.mark.parametrize("quality", [None, 95, 20])
def test_a_picture_whose_levels_were_not_changed_shows_all_of_them(quality):
    image = PAINTED if quality is None else through_jpeg(PAINTED, quality)

    assert not is_toned(np.asarray(image))
    assert not is_toned(np.asarray(image.convert("L")))


def test_few_levels_and_few_pixels_are_no_changed_brightness():
    few_levels = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (100, 10))

    assert not is_toned(few_levels)
    assert not is_toned(np.asarray(ImageEnhance.Brightness(PAINTED).enhance(1.2))[:8, :8])


def test_only_files_that_decode_to_the_same_pixels_have_the_same_digest_of_pixels():
    jpeg = through_jpeg(PAINTED, 90)
    changed = jpeg.copy()
    changed.putpixel((7, 3), (1, 2, 3))
    gray = PAINTED.convert("L")

    digests = [
        facts(image, *kind).pixels_digest
        for image, *kind in ((jpeg, "png"), (jpeg, "bmp"), (changed, "png"), (gray, "png"))
    ]

    assert digests[0] == digests[1] == facts(PAINTED, "jpeg", quality=90).pixels_digest
    assert digests[3] == facts(gray.convert("RGB"), "png").pixels_digest
    assert len(set(digests)) == 3
    turned = facts(jpeg.transpose(Image.Transpose.ROTATE_90), "png").pixels_digest
    assert turned not in digests
