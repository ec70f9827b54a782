"""Gray pixels -> grids of numbers, which hashes compare: area averages, or the samples of PDQ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from imgdup.hashing.operators import (
    MAX_WHOLE,
    Axis,
    Floats,
    Lines,
    Operator,
    Reals,
    apply,
    operator,
)
from imgdup.images.gray import GrayImage, Shades

PIECE_PIXELS = 1 << 14  # multiplied at a time: so few that BLAS does it in one thread


class Grid(NamedTuple):
    """What a hash looks at: ``"area"`` averages or ``"pdq"`` samples, in rows and columns."""

    kind: str
    rows: int
    columns: int


def sample(gray: GrayImage, grids: Sequence[Grid], into: Sequence[Floats]) -> None:
    """Multiply a picture with the operators of some grids.

    Parameters
    ----------
    gray : GrayImage
    grids : sequence of Grid
        All rows must be multiples of ``imgdup.hashing.operators.BANDS``.
    into : sequence of ndarray of float64, shape (columns, rows)
        Where the grids are written: transposed, as their products come.

    Examples
    --------
    >>> gray = GrayImage(np.array([[0, 30, 60]], dtype=np.uint8), height=1, width=3)
    >>> grid = np.empty((2, 8))
    >>> sample(gray, [Grid("area", 8, 2)], [grid])
    >>> grid[:, 0]
    array([10., 50.])
    """
    height, width, reduction, (rows_short, columns_short) = gray[1:]
    lines = tuple([Lines(kind, rows) for kind, rows, _ in grids])
    whole = gray.pixels.dtype == np.uint8
    down = operator(lines, Axis(height, reduction, rows_short), whole=whole)
    strips = _strips(gray.pixels, down)
    column_axis = Axis(width, reduction, columns_short)
    start = 0
    for (kind, rows, columns), divisor, grid in zip(grids, down.divisors, into, strict=True):
        stop = start + rows // len(strips)
        mine = strips[:, start:stop].reshape(rows, -1)
        _across(mine, divisor, Lines(kind, columns), column_axis, grid)
        start = stop


def _across(strips: Reals, divisor: int, lines: Lines, axis: Axis, grid: Floats) -> None:
    """Apply the operator of the columns; in float32 if that holds the products exactly."""
    across = operator((lines,), axis, whole=strips.dtype == np.float32)
    if divisor * across.divisors[0] > MAX_WHOLE:
        across = operator((lines,), axis, whole=False)
    products = apply(across, strips.T.astype(across.weights.dtype, copy=False))
    grid[:] = products.reshape(grid.shape)
    grid /= divisor * across.divisors[0]


def _strips(pixels: Shades, down: Operator) -> Reals:
    """Apply the operator of the rows; to a large picture piece by piece."""
    bands, rows, window = down.weights.shape
    width = pixels.shape[1]
    if window * width <= PIECE_PIXELS:
        return apply(down, np.array(pixels, down.weights.dtype, order="C"))
    strips = np.empty((bands, rows, width), down.weights.dtype)
    across = max(1, PIECE_PIXELS // window)
    for band in range(bands):
        seen = pixels[band * down.step :][:window]
        for left in range(0, width, across):
            piece = seen[:, left : left + across].astype(down.weights.dtype)
            strips[band, :, left : left + across] = down.weights[band] @ piece
    return strips
