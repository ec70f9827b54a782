"""Luma, sums and counts of gray levels, and errors of tone curves, by calling ``levels.c``."""

import ctypes
from functools import cache

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, declared

LEVELS = 256
Sums = npt.NDArray[np.float64]


def luma(rgb: Pixels) -> Plane:
    """Return 0.299 R + 0.587 G + 0.114 B, not rounded to integers (ITU-R BT.601).

    The sum is computed in whole thousandths, so that no processor gives another result.

    Examples
    --------
    >>> luma(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8))
    array([[255.   ,  76.245]], dtype=float32)
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected RGB pixels of uint8, got {rgb.dtype} of shape {rgb.shape}")
    height, width, _ = rgb.shape
    if rgb.strides[1:] != (3, 1) or rgb.strides[0] < 0:
        rgb = np.ascontiguousarray(rgb)
    gray = np.empty((height, width), np.float32)
    _functions().imgdup_luma(address_of(rgb), rgb.strides[0], height, width, address_of(gray))
    return gray


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
    _functions().imgdup_level_sums(*map(address_of, (a, b, weights)), a.size, address_of(sums))
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
    addresses = address_of(a), address_of(b)
    error: int = _functions().imgdup_curve_error(*addresses, a.size, address_of(curve), most)
    return error / a.size


def nearer_counts(
    a: Pixels, b: Pixels, curve: Sums, is_counted: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """Count the pixels with some levels, and those of them that a curve takes nearer to a picture.

    `curve` is a level for each of 256, and `is_counted` marks which of these levels count.

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
        *(
            address_of(a),
            address_of(b),
            a.size,
            address_of(curve),
            address_of(marks),
            address_of(counts),
        )
    )
    counted, nearer = counts.tolist()
    return counted, nearer


def end_steps(pixels: Pixels, rows_apart: int, end: int) -> npt.NDArray[np.int64]:
    """Count by how much neighbours in a row differ, near black and near white.

    Returns
    -------
    ndarray of int64, shape (2, 256)
        How often they differ by each number of levels where both are below `end`, and where both
        are above ``255 - end``; in every `rows_apart`-th row.

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
        *(address_of(pixels), height, width, pixels.shape[2] if pixels.ndim == 3 else 1),
        *(rows_apart, end, address_of(counts[0]), address_of(counts[1])),
    )
    return counts


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
        *(
            address_of(values),
            address_of(weights),
            n,
            address_of(scratch[0]),
            address_of(scratch[1]),
        ),
        *(address_of(ends), address_of(nearest)),
    )
    return nearest


def _bytes(pixels: Pixels) -> Pixels:
    """Check the type of a picture, and return it contiguous."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"expected levels of uint8, got {pixels.dtype}")
    return np.ascontiguousarray(pixels)


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_luma": (None, _P, _N, _N, _N, _P),
    "imgdup_level_sums": (None, _P, _P, _P, _N, _P),
    "imgdup_curve_error": (_N, _P, _P, _N, _P, ctypes.c_int32),
    "imgdup_count_nearer": (None, _P, _P, _N, _P, _P, _P),
    "imgdup_end_steps": (None, _P, _N, _N, _N, _N, ctypes.c_int32, _P, _P),
    "imgdup_ascending": (None, _P, _P, _N, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
