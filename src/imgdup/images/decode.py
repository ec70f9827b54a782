"""A file's bytes, or an array -> gray pixels and facts.

The header is read first and held against the limits; then OpenCV decodes what it gets right and
fast (JPEG, PNG, plain lossy WebP), and Pillow decodes the rest.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImageError
from imgdup.images.decoders import (
    Pixels,
    Turned,
    by_opencv,
    by_opencv_on_white,
    by_pillow,
    shrink,
    use_one_thread,
)
from imgdup.images.endings import ends_early
from imgdup.images.formats import SNIFF_BYTES, refused_name, sniff
from imgdup.images.gray import GrayImage, to_gray, upright
from imgdup.images.headers import (
    UPRIGHT,
    jpeg_ends,
    jpeg_header,
    png_first_frame,
    png_header,
    tiff_directory,
    webp_header,
)
from imgdup.system.files import FileBytes as FileBytes
from imgdup.system.files import content_digest as content_digest
from imgdup.system.files import read_file as read_file
from imgdup.system.limits import CAN_CAP_MEMORY, cap_memory, require_memory
from imgdup.system.limits import Limits as Limits
from imgdup.system.streams import chatter, heard, silence_libraries

MIN_REDUCED_SIDE = 96  # pixels that a reduced decode leaves of the shorter side
MAX_SIDE = 1 << 17  # pixels; twice what a JPEG can have
_OF_CUT_FILES = ("damaged", "unsupported")  # what decoders take a cut file for, too
MAX_PIXELS_UNCAPPED = 64_000_000  # where memory cannot be capped; baseline JPEG needs little


# What libjpeg prints when the data of a picture end too early or make no sense. Of 9,355 sound
# photos none makes it say so; of photos that lost 4 KiB or an end 97 % do.
_JPEG_DAMAGE = (b"premature end", b"bad Huffman code", b"Inconsistent progression")


class Picture(NamedTuple):
    """Gray pixels, full upright size in pixels, and the name of the format."""

    gray: GrayImage
    width: int
    height: int
    format: str


class _Wanted(NamedTuple):
    """What is asked for; `min_side` is what a reduction must leave of the shorter side."""

    limits: Limits
    colour: bool
    min_side: float


class _Decoded(NamedTuple):
    """Gray or RGB pixels, and the full size: both as stored."""

    pixels: Pixels
    height: int
    width: int
    reduction: int = 1
    orientation: int = UPRIGHT


def decode(data: bytes, limits: Limits, *, full: bool = False) -> Picture:
    """Decode a picture to upright gray: its first frame, on white.

    JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as 96 pixels of its shorter side remain,
    and to the gray that it carries itself.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits
    full : bool
        Decode JPEG at its full size and in colour, as the reference implementation of PDQ does.

    Raises
    ------
    ImageError
        Whatever is wrong with the file, with the reason.
    """
    wanted = _Wanted(limits, full, math.inf if full else MIN_REDUCED_SIDE)
    name, decoded = _decode_any(data, wanted)
    return _picture(decoded, name)


def decode_rgb(data: bytes, limits: Limits, max_side: int) -> Pixels:
    """Decode a picture for people to look at.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits
    max_side : int
        Longest side of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB, upright.

    Raises
    ------
    ImageError
        As `decode` does.
    """
    _, decoded = _decode_any(data, _Wanted(limits, colour=True, min_side=max_side))
    pixels = shrink(decoded.pixels, max_side)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(upright(pixels, decoded.orientation))


def picture_from_array(array: npt.NDArray[np.uint8]) -> Picture:
    """Take an array for the picture that a lossless file of these pixels holds.

    Parameters
    ----------
    array : ndarray of uint8, shape (height, width) or (height, width, 3)
        GrayImage, or RGB.

    Raises
    ------
    ValueError
        For any other dtype or shape, or no pixels at all.
    """
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise ValueError(
            "an image must be uint8 of shape (height, width) or, in RGB, (height, width, 3), "
            f"got {array.dtype} of shape {array.shape}"
        )
    return _picture(_Decoded(array, array.shape[0], array.shape[1]), "unknown")


def init_worker(limits: Limits) -> None:
    """Prepare this process for decoding alone: one thread, capped memory, silent libraries.

    Parameters
    ----------
    limits : Limits

    Raises
    ------
    ImgdupError
        If the limits leave too little memory to decode anything.
    """
    use_one_thread()
    silence_libraries()
    cap_memory(limits.worker_memory_bytes)
    require_memory()


def _picture(decoded: _Decoded, name: str) -> Picture:
    """Turn a decoder's pixels into upright gray ones."""
    pixels, height, width, reduction, orientation = decoded
    gray = to_gray(pixels, (height, width), reduction, orientation)
    return Picture(gray, gray.width, gray.height, name)


