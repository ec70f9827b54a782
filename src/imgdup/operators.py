"""Sizes -> banded linear operators, cached: what a picture is multiplied by to become a grid.

Every grid that a hash looks at is ``rows @ pixels @ columns.T``: area averages, or the samples of
PDQ's two box passes. Both are separable, and each output row needs a short range of pixels only.
So an axis operator is stored as a few equal bands, each a small dense matrix over a window of the
pixels, the windows evenly spaced, and is applied by one batched matrix product.
"""

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.grey import Grey

CACHE_BYTES = 32 << 20  # of operators; a collection can have thousands of sizes
BAND_PIXELS = 24  # shorter bands cost more in calls than they save in products
PDQ_SAMPLES = 64  # a side; Facebook, "The TMK+PDQF video-hashing and the PDQ image-hashing", 2019
PDQ_WINDOWS = 128  # box windows a side, from the same source

Floats = npt.NDArray[np.float64]


class Operator(NamedTuple):
    """One axis: weights of shape (bands, rows, window); band ``i`` begins at pixel ``i * step``."""

    weights: Floats
    step: int


class Axis(NamedTuple):
    """One axis of a picture: full length, reduction, and whether its partial block is first."""

    length: int
    reduction: int
    short_first: bool


def area_grid(grey: Grey, rows: int, columns: int) -> Floats:
    """Average a picture over a grid of equal rectangles, by true (fractional) area.

    Parameters
    ----------
    grey : Grey
    rows, columns : int
        Size of the grid; it may be finer than the picture.

    Returns
    -------
    ndarray of float64, shape (rows, columns)

    Examples
    --------
    >>> area_grid(Grey(np.array([[0, 30, 60]], dtype=np.uint8), 1, 3), 1, 2)
    array([[10., 50.]])
    """
    return _grid(grey, ("area", rows), ("area", columns))


def pdq_samples(grey: Grey) -> Floats:
    """Take PDQ's 64 x 64 samples of the picture after its two box passes.

    Parameters
    ----------
    grey : Grey

    Returns
    -------
    ndarray of float64, shape (64, 64)
    """
    return _grid(grey, ("pdq", PDQ_SAMPLES), ("pdq", PDQ_SAMPLES))


def _grid(grey: Grey, rows: tuple[str, int], columns: tuple[str, int]) -> Floats:
    """Both axes of a picture by their operators."""
    row_axis = Axis(grey.height, grey.reduction, grey.short_first[0])
    column_axis = Axis(grey.width, grey.reduction, grey.short_first[1])
    strips = _apply(operator(*rows, row_axis), grey.pixels)
    return _apply(operator(*columns, column_axis), strips.T).T


def _apply(axis: Operator, pixels: npt.NDArray[np.generic]) -> Floats:
    """Multiply an operator with the rows of a picture."""
    bands, rows, window = axis.weights.shape
    if bands == 1:
        return axis.weights[0] @ pixels
    windows = np.lib.stride_tricks.as_strided(
        pixels,
        (bands, window, pixels.shape[1]),
        (axis.step * pixels.strides[0], *pixels.strides),
        writeable=False,
    )
    return np.matmul(axis.weights, windows).reshape(bands * rows, -1)


_cache: dict[tuple[str, int, Axis], Operator] = {}
_cache_lock = threading.Lock()
_cached_bytes = 0


def operator(kind: str, rows: int, axis: Axis) -> Operator:
    """Return the operator from an axis to so many rows, from the cache if it is there."""
    key = (kind, rows, axis)
    found = _cache.get(key)
    if found is None:
        found = _build(kind, rows, axis)
        _remember(key, found)
    return found


def _remember(key: tuple[str, int, Axis], made: Operator) -> None:
    """Cache an operator, the oldest ones giving way."""
    global _cached_bytes
    with _cache_lock:
        if key in _cache or made.weights.nbytes > CACHE_BYTES:
            return
        _cache[key] = made
        _cached_bytes += made.weights.nbytes
        while _cached_bytes > CACHE_BYTES:
            _cached_bytes -= _cache.pop(next(iter(_cache))).weights.nbytes


def _build(kind: str, rows: int, axis: Axis) -> Operator:
    dense = BUILDERS[kind](rows, axis)
    return Operator(dense[None], 0)


def _edges(axis: Axis) -> npt.NDArray[np.int64]:
    """Where the pixels of a reduced axis begin and end, in full pixels."""
    count = -(-axis.length // axis.reduction)
    offset = axis.length - count * axis.reduction if axis.short_first else 0
    return np.clip(np.arange(count + 1) * axis.reduction + offset, 0, axis.length)


def _area(rows: int, axis: Axis) -> Floats:
    """Weights of area averages: the part of each pixel inside each row's share of the axis."""
    bounds = np.arange(rows + 1) * (axis.length / rows)
    covered = np.clip(_edges(axis), bounds[:-1, None], bounds[1:, None])
    return np.diff(covered) * (rows / axis.length)


def _pdq(rows: int, axis: Axis) -> Floats:
    """Weights of PDQ's samples: a box of boxes around each sampled pixel."""
    length = axis.length
    window = -(-length // PDQ_WINDOWS)
    right = (window + 2) // 2 - 1
    left = window - 1 - right
    middle = (2 * np.arange(rows) + 1) * length // (2 * rows)
    taps = middle[:, None] + np.arange(-left, right + 1)
    inside = (taps >= 0) & (taps < length)
    low, high = np.maximum(taps - left, 0), np.minimum(taps + right + 1, length)
    share = np.where(inside, 1 / np.maximum(high - low, 1), 0) / inside.sum(1, keepdims=True)
    slopes = np.zeros((rows, length + 1))
    row = np.broadcast_to(np.arange(rows)[:, None], taps.shape)
    np.add.at(slopes, (row[inside], low[inside]), share[inside])
    np.add.at(slopes, (row[inside], high[inside]), -share[inside])
    weights = np.cumsum(slopes[:, :-1], axis=1)
    return np.add.reduceat(weights, _edges(axis)[:-1], axis=1)


BUILDERS = {"area": _area, "pdq": _pdq}
