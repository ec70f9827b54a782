"""A file's bytes -> grey pixels and facts; the only door to the decoders of OpenCV and Pillow.

OpenCV decodes what it gets right and fast, JPEG and opaque 8-bit PNG; Pillow decodes the rest.
Whatever a file does to them comes out as ``ImageError``.
"""

import hashlib
import os
import stat
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 40))  # ours is the limit that counts

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imgdup.errors import ImageError
from imgdup.formats import SNIFF_BYTES, refused_name, sniff
from imgdup.grey import UPRIGHT, Grey, Shades, is_transposed, luma, short_first, upright
from imgdup.headers import JPEG_END, jpeg_header, png_header
from imgdup.limits import Limits as Limits

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CAN_CAP_MEMORY = resource is not None and sys.platform != "darwin"  # macOS does not enforce it
MAX_PIXELS_UNCAPPED = 64_000_000  # where memory cannot be capped, for all but baseline JPEG
MAX_SIDE = 1 << 20  # pixels; OpenCV's own limit
MIN_REDUCED_SIDE = 96  # pixels of the shorter side that a reduced decode leaves at least
DIGEST_BYTES = 16
WHITE = 255  # transparent pictures are laid on it

Pixels = npt.NDArray[np.uint8]

_OPEN_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _OPEN_FLAGS |= getattr(os, _flag, 0)

