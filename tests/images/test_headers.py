"""Headers: facts from forged, cut and flooded files, in bounded time and without a decoder."""

import itertools
import struct
import time

import numpy as np
import pytest
from PIL import Image

from encoded import (
    blank_png,
    jpeg_claiming,
    jpeg_with_exif,
    photo,
    png,
    png_chunk,
    save,
    with_orientation,
)
from imgdup.errors import ImageError
from imgdup.images.headers import (
    exif_orientation,
    jpeg_ends,
    jpeg_header,
    png_first_frame,
    png_header,
    tiff_directory,
    webp_header,
)


def exif(entries, order="<", count=None):
    """EXIF data of one directory; entries are (tag, value)."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    body = b"".join([struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries])
    count = len(entries) if count is None else count
    return mark + struct.pack(order + "IH", 8, count) + body


def reason(function, data):
    with pytest.raises(ImageError) as caught:
        function(data)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_header_holds_the_facts(mode, progressive):
    data = save(Image.new(mode, (31, 17)), "jpeg", progressive=progressive)

    header = jpeg_header(data)

    assert (header.height, header.width, header.orientation) == (17, 31, 1)
    assert (header.components, header.progressive) == (len(mode), progressive)
    assert data[header.scan - 2 : header.scan] == b"\xff\xda"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_from_jpeg_and_png(orientation):
    jpeg = with_orientation(photo(20, 30), orientation, "jpeg")
    png_file = with_orientation(photo(20, 30), orientation, "png")

    assert jpeg_header(jpeg).orientation == orientation == png_header(png_file).orientation


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_found_among_other_tags(order):
    data = exif([(0x010F, 7), (0x0112, 6), (0x8769, 3)], order)

    assert exif_orientation(data) == exif_orientation(b"Exif\0\0" + data) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II*\0",
        b"garbage that is no EXIF at all",
        b"II*\0\xff\xff\xff\xff\1\0",
        exif([]),
        exif([(0x0112, 0)]),
        exif([(0x0112, 9)]),
        exif([(0x0100, 6)] * 5, count=65535),
        exif([(0x0112, 6)])[:-4],
    ],
)
def test_exif_without_a_whole_and_sensible_orientation_is_upright(data):
    assert exif_orientation(data) == 1


def test_a_directory_that_claims_more_entries_is_read_as_far_as_it_goes():
    assert exif_orientation(exif([(0x0100, 1), (0x0112, 8)], count=65535)) == 8


def test_fill_bytes_and_garbage_between_segments_are_skipped():
    data = save(photo(), "jpeg")
    padded = data[:2] + b"\xff\xff\xff\xff" + data[2:20] + b"garbage" + data[20:]

    assert jpeg_header(padded).width == jpeg_header(data).width


@pytest.mark.parametrize("length", [2, 3, 4, 10, 20, 100, 160])
def test_a_jpeg_that_ends_in_its_header_is_truncated(length):
    data = save(photo(), "jpeg")

    assert reason(jpeg_header, data[:length]) == "truncated"


def test_a_jpeg_without_a_frame_is_damaged():
    assert reason(jpeg_header, b"\xff\xd8\xff\xda\0\x0c") == "damaged"


def test_a_jpeg_of_no_size_is_damaged():
    assert reason(jpeg_header, jpeg_claiming(save(photo(), "jpeg"), 0, 10)) == "damaged"


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA])
def test_rare_jpeg_codings_are_unsupported(marker):
    data = save(photo(), "jpeg").replace(b"\xff\xc0", bytes([0xFF, marker]))

    assert reason(jpeg_header, data) == "unsupported"


def test_a_jpeg_of_twelve_bits_is_unsupported():
    data = save(photo(), "jpeg")
    frame = data.find(b"\xff\xc0")

    assert reason(jpeg_header, data[: frame + 4] + b"\x0c" + data[frame + 5 :]) == "unsupported"


def test_the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg():
    thumbnail = save(photo(20, 30), "jpeg")
    data = jpeg_with_exif(save(photo(), "jpeg"), thumbnail)[:-2]

    assert not jpeg_ends(data, jpeg_header(data).scan)


@pytest.mark.parametrize(
    "flood",
    [b"\xff" * 20_000_000, b"\0" * 20_000_000, b"\xff\xe1\0\2" * 5_000_000, b"\xff\0" * 10_000_000],
    ids=["fill", "zeros", "segments", "stuffing"],
)
def test_a_flooded_jpeg_header_ends_soon(flood):
    start = time.process_time()

    assert reason(jpeg_header, b"\xff\xd8" + flood) in ("truncated", "damaged")

    assert time.process_time() - start < 5


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


@pytest.mark.parametrize("data", [b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8 ", bytes(40)])
def test_a_webp_without_a_picture_is_damaged(data):
    assert reason(webp_header, data) == "damaged"


def test_a_cut_tiff_directory_is_truncated():
    data = save(photo(20, 30), "tiff", compression="tiff_lzw")  # its directory comes last
    tiff_directory(data)

    for length in (4, 7, 20, len(data) // 2):
        assert reason(tiff_directory, data[:length]) == "truncated"


def test_a_big_tiff_directory_is_looked_at():
    data = save(photo(20, 30), "tiff", big_tiff=True)
    tiff_directory(data)

    assert reason(tiff_directory, data[:30]) == "truncated"


def test_a_directory_beyond_all_memory_is_not_in_the_file():
    assert reason(tiff_directory, b"II+\0\x08\0\0\0" + b"\xff" * 8) == "truncated"


def test_random_bytes_give_facts_or_an_image_error():
    rng = np.random.default_rng(1)
    functions = [jpeg_header, png_header, webp_header, tiff_directory, exif_orientation]

    for _, function in itertools.product(range(300), functions):
        try:
            function(rng.bytes(int(rng.integers(200))))
        except ImageError as error:
            assert error.reason in ("truncated", "damaged", "unsupported")
