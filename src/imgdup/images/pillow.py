"""Decode the bytes of a file with Pillow, which reads all formats but PNG and JPEG.

Any error of Pillow becomes an `ImageError`. Transparent pictures are laid on white. Nothing is
printed.
"""

import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from imgdup.errors import ImageError
from imgdup.images.gray import (
    ROWS_PIXELS,
    Pixels,
    WholePicture,
    eight_bits,
    fills_few_bits,
    not_premultiplied,
    on_white,
    upright,
)
from imgdup.images.tiff import ORIENTATION, UPRIGHT, exif_orientation, open_tiff, pages
from imgdup.system.limits import Limits, import_uncapped

MAX_JPEG_PIXELS = 65535**2  # that a header can claim; the limit is checked before

_REASON_WORDS = (  # in the messages of Pillow, in lower case
    ("truncated", "truncated"),
    ("unknown pixel mode", "unsupported"),
    ("unsupported", "unsupported"),
    ("not supported", "unsupported"),
    ("not available", "unsupported"),
)

Plugin = Callable[[BytesIO], ImageFile.ImageFile]


def decode_with_pillow(name: str, data: bytes, limits: Limits) -> WholePicture:
    """Decode the first frame by Pillow, on a white background; of a TIFF file the first page.

    `name` is that of the format. The size is checked before memory is allocated. Raises ImageError:
    ``truncated``, ``unsupported``, ``damaged`` or ``too-large``.
    """
    with _opened_by_pillow(name, data, limits.most_pixels()) as image:
        return _decoded(name, data, image, _frames(name, data, image)[0], limits)


def frames_with_pillow(name: str, data: bytes, limits: Limits) -> Iterator[WholePicture]:
    """Decode every page or frame by Pillow, one at a time, as `decode_with_pillow` does the first.

    Its errors are the same, for any frame.
    """
    with _opened_by_pillow(name, data, limits.most_pixels()) as image:
        for number in _frames(name, data, image, all_frames=True):
            yield _decoded(name, data, image, number, limits)


def _frames(
    name: str, data: bytes, image: ImageFile.ImageFile, *, all_frames: bool = False
) -> Sequence[int]:
    """Return the numbers of the frames to decode; previews and masks in a TIFF file are none."""
    tiff = open_tiff(data) if name == "tiff" else None
    if tiff is not None:
        return pages(tiff)
    return range(getattr(image, "n_frames", 1)) if all_frames else (image.tell(),)


def _decoded(
    name: str, data: bytes, image: ImageFile.ImageFile, number: int, limits: Limits
) -> WholePicture:
    """Decode one frame of a file that is open."""
    if number != image.tell():
        image.seek(number)
    limits.check_size(image.height, image.width)
    orientation = _orientation(name, image)
    raw_mode = _raw_mode(image) if name == "tiff" else ""
    image.load()
    page = _with_all_bits(image, raw_mode, data, number) if raw_mode else image
    pixels, transparent = _flattened(page)
    return WholePicture(pixels, orientation, transparent)


def inspect_with_pillow(name: str, data: bytes, limits: Limits) -> tuple[int, bytes]:
    """Count the pages, frames or layers of a file, and return its EXIF data, without decoding it.

    The errors are those of `decode_with_pillow`.
    """
    with _opened_by_pillow(name, data, limits.most_pixels()) as image:
        exif = image.info.get("exif") or b""
        return getattr(image, "n_frames", 1), exif if isinstance(exif, bytes) else b""


