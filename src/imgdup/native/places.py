"""Find how one gray picture lies in another, by ``places.c``: search it, then move it."""

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, address_of, declared, read_address

SEARCH_SIDE, MOST_SIZES, STEP_LANES = 96, 24, 16  # the same as in imgdup.h
MOST_PIXELS = 1 << 24  # of a picture
N_ROWS = 6  # of scratch memory for a step

Matrix = npt.NDArray[np.float64]


class Found(NamedTuple):
    """Where a part fits best: the correlation (-1 to 1), the number of the size, and x and y."""

    correlation: float
    number: int
    x: int
    y: int


def search(whole: Pixels, part: Pixels, sizes: Sequence[tuple[int, int]]) -> Found:
    """Search for a part of unknown size in a gray picture.

    Parameters
    ----------
    whole : ndarray of uint8, shape (height, width)
        At most `SEARCH_SIDE` a side.
    part : ndarray of uint8, shape (height, width)
        At most `MOST_PIXELS`.
    sizes : sequence of (int, int)
        Heights and widths that the part may have in the whole, in descending order: at least 2
        pixels, and at most those of the whole and of the part. Every second one is tried, then
        those beside the best. Pictures of half the size show where it is likely; only these places
        are searched.
    """
    height, width = whole.shape
    bounds = [min(each) for each in zip(whole.shape, part.shape, strict=True)]
    descending = [tuple(bounds), *sizes, (2, 2)]
    if not 0 < len(sizes) <= MOST_SIZES or any(
        low > high
        for large, small in pairwise(descending)
        for high, low in zip(large, small, strict=True)
    ):
        raise ValueError(f"sizes must descend from {tuple(bounds)} to (2, 2) at most, got {sizes}")
    if max(whole.shape) > SEARCH_SIDE or part.size > MOST_PIXELS:
        raise ValueError(f"cannot search for {part.shape} in {whole.shape}: that is too large")
    functions, place = _functions(), np.zeros(3, np.int64)
    scratch = np.empty(functions.imgdup_search_scratch(*part.shape) // 8 + 1)
    number_of_pixels = np.array(sizes, np.int64)
    value = functions.imgdup_search(
        *(_address(whole), height, width, _address(part), *part.shape),
        *(address_of(number_of_pixels), len(sizes), address_of(scratch), address_of(place)),
    )
    return Found(value, *place.tolist())


def moved(source: Pixels, goal: Pixels, matrix: Matrix, n_rounds: int) -> tuple[Matrix, Pixels]:
    """Move a gray picture over another one, by steps of weighted least squares.

    Parameters
    ----------
    source, goal : ndarray of uint8, shape (height, width)
        At least 2 pixels a side.
    matrix : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the goal to about (x, y) of the source, from 0 to 1.
    n_rounds : int
        Steps at most; a step that moves nothing by 0.02 pixels is the last one.

    Returns
    -------
    matrix : ndarray of float64, shape (2, 3)
    taken : ndarray of uint8, of the shape of the goal
        What the source shows there; its edges are repeated.
    """
    sides = *source.shape, *goal.shape
    if min(sides) < 2 or source.size > MOST_PIXELS or matrix.shape != (2, 3):
        raise ValueError(
            f"expected at least 2 pixels a side, a source of at most {MOST_PIXELS} pixels and a "
            f"matrix of shape (2, 3), got {source.shape}, {goal.shape} and {matrix.shape}"
        )
    height, width = goal.shape
    found, taken = np.array(matrix, np.float64), np.empty_like(goal)
    corners, changes = np.empty(source.shape, np.uint32), np.empty_like(goal)
    rows = np.zeros((N_ROWS, -(-width // STEP_LANES) * STEP_LANES), np.float32)
    _functions().imgdup_refine(
        *(_address(source), *source.shape, _address(goal), height, width, n_rounds),
        *map(address_of, (corners, rows, changes, found, taken)),
    )
    return found, taken


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_search_scratch": (_N, _N, _N),
    "imgdup_search": (_D, _P, _N, _N, _P, _N, _N, _P, _N, _P, _P),
    "imgdup_refine": (None, _P, _N, _N, _P, _N, _N, _N, _P, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def _address(pixels: Pixels) -> int:
    """Return the address of a gray picture."""
    return read_address(pixels, np.uint8, (None, None))
