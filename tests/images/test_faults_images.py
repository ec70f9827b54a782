"""Broken, false and hostile files: each gives a picture or a reason, in little memory.

Files are made in memory by Pillow and forged by hand (``encoded``); the last test decodes those of
IMGDUP_DATA that fuzzers of other projects found.
"""

import itertools
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from encoded import blank_png, jpeg_claiming, jpeg_with_exif, photo, png, png_chunk, save
from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images import jpeg, opencv, pillow
from imgdup.images.decode import decode
from imgdup.images.formats import REASONS
from imgdup.query.probe import picture_in_memory
from imgdup.system.limits import CAN_CAP_MEMORY, Limits
from real_pictures import DATA, needs_data

LIMITS = Limits()
RGB = photo()
GRAY = RGB[:, :, 0]
CUTS = (0.1, 0.5, 0.9, 0.99)
MORE_NAMES = ("ppm", "jpeg2000", "tga", "ico", "dds")  # as Pillow calls them


def dhash_distance(a, b):
    one, other = (fingerprint(picture.gray, "dhash", 64).hashes for picture in (a, b))
    return int(np.bitwise_count(one ^ other).sum())


def same(a, b):
    return np.array_equal(a.gray.pixels, b.gray.pixels) and a.gray[1:] == b.gray[1:]


def failure(data, limits=LIMITS):
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    return caught.value


def cut(data, share):
    return data[: int(len(data) * share)]


# Broken files


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize("side", [150, 300, 900])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_cut_jpeg_is_truncated(share, side, progressive, mode):
    image = Image.fromarray(photo(side, side)).convert(mode)
    data = save(image, "jpeg", progressive=progressive)

    assert failure(cut(data, share)).reason == "truncated"


@pytest.mark.parametrize("share", CUTS)
def test_a_cut_png_is_truncated_by_its_chunk_lengths(share):
    assert failure(cut(save(RGB, "png"), share)).reason == "truncated"


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("webp", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("bmp", {}),
        ("gif", {}),
        ("avif", {}),
        ("ppm", {}),
        ("jpeg2000", {}),
        ("tga", {}),
        ("tga", {"compression": "tga_rle"}),
        ("dds", {}),
        ("ico", {"sizes": [(64, 48)]}),
    ],
)
def test_any_other_cut_file_has_no_hash(share, name, options):
    assert failure(cut(save(RGB, name, **options), share)).reason in ("truncated", "damaged")


@pytest.mark.parametrize("colour", [2, 6])
def test_png_data_that_are_too_few_or_wrong_are_damage(colour):
    channels = {2: 3, 6: 4}[colour]
    rows = b"".join(bytes([0, *range(40 * channels)]) for _ in range(40))
    packed = zlib.compress(rows)
    broken = [
        zlib.compress(rows[: len(rows) // 2]),
        packed[:-4],
        packed[:-4] + b"sums",
        packed[: len(packed) // 2],
        zlib.compress(b"\x09" + rows[1:]),
        b"",
    ]

    assert decode(png(40, 40, packed, colour), LIMITS).width == 40
    for data in broken:
        assert failure(png(40, 40, data, colour)).reason == "damaged"


def test_a_flipped_byte_in_a_jpeg_is_a_close_hash_or_a_reason():
    data = save(RGB, "jpeg")
    whole = decode(data, LIMITS)
    rng = np.random.default_rng(0)
    close = 0

    for at in rng.integers(len(data) // 2, len(data), 50).tolist():
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        try:
            close += dhash_distance(decode(bytes(flipped), LIMITS), whole) <= 10
        except ImageError as error:
            assert error.reason in REASONS

    assert close > 25


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a text named .jpg",
        b"<!DOCTYPE html><html>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"PK\3\4\x14\0",
        bytes(1000),
    ],
)
def test_other_content_is_not_an_image(data):
    assert failure(data).reason == "not-an-image"


@pytest.mark.parametrize(
    "data",
    [
        b"#?RADIANCE\n",
        b"\x59\xa6\x6a\x95",
        b"\x76\x2f\x31\x01",
        b"P7\nWIDTH 2\n",
        b"8BPS\0\2" + bytes(30),
        b"qoif\0\0\0\x10",
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda",
    ],
)
def test_pictures_of_a_format_that_is_not_decoded_are_unsupported(data):
    assert failure(data).reason == "unsupported"


def test_jpeg_xl_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)

    error = failure(b"\xff\x0a\x0f\0" + bytes(100))

    assert error.reason == "unsupported"
    assert "pip install pillow-jxl-plugin" in error.detail


def test_heic_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    error = failure(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))

    assert error.reason == "unsupported"
    assert "pip install pillow-heif" in error.detail


