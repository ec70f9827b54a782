"""The hash of the tutorial, from files: what its published code makes of them with cv2.imread."""

import io
import os

import cv2
import numpy as np
import pytest
from make_sample import photo
from PIL import Image

import oracles_hashing as oracles
from imgdup import ImageIndex, Settings, hash_image
from imgdup.images.decode import decode
from imgdup.system.limits import Limits

pytestmark = pytest.mark.usefixtures("in_process")

HIDDEN = 40  # columns whose colours alpha hides


def _saved(image, form, **options):
    """The bytes of a file that Pillow writes."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _files():
    """One file of each kind that OpenCV treats in its own way, by name."""
    colours = np.ascontiguousarray(photo(0, 320, 240)[..., ::-1])
    image = Image.fromarray(colours)
    turned = image.getexif()
    turned[0x112] = 6
    hidden = np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])
    hidden[:, :HIDDEN, 3] = 0
    deep = cv2.imencode(".png", photo(1, 320, 240).astype(np.uint16) * 257)[1].tobytes()
    return {
        "large.jpg": _saved(Image.fromarray(colours.repeat(4, 0).repeat(4, 1)), "jpeg"),
        "turned.jpg": _saved(image, "jpeg", exif=turned),
        "gray.jpg": _saved(image.convert("L"), "jpeg"),
        "cmyk.jpg": _saved(image.convert("CMYK"), "jpeg"),
        "plain.png": _saved(image, "png"),
        "turned.png": _saved(image, "png", exif=turned),
        "hidden.png": _saved(Image.fromarray(hidden), "png"),
        "palette.png": _saved(image.quantize(64), "png"),
        "deep.png": deep,
        "plain.bmp": _saved(image, "bmp"),
        "plain.tif": _saved(image, "tiff"),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with these files, which nothing changes."""
    folder = tmp_path_factory.mktemp("files")
    for name, data in _files().items():
        (folder / name).write_bytes(data)
    return folder


def test_an_index_holds_what_the_tutorial_computes_of_each_file(folder, tmp_path):
    settings = Settings(hasher="dhash-tutorial", workers=1)

    index = ImageIndex.build(folder, path=tmp_path / "index", settings=settings)

    hashes = index.column("hashes")[:, 0].tolist()
    names = [os.path.basename(os.fsdecode(index.rows.path(row))) for row in range(len(hashes))]
    assert dict(zip(names, hashes, strict=True)) == {
        name: oracles.tutorial_dhash_of_file(folder / name) for name in _files()
    }


def test_a_file_its_bytes_and_its_pixels_have_the_same_hash(folder):
    file = folder / "plain.png"
    pixels = np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])

    found = [hash_image(image, "dhash-tutorial") for image in (file, file.read_bytes(), pixels)]

    assert [int(each[0, 0]) for each in found] == [oracles.tutorial_dhash_of_file(file)] * 3


def test_a_picture_that_opencv_does_not_read_has_the_hash_of_its_pixels(folder):
    image = Image.open(folder / "plain.png")

    found = hash_image(_saved(image, "webp", lossless=True), "dhash-tutorial")

    assert int(found[0, 0]) == oracles.tutorial_dhash_of_file(folder / "plain.png")


def test_the_match_hash_ignores_the_hidden_colours_that_the_hash_of_the_tutorial_sees(folder):
    data = (folder / "hidden.png").read_bytes()

    gray = decode(data, Limits(), with_opencv=True).gray

    assert np.all(gray.pixels[:, :HIDDEN] == 255)
    assert not np.all(gray.opencv[:, :HIDDEN] == 255)


def test_a_rotated_copy_is_found_in_all_orientations(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes((folder / "plain.png").read_bytes())
    settings = Settings(hasher="dhash-tutorial", workers=1)
    index = ImageIndex.build(tmp_path / "photos", path=tmp_path / "index", settings=settings)
    turned = np.ascontiguousarray(np.rot90(cv2.imread(str(folder / "plain.png"))[..., ::-1]))

    found = index.within(turned, max_distance=0, orientations=True, by="search")

    assert [(match.path.name, match.orientation) for match in found] == [("a.png", "rotate-90")]
