"""Describe what the bytes of a picture file hold: pages, further contents, depth, colours, origin.

A hash and a decoded picture show only a part of a file. Before one of two files is removed, these
facts are compared, and `contents_digest`, which covers every page and frame.
"""

import calendar
import hashlib
import re
from typing import NamedTuple

import numpy as np

from imgdup.images.decode import (
    FORMATS_WITH_FRAMES,
    decode_whole,
    each_frame,
    inspect,
)
from imgdup.images.detail import central_luma, detail_share, is_toned, trace_quality
from imgdup.images.formats import SNIFF_BYTES, sniff
from imgdup.images.gray import Pixels, WholePicture
from imgdup.images.headers import (
    bit_depth,
    has_palette,
    is_lossless,
    jpeg_quality,
    png_chunks,
    rough_quality,
)
from imgdup.images.jpeg import EOI, jpeg_header, picture_end, segments
from imgdup.images.spectra import Spectrum, spectrum
from imgdup.images.tiff import (
    EXIF_DIRECTORY,
    EXIF_PREFIX,
    MAKE,
    MODEL,
    Tiff,
    directories,
    directory_at,
    integer,
    open_tiff,
    pages,
    text,
)
from imgdup.images.webp import webp_quality
from imgdup.native.colours import coloured_share
from imgdup.system.files import NEW_DIGEST_KIND, content_digest
from imgdup.system.limits import Limits

DIGEST_BYTES = 16
COLOURS = ("one-bit", "gray", "palette", "colour")
MIN_DATA_BYTES = 64  # behind a picture; less is padding
MAX_GRAY_CHROMA = 3  # levels between the channels of a gray picture, after JPEG

_DATE_TAGS = (0x9003, 0x9004)  # when it was taken, and digitized
_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_FILM = re.compile(rb"ftyp(?:mp4|iso|qt  |avc|3gp|M4V|MSNV)|MotionPhoto_Data")
_RAW = (b"@BRCM", b"BRCMo", b"BRCMn")  # of Raspberry Pi cameras, behind the JPEG


class ImageFacts(NamedTuple):
    """What a file holds."""

    # Pages of a document, frames of an animation, sizes of an icon; 1 for a single picture.
    n_pages: int
    # What there is beside its pages: ``pictures`` (a second view, a gain map), ``film`` (of a
    # motion photo), ``raw`` (values of the sensor), ``layers``, ``alpha`` (transparent pixels),
    # ``data`` (bytes of unknown meaning behind the picture).
    holds: frozenset[str]
    bit_depth: int  # bits of a channel, as stored; of a palette, those of its colours
    colour: str  # one of `COLOURS`, by what the first page shows
    # When the photo was taken by the camera's clock, in seconds since 1970 as if in UTC.
    taken_s: int | None
    camera: str | None  # make and model
    jpeg_quality: int | None  # 1 to 100, on the scale of libjpeg, of a JPEG file
    lossless: bool  # whether the file stores its pixels without loss
    # Of a lossless file: the quality of the JPEG file that its pixels were decoded from, an
    # estimate; None if there is no trace of one.
    trace_quality: int | None
    detail: float  # the share of its resolution, along a side, that shows detail: over 0, at most 1
    spectrum: Spectrum  # from `imgdup.images.spectra.spectrum`
    # 1 to 100, to order copies by: `jpeg_quality`, that of a lossy WebP file, or `trace_quality`;
    # 100 of a lossless file without a trace; of other lossy files a rough value, by the bits of
    # each pixel.
    quality: int
    # Whether a lossless file shows that brightness or contrast were changed, as `is_toned` finds.
    toned: bool
    # Of the first page as it is shown: equal for files that decode to the same pixels.
    pixels_digest: str


def image_facts(data: bytes, limits: Limits) -> ImageFacts:
    """Describe what a whole file holds, as `facts_and_whole` does, without its first page."""
    return facts_and_whole(data, limits)[0]


def facts_and_whole(data: bytes, limits: Limits) -> tuple[ImageFacts, WholePicture]:
    """Describe what a file holds, and return its first page, decoded at full size.

    Raises ImageError as `imgdup.images.decode.decode` does.
    """
    whole = decode_whole(data, limits)
    return _facts(data, whole, limits), whole


