"""Sizes -> banded linear operators, cached: what a picture is multiplied by to become a grid.

Every grid that a hash looks at is ``rows @ pixels @ columns.T``: area averages, or the samples of
PDQ's box filter. Each row of such an operator has few weights that are not zero, near its diagonal.
So an operator is kept as bands: small dense matrices, each over a window of the pixels, the windows
equally long and evenly spaced, so that one batched matrix product applies all of them.

The weights of short axes are small whole numbers over a common divisor. As whole numbers they fit
into float32 with 8-bit pixels: such products are fast, and exact whoever computes them in whatever
order.
"""

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

CACHE_BYTES = 32 << 20  # of operators; a collection can have thousands of sizes
BANDS = 8  # of an operator whose rows can be shared out evenly
PDQ_BOXES = 128  # a side holds so many boxes of PDQ's filter
PDQ_MIN_LENGTH = 5  # pixels; PDQ sees nothing in a shorter side
MAX_WHOLE = (1 << 24) // 255  # the largest divisor that float32 holds exactly, times an 8-bit pixel
MAX_WHOLE_BOX = 6  # pixels; the divisors of longer boxes exceed MAX_WHOLE

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[Any]  # float32 or float64


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
    """One axis of a grid.

    Attributes
    ----------
    weights : ndarray of float32 or float64, shape (bands, rows of a band, window)
        Window ``i`` begins at block ``i * step``. Whole numbers in float32, means in float64.
    step : int
    divisors : tuple of int
        What the products must be divided by, for each kind of lines: 1 where weights are means.
    """

    weights: Reals
    step: int
    divisors: tuple[int, ...]


class _Weights(NamedTuple):
    """Weights of rows, shape (rows, window), and their divisor."""

    weights: Floats
    divisor: int


def apply(operator: Operator, pixels: Reals) -> Reals:
    """Multiply the weights of an operator with the rows of a picture.

    Parameters
    ----------
    operator : Operator
    pixels : ndarray, shape (blocks, n)
        Of the dtype of the weights; C- or Fortran-contiguous is fastest.

    Returns
    -------
    ndarray of the same dtype, shape (bands, rows of a band, n)
    """
    bands, _, window = operator.weights.shape
    windows = pixels
    if bands > 1:
        lines = pixels.T if pixels.flags.f_contiguous else np.ascontiguousarray(pixels)
        down, across = pixels.strides if pixels.flags.f_contiguous else lines.strides
        strides = (operator.step * down, down, across)
        windows = np.ndarray((bands, window, pixels.shape[1]), pixels.dtype, lines, 0, strides)
    strips: Reals = np.matmul(operator.weights, windows)
    return strips


_Key = tuple[tuple[Lines, ...], Axis, bool]
_cache: dict[_Key, Operator] = {}
_cached_bytes = 0
_cache_lock = threading.Lock()


def operator(lines: tuple[Lines, ...], axis: Axis, *, whole: bool) -> Operator:
    """Return the operator that makes lines out of an axis, from the cache if it is there.

    Parameters
    ----------
    lines : tuple of Lines
        Several kinds share one operator: each band has first its share of the first kind's
        rows, then of the second's. Kinds that share must have a multiple of ``BANDS`` rows.
    axis : Axis
    whole : bool
        Whether weights may be whole numbers in float32; on long axes they are means nevertheless.
    """
    key = (lines, axis, whole)
    found = _cache.get(key)
    if found is None:
        found = _build(lines, axis, whole)
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


