"""Upright gray pixels with their true extent, from which hashes are computed.

A decoder's array becomes a ``GrayImage``: the luma of colour pixels, turned upright, and where the
partial blocks of a reduced picture are. Transparent colours are laid on white.
"""

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from imgdup.native.levels import luma

MAX_UPPER_BYTE = 15  # of 16 bits of which 12 are in use
ROWS_PIXELS = 1 << 20  # processed at a time, so that temporary arrays are small

Pixel = TypeVar("Pixel", bound=np.generic)
Pixels = npt.NDArray[np.uint8]
Shades = npt.NDArray[np.uint8 | np.float32]


# How a picture may be rotated or mirrored, by EXIF orientation minus 1; degrees are clockwise.
ORIENTATIONS = (
    "none",
    "mirror",
    "rotate-180",
    "flip",
    "transpose",
    "rotate-90",
    "transverse",
    "rotate-270",
)

# By EXIF orientation; a transposed picture is transposed first, then flipped.
TRANSPOSED = frozenset({5, 6, 7, 8})
FLIPPED_ROWS = frozenset({3, 4, 7, 8})
FLIPPED_COLUMNS = frozenset({2, 3, 6, 7})


class GrayImage(NamedTuple):
    """Upright gray pixels of a picture, perhaps at a reduced size."""

    pixels: Shades  # from 0 (black) to 255 (white)
    # Full upright size, in pixels.
    height: int
    width: int
    # The side of the block of full pixels whose mean each pixel is: 1, 2, 4 or 8.
    reduction: int = 1
    # Whether the rows, and the columns, begin with a partial block, as they do when a reduced
    # picture whose size is no multiple of its blocks has been mirrored.
    short_first: tuple[bool, bool] = (False, False)
    # What ``cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2GRAY)`` gives, if it was requested and
    # OpenCV reads the file.
    opencv: Pixels | None = None


def eight_bits(values: npt.NDArray[np.uint16]) -> Pixels:
    """Scale values of 16 bits to 8; values that fill only 8, 10 or 12 bits count as such.

    Cameras, scanners and medical devices store such values without scaling them.

    Examples
    --------
    >>> eight_bits(np.array([0, 512, 1023], dtype=np.uint16))
    array([  0, 128, 255], dtype=uint8)
    """
    highest = int(values.max(initial=0))
    bits = next((bits for bits in (8, 10, 12) if highest < 1 << bits), 16)
    return np.right_shift(values, bits - 8, dtype=np.uint16).astype(np.uint8)


def on_white(rgba: Pixels) -> Pixels:
    """Mix each colour with white by its alpha: c a + 255 (255 - a), divided by 255, rounded."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha
    mixed += 255 * (255 - alpha) + 128
    mixed += mixed >> 8  # with the shift below, an exact division by 255
    return (mixed >> 8).astype(np.uint8)


def rgb_of_cmyk(cmyk: Pixels) -> Pixels:
    """Turn CMYK pixels, 0 for no ink, into RGB: (255 - c) (255 - k) / 255, rounded as by Pillow."""
    rgb = np.empty((*cmyk.shape[:2], 3), dtype=np.uint8)
    step = max(1, ROWS_PIXELS // cmyk.shape[1])
    for top in range(0, len(cmyk), step):
        rows = cmyk[top : top + step]
        bright = 255 - rows[..., 3:].astype(np.uint16)
        absorbed = rows[..., :3] * bright + np.uint16(128)
        absorbed += absorbed >> 8
        rgb[top : top + step] = bright - (absorbed >> 8)
    return rgb


def upright(pixels: npt.NDArray[Pixel], orientation: int) -> npt.NDArray[Pixel]:
    """Return a view of a stored picture as its EXIF orientation says (CIPA DC-008, tag 0x0112)."""
    if orientation in TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in FLIPPED_ROWS:
        pixels = pixels[::-1]
    if orientation in FLIPPED_COLUMNS:
        pixels = pixels[:, ::-1]
    return pixels


def rotated(gray: GrayImage, orientation: int) -> GrayImage:
    """Turn or mirror an upright picture, as `upright` does a stored one.

    Examples
    --------
    >>> gray = GrayImage(np.array([[1, 2], [3, 4]], dtype=np.uint8), 2, 2)
    >>> rotated(gray, 6).pixels
    array([[3, 1],
           [4, 2]], dtype=uint8)
    """
    height, width = gray.height, gray.width
    rows_short, columns_short = gray.short_first
    if orientation in TRANSPOSED:
        height, width = width, height
        rows_short, columns_short = columns_short, rows_short
    short_first = (
        rows_short ^ (orientation in FLIPPED_ROWS),
        columns_short ^ (orientation in FLIPPED_COLUMNS),
    )
    pixels, opencv = upright(gray.pixels, orientation), gray.opencv
    if opencv is not None:
        opencv = upright(opencv, orientation)
    return GrayImage(pixels, height, width, gray.reduction, short_first, opencv)


def to_gray(
    stored: npt.NDArray[np.uint8],
    size: tuple[int, int],
    reduction: int = 1,
    orientation: int = 1,
) -> GrayImage:
    """Make upright gray pixels of what a decoder gave: gray or RGB, as stored.

    The size is the full height and width as stored. The partial blocks of a reduced picture are at
    the end. The orientation is that of EXIF.
    """
    shades: Shades = stored if stored.ndim == 2 else luma(stored)
    height, width = size[::-1] if orientation in TRANSPOSED else size
    short_first = (
        orientation in FLIPPED_ROWS and height % reduction > 0,
        orientation in FLIPPED_COLUMNS and width % reduction > 0,
    )
    return GrayImage(upright(shades, orientation), height, width, reduction, short_first)


def in_colour(pixels: Pixels) -> Pixels:
    """Give gray pixels three channels."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


class WholePicture(NamedTuple):
    """Gray or RGB pixels at full size as stored, EXIF orientation, whether any is transparent."""

    pixels: Pixels
    orientation: int
    transparent: bool

    def rgb(self) -> Pixels:
        """Return the pixels as RGB, upright: what `decode_rgb` returns at full size."""
        return np.ascontiguousarray(upright(in_colour(self.pixels), self.orientation))


def fills_few_bits(mode: str, upper: Pixels) -> bool:
    """Return whether the upper bytes are so small that 12 bits or fewer are in use.

    Pillow has divided premultiplied colours by their alpha, so that only alpha shows it there.
    """
    if mode == "CMYK":
        return int(upper.max()) <= MAX_UPPER_BYTE
    alpha_is_low = upper.shape[2] == 4 and int(upper[..., 3].max()) <= MAX_UPPER_BYTE
    return alpha_is_low or (mode != "RGBa" and int(upper[..., :3].max()) <= MAX_UPPER_BYTE)


def not_premultiplied(rgba: Pixels) -> Pixels:
    """Divide colours by the alpha that they were multiplied with."""
    alpha = np.maximum(rgba[..., 3:], 1).astype(np.uint16)
    colours = (rgba[..., :3] * np.uint16(255) + alpha // 2) // alpha
    return np.dstack([np.minimum(colours, 255).astype(np.uint8), rgba[..., 3:]])