_GREY_FLAGS = {
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
_PLUGINS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class Picture(NamedTuple):
    """Grey pixels, full upright size in pixels, and the name of the format."""

    grey: Grey
    width: int
    height: int
    format: str


class FileBytes(NamedTuple):
    """A file's content and its stat facts."""

    data: bytes
    size: int
    mtime_ns: int


class _Decoded(NamedTuple):
    """A decoder's pixels, grey or RGB, as stored; the full size as stored; how to turn them."""

    pixels: Pixels
    height: int
    width: int
    reduction: int = 1
    orientation: int = UPRIGHT


class _Wanted(NamedTuple):
    """What is asked of a decoder: colour, and the side, in pixels, that a reduction must leave."""

    limits: Limits
    colour: bool
    min_side: float


def read_file(path: bytes | str, limits: Limits) -> FileBytes:
    """Read a regular file that does not change meanwhile.

    Parameters
    ----------
    path : bytes or str
    limits : Limits

    Raises
    ------
    ImageError
        ``missing``, ``unreadable`` (also for what is not a regular file), ``too-large``, or
        ``changed`` if it changed during two readings.
    """
    try:
        return _read_once(path, limits) or _read_once(path, limits) or _raise_changed()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("missing", error.strerror or str(error)) from error
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    except ValueError as error:
        raise ImageError("missing", f"no such path can exist: {error}") from error
    except MemoryError as error:
        raise ImageError("too-large", "more than the memory of this process") from error


def _raise_changed() -> FileBytes:
    raise ImageError("changed", "the file changed while it was read, twice")


def _read_once(path: bytes | str, limits: Limits) -> FileBytes | None:
    """Content and facts, or None if the file changed meanwhile."""
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ImageError("unreadable", "not a regular file")
        if before.st_size > limits.max_file_bytes:
            raise ImageError(
                "too-large", f"{before.st_size:,} bytes, at most {limits.max_file_bytes:,}"
            )
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    same = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not same or len(data) != before.st_size:
        return None
    return FileBytes(data, before.st_size, before.st_mtime_ns)


def _read_all(descriptor: int, size: int) -> bytes:
    """Up to one byte more than expected, so that growth shows."""
    data = os.read(descriptor, size + 1)
    if len(data) >= size or not data:
        return data
    parts = [data]
    missing = size + 1 - len(data)
    while missing > 0 and (part := os.read(descriptor, missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def content_digest(data: bytes) -> bytes:
    """Return 16 bytes of blake2b, which tell files of equal content."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def decode(data: bytes, limits: Limits, *, full: bool = False) -> Picture:
    """Decode a picture to grey, upright, its first frame, on white.

    JPEG is decoded at 1/2, 1/4 or 1/8 of its size while its shorter side stays at 96 pixels or
    more, to the grey that it carries itself.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits
    full : bool
        Decode JPEG at full size and in colour, as the reference implementation of PDQ does.

    Raises
    ------
    ImageError
        With the reason, whatever the file does to a decoder.
    """
    name = _format(data)
    wanted = _Wanted(limits, colour=full, min_side=np.inf if full else MIN_REDUCED_SIDE)
    decoded = _decoded(name, data, wanted)
    grey = _grey(decoded)
    return Picture(grey, grey.width, grey.height, name)


def decode_rgb(data: bytes, limits: Limits, max_side: int) -> Pixels:
    """Decode a thumbnail for people to look at.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits
    max_side : int
        The longer side comes out so long, in pixels, or shorter if the picture is.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB, upright.

    Raises
    ------
    ImageError
        As `decode` does.
    """
    decoded = _decoded(_format(data), data, _Wanted(limits, colour=True, min_side=max_side))
    pixels = decoded.pixels
    scale = min(1.0, max_side / max(pixels.shape[:2]))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        smaller = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        pixels = smaller.astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(upright(pixels, decoded.orientation))


def picture_from_array(array: npt.NDArray[np.uint8]) -> Picture:
    """Take an array for the picture that a lossless file of these pixels holds.

    Parameters
    ----------
    array : ndarray of uint8, shape (height, width) or (height, width, 3)
        Grey, or RGB.

    Raises
    ------
    ValueError
        For any other dtype or shape, or no pixels.
    """
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        raise ValueError(
            "an image array must be uint8 of shape (height, width) or (height, width, 3), RGB, "
            f"got {array.dtype} of shape {array.shape}"
        )
    grey = _grey(_Decoded(array, *array.shape[:2]))
    return Picture(grey, grey.width, grey.height, "unknown")


def init_worker(limits: Limits) -> None:
    """Make this process one that decodes: one thread, capped memory, silent decoders.

    Parameters
    ----------
    limits : Limits
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if CAN_CAP_MEMORY:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        cap = _mapped_bytes() + limits.worker_memory_bytes
        if hard != resource.RLIM_INFINITY:
            cap = min(cap, hard)
        resource.setrlimit(resource.RLIMIT_AS, (cap, hard))


def _mapped_bytes() -> int:
    """Address space in use, in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _format(data: bytes) -> str:
    """Name of a format that is decoded."""
    head = data[:SNIFF_BYTES]
    name = sniff(head)
    if name != "unknown":
        return name
    if refused := refused_name(head):
        raise ImageError("unsupported", f"{refused} is not decoded")
    raise ImageError("not-an-image", "no image format begins like this" if data else "empty file")


def _decoded(name: str, data: bytes, wanted: _Wanted) -> _Decoded:
    """Let the right decoder do it; its exceptions become ours."""
    decoder = {"jpeg": _decode_jpeg, "png": _decode_png}.get(name)
    try:
        return decoder(data, wanted) if decoder else _decode_pillow(name, data, wanted)
    except cv2.error as error:
        raise ImageError("damaged", f"OpenCV: {error.err}") from error
    except MemoryError as error:
        raise ImageError("too-large", "more than the memory of this process") from error


def _grey(decoded: _Decoded) -> Grey:
    """Luma, upright."""
    stored: Shades = decoded.pixels if decoded.pixels.ndim == 2 else luma(decoded.pixels)
    pixels = upright(stored, decoded.orientation)
    height, width = decoded.height, decoded.width
    if is_transposed(decoded.orientation):
        height, width = width, height
    return Grey(pixels, height, width, decoded.reduction, short_first(decoded.orientation))


def _check_size(height: int, width: int, limits: Limits, *, plain: bool = False) -> None:
    """Refuse a size that the header claims; `plain` needs no memory for the whole picture."""
    allowed = limits.max_pixels
    if not (plain or CAN_CAP_MEMORY):
        allowed = min(allowed, MAX_PIXELS_UNCAPPED)
    if height * width > allowed or max(height, width) > MAX_SIDE:
        raise ImageError("too-large", f"{width} x {height} pixels, at most {allowed:,}")


def _decode_jpeg(data: bytes, wanted: _Wanted) -> _Decoded:
    """By OpenCV, but four colour components by Pillow."""
    header = jpeg_header(data)
    _check_size(header.height, header.width, wanted.limits, plain=not header.progressive)
    if header.components == 4:
        return _decode_pillow("jpeg", data, wanted)
    side, reduction = min(header.height, header.width), 8
    while reduction > 1 and side < wanted.min_side * reduction:
        reduction //= 2
    flags = _COLOUR_FLAGS if wanted.colour else _GREY_FLAGS
    pixels = _imdecode(data, flags[reduction])
    if pixels is None:
        reason = "damaged" if JPEG_END in data[-4096:] else "truncated"
        raise ImageError(reason, "the JPEG data cannot be decoded to their end")
    return _Decoded(pixels, header.height, header.width, reduction, header.orientation)


def _decode_png(data: bytes, wanted: _Wanted) -> _Decoded:
    """By OpenCV if opaque and of at most 8 bits a sample, else by Pillow."""
    header = png_header(data)
    _check_size(header.height, header.width, wanted.limits)
    if header.transparent or header.depth > 8:
        return _decode_pillow("png", data, wanted)
    pixels = _imdecode(data, cv2.IMREAD_COLOR if header.colour else cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ImageError("damaged", "the PNG data cannot be decoded to their end")
    return _Decoded(pixels, header.height, header.width, 1, header.orientation)


def _imdecode(data: bytes, flag: int) -> Pixels | None:
    """OpenCV's decoding as stored, grey or RGB; None if it fails."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        return None
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels.astype(np.uint8, copy=False)


def _decode_pillow(name: str, data: bytes, wanted: _Wanted) -> _Decoded:
    """By Pillow: first frame, on white."""
    if name not in _PLUGINS and name != "jpeg":
        raise ImageError("unsupported", "HEIF needs one more package: pip install imgdup[heif]")
    plugin = _PLUGINS.get(name, Image.open)
    try:
        with warnings.catch_warnings(action="ignore"), plugin(BytesIO(data)) as image:
            _check_size(image.height, image.width, wanted.limits)
            orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
            image.load()
            if name == "tiff":
                orientation = UPRIGHT
            pixels = _flattened(image)
    except _PILLOW_ERRORS as error:
        raise ImageError("damaged", f"Pillow: {error}") from error
    height, width = pixels.shape[:2]
    return _Decoded(pixels, height, width, 1, orientation)


def _flattened(image: Image.Image) -> Pixels:
    """8-bit grey or RGB of an image of any mode, on white."""
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise ImageError("unsupported", "samples of 32 bits")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
        return np.asarray(Image.alpha_composite(ground, colours).convert("RGB"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
