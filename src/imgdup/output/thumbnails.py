"""Files -> small JPEG pictures of them, decoded in worker processes, for pages and montages."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from imgdup.errors import ImageError, answer_of
from imgdup.system.limits import Limits
from imgdup.workers.decode import batched, decode_batches
from imgdup.workers.pool import Died

BATCH_FILES = 64
THUMBNAIL = 220  # pixels, the longer side
JPEG_QUALITY = 72

Thumbnail = bytes | ImageError


def make_thumbnails(
    paths: Sequence[bytes], limits: Limits, *, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> dict[bytes, Thumbnail]:
    """Encode the pictures of files anew, small, so that nothing of the files is passed on.

    Parameters
    ----------
    paths : sequence of bytes
        The files.
    limits : Limits
        What one picture may cost.
    side : int
        Longest side, in pixels; smaller pictures stay as they are.
    quality : int
        Of JPEG, 0 to 100.

    Returns
    -------
    dict of bytes to bytes or ImageError
        For each path a JPEG file, or why there is none.
    """
    task = partial(_draw, limits, side, quality)
    found: dict[bytes, Thumbnail] = {}
    with closing(decode_batches(task, batched(paths, BATCH_FILES), limits)) as answered:
        for batch, answer in answered:
            if isinstance(answer, Died):
                found[batch[0]] = ImageError(answer.reason, answer.detail)
            else:
                found.update(zip(batch, answer, strict=True))
    return found


def _draw(
    limits: Limits,
    side: int,
    quality: int,
    paths: Sequence[bytes],
    before_item: Callable[[int], None],
) -> list[Thumbnail]:
    drawn = []
    for position, path in enumerate(paths):
        before_item(position)
        drawn.append(thumbnail(path, limits, side, quality))
    return drawn


def thumbnail(
    path: bytes, limits: Limits, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> Thumbnail:
    """Encode one file's picture in this process; see `make_thumbnails`."""
    import cv2

    from imgdup.images.decode import decode_rgb, read_file

    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    try:
        pixels = decode_rgb(read_file(path, limits).data, limits, side)
        return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()
    except Exception as error:
        return answer_of(error)
