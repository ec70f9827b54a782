"""Steps of the comparison of two pictures, by calling ``difference.c`` and ``shrink.c``."""

import ctypes
import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, checked_plane, declared, read_address

N_MOMENTS, BLUR_REACH, CHUNK = 6, 32, 1024  # the same as in imgdup.h, and in lanes.h
MAX_SIDE, MAX_CHANNELS = 1 << 24, 4  # pixels and levels of each, of a picture that `shrunk` takes

Planes = npt.NDArray[np.float32]


def blurred(plane: Plane, sigma: float) -> Plane:
    """Blur a plane, or a picture of float32 of several channels, by a Gaussian.

    `sigma` is its standard deviation, in pixels; what lies farther than three of them away does not
    count. Beyond the edges, the pixels are mirrored without the outermost ones.

    Examples
    --------
    >>> blurred(np.array([[0, 90, 0]], np.float32), 0.3).round().tolist()
    [[1.0, 89.0, 1.0]]
    """
    weights = _checked_gaussian(plane, sigma)
    plane, reach = np.ascontiguousarray(plane), len(weights) - 1
    height, width = plane.shape[:2]
    channels = plane.shape[2] if plane.ndim == 3 else 1
    row, out = np.empty((width + 2 * reach) * channels, np.float32), np.empty_like(plane)
    _functions().imgdup_blur(
        *(address_of(plane), height, width, channels, address_of(weights), reach),
        *(address_of(row), address_of(out)),
    )
    return out


def _checked_gaussian(plane: Plane, sigma: float) -> Plane:
    """Check that a plane or picture can be blurred, and return the weights for it."""
    fits = plane.dtype == np.float32 and plane.ndim in (2, 3) and plane.size > 0
    if not fits or not 0 < math.ceil(3 * sigma) <= BLUR_REACH:
        raise ValueError(
            f"expected float32 of shape (height, width) or (height, width, channels) and a sigma "
            f"up to {BLUR_REACH / 3:.1f}, got {plane.dtype} of shape {plane.shape} and {sigma}"
        )
    return _gaussian(sigma)


@cache
def _gaussian(sigma: float) -> Plane:
    """Return the weights of a pixel and of the next ones on one side."""
    heights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(math.ceil(3 * sigma) + 1)]
    total = 2 * sum(heights) - heights[0]
    return np.array([each / total for each in heights], np.float32)


def fine_detail(plane: Plane, sigma: float) -> float:
    """Return the mean squared difference of a plane from its blur, as `blurred` makes it.

    Examples
    --------
    >>> round(fine_detail(np.array([[0, 90, 0]], np.float32), 0.3), 2)
    0.48
    """
    plane, weights = checked_plane(plane, plane.shape), _checked_gaussian(plane, sigma)
    (height, width), reach = plane.shape, len(weights) - 1
    scratch = np.empty(2 * (width + reach) + CHUNK, np.float32)
    return float(
        _functions().imgdup_fine_detail(
            *(address_of(plane), height, width, address_of(weights), reach, address_of(scratch))
        )
    )


def blended(a: Plane, fine: Plane, coarse: Plane, weights: tuple[float, float, float]) -> Plane:
    """Add up three planes, each times a weight, and cut off at black and white.

    Examples
    --------
    >>> level = np.array([[100.0]], np.float32)
    >>> blended(level, level, level, (0.5, 0.25, 0.5)), blended(level, level, level, (1, 1, 1))
    (array([[125.]], dtype=float32), array([[255.]], dtype=float32))
    """
    a, fine, coarse = (checked_plane(each, a.shape) for each in (a, fine, coarse))
    factors, blend = np.array(weights, np.float32), np.empty_like(a)
    _functions().imgdup_blend(
        *map(address_of, (a, fine, coarse)), a.size, *map(address_of, (factors, blend))
    )
    return blend


class Blurs(ctypes.Structure):
    """Two blurs and a damping: `ImgdupBlurs` of ``imgdup.h``, made by `blurs`."""

    weights: tuple[Plane, Plane]  # those at the addresses
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("fine", "coarse")),
        *((name, ctypes.c_int64) for name in ("fine_reach", "coarse_reach")),
        ("damping", ctypes.c_double),
    )


