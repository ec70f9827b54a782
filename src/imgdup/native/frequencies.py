"""Sums over the frequencies, lines and edges of a picture, by calling ``frequencies.c``."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, checked_plane, declared

N_FREQUENCIES = 8  # the same as in imgdup.h
Sums = npt.NDArray[np.float64]


def transposed(plane: Plane) -> Plane:
    """Exchange the rows and columns of a plane, many times faster than a copy by NumPy."""
    plane = checked_plane(plane, plane.shape)
    out = np.empty(plane.shape[::-1], np.float32)
    _functions().imgdup_transpose(address_of(plane), *plane.shape, address_of(out))
    return out


def frequency_powers(plane: Plane, cosines: Plane) -> Sums:
    """Transform each 8 pixels of a column, and add up the squares of each of 8 frequencies.

    Rows that are left over at the end of the plane do not count. `cosines`, of shape (8, 8), has a
    row for each frequency.
    """
    plane, cosines = checked_plane(plane, plane.shape), checked_plane(cosines, (N_FREQUENCIES,) * 2)
    powers = np.zeros(N_FREQUENCIES)
    _functions().imgdup_frequency_powers(
        address_of(plane), *plane.shape, address_of(cosines), address_of(powers)
    )
    return powers


def edges(plane: Plane) -> tuple[Sums, Sums]:
    """Add up where levels change abruptly, as they do between the blocks of a JPEG file.

    Returns
    -------
    rows, columns : ndarray of float64, shapes (height,) and (width,)
        For column x, over all rows: by how much twice the change from pixel x - 1 to x exceeds the
        sum of the changes before and after it, if it does. The first two and the last are 0.

    Examples
    --------
    >>> edges(np.array([[0, 0, 5, 5, 5]], np.float32))[1].tolist()
    [0.0, 0.0, 10.0, 0.0, 0.0]
    """
    plane = checked_plane(plane, plane.shape)
    rows, columns = (np.zeros(side) for side in plane.shape)
    _functions().imgdup_edges(
        address_of(plane), *plane.shape, address_of(rows), address_of(columns)
    )
    return rows, columns


def weighted_lines(plane: Pixels, n_lines: int, weights: Plane) -> Plane:
    """Take some rows and columns of a plane, less their means, and weigh their levels.

    Parameters
    ----------
    plane : ndarray of uint8, shape (height, width)
        It may be a channel of a picture.
    n_lines : int
        How many rows, and how many columns.
    weights : ndarray of float32
        As many as the shorter side has pixels.

    Returns
    -------
    ndarray of float32, shape (2 * n_lines, shorter side)
        The middle of each row, then that of each column.

    Examples
    --------
    >>> plane, weights = np.array([[7, 9, 0], [1, 4, 5]], np.uint8), np.ones(2, np.float32)
    >>> weighted_lines(plane, 1, weights).tolist()
    [[-1.5, 1.5], [2.5, -2.5]]
    """
    length = min(plane.shape)
    if plane.dtype != np.uint8 or plane.ndim != 2 or weights.shape != (length,) or n_lines < 1:
        raise ValueError(
            f"expected a plane of uint8, a line and as many weights as its shorter side, got "
            f"{plane.dtype} of shape {plane.shape}, {n_lines} and {len(weights)}"
        )
    weights, lines = np.ascontiguousarray(weights), np.empty((2 * n_lines, length), np.float32)
    _functions().imgdup_lines(
        *(address_of(plane), *plane.strides, *plane.shape, n_lines),
        *(address_of(weights), address_of(lines)),
    )
    return lines


def line_powers(spectra: npt.NDArray[np.complexfloating[Any, Any]]) -> Sums:
    """Add up the power of each frequency over the spectra of all lines, shape (lines, frequencies).

    Examples
    --------
    >>> line_powers(np.array([[3 + 4j, 1], [1j, 0]], np.complex64)).tolist()
    [26.0, 1.0]
    """
    if spectra.dtype != np.complex64 or spectra.ndim != 2:
        raise ValueError(f"expected lines of complex64, got {spectra.dtype} of {spectra.shape}")
    spectra, powers = np.ascontiguousarray(spectra), np.empty(spectra.shape[1])
    _functions().imgdup_line_powers(address_of(spectra), *spectra.shape, address_of(powers))
    return powers


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_transpose": (None, _P, _N, _N, _P),
    "imgdup_frequency_powers": (None, _P, _N, _N, _P, _P),
    "imgdup_edges": (None, _P, _N, _N, _P, _P),
    "imgdup_lines": (None, _P, _N, _N, _N, _N, _N, _P, _P),
    "imgdup_line_powers": (None, _P, _N, _N, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
