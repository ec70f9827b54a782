"""Decode the bytes of a file to gray or RGB pixels, size and format.

The header is read first and compared with the limits. Then libjpeg-turbo decodes JPEG, OpenCV what
it gets right and fast (PNG, plain lossy WebP), and Pillow the rest. OpenCV and Pillow are imported
when a file first needs them.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from imgdup.errors import ImageError
from imgdup.images.formats import SNIFF_BYTES, sniff, undecoded_name
from imgdup.images.gray import GrayImage, Pixels, WholePicture, in_colour, to_gray, upright
from imgdup.images.headers import jxl_size, png_first_frame, png_header
from imgdup.images.jpeg import decode_jpeg, jpeg_header
from imgdup.images.tiff import UPRIGHT, check_tiff
from imgdup.images.webp import webp_header, webp_is_cut
from imgdup.native.difference import shrunk
from imgdup.system.limits import (
    MAX_SIDE,
    Limits,
    cap_memory,
    import_uncapped,
    require_memory,
)

MIN_REDUCED_SIDE = 96  # pixels that a reduced decode leaves of the shorter side
OPENCV_BYTES = 16  # a pixel, at most, that OpenCV needs to decode it in 16 bits and to convert it
OPENCV_FORMATS = frozenset({"jpeg", "png", "bmp", "tiff"})  # that imutils lists for the tutorial
FORMATS_WITH_FRAMES = frozenset({"png", "gif", "tiff", "webp", "avif", "heif"})


class Picture(NamedTuple):
    """Gray pixels, full upright size in pixels, and the name of the format."""

    gray: GrayImage
    width: int
    height: int
    format: str


class _Request(NamedTuple):
    """What to decode; `min_side` is what a reduction must leave of the shorter side."""

    limits: Limits
    colour: bool
    min_side: float


class _Stored(NamedTuple):
    """Gray or RGB pixels, and the full size: both as stored."""

    pixels: Pixels
    height: int
    width: int
    reduction: int = 1
    orientation: int = UPRIGHT
    transparent: bool = False


def decode(
    data: bytes, limits: Limits, *, full: bool = False, with_opencv: bool = False
) -> Picture:
    """Decode a picture to upright gray: its first frame, on white.

    JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as 96 pixels of its shorter side remain,
    and to the gray that it carries itself; with `full`, at its full size and in colour, as the
    reference implementation of PDQ does. With `with_opencv`, JPEG, PNG, BMP and TIFF are also
    decoded as ``cv2.imread`` does, for `GrayImage.opencv`. Raises ImageError, with the reason,
    whatever is wrong with the file.
    """
    request = _Request(limits, full, math.inf if full else MIN_REDUCED_SIDE)
    name, stored = _decode_any(data, request)
    picture = _picture(stored, name)
    if not (with_opencv and name in OPENCV_FORMATS):
        return picture
    return picture._replace(gray=picture.gray._replace(opencv=_gray_of_opencv(data, picture)))


def _gray_of_opencv(data: bytes, picture: Picture) -> Pixels | None:
    """Decode an intact file once more, as cv2.imread does; None if OpenCV cannot."""
    from imgdup.images.opencv import gray_as_imread

    orientation = UPRIGHT
    if picture.format == "png" and not (header := png_header(data)).bare:
        data = png_first_frame(data)  # OpenCV prints warnings about some of the other chunks
        orientation = header.orientation
    try:
        _require_memory(picture.height * picture.width * OPENCV_BYTES)
    except MemoryError as error:
        raise ImageError("too-large", "the picture needs more memory than is available") from error
    gray = gray_as_imread(data)
    return None if gray is None else upright(gray, orientation)


def decode_rgb(data: bytes, limits: Limits, max_side: int) -> Pixels:
    """Decode a picture for people to look at: upright RGB, at most `max_side` pixels a side.

    Raises ImageError as `decode` does.
    """
    _, stored = _decode_any(data, _Request(limits, colour=True, min_side=max_side))
    pixels = shrink_to(stored.pixels, max_side)
    return np.ascontiguousarray(upright(in_colour(pixels), stored.orientation))


def shrink_to(pixels: Pixels, max_side: int) -> Pixels:
    """Reduce a picture by area until its longer side is at most `max_side` pixels."""
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return pixels
    return shrunk(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def each_frame(data: bytes, limits: Limits) -> Iterator[Pixels]:
    """Decode every page of a document, or frame of an animation, one at a time.

    Yields upright RGB, on white, at full size. Each page must keep within the limits. An animated
    PNG has its frames alone. Raises ImageError as `decode` does.
    """
    name = sniff(data[:SNIFF_BYTES])
    if name not in FORMATS_WITH_FRAMES or inspect(data, limits)[0] == 1:
        yield decode_rgb(data, limits, MAX_SIDE)
        return
    import_uncapped("imgdup.images.pillow")
    from imgdup.images.pillow import frames_with_pillow

    frames = frames_with_pillow(name, data, limits)
    try:
        for pixels, orientation, _ in frames:
            yield upright(in_colour(pixels), orientation)
    except MemoryError as error:
        raise ImageError("too-large", "a page needs more memory than is available") from error


def inspect(data: bytes, limits: Limits) -> tuple[int, bytes]:
    """Count the pages, frames or layers of a file, and return its EXIF data, by Pillow.

    Nothing is decoded but what Pillow must decode to count.

    Raises ImageError as `decode` does.
    """
    import_uncapped("imgdup.images.pillow")
    from imgdup.images.pillow import inspect_with_pillow

    name = sniff(data[:SNIFF_BYTES])
    try:
        return inspect_with_pillow(name, data, limits)
    except MemoryError as error:
        raise ImageError("too-large", "the file needs more memory than is available") from error


def decode_whole(data: bytes, limits: Limits) -> WholePicture:
    """Decode a picture in full size and colour.

    Raises ImageError as `decode` does.
    """
    _, stored = _decode_any(data, _Request(limits, colour=True, min_side=math.inf))
    return WholePicture(stored.pixels, stored.orientation, stored.transparent)


def init_worker(limits: Limits) -> None:
    """Prepare this process for nothing but decoding: cap its memory.

    Raises ImgdupError if the limits leave too little memory to decode anything.
    """
    cap_memory(limits.worker_memory_bytes)
    require_memory()


def _picture(stored: _Stored, name: str) -> Picture:
    """Turn a decoder's pixels into upright gray ones."""
    pixels, height, width, reduction, orientation, _ = stored
    gray = to_gray(pixels, (height, width), reduction, orientation)
    return Picture(gray, gray.width, gray.height, name)