def blurs(fine: float, coarse: float, damping: float) -> Blurs:
    """Return blurs of two standard deviations, the coarse one not below the fine one."""
    if not 0 < fine <= coarse or math.ceil(3 * coarse) > BLUR_REACH:
        raise ValueError(
            f"expected two ascending sigmas up to {BLUR_REACH / 3:.1f}, got {fine} and {coarse}"
        )
    weights = _gaussian(fine), _gaussian(coarse)
    two = Blurs(*map(address_of, weights), *(len(each) - 1 for each in weights), damping)
    two.weights = weights
    return two


class FittedFilter(NamedTuple):
    """A filtered plane, how often each blur counts in it, and its mean square from the goal."""

    plane: Plane
    fine: float
    coarse: float
    error: float


def fitted_filter(a: Plane, b: Plane, two: Blurs) -> FittedFilter:
    """Add to a plane what two blurs change, with the weights that bring it nearest to another one.

    Least squares find the weights; the damping is added to the sum of squares of each pixel. The
    result is cut off at black and white.

    Examples
    --------
    >>> plane = np.array([[0, 0, 90, 0, 0]], np.float32)
    >>> found = fitted_filter(plane, blurred(plane, 1.0), blurs(1.0, 2.5, 0.0))
    >>> round(found.fine, 3), abs(round(found.coarse, 3)), round(found.error, 3)
    (1.0, 0.0, 0.0)
    """
    a, b = checked_plane(a, a.shape), checked_plane(b, a.shape)
    if a.size == 0:
        raise ValueError(f"expected planes with pixels, got shape {a.shape}")
    height, width = a.shape
    scratch = np.empty(2 * a.size + 2 * (width + 2 * two.coarse_reach), np.float32)
    plane, found = np.empty_like(a), np.empty(2)
    error: float = _functions().imgdup_fit_filter(
        *(address_of(a), address_of(b), height, width, ctypes.byref(two)),
        *map(address_of, (scratch, plane, found)),
    )
    fine, coarse = found.tolist()
    return FittedFilter(plane, fine, coarse, error)


def window_means(planes: Planes, side: int) -> Planes:
    """Return the means over the square window around each element of some planes.

    Parameters
    ----------
    planes : ndarray of float32, shape (n, height, width)
    side : int
        A power of two; half of the window lies before the element. Beyond the edges of a plane, the
        elements there are repeated.

    Examples
    --------
    >>> window_means(np.array([[[0, 4, 8]]], np.float32), 2).tolist()
    [[[0.0, 2.0, 6.0]]]
    """
    if side < 1 or side & (side - 1):
        raise ValueError(f"the side of a window must be a power of two, got {side}")
    if planes.dtype != np.float32 or planes.ndim != 3 or planes.size == 0:
        raise ValueError(
            f"expected float32 of shape (n, height, width), got {planes.dtype} of {planes.shape}"
        )
    planes = np.ascontiguousarray(planes)
    means, scratch = np.empty_like(planes), np.empty(2 * (planes.shape[2] + side))
    _functions().imgdup_window_means(
        address_of(planes), *planes.shape, side, *map(address_of, (scratch, means))
    )
    return means


