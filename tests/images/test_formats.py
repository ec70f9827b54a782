"""Formats are told by content, whatever a file is called."""

import numpy as np
import pytest

from encoded import photo, save
from imgdup.images.formats import (
    FORMATS,
    IMAGE_EXTENSIONS,
    LOSSLESS_FORMATS,
    REASONS,
    SNIFF_BYTES,
    refused_name,
    sniff,
)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "bmp", "gif", "tiff", "avif"])
def test_every_format_is_told_by_its_first_bytes(name):
    data = save(photo(), name)

    assert sniff(data[:SNIFF_BYTES]) == name


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
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "bmp"),
        (b"BM\x46\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0", "bmp"),
    ],
)
def test_variants_of_formats_are_told(head, name):
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
        bytes(SNIFF_BYTES),
    ],
)
def test_other_content_is_unknown(head):
    assert (sniff(head), refused_name(head)) == ("unknown", None)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"P5\n640 480\n255\n", "PNM"),
        (b"P3 2 2 255 ", "PNM"),
        (b"#?RADIANCE\n", "Radiance HDR"),
        (b"\x59\xa6\x6a\x95", "Sun raster"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
    ],
)
def test_formats_with_a_history_of_faults_are_named_and_not_decoded(head, name):
    assert (sniff(head), refused_name(head)) == ("unknown", name)


def test_random_bytes_do_not_raise():
    rng = np.random.default_rng(0)

    for _ in range(1000):
        assert sniff(rng.bytes(int(rng.integers(SNIFF_BYTES + 1)))) in FORMATS


def test_positions_on_disk_stay():
    assert FORMATS[:9] == (
        *("unknown", "jpeg", "png", "webp", "bmp"),
        *("gif", "tiff", "avif", "heif"),
    )
    assert REASONS == (
        *("ok", "truncated", "damaged", "too-large", "not-an-image", "unsupported"),
        *("unreadable", "changed", "missing", "timed-out", "crashed"),
    )


def test_words_are_of_one_kind():
    assert set(FORMATS) >= LOSSLESS_FORMATS
    assert all(ending == ending.lower() and ending[0] == "." for ending in IMAGE_EXTENSIONS)