def _facts(data: bytes, whole: WholePicture, limits: Limits) -> ImageFacts:
    """Describe a file whose first page is decoded."""
    name = sniff(data[:SNIFF_BYTES])
    pixels = whole.pixels
    n_found, exif = (1, _jpeg_exif(data)) if name == "jpeg" else inspect(data, limits)
    holds = _extras(name, data) | ({"alpha"} if whole.transparent else set())
    if name == "psd" and n_found > 1:
        holds.add("layers")
    taken_s, camera = _origin(open_tiff(data if name == "tiff" else exif.removeprefix(EXIF_PREFIX)))
    of_jpeg = jpeg_quality(data) if name == "jpeg" else None
    lossless = is_lossless(name, data)
    trace = trace_quality(pixels) if lossless else None
    n_pages = _n_pages(name, data, n_found)
    n_pixels = n_pages * pixels.shape[0] * pixels.shape[1]
    rough = 100 if lossless else rough_quality(8 * len(data) / n_pixels)
    written = of_jpeg or (webp_quality(data) if name == "webp" else None)
    return ImageFacts(
        n_pages=n_pages,
        holds=frozenset(holds),
        bit_depth=bit_depth(name, data),
        colour=_colour(pixels, has_palette=has_palette(name, data)),
        taken_s=taken_s,
        camera=camera,
        jpeg_quality=of_jpeg,
        lossless=lossless,
        trace_quality=trace,
        detail=detail_share(central_luma(pixels)),
        spectrum=spectrum(pixels),
        quality=written or trace or rough,
        toned=lossless and is_toned(pixels),
        pixels_digest=_pixels_digest(whole.rgb()),
    )


def _pixels_digest(shown: Pixels) -> str:
    """Return a digest of RGB pixels and of their arrangement."""
    digest = content_digest(shown.data.cast("B"), NEW_DIGEST_KIND)
    return f"{shown.shape[1]}x{shown.shape[0]}-{digest.hex()}"


def contents_digest(data: bytes, limits: Limits) -> bytes:
    """Digest the pixels of all pages and frames, and what else a file holds.

    Two files of equal digest have equally many pages, and each page has the same pixels, whatever
    the format. Files with more than 8 bits of a channel are equal only if all their bytes are. One
    page is in memory at a time, and must keep within the limits. Raises ImageError if any page
    cannot be decoded.
    """
    name = sniff(data[:SNIFF_BYTES])
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for pixels in each_frame(data, limits):
        digest.update(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
    if bit_depth(name, data) > 8:
        digest.update(data)
    digest.update(_behind(name, data))
    return digest.digest()


def _n_pages(name: str, data: bytes, n_found: int) -> int:
    """Count pages without previews, masks and layers."""
    tiff = open_tiff(data) if name == "tiff" else None
    if tiff is not None:
        return len(pages(tiff))
    if name == "ico":
        return max(1, int.from_bytes(data[4:6], "little"))
    return n_found if name in FORMATS_WITH_FRAMES or name == "jxl" else 1


def _behind(name: str, data: bytes) -> bytes:
    """Return the bytes behind the picture in a JPEG or PNG file, without padding."""
    if name == "jpeg":
        end = picture_end(data, jpeg_header(data))
        rest = data[end.at :].lstrip(b"\xff").removeprefix(EOI[1:]) if end.marked else b""
    elif name == "png":
        rest = data[max(stop for _, _, stop in png_chunks(data)) + 4 :]
    else:
        return b""
    rest = rest.strip(b"\0")
    return rest if len(rest) >= MIN_DATA_BYTES else b""


def _extras(name: str, data: bytes) -> set[str]:
    """Name what a file holds behind its picture, or in boxes of its own."""
    if name in ("heif", "avif"):
        return {"film"} if b"mpvd" in data or b"MotionPhoto_Data" in data else set()
    rest = _behind(name, data)
    found = set()
    if b"\xff\xd8\xff" in rest:
        found.add("pictures")
    if _FILM.search(rest):
        found.add("film")
    if rest.startswith(_RAW):
        found.add("raw")
    return found or ({"data"} if rest else set())


def _colour(pixels: Pixels, *, has_palette: bool) -> str:
    """Name the colours that are shown, whatever the file could store."""
    if pixels.ndim == 3:
        row = len(pixels) // 2  # most pictures show colour there
        if any(coloured_share(part, MAX_GRAY_CHROMA) for part in (pixels[row : row + 1], pixels)):
            return "palette" if has_palette else "colour"
        pixels = pixels[..., 1]
    n_levels = np.count_nonzero(np.bincount(pixels.ravel(), minlength=256))
    return "one-bit" if n_levels <= 2 else "gray"


def _jpeg_exif(data: bytes) -> bytes:
    """Return the first EXIF segment before the picture."""
    for marker, start, end in segments(data):
        if marker == 0xDA:
            break
        if marker == 0xE1 and data.startswith(EXIF_PREFIX, start + 2):
            return data[start + 2 : end]
    return b""


def _origin(tiff: Tiff | None) -> tuple[int | None, str | None]:
    """Return when and with what a photo was taken, according to its EXIF data."""
    if tiff is None:
        return None, None
    first = next(directories(tiff), {})
    inner = directory_at(tiff, integer(tiff, first, EXIF_DIRECTORY, len(tiff.data)))
    dates = (_seconds(text(tiff, inner, tag)) for tag in _DATE_TAGS)
    make, model = text(tiff, first, MAKE), text(tiff, first, MODEL)
    camera = model if model.startswith(make) else f"{make} {model}".strip()
    return next((each for each in dates if each is not None), None), camera or None


def _seconds(date: str) -> int | None:
    """Read a date of EXIF; None if there is no such day."""
    found = _DATE.match(date)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    fits = year >= 1 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 61
    if not (fits and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    return calendar.timegm((year, month, day, hour, minute, second))
