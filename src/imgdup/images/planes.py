"""Resize, blur, average, shift and search in pictures that are compared with each other.

Pictures are uint8; a plane is one channel of a picture as float32, shape (height, width).
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.native.difference import shrunk

Plane = npt.NDArray[np.float32]


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize by area where both sides become shorter or stay, otherwise by interpolation."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows, columns = pixels.shape[:2]
    if rows < height or columns < width:
        return _uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))
    if (rows, columns) == (2 * height, 2 * width):  # the same as below, in a fifth of the time
        return _uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    return shrunk(pixels, height, width)


def luma(pixels: Pixels) -> Pixels:
    """Return the luma of an RGB picture, shape (height, width)."""
    return _uint8(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def luma_and_chroma(pixels: Pixels) -> Pixels:
    """Return luma, Cr and Cb of an RGB picture, shape (height, width, 3)."""
    return _uint8(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))


def mapped(pixels: Pixels, curve: Pixels) -> Pixels:
    """Replace each level of all channels by that of a tone curve, uint8 (256,)."""
    return _uint8(cv2.LUT(pixels, curve))


def blurred(plane: Plane, sigma: float) -> Plane:
    """Blur by a Gaussian of this standard deviation, in pixels."""
    side = 2 * math.ceil(3 * sigma) + 1
    return _float32(cv2.GaussianBlur(plane, (side, side), sigma))


def window_means(plane: Plane, side: int) -> Plane:
    """Return the mean of the square window around each element."""
    return _float32(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE))


def largest_near(plane: Plane, side: int) -> Plane:
    """Return the largest element of the square window around each element."""
    return _float32(cv2.dilate(plane, np.ones((side, side), np.uint8)))


def warped(pixels: Pixels, matrix: npt.NDArray[np.float64], height: int, width: int) -> Pixels:
    """Take pixel (x, y) of the result from ``matrix @ (x, y, 1)``; edges are repeated outside."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE
    return _uint8(cv2.warpAffine(pixels, matrix, (width, height), flags=flags, borderMode=border))


def best_place(plane: Plane, part: Plane) -> tuple[float, int, int]:
    """Find where a smaller plane fits best: the correlation (-1 to 1), and x and y there."""
    found = cv2.matchTemplate(plane, part, cv2.TM_CCOEFF_NORMED)
    _, largest, _, place = cv2.minMaxLoc(found)
    return float(largest), int(place[0]), int(place[1])


def region_around(marks: Pixels, row: int, column: int) -> tuple[int, int, int, int]:
    """Return the box (x, y, width, height) of the connected marks around one of them."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(marks)
    x, y, width, height = facts[labels[row, column], :4].tolist()
    return x, y, width, height


def _uint8(pixels: object) -> Pixels:
    return np.asarray(pixels, dtype=np.uint8)


def _float32(plane: object) -> Plane:
    return np.asarray(plane, dtype=np.float32)
