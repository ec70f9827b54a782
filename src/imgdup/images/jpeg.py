"""Read the header of a JPEG file, and decode its pixels or find out why some are missing.

libjpeg decodes any data: it fills lost parts with gray and gives a warning. Here every warning
counts as damage, unless it is not about the picture itself: then the picture alone is decoded again
and must give no warning. Each walk over markers and segments (ITU-T T.81, annex B) is bounded by
the length of the file and by a number of segments.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import simplejpeg

from imgdup.errors import ImageError
from imgdup.images.gray import Pixels, rgb_of_cmyk
from imgdup.images.tiff import EXIF_PREFIX, UPRIGHT, exif_orientation
from imgdup.system.limits import import_uncapped

MAX_SEGMENTS = 200_000  # real files have some thousands

SOI = b"\xff\xd8"
EOI = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # fill bytes may precede it
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # restart markers belong to the scan
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NO_MARKERS = frozenset({0x00, 0xFF})  # behind a byte 0xFF
_SEGMENT = struct.Struct(">BBH")  # 0xFF, the marker, and the length without them
_FRAME = struct.Struct(">BHHB")  # bits of a sample, height, width, number of components
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: JPEG-LS
_DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # Huffman-coded: baseline, extended, progressive
_PROGRESSIVE = 0xC2
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # Huffman, arithmetic, quantization, restart interval
_BETWEEN_SCANS = _TABLES | {_SCAN, 0xDC, *range(0xE0, 0xF0), 0xFE}
_COEFFICIENTS = 64  # of a block


class JpegHeader(NamedTuple):
    """The facts in the segments before the first scan of a JPEG file."""

    # As stored, in pixels.
    height: int
    width: int
    orientation: int  # by EXIF, 1 to 8
    components: int  # 1 for gray, 3 for colour, 4 for CMYK and its like
    progressive: bool
    one_scan: bool  # whether a decoder need not keep the whole picture in memory
    scan: int  # offset of the first scan's parameters, behind its marker


class PictureEnd(NamedTuple):
    """Where the picture in a JPEG file ends."""

    at: int  # offset behind the data of the last scan
    marked: bool  # whether the file has the end marker of this picture
    complete: bool  # whether the scans before it hold all components, in full precision


def jpeg_header(data: bytes) -> JpegHeader:
    """Read the segments of a JPEG file up to its first scan.

    Raises ImageError: ``truncated`` if the file ends before its first scan; ``damaged`` if there is
    no sensible frame header; ``unsupported`` for codings that are not decoded (lossless,
    arithmetic, 12 bits).
    """
    frame: tuple[int, ...] | None = None
    orientation: int | None = None
    for marker, start, end in segments(data):
        if marker in _TABLES:
            continue
        if marker == _SCAN or marker == _END:
            return _checked_header(frame, orientation or UPRIGHT, data, start)
        if marker in _FRAMES and start + 8 <= min(end, len(data)):
            frame = (marker, *_FRAME.unpack_from(data, start + 2))
        elif marker == _APP1 and orientation is None and data.startswith(EXIF_PREFIX, start + 2):
            orientation = exif_orientation(data[start + 2 : end])
    raise ImageError("damaged", f"a JPEG header of more than {MAX_SEGMENTS:,} segments")


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment up to the first scan, and where its content is."""
    at, last = len(SOI), len(data) - _SEGMENT.size
    for _ in range(MAX_SEGMENTS):
        first, marker, length = _SEGMENT.unpack_from(data, at) if at <= last else (0, 0, 0)
        if first == 0xFF and marker not in _NO_MARKERS:
            at += 2
        else:  # other bytes precede the marker, or the file ends
            found = _MARKER.search(data, at)
            if found is None:
                raise ImageError("truncated", "the JPEG file ends before its first scan")
            at = found.end()
            marker, length = data[at - 1], int.from_bytes(data[at : at + 2], "big")
        if marker in _WITHOUT_LENGTH:
            continue
        end = at + max(2, length)
        yield marker, at, end
        at = end


def _checked_header(
    frame: tuple[int, ...] | None, orientation: int, data: bytes, scan: int
) -> JpegHeader:
    """Refuse a frame header that no decoder can use."""
    if frame is None:
        raise ImageError("damaged", "the JPEG file has no frame header before its first scan")
    marker, depth, height, width, components = frame
    if marker not in _DECODED_FRAMES or depth != 8:
        raise ImageError("unsupported", f"JPEG of coding SOF{marker - 0xC0} with {depth} bits")
    if not (height and width and components):
        raise ImageError("damaged", f"a JPEG header of {width} x {height} pixels")
    progressive = marker == _PROGRESSIVE
    one_scan = not progressive and data[scan + 2 : scan + 3] == bytes([components])
    return JpegHeader(height, width, orientation, components, progressive, one_scan, scan)


def picture_alone(data: bytes, header: JpegHeader, end: int) -> bytes:
    """Return what a decoder needs of a JPEG file up to the end of its picture, without end marker.

    Bytes between segments, metadata, unknown version numbers and useless parameters of a scan, of
    which libjpeg warns, do not change the picture: they are left out or made right.
    """
    kept = [SOI]
    for marker, start, stop in segments(data):
        if marker in (_SCAN, _END):
            break
        segment = data[start - 2 : stop]
        if marker in _TABLES or marker in _FRAMES:
            kept.append(segment)
        elif marker == _APP0 and segment[4:9] == b"JFIF\0":
            kept.append(segment[:9] + b"\1\2" + segment[11:])  # version 1.02
        elif marker == _APP14 and segment[4:9] == b"Adobe" and segment[15:16] in (b"\0", b"\1"):
            kept.append(segment)
    scans = bytearray(data[header.scan - 2 : end])
    if header.one_scan:
        parameters = 2 + 2 + 1 + 2 * header.components
        scans[parameters : parameters + 3] = b"\0\x3f\0"
    return b"".join([*kept, scans])


