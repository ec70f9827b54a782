"""A file's bytes -> the facts of its header, before any decoder is asked.

What a header claims is checked here first: each walk is bounded by the length of the file and by a
number of segments, and takes no memory to speak of.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imgdup.errors import ImageError

MAX_SEGMENTS = 200_000  # of a JPEG header, or chunks of a PNG; real files have some thousands

UPRIGHT = 1  # EXIF orientation of a picture that is stored as it is shown
_ORIENTATION_TAG = 0x0112  # CIPA DC-008 (EXIF), section 4.6.4
_EXIF_PREFIX = b"Exif\0\0"

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")  # fill bytes may stand before it
_JPEG_END = b"\xff\xd9"
_JPEG_LONE = frozenset({0x01, *range(0xD0, 0xD9)})  # no length follows
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_DECODED = frozenset({0xC0, 0xC1, 0xC2})  # Huffman-coded: baseline, extended, progressive
_JPEG_PROGRESSIVE = 0xC2
_JPEG_SCAN = frozenset({0xD9, 0xDA})
_JPEG_APP1 = 0xE1

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})  # for the first frame
_PNG_LONGEST = (1 << 31) - 1  # bytes of a chunk: PNG specification, section 5.3
_PNG_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


class JpegHeader(NamedTuple):
    """What the segments before the first scan of a JPEG file say.

    Attributes
    ----------
    height, width : int
        As stored, in pixels.
    orientation : int
        By EXIF, 1 to 8.
    components : int
        1 for gray, 3 for colour, 4 for CMYK and its like.
    progressive : bool
        Whether a decoder must hold all coefficients in memory.
    scan : int
        Where the first scan begins.
    """

    height: int
    width: int
    orientation: int
    components: int
    progressive: bool
    scan: int


class PngHeader(NamedTuple):
    """What the chunks of a PNG file say.

    Attributes
    ----------
    height, width : int
        As stored, in pixels.
    orientation : int
        By EXIF, 1 to 8.
    depth : int
        Bits of a sample.
    gray : bool
    transparent : bool
    animated : bool
    """

    height: int
    width: int
    orientation: int
    depth: int
    gray: bool
    transparent: bool
    animated: bool


class WebpHeader(NamedTuple):
    """Size of a WebP canvas in pixels, and whether the file is one plain opaque lossy picture."""

    height: int
    width: int
    plain: bool


def jpeg_header(data: bytes) -> JpegHeader:
    """Read the segments of a JPEG file up to its first scan.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``truncated`` if the file ends before its first scan; ``damaged`` if there is no sensible
        frame header; ``unsupported`` for codings that are not decoded (lossless, arithmetic,
        12 bits).
    """
    frame: tuple[int, ...] | None = None
    orientation, at = UPRIGHT, 2
    for _ in range(MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise ImageError("truncated", "the JPEG file ends before its first scan")
        at = found.end()
        marker = data[at - 1]
        if marker in _JPEG_LONE:
            continue
        if marker in _JPEG_SCAN:
            break
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if marker in _JPEG_FRAMES and at + 8 <= min(end, len(data)):
            frame = (marker, *struct.unpack_from(">BHHB", data, at + 2))
        elif marker == _JPEG_APP1 and data.startswith(_EXIF_PREFIX, at + 2):
            orientation = exif_orientation(data[at + 2 : end])
        at = end
    return _checked_frame(frame, orientation, at)


def _checked_frame(frame: tuple[int, ...] | None, orientation: int, scan: int) -> JpegHeader:
    """Refuse a frame header that no decoder can use."""
    if frame is None:
        raise ImageError("damaged", "the JPEG file has no frame header before its first scan")
    marker, depth, height, width, components = frame
    if marker not in _JPEG_DECODED or depth != 8:
        raise ImageError("unsupported", f"JPEG of coding SOF{marker - 0xC0} with {depth} bits")
    if not (height and width and components):
        raise ImageError("damaged", f"a JPEG header of {width} x {height} pixels")
    progressive = marker == _JPEG_PROGRESSIVE
    return JpegHeader(height, width, orientation, components, progressive, scan)


def jpeg_ends(data: bytes, scan: int) -> bool:
    """Tell whether a JPEG file has an end marker behind the start of its first scan."""
    return data.endswith(_JPEG_END) or data.find(_JPEG_END, scan) >= 0


def exif_orientation(exif: bytes) -> int:
    r"""Read the orientation, 1 to 8, from EXIF data; whatever makes no sense is upright.

    Only the first directory is read: no pointer is followed but the one to it.

    Examples
    --------
    >>> exif_orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    6
    """
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return UPRIGHT
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return UPRIGHT
    (count,) = struct.unpack_from(order + "H", tiff, at)
    start = at + 2
    end = start + 12 * min(count, (len(tiff) - start) // 12)
    for tag, value in struct.iter_unpack(order + "H6xH2x", tiff[start:end]):
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def png_header(data: bytes) -> PngHeader:
    """Walk the chunks of a PNG file: their lengths, and the checksums of the critical ones.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``truncated`` if the file ends within a chunk or before the last; ``damaged`` if a length
        cannot be, a checksum is wrong, or a chunk that must be there is not.
    """
    view = memoryview(data)
    orientation, kinds = UPRIGHT, set()
    for kind, start, end in _png_chunks(data):
        kinds.add(kind)
        if kind in _PNG_CRITICAL:
            _check_sum(view[start - 4 : end + 4], kind)
        elif kind == b"eXIf":
            orientation = exif_orientation(data[start:end])
    if not kinds >= {b"IHDR", b"IDAT", b"IEND"} or data[12:16] != b"IHDR":
        raise ImageError("damaged", "a PNG file without its header, data or end")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if not (height and width) or depth not in _PNG_DEPTHS.get(colour, ()):
        raise ImageError("damaged", f"a PNG header of {width} x {height} pixels, type {colour}")
    transparent = b"tRNS" in kinds or colour in (4, 6)
    gray = colour in (0, 4)
    return PngHeader(height, width, orientation, depth, gray, transparent, b"acTL" in kinds)


def png_first_frame(data: bytes) -> bytes:
    """Return a sound PNG file without the chunks that its (first) picture does not need."""
    chunks = _png_chunks(data)
    needed = [data[start - 8 : end + 4] for kind, start, end in chunks if kind in _PNG_NEEDED]
    return b"".join([_PNG_SIGNATURE, *needed])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk, and where its content begins and ends."""
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_SEGMENTS):
        if at + 12 > len(data):
            raise ImageError("truncated", "the PNG file ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + length
        if length > _PNG_LONGEST:
            raise ImageError("damaged", f"a PNG chunk claims {length:,} bytes")
        if end + 4 > len(data):
            raise ImageError("truncated", f"the PNG file ends within a chunk of {length:,} bytes")
        yield kind, start, end
        if kind == b"IEND":
            return
        at = end + 4
    raise ImageError("damaged", f"a PNG file of more than {MAX_SEGMENTS:,} chunks")


def _check_sum(chunk: memoryview, kind: bytes) -> None:
    """Compare the checksum of a chunk, from its kind on, with the one that it carries."""
    if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise ImageError("damaged", f"the checksum of the PNG chunk {kind.decode()} is wrong")


def webp_header(data: bytes) -> WebpHeader:
    """Read the size of a WebP picture from its first chunk.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``damaged`` if the first chunk is none that a WebP file can begin with.
    """
    kind = data[12:16]
    if len(data) >= 30 and kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return WebpHeader(height, width, plain=True)
    if len(data) >= 30 and kind == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        return WebpHeader((sides >> 14 & 0x3FFF) + 1, (sides & 0x3FFF) + 1, plain=False)
    if len(data) >= 30 and kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return WebpHeader(height, width, plain=False)
    raise ImageError("damaged", "the WebP file does not begin with a picture")


class TiffDirectory(NamedTuple):
    """Byte order (of `struct`), whether in BigTIFF, and where the entries begin and end."""

    order: str
    big: bool
    start: int
    end: int


def tiff_directory(data: bytes) -> TiffDirectory:
    """Find the first directory of a TIFF file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``truncated`` if it does not lie inside the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset, count, entry_bytes = ("8xQ", "Q", 20) if big else ("4xI", "H", 12)
    try:
        (at,) = struct.unpack_from(order + offset, data)
        (n_entries,) = struct.unpack_from(order + count, data, at)
    except (struct.error, OverflowError) as error:
        raise ImageError("truncated", "the TIFF file ends before its first directory") from error
    start = at + struct.calcsize(order + count)
    end = start + n_entries * entry_bytes
    if end > len(data):
        raise ImageError("truncated", "the TIFF file ends within its first directory")
    return TiffDirectory(order, big, start, end)
