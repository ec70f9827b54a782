"""A file's bytes -> the facts of its header, read before any decoder is asked.

Each walk is bounded by the length of the file and by a cap on its segments, and allocates
nothing: what a header claims is checked before anybody believes it.
"""

import re
import struct
import zlib
from typing import NamedTuple

from imgdup.errors import ImageError
from imgdup.grey import UPRIGHT

MAX_SEGMENTS = 200_000  # of a JPEG header, or chunks of a PNG; real files have up to some thousands
JPEG_END = b"\xff\xd9"

_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_JPEG_LONE = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_SOI, _JPEG_EOI, _JPEG_SOS, _JPEG_APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = 0xC2
_JPEG_DECODED = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; Huffman-coded

_ORIENTATION_TAG = 0x0112
_EXIF_PREFIX = b"Exif\0\0"

_PNG_SIGNATURE_BYTES = 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


class JpegHeader(NamedTuple):
    """Size as stored, in pixels; EXIF orientation; colour components; progressive or not."""

    height: int
    width: int
    orientation: int
    components: int
    progressive: bool


class PngHeader(NamedTuple):
    """Size as stored, in pixels; EXIF orientation; bits a sample; colour type; transparency."""

    height: int
    width: int
    orientation: int
    depth: int
    colour: int
    transparent: bool


def jpeg_header(data: bytes) -> JpegHeader:
    """Walk the segments of a JPEG file up to its first scan.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``truncated`` if the file ends before the first scan, ``damaged`` if its segments make no
        sense, ``unsupported`` for codings that are not decoded (lossless, arithmetic, 12 bits).
    """
    frame: tuple[int, int, int, int, int] | None = None
    orientation, at = UPRIGHT, 2
    for _ in range(MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise ImageError("truncated", "the JPEG file ends before its first scan")
        marker, at = data[found.end() - 1], found.end()
        if marker in _JPEG_LONE or marker == _JPEG_SOI:
            continue
        if marker in (_JPEG_SOS, _JPEG_EOI):
            break
        end = at + int.from_bytes(data[at : at + 2], "big")
        if marker in _JPEG_FRAMES and end <= len(data) and end >= at + 8:
            frame = (marker, *struct.unpack_from(">BHHB", data, at + 2))
        elif marker == _JPEG_APP1 and data.startswith(_EXIF_PREFIX, at + 2):
            orientation = exif_orientation(data[at + 8 : end])
        at = max(end, at + 2)
    return _checked_frame(frame, orientation)


def _checked_frame(frame: tuple[int, int, int, int, int] | None, orientation: int) -> JpegHeader:
    """Return what a frame header says, if a decoder can use it."""
    if frame is None:
        raise ImageError("damaged", "the JPEG file has no frame header before its first scan")
    marker, precision, height, width, components = frame
    if marker not in _JPEG_DECODED or precision != 8:
        raise ImageError("unsupported", f"JPEG coding SOF{marker - 0xC0} of {precision} bits")
    if not height or not width:
        raise ImageError("damaged", f"the JPEG header says {width} x {height} pixels")
    return JpegHeader(height, width, orientation, components, marker == _JPEG_PROGRESSIVE)


def exif_orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from EXIF data that begin with their byte-order mark.

    Only the first directory is read, and no pointer is followed but the one to it. Whatever makes
    no sense is upright.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 10:
        return UPRIGHT
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return UPRIGHT
    (count,) = struct.unpack_from(order + "H", exif, at)
    count = min(count, (len(exif) - at - 2) // 12)
    entries = exif[at + 2 : at + 2 + 12 * count]
    for tag, _type, _count, value in struct.iter_unpack(order + "HHIH2x", entries):
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def png_header(data: bytes) -> PngHeader:
    """Walk all chunks of a PNG file: lengths, and checksums of those that a decoder needs.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ImageError
        ``damaged`` if a chunk is longer than the file, a checksum is wrong, or a chunk that must
        be there is not.
    """
    view = memoryview(data)
    orientation, transparent, kinds = UPRIGHT, False, set()
    at = _PNG_SIGNATURE_BYTES
    for _ in range(MAX_SEGMENTS):
        kind, body = _png_chunk(view, at)
        kinds.add(kind)
        at += 12 + len(body)
        if kind == b"eXIf":
            orientation = exif_orientation(bytes(body))
        transparent |= kind == b"tRNS"
        if kind == b"IEND":
            break
    if not kinds >= {b"IHDR", b"IDAT", b"IEND"} or data[12:16] != b"IHDR":
        raise ImageError("damaged", "the PNG file lacks a chunk that it must have")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if not width or not height or depth not in _PNG_DEPTHS.get(colour, ()):
        raise ImageError("damaged", "the PNG header makes no sense")
    return PngHeader(height, width, orientation, depth, colour, transparent or colour >= 4)


def _png_chunk(view: memoryview, at: int) -> tuple[bytes, memoryview]:
    """Kind and body of the chunk at a place; its checksum is looked at if it is critical."""
    if at + 12 > len(view):
        raise ImageError("damaged", "the PNG file ends before its last chunk")
    (length,) = struct.unpack_from(">I", view, at)
    end = at + 8 + length
    if end + 4 > len(view):
        raise ImageError("damaged", f"a PNG chunk of {length:,} bytes in a file too short for it")
    kind = bytes(view[at + 4 : at + 8])
    if not kind[0] & 0x20 and zlib.crc32(view[at + 4 : end]) != int.from_bytes(
        view[end : end + 4], "big"
    ):
        raise ImageError("damaged", f"the checksum of a PNG chunk {kind!r} is wrong")
    return kind, view[at + 8 : end]
