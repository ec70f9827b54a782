"""Files -> small JPEG pictures of them, decoded in worker processes, for pages and montages."""

from collections.abc import Sequence
from functools import partial

from imgdup.errors import ImageError
from imgdup.system.limits import Limits
from imgdup.workers.decode import decode_each, decoding_pool

THUMBNAIL = 220  # pixels, the longer side
JPEG_QUALITY = 72

Thumbnail = bytes | ImageError


def make_thumbnails(
    paths: Sequence[bytes], limits: Limits, *, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> dict[bytes, Thumbnail]:
    """Make small new JPEG files of pictures; nothing else of the files is copied into them.

    Parameters
    ----------
    paths : sequence of bytes
        The files.
    limits : Limits
        The limits for each file.
    side : int
        Longest side, in pixels; smaller pictures keep their size.
    quality : int
        JPEG quality, 0 to 100.

    Returns
    -------
    dict of bytes to bytes or ImageError
        For each path a JPEG file, or why there is none.
    """
    draw = partial(thumbnail, limits=limits, side=side, quality=quality)
    with decoding_pool(limits) as pool:
        return dict(zip(paths, decode_each(draw, paths, pool), strict=True))


def thumbnail(
    path: bytes, limits: Limits, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> bytes:
    """Encode one file's picture in this process; see `make_thumbnails`.

    Raises
    ------
    ImageError
        If the file cannot be read or decoded.
    """
    import cv2

    from imgdup.images.decode import decode_rgb, read_file

    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    pixels = decode_rgb(read_file(path, limits).data, limits, side)
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()
