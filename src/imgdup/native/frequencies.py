"""Lines of a picture and the powers of their frequencies, by calling ``frequencies.c``."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, declared

Sums = npt.NDArray[np.float64]


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
    "imgdup_lines": (None, _P, _N, _N, _N, _N, _N, _P, _P),
    "imgdup_line_powers": (None, _P, _N, _N, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
