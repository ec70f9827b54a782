"""From bytes to gray pixels: every format, colour mode and orientation.

Files are made in memory by Pillow (``encoded``). Equality is asked where a format keeps pixels, a
small distance between hashes where it does not. Broken files are in ``test_faults_images``.
"""

import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from encoded import (
    blank_png,
    photo,
    save,
    with_orientation,
)
from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images import opencv, pillow
from imgdup.images.decode import decode, decode_rgb
from imgdup.query.probe import picture_in_memory
from imgdup.system.files import read_file
from imgdup.system.limits import CAN_CAP_MEMORY, THREAD_VARIABLES, Limits
from real_pictures import DATA, needs_data

LIMITS = Limits()
RGB = photo()
GRAY = RGB[:, :, 0]
RGBA = np.dstack([RGB, np.full(GRAY.shape, 255, dtype=np.uint8)])
# In workers, libraries start no threads. A thread of OpenBLAS maps 128 MB when it first runs, which
# may be after the memory was capped.
AS_IN_WORKERS = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}


def distances(a, b):
    """Bits between the dHashes and between the PDQ hashes of two pictures."""
    one, other = (fingerprint(picture.gray, "dhash", 64) for picture in (a, b))
    return tuple(int(np.bitwise_count(one[i] ^ other[i]).sum()) for i in (0, 1))


def same(a, b):
    return np.array_equal(a.gray.pixels, b.gray.pixels) and a.gray[1:] == b.gray[1:]


# Pixels that survive


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("png", {}),
        ("bmp", {}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("tiff", {"big_tiff": True}),
        ("webp", {"lossless": True, "exact": True}),
    ],
)
@pytest.mark.parametrize("pixels", [RGB, GRAY], ids=["colour", "gray"])
def test_a_lossless_file_is_the_array_of_its_pixels(name, options, pixels):
    picture = decode(save(pixels, name, **options), LIMITS)

    assert picture.format == name
    assert (picture.width, picture.height) == (200, 150)
    assert same(picture, picture_in_memory(pixels))


def test_an_opaque_alpha_channel_changes_nothing():
    for name in ("png", "tiff"):
        assert same(decode(save(RGBA, name), LIMITS), picture_in_memory(RGB))


def test_sixteen_bits_hash_as_eight():
    wide = GRAY.astype(np.uint16) * 257
    ok, png_file = cv2.imencode(".png", RGB[:, :, ::-1].astype(np.uint16) * 257)

    assert ok
    assert same(decode(png_file.tobytes(), LIMITS), picture_in_memory(RGB))
    for name in ("png", "tiff"):
        assert same(decode(save(wide, name), LIMITS), picture_in_memory(GRAY))


def test_a_palette_is_looked_up():
    quantized = Image.fromarray(RGB).quantize(256)
    expected = picture_in_memory(np.asarray(quantized.convert("RGB")))

    for name in ("png", "gif", "bmp", "tiff"):
        assert same(decode(save(quantized, name), LIMITS), expected)


def test_black_and_white_is_gray():
    image = Image.fromarray(GRAY).convert("1")
    expected = picture_in_memory(np.asarray(image.convert("L")))

    for name, options in [("png", {}), ("tiff", {"compression": "group4"}), ("bmp", {})]:
        assert same(decode(save(image, name, **options), LIMITS), expected)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_a_lossy_file_hashes_closely(name):
    picture = decode(save(RGB, name), LIMITS)

    dhash, pdq = distances(picture, picture_in_memory(RGB))

    assert dhash <= 2
    assert pdq <= 16


@pytest.mark.parametrize("name", ["jpeg", "tiff"])
def test_cmyk_hashes_as_rgb(name):
    picture = decode(save(Image.fromarray(RGB).convert("CMYK"), name), LIMITS)

    assert distances(picture, picture_in_memory(RGB))[0] <= 2


def test_cmyk_jpeg_is_decoded_small():
    image = Image.fromarray(photo(1000, 1203)).convert("CMYK")

    gray = decode(save(image, "jpeg"), LIMITS).gray

    assert (gray.reduction, gray.pixels.shape) == (8, (125, 151))