@pytest.mark.parametrize(
    "error", [RuntimeError, SystemError, AssertionError, struct.error, KeyError]
)
def test_whatever_pillow_raises_is_damage(monkeypatch, error):
    def fail(file):
        raise error("a surprise")

    monkeypatch.setitem(pillow._PLUGINS, "bmp", lambda: fail)

    assert failure(save(RGB, "bmp")).reason == "damaged"


def test_what_opencv_raises_is_damage(monkeypatch):
    def fail(data, flag):
        raise cv2.error("a surprise")

    monkeypatch.setattr(opencv.cv2, "imdecode", fail)

    assert failure(save(RGB, "png")).reason == "damaged"


@pytest.mark.parametrize("name", ["png", "bmp", "jpeg"])
def test_a_picture_for_which_memory_is_missing_is_too_large(monkeypatch, name):
    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(opencv.cv2, "imdecode", fail)
    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", fail)
    monkeypatch.setitem(pillow._PLUGINS, "bmp", lambda: fail)

    assert failure(save(RGB, name)).reason == "too-large"


def test_a_picture_for_which_libjpeg_lacks_memory_is_too_large(monkeypatch):
    def fail(*arguments, **options):
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", fail)

    assert failure(save(RGB, "jpeg")).reason == "too-large"


# Claims and bombs


@pytest.mark.parametrize(
    "data",
    [
        png(30000, 30000, zlib.compress(bytes(1000))),
        jpeg_claiming(save(RGB, "jpeg"), 65000, 65000),
        jpeg_claiming(save(RGB, "jpeg", progressive=True), 30000, 30000),
        jpeg_claiming(save(RGB, "jpeg", progressive=True), 65535, 65535),
        b"GIF89a"
        + b"\xff" * 4
        + b"\xf0\0\0"
        + bytes(6)
        + b","
        + bytes(4)
        + b"\xff" * 4
        + b"\0\2\0;",
        b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff" * 6 + b"ALPH" + bytes(20),
        save(RGB, "bmp")[:18] + struct.pack("<ii", 100_000, 100_000) + save(RGB, "bmp")[26:],
    ],
    ids=["png", "jpeg", "progressive", "progressive-largest", "gif", "webp", "bmp"],
)
def test_sizes_are_compared_with_the_limit_before_anything_is_decoded(data, no_decoder):
    assert failure(data).reason == "too-large"


def test_the_limit_counts_pixels():
    data = save(RGB, "png")

    assert decode(data, Limits(max_pixels=30_000)).width == 200
    assert failure(data, Limits(max_pixels=29_999)).reason == "too-large"


def test_a_side_of_no_photo_is_too_large():
    assert failure(blank_png(1 << 17 | 1, 1)).reason == "too-large"


@pytest.mark.parametrize("size", [(1, 60000), (60000, 1), (1, 1), (2, 2), (8, 8)])
def test_extreme_sizes_are_decoded(size):
    picture = decode(blank_png(*size[::-1]), LIMITS)

    assert (picture.height, picture.width) == size
    assert fingerprint(picture.gray, "dhash", 64).quality == 0


def test_without_a_memory_cap_only_baseline_jpeg_may_be_large(monkeypatch):
    monkeypatch.setattr("imgdup.system.limits.CAN_CAP_MEMORY", False)
    monkeypatch.setattr("imgdup.system.limits.MAX_PIXELS_UNCAPPED", 29_999)

    assert decode(save(RGB, "jpeg"), LIMITS).width == 200
    assert failure(save(RGB, "jpeg", progressive=True)).reason == "too-large"
    for name in ("png", "webp", "bmp", "gif", "tiff", "avif"):
        assert failure(save(RGB, name)).reason == "too-large"


def test_a_chunk_length_beyond_the_file_is_damage():
    data = blank_png(64, 48)[:33] + b"\xff\xff\0\0IDAT" + bytes(27)

    assert failure(data).reason == "damaged"


