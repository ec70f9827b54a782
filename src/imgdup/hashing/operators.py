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
from functools import reduce
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
    """Weights of rows, shape (rows, window), their divisor, and whether they are whole numbers."""

    weights: Floats
    divisor: int
    whole: bool


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
        found = _build(lines, axis) if whole else _means(operator(lines, axis, whole=True), lines)
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
    """Windows that hold all weights, then the weights: whole numbers where they can be."""
    bands = 1 if any(rows % BANDS for _, rows in lines) else BANDS
    supports = [_SUPPORTS[kind](rows, axis.length) for kind, rows in lines]
    low = reduce(np.minimum, [start[:: len(start) // bands] for start, _ in supports])
    high = reduce(np.maximum, [stop[:: -(len(stop) // bands)][::-1] for _, stop in supports])
    step, window = _windows(low, high, axis)
    made = [_weights(each, axis, step, window, bands) for each in lines]
    parts = [each.weights.reshape(bands, -1, window) for each in made]
    divisors = tuple([each.divisor for each in made])
    if max(divisors) <= MAX_WHOLE and all(each.whole for each in made):
        return Operator(np.concatenate(parts, axis=1, dtype=np.float32), step, divisors)
    return _means(Operator(np.concatenate(parts, axis=1), step, divisors), lines)


def _weights(lines: Lines, axis: Axis, step: int, window: int, bands: int) -> _Weights:
    """Weigh the blocks that the window of each row holds, `step` blocks from band to band."""
    kind, rows = lines
    starts = np.arange(rows) // (rows // bands) * (step * axis.reduction) - axis.overhang
    return _WEIGHTS[kind](rows, axis, starts, window)


def _means(made: Operator, lines: tuple[Lines, ...]) -> Operator:
    """Divide the weights of each kind of lines by their divisor."""
    if set(made.divisors) == {1} and made.weights.dtype == np.float64:
        return made
    weights, bands, start = made.weights.astype(np.float64), len(made.weights), 0
    for (_, rows), divisor in zip(lines, made.divisors, strict=True):
        stop = start + rows // bands
        weights[:, start:stop] /= divisor
        start = stop
    return Operator(weights, made.step, (1,) * len(lines))


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


def _area_weights(rows: int, axis: Axis, starts: Counts, window: int) -> _Weights:
    """Measure, in parts of a pixel, what of each block lies in a row's share of the axis."""
    bounds = np.arange(rows + 1) * axis.length
    edges = (starts[:, None] + np.arange(0, (window + 1) * axis.reduction, axis.reduction)) * rows
    covered = np.minimum(np.maximum(edges, bounds[:-1, None]), bounds[1:, None])
    return _Weights((covered[:, 1:] - covered[:, :-1]).astype(np.float64), axis.length, whole=True)


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


def _pdq_weights(rows: int, axis: Axis, starts: Counts, window: int) -> _Weights:
    """Weigh by a box of boxes around each sample; each averages what lies inside the picture."""
    length, pixels = axis.length, window * axis.reduction
    if length < PDQ_MIN_LENGTH:
        return _Weights(np.zeros((rows, window)), 1, whole=True)
    left, right = _pdq_boxes(length)
    middles = _pdq_middles(rows, length)[:, None] + np.arange(-left, right + 1)
    inside = (middles >= 0) & (middles < length)
    low, high = np.maximum(middles - left, 0), np.minimum(middles + right + 1, length)
    weighing = np.where(inside, high - low, 1) * inside.sum(axis=1, keepdims=True)
    whole = left + right < MAX_WHOLE_BOX
    divisor = int(np.lcm.reduce(weighing.ravel())) if whole else 1
    share = inside * (divisor / weighing)
    base = np.arange(rows)[:, None] * (pixels + 1) - starts[:, None]
    slopes = np.zeros(rows * (pixels + 1))
    np.add.at(slopes, (base + low)[inside], share[inside])
    np.subtract.at(slopes, (base + high)[inside], share[inside])
    weights: Floats = np.cumsum(slopes.reshape(rows, pixels + 1)[:, :-1], axis=1)
    if axis.reduction > 1:
        weights = weights.reshape(rows, window, axis.reduction).sum(axis=2)
    return _Weights(weights, divisor, whole)


_SUPPORTS = {"area": _area_support, "pdq": _pdq_support}
_WEIGHTS = {"area": _area_weights, "pdq": _pdq_weights}
