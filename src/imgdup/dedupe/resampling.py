"""Resize lines of pixels as programs usually do it, each method as a matrix.

A line is a row or a column of a picture; only a part of it is computed, from a part of the other.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Plane

Reals = npt.NDArray[np.float64]


class _Method(NamedTuple):
    """A way to resize: the weight by distance, how far it goes, whether it grows as pixels do."""

    weight: Callable[[Reals], Reals]
    reach: float
    grows: bool


class Line(NamedTuple):
    """The part of a line that is computed, the target, and the known part of the other one.

    A part is the first pixel and the one after the last.
    """

    n_in: int  # pixels of the whole line that is known in part
    start: int
    stop: int
    n_out: int  # the same of the target
    first: int
    last: int


def resampled(known: Plane, rows: Line, columns: Line) -> list[npt.NDArray[Any]]:
    """Return a part of a picture as each usual method resizes it, from the known part."""
    methods = _DOWN if rows.n_in * columns.n_in > rows.n_out * columns.n_out else _UP
    return [_matrix(rows, each) @ known @ _matrix(columns, each).T for each in methods]


@lru_cache(64)
def _matrix(line: Line, method: _Method) -> Plane:
    """Return the matrix that resizes the known part of a line to a part of the target."""
    scale = line.n_in / line.n_out
    stretch = max(scale, 1) if method.grows else 1.0
    centres = (np.arange(line.first, line.last) + 0.5) * scale - 0.5
    far = method.reach * stretch
    starts = np.floor(centres - far).astype(np.int64) + 1
    places = starts[:, None] + np.arange(math.ceil(2 * far))
    weights = method.weight(np.abs(places - centres[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((line.last - line.first, line.stop - line.start), np.float32)
    within = np.clip(places - line.start, 0, matrix.shape[1] - 1)
    np.put_along_axis(matrix, within, weights.astype(np.float32), axis=1)
    return matrix


def _linear(distance: Reals) -> Reals:
    return np.maximum(1 - distance, 0)


def _cubic(sharpness: float) -> Callable[[Reals], Reals]:
    """Return the weights of bicubic interpolation (Keys, 1981)."""
    a = sharpness

    def weight(x: Reals) -> Reals:
        inner = ((a + 2) * x - (a + 3)) * x * x + 1
        outer = a * (((x - 5) * x + 8) * x - 4)
        return np.where(x < 1, inner, np.where(x < 2, outer, 0))

    return weight


def _lanczos(distance: Reals) -> Reals:
    return np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


def _equal(distance: Reals) -> Reals:
    return np.ones_like(distance)


_DOWN = (
    _Method(_linear, 1, grows=True),
    _Method(_cubic(-0.5), 2, grows=True),
    _Method(_lanczos, 3, grows=True),
    _Method(_equal, 0.5, grows=True),
    _Method(_linear, 1, grows=False),
    _Method(_equal, 0.5, grows=False),
)
_UP = (
    _Method(_cubic(-0.5), 2, grows=False),
    _Method(_cubic(-0.75), 2, grows=False),
    _Method(_lanczos, 3, grows=False),
    _Method(_linear, 1, grows=False),
    _Method(_equal, 0.5, grows=False),
)
