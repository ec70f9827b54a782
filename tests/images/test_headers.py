"""Headers of PNG, WebP, TIFF and JPEG XL: facts from whole, forged and cut files."""

import itertools

import numpy as np
import pytest
from PIL import Image

from encoded import (
    blank_png,
    photo,
    png,
    png_chunk,
    save,
    with_orientation,
)
from imgdup.errors import ImageError
from imgdup.images.decode import decode
from imgdup.images.headers import jxl_size, png_first_frame, png_header
from imgdup.images.tiff import check_tiff
from imgdup.images.webp import webp_header
from imgdup.system.limits import Limits


def reason(function, data):
    with pytest.raises(ImageError) as caught:
        function(data)
    return caught.value.reason


@pytest.mark.parametrize(
    ("mode", "facts"),
    [
        ("1", (1, True, False)),
        ("L", (8, True, False)),
        ("I;16", (16, True, False)),
        ("RGB", (8, False, False)),
        ("RGBA", (8, False, True)),
        ("LA", (8, True, True)),
        ("P", (8, False, False)),
    ],
)
def test_a_png_header_holds_the_facts(mode, facts):
    quantized = Image.fromarray(photo(17, 31)).quantize(256)
    image = quantized if mode == "P" else Image.new(mode, (31, 17))

    header = png_header(save(image, "png"))

    assert (header.height, header.width, header.orientation) == (17, 31, 1)
    assert (header.depth, header.gray, header.transparent) == facts


def test_a_cut_png_is_truncated_wherever_it_ends():
    data = blank_png(20, 20)

    for length in range(8, len(data)):
        assert reason(png_header, data[:length]) == "truncated"


def test_a_flipped_bit_in_a_png_is_damage_wherever_it_is():
    data = blank_png(5, 5)

    for at, bit in itertools.product(range(8, len(data)), range(8)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        assert reason(png_header, bytes(flipped)) in ("damaged", "truncated")  # by its length


def test_bytes_behind_the_end_of_a_png_do_not_matter():
    data = blank_png(20, 20)

    assert png_header(data + bytes(100_000)) == png_header(data)


def test_a_png_chunk_longer_than_the_file_is_damage():
    data = blank_png(64, 48)
    forged = data[:33] + b"\xff\xff\0\0IDAT" + bytes(27)

    assert len(forged) < 80
    assert reason(png_header, forged) == "damaged"


@pytest.mark.parametrize(("colour", "depth"), [(1, 8), (2, 4), (3, 16), (5, 8), (0, 3), (6, 1)])
def test_impossible_png_headers_are_damage(colour, depth):
    assert reason(png_header, png(8, 8, b"", colour, depth)) == "damaged"


def test_a_png_of_tiny_chunks_without_end_is_damage():
    data = blank_png(8, 8)[:33] + png_chunk(b"tEXt", b"") * 300_000

    assert reason(png_header, data) == "damaged"


def test_the_first_frame_of_a_png_lacks_what_it_does_not_need():
    notes = png_chunk(b"tEXt", b"a\0b") + png_chunk(b"acTL", bytes(8))
    data = png(4, 4, b"xyz", extra=notes)

    assert png_first_frame(data) == png(4, 4, b"xyz")


@pytest.mark.parametrize(
    ("options", "plain"), [({"lossless": False}, True), ({"lossless": True}, False)]
)
@pytest.mark.parametrize("size", [(1, 1), (17, 31), (300, 2000)])
def test_a_webp_header_holds_the_size(options, plain, size):
    header = webp_header(save(photo(*size), "webp", **options))

    assert (header.height, header.width, header.plain) == (*size, plain)


def test_a_webp_with_metadata_is_not_plain():
    header = webp_header(with_orientation(photo(17, 31), 3, "webp"))

    assert (header.height, header.width, header.plain) == (17, 31, False)


def test_a_webp_of_28_bytes_is_a_picture():
    data = b"RIFF\x14\0\0\0WEBPVP8L\x08\0\0\0\x2f\0\0\0\0\x88\x88\x08"  # one pixel

    assert len(data) == 28
    assert webp_header(data) == (1, 1, False)
    assert decode(data, Limits()).gray.pixels.shape == (1, 1)


def test_a_cut_webp_is_truncated_by_its_length_field():
    data = save(photo(), "webp")

    for length in (20, 29, 100, len(data) - 1):
        assert reason(lambda cut: decode(cut, Limits()), data[:length]) == "truncated"


@pytest.mark.parametrize("data", [b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8 ", bytes(40)])
def test_a_webp_without_a_picture_is_damaged(data):
    assert reason(webp_header, data) == "damaged"


def test_a_tiff_file_that_ends_before_its_directory_is_truncated():
    data = save(photo(20, 30), "tiff", compression="tiff_lzw")  # its directory comes last
    check_tiff(data)

    for length in (4, 7, 20, len(data) // 2):
        assert reason(check_tiff, data[:length]) == "truncated"


def test_the_first_directory_of_a_bigtiff_file_is_checked():
    data = save(photo(20, 30), "tiff", big_tiff=True)
    check_tiff(data)

    assert reason(check_tiff, data[:30]) == "truncated"


def test_a_directory_beyond_all_memory_is_not_in_the_file():
    assert reason(check_tiff, b"II+\0\x08\0\0\0" + b"\xff" * 8) == "truncated"


def test_random_bytes_give_facts_or_an_image_error():
    rng = np.random.default_rng(1)
    functions = [png_header, webp_header, check_tiff, jxl_size]

    for _, function in itertools.product(range(300), functions):
        try:
            function(rng.bytes(int(rng.integers(200))))
        except ImageError as error:
            assert error.reason in ("truncated", "damaged", "unsupported")


def small_jxl(height, width):
    """The head of a JPEG XL codestream whose sides are multiples of 8 up to 256."""
    bits = 1 | (height // 8 - 1) << 1 | (width // 8 - 1) << 9
    return b"\xff\x0a" + bits.to_bytes(4, "little")


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (256, 256)])
def test_a_small_jxl_size_is_read(size):
    assert jxl_size(small_jxl(*size)) == size


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (64, 64), (240, 320), (100, 200), (3000, 1)])
@pytest.mark.parametrize("use_container", [False, True])
def test_a_jxl_header_holds_the_size(size, use_container):
    pytest.importorskip("pillow_jxl", reason="JPEG XL needs pillow_jxl: the extra jxl")

    assert jxl_size(save(photo(*size), "jxl", use_container=use_container)) == size


def test_a_jxl_in_boxes_is_found_behind_other_boxes():
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    other = b"\0\0\0\x0cjxll\x0a\0\0\0" + b"\0\0\0\1Exif" + (20).to_bytes(8, "big") + bytes(4)
    stream = small_jxl(64, 48)

    for box in (b"\0\0\0\0jxlc" + stream, b"\0\0\0\x20jxlp\0\0\0\0" + stream):
        assert jxl_size(start + other + box) == (64, 48)


def test_a_jxl_without_a_codestream_is_damaged():
    start = b"\0\0\0\x0cJXL \r\n\x87\n"

    for rest in (b"", b"\0\0\0\0mdat", b"\0\0\0\x08free" * 20_000):
        assert reason(jxl_size, start + rest) == "damaged"