@pytest.mark.skipif(not CAN_CAP_MEMORY, reason="needs a limit of the memory of a process")
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
@pytest.mark.parametrize("colour", [2, 6])
def test_text_bombs_are_not_unpacked(kind, colour, tmp_path):
    """The picture is decoded by a process that has less memory than the text needs."""
    script = (
        "import pathlib, sys\n"
        "from imgdup.images.decode import decode, init_worker\n"
        "from imgdup.system.limits import Limits\n"
        "limits = Limits(worker_memory_bytes=80 << 20)\n"
        "data = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "init_worker(limits)\n"
        "print(decode(data, limits).width)\n"
    )
    bomb = png_chunk(kind, b"x\0\0" + zlib.compress(bytes(100_000_000), 9))
    rows = zlib.compress(bytes((1 + 20 * {2: 3, 6: 4}[colour]) * 20))
    (tmp_path / "bomb.png").write_bytes(png(20, 20, rows, colour, extra=bomb * 5))

    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bomb.png")], capture_output=True, text=True
    )

    assert (result.stdout, result.stderr) == ("20\n", "")


@pytest.mark.parametrize("n_pages", [1, 50_000], ids=["loop", "pages"])
def test_pages_of_a_tiff_are_not_followed(n_pages):
    data = save(GRAY, "tiff")
    (at,) = struct.unpack_from("<I", data, 4)
    end = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    directory = data[at:end]
    size = len(directory) + 4
    links = [len(data) + i * size for i in range(1, n_pages)] + [at]
    pages = b"".join(directory + struct.pack("<I", link) for link in links)
    looping = data[:end] + struct.pack("<I", len(data)) + data[end + 4 :] + pages

    assert same(decode(looping, LIMITS), picture_in_memory(GRAY))


@pytest.mark.parametrize(
    "exif", [b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(60_000)]
)
def test_exif_data_that_make_no_sense_change_nothing(exif):
    data = save(RGB, "jpeg")

    assert same(decode(jpeg_with_exif(data, exif), LIMITS), decode(data, LIMITS))


def test_a_jpeg_that_lies_about_its_size_is_damaged():
    data = jpeg_claiming(save(photo(40, 40), "jpeg"), 4000, 4000)

    assert failure(data).reason == "damaged"


def test_bytes_behind_the_end_do_not_matter():
    for name in ("jpeg", "png", "gif", "bmp", "webp"):
        data = save(RGB, name)

        assert same(decode(data + bytes(100_000), LIMITS), decode(data, LIMITS))


def test_mutants_give_a_picture_or_a_reason():
    rng = np.random.default_rng(0)
    names = ("jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", *MORE_NAMES)

    for name, _ in itertools.product(names, range(40)):
        data = bytearray(save(photo(20, 30), name))
        for at in rng.integers(0, len(data), 5).tolist():
            data[at] = int(rng.integers(256))
        try:
            decode(bytes(data), Limits(max_pixels=10_000_000))
        except ImageError as error:
            assert error.reason in REASONS[1:]


@needs_data
def test_every_hostile_file_gives_a_picture_or_a_reason():
    script = (
        "import sys, pathlib\n"
        "from imgdup.errors import ImageError\n"
        "from imgdup.hashing import fingerprint\n"
        "from imgdup.images.decode import decode, init_worker\n"
        "from imgdup.system.files import read_file\n"
        "from imgdup.system.limits import Limits\n"
        "limits = Limits(worker_memory_bytes=1 << 30)\n"
        "init_worker(limits)\n"
        "for path in sorted(p for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()):\n"
        "    try:\n"
        "        picture = decode(read_file(str(path), limits).data, limits)\n"
        "        word = 'ok' if fingerprint(picture.gray, 'dhash', 64) else ''\n"
        "    except ImageError as error:\n"
        "        word = error.reason\n"
        "    print(word)\n"
    )
    folder = DATA / "hostile"
    command = [sys.executable, "-W", "error", "-c", script, str(folder)]

    result = subprocess.run(command, capture_output=True, text=True, timeout=250)

    words = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    assert len(words) == sum(path.is_file() for path in folder.rglob("*"))
    assert set(words) <= set(REASONS)
