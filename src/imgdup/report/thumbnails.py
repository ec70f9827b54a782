"""A file -> a small JPEG to embed in a page."""

import cv2

from imgdup.errors import ImageError
from imgdup.images import decode_rgb, read_file
from imgdup.limits import Limits

THUMBNAIL = 220  # pixels, the longer side
JPEG_QUALITY = 72


def thumbnail(path: bytes, limits: Limits) -> bytes | None:
    """Encode a file's picture anew, small, so that nothing of the file itself is passed on.

    Parameters
    ----------
    path : bytes
        The file.
    limits : Limits
        What one picture may cost.

    Returns
    -------
    bytes or None
        JPEG; None if the file cannot be read.
    """
    try:
        pixels = decode_rgb(read_file(path, limits).data, limits, THUMBNAIL)
    except ImageError:
        return None
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], quality)
    return data.tobytes()
