"""Find how one gray picture lies in another, by ``places.c``: search it, then move it."""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, declared, read_address, write_address

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


def search(whole: Pixels, part: Pixels, sizes: npt.ArrayLike) -> Found:
    """Search for a part of unknown size in a gray picture.

    Parameters
    ----------
    whole : ndarray of uint8, shape (height, width)
        At most `SEARCH_SIDE` a side.
    part : ndarray of uint8, shape (height, width)
        At most `MOST_PIXELS`.
    sizes : array_like of int, shape (n, 2)
        Heights and widths that the part may have in the whole, in descending order: at least 2
        pixels, and at most those of the whole and of the part. Every second one is tried, then
        those beside the best. Pictures of half the size show where it is likely; only these places
        are searched.
    """
    height, width = whole.shape
    bounds = (min(height, part.shape[0]), min(width, part.shape[1]))
    tried = np.array(sizes, np.int64).reshape(-1, 2)
    rows, columns = ([most, *side, 2] for most, side in zip(bounds, tried.T.tolist(), strict=True))
    if not 0 < len(tried) <= MOST_SIZES or not (_descends(rows) and _descends(columns)):
        raise ValueError(
            f"sizes must descend from {bounds} to (2, 2) at most, got {tried.tolist()}"
        )
    if max(whole.shape) > SEARCH_SIDE or part.size > MOST_PIXELS:
        raise ValueError(f"cannot search for {part.shape} in {whole.shape}: that is too large")
    functions, place = _functions(), np.zeros(3, np.int64)
    scratch = np.empty(functions.imgdup_search_scratch(*part.shape) // 8 + 1)
    value = functions.imgdup_search(
        *(_address(whole), height, width, _address(part), *part.shape),
        *(address_of(tried), len(tried), address_of(scratch), address_of(place)),
    )
    return Found(value, *place.tolist())


class Mover:
    """A gray picture that is moved over another one, by steps of weighted least squares.

    Parameters
    ----------
    source, goal : ndarray of uint8, shape (height, width)
        At least 2 pixels a side.
    matrix : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the goal to about (x, y) of the source, from 0 to 1.

    Attributes
    ----------
    matrix : ndarray of float64, shape (2, 3)
        The same as it is now.
    taken : ndarray of uint8, of the shape of the goal
        What the source shows there; its edges are repeated.
    """

    def __init__(self, source: Pixels, goal: Pixels, matrix: Matrix) -> None:
        self._sides = *source.shape, *goal.shape
        if min(self._sides) < 2 or source.size > MOST_PIXELS or matrix.shape != (2, 3):
            raise ValueError(
                f"expected at least 2 pixels a side, a source of at most {MOST_PIXELS} pixels and "
                f"a matrix of shape (2, 3), got {source.shape}, {goal.shape} and {matrix.shape}"
            )
        self._goal, self._goal_address = goal, _address(goal)
        self.matrix, self.taken = np.array(matrix, np.float64), np.empty_like(goal)
        self._corners = np.empty(source.shape, np.uint32)
        self._addresses = address_of(self.matrix), address_of(self.taken)
        _functions().imgdup_take(
            *(_address(source), *self._sides, self._addresses[0]),
            *(address_of(self._corners), self._addresses[1]),
        )

    def move(self, n_rounds: int) -> None:
        """Move the source by so many steps at most; one by less than 0.02 pixels is the last."""
        rows = _aligned_rows(N_ROWS, self._sides[3])
        changes = np.empty_like(self._goal)
        _functions().imgdup_refine(
            *(address_of(self._corners), *self._sides[:2]),
            *(self._goal_address, *self._sides[2:], n_rounds),
            *(address_of(rows), address_of(changes), *self._addresses),
        )


def _descends(numbers: list[int]) -> bool:
    """Return whether no number is greater than the one before."""
    return numbers == sorted(numbers, reverse=True)


def _aligned_rows(height: int, width: int) -> Plane:
    """Return rows of zeros, each with room for whole vectors that lie in one cache line each."""
    stride = -(-width // STEP_LANES) * STEP_LANES
    memory = np.zeros(height * stride + STEP_LANES, np.float32)
    start = -(address_of(memory) // memory.itemsize) % STEP_LANES
    return memory[start:][: height * stride].reshape(height, stride)


class Marks(NamedTuple):
    """Which rows and columns of a part lie in the whole at a pixel or more; 1 or 0 for each."""

    rows: Pixels
    columns: Pixels
    n_inside: int  # pixels


def paste_outside(part: Pixels, taken: Pixels, matrix: Matrix, slack: float) -> Marks:
    """Copy the pixels of a part that lie outside the whole to what was taken from this.

    Parameters
    ----------
    part, taken : ndarray of uint8, shape (height, width) or (height, width, channels)
        The latter is changed.
    matrix : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the part to (x, y) of the whole, from 0 to 1.
    slack : float
        How far beyond that a pixel may lie that counts as inside.

    Examples
    --------
    >>> part, taken = np.full((1, 4), 7, np.uint8), np.zeros((1, 4), np.uint8)
    >>> paste_outside(part, taken, np.array([[1, 0, 0.5], [0, 1, 0]]), 0.0).n_inside
    2
    >>> taken.tolist()
    [[0, 0, 7, 7]]
    """
    if part.ndim not in (2, 3) or matrix.shape != (2, 3):
        raise ValueError(f"expected a picture and a matrix, got {part.shape} and {matrix.shape}")
    (height, width), channels = part.shape[:2], part.shape[2] if part.ndim == 3 else 1
    matrix, places = np.array(matrix, np.float64), np.empty(width)
    row, rows, columns = (np.zeros(side, np.uint8) for side in (width, height, width))
    n_inside = _functions().imgdup_paste_outside(
        *(read_address(part, np.uint8, part.shape), write_address(taken, np.uint8, part.shape)),
        *(height, width, channels, address_of(matrix), slack, address_of(places)),
        *map(address_of, (row, rows, columns)),
    )
    return Marks(rows, columns, n_inside)


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_search_scratch": (_N, _N, _N),
    "imgdup_search": (_D, _P, _N, _N, _P, _N, _N, _P, _N, _P, _P),
    "imgdup_take": (None, _P, _N, _N, _N, _N, _P, _P, _P),
    "imgdup_refine": (None, _P, _N, _N, _P, _N, _N, _N, _P, _P, _P, _P),
    "imgdup_paste_outside": (_N, _P, _P, _N, _N, _N, _P, _D, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def _address(pixels: Pixels) -> int:
    """Return the address of a gray picture."""
    return read_address(pixels, np.uint8, (None, None))