def test_another_colour_space_hashes_closely():
    spaces = [ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")]
    to_lab = ImageCms.buildTransform(*spaces, "RGB", "LAB")

    picture = decode(save(ImageCms.applyTransform(Image.fromarray(RGB), to_lab), "tiff"), LIMITS)

    assert distances(picture, picture_in_memory(RGB))[0] <= 4


@pytest.mark.parametrize("pixels", [GRAY.astype(np.float32), GRAY.astype(np.int32) * 1000])
def test_samples_of_32_bits_are_unsupported(pixels):
    with pytest.raises(ImageError, match="unsupported"):
        decode(save(pixels, "tiff"), LIMITS)


def test_heic_with_its_package_is_decoded():
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="HEIC needs pillow_heif: the extra heif"
    )
    pillow_heif.register_heif_opener()

    picture = decode(save(RGB, "heif"), LIMITS)

    assert (picture.format, picture.width, picture.height) == ("heif", 200, 150)
    assert distances(picture, picture_in_memory(RGB))[0] <= 2


# Alpha


@pytest.mark.parametrize("name", ["png", "webp", "tiff"])
def test_hidden_colours_do_not_count(name):
    options = {"lossless": True, "exact": True} if name == "webp" else {}
    shown = RGBA.copy()
    shown[:, 100:, 3] = 0
    other = shown.copy()
    other[:, 100:, :3] = np.random.default_rng(0).integers(0, 256, (150, 100, 3))

    one, two = (decode(save(pixels, name, **options), LIMITS) for pixels in (shown, other))

    assert same(one, two)
    assert one.gray.pixels[0, 150] == 255


def test_half_transparent_is_half_white():
    pixels = np.zeros((32, 32, 4), dtype=np.uint8)
    pixels[:, :, 3] = 128

    picture = decode(save(pixels, "png"), LIMITS)

    assert set(picture.gray.pixels.ravel().tolist()) == {127}


@pytest.mark.parametrize("name", ["png", "gif"])
def test_a_transparent_palette_entry_is_white(name):
    image = Image.fromarray(GRAY // 128).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])

    gray = decode(save(image, name, transparency=1), LIMITS).gray

    assert gray.pixels[GRAY >= 128].min() == 255
    assert gray.pixels[GRAY < 128].max() < 30


def test_gray_with_alpha_is_laid_on_white():
    image = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)])

    gray = decode(save(image, "png"), LIMITS).gray

    expected = (GRAY / 255.0) * (255 - GRAY) + GRAY
    assert np.abs(gray.pixels - expected).max() <= 0.5


def test_alpha_by_bands_is_alpha(monkeypatch):
    pixels = np.dstack([RGB, GRAY])
    files = [save(pixels, "png"), save(pixels, "tiff")]
    whole = [decode(data, LIMITS) for data in files]

    monkeypatch.setattr(opencv, "ROWS_PIXELS", 1000)
    monkeypatch.setattr(pillow, "ROWS_PIXELS", 1000)

    for data, expected in zip(files, whole, strict=True):
        assert same(decode(data, LIMITS), expected)


# Reduction


@pytest.mark.parametrize(
    ("size", "reduction"),
    [
        ((191, 400), 1),
        ((192, 400), 2),
        ((400, 383), 2),
        ((384, 384), 4),
        ((767, 900), 4),
        ((768, 901), 8),
        ((1, 600), 1),
    ],
)
def test_jpeg_is_decoded_small_while_96_pixels_remain(size, reduction):
    data = save(photo(*size), "jpeg")

    picture = decode(data, LIMITS)

    assert (picture.height, picture.width) == size
    assert picture.gray.reduction == reduction
    assert picture.gray.pixels.shape == tuple(-(-side // reduction) for side in size)
    assert picture.gray.pixels.dtype == np.uint8


def test_a_full_decode_is_in_colour_and_not_reduced():
    data = save(photo(800, 900), "jpeg")

    gray = decode(data, LIMITS, full=True).gray

    assert (gray.reduction, gray.pixels.shape, gray.pixels.dtype) == (1, (800, 900), np.float32)


@pytest.mark.parametrize("size", [(193, 310), (201, 205), (1001, 777), (399, 397)])
def test_a_small_decode_hashes_as_the_full_one(size):
    data = save(photo(*size), "jpeg", quality=95)

    dhash, pdq = distances(decode(data, LIMITS), decode(data, LIMITS, full=True))

    assert dhash <= 2
    assert pdq <= 16


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "options"), [("png", {}), ("tiff", {}), ("webp", {"lossless": True, "exact": True})]
)
def test_orientation_of_lossless_files_is_applied(name, options, orientation):
    picture = decode(with_orientation(RGB, orientation, name, **options), LIMITS)

    assert same(picture, picture_in_memory(RGB))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(240, 320), (243, 325), (1001, 805)])
