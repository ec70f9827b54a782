"""Decode PNG and WebP, encode JPEG, and resize pictures, all by OpenCV.

Transparent pictures are laid on white, the paper of most viewers, so that hidden colours do not
count. Nothing is printed.

Pictures are uint8; a plane is one channel of a picture as float32, shape (height, width).
"""

import os

# OpenCV reads this when it is imported; the limit that counts is ours, on the header.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 40))

import cv2
import numpy as np
import numpy.typing as npt

from imgdup.errors import ImageError
from imgdup.images.gray import (
    FLIPPED_COLUMNS,
    FLIPPED_ROWS,
    ROWS_PIXELS,
    TRANSPOSED,
    Pixels,
    eight_bits,
    on_white,
)
from imgdup.native.difference import shrunk

Plane = npt.NDArray[np.float32]

_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # by the number of channels

if "OPENCV_LOG_LEVEL" not in os.environ:  # it logs what it raises, too
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_with_opencv(data: bytes, *, colour: bool) -> Pixels:
    """Decode a lossy WebP or an opaque PNG of 8 bits by OpenCV, ignoring the orientation.

    Raises ImageError, ``damaged``; OpenCV gives no other reason.
    """
    return _imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)


def decode_on_white_with_opencv(data: bytes) -> tuple[Pixels, bool]:
    """Decode a PNG of any depth and transparency by OpenCV, on a white background.

    Also returns whether white shows through any pixel. Raises ImageError, ``damaged``.
    """
    pixels = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels, False
    laid = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    step = max(1, ROWS_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), step):
        laid[top : top + step] = on_white(pixels[top : top + step])
    return laid, bool(pixels[..., 3].min() < 255)


def gray_as_imread(data: bytes) -> Pixels | None:
    """Decode a file in colour and turn it gray: ``cv2.imread``, then ``cv2.cvtColor``.

    The orientation counts; alpha does not, so hidden colours show. None if OpenCV cannot decode it.
    """
    try:
        colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if colours is None:
        return None
    return cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def resize_by_default(gray: Pixels, width: int, height: int) -> Pixels:
    """Resize by what ``cv2.resize`` does by default: bilinear interpolation, no averages."""
    return cv2.resize(np.ascontiguousarray(gray), (width, height)).astype(np.uint8, copy=False)


def _imdecode(data: bytes, flag: int) -> Pixels:
    """Decode to gray, RGB or RGBA of 8 bits."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError("damaged", f"OpenCV: {error.err}") from error
    if pixels is None:
        raise ImageError("damaged", "OpenCV cannot decode all of the data")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, _TO_RGB[pixels.shape[2]])
    if pixels.dtype != np.uint16:
        return pixels.astype(np.uint8, copy=False)
    deep = pixels.astype(np.uint16, copy=False)
    if deep.ndim == 2 or deep.shape[2] == 3:
        return eight_bits(deep)
    return np.dstack([eight_bits(deep[..., :3]), (deep[..., 3] >> 8).astype(np.uint8)])


def encode_jpeg(rgb: Pixels, quality: int) -> bytes:
    """Encode RGB pixels as a JPEG file of a quality from 1 to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Return what a JPEG file of this quality shows of a gray or RGB picture."""
    shown = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return _imdecode(data.tobytes(), cv2.IMREAD_GRAYSCALE if pixels.ndim == 2 else cv2.IMREAD_COLOR)


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize by area where both sides become shorter or stay, otherwise by interpolation."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows, columns = pixels.shape[:2]
    if rows < height or columns < width:
        return _uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))
    if (rows, columns) == (2 * height, 2 * width):  # the same as below, in a fifth of the time
        return _uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    return shrunk(pixels, height, width)


def luma(pixels: Pixels) -> Pixels:
    """Return the luma of an RGB picture, shape (height, width)."""
    return _uint8(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def luma_of(pixels: Pixels) -> Pixels:
    """Return the luma of an RGB or gray picture; a gray picture is its own."""
    return pixels if pixels.ndim == 2 else luma(pixels)


def as_rgb(gray: Pixels) -> Pixels:
    """Return a gray picture with three equal channels."""
    return _uint8(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))


def luma_and_chroma(pixels: Pixels) -> Pixels:
    """Return luma, Cr and Cb of an RGB picture, shape (height, width, 3)."""
    return _uint8(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))


def channel_of(pixels: Pixels, channel: int) -> Pixels:
    """Return one channel of a picture; a gray picture is its own."""
    if pixels.ndim == 3 and pixels.flags.c_contiguous:
        return _uint8(cv2.extractChannel(pixels, channel))
    return pixels if pixels.ndim == 2 else pixels[:, :, channel]


def mapped(pixels: Pixels, curve: Pixels) -> Pixels:
    """Replace each level of all channels by that of a tone curve, uint8 (256,)."""
    return _uint8(cv2.LUT(pixels, curve))


def largest_near(plane: Plane, side: int) -> Plane:
    """Return the largest element of the square window around each element."""
    return _float32(cv2.dilate(plane, np.ones((side, side), np.uint8)))


def in_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Return what `upright` returns, in one piece; NumPy copies that in up to 20 times the time."""
    if orientation in TRANSPOSED:
        pixels = _uint8(cv2.transpose(pixels))
    if orientation in FLIPPED_ROWS & FLIPPED_COLUMNS:
        pixels = _uint8(cv2.flip(pixels, -1))
    elif orientation in FLIPPED_ROWS:
        pixels = _uint8(cv2.flip(pixels, 0))
    elif orientation in FLIPPED_COLUMNS:
        pixels = _uint8(cv2.flip(pixels, 1))
    return pixels


def region_around(marks: Pixels, row: int, column: int) -> tuple[int, int, int, int]:
    """Return the box (x, y, width, height) of the connected marks around one of them."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(marks)
    x, y, width, height = facts[labels[row, column], :4].tolist()
    return x, y, width, height


def _uint8(pixels: object) -> Pixels:
    return np.asarray(pixels, dtype=np.uint8)


def _float32(plane: object) -> Plane:
    return np.asarray(plane, dtype=np.float32)
