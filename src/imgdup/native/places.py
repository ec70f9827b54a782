"""Find how one gray picture lies in another, by ``places.c``: search it, then move it."""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, declared, read_address, write_address

SEARCH_SIDE, MOST_SIZES, STEP_LANES = 96, 24, 16  # the same as in imgdup.h
MOST_PIXELS = 1 << 24  # of a picture
N_ROWS = 8  # of scratch memory for a step

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
        if min(*source.shape, *goal.shape) < 2 or source.size > MOST_PIXELS:
            raise ValueError(
                f"expected at least 2 pixels a side, and a source of at most {MOST_PIXELS} pixels, "
                f"got {source.shape} and {goal.shape}"
            )
        _address(goal)  # is checked
        self._goal, self._corners = goal, np.empty(source.shape, np.uint32)
        self.matrix, self.taken = _checked_matrix(matrix), np.empty(goal.shape, np.uint8)
        _functions().imgdup_take(
            *(_address(source), *source.shape, *goal.shape, address_of(self.matrix)),
            *(address_of(self._corners), address_of(self.taken)),
        )

    def move(self, n_rounds: int) -> None:
        """Move the source by so many steps at most; one by less than 0.02 pixels is the last."""
        shape = self._goal.shape
        rows, changes = _aligned_rows(N_ROWS, shape[1]), np.empty(shape, np.uint8)
        _functions().imgdup_refine(
            *(address_of(self._corners), *self._corners.shape, _address(self._goal), *shape),
            *(n_rounds, address_of(rows), address_of(changes)),
            write_address(self.matrix, np.float64, (2, 3)),
            write_address(self.taken, np.uint8, shape),
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


class Inside(NamedTuple):
    """Which pixels of a part lie inside the whole."""

    n_pixels: int
    ends: npt.NDArray[np.int32]  # of each row, the first one and that behind the last one
    rows: slice  # where there is any
    columns: slice


def inside(shape: tuple[int, ...], matrix: Matrix, slack: float) -> Inside:
    """Find which pixels of a part lie inside the whole.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the part.
    matrix : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the part to (x, y) of the whole, from 0 to 1.
    slack : float
        How far beyond that a pixel may lie that counts as inside.

    Examples
    --------
    >>> found = inside((1, 4), np.array([[1, 0, 0.5], [0, 1, 0]]), 0.0)
    >>> found.n_pixels, found.ends.tolist(), found.columns
    (2, [[0, 2]], slice(0, 2, None))
    """
    height, width = shape[:2]
    matrix = _checked_matrix(matrix)
    ends, box = np.empty((height, 2), np.int32), np.empty(4, np.int64)
    places, row = np.empty(width), np.empty(width, np.uint8)
    n_pixels = _functions().imgdup_inside(
        *(height, width, address_of(matrix), slack),
        *(address_of(places), address_of(row), address_of(ends), address_of(box)),
    )
    left, top, right, bottom = box.tolist()
    return Inside(n_pixels, ends, slice(top, bottom), slice(left, right))


def taken_out(
    whole: Pixels, part: Pixels, matrix: Matrix, found: Inside, rows: slice, columns: slice
) -> Pixels:
    """Take from a whole what some rows and columns of a part show.

    Parameters
    ----------
    whole, part : ndarray of uint8, shape (height, width) or (height, width, channels)
        At most 4 channels. The edges of the whole are repeated.
    matrix : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the part to (x, y) of the whole, from 0 to 1.
    found : Inside
        What `inside` returned; the other pixels are those of the part.
    rows, columns : slice
        Without a step; within the part.
    """
    (height, width), channels = part.shape[:2], part.shape[2] if part.ndim == 3 else 1
    box = np.array([columns.start, rows.start, columns.stop, rows.stop], np.int64)
    size = rows.stop - rows.start, columns.stop - columns.start
    fits = 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
    fits = fits and part.ndim in (2, 3) and channels <= 4 and 0 < whole.size <= MOST_PIXELS
    if not fits:
        raise ValueError(f"cannot take {box.tolist()} of {part.shape} from {whole.shape}")
    taken = np.empty((*size, *part.shape[2:]), np.uint8)
    levels, matrix = np.empty(whole.size + 4, np.float32), _checked_matrix(matrix)
    _functions().imgdup_cut_out(
        *(read_address(whole, np.uint8, (None, None, *part.shape[2:])), *whole.shape[:2]),
        *(read_address(part, np.uint8, part.shape), height, width, channels),
        *(address_of(matrix), read_address(found.ends, np.int32, (height, 2))),
        *(address_of(box), address_of(levels), address_of(taken)),
    )
    return taken


def _checked_matrix(matrix: Matrix) -> Matrix:
    """Check the shape of a matrix, and return a copy that is contiguous."""
    if matrix.shape != (2, 3):
        raise ValueError(f"expected a matrix of shape (2, 3), got {matrix.shape}")
    return np.array(matrix, np.float64, order="C")


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_search_scratch": (_N, _N, _N),
    "imgdup_search": (_D, _P, _N, _N, _P, _N, _N, _P, _N, _P, _P),
    "imgdup_take": (None, _P, _N, _N, _N, _N, _P, _P, _P),
    "imgdup_refine": (None, _P, _N, _N, _P, _N, _N, _N, _P, _P, _P, _P),
    "imgdup_inside": (_N, _N, _N, _P, _D, _P, _P, _P, _P),
    "imgdup_cut_out": (None, _P, _N, _N, _P, _N, _N, _N, _P, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def _address(pixels: Pixels) -> int:
    """Return the address of a gray picture."""
    return read_address(pixels, np.uint8, (None, None))
