"""EXIF: the orientation, among other tags, in every integer type, and nothing else."""

import struct

import pytest

from encoded import jpeg_with_exif, photo, png, png_chunk, save, with_orientation
from imgdup.images.decode import decode
from imgdup.images.headers import png_header
from imgdup.images.jpeg import jpeg_header
from imgdup.images.tiff import exif_orientation
from imgdup.system.limits import Limits


def exif(entries, order="<", count=None):
    """EXIF data of one directory; entries are (tag, value)."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    body = b"".join([struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries])
    count = len(entries) if count is None else count
    return mark + struct.pack(order + "IH", 8, count) + body


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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(1, "B3x"), (3, "H2x"), (4, "I"), (9, "i")])
def test_orientation_is_read_whatever_its_integer_type(order, kind, form):
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHI" + form, 0x0112, kind, 1, 8)
    data = mark + struct.pack(order + "IH", 8, 1) + entry

    assert exif_orientation(data) == 8


def test_an_orientation_that_is_text_or_a_fraction_is_upright():
    for kind in (0, 2, 5, 12, 65535):
        entry = struct.pack("<HHIHH", 0x0112, kind, 1, 6, 0)
        assert exif_orientation(b"II*\0" + struct.pack("<IH", 8, 1) + entry) == 1


def test_of_two_exif_segments_the_first_counts():
    data = save(photo(20, 30), "jpeg")
    segments = jpeg_with_exif(jpeg_with_exif(data, exif([(0x0112, 3)])), exif([(0x0112, 6)]))
    chunks = b"".join(png_chunk(b"eXIf", exif([(0x0112, value)])) for value in (6, 3))
    blank = png(4, 4, b"", extra=chunks)

    assert jpeg_header(segments).orientation == 6 == png_header(blank).orientation


def test_a_first_exif_segment_without_an_orientation_counts_too():
    data = jpeg_with_exif(save(photo(20, 30), "jpeg"), exif([(0x0112, 6)]))

    assert jpeg_header(jpeg_with_exif(data, exif([]))).orientation == 1


@pytest.mark.parametrize(("kind", "form"), [(1, "B3x"), (3, "H2x"), (4, "I")])
def test_the_orientation_of_a_tiff_is_read_whatever_its_integer_type(kind, form):
    upright = save(photo(20, 30), "tiff")
    (at,) = struct.unpack_from("<I", upright, 4)
    count = int.from_bytes(upright[at : at + 2], "little")
    entry = struct.pack("<HHI" + form, 0x0112, kind, 1, 6)
    entries = [upright[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    directory = b"".join(sorted([*entries, entry], key=lambda each: each[:2][::-1]))
    moved = struct.pack("<I", len(upright))
    turned = upright[:4] + moved + upright[8:] + struct.pack("<H", count + 1) + directory + bytes(4)

    picture = decode(turned, Limits())

    assert (picture.height, picture.width) == (30, 20)