def _build(lines: tuple[Lines, ...], axis: Axis, whole: bool) -> Operator:
    """Windows that hold all weights, then the weights."""
    bands = 1 if any(rows % BANDS for _, rows in lines) else BANDS
    supports = [_SUPPORTS[kind](rows, axis.length) for kind, rows in lines]
    low = np.min([start.reshape(bands, -1).min(axis=1) for start, _ in supports], axis=0)
    high = np.max([stop.reshape(bands, -1).max(axis=1) for _, stop in supports], axis=0)
    step, window = _windows(low, high, axis)
    parts, divisors = [], []
    for kind, rows in lines:
        band = np.arange(rows) // (rows // bands)
        starts = band * (step * axis.reduction) - axis.overhang
        weights, divisor = _WEIGHTS[kind](rows, axis.length, starts, window * axis.reduction)
        blocks = weights.reshape(bands, rows // bands, window, axis.reduction)
        parts.append(blocks.sum(axis=3))
        divisors.append(divisor)
    if whole and max(divisors) <= MAX_WHOLE and not any((part % 1).any() for part in parts):
        return Operator(np.concatenate(parts, axis=1, dtype=np.float32), step, tuple(divisors))
    means = [part / divisor for part, divisor in zip(parts, divisors, strict=True)]
    return Operator(np.concatenate(means, axis=1), step, (1,) * len(lines))


def _windows(low: Counts, high: Counts, axis: Axis) -> tuple[int, int]:
    """Step and length, in blocks, of evenly spaced windows that hold the given full pixels."""
    first = (low + axis.overhang) // axis.reduction
    stop = -(-(high + axis.overhang) // axis.reduction)
    order = np.arange(len(low))
    step = int(min(first[1:] // order[1:], default=0))
    while step and step * order[-1] + (window := int((stop - step * order).max())) > axis.blocks:
        step -= 1
    return step, window if step else axis.blocks


def _area_support(rows: int, length: int) -> tuple[Counts, Counts]:
    """First and last + 1 full pixel of each equal share of an axis."""
    order = np.arange(rows)
    return order * length // rows, -(-(order + 1) * length // rows)


def _area_weights(rows: int, length: int, starts: Counts, window: int) -> _Weights:
    """Measure, in parts of a pixel, what of each full pixel lies in a row's share of the axis."""
    bounds = np.arange(rows + 1) * length
    edges = (starts[:, None] + np.arange(window + 1)) * rows
    covered = np.clip(edges, bounds[:-1, None], bounds[1:, None])
    return _Weights(np.diff(covered).astype(np.float64), length)


def _pdq_boxes(length: int) -> tuple[int, int]:
    """Pixels that a box reaches to the left and to the right of its middle."""
    box = -(-length // PDQ_BOXES)
    right = (box + 2) // 2 - 1
    return box - 1 - right, right


def _pdq_middles(rows: int, length: int) -> Counts:
    """Full pixels at which the filtered axis is sampled."""
    middles: Counts = (2 * np.arange(rows) + 1) * length // (2 * rows)
    return middles


def _pdq_support(rows: int, length: int) -> tuple[Counts, Counts]:
    """First and last + 1 full pixel of the box of boxes around each sample."""
    left, right = _pdq_boxes(length)
    middles = _pdq_middles(rows, length)
    return np.maximum(middles - 2 * left, 0), np.minimum(middles + 2 * right + 1, length)


def _pdq_weights(rows: int, length: int, starts: Counts, window: int) -> _Weights:
    """Weigh by a box of boxes around each sample; each averages what lies inside the picture."""
    if length < PDQ_MIN_LENGTH:
        return _Weights(np.zeros((rows, window)), 1)
    left, right = _pdq_boxes(length)
    middles = _pdq_middles(rows, length)[:, None] + np.arange(-left, right + 1)
    inside = (middles >= 0) & (middles < length)
    low, high = np.maximum(middles - left, 0), np.minimum(middles + right + 1, length)
    weighing = np.where(inside, high - low, 1) * inside.sum(axis=1, keepdims=True)
    divisor = int(np.lcm.reduce(weighing.ravel())) if left + right < MAX_WHOLE_BOX else 1
    share = inside * (divisor / weighing)
    base = np.arange(rows)[:, None] * (window + 1) - starts[:, None]
    slopes = np.zeros(rows * (window + 1))
    np.add.at(slopes, (base + low)[inside], share[inside])
    np.subtract.at(slopes, (base + high)[inside], share[inside])
    weights = np.cumsum(slopes.reshape(rows, window + 1)[:, :-1], axis=1)
    return _Weights(weights, divisor)


_SUPPORTS = {"area": _area_support, "pdq": _pdq_support}
_WEIGHTS = {"area": _area_weights, "pdq": _pdq_weights}
