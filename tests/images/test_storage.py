"""How files store pixels, read from headers: those of other writers than Pillow, and damaged ones.

What Pillow and OpenCV write is tested with all other facts in test_facts.
"""

import struct

import numpy as np
import pytest
from PIL import Image

from encoded import photo, save
from imgdup.errors import ImageError
from imgdup.images.headers import bit_depth, has_palette, is_lossless, jpeg_quality, rough_quality

RGB = photo()
IMAGE = Image.fromarray(RGB)
JPEG = save(IMAGE, "jpeg", quality=70)


def segment(kind, content):
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content


def with_tables(*tables):
    """A JPEG file of quality 70 with other segments of quantization tables in front of all."""
    return JPEG[:2] + b"".join(segment(0xDB, table) for table in tables) + JPEG[2:]


def luminance_table(quality):
    """Table 0 of a file that Pillow writes: 64 bytes in the order of the file."""
    data = save(IMAGE, "jpeg", quality=quality)
    at = data.index(b"\xff\xdb") + 4
    assert data[at] == 0
    return data[at + 1 : at + 65]


@pytest.mark.parametrize("quality", [10, 50, 92])
def test_the_first_table_of_luminance_is_used_wherever_it_is(quality):
    table = luminance_table(quality)
    chroma = b"\x01" + bytes(64 * [99])

    assert jpeg_quality(with_tables(b"\x00" + table)) == quality
    assert jpeg_quality(with_tables(chroma, b"\x00" + table)) == quality
    assert jpeg_quality(with_tables(chroma + b"\x00" + table)) == quality


def test_a_table_of_16_bits_is_read():
    table = np.frombuffer(luminance_table(20), np.uint8).astype(">u2").tobytes()

    assert jpeg_quality(with_tables(b"\x10" + table)) == 20


def test_numbers_above_255_count_as_255():
    table = np.full(64, 4000, ">u2").tobytes()

    assert jpeg_quality(with_tables(b"\x10" + table)) == 1


def test_a_jpeg_without_tables_has_no_quality():
    at, n_bytes = JPEG.index(b"\xff\xdb"), 2 + 65
    without = JPEG[:at] + JPEG[at + 2 * (2 + n_bytes) :]

    assert b"\xff\xdb" not in without[: without.index(b"\xff\xda")]
    assert jpeg_quality(without) is None


@pytest.mark.parametrize("length", [1, 10, 64])
def test_a_file_that_ends_within_a_table_is_truncated(length):
    data = b"\xff\xd8" + segment(0xDB, b"\x00" + luminance_table(50))

    with pytest.raises(ImageError, match="ends before its first scan"):
        jpeg_quality(data[:-length])


@pytest.mark.parametrize(
    ("header", "depth"),
    [
        (b"P5 3 2 255\n", 8),
        (b"P5\n# made by a scanner\n3 2\n# white\n1023\n", 10),
        (b"P6\n3\n2\n65535\n", 16),
        (b"P2\t3 2 15 ", 4),
        (b"P1\n3 2\n", 1),
        (b"P4\n3 2\n", 1),
        (b"P5\n3 2\n0\n", 1),
        (b"P5\n3 2\nwhite\n", 8),
        (b"P5\n3", 8),
    ],
)
def test_the_depth_of_a_pnm_is_that_of_its_largest_value(header, depth):
    assert bit_depth("pnm", header + bytes(12)) == depth


@pytest.mark.parametrize("depth", [1, 8, 16, 32])
def test_the_depth_of_a_photoshop_file_is_in_its_header(depth):
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 100, 200, depth, 3)

    assert bit_depth("psd", header) == depth


@pytest.mark.parametrize("name", ["jpeg2000", "avif", "heif"])
def test_a_file_without_the_field_counts_as_8_bits(name):
    assert bit_depth(name, b"nothing of the kind") == 8


@pytest.mark.parametrize("name", ["jpeg2000", "avif", "heif"])
def test_a_field_at_the_very_end_is_not_read_beyond_it(name):
    assert bit_depth(name, b"....\xff\x51") == 8
    assert bit_depth(name, b"....pixi") == 8


@pytest.mark.parametrize(("bits", "expected"), [(1, True), (4, True), (8, True), (24, False)])
def test_a_bmp_of_few_bits_has_a_palette(bits, expected):
    header = b"BM" + bytes(26) + struct.pack("<H", bits)

    assert has_palette("bmp", header) is expected


def test_the_depth_of_a_png_with_a_palette_is_that_of_its_colours():
    data = save(IMAGE.quantize(4), "png")

    assert data[24] == 2  # bits of a pixel
    assert (bit_depth("png", data), has_palette("png", data)) == (8, True)


def test_one_lossy_frame_makes_an_animation_lossy():
    other = Image.fromarray(RGB[::-1].copy())
    lossless, lossy = (
        save(IMAGE, "webp", save_all=True, append_images=[other], **options)
        for options in ({"lossless": True}, {"quality": 50})
    )

    assert is_lossless("webp", lossless)
    assert not is_lossless("webp", lossy)


def test_a_lossy_second_page_makes_a_tiff_lossy():
    pages = {"save_all": True, "append_images": [IMAGE]}
    data = bytearray(save(IMAGE, "tiff", compression="tiff_lzw", **pages))

    assert is_lossless("tiff", bytes(data))
    entry = struct.pack("<HHIH", 259, 3, 1, 5)  # compression: LZW
    assert data.count(entry) == 2
    at = data.rindex(entry)
    data[at : at + len(entry)] = struct.pack("<HHIH", 259, 3, 1, 7)  # JPEG
    assert not is_lossless("tiff", bytes(data))


def test_more_bits_never_make_a_lossy_file_worse():
    guesses = [rough_quality(bits / 20) for bits in range(200)]

    assert guesses == sorted(guesses)
    assert (guesses[0], max(guesses)) == (1, 99)
