"""PNM, JPEG 2000, TGA, ICO, PSD, DDS and JPEG XL: the pixels of the file, under the same caps."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from encoded import photo, png, save
from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images import pillow
from imgdup.images.decode import decode
from imgdup.query.probe import picture_in_memory
from imgdup.system.limits import Limits

LIMITS = Limits()
RGB = photo()
GRAY = RGB[:, :, 0]
RGBA = np.dstack([RGB, np.full(GRAY.shape, 255, dtype=np.uint8)])


def psd(pixels, mode, depth=8):
    """A Photoshop file without layers: its one picture, plane after plane."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, channels = planes.shape
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, channels, height, width, depth, mode)
    return header + bytes(12) + b"\0\0" + planes.transpose(2, 0, 1).tobytes()


def ico_of_png(content, side=0):
    entry = struct.pack("<BBBBHHII", side, side, 0, 0, 1, 32, len(content), 22)
    return b"\0\0\1\0\1\0" + entry + content


def jxl(pixels, **options):
    pytest.importorskip("pillow_jxl", reason="JPEG XL needs pillow_jxl: the extra jxl")
    return save(pixels, "jxl", **options)


def same(a, b):
    return np.array_equal(a.gray.pixels, b.gray.pixels) and a.gray[1:] == b.gray[1:]


def dhash_distance(a, b):
    one, other = (fingerprint(picture.gray, "dhash", 64).hashes for picture in (a, b))
    return int(np.bitwise_count(one ^ other).sum())


def failure(data, limits=LIMITS):
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    return caught.value


@pytest.mark.parametrize("pixels", [RGB, GRAY], ids=["colour", "gray"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("pnm", lambda pixels: save(pixels, "ppm")),
        ("tga", lambda pixels: save(pixels, "tga")),
        ("tga", lambda pixels: save(pixels, "tga", compression="tga_rle")),
        ("dds", lambda pixels: save(pixels, "dds")),
        ("jpeg2000", lambda pixels: save(pixels, "jpeg2000", irreversible=False)),
        ("jpeg2000", lambda pixels: save(pixels, "jpeg2000", no_jp2=True)),
        ("psd", lambda pixels: psd(pixels, 1 if pixels.ndim == 2 else 3)),
        ("ico", lambda pixels: ico_of_png(save(pixels, "png"))),
        ("jxl", lambda pixels: jxl(pixels, lossless=True)),
        ("jxl", lambda pixels: jxl(pixels, lossless=True, use_container=True)),
    ],
)
def test_a_lossless_file_is_the_array_of_its_pixels(name, make, pixels):
    picture = decode(make(pixels), LIMITS)

    assert picture.format == name
    assert (picture.width, picture.height) == (200, 150)
    assert same(picture, picture_in_memory(pixels))


def test_an_icon_is_its_largest_picture():
    image = Image.fromarray(photo(256, 256))

    picture = decode(save(image, "ico"), LIMITS)

    assert same(picture, picture_in_memory(np.asarray(image)))


def test_plain_pnm_files_with_comments_are_read():
    assert decode(b"P2\n# a comment\n2 1\n255\n0 255\n", LIMITS).gray.pixels.tolist() == [[0, 255]]
    assert decode(b"P1\n2 1\n1 0\n", LIMITS).gray.pixels.tolist() == [[0, 255]]


def test_sixteen_bits_hash_as_eight():
    wide = GRAY.astype(np.uint16) * 257
    pgm = b"P5\n200 150\n65535\n" + wide.astype(">u2").tobytes()

    for data in (pgm, save(wide, "jpeg2000"), jxl(wide, lossless=True)):
        assert same(decode(data, LIMITS), picture_in_memory(GRAY))


@pytest.mark.parametrize("name", ["tga", "dds", "jpeg2000", "ico", "jxl"])
def test_hidden_colours_do_not_count(name):
    options = {"jxl": {"lossless": True}, "ico": {"sizes": [(200, 150)]}}.get(name, {})
    shown = RGBA.copy()
    shown[:, 100:, 3] = 0
    other = shown.copy()
    other[:, 100:, :3] = 77
    if name == "jxl":
        pytest.importorskip("pillow_jxl", reason="JPEG XL needs pillow_jxl: the extra jxl")

    one, two = (decode(save(pixels, name, **options), LIMITS) for pixels in (shown, other))

    assert same(one, two)
    assert one.gray.pixels[0, 150] == 255


