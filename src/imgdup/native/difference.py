"""Steps of the comparison of two pictures, by calling ``difference.c``."""

import ctypes
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import declared

N_SUMS, N_MOMENTS, N_FREQUENCIES, BLUR_REACH = 8, 6, 8, 32  # the same as in imgdup.h
LEVELS = 256
MAX_SIDE, MAX_CHANNELS = 1 << 24, 4  # pixels and levels of each, of a picture that `shrunk` takes

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Planes = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]


class FilterSums(NamedTuple):
    """Sums over all pixels of products of x = fine - a, z = coarse - a and y = b - a."""

    xx: float
    xz: float
    zz: float
    x: float
    z: float
    xy: float
    zy: float
    y: float


def filter_sums(a: Plane, fine: Plane, coarse: Plane, b: Plane) -> FilterSums:
    """Add up the products from which a filter is fitted that takes a plane nearest to another.

    Parameters
    ----------
    a, fine, coarse, b : ndarray of float32, all of one shape
        A plane, two blurred copies of it, and the plane to come near to.
    """
    planes = [_checked(each, a.shape) for each in (a, fine, coarse, b)]
    sums = np.zeros(N_SUMS, np.float64)
    _functions().imgdup_filter_sums(*map(_address, planes), a.size, _address(sums))
    return FilterSums(*sums.tolist())


def blurred(plane: Plane, sigma: float) -> Plane:
    """Blur a plane, or a picture of float32 of several channels, by a Gaussian.

    `sigma` is its standard deviation, in pixels; what lies farther than three of them away does not
    count. Beyond the edges, the pixels are mirrored without the outermost ones.

    Examples
    --------
    >>> blurred(np.array([[0, 90, 0]], np.float32), 0.3).round().tolist()
    [[1.0, 89.0, 1.0]]
    """
    reach = math.ceil(3 * sigma)
    if plane.dtype != np.float32 or plane.ndim not in (2, 3) or not 0 < reach <= BLUR_REACH:
        raise ValueError(
            f"expected float32 of shape (height, width) or (height, width, channels) and a sigma "
            f"up to {BLUR_REACH / 3:.1f}, got {plane.dtype} of shape {plane.shape} and {sigma}"
        )
    plane = np.ascontiguousarray(plane)
    height, width = plane.shape[:2]
    channels = plane.shape[2] if plane.ndim == 3 else 1
    row, out = np.empty((width + 2 * reach) * channels, np.float32), np.empty_like(plane)
    _functions().imgdup_blur(
        *(_address(plane), height, width, channels, _address(_gaussian(sigma)), reach),
        *(_address(row), _address(out)),
    )
    return out


@cache
def _gaussian(sigma: float) -> Plane:
    """Return the weights of a pixel and of the next ones on one side."""
    heights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(math.ceil(3 * sigma) + 1)]
    total = 2 * sum(heights) - heights[0]
    return np.array([each / total for each in heights], np.float32)


def mean_square(a: Plane, b: Plane) -> float:
    """Return the mean squared difference of two planes.

    Examples
    --------
    >>> mean_square(np.array([[1, 5]], np.float32), np.array([[1, 7]], np.float32))
    2.0
    """
    planes = [_checked(each, a.shape) for each in (a, b)]
    return float(_functions().imgdup_mean_square(*map(_address, planes), a.size))


def blended(a: Plane, fine: Plane, coarse: Plane, weights: tuple[float, float, float]) -> Plane:
    """Add up three planes, each times a weight, and cut off at black and white.

    Examples
    --------
    >>> level = np.array([[100.0]], np.float32)
    >>> blended(level, level, level, (0.5, 0.25, 0.5)), blended(level, level, level, (1, 1, 1))
    (array([[125.]], dtype=float32), array([[255.]], dtype=float32))
    """
    a, fine, coarse = (_checked(each, a.shape) for each in (a, fine, coarse))
    factors, blend = np.array(weights, np.float32), np.empty_like(a)
    _functions().imgdup_blend(
        *map(_address, (a, fine, coarse)), a.size, *map(_address, (factors, blend))
    )
    return blend


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
    means, scratch = np.empty_like(planes), np.empty(2 * planes.shape[2] + side - 1)
    _functions().imgdup_window_means(
        _address(planes), *planes.shape, side, *map(_address, (scratch, means))
    )
    return means


