"""Luma, what gray levels become in another picture, and tone curves, by calling ``levels.c``."""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, declared, read_address

LEVELS, CURVE_REACH, MATCH_ROOM = 256, 16, 514  # the same as in imgdup.h
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


def evenness(a: Pixels, b: Pixels, weights: Pixels) -> Pixels:
    """Weigh each level of two pictures by the range of the levels around it.

    Parameters
    ----------
    a, b : ndarray of uint8, shape (height, width) or (height, width, channels)
    weights : ndarray of uint8, shape (256,)
        The weight of each range. That of a channel in 3 x 3 pixels counts, the larger one of both
        pictures.

    Examples
    --------
    >>> a, b = np.array([[0, 2, 9, 9, 9]], np.uint8), np.zeros((1, 5), np.uint8)
    >>> evenness(a, b, np.arange(100, 356).astype(np.uint8)).tolist()
    [[102, 109, 107, 100, 100]]
    """
    if a.shape != b.shape or a.ndim not in (2, 3) or a.size == 0 or weights.shape != (LEVELS,):
        raise ValueError(
            f"expected two pictures of one shape and {LEVELS} weights, "
            f"got {a.shape}, {b.shape} and {weights.shape}"
        )
    a, b, weights = _bytes(a), _bytes(b), _bytes(weights)
    (height, width), channels = a.shape[:2], a.shape[2] if a.ndim == 3 else 1
    rows, out = np.empty(2 * (width + 2) * channels, np.uint8), np.empty_like(a)
    _functions().imgdup_evenness(
        *(address_of(a), address_of(b), height, width, channels),
        *map(address_of, (weights, rows, out)),
    )
    return out


class Matched(NamedTuple):
    """What the levels of a picture have become in another one."""

    counts: Sums  # the sum of the weights of each of 256 levels
    means: Sums  # the mean level that it has become, 0 if it does not occur
    total: float  # the sum of all weights
    spread: float  # the mean squared difference from the mean of the level


def matched_levels(a: Pixels, b: Pixels, weights: Pixels) -> tuple[Matched, Matched]:
    """Find what the levels of a picture have become in another one, in the same places.

    What the levels of the other one have become in the first one is the second result.

    Examples
    --------
    >>> a, b, weights = (np.array(x, np.uint8) for x in ([7, 7, 9], [1, 2, 5], [1, 1, 2]))
    >>> found, back = matched_levels(a, b, weights)
    >>> found.counts[[7, 8, 9]].tolist(), found.means[[7, 8, 9]].tolist(), found.spread
    ([2.0, 0.0, 2.0], [1.5, 0.0, 5.0], 0.125)
    >>> back.means[[1, 2, 5]].tolist()
    [7.0, 7.0, 9.0]
    """
    if not a.shape == b.shape == weights.shape or a.size == 0:
        raise ValueError(
            "expected two pictures and weights of one shape, "
            f"got {a.shape}, {b.shape} and {weights.shape}"
        )
    a, b, weights = _bytes(a), _bytes(b), _bytes(weights)
    matches = np.empty((2, MATCH_ROOM))
    _functions().imgdup_match_levels(*map(address_of, (a, b, weights)), a.size, address_of(matches))
    return _matched(matches[0]), _matched(matches[1])


def equally_matched(a: Pixels, b: Pixels) -> Matched:
    """Find what the levels of a picture have become in another one; all pixels weigh 1.

    Examples
    --------
    >>> found = equally_matched(np.array([7, 7, 9], np.uint8), np.array([1, 2, 5], np.uint8))
    >>> found.counts[7:10].tolist(), found.means[7:10].tolist(), found.total, found.spread * 6
    ([2.0, 0.0, 1.0], [1.5, 0.0, 5.0], 3.0, 1.0)
    """
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"expected two pictures of one shape, got {a.shape} and {b.shape}")
    a, b, match = _bytes(a), _bytes(b), np.empty(MATCH_ROOM)
    _functions().imgdup_match_equally(address_of(a), address_of(b), a.size, address_of(match))
    return _matched(match)


def _matched(match: Sums) -> Matched:
    return Matched(match[:LEVELS], match[LEVELS : 2 * LEVELS], *match[2 * LEVELS :].tolist())


def missed(counts: Sums, means: Sums, curve: Sums, slack: float) -> float:
    """Add up the squares by which a curve misses the mean of each level, beyond some levels.

    Each square is multiplied by the count of its level.
    """
    addresses = (read_address(each, np.float64, (LEVELS,)) for each in (counts, means, curve))
    return float(_functions().imgdup_missed(*addresses, slack))


def levels_off(counts: Sums, means: Sums, curve: Sums, kernel: Sums, least: float) -> Sums:
    """Average by how much the means near each level lie off a curve.

    A level counts as often as it occurs, times the kernel, shape (17,), at its distance; `least` is
    added to the sum of these weights.
    """
    addresses = [read_address(each, np.float64, (LEVELS,)) for each in (counts, means, curve)]
    off = np.empty(LEVELS)
    _functions().imgdup_levels_off(
        *(*addresses, least, read_address(kernel, np.float64, (CURVE_REACH + 1,))),
        address_of(off),
    )
    return off


class CurveRules(ctypes.Structure):
    """How a curve is fitted: `ImgdupCurve` of ``imgdup.h``."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("clipped_at", "most_clipped", "far_off")),
        ("rounds", ctypes.c_int64),
    )


def level_counts(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Count how often each of the 256 levels occurs in a picture.

    Examples
    --------
    >>> level_counts(np.array([7, 9, 7], np.uint8))[6:10].tolist()
    [0, 2, 0, 1]
    """
    pixels, counts = _bytes(pixels), np.empty(LEVELS, np.int64)
    _functions().imgdup_count_levels(address_of(pixels), pixels.size, address_of(counts))
    return counts


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


def every(pixels: Pixels, apart: int) -> Pixels:
    """Take some pixels of a picture, so far apart in both directions, from the first one on.

    Examples
    --------
    >>> every(np.arange(6, dtype=np.uint8).reshape(2, 3), 2).tolist()
    [[0, 2]]
    """
    if pixels.ndim not in (2, 3) or apart < 1:
        raise ValueError(f"expected a picture and a step, got {pixels.shape} and {apart}")
    pixels = _bytes(pixels)
    (height, width), channels = pixels.shape[:2], pixels.shape[2] if pixels.ndim == 3 else 1
    taken = np.empty((-(-height // apart), -(-width // apart), *pixels.shape[2:]), np.uint8)
    _functions().imgdup_take_every(
        address_of(pixels), height, width, channels, apart, address_of(taken)
    )
    return taken


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


def _bytes(pixels: Pixels) -> Pixels:
    """Check the type of a picture, and return it contiguous."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"expected levels of uint8, got {pixels.dtype}")
    return np.ascontiguousarray(pixels)


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double  # address, number, real number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_luma": (None, _P, _N, _N, _N, _P),
    "imgdup_match_levels": (None, _P, _P, _P, _N, _P),
    "imgdup_evenness": (None, _P, _P, _N, _N, _N, _P, _P, _P),
    "imgdup_missed": (_D, _P, _P, _P, _D),
    "imgdup_levels_off": (None, _P, _P, _P, _D, _P, _P),
    "imgdup_count_levels": (None, _P, _N, _P),
    "imgdup_match_equally": (None, _P, _P, _N, _P),
    "imgdup_take_every": (None, _P, _N, _N, _N, _N, _P),
    "imgdup_count_nearer": (None, _P, _P, _N, _P, _P, _P),
    "imgdup_end_steps": (None, _P, _N, _N, _N, _N, ctypes.c_int32, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