def test_orientation_of_jpeg_is_applied_to_small_decodes(orientation, size):
    pixels = photo(*size)

    picture = decode(with_orientation(pixels, orientation, "jpeg", quality=95), LIMITS)

    assert (picture.height, picture.width) == size
    dhash, pdq = distances(picture, picture_in_memory(pixels))
    assert dhash <= 2
    assert pdq <= 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_avif_is_applied(orientation):
    picture = decode(with_orientation(RGB, orientation, "avif"), LIMITS)

    assert (picture.height, picture.width) == (150, 200)
    assert distances(picture, picture_in_memory(RGB))[0] <= 2


@needs_data
@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
def test_the_eight_orientations_of_real_files_hash_alike(kind):
    paths = sorted((DATA / "hostile/exif-orientation").glob(f"{kind}_[1-8].jpg"))
    pictures = [decode(path.read_bytes(), LIMITS) for path in paths]

    found = [distances(picture, pictures[0]) for picture in pictures]

    assert len(found) == 8
    assert max(dhash for dhash, _ in found) == 0
    assert max(pdq for _, pdq in found) <= 8  # each file was compressed anew


# Animations


@pytest.mark.parametrize("name", ["gif", "webp", "png"])
def test_an_animation_is_its_first_frame(name):
    options = {"lossless": True} if name == "webp" else {}
    still = Image.fromarray(GRAY).convert("RGB")
    others = [Image.new("RGB", still.size, (i, i, i)) for i in range(100)]

    data = save(still, name, save_all=True, append_images=others, **options)

    assert same(decode(data, LIMITS), decode(save(still, name, **options), LIMITS))


# Arrays and thumbnails


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 1), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        picture_in_memory(array)