def block_moments(a: Plane, b: Plane, side: int) -> npt.NDArray[np.float32]:
    """Return means over square blocks of two planes.

    Parameters
    ----------
    a, b : ndarray of float32, shape (height, width)
    side : int
        Side of a block, in pixels. The last blocks begin earlier, so that they are whole, too: many
        filters leave edges of one pixel as they are. Those of a smaller picture are smaller.

    Returns
    -------
    ndarray of float32, shape (6, ceil(height / side), ceil(width / side))
        The means of a, b, a * a, b * b, a * b and (b - a) ** 2.

    Examples
    --------
    >>> ramp = np.arange(4, dtype=np.float32).reshape(2, 2)
    >>> block_moments(ramp, ramp + 1, 2).ravel().tolist()
    [1.5, 2.5, 3.5, 7.5, 5.0, 1.0]
    """
    if side < 1:
        raise ValueError(f"a block must have at least one pixel a side, got {side}")
    a, b = checked_plane(a, a.shape), checked_plane(b, a.shape)
    height, width = a.shape
    moments = np.empty((N_MOMENTS, -(-height // side), -(-width // side)), np.float32)
    columns = np.empty((N_MOMENTS, width), np.float32)
    _functions().imgdup_block_moments(
        address_of(a), address_of(b), height, width, side, address_of(columns), address_of(moments)
    )
    return moments


def level_moments(a: Pixels, b: Pixels, side: int, grid: tuple[int, int]) -> Planes:
    """Return what `block_moments` does of gray pictures, on a grid of so many rows and columns.

    The last blocks are repeated, or left out.

    Examples
    --------
    >>> levels = np.array([[7, 9]], np.uint8)
    >>> level_moments(levels, levels, 1, (1, 3))[0].tolist()
    [[7.0, 9.0, 9.0]]
    """
    (height, width), (n_rows, n_columns) = a.shape, grid
    if side < 1 or a.size == 0:
        raise ValueError(f"expected pixels, and blocks of one or more, got {a.shape} and {side}")
    n_blocks = -(-height // side) * -(-width // side)
    scratch = np.empty(2 * a.size + N_MOMENTS * (width + n_blocks), np.float32)
    moments = np.empty((N_MOMENTS, n_rows, n_columns), np.float32)
    _functions().imgdup_level_moments(
        *(read_address(each, np.uint8, a.shape) for each in (a, b)),
        *(height, width, side, n_rows, n_columns, address_of(scratch), address_of(moments)),
    )
    return moments


def shrunk(pixels: Pixels, height: int, width: int) -> Pixels:
    """Reduce a picture: each pixel is the average of an equal area, rounded, a half upwards.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns) or (rows, columns, channels)
    height, width : int
        Size of the result, in pixels; at least 1 and at most that of the picture.

    Examples
    --------
    >>> shrunk(np.array([[0, 30, 60]], np.uint8), 1, 2).tolist()
    [[10, 50]]
    """
    rows, columns = pixels.shape[:2]
    fits = 0 < height <= rows <= MAX_SIDE and 0 < width <= columns <= MAX_SIDE
    fits = fits and pixels.shape[2:] <= (MAX_CHANNELS,)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not fits:
        raise ValueError(
            f"cannot shrink {pixels.dtype} of shape {pixels.shape} to {height} x {width}: expected "
            "uint8, at most 4 channels, and a size from 1 pixel to that of the picture"
        )
    pixels = np.ascontiguousarray(pixels)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    out = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    scratch = np.empty((18 + 8 * channels) * (columns + 32), np.uint32)
    _functions().imgdup_shrink(
        *(address_of(pixels), rows, columns, channels),
        *(address_of(out), height, width, address_of(scratch)),
    )
    return out


def keep_memory() -> None:
    """Let this process keep memory that it frees, in blocks of up to 32 MB, under glibc.

    Pictures are compared in a fifth less time if the memory of one serves the next.
    """
    _functions().imgdup_keep_memory()


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_blur": (None, _P, _N, _N, _N, _P, _N, _P, _P),
    "imgdup_fine_detail": (ctypes.c_double, _P, _N, _N, _P, _N, _P),
    "imgdup_blend": (None, _P, _P, _P, _N, _P, _P),
    "imgdup_fit_filter": (ctypes.c_double, _P, _P, _N, _N, _P, _P, _P, _P),
    "imgdup_window_means": (None, _P, _N, _N, _N, _N, _P, _P),
    "imgdup_block_moments": (None, _P, _P, _N, _N, _N, _P, _P),
    "imgdup_level_moments": (None, _P, _P, _N, _N, _N, _N, _N, _P, _P),
    "imgdup_shrink": (None, _P, _N, _N, _N, _P, _N, _N, _P),
    "imgdup_keep_memory": (None,),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
