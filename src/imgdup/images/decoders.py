"""The only door to the decoders of OpenCV and Pillow: a file's bytes -> pixels as stored.

Whatever the bytes do to a decoder comes out as an `ImageError`. Transparent pictures are laid on
white, the paper of most viewers, so that hidden colours do not count.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple

# OpenCV reads this when it is imported; the limit that counts is ours, on the header.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 40))

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imgdup.errors import ImageError
from imgdup.images.headers import exif_orientation

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else what nobody handles is printed

Pixels = npt.NDArray[np.uint8]

ROWS_PIXELS = 1 << 20  # laid on white at a time, so that temporaries stay small

_GRAY_FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_COLOUR_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # by the number of channels
_REASON_WORDS = (  # in what Pillow says, in small letters
    ("truncated", "truncated"),
    ("unknown pixel mode", "unsupported"),
    ("unsupported", "unsupported"),
    ("not supported", "unsupported"),
    ("not available", "unsupported"),
)

Plugin = Callable[[BytesIO], ImageFile.ImageFile]


class Turned(NamedTuple):
    """Gray or RGB pixels as stored, and the EXIF orientation that turns them upright."""

    pixels: Pixels
    orientation: int


def by_opencv(data: bytes, *, colour: bool, reduction: int = 1) -> Pixels:
    """Decode by OpenCV, which ignores orientation here.

    Parameters
    ----------
    data : bytes
        The whole file.
    colour : bool
    reduction : int
        1, 2, 4 or 8; above 1 for JPEG only.

    Returns
    -------
    ndarray of uint8, shape (height, width) or, in RGB, (height, width, 3)

    Raises
    ------
    ImageError
        ``damaged``; OpenCV does not say more.
    """
    flags = _COLOUR_FLAGS if colour else _GRAY_FLAGS
    return _imdecode(data, flags[reduction])


def by_opencv_on_white(data: bytes) -> Pixels:
    """Decode samples of any depth and transparency by OpenCV, laid on white.

    Parameters
    ----------
    data : bytes
        The whole file: PNG, whose alpha OpenCV gets right.

    Returns
    -------
    ndarray of uint8, shape (height, width) or, in RGB, (height, width, 3)

    Raises
    ------
    ImageError
        ``damaged``.
    """
    pixels = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    laid = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    step = max(1, ROWS_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), step):
        laid[top : top + step] = _on_white(pixels[top : top + step])
    return laid


def _imdecode(data: bytes, flag: int) -> Pixels:
    """Decode to gray, RGB or RGBA of 8 bits."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError("damaged", f"OpenCV: {error.err}") from error
    if pixels is None:
        raise ImageError("damaged", "OpenCV cannot decode the data to their end")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, _TO_RGB[pixels.shape[2]])
    if pixels.dtype == np.uint16:
        pixels = np.right_shift(pixels, 8, dtype=np.uint16)
    return pixels.astype(np.uint8, copy=False)


def _on_white(rgba: Pixels) -> Pixels:
    """Mix each colour with white by its alpha: c a + 255 (255 - a), divided by 255, rounded."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha
    mixed += 255 * (255 - alpha) + 128
    mixed += mixed >> 8  # with the shift below, an exact division by 255
    return (mixed >> 8).astype(np.uint8)


def by_pillow(
    name: str,
    data: bytes,
    check_size: Callable[[int, int], None],
    max_pixels: int,
    reduction: int = 1,
) -> Turned:
    """Decode the first frame by Pillow, laid on white.

    Parameters
    ----------
    name : str
        Of the format.
    data : bytes
        The whole file.
    check_size : callable
        Is called with height and width before memory is taken for them, and raises if they are
        too large.
    max_pixels : int
        Most pixels of what Pillow makes before it can be asked for the size.
    reduction : int
        1, 2, 4 or 8; above 1 for JPEG only.

    Raises
    ------
    ImageError
        ``truncated``, ``unsupported``, ``damaged`` or ``too-large``.
    """
    plugin = _PLUGINS[name]()
    try:
        with _limited(max_pixels), plugin(BytesIO(data)) as image:
            check_size(image.height, image.width)
            if reduction > 1:
                image.draft(image.mode, (image.width // reduction, image.height // reduction))
            image.load()
            exif = image.info.get("exif") if name != "tiff" else None  # it turns TIFF itself
            return Turned(_flattened(image), exif_orientation(exif or b""))
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", str(error)) from error
    except Exception as error:  # a plugin raises whatever hostile bytes lead it to
        told = f"Pillow: {type(error).__name__}: {error}"
        reasons = (reason for word, reason in _REASON_WORDS if word in str(error).lower())
        raise ImageError(next(reasons, "damaged"), told) from error


@contextmanager
def _limited(max_pixels: int) -> Iterator[None]:
    """Let Pillow refuse frames of more pixels: opening a GIF makes one as large as it says."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels // 2  # it warns beyond that, and refuses twice that
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _flattened(image: Image.Image) -> Pixels:
    """Bring an image of any mode to 8 bits of gray or RGB, on white."""
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise ImageError("unsupported", "samples of 32 bits")
    if not image.has_transparency_data:
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    width, height = image.size
    laid = np.empty((height, width, 3), dtype=np.uint8)
    step = max(1, ROWS_PIXELS // width)
    for top in range(0, height, step):
        rows = image.crop((0, top, width, min(top + step, height)))
        laid[top : top + step] = _on_white(np.asarray(rows.convert("RGBA")))
    return laid


def _heif() -> Plugin:
    """Return the plugin of an optional package."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        remedy = "HEIC needs one more package: pip install pillow-heif"
        raise ImageError("unsupported", remedy) from error
    plugin: Plugin = HeifImageFile
    return plugin


_PLUGINS: dict[str, Callable[[], Plugin]] = {
    "jpeg": lambda: JpegImagePlugin.JpegImageFile,
    "webp": lambda: WebPImagePlugin.WebPImageFile,
    "bmp": lambda: BmpImagePlugin.BmpImageFile,
    "gif": lambda: GifImagePlugin.GifImageFile,
    "tiff": lambda: TiffImagePlugin.TiffImageFile,
    "avif": lambda: AvifImagePlugin.AvifImageFile,
    "heif": _heif,
}


def shrink(pixels: Pixels, max_side: int) -> Pixels:
    """Reduce a picture by area until its longer side is at most so many pixels."""
    scale = max_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def use_one_thread() -> None:
    """Let the decoders work in the calling thread."""
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
