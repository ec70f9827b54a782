"""Read from the bytes of a picture file what its header claims, and how it stores the pixels.

Headers are checked here before any decoder sees them: each walk is bounded by the length of the
file and by a number of segments, and needs almost no memory.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImageError
from imgdup.images.detail import BLOCK, standard_tables
from imgdup.images.formats import LOSSLESS_FORMATS, SNIFF_BYTES, sniff
from imgdup.images.gray import TRANSPOSED
from imgdup.images.jpeg import jpeg_header, segments
from imgdup.images.tiff import (
    BITS_PER_SAMPLE,
    COMPRESSION,
    PHOTOMETRIC,
    UPRIGHT,
    directories,
    exif_orientation,
    first_page,
    integer,
    integers,
    open_tiff,
)
from imgdup.images.webp import is_lossless_webp

_LOSSY_TIFF = frozenset({6, 7, 33003, 33005, 34712, 50001})  # compressions
_PALETTE = 3  # the photometric interpretation of TIFF, and the colour type of PNG

MAX_CHUNKS = 200_000  # of a PNG file; real ones have some thousands

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})  # for the first frame
_PNG_LONGEST = (1 << 31) - 1  # bytes of a chunk: PNG specification, section 5.3

MAX_BOXES = 10_000  # of a JPEG XL file; real ones have about ten
_JXL_CODESTREAM = b"\xff\x0a"
LOSSLESS_STEPS = (1,)  # whole levels
MAX_TABLES = 256  # quantization tables whose quality is kept; most files have one of a few
Steps = tuple[int, ...]

_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width : height


class PngHeader(NamedTuple):
    """The facts in the chunks of a PNG file."""

    # As stored, in pixels.
    height: int
    width: int
    orientation: int  # by EXIF, 1 to 8
    depth: int  # bits of a sample
    gray: bool
    transparent: bool
    bare: bool  # whether the file holds no chunk but those that its (first) picture needs


def png_header(data: bytes) -> PngHeader:
    """Walk the chunks of a PNG file: their lengths, and the checksums of the critical ones.

    Raises ImageError: ``truncated`` if the file ends within a chunk or before the last; ``damaged``
    if a length cannot be, a checksum is wrong, or a chunk that must be there is not.
    """
    view = memoryview(data)
    orientation: int | None = None
    kinds = set()
    for kind, start, end in png_chunks(data):
        kinds.add(kind)
        if not kind.isalpha():
            raise ImageError("damaged", f"a PNG chunk of the impossible type {kind!r}")
        if _is_critical(kind):
            _check_sum(view[start - 4 : end + 4], kind)
        elif kind == b"eXIf" and orientation is None:
            orientation = exif_orientation(data[start:end])
    _check_kinds(kinds)
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or not (height and width) or depth not in _PNG_DEPTHS.get(colour, ()):
        raise ImageError("damaged", f"a PNG header of {width} x {height} pixels, type {colour}")
    return PngHeader(
        height,
        width,
        orientation or UPRIGHT,
        depth,
        gray=colour in (0, 4),
        transparent=b"tRNS" in kinds or colour in (4, 6),
        bare=kinds <= _PNG_NEEDED,
    )


def _is_critical(kind: bytes) -> bool:
    """Return whether a decoder needs the chunk: its first letter is upper-case."""
    return kind[0] & 0x20 == 0


def _check_kinds(kinds: set[bytes]) -> None:
    """Refuse a PNG file that lacks a critical chunk, or holds an unknown one."""
    if not kinds >= {b"IHDR", b"IDAT", b"IEND"}:
        raise ImageError("damaged", "a PNG file without its header, data or end")
    if unknown := sorted(filter(_is_critical, kinds - _PNG_NEEDED)):
        raise ImageError("unsupported", f"PNG with the critical chunk {unknown[0].decode()}")


def png_first_frame(data: bytes) -> bytes:
    """Return an intact PNG file without the chunks that its (first) picture does not need."""
    chunks = png_chunks(data)
    needed = [data[start - 8 : end + 4] for kind, start, end in chunks if kind in _PNG_NEEDED]
    return b"".join([_PNG_SIGNATURE, *needed])


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk, and where its content begins and ends."""
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
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
    raise ImageError("damaged", f"a PNG file of more than {MAX_CHUNKS:,} chunks")


