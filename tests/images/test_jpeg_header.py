"""The header of a JPEG file, and where its picture ends: whole, forged, cut and flooded files."""

import numpy as np
import pytest
from PIL import Image

from encoded import jpeg_claiming, photo, save
from imgdup.errors import ImageError
from imgdup.images.jpeg import jpeg_header, picture_end


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


@pytest.mark.parametrize(
    "flood",
    [b"\xff" * 20_000_000, b"\0" * 20_000_000, b"\xff\xe1\0\2" * 5_000_000, b"\xff\0" * 10_000_000],
    ids=["fill", "zeros", "segments", "stuffing"],
)
@pytest.mark.timeout(60)  # a search that is not linear takes hours
def test_a_flooded_jpeg_header_is_read_in_linear_time(flood):
    assert reason(jpeg_header, b"\xff\xd8" + flood) in ("truncated", "damaged")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_picture_ends_at_its_end_marker(mode, options):
    data = save(Image.fromarray(photo()).convert(mode), "jpeg", **options)

    for trailer in (b"", b"trailer", save(photo(9, 9), "jpeg")):
        end = picture_end(data + trailer, jpeg_header(data))

        assert end == (len(data) - 2, True, True)


@pytest.mark.parametrize("trailer", [b"", b"text", b"\xff\x77 text", save(photo(9, 9), "jpeg")])
def test_a_picture_without_an_end_marker_ends_at_the_next_marker_or_the_end(trailer):
    data = save(photo(), "jpeg")[:-2]

    end = picture_end(data + trailer, jpeg_header(data))

    at = len(data) if trailer[:1] == b"\xff" else len(data) + len(trailer)
    assert end == (at, False, True)


def test_a_progressive_picture_is_complete_with_its_last_scan_only():
    data = save(photo(), "jpeg", progressive=True)
    header = jpeg_header(data)
    starts = [at for at in range(header.scan, len(data)) if data[at : at + 2] == b"\xff\xda"]

    assert len(starts) > 5
    for start in starts:
        assert not picture_end(data[:start], header).complete


def test_random_bytes_give_a_header_or_an_image_error():
    rng = np.random.default_rng(1)

    for _ in range(1000):
        data = b"\xff\xd8\xff\xc0\0\x0b\x08" + rng.bytes(int(rng.integers(300)))
        try:
            picture_end(data, jpeg_header(data))
        except ImageError as error:
            assert error.reason in ("truncated", "damaged", "unsupported")