def ascending(values: Sums, weights: Sums) -> Sums:
    """Return the nearest ascending values: pool adjacent violators (Barlow et al. 1972).

    Examples
    --------
    >>> ascending(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 3.0])).tolist()
    [1.0, 2.25, 2.25]
    """
    if not values.dtype == weights.dtype == np.float64 or not values.shape == weights.shape:
        raise ValueError(
            "expected values and weights of float64 of one shape, "
            f"got {values.dtype} of {values.shape} and {weights.dtype} of {weights.shape}"
        )
    values, weights = np.ascontiguousarray(values), np.ascontiguousarray(weights)
    n = values.size
    scratch, ends, nearest = np.empty((2, n)), np.empty(n, np.int64), np.empty(n)
    _functions().imgdup_ascending(
        *(_address(values), _address(weights), n, _address(scratch[0]), _address(scratch[1])),
        *(_address(ends), _address(nearest)),
    )
    return nearest


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
    a, b = _checked(a, a.shape), _checked(b, a.shape)
    height, width = a.shape
    moments = np.empty((N_MOMENTS, -(-height // side), -(-width // side)), np.float32)
    columns = np.empty((N_MOMENTS, width), np.float32)
    _functions().imgdup_block_moments(
        _address(a), _address(b), height, width, side, _address(columns), _address(moments)
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
    sums, spans = np.empty((columns, channels), np.uint32), np.empty((width, 4), np.int64)
    _functions().imgdup_shrink(
        *(_address(pixels), rows, columns, channels),
        *(_address(out), height, width, _address(sums), _address(spans)),
    )
    return out


def level_sums(a: Pixels, b: Pixels, weights: Pixels) -> npt.NDArray[np.int64]:
    """Add up, for each level of a picture, the levels of another one in the same places.

    Returns
    -------
    ndarray of int64, shape (3, 256)
        For each level of `a` the sum of the weights, of the weighted levels of `b`, and of their
        weighted squares.

    Examples
    --------
    >>> a, b, weights = (np.array(x, np.uint8) for x in ([7, 7, 9], [1, 2, 5], [1, 1, 3]))
    >>> level_sums(a, b, weights)[:, [7, 8, 9]].tolist()
    [[2, 0, 3], [3, 0, 15], [5, 0, 75]]
    """
    if not a.shape == b.shape == weights.shape:
        raise ValueError(
            "expected two pictures and weights of one shape, "
            f"got {a.shape}, {b.shape} and {weights.shape}"
        )
    a, b, weights = _bytes(a), _bytes(b), _bytes(weights)
    sums = np.zeros((LEVELS, 3), np.int64)
    _functions().imgdup_level_sums(*map(_address, (a, b, weights)), a.size, _address(sums))
    return np.ascontiguousarray(sums.T)


def curve_error(a: Pixels, b: Pixels, curve: npt.NDArray[np.int32], most: int) -> float:
    """Return the mean squared difference of a picture from what a tone curve makes of another.

    `curve` is a level for each of 256; each square counts `most` at most.

    Examples
    --------
    >>> a, b = np.array([7, 7], np.uint8), np.array([9, 99], np.uint8)
    >>> curve_error(a, b, np.arange(256, dtype=np.int32), 400)
    202.0
    """
    if a.shape != b.shape or a.size == 0 or curve.shape != (LEVELS,) or curve.dtype != np.int32:
        raise ValueError(
            "expected two pictures of one shape and a curve of 256 levels of int32, "
            f"got {a.shape}, {b.shape} and {curve.dtype} of {curve.shape}"
        )
    a, b, curve = _bytes(a), _bytes(b), np.ascontiguousarray(curve)
    addresses = _address(a), _address(b)
    error: int = _functions().imgdup_curve_error(*addresses, a.size, _address(curve), most)
    return error / a.size


def nearer_counts(
    a: Pixels, b: Pixels, curve: Sums, is_counted: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """Count the pixels with some levels, and those of them that a curve takes nearer to a picture.

    `curve` is a level for each of 256, and `is_counted` tells which of these levels count.

    Examples
    --------
    >>> a, b = (np.array(levels, np.uint8) for levels in ([7, 7, 9], [8, 7, 9]))
    >>> nearer_counts(a, b, np.arange(256) + 0.5, np.ones(256, np.bool_))
    (3, 1)
    """
    if a.shape != b.shape or curve.shape != (LEVELS,) or is_counted.shape != (LEVELS,):
        raise ValueError(
            "expected two pictures of one shape, a curve of 256 levels and which of them count, "
            f"got {a.shape}, {b.shape}, {curve.shape} and {is_counted.shape}"
        )
    a, b, curve = _bytes(a), _bytes(b), np.ascontiguousarray(curve, np.float64)
    marks, counts = np.ascontiguousarray(is_counted, np.uint8), np.zeros(2, np.int64)
    _functions().imgdup_count_nearer(
        *(_address(a), _address(b), a.size, _address(curve), _address(marks), _address(counts))
    )
    counted, nearer = counts.tolist()
    return counted, nearer


def end_steps(pixels: Pixels, rows_apart: int, end: int) -> npt.NDArray[np.int64]:
    """Count by how much neighbours in a row differ, near black and near white.

    Returns
    -------
    ndarray of int64, shape (2, 256)
        How often they differ by each number of levels where both are below `end`, and where both
        are above ``255 - end``; in one of so many rows.

    Examples
    --------
    >>> np.argwhere(end_steps(np.array([[3, 5, 99, 254, 255]], np.uint8), 1, 30)).tolist()
    [[0, 2], [1, 1]]
    """
    if pixels.ndim not in (2, 3) or rows_apart < 1:
        raise ValueError(f"expected a picture and a step, got {pixels.shape} and {rows_apart}")
    pixels = _bytes(pixels)
    height, width = pixels.shape[:2]
    counts = np.zeros((2, LEVELS), np.int64)
    _functions().imgdup_end_steps(
        *(_address(pixels), height, width, pixels.shape[2] if pixels.ndim == 3 else 1),
        *(rows_apart, end, _address(counts[0]), _address(counts[1])),
    )
    return counts


def transposed(plane: Plane) -> Plane:
    """Exchange the rows and columns of a plane, many times faster than NumPy copies it so."""
    plane = _checked(plane, plane.shape)
    out = np.empty(plane.shape[::-1], np.float32)
    _functions().imgdup_transpose(_address(plane), *plane.shape, _address(out))
    return out


def frequency_powers(plane: Plane, cosines: Plane) -> Sums:
    """Transform each 8 pixels of a column, and add up the squares of each of 8 frequencies.

    Rows that are left over at the end of the plane do not count. `cosines`, of shape (8, 8), has a
    row for each frequency.
    """
    plane, cosines = _checked(plane, plane.shape), _checked(cosines, (N_FREQUENCIES,) * 2)
    powers = np.zeros(N_FREQUENCIES)
    _functions().imgdup_frequency_powers(
        _address(plane), *plane.shape, _address(cosines), _address(powers)
    )
    return powers


def edges(plane: Plane) -> tuple[Sums, Sums]:
    """Add up where levels change abruptly, as they do between the blocks of a JPEG file.

    Returns
    -------
    rows, columns : ndarray of float64, shapes (height,) and (width,)
        For column x, over all rows: by how much twice the change from pixel x - 1 to x exceeds the
        sum of the changes before and after it, if it does. The first two and the last are 0.

    Examples
    --------
    >>> edges(np.array([[0, 0, 5, 5, 5]], np.float32))[1].tolist()
    [0.0, 0.0, 10.0, 0.0, 0.0]
    """
    plane = _checked(plane, plane.shape)
    rows, columns = (np.zeros(side) for side in plane.shape)
    _functions().imgdup_edges(_address(plane), *plane.shape, _address(rows), _address(columns))
    return rows, columns


def weighted_lines(plane: Pixels, n_lines: int, weights: Plane) -> Plane:
    """Take some rows and columns of a plane, less their means, and weigh their levels.

    Parameters
    ----------
    plane : ndarray of uint8, shape (height, width)
        It may be a channel of a picture.
    n_lines : int
        How many rows, and how many columns.
    weights : ndarray of float32
        As many as the shorter side has pixels.

    Returns
    -------
    ndarray of float32, shape (2 * n_lines, shorter side)
        The middle of each row, then that of each column.

    Examples
    --------
    >>> plane, weights = np.array([[7, 9, 0], [1, 4, 5]], np.uint8), np.ones(2, np.float32)
    >>> weighted_lines(plane, 1, weights).tolist()
    [[-1.5, 1.5], [2.5, -2.5]]
    """
    length = min(plane.shape)
    if plane.dtype != np.uint8 or plane.ndim != 2 or weights.shape != (length,) or n_lines < 1:
        raise ValueError(
            f"expected a plane of uint8, a line and as many weights as its shorter side, got "
            f"{plane.dtype} of shape {plane.shape}, {n_lines} and {len(weights)}"
        )
    weights, lines = np.ascontiguousarray(weights), np.empty((2 * n_lines, length), np.float32)
    _functions().imgdup_lines(
        *(_address(plane), *plane.strides, *plane.shape, n_lines),
        *(_address(weights), _address(lines)),
    )
    return lines


def line_powers(spectra: npt.NDArray[np.complexfloating[Any, Any]]) -> Sums:
    """Add up the power of each frequency over the spectra of all lines, shape (lines, frequencies).

    Examples
    --------
    >>> line_powers(np.array([[3 + 4j, 1], [1j, 0]], np.complex64)).tolist()
    [26.0, 1.0]
    """
    if spectra.dtype != np.complex64 or spectra.ndim != 2:
        raise ValueError(f"expected lines of complex64, got {spectra.dtype} of {spectra.shape}")
    spectra, powers = np.ascontiguousarray(spectra), np.empty(spectra.shape[1])
    _functions().imgdup_line_powers(_address(spectra), *spectra.shape, _address(powers))
    return powers


def keep_memory() -> None:
    """Let this process keep memory that it frees, in blocks of up to 32 MB, under glibc.

    Pictures are compared in a fifth less time if the memory of one serves the next.
    """
    _functions().imgdup_keep_memory()


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_filter_sums": (None, _P, _P, _P, _P, _N, _P),
    "imgdup_blur": (None, _P, _N, _N, _N, _P, _N, _P, _P),
    "imgdup_mean_square": (ctypes.c_double, _P, _P, _N),
    "imgdup_blend": (None, _P, _P, _P, _N, _P, _P),
    "imgdup_window_means": (None, _P, _N, _N, _N, _N, _P, _P),
    "imgdup_ascending": (None, _P, _P, _N, _P, _P, _P, _P),
    "imgdup_block_moments": (None, _P, _P, _N, _N, _N, _P, _P),
    "imgdup_shrink": (None, _P, _N, _N, _N, _P, _N, _N, _P, _P),
    "imgdup_level_sums": (None, _P, _P, _P, _N, _P),
    "imgdup_curve_error": (_N, _P, _P, _N, _P, ctypes.c_int32),
    "imgdup_count_nearer": (None, _P, _P, _N, _P, _P, _P),
    "imgdup_end_steps": (None, _P, _N, _N, _N, _N, ctypes.c_int32, _P, _P),
    "imgdup_transpose": (None, _P, _N, _N, _P),
    "imgdup_frequency_powers": (None, _P, _N, _N, _P, _P),
    "imgdup_edges": (None, _P, _N, _N, _P, _P),
    "imgdup_lines": (None, _P, _N, _N, _N, _N, _N, _P, _P),
    "imgdup_line_powers": (None, _P, _N, _N, _P),
    "imgdup_keep_memory": (None,),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def _checked(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Check a plane, and return it contiguous."""
    if plane.dtype != np.float32 or plane.ndim != 2 or plane.shape != shape:
        raise ValueError(
            f"expected planes of float32 of one shape (height, width), got {plane.dtype} "
            f"of shape {plane.shape} beside {shape}"
        )
    return np.ascontiguousarray(plane)


def _bytes(pixels: Pixels) -> Pixels:
    """Check the type of a picture, and return it contiguous."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"expected levels of uint8, got {pixels.dtype}")
    return np.ascontiguousarray(pixels)


def _address(array: npt.NDArray[Any]) -> int:
    """Return the address of an array."""
    address: int = array.__array_interface__["data"][0]
    return address