def _decode_any(data: bytes, wanted: _Wanted) -> tuple[str, _Decoded]:
    """Name the format and let its decoder work."""
    head = data[:SNIFF_BYTES]
    name = sniff(head)
    if name == "unknown":
        raise _not_decoded(head)
    decoder = _DECODERS.get(name) or partial(_decode_other, name)
    chatter()  # of the file before
    try:
        return name, decoder(data, wanted)
    except MemoryError as error:
        raise ImageError("too-large", "the picture needs more memory than there is") from error
    except ImageError as error:
        if error.reason in _OF_CUT_FILES and ends_early(name, data):
            raise ImageError(
                "truncated", f"the file ends before it says; {error.detail}"
            ) from error
        raise


def _not_decoded(head: bytes) -> ImageError:
    """Say why a file of no known beginning is not decoded."""
    if refused := refused_name(head):
        return ImageError("unsupported", f"{refused} is not decoded")
    what = "no image format begins like this" if head else "the file is empty"
    return ImageError("not-an-image", what)


def _check_size(limits: Limits, height: int, width: int, *, lean: bool = False) -> None:
    """Refuse too large a picture; a lean decoder needs no memory for the whole of it."""
    most = _most_pixels(limits, lean=lean)
    if height * width > most:
        raise ImageError("too-large", f"{width} x {height} pixels are more than {most:,}")
    if max(height, width) > MAX_SIDE:
        raise ImageError("too-large", f"{width} x {height} pixels, a side over {MAX_SIDE:,}")


def _most_pixels(limits: Limits, *, lean: bool = False) -> int:
    if lean or CAN_CAP_MEMORY:
        return limits.max_pixels
    return min(limits.max_pixels, MAX_PIXELS_UNCAPPED)


def _require_memory(n_bytes: int) -> None:
    """Raise MemoryError before OpenCV lacks the memory, which it would call damage."""
    np.empty(n_bytes, dtype=np.uint8)


def _decode_jpeg(data: bytes, wanted: _Wanted) -> _Decoded:
    """Decode JPEG; by Pillow if in CMYK or its like."""
    header = jpeg_header(data)
    height, width = header.height, header.width
    _check_size(wanted.limits, height, width, lean=not header.progressive)
    if not jpeg_ends(data, header.scan):  # decoders fill up the rest, some versions silently
        raise ImageError("truncated", "the JPEG file ends within its data")
    reduction = 8
    while reduction > 1 and min(height, width) < wanted.min_side * reduction:
        reduction //= 2
    if header.components == 4:
        pixels = _by_pillow("jpeg", data, wanted, reduction).pixels
    else:
        pixels = _by_libjpeg(data, wanted, reduction)
    return _Decoded(pixels, height, width, reduction, header.orientation)


def _by_libjpeg(data: bytes, wanted: _Wanted, reduction: int) -> Pixels:
    """Decode JPEG by OpenCV, and listen to what libjpeg says of it."""
    decode = partial(by_opencv, data, colour=wanted.colour, reduction=reduction)
    pixels, said = heard(decode)
    if any(words in said for words in _JPEG_DAMAGE):
        raise ImageError("damaged", f"libjpeg: {said.decode('ascii', 'replace').splitlines()[0]}")
    return pixels


def _decode_png(data: bytes, wanted: _Wanted) -> _Decoded:
    """Decode PNG, of an animation the first frame."""
    header = png_header(data)
    _check_size(wanted.limits, header.height, header.width)
    _require_memory(header.height * header.width * header.depth)  # twice four channels
    if header.animated:
        data = png_first_frame(data)
    if header.transparent or header.depth > 8:
        pixels = by_opencv_on_white(data)
    else:
        pixels = by_opencv(data, colour=not header.gray)
    return _Decoded(pixels, header.height, header.width, 1, header.orientation)


def _decode_webp(data: bytes, wanted: _Wanted) -> _Decoded:
    """Decode WebP; Pillow takes memory before it can be asked for the size."""
    header = webp_header(data)
    _check_size(wanted.limits, header.height, header.width)
    if header.plain:
        return _Decoded(by_opencv(data, colour=True), header.height, header.width)
    return _decode_other("webp", data, wanted)


def _decode_other(name: str, data: bytes, wanted: _Wanted) -> _Decoded:
    """Decode by Pillow alone."""
    if name == "tiff":
        tiff_directory(data)  # raises where it is not in the file
    pixels, orientation = _by_pillow(name, data, wanted)
    return _Decoded(pixels, pixels.shape[0], pixels.shape[1], 1, orientation)


def _by_pillow(name: str, data: bytes, wanted: _Wanted, reduction: int = 1) -> Turned:
    check_size = partial(_check_size, wanted.limits)
    return by_pillow(name, data, check_size, _most_pixels(wanted.limits), reduction)


_DECODERS: dict[str, Callable[[bytes, _Wanted], _Decoded]] = {
    "jpeg": _decode_jpeg,
    "png": _decode_png,
    "webp": _decode_webp,
}
