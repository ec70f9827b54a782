"""What files hold: facts and digests of painted files of every kind, and of the odd files."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from encoded import blank_png, jpeg_claiming, photo, save
from imgdup.errors import ImageError
from imgdup.images.decode import decode
from imgdup.images.facts import contents_digest, image_facts
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

LIMITS = Limits()
RGB = photo()
IMAGE = Image.fromarray(RGB)
OTHER = Image.fromarray(RGB[::-1].copy())


def facts(data):
    return image_facts(data, LIMITS)


def digest(data):
    return contents_digest(data, LIMITS)


def frames(name, *images, **options):
    return save(images[0], name, save_all=True, append_images=images[1:], **options)


def with_camera(name):
    exif = Image.Exif()
    exif[271], exif[272] = "NIKON", "NIKON D70"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:27 10:00:30"
    return save(IMAGE, name, exif=exif)


ANIMATED = [
    ("gif", {}),
    ("png", {}),
    ("webp", {"lossless": True}),
    ("tiff", {}),
    ("avif", {"speed": 10}),
]


@pytest.mark.parametrize(("name", "options"), ANIMATED)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_pages_and_frames_are_counted(name, options, n):
    images = [IMAGE, OTHER, IMAGE.rotate(90).resize(IMAGE.size)][:n]

    assert facts(frames(name, *images, **options)).n_pages == n


@pytest.mark.parametrize(("name", "options"), ANIMATED[:4])
def test_every_page_decides_not_only_the_first(name, options):
    one, same, other, longer = (
        digest(frames(name, *images, **options))
        for images in ([IMAGE, OTHER], [IMAGE, OTHER], [IMAGE, IMAGE.rotate(180)], [IMAGE])
    )

    assert one == same
    assert len({one, other, longer}) == 3


def test_the_format_does_not_count_in_the_digest_of_equal_pages():
    tiff = frames("tiff", IMAGE, OTHER)

    assert digest(tiff) == digest(frames("tiff", IMAGE, OTHER, compression="tiff_lzw"))
    assert digest(tiff) == digest(frames("webp", IMAGE, OTHER, lossless=True))
    assert digest(save(IMAGE, "png")) == digest(save(IMAGE, "bmp")) == digest(save(IMAGE, "tiff"))


def test_the_digest_of_a_page_that_cannot_be_decoded_is_an_error():
    data = frames("tiff", IMAGE, OTHER)

    with pytest.raises(ImageError):
        digest(data[:-2000])


def test_each_page_keeps_within_the_limits():
    data = frames("tiff", Image.fromarray(RGB[:20, :20]), IMAGE)

    with pytest.raises(ImageError, match="too-large"):
        contents_digest(data, Limits(max_pixels=1000))


@pytest.mark.parametrize("depth", [8, 16])
def test_files_of_more_than_8_bits_are_equal_only_if_their_bytes_are(depth):
    deep = RGB.astype(np.uint8 if depth == 8 else np.uint16) * (1 if depth == 8 else 256)
    one, other = (
        cv2.imencode(".png", deep, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()
        for level in (1, 9)
    )

    assert (digest(one) == digest(other)) == (depth == 8)
    assert facts(one).bit_depth == depth


JPEG = save(IMAGE, "jpeg", quality=90)
FILM = struct.pack(">I4s4sI", 24, b"ftyp", b"mp42", 0) + bytes(range(1, 200)) * 3


@pytest.mark.parametrize(
    ("behind", "holds"),
    [
        (b"", set()),
        (bytes(5000), set()),
        (b"\r\n", set()),
        (JPEG, {"pictures"}),
        (FILM, {"film"}),
        (JPEG + FILM, {"pictures", "film"}),
        (b"@BRCM" + bytes(range(1, 256)), {"raw"}),
        (bytes(range(1, 200)), {"data"}),
    ],
)
def test_what_lies_behind_a_jpeg_is_named_and_counts(behind, holds):
    data = JPEG + behind

    assert facts(data).holds == holds
    assert (digest(data) == digest(JPEG)) == (not holds)


def test_data_behind_the_end_of_a_png_file_are_found():
    data = blank_png(20, 20)

    assert facts(data + bytes(range(1, 200))).holds == {"data"}
    assert facts(data).holds == set()


def test_a_multi_picture_file_holds_pictures():
    assert facts(frames("mpo", IMAGE, OTHER)).holds == {"pictures"}


@pytest.mark.parametrize("name", ["png", "webp", "tiff"])
def test_a_file_holds_alpha_only_if_a_pixel_is_transparent(name):
    alpha = np.full(RGB.shape[:2], 255, dtype=np.uint8)
    opaque = save(np.dstack([RGB, alpha]), name)
    alpha[3, 4] = 254

    assert facts(opaque).holds == set()
    assert facts(save(np.dstack([RGB, alpha]), name)).holds == {"alpha"}


@pytest.mark.parametrize(
    ("image", "name", "depth", "colour"),
    [
        (IMAGE, "jpeg", 8, "colour"),
        (IMAGE.convert("L"), "jpeg", 8, "gray"),
        (IMAGE.convert("L").convert("RGB"), "jpeg", 8, "gray"),
        (IMAGE.convert("L").convert("RGB"), "png", 8, "gray"),
        (IMAGE.convert("1"), "png", 1, "one-bit"),
        (IMAGE.convert("1"), "tiff", 1, "one-bit"),
        (IMAGE.convert("1"), "bmp", 8, "one-bit"),
        (IMAGE.convert("1").convert("RGB"), "png", 8, "one-bit"),
        (IMAGE.quantize(16), "gif", 8, "palette"),
        (IMAGE.quantize(16), "png", 8, "palette"),
        (IMAGE.quantize(16), "bmp", 8, "palette"),
        (IMAGE.quantize(16), "tiff", 8, "palette"),
        (IMAGE, "bmp", 8, "colour"),
        (IMAGE, "ppm", 8, "colour"),
        (IMAGE.convert("1"), "ppm", 1, "one-bit"),
        (IMAGE, "jpeg2000", 8, "colour"),
    ],
)
def test_depth_and_colours_are_those_that_are_stored_and_shown(image, name, depth, colour):
    found = facts(save(image, name))

    assert (found.bit_depth, found.colour) == (depth, colour)


@pytest.mark.parametrize("name", ["png", "tiff", "ppm", "jpeg2000"])
def test_a_depth_of_16_bits_is_read_from_the_file(name):
    values = RGB[:, :, 0].astype(np.uint16) * 257

    assert facts(save(Image.fromarray(values), name)).bit_depth == 16


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_the_depth_of_avif_is_read(depth):
    options = [cv2.IMWRITE_AVIF_DEPTH, depth]
    pixels = RGB if depth == 8 else RGB.astype(np.uint16) << (depth - 8)

    assert facts(cv2.imencode(".avif", pixels, options)[1].tobytes()).bit_depth == depth


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif"])
def test_date_and_camera_are_read(name):
    found = facts(with_camera(name))

    assert (found.taken_s, found.camera) == (1_795_773_630, "NIKON D70")


def test_the_camera_of_a_tiff_is_read():
    assert facts(with_camera("tiff")).camera == "NIKON D70"


@pytest.mark.parametrize("date", ["", "0000:00:00 00:00:00", "2026:02:30 10:00:00", "yesterday"])
def test_a_date_that_does_not_exist_is_left_out(date):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = date

    found = facts(save(IMAGE, "jpeg", exif=exif))

    assert (found.taken_s, found.camera) == (None, None)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [1, 5, 25, 49, 50, 60, 75, 80, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_that_of_its_writer(quality, mode):
    assert facts(save(IMAGE.convert(mode), "jpeg", quality=quality)).jpeg_quality == quality


@pytest.mark.parametrize(
    ("name", "options", "lossless"),
    [
        ("jpeg", {}, False),
        ("png", {}, True),
        ("webp", {"lossless": True}, True),
        ("webp", {"quality": 80}, False),
        ("tiff", {"compression": "tiff_lzw"}, True),
        ("tiff", {"compression": "jpeg"}, False),
        ("jpeg2000", {"irreversible": False}, True),
        ("jpeg2000", {"irreversible": True}, False),
        ("avif", {}, False),
        ("bmp", {}, True),
    ],
)
def test_lossless_files_are_distinguished_from_lossy_ones(name, options, lossless):
    found = facts(save(IMAGE, name, **options))

    assert found.lossless == lossless
    assert (found.jpeg_quality is None) == (name != "jpeg")


def test_a_header_that_claims_too_much_gives_a_reason():
    with pytest.raises(ImageError, match="too-large"):
        facts(jpeg_claiming(JPEG, 60_000, 60_000))


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "tiff", "webp", "avif", "bmp", "jpeg2000"])
def test_mutants_give_facts_or_a_reason(name):
    whole = with_camera(name) if name in ("jpeg", "png", "tiff", "webp") else save(IMAGE, name)
    rng = np.random.default_rng(0)

    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 3).tolist():
            data[at] = int(rng.integers(256))
        for function in (image_facts, contents_digest):
            try:
                function(bytes(data), Limits(max_pixels=10_000_000))
            except ImageError as error:
                assert error.reason != "ok"


@needs_data
def test_the_odd_files_match_their_descriptions():
    odd = DATA / "odd-files"
    fax, other_fax = ((odd / f"fax/contract-{x}.tif").read_bytes() for x in "AB")
    clip, other_clip = ((odd / f"gif/clip-{x}.gif").read_bytes() for x in "ab")
    stereo, left = (odd / "mpo/stereo.mpo").read_bytes(), (odd / "mpo/left.jpg").read_bytes()

    assert facts(fax).n_pages == facts(other_fax).n_pages == 2
    assert digest(fax) != digest(other_fax)
    assert (
        decode(fax, LIMITS).gray.pixels.tolist() == decode(other_fax, LIMITS).gray.pixels.tolist()
    )
    assert facts(clip).n_pages == facts(other_clip).n_pages == 2
    assert digest(clip) != digest(other_clip)
    assert facts((odd / "gif/poster.jpg").read_bytes()).n_pages == 1
    assert (facts(stereo).holds, facts(left).holds) == ({"pictures"}, set())
    assert facts((odd / "no-eoi/a.jpg").read_bytes()).holds == set()


def test_an_icon_holds_its_sizes():
    file = io.BytesIO()
    IMAGE.resize((64, 64)).save(file, "ICO", sizes=[(16, 16), (32, 32), (64, 64)])

    assert facts(file.getvalue()).n_pages == 3
