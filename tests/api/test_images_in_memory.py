"""Pictures in memory: arrays, tensors and PIL images hash as lossless files of their pixels."""

import io
import re

import numpy as np
import pytest
from make_sample import encode, photo
from PIL import Image

from imgdup import hash_image
from imgdup.errors import ImageError

RGB = photo(3, 64, 48)[..., ::-1].copy()  # the painter gives BGR


class Tensor:
    """What NumPy sees of a tensor."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class TensorElsewhere:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def saved(image, form="png", **options):
    """The file of a PIL image."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def bits(hashes):
    return int(hashes[0, 0])


def test_an_array_a_tensor_and_an_image_hash_as_the_file_of_their_pixels():
    expected = hash_image(saved(Image.fromarray(RGB)))

    for given in (RGB, Tensor(RGB), Image.fromarray(RGB), bytearray(saved(Image.fromarray(RGB)))):
        assert bits(hash_image(given)) == bits(expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "PA"])
def test_an_image_of_any_mode_hashes_as_its_file(mode):
    if mode == "I;16":
        image = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(RGB).convert("RGBA" if mode == "PA" else mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray((np.indices((48, 64)).sum(axis=0) % 256).astype(np.uint8)))
    if mode == "PA":
        image = image.convert("LA").convert("PA")
    form = {"CMYK": "tiff", "YCbCr": "tiff", "PA": "png"}.get(mode, "png")
    file = saved(image.convert("RGBA") if mode == "PA" else image, form)

    assert bits(hash_image(image)) == bits(hash_image(file))


def test_an_image_is_rotated_by_its_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(Image.fromarray(RGB), exif=exif)

    with Image.open(io.BytesIO(file)) as image:
        assert bits(hash_image(image)) == bits(hash_image(file))
        assert bits(hash_image(image)) != bits(hash_image(RGB))


def test_the_image_that_is_given_is_left_as_it_was():
    image = Image.fromarray(RGB).convert("RGBA")
    before = image.tobytes()

    hash_image(image)

    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (64, 48), before)


def test_a_cut_file_that_the_caller_opened_is_an_image_error():
    file = encode(photo(3, 320, 240), ".jpg")

    with Image.open(io.BytesIO(file[: len(file) // 2])) as image:
        with pytest.raises(ImageError, match="truncated"):
            hash_image(image)


@pytest.mark.parametrize(
    ("array", "found", "hint"),
    [
        (np.zeros((3, 48, 64), np.float32), "float32 of shape (3, 48, 64)", "a.transpose(1, 2, 0)"),
        (np.zeros((3, 48, 64), np.uint8), "uint8 of shape (3, 48, 64)", "the channels come first"),
        (np.zeros((48, 64, 3), np.float64), "float64", "scale it to 0 to 255"),
        (np.zeros((48, 64), bool), "bool", "convert it to uint8"),
        (np.zeros((48, 64, 1), np.uint8), "(48, 64, 1)", "leave out the last axis"),
        (np.zeros((48, 64, 4), np.uint8), "(48, 64, 4)", "give a PIL image"),
        (np.zeros((2, 48, 64, 3), np.uint8), "(2, 48, 64, 3)", "one picture at a time"),
        (np.zeros((0, 64), np.uint8), "(0, 64)", ""),
        (np.zeros(64, np.uint8), "(64,)", ""),
    ],
)
def test_other_arrays_are_refused_in_one_line_that_names_the_remedy(array, found, hint):
    for given in (array, Tensor(array)):
        with pytest.raises(ValueError, match=re.escape(found)) as caught:
            hash_image(given)

        assert hint in str(caught.value)
        assert "must be uint8 of shape (height, width) or" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_tensor_that_is_not_in_memory_is_refused_with_its_own_words():
    with pytest.raises(ValueError, match="TensorElsewhere: can't convert cuda"):
        hash_image(TensorElsewhere())


@pytest.mark.parametrize("given", [None, 3, [[1, 2], [3, 4]], {"bytes": b""}])
def test_what_is_no_image_is_a_type_error(given):
    with pytest.raises(TypeError, match=f"got {type(given).__name__}"):
        hash_image(given)
