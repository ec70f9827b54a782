"""Read from the bytes of a WebP file its size, and how strongly it was compressed.

Each walk is bounded by the length of the file.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imgdup.errors import ImageError

_FRAME_BYTES = 16  # before the chunks of a frame
_VP8_BYTES = 10  # of a frame of VP8, before its first partition
_EVEN = 128  # of 256: the probability of a bit that is as often 0 as 1
# What `cwebp` writes as the index of the coarsest quantizer for each quality.
_INDICES = (0, 6, 12, 27, 36, 52, 68, 92, 115, 127)
_QUALITIES = (100, 95, 90, 80, 75, 50, 30, 10, 1, 1)


class WebpHeader(NamedTuple):
    """The facts in the first chunk of a WebP file."""

    # Of the canvas, in pixels.
    height: int
    width: int
    plain: bool  # whether the file is one plain opaque lossy picture


def webp_header(data: bytes) -> WebpHeader:
    """Read the size of a WebP picture from its first chunk.

    Raises ImageError: ``truncated`` if the file ends within the first chunk's header; ``damaged``
    if that chunk is none that a WebP file can begin with.
    """
    kind, n_bytes = data[12:16], len(data)
    if kind == b"VP8 " and n_bytes >= 30:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return WebpHeader(height, width, plain=True)
    if kind == b"VP8L" and n_bytes >= 25:
        (sides,) = struct.unpack_from("<I", data, 21)
        return WebpHeader((sides >> 14 & 0x3FFF) + 1, (sides & 0x3FFF) + 1, plain=False)
    if kind == b"VP8X" and n_bytes >= 30:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return WebpHeader(height, width, plain=False)
    reason = "truncated" if webp_is_cut(data) else "damaged"
    raise ImageError(reason, "the WebP file does not begin with a picture")


def webp_is_cut(data: bytes) -> bool:
    """Return whether a WebP file is shorter than its header states; some writers miscount."""
    return 8 + int.from_bytes(data[4:8], "little") > len(data)


def is_lossless_webp(data: bytes) -> bool:
    """Return whether no chunk of a WebP file, or of its frames, is lossy."""
    return all(kind != b"VP8 " for kind, _ in _chunks(data))


def webp_quality(data: bytes) -> int | None:
    """Return the quality of a lossy WebP file, 1 to 100, on the scale of libwebp.

    It is read off the quantizer of the first lossy picture; None if there is none.
    """
    start = next((start for kind, start in _chunks(data) if kind == b"VP8 "), None)
    if start is None or start + _VP8_BYTES >= len(data):
        return None
    index = _quantizer(_Bits(data, start + _VP8_BYTES))
    return round(float(np.interp(index, _INDICES, _QUALITIES)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield kind and start of each chunk, also of those inside frames."""
    at = 12
    while at + 8 <= len(data):
        kind, n_bytes = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8
        at += 8 + (_FRAME_BYTES if kind == b"ANMF" else n_bytes + n_bytes % 2)


class _Bits:
    """Decodes bits of VP8 (RFC 6386, section 7); behind the end of the data there are zeros."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start + 2
        self._value = int.from_bytes(data[start : start + 2].ljust(2, b"\0"), "big")
        self._range, self._n_shifted = 255, 0

    def integer(self, n_bits: int) -> int:
        """Return an integer of some bits, the highest first."""
        value = 0
        for _ in range(n_bits):
            value = value << 1 | self._bit()
        return value

    def signed(self, n_bits: int) -> int:
        """Return an integer of some bits that a flag precedes, 0 without it, and a sign follows."""
        if not self.integer(1):
            return 0
        value = self.integer(n_bits)
        return -value if self.integer(1) else value

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * _EVEN >> 8)
        bit = int(self._value >= split << 8)
        self._range = self._range - split if bit else split
        self._value -= bit * (split << 8)
        while self._range < 128:
            self._value, self._range = self._value << 1, self._range << 1
            self._n_shifted += 1
            if self._n_shifted % 8 == 0:
                self._value |= self._data[self._at] if self._at < len(self._data) else 0
                self._at += 1
        return bit


def _quantizer(bits: _Bits) -> int:
    """Read the index of the quantizer, 0 to 127, from a frame's header (section 9.2 to 9.6)."""
    bits.integer(2)  # colour space and clamping
    if bits.integer(1):  # segments
        has_map, has_values = bits.integer(1), bits.integer(1)
        if has_values:
            bits.integer(1)
            _ = [bits.signed(n_bits) for n_bits in (7,) * 4 + (6,) * 4]
        for _ in range(3 * has_map):
            if bits.integer(1):
                bits.integer(8)
    bits.integer(10)  # the loop filter, and how much it differs
    if bits.integer(1) and bits.integer(1):
        _ = [bits.signed(6) for _ in range(8)]
    bits.integer(2)  # number of partitions
    return bits.integer(7)
