"""Formats are recognized by content, whatever a file is called."""

import struct

import numpy as np
import pytest
from PIL import Image

from encoded import photo, save
from imgdup.images.formats import (
    FORMATS,
    IMAGE_EXTENSIONS,
    LOSSLESS_FORMATS,
    REASONS,
    SNIFF_BYTES,
    UNDECODED_EXTENSIONS,
    sniff,
    undecoded_extension,
    undecoded_name,
)


@pytest.mark.parametrize(
    "name",
    ["jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", "jpeg2000", "tga", "ico", "dds"],
)
def test_a_format_is_recognised_by_its_first_bytes(name):
    data = save(photo(), name)

    assert sniff(data[:SNIFF_BYTES]) == name


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("rle", [False, True])
def test_a_tga_of_any_kind_is_recognised_by_its_header(mode, rle):
    image = Image.fromarray(photo()).convert(mode)

    assert sniff(save(image, "tga", rle=rle and mode != "1")[:SNIFF_BYTES]) == "tga"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GIF87a\1\0\1\0", "gif"),
        (b"MM\0*\0\0\0\x08", "tiff"),
        (b"II+\0\x08\0\0\0", "tiff"),
        (b"\0\0\0\x1cftypavis\0\0\0\0avismif1", "avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
        (b"\xff\x4f\xff\x51", "jpeg2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
        (b"\xff\x0a\xfa\x1f", "jxl"),
        (b"8BPS\0\1", "psd"),
        (b"P5\n640 480\n255\n", "pnm"),
        (b"P3 2 2 255 ", "pnm"),
        (b"P1\n# a comment\n2 2\n", "pnm"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "bmp"),
        (b"BM\x46\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0", "bmp"),
    ],
)
def test_variants_of_formats_are_distinguished(head, name):
    assert sniff(head) == name


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"B",
        b"BM",
        b"BMW is a car, and this a text about it.",
        b"<html><body>404</body></html>",
        b'<?xml version="1.0"?><svg xmlns=',
        b"%PDF-1.7",
        b"PK\3\4",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\xff\xd8",
        b"\x89PNG\n",
        b"P3 is the third part of this text.",
        b"P6\nis a processor",
        b"\0\0\1\xba\x44\0\4\0\4\1\0\0\3\xf8\0\0\1\xbb\0\x12\0\0\0\0",
        b"\0\1\0\0\0\x0e\0\x80\0\3\0`FFTM",
        b"\0\0\2\0" + bytes(28),
        bytes(SNIFF_BYTES),
    ],
)
def test_other_content_is_unknown(head):
    assert (sniff(head), undecoded_name(head)) == ("unknown", None)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"#?RADIANCE\n", "Radiance HDR"),
        (b"\x59\xa6\x6a\x95", "Sun raster"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"P7\nWIDTH 2\n", "PAM"),
        (b"8BPS\0\2", "Photoshop large document"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw of Canon"),
    ],
)
def test_formats_that_are_known_and_not_decoded_are_named(head, name):
    assert (sniff(head), undecoded_name(head)) == ("unknown", name)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "ico"),
        ({"planes": 0}, "ico"),
        ({"planes": 2}, "unknown"),
        ({"n_entries": 0}, "unknown"),
        ({"reserved": 1}, "unknown"),
        ({"bits": 7}, "unknown"),
        ({"size": 0}, "unknown"),
        ({"offset": 21}, "unknown"),
    ],
)
def test_an_icon_is_known_by_all_fields_of_its_first_entry(change, name):
    entry = {"n_entries": 1, "reserved": 0, "planes": 1, "bits": 32, "size": 40, "offset": 22}

    head = struct.pack("<HHH3xBHHII", 0, 1, *(entry | change).values())

    assert sniff(head + bytes(40)) == name


def test_random_bytes_do_not_raise():
    rng = np.random.default_rng(0)

    for _ in range(1000):
        assert sniff(rng.bytes(int(rng.integers(SNIFF_BYTES + 1)))) in FORMATS


def test_positions_on_disk_do_not_change():
    assert FORMATS[:16] == (
        *("unknown", "jpeg", "png", "webp", "bmp"),
        *("gif", "tiff", "avif", "heif", "pnm"),
        *("jpeg2000", "tga", "ico", "psd", "dds", "jxl"),
    )
    assert REASONS == (
        *("ok", "truncated", "damaged", "too-large", "not-an-image", "unsupported"),
        *("unreadable", "changed", "missing", "timed-out", "crashed"),
    )


def test_no_extension_is_listed_as_decoded_and_as_undecoded():
    assert set(FORMATS) >= LOSSLESS_FORMATS
    assert not IMAGE_EXTENSIONS & set(UNDECODED_EXTENSIONS)
    for ending in (*IMAGE_EXTENSIONS, *UNDECODED_EXTENSIONS):
        assert ending == ending.lower() and ending[0] == "."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sky.hdr", "Radiance HDR"),
        ("a/b.c/lamp.EXR", "OpenEXR"),
        ("DSC_1.NEF", "raw"),
        ("photo.jpg", None),
        ("exr", None),
        ("folder.exr/readme", None),
    ],
)
def test_a_picture_format_that_is_not_decoded_is_recognised_by_the_file_name(name, expected):
    assert undecoded_extension(name) == expected