def test_a_jpeg_xl_file_has_the_orientation_of_its_codestream():
    """libjxl has turned the picture: EXIF data, which the standard calls a copy, do not count."""
    exif = Image.Exif()
    exif[0x0112] = 6

    data = jxl(RGB, lossless=True, exif=exif.tobytes())

    assert same(decode(data, LIMITS), picture_in_memory(RGB))


def test_a_lossy_jpeg_xl_hashes_closely():
    assert dhash_distance(decode(jxl(RGB), LIMITS), picture_in_memory(RGB)) <= 2


# Caps


def jxl_claiming(height, width):
    """The head of a JPEG XL codestream: two sides of 30 bits, without a ratio."""
    bits = 3 << 1 | (height - 1) << 3 | 3 << 36 | (width - 1) << 38
    return b"\xff\x0a" + bits.to_bytes(16, "little") + bytes(100)


@pytest.mark.parametrize(
    "data",
    [
        b"P6\n30000 30000\n255\n" + bytes(1000),
        struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 60000, 60000, 24, 0) + bytes(1000),
        psd(np.zeros((1, 1, 3), np.uint8), 3).replace(
            struct.pack(">II", 1, 1), struct.pack(">II", 30000, 30000), 1
        ),
        save(RGB, "dds")[:12] + struct.pack("<II", 30000, 30000) + save(RGB, "dds")[20:],
        ico_of_png(png(30000, 30000, b"x\x9c")),
        jxl_claiming(30000, 30000),
    ],
    ids=["pnm", "tga", "psd", "dds", "ico", "jxl"],
)
def test_sizes_are_compared_with_the_limit_before_anything_is_decoded(data, no_decoder):
    assert failure(data).reason == "too-large"


def test_a_jpeg_2000_size_is_held_against_the_limit():
    data = save(RGB, "jpeg2000")

    assert decode(data, Limits(max_pixels=30_000)).width == 200
    assert failure(data, Limits(max_pixels=29_999)).reason == "too-large"


def test_a_jpeg_2000_that_claims_a_huge_tile_takes_little_memory():
    data = save(RGB, "jpeg2000", no_jp2=True)
    huge = data[:8] + struct.pack(">II", 14_000, 14_000) + data[16:]
    script = (
        "import resource, sys\n"
        "from imgdup.errors import ImageError\n"
        "from imgdup.images.decode import decode, init_worker\n"
        "from imgdup.system.limits import Limits\n"
        "limits = Limits(worker_memory_bytes=300_000_000)\n"
        "init_worker(limits)\n"
        "try:\n"
        "    decode(sys.stdin.buffer.read(), limits)\n"
        "except ImageError as error:\n"
        "    print(error.reason)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], input=huge, capture_output=True)

    assert done.stdout.decode().strip() in ("too-large", "damaged", "truncated")
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["jxl", "psd"])
def test_mutants_give_a_picture_or_a_reason(name):
    data = jxl(photo(40, 60)) if name == "jxl" else psd(photo(40, 60), 3)
    rng = np.random.default_rng(0)

    for _ in range(200):
        mutant = bytearray(data)
        for at in rng.integers(0, len(mutant), 4).tolist():
            mutant[at] = int(rng.integers(256))
        try:
            decode(bytes(mutant), Limits(max_pixels=10_000_000))
        except ImageError as error:
            assert error.reason != "ok"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["jxl", "psd"])
def test_a_cut_file_has_no_hash(name, share):
    data = jxl(photo(40, 60)) if name == "jxl" else psd(photo(40, 60), 3)

    assert failure(data[: int(len(data) * share)]).reason in ("truncated", "damaged")


def test_pillows_settings_are_as_before_when_threads_have_decoded():
    before = Image.MAX_IMAGE_PIXELS
    with pillow._pillow_settings(1000):
        decode(save(RGB, "gif"), LIMITS)
        assert before != Image.MAX_IMAGE_PIXELS

    assert before == Image.MAX_IMAGE_PIXELS
