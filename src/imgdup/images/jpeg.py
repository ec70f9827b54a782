"""A JPEG file's bytes -> its pixels, or the reason why they are not all there.

libjpeg makes a picture of whatever it is given: where data are lost, it fills up with gray and
warns. Here every warning counts, unless what libjpeg warns of is not the picture: then the picture
alone is decoded once more, without a warning.
"""

import re
from typing import NamedTuple

import simplejpeg

from imgdup.errors import ImageError
from imgdup.images.gray import Pixels
from imgdup.images.jpeg_header import (
    EOI,
    JpegHeader,
    picture_alone,
    picture_end,
)
from imgdup.images.pillow import decode_jpeg_with_pillow, rgb_of_cmyk

MAX_CUTS = 4  # of what follows a picture without an end marker; two are enough as a rule

# Messages of libjpeg-turbo, in simplejpeg's ValueError.
_UNKNOWN_SAMPLING = "Could not determine subsampling"
_NO_MEMORY = "Insufficient memory"
_BYTES_LEFT = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def decode_jpeg(data: bytes, header: JpegHeader, *, colour: bool, reduction: int) -> Pixels:
    """Decode a JPEG file to gray or RGB, ignoring the orientation.

    Parameters
    ----------
    data : bytes
        The whole file.
    header : JpegHeader
        What `jpeg_header` says of it.
    colour : bool
    reduction : int
        1, 2, 4 or 8.

    Returns
    -------
    ndarray of uint8, shape (ceil(height / reduction), ceil(width / reduction)) or, in RGB, (..., 3)
        CMYK is RGB whatever is asked for.

    Raises
    ------
    ImageError
        ``truncated`` if the data end too early; ``damaged`` if they are wrong.
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
    return decode_jpeg_with_pillow(
        picture + EOI, colour=reading.colour, reduction=reading.reduction
    )