def _check_sum(chunk: memoryview, kind: bytes) -> None:
    """Compare the checksum of a chunk, from its kind on, with the one that it carries."""
    if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise ImageError("damaged", f"the checksum of the PNG chunk {kind.decode()} is wrong")


def jxl_size(data: bytes) -> tuple[int, int]:
    r"""Read height and width, in pixels, from a JPEG XL file: a codestream, or boxes that hold one.

    Raises ImageError, ``damaged``, if there is no codestream.

    References
    ----------
    ISO/IEC 18181-1, SizeHeader; ISO/IEC 18181-2, boxes.

    Examples
    --------
    >>> jxl_size(b"\xff\x0a\x4f\x00")
    (64, 64)
    """
    start = 0 if data.startswith(_JXL_CODESTREAM) else _jxl_codestream(data)
    return _jxl_size(int.from_bytes(data[start + 2 : start + 2 + 16], "little"))


def _jxl_codestream(data: bytes) -> int:
    """Find the codestream in the boxes of a file."""
    at = 0
    for _ in range(MAX_BOXES):
        n_bytes, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content = at + 8
        if n_bytes == 1:
            n_bytes, content = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        start = content + (4 if kind == b"jxlp" else 0)  # which has a number first
        if kind in (b"jxlc", b"jxlp") and data.startswith(_JXL_CODESTREAM, start):
            return start
        if n_bytes < 8:  # 0: up to the end of the file
            break
        at += n_bytes
    raise ImageError("damaged", "the JPEG XL file holds no codestream")


def _jxl_size(bits: int) -> tuple[int, int]:
    """Read the SizeHeader from the bits of a codestream, the lowest first."""

    def take(n: int) -> int:
        nonlocal bits
        value = bits & ((1 << n) - 1)
        bits >>= n
        return value

    is_small = take(1)

    def take_side() -> int:
        return 8 * (take(5) + 1) if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    height = take_side()
    if ratio := take(3):
        numerator, denominator = _JXL_RATIOS[ratio - 1]
        return height, height * numerator // denominator
    return height, take_side()


def bit_depth(name: str, data: bytes) -> int:
    """Read the bits of a channel from the header; 8 where formats have no choice."""
    if name == "png":
        return 8 if data[25] == _PALETTE else data[24]
    if name == "psd":
        return int.from_bytes(data[22:24], "big")
    if name == "pnm":
        return _pnm_depth(data)
    if name == "jpeg2000":
        at = data.find(b"\xff\x51") + 40  # the first component in the SIZ segment
        return (data[at] & 0x7F) + 1 if at < len(data) else 8
    if name in ("avif", "heif"):
        at = data.find(b"pixi") + 9  # behind version, flags and number of channels
        return data[at] if 9 <= at < len(data) else 8
    tiff = open_tiff(data) if name == "tiff" else None
    if tiff is not None and not has_palette(name, data):
        return max(integers(tiff, first_page(tiff), BITS_PER_SAMPLE), default=1)
    return 8


def _pnm_depth(data: bytes) -> int:
    """Read the largest value of a PNM file, its third number, which a bitmap lacks."""
    if data[1:2] in b"14":
        return 1
    words = re.sub(rb"#[^\n]*", b" ", data[:1024]).split(maxsplit=4)
    return max(1, int(words[3]).bit_length()) if len(words) > 3 and words[3].isdigit() else 8


