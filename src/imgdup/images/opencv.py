"""Decode PNG and WebP with OpenCV, make pictures smaller, and encode JPEG.

Transparent pictures are laid on white, the paper of most viewers, so that hidden colours do not
count. Nothing is printed.
"""

import os

# OpenCV reads this when it is imported; the limit that counts is ours, on the header.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 40))

import cv2
import numpy as np

from imgdup.errors import ImageError
from imgdup.images.gray import ROWS_PIXELS, Pixels, eight_bits, on_white

_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # by the number of channels

if "OPENCV_LOG_LEVEL" not in os.environ:  # it logs what it raises, too
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_with_opencv(data: bytes, *, colour: bool) -> Pixels:
    """Decode a lossy WebP or an opaque PNG of 8 bits by OpenCV, ignoring the orientation.

    Parameters
    ----------
    data : bytes
        The whole file.
    colour : bool

    Returns
    -------
    ndarray of uint8, shape (height, width) or, in RGB, (height, width, 3)

    Raises
    ------
    ImageError
        ``damaged``; OpenCV gives no other reason.
    """
    return _imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)


def decode_on_white_with_opencv(data: bytes) -> tuple[Pixels, bool]:
    """Decode a PNG of any depth and transparency by OpenCV, laid on white.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    (ndarray of uint8, bool)
        Pixels of shape (height, width) or, in RGB, (height, width, 3), and whether white shows
        through any of them.

    Raises
    ------
    ImageError
        ``damaged``.
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

    The orientation counts; alpha does not, so hidden colours show.

    Returns
    -------
    ndarray of uint8, shape (height, width), or None
        None if OpenCV cannot decode the file.
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
    """Encode RGB pixels as a JPEG file.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
    quality : int
        1 to 100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", rgb[..., ::-1], options)[1].tobytes()