def picture_end(data: bytes, header: JpegHeader) -> PictureEnd:
    """Find the end of the picture: the first marker that is no part of it.

    Without an end marker that is the end of the file, or somewhere in what follows the picture.
    """
    marker, at = _SCAN, header.scan
    precision: dict[int, bytearray] = {}
    complete = False
    for _ in range(MAX_SEGMENTS):
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if marker == _SCAN:
            _note_scan(precision, data[at + 2 : end], header.progressive)
            complete = len(precision) >= header.components and not any(map(any, precision.values()))
        found = _MARKER_AFTER_SCAN.search(data, end)
        if found is None:
            return PictureEnd(len(data), False, complete)
        marker, at = data[found.end() - 1], found.end()
        if complete or marker not in _BETWEEN_SCANS:
            return PictureEnd(found.start(), _is_marked(data, found.start(), marker), complete)
    return PictureEnd(len(data), False, complete)


def _is_marked(data: bytes, at: int, marker: int) -> bool:
    """Return whether a picture has an end marker: here, or behind damage that looks like a marker.

    The end marker of another JPEG file, which may follow the picture, is not its own.
    """
    return marker == _END or (marker != _START and data.find(EOI, at) >= 0)


def _note_scan(precision: dict[int, bytearray], scan: bytes, progressive: bool) -> None:
    """Note for each coefficient of the components of a scan how many low bits are yet missing."""
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        return
    first, last, bits = scan[-3], min(scan[-2], _COEFFICIENTS - 1), scan[-1]
    for component in scan[1 : 1 + 2 * count : 2]:
        missing = precision.setdefault(component, bytearray(b"\xff" * _COEFFICIENTS))
        if progressive:
            missing[first : last + 1] = bytes([bits & 15]) * (last + 1 - first)
        else:
            missing[:] = bytes(_COEFFICIENTS)


MAX_CUTS = 4  # of what follows a picture without an end marker; two are enough as a rule

# Messages of libjpeg-turbo, in simplejpeg's ValueError.
_UNKNOWN_SAMPLING = "Could not determine subsampling"
_NO_MEMORY = "Insufficient memory"
_BYTES_LEFT = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def decode_jpeg(data: bytes, header: JpegHeader, *, colour: bool, reduction: int) -> Pixels:
    """Decode a JPEG file to gray or RGB, at 1/1, 1/2, 1/4 or 1/8, ignoring the orientation.

    Sides are rounded up. CMYK always becomes RGB. Raises ImageError: ``truncated`` if the data end
    too early; ``damaged`` if they are wrong.
    """
    reading = _Reading(header, colour, reduction)
    try:
        return _decode_strictly(data, reading)
    except ValueError as error:
        return _decode_again(data, reading, str(error))


class _Reading(NamedTuple):
    """How a JPEG file is to be decoded."""

    header: JpegHeader
    colour: bool
    reduction: int

    @property
    def mode(self) -> str:
        """Name the pixels that libjpeg makes of the file."""
        return "CMYK" if self.header.components == 4 else "RGB" if self.colour else "GRAY"


def _decode_strictly(data: bytes, reading: _Reading) -> Pixels:
    """Decode; any warning of libjpeg is a ValueError."""
    header, reduction = reading.header, reading.reduction
    smallest = {}
    if reduction > 1:  # simplejpeg takes the smallest scale that leaves so much, also odd eighths
        smallest["min_height"] = -(-header.height // reduction)
        smallest["min_width"] = -(-header.width // reduction)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, reading.mode, strict=True, **smallest)
    except ValueError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError from error
        raise
    if reading.mode == "CMYK":
        return rgb_of_cmyk(255 - pixels)  # Adobe's convention: 255 for no ink
    return pixels[:, :, 0] if reading.mode == "GRAY" else pixels


def _decode_again(data: bytes, reading: _Reading, warning: str) -> Pixels:
    """Decode the picture without what surrounds it in the file; any warning now is damage."""
    end = picture_end(data, reading.header)
    reason = "damaged" if end.marked else "truncated"
    if not (end.marked or end.complete):
        raise ImageError(reason, f"the JPEG file ends within its picture; libjpeg: {warning}")
    picture = picture_alone(data, reading.header, end.at)
    try:
        return _decode_alone(picture, reading, may_have_trailer=not end.marked)
    except ValueError as error:
        raise ImageError(reason, f"libjpeg: {error}") from error


def _decode_alone(picture: bytes, reading: _Reading, *, may_have_trailer: bool) -> Pixels:
    """Decode a picture that lacks its end marker; bytes that are left may be no part of it.

    libjpeg reads a few bytes ahead, which its count of what is left lacks.
    """
    for attempt in range(1 + MAX_CUTS):
        try:
            return _decode_strictly(picture + EOI, reading)
        except ValueError as error:
            if _UNKNOWN_SAMPLING in str(error):
                break
            left = _BYTES_LEFT.search(str(error))
            if left is None or not may_have_trailer or attempt == MAX_CUTS:
                raise
            picture = picture[: -int(left[1])]
    import_uncapped("imgdup.images.pillow")
    from imgdup.images.pillow import decode_jpeg_with_pillow

    return decode_jpeg_with_pillow(
        picture + EOI, colour=reading.colour, reduction=reading.reduction
    )