def has_palette(name: str, data: bytes) -> bool:
    """Return whether the pixels are numbers of colours in a palette."""
    if name == "png":
        return data[25] == _PALETTE
    if name == "bmp":
        return int.from_bytes(data[28:30], "little") <= 8
    tiff = open_tiff(data) if name == "tiff" else None
    if tiff is not None:
        return integer(tiff, first_page(tiff), PHOTOMETRIC) == _PALETTE
    return name == "gif"


def is_lossless(name: str, data: bytes) -> bool:
    """Return whether the file stores exactly the pixels that it was made from."""
    if name == "webp":
        return is_lossless_webp(data)
    if name == "jpeg2000":
        at = data.find(b"\xff\x52") + 13  # the wavelet transform in the COD segment
        return at < len(data) and data[at] == 1
    tiff = open_tiff(data) if name == "tiff" else None
    if tiff is not None:
        found = {integer(tiff, each, COMPRESSION, 1) for each in directories(tiff)}
        return not found & _LOSSY_TIFF
    return name in LOSSLESS_FORMATS or name == "ico"


def rounding_steps(data: bytes) -> Steps:
    """Return to which steps a file rounds what it stores of a picture, as it is shown.

    They are those of the luma of a JPEG file, for each frequency of a block of 8 x 8 pixels, in
    rows; `LOSSLESS_STEPS` of a lossless file; nothing if they are not known, as of other lossy
    formats, or if the shown picture does not begin with a block of the stored one.
    """
    name = sniff(data[:SNIFF_BYTES])
    if name != "jpeg":
        return LOSSLESS_STEPS if is_lossless(name, data) else ()
    table, header = _luminance_table(data), jpeg_header(data)
    is_whole = header.height % BLOCK == 0 == header.width % BLOCK
    if table is None or not (header.orientation == UPRIGHT or is_whole):
        return ()
    return _steps_of(table, header.orientation in TRANSPOSED)


@lru_cache(MAX_TABLES)
def _steps_of(table: Steps, is_transposed: bool) -> Steps:
    """Put the numbers of a quantization table in rows, or in columns."""
    steps = np.empty(BLOCK * BLOCK, np.int64)
    steps[_in_zigzag()] = table
    square = steps.reshape(BLOCK, BLOCK)
    return tuple((square.T if is_transposed else square).ravel().tolist())


@cache
def _in_zigzag() -> list[int]:
    """Return the places of the coefficients of a block, in the order of a JPEG file."""
    places = [(row, column) for row in range(BLOCK) for column in range(BLOCK)]
    ordered = sorted(places, key=lambda at: (sum(at), at[sum(at) % 2 == 0]))
    return [BLOCK * row + column for row, column in ordered]


def jpeg_quality(data: bytes) -> int | None:
    """Find the quality whose luminance table, scaled as libjpeg does, is nearest to the file's."""
    table = _luminance_table(data)
    return None if table is None else _quality_of(table)


@lru_cache(MAX_TABLES)
def _quality_of(table: Steps) -> int:
    distances = np.abs(_sorted_tables() - np.sort(np.minimum(table, 255))).sum(axis=1)
    return 100 - int(np.argmin(distances[::-1]))


@cache
def _sorted_tables() -> npt.NDArray[np.int64]:
    return np.sort(standard_tables())


def _luminance_table(data: bytes) -> Steps | None:
    """Return the 64 numbers of quantization table 0, in the order of the file."""
    for marker, start, end in segments(data):
        if marker == 0xDA:
            break
        at = start + 2
        while marker == 0xDB and at < min(end, len(data)):
            form = ">64H" if data[at] >> 4 else ">64B"
            if at + 1 + struct.calcsize(form) > len(data):
                break
            if data[at] & 15 == 0:
                return struct.unpack_from(form, data, at + 1)
            at += 1 + struct.calcsize(form)
    return None


def rough_quality(bits: float) -> int:
    """Guess the quality of a lossy file from its bits for each pixel.

    Of 14 pictures, WebP of quality 10 got 1 to 28, of quality 80 16 to 87.
    """
    return max(1, round(100 * bits**2 / (bits**2 + 1)))