def test_views_are_treated_as_their_copies():
    for view in (RGB[::-1], RGB[:, ::2], RGB[:, :, ::-1], np.asfortranarray(RGB)):
        assert same(picture_in_memory(view), picture_in_memory(view.copy()))


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(save(RGB, "jpeg"))

    content = read_file(str(path), LIMITS)

    assert same(decode(content.data, LIMITS), decode(save(RGB, "jpeg"), LIMITS))
    assert decode(content.data, LIMITS).format == "jpeg"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_upright_colour(orientation):
    data = with_orientation(photo(300, 400), orientation, "jpeg", quality=95)

    thumbnail = decode_rgb(data, LIMITS, 100)

    assert thumbnail.shape == (75, 100, 3)
    assert thumbnail.flags.c_contiguous
    expected = cv2.resize(photo(300, 400), (100, 75), interpolation=cv2.INTER_AREA)
    assert np.abs(thumbnail.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("name", ["png", "gif", "webp", "tiff"])
def test_a_small_picture_is_its_own_thumbnail(name):
    image = Image.fromarray(GRAY)

    thumbnail = decode_rgb(save(image, name, lossless=True), LIMITS, 1000)

    assert np.array_equal(thumbnail, np.dstack([GRAY] * 3))


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
def test_a_thin_picture_has_a_thumbnail(size):
    assert min(decode_rgb(blank_png(*size), LIMITS, 100).shape) == 1


def test_a_broken_picture_has_no_thumbnail():
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(save(RGB, "jpeg")[:2000], LIMITS, 100)


# Values that fill a part of their range


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("name", ["png", "tiff", "ppm"])
def test_values_of_few_bits_in_16_are_scaled_to_what_they_show(name, bits):
    values = photo()[:, :, 0].astype(np.uint16) << (bits - 8)
    values[0, 0] = (1 << bits) - 1

    pixels = decode(save(Image.fromarray(values), name), LIMITS).gray.pixels

    assert np.array_equal(pixels.ravel()[1:], GRAY.ravel()[1:])


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_values_of_16_bits_keep_their_brightness(name):
    values = GRAY.astype(np.uint16) << 7  # half as bright

    pixels = decode(save(Image.fromarray(values), name), LIMITS).gray.pixels

    assert np.array_equal(pixels, GRAY >> 1)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_colours_of_few_bits_in_16_are_scaled_whatever_the_alpha_is(name, bits):
    values = RGB.astype(np.uint16) << (bits - 8)
    values[0, 0] = (1 << bits) - 1
    alpha = np.full(GRAY.shape, 65535, dtype=np.uint16)
    for deep in (values, np.dstack([values, alpha])):
        swapped = deep[..., [2, 1, 0, 3][: deep.shape[2]]]
        data = cv2.imencode(f".{name}", swapped)[1].tobytes()

        assert np.array_equal(decode_rgb(data, LIMITS, 1000)[1:], RGB[1:])


@pytest.mark.parametrize("compression", [1, 5, 8], ids=["none", "lzw", "deflate"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_tiff_colours_of_any_bits_show_the_same_however_they_are_packed(bits, compression):
    values = RGB.astype(np.uint16) << (bits - 8)
    values[0, 0] = (1 << bits) - 1
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    data = cv2.imencode(".tiff", values[..., ::-1], options)[1].tobytes()

    assert np.array_equal(decode_rgb(data, LIMITS, 1000)[1:], RGB[1:])


def test_tiff_colours_in_both_byte_orders_are_scaled():
    values = RGB.astype(np.uint16) << 4
    for order in "<>":
        data = tiff_of_16_bits(values, order)

        assert np.array_equal(decode_rgb(data, LIMITS, 1000), RGB)


def tiff_of_16_bits(values, order, *, alpha=None, inks=False):
    """An uncompressed TIFF file in a byte order, written by hand; `alpha` 1 is premultiplied."""
    height, width, n = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    depths = struct.pack(f"{order}{n}H", *[16] * n)
    fields = [(256, width), (257, height), (258, 8), (259, 1), (262, 5 if inks else 2)]
    fields += [(273, 8 + 2 * n), (277, n), (278, height), (279, len(pixels))]
    fields += [] if alpha is None else [(338, alpha)]
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 3, n, value)
        if tag == 258
        else struct.pack(f"{order}HHII", tag, 4, 1, value)
        for tag, value in fields
    )
    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(fields)) + entries + bytes(4)
    return head + struct.pack(f"{order}I", 8 + 2 * n + len(pixels)) + depths + pixels + directory


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_tiff_pictures_with_alpha_or_in_four_inks_show_the_same_with_any_bits(bits, order):
    highest = (1 << bits) - 1
    values = RGB.astype(np.uint32) * highest // 255
    values[0, 0] = highest
    half, opaque, no_ink = (np.full_like(values[..., :1], n) for n in (highest // 2, highest, 0))
    files = {
        "opaque": tiff_of_16_bits(np.dstack([values, opaque]), order, alpha=2),
        "opaque, premultiplied": tiff_of_16_bits(np.dstack([values, opaque]), order, alpha=1),
        "half": tiff_of_16_bits(np.dstack([values, half]), order, alpha=2),
        "half, premultiplied": tiff_of_16_bits(
            np.dstack([values * half // highest, half]), order, alpha=1
        ),
        "inks": tiff_of_16_bits(np.dstack([highest - values, no_ink]), order, inks=True),
    }

    shown = {name: decode_rgb(data, LIMITS, 1000)[1:] for name, data in files.items()}

    paler = (RGB[1:] + 255.0) / 2
    for name, pixels in shown.items():
        expected = paler if name.startswith("half") else RGB[1:]
        assert np.abs(pixels - expected).max() <= 2, name  # two roundings


def test_dark_text_on_a_transparent_ground_is_dark_whatever_the_bits():
    """The colours of black text are 0, so that only alpha shows how many bits are in use."""
    ink = np.zeros((40, 60, 1), np.uint16)
    ink[10:20, 5:50] = 4095
    data = tiff_of_16_bits(np.dstack([np.zeros((40, 60, 3), np.uint16), ink]), "<", alpha=1)

    pixels = decode_rgb(data, LIMITS, 1000)

    assert pixels[15, 20].tolist() == [0, 0, 0]
    assert pixels[30, 20].tolist() == [255, 255, 255]


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_an_avif_of_any_depth_shows_the_same(depth):
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 95]
    deep = RGB[..., ::-1] if depth == 8 else RGB[..., ::-1].astype(np.uint16) << (depth - 8)
    data = cv2.imencode(".avif", deep, options)[1].tobytes()

    shown = decode_rgb(data, LIMITS, 1000)

    assert np.abs(shown.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("name", ["bmp", "tga"])
def test_an_alpha_of_zero_everywhere_is_none(name):
    hidden = np.dstack([RGB, np.zeros(GRAY.shape, dtype=np.uint8)])
    data = rgba_bmp(hidden) if name == "bmp" else save(hidden, "tga")

    assert np.array_equal(decode_rgb(data, LIMITS, 1000), RGB)


@pytest.mark.parametrize("name", ["bmp", "tga"])
def test_an_alpha_that_hides_a_part_hides_it(name):
    half = RGBA.copy()
    half[:50, :, 3] = 0
    data = rgba_bmp(half) if name == "bmp" else save(half, "tga")

    assert (decode_rgb(data, LIMITS, 1000)[:50] == 255).all()


def rgba_bmp(rgba):
    """A BMP file with masks for four channels (BITMAPV4HEADER)."""
    height, width = rgba.shape[:2]
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, width, -height, 1, 32, 3, 0, 0, 0, 0, 0)
    head += masks + b"BGRs" + bytes(48)
    pixels = rgba[..., [2, 1, 0, 3]].tobytes()
    return (
        struct.pack("<2sIII", b"BM", 14 + len(head) + len(pixels), 0, 14 + len(head))
        + head
        + pixels
    )


# Workers


def test_a_worker_is_silent_and_its_memory_is_capped():
    script = (
        "import sys\n"
        "from imgdup.errors import ImageError\n"
        "from imgdup.images.decode import decode, init_worker\n"
        "from imgdup.system.limits import Limits\n"
        "limits = Limits(worker_memory_bytes=200_000_000)\n"
        "init_worker(limits)\n"
        "for size in sys.stdin.buffer.read(12).split():\n"
        "    data = sys.stdin.buffer.read(int(size))\n"
        "    try:\n"
        "        print(decode(data, limits).width)\n"
        "    except ImageError as error:\n"
        "        print(error.reason)\n"
    )
    broken = save(RGB, "jpeg").replace(b"\xff\xda", b"garbage\xff\xda")
    large = blank_png(10_000, 10_000)
    sent = b"%5d %5d " % (len(broken), len(large)) + broken + large

    result = subprocess.run(
        [sys.executable, "-c", script], input=sent, capture_output=True, env=AS_IN_WORKERS
    )

    words = result.stdout.split()
    assert result.stderr == b""
    assert words[0] == b"200"
    if CAN_CAP_MEMORY:
        assert words[1] == b"too-large"


# Pictures whose decoders are imported when they are needed.
LATE = [("png", {}), ("webp", {}), ("webp", {"lossless": True}), ("gif", {}), ("avif", {})]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_needs_neither_opencv_nor_pillow(mode):
    script = (
        "import sys\n"
        "from imgdup.images.decode import decode\n"
        "from imgdup.system.limits import Limits\n"
        "print(decode(sys.stdin.buffer.read(), Limits()).width, {'cv2', 'PIL'} & set(sys.modules))"
    )
    data = save(Image.fromarray(RGB).convert(mode), "jpeg")

    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)

    assert done.stdout.decode() == "200 set()\n"


@pytest.mark.parametrize(("name", "options"), LATE)
def test_a_decoder_that_is_loaded_late_takes_no_memory_of_a_worker(name, options):
    script = (
        "import sys\n"
        "from imgdup.images.decode import decode, init_worker\n"
        "from imgdup.system.limits import Limits\n"
        "limits = Limits(worker_memory_bytes=70 << 20)\n"
        "init_worker(limits)\n"
        "heavy = {'cv2', 'PIL'} & set(sys.modules)\n"
        "print(heavy, decode(sys.stdin.buffer.read(), limits).format)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        input=save(RGB, name, **options),
        capture_output=True,
        env=AS_IN_WORKERS,
    )

    assert (done.stdout.decode(), done.stderr.decode()) == (f"set() {name}\n", "")