def _decode_any(data: bytes, request: _Request) -> tuple[str, _Stored]:
    """Name the format and call its decoder."""
    head = data[:SNIFF_BYTES]
    name = sniff(head)
    if name == "unknown":
        raise _not_decoded(head)
    decoder = _DECODERS.get(name) or partial(_decode_other, name)
    try:
        return name, decoder(data, request)
    except MemoryError as error:
        raise ImageError("too-large", "the picture needs more memory than is available") from error


def _not_decoded(head: bytes) -> ImageError:
    """Return the error for a file whose content is not of a decoded format."""
    if name := undecoded_name(head):
        return ImageError("unsupported", f"{name} is not decoded")
    what = "the content is not that of a known image format" if head else "the file is empty"
    return ImageError("not-an-image", what)


def _require_memory(n_bytes: int) -> None:
    """Raise MemoryError before OpenCV lacks the memory, which it would call damage."""
    np.empty(n_bytes, dtype=np.uint8)


def _decode_jpeg(data: bytes, request: _Request) -> _Stored:
    """Decode JPEG at the smallest size that leaves enough of the shorter side."""
    header = jpeg_header(data)
    height, width = header.height, header.width
    request.limits.check_size(height, width, lean=header.one_scan)
    reduction = 8
    while reduction > 1 and min(height, width) < request.min_side * reduction:
        reduction //= 2
    pixels = decode_jpeg(data, header, colour=request.colour, reduction=reduction)
    return _Stored(pixels, height, width, reduction, header.orientation)


def _decode_png(data: bytes, request: _Request) -> _Stored:
    """Decode PNG, of an animation the first frame; OpenCV gets no chunk that it could warn of."""
    header = png_header(data)
    request.limits.check_size(header.height, header.width)
    _require_memory(header.height * header.width * header.depth)  # twice four channels
    if not header.bare:
        data = png_first_frame(data)
    is_plain = header.depth <= 8 and not header.transparent
    pixels, transparent = _decode_with_opencv(data, colour=not header.gray, plain=is_plain)
    return _Stored(pixels, header.height, header.width, 1, header.orientation, transparent)


def _decode_webp(data: bytes, request: _Request) -> _Stored:
    """Decode WebP; Pillow allocates memory before it knows the size."""
    header = webp_header(data)
    request.limits.check_size(header.height, header.width)
    try:
        if header.plain:
            pixels, _ = _decode_with_opencv(data, colour=True)
            return _Stored(pixels, header.height, header.width)
        return _decode_other("webp", data, request)
    except ImageError as error:
        if error.reason == "damaged" and webp_is_cut(data):
            raise ImageError("truncated", f"the WebP file is truncated; {error.detail}") from error
        raise


def _decode_with_opencv(data: bytes, *, colour: bool, plain: bool = True) -> tuple[Pixels, bool]:
    """Decode by OpenCV, and return whether any pixel is transparent.

    A picture that is not plain has alpha or more than 8 bits.
    """
    import_uncapped("imgdup.images.opencv")
    from imgdup.images.opencv import decode_on_white_with_opencv, decode_with_opencv

    if plain:
        return decode_with_opencv(data, colour=colour), False
    return decode_on_white_with_opencv(data)


def _decode_tiff(data: bytes, request: _Request) -> _Stored:
    """Decode TIFF, unless it is cut or a raw photo."""
    check_tiff(data)
    return _decode_other("tiff", data, request)


def _decode_jxl(data: bytes, request: _Request) -> _Stored:
    """Decode JPEG XL, whose decoder allocates memory before it knows the size."""
    request.limits.check_size(*jxl_size(data))
    return _decode_other("jxl", data, request)


def _decode_other(name: str, data: bytes, request: _Request) -> _Stored:
    """Decode by Pillow alone."""
    import_uncapped("imgdup.images.pillow")
    from imgdup.images.pillow import decode_with_pillow

    decoded = decode_with_pillow(name, data, request.limits)
    height, width = decoded.pixels.shape[:2]
    return _Stored(decoded.pixels, height, width, 1, decoded.orientation, decoded.transparent)


_DECODERS: dict[str, Callable[[bytes, _Request], _Stored]] = {
    "jpeg": _decode_jpeg,
    "png": _decode_png,
    "webp": _decode_webp,
    "tiff": _decode_tiff,
    "jxl": _decode_jxl,
}
