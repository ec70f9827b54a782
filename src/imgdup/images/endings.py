"""A file's bytes -> whether it ends before it says, which tells a cut file from a damaged one."""

import struct
from collections.abc import Callable, Mapping
from itertools import islice

from imgdup.errors import ImageError
from imgdup.images.headers import tiff_directory

MAX_BOXES = 1000  # of an ISO file at its top; real files have some ten
MAX_ENTRIES = 1 << 16  # of a TIFF directory; the classic format has no more
GIF_TAIL_BYTES = 64  # in which its trailer is, zeros after it
_TIFF_TYPE_BYTES = {  # TIFF 6.0, section 2, and BigTIFF
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}


def ends_early(name: str, data: bytes) -> bool:
    r"""Tell whether a file of a format says itself that it was longer.

    What decodes need not be asked: some writers miscount.

    Examples
    --------
    >>> ends_early("gif", b"GIF89a...;"), ends_early("gif", b"GIF89a...")
    (False, True)
    """
    try:
        return name in _CHECKS and _CHECKS[name](data)
    except (struct.error, ImageError):  # it ends within what would tell
        return True


def _webp(data: bytes) -> bool:
    (n_bytes,) = struct.unpack_from("<I", data, 4)
    return bool(8 + n_bytes > len(data))


def _bmp(data: bytes) -> bool:
    (n_bytes,) = struct.unpack_from("<I", data, 2)
    return bool(n_bytes > len(data))


def _gif(data: bytes) -> bool:
    return not data[-GIF_TAIL_BYTES:].rstrip(b"\0").endswith(b";")


def _iso(data: bytes) -> bool:
    """Walk the boxes of an AVIF or HEIC file."""
    at = 0
    for _ in range(MAX_BOXES):
        if at >= len(data):
            break
        (n_bytes,) = struct.unpack_from(">I", data, at)
        if n_bytes == 1:
            (n_bytes,) = struct.unpack_from(">Q", data, at + 8)
        if n_bytes < 8:  # 0: up to the end of the file
            return False
        at += n_bytes
    return at > len(data)


def _tiff(data: bytes) -> bool:
    """Look where the values of the first directory lie, and the pointer behind it."""
    order, big, start, end = tiff_directory(data)
    form, inline = ("2xHQQ", 8) if big else ("2xHII", 4)
    values = islice(struct.iter_unpack(order + form, data[start:end]), MAX_ENTRIES)
    sizes = ((count * _TIFF_TYPE_BYTES.get(kind, 0), at) for kind, count, at in values)
    return end + inline > len(data) or any(n > inline and at + n > len(data) for n, at in sizes)


_CHECKS: Mapping[str, Callable[[bytes], bool]] = {
    "webp": _webp,
    "bmp": _bmp,
    "gif": _gif,
    "avif": _iso,
    "heif": _iso,
    "tiff": _tiff,
}
