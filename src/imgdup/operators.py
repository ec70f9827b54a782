"""Sizes -> banded linear operators, cached: what a picture is multiplied by to become a grid.

Every grid that a hash looks at is ``rows @ pixels @ columns.T``: area averages, or the samples of
PDQ's box filter. Each row of such an operator has few weights that are not zero, near its diagonal.
So an operator is kept as bands: small dense matrices, each over a window of the pixels, the windows
equally long and evenly spaced, so that one batched matrix product applies all of them.

All is float64 and every product is small enough for BLAS to do it in one thread, so that a
grid does not depend on who computes it.
"""

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CACHE_BYTES = 32 << 20  # of operators; a collection can have thousands of sizes
BANDS = 8  # of an operator whose rows can be shared out evenly
PDQ_BOXES = 128  # a side holds so many boxes of PDQ's filter
PDQ_MIN_LENGTH = 5  # pixels; PDQ sees nothing in a shorter side

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Lines(NamedTuple):
    """What the rows of an operator are: ``"area"`` averages or ``"pdq"`` samples, and how many."""

    kind: str
    rows: int


class Axis(NamedTuple):
    """One axis of a picture.

    Attributes
    ----------
    length : int
        In full pixels.
    reduction : int
        Full pixels in a block, which is what one pixel of the reduced picture stands for.
    short_first : bool
        Whether the block that the length does not fill is the first one instead of the last.
    """

    length: int
    reduction: int
    short_first: bool

    @property
    def blocks(self) -> int:
        """Length of the reduced axis."""
        return -(-self.length // self.reduction)

    @property
    def overhang(self) -> int:
        """Full pixels that the first block lacks."""
        return self.blocks * self.reduction - self.length if self.short_first else 0


class Operator(NamedTuple):
    """Weights, shape (bands, rows of a band, window); window ``i`` begins at block ``i * step``."""

    weights: Floats
    step: int


class _Key(NamedTuple):
    """What an operator depends on."""

    lines: tuple[Lines, ...]
    axis: Axis


def apply(operator: Operator, pixels: Floats) -> Floats:
    """Multiply an operator with the rows of a picture.

    Parameters
    ----------
    operator : Operator
    pixels : ndarray of float64, shape (blocks, n)
        C- or Fortran-contiguous.

    Returns
    -------
    ndarray of float64, shape (bands, rows of a band, n)
    """
    bands, _, window = operator.weights.shape
    down, across = pixels.strides
    windows: Floats = np.ndarray(
        (bands, window, pixels.shape[1]),
        np.float64,
        pixels if pixels.flags.c_contiguous else pixels.T,
        strides=(operator.step * down, down, across),
    )
    strips: Floats = np.matmul(operator.weights, windows)
    return strips


_cache: dict[_Key, Operator] = {}
_cached_bytes = 0
_cache_lock = threading.Lock()


def operator(lines: tuple[Lines, ...], axis: Axis) -> Operator:
    """Return the operator that makes lines out of an axis, from the cache if it is there.

    Parameters
    ----------
    lines : tuple of Lines
        Several kinds share one operator: each band has first its share of the first kind's
        rows, then of the second's. Kinds that share must have a multiple of ``BANDS`` rows.
    axis : Axis
    """
    key = _Key(lines, axis)
    found = _cache.get(key)
    if found is None:
        found = _build(lines, axis)
        _remember(key, found)
    return found


def _remember(key: _Key, made: Operator) -> None:
    """Cache an operator; the oldest ones give way."""
    global _cached_bytes
    with _cache_lock:
        if key in _cache or made.weights.nbytes > CACHE_BYTES:
            return
        _cache[key] = made
        _cached_bytes += made.weights.nbytes
        while _cached_bytes > CACHE_BYTES:
            _cached_bytes -= _cache.pop(next(iter(_cache))).weights.nbytes


def _build(lines: tuple[Lines, ...], axis: Axis) -> Operator:
    """Windows that hold all weights, then the weights."""
    bands = 1 if any(count % BANDS for _, count in lines) else BANDS
    supports = [_SUPPORTS[kind](count, axis.length) for kind, count in lines]
    low = np.min([start.reshape(bands, -1).min(axis=1) for start, _ in supports], axis=0)
    high = np.max([stop.reshape(bands, -1).max(axis=1) for _, stop in supports], axis=0)
    step, window = _windows(low, high, axis)
    parts = []
    for kind, count in lines:
        band = np.arange(count) // (count // bands)
        starts = band * (step * axis.reduction) - axis.overhang
        weights = _WEIGHTS[kind](count, axis.length, starts, window * axis.reduction)
        folded = weights.reshape(bands, count // bands, window, axis.reduction).sum(axis=3)
        parts.append(folded)
    return Operator(np.concatenate(parts, axis=1), step)


def _windows(low: Counts, high: Counts, axis: Axis) -> tuple[int, int]:
    """Step and length, in blocks, of evenly spaced windows that hold the given full pixels."""
    first = (low + axis.overhang) // axis.reduction
    stop = -(-(high + axis.overhang) // axis.reduction)
    order = np.arange(len(low))
    step = int(min(first[1:] // order[1:], default=0))
    while step and step * order[-1] + (window := int((stop - step * order).max())) > axis.blocks:
        step -= 1
    return step, window if step else axis.blocks


def _area_support(count: int, length: int) -> tuple[Counts, Counts]:
    """First and last + 1 full pixel of each equal share of an axis."""
    order = np.arange(count)
    return order * length // count, -(-(order + 1) * length // count)


def _area_weights(count: int, length: int, starts: Counts, window: int) -> Floats:
    """Tell what part of each full pixel from `starts` on lies in a row's share of the axis."""
    bounds = np.arange(count + 1) * (length / count)
    edges = starts[:, None] + np.arange(window + 1)
    covered = np.clip(edges, bounds[:-1, None], bounds[1:, None])
    weights: Floats = np.diff(covered) * (count / length)
    return weights


def _pdq_boxes(length: int) -> tuple[int, int]:
    """Pixels that a box reaches to the left and to the right of its middle."""
    box = -(-length // PDQ_BOXES)
    right = (box + 2) // 2 - 1
    return box - 1 - right, right


def _pdq_middles(count: int, length: int) -> Counts:
    """Full pixels at which the filtered axis is sampled."""
    middles: Counts = (2 * np.arange(count) + 1) * length // (2 * count)
    return middles


def _pdq_support(count: int, length: int) -> tuple[Counts, Counts]:
    """First and last + 1 full pixel of the box of boxes around each sample."""
    left, right = _pdq_boxes(length)
    middles = _pdq_middles(count, length)
    return np.maximum(middles - 2 * left, 0), np.minimum(middles + 2 * right + 1, length)


def _pdq_weights(count: int, length: int, starts: Counts, window: int) -> Floats:
    """Weigh by a box of boxes around each sample; each averages what lies inside the picture."""
    if length < PDQ_MIN_LENGTH:
        return np.zeros((count, window))
    left, right = _pdq_boxes(length)
    middles = _pdq_middles(count, length)[:, None] + np.arange(-left, right + 1)
    inside = (middles >= 0) & (middles < length)
    low, high = np.maximum(middles - left, 0), np.minimum(middles + right + 1, length)
    share = inside / (np.maximum(high - low, 1) * inside.sum(axis=1, keepdims=True))
    base = np.arange(count)[:, None] * (window + 1) - starts[:, None]
    slopes = np.zeros(count * (window + 1))
    np.add.at(slopes, (base + low)[inside], share[inside])
    np.subtract.at(slopes, (base + high)[inside], share[inside])
    weights: Floats = np.cumsum(slopes.reshape(count, window + 1)[:, :-1], axis=1)
    return weights


_SUPPORTS = {"area": _area_support, "pdq": _pdq_support}
_WEIGHTS = {"area": _area_weights, "pdq": _pdq_weights}
