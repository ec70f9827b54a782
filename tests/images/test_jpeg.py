"""JPEG: the same pixels as OpenCV's, whole files whatever surrounds the picture, and lost data.

OpenCV is the oracle of the pixels, Pillow of CMYK. Losses are 4 kB taken out of the middle of the
data, as when a block of a disk or of a download is missing.
"""

import functools
import io
import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from encoded import jpeg_with_exif, photo, save
from imgdup.errors import ImageError
from imgdup.images.decode import decode
from imgdup.images.jpeg import decode_jpeg, jpeg_header
from imgdup.native.levels import luma
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

GRAY_FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
COLOUR_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
LOST_BYTES = 4096
KINDS = {
    "plain": {},
    "restart marker a row": {"restart_marker_rows": 1},
    "restart marker every four blocks": {"restart_marker_blocks": 4},
    "progressive": {"progressive": True},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
    "CMYK": {"mode": "CMYK"},
    "gray": {"mode": "L"},
}


def by_opencv(data, reduction, colour):
    flags = COLOUR_FLAGS if colour else GRAY_FLAGS
    flag = flags[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return pixels[:, :, ::-1] if colour else pixels


def decoded(data, *, colour=False, reduction=1):
    return decode_jpeg(data, jpeg_header(data), colour=colour, reduction=reduction)


def reason(data):
    with pytest.raises(ImageError) as caught:
        decoded(data)
    return caught.value.reason


@functools.cache
def busy_photo(seed, height=240, width=320):
    """A photo with so much noise that its file has some 60 kB."""
    noise = np.random.default_rng(seed).integers(-25, 26, (height, width, 3))
    return np.clip(photo(height, width) + noise, 0, 255).astype(np.uint8)


def jpeg(pixels, mode="RGB", **options):
    return save(Image.fromarray(pixels).convert(mode), "jpeg", **{"quality": 90, **options})


# Pixels


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 9), (97, 131), (200, 300), (255, 193)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_rows": 1},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"quality": 20},
    ],
)
def test_pixels_are_those_of_opencv(size, mode, options):
    data = jpeg(photo(*size), mode, **options)

    for reduction, colour in itertools.product(GRAY_FLAGS, (False, True)):
        if reduction == 1 or min(size) >= 96:
            pixels = decoded(data, colour=colour, reduction=reduction)
            assert np.array_equal(pixels, by_opencv(data, reduction, colour))


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_pixels_of_rare_samplings_are_those_of_opencv(reduction):
    names = ("411", "420", "422", "440", "444")
    for name in names:
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
        ok, file = cv2.imencode(".jpg", photo(203, 310), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
        assert ok
        for colour in (False, True):
            pixels = decoded(file.tobytes(), colour=colour, reduction=reduction)
            assert np.array_equal(pixels, by_opencv(file, reduction, colour))


@needs_data
@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_pixels_of_a_sampling_that_simplejpeg_does_not_know_are_those_of_opencv(reduction):
    names = ("video-001.q50.410.jpeg", "video-001.q50.410.progressive.jpeg")

    for name, colour in itertools.product(names, (False, True)):
        data = (DATA / "hostile/go-fuzz/jpeg/corpus" / name).read_bytes()
        pixels = decoded(data, colour=colour, reduction=reduction)
        assert np.array_equal(pixels, by_opencv(data, reduction, colour))


@needs_data
def test_pixels_of_every_third_photo_of_caltech_101_are_those_of_opencv():
    paths = sorted((DATA / "caltech-101").rglob("*.jpg"))

    for path in paths[::3]:
        data = path.read_bytes()
        gray = decode(data, Limits()).gray
        assert np.array_equal(gray.pixels, by_opencv(data, gray.reduction, False)), path

    assert len(paths) >= 9_144


@needs_data
def test_colour_pixels_of_real_photos_are_those_of_opencv():
    paths = sorted((DATA / "near-duplicates").rglob("*.jpg"))

    for path in paths:
        data = path.read_bytes()
        if data[:2] == b"\xff\xd8":
            gray = decode(data, Limits(), full=True).gray
            pixels = luma(np.ascontiguousarray(by_opencv(data, 1, True)))
            assert np.array_equal(np.sort(gray.pixels, None), np.sort(pixels, None)), path

    assert len(paths) > 100


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_cmyk_pixels_are_those_of_pillow(reduction):
    image = Image.fromarray(photo(201, 310)).convert("CMYK")
    data = save(image, "jpeg")
    by_pillow = Image.open(io.BytesIO(data))
    by_pillow.draft("CMYK", (310 // reduction, 201 // reduction))

    pixels = decoded(data, reduction=reduction)

    assert np.array_equal(pixels, np.asarray(by_pillow.convert("RGB")))


# Whole pictures that libjpeg warns of


def before_first_table(data, extra):
    """The file with bytes that belong to no segment."""
    at = data.index(b"\xff\xdb")
    return data[:at] + extra + data[at:]


SURROUNDINGS = {
    "no end marker": lambda data: data[:-2],
    "half an end marker": lambda data: data[:-1],
    "no end marker, zeros": lambda data: data[:-2] + bytes(5000),
    "no end marker, text": lambda data: data[:-2] + b"the camera's notes " * 20,
    "no end marker, marked text": lambda data: data[:-2] + b"\xff\x33 notes " * 20,
    "no end marker, another picture": lambda data: data[:-2] + jpeg(photo(30, 40)),
    "a trailer": lambda data: data + b"SEFH\0\0" + bytes(1000) + b"SEFT",
    "another picture": lambda data: data + jpeg(photo(30, 40)),
    "fill bytes": lambda data: data[:-2] + b"\xff\xff" + data[-2:],
    "bytes between segments": lambda data: before_first_table(data, b"junk between segments"),
    "zeros between segments": lambda data: before_first_table(data, bytes(3)),
    "an unknown JFIF version": lambda data: data[:11] + b"\x07" + data[12:],
    "a broken colour profile": lambda data: before_first_table(
        data, b"\xff\xe2\0\x14ICC_PROFILE\0\x07\x03abcd"
    ),
    "an unknown Adobe transform": lambda data: before_first_table(
        data, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07"
    ),
    "broken EXIF": lambda data: jpeg_with_exif(data, b"MM\0*\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("kind", ["plain", "restart marker a row", "progressive", "gray"])
@pytest.mark.parametrize("surrounding", list(SURROUNDINGS))
def test_what_surrounds_a_whole_picture_does_not_matter(kind, surrounding):
    data = jpeg(photo(200, 310), **KINDS[kind])

    changed = SURROUNDINGS[surrounding](data)

    assert changed != data
    for reduction, colour in itertools.product((1, 2), (False, True)):
        options = {"reduction": reduction, "colour": colour}
        assert np.array_equal(decoded(changed, **options), decoded(data, **options))


def test_scan_parameters_that_mean_nothing_do_not_matter():
    data = jpeg(photo())
    scan = jpeg_header(data).scan
    parameters = scan + 3 + 2 * 3

    changed = data[:parameters] + b"\0\0\0" + data[parameters + 3 :]

    assert np.array_equal(decoded(changed), decoded(data))


@needs_data
def test_a_photo_without_an_end_marker_is_the_photo():
    cut = (DATA / "odd-files/no-eoi/a.jpg").read_bytes()
    other = (DATA / "odd-files/no-eoi/ref.jpg").read_bytes()  # the same, at another quality

    pixels = decoded(cut)

    assert np.array_equal(pixels, by_opencv(cut + b"\xff\xd9", 1, False))
    assert np.abs(pixels.astype(int) - decoded(other)).mean() < 3


@needs_data
def test_a_long_orientation_turns_a_photo_upright():
    folder = DATA / "odd-files/exif-long"
    shown, stored = (
        decode((folder / name).read_bytes(), Limits()) for name in ("ref.jpg", "a.jpg")
    )

    assert (shown.height, shown.width) == (stored.height, stored.width)
    assert np.abs(shown.gray.pixels.astype(int) - stored.gray.pixels).mean() < 8


# Lost data


@pytest.fixture(scope="module", params=list(KINDS))
def busy_files(request):
    """Fifty files of a kind."""
    return [jpeg(busy_photo(seed), **KINDS[request.param]) for seed in range(50)]


def test_lost_data_are_noticed(busy_files):
    noticed = 0
    for seed in range(100):
        data = busy_files[seed % 50]
        scan = jpeg_header(data).scan + 20
        at = int(np.random.default_rng(seed).integers(scan, len(data) - LOST_BYTES - 2))
        try:
            decoded(data[:at] + data[at + LOST_BYTES :])
        except ImageError as error:
            assert error.reason in ("damaged", "truncated", "unsupported")
            noticed += 1

    assert noticed >= 97


def test_zeros_in_place_of_data_are_noticed(busy_files):
    noticed = 0
    for seed in range(50):
        data = busy_files[seed]
        scan = jpeg_header(data).scan + 20
        at = int(np.random.default_rng(seed).integers(scan, len(data) - LOST_BYTES - 2))
        try:
            decoded(data[:at] + bytes(LOST_BYTES) + data[at + LOST_BYTES :])
        except ImageError:
            noticed += 1

    assert noticed >= 47


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_cut_picture_is_truncated_with_whatever_follows(kind, share):
    data = jpeg(busy_photo(0), **KINDS[kind])
    cut = data[: int(len(data) * share)]

    assert reason(cut) == "truncated"
    assert reason(cut + bytes(100)) in ("truncated", "damaged")
    assert reason(cut + b"\xff\xd9") == "damaged"


def test_a_missing_and_a_wrong_restart_marker_are_damage():
    data = jpeg(photo(200, 310), restart_marker_rows=1)
    at = data.index(b"\xff\xd3", jpeg_header(data).scan)

    assert reason(data[:at] + data[at + 2 :]) == "damaged"
    assert reason(data[:at] + b"\xff\xd4" + data[at + 2 :]) == "damaged"


def test_bytes_between_the_scans_of_a_progressive_picture_are_damage():
    data = jpeg(photo(200, 310), progressive=True)
    at = data.rindex(b"\xff\xc4")

    assert reason(data[:at] + bytes(30) + data[at:]) == "damaged"


def test_a_progressive_picture_that_ends_between_two_scans_is_truncated():
    data = jpeg(photo(200, 310), progressive=True)
    at = data.rindex(b"\xff\xc4")

    assert reason(data[:at]) == "truncated"