def decode_jpeg_with_pillow(data: bytes, *, colour: bool, reduction: int) -> Pixels:
    """Decode JPEG by Pillow at 1/1, 1/2, 1/4 or 1/8.

    Pillow accepts any sampling of the colours, but hides libjpeg's warnings.
    """
    with _opened_by_pillow("jpeg", data, MAX_JPEG_PIXELS) as image:
        size = (max(1, image.width // reduction), max(1, image.height // reduction))
        image.draft("RGB" if colour else "L", size)
        image.load()
        return _flattened(image)[0]


def pixels_of_image(image: Image.Image) -> Pixels:
    """Return the pixels of an image that the caller opened or made: gray or RGB, upright, on white.

    The errors are those of `decode_with_pillow`.
    """
    with _errors_of_pillow(), _pillow_settings(MAX_JPEG_PIXELS):
        image.load()
        orientation = exif_orientation(image.info.get("exif") or b"")
        return upright(_flattened(image)[0], orientation)


@contextmanager
def _opened_by_pillow(name: str, data: bytes, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open a picture; every error becomes an `ImageError`."""
    plugin = _PLUGINS[name]()
    with _errors_of_pillow(), _pillow_settings(max_pixels), plugin(BytesIO(data)) as image:
        yield image


@contextmanager
def _errors_of_pillow() -> Iterator[None]:
    """Turn every error of Pillow into an `ImageError`."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", str(error)) from error
    except Exception as error:  # a plugin raises whatever hostile bytes lead it to
        message = f"Pillow: {type(error).__name__}: {error}"
        reasons = (reason for word, reason in _REASON_WORDS if word in str(error).lower())
        raise ImageError(next(reasons, "damaged"), message) from error


def _orientation(name: str, image: ImageFile.ImageFile) -> int:
    """Return how the pixels that Pillow will give are to be turned."""
    if name == "tiff":  # Pillow turns it, unless the orientation is stored as a BYTE
        value = getattr(image, "tag_v2", {}).get(ORIENTATION)
        if isinstance(value, bytes) and len(value) == 1 and 1 <= value[0] <= 8:
            return value[0]
        return UPRIGHT
    if name == "jxl" and not getattr(image, "jpeg", False):  # libjxl turns it
        return UPRIGHT
    return exif_orientation(image.info.get("exif") or b"")


_RAW_MODES = {  # of 16 bits, as Pillow stores tiles: how to read the upper and the lower bytes
    f"{mode};16{order}": (f"{mode.upper()};16{order}", f"{mode.upper()};16{lower}")
    for mode in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK")
    for order, lower in (("L", "B"), ("B", "L"), ("N", "B" if sys.byteorder == "little" else "L"))
}


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the tiles of a picture in colours of 16 bits are stored; else an empty text."""
    for tile in image.tile:
        if isinstance(tile.args, tuple) and tile.args and tile.args[0] in _RAW_MODES:
            return str(tile.args[0])
    return ""


def _with_all_bits(
    image: ImageFile.ImageFile, raw_mode: str, data: bytes, number: int
) -> Image.Image:
    """Return a page in colours of 16 bits; those that fill only 8, 10 or 12 are scaled.

    Pillow gives the upper bytes. If these are small, the page is read twice more.
    """
    mode = raw_mode.partition(";")[0]
    if not fills_few_bits(mode, np.asarray(image)):
        return image
    upper, lower = (_read_raw(data, number, each) for each in _RAW_MODES[raw_mode])
    values = np.left_shift(upper, 8, dtype=np.uint16) | lower
    if mode == "CMYK":
        return Image.fromarray(eight_bits(values), "CMYK")
    if mode == "RGBa":
        return Image.fromarray(not_premultiplied(eight_bits(values)))
    colours, alpha = eight_bits(values[..., :3]), values[..., 3:]
    return Image.fromarray(np.dstack([colours, eight_bits(alpha)]) if alpha.size else colours)


def _read_raw(data: bytes, number: int, raw_mode: str) -> Pixels:
    """Read a page of a TIFF file as if its tiles were stored in another way."""
    with TiffImagePlugin.TiffImageFile(BytesIO(data)) as image:
        image.seek(number)
        image.tile = [
            tile._replace(args=(raw_mode, *tile.args[1:])) if isinstance(tile.args, tuple) else tile
            for tile in image.tile
        ]
        image.load()
        return np.asarray(image)


_lock = threading.Lock()  # of the three that follow; all threads share Pillow's settings
_n_decoding = 0
_changed = ExitStack()  # restores the settings


@contextmanager
def _pillow_settings(max_pixels: int) -> Iterator[None]:
    """Let Pillow warn of nothing and refuse frames of more pixels, while any thread decodes.

    Pillow compares the limit when it opens a file, before a GIF file makes it allocate memory.
    """
    global _n_decoding
    with _lock:
        if _n_decoding == 0:
            _changed.enter_context(warnings.catch_warnings(action="ignore"))
            _changed.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            threads = AvifImagePlugin.DEFAULT_MAX_THREADS
            _changed.callback(setattr, AvifImagePlugin, "DEFAULT_MAX_THREADS", threads)
            AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        Image.MAX_IMAGE_PIXELS = max_pixels // 2  # it warns beyond that, and refuses twice that
        _n_decoding += 1
    try:
        yield
    finally:
        with _lock:
            _n_decoding -= 1
            if _n_decoding == 0:
                _changed.close()


def _forget_other_threads() -> None:
    """Restore the settings in a child process, whose only thread does not decode now."""
    global _n_decoding
    _n_decoding = 0
    _changed.close()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_forget_other_threads,
    )


def _flattened(image: Image.Image) -> tuple[Pixels, bool]:
    """Bring an image of any mode to 8 bits of gray or RGB, on white; return whether that shows."""
    is_wide = image.mode == "I" and image.format == "PPM"  # 16 bits, kept in 32
    if image.mode.startswith("I;16") or is_wide:
        return eight_bits(np.asarray(image).astype(np.uint16)), False
    if image.mode in ("I", "F"):
        raise ImageError("unsupported", "samples of 32 bits")
    if not image.has_transparency_data or _has_unused_alpha(image):
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")), False
    width, height = image.size
    laid = np.empty((height, width, 3), dtype=np.uint8)
    step, transparent = max(1, ROWS_PIXELS // width), False
    for top in range(0, height, step):
        rows = image.crop((0, top, width, min(top + step, height)))
        rgba = np.asarray(rows.convert("RGBA"))
        laid[top : top + step] = on_white(rgba)
        transparent = transparent or bool(rgba[..., 3].min() < 255)
    return laid, transparent


def _has_unused_alpha(image: Image.Image) -> bool:
    """Return whether a BMP or TGA has alpha 0 everywhere, which then has no meaning."""
    if image.format not in ("BMP", "TGA") or image.mode != "RGBA":
        return False
    return image.getchannel("A").getextrema() == (0, 0)


def _heif() -> Plugin:
    """Return the plugin of an optional package."""
    plugin: Plugin = _optional("pillow_heif", "HEIC", "pillow-heif").HeifImageFile
    return plugin


def _jxl() -> Plugin:
    """Return the plugin of an optional package; it decodes when a file is opened."""
    module = _optional("pillow_jxl", "JPEG XL", "pillow-jxl-plugin").JpegXLImagePlugin
    module.DECODE_THREADS = 0  # the calling one
    plugin: Plugin = module.JXLImageFile
    return plugin


def _optional(module: str, name: str, package: str) -> Any:
    """Import a module that decodes a format; raise ImageError if its package is not installed."""
    try:
        import_uncapped(module)
        return import_module(module)
    except ImportError as error:
        remedy = f"{name} needs one more package: pip install {package}"
        raise ImageError("unsupported", remedy) from error


_PLUGINS: dict[str, Callable[[], Plugin]] = {
    "jpeg": lambda: JpegImagePlugin.JpegImageFile,
    "png": lambda: PngImagePlugin.PngImageFile,
    "webp": lambda: WebPImagePlugin.WebPImageFile,
    "bmp": lambda: BmpImagePlugin.BmpImageFile,
    "gif": lambda: GifImagePlugin.GifImageFile,
    "tiff": lambda: TiffImagePlugin.TiffImageFile,
    "avif": lambda: AvifImagePlugin.AvifImageFile,
    "heif": _heif,
    "pnm": lambda: PpmImagePlugin.PpmImageFile,
    "jpeg2000": lambda: Jpeg2KImagePlugin.Jpeg2KImageFile,
    "tga": lambda: TgaImagePlugin.TgaImageFile,
    "ico": lambda: IcoImagePlugin.IcoImageFile,
    "psd": lambda: PsdImagePlugin.PsdImageFile,
    "dds": lambda: DdsImagePlugin.DdsImageFile,
    "jxl": _jxl,
}


def _print_nothing() -> None:
    """Let Pillow and its libtiff print nothing about broken files: the errors are enough."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints warnings
    with suppress(AttributeError, OSError):  # where libtiff is a part of Pillow's own module
        library = ctypes.CDLL(_imaging.__file__)
        for set_handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


_print_nothing()
