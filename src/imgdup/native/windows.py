"""Find what is usual in the windows of two pictures, and what exceeds it, by ``windows.c``."""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import declared, read_address, write_address

Plane = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


class Outliers(NamedTuple):
    """When the square of a window is an outlier.

    Attributes
    ----------
    factor : float
        How often its ratio to what is usual exceeds that of nearly all other windows ...
    nearly_all : float
        ... which are this share of those ...
    apart : int
        ... that lie farther away from the window with the largest ratio than this.
    few : int
        If there are fewer other windows, nothing is an outlier.
    least_ratio : float
        The ratio of nearly all other windows counts as this at least.
    least : float
        Smaller squares are no outliers.
    texture_share : float
        Nor are squares that have no more than this share of the texture nearby.
    """

    factor: float
    nearly_all: float
    apart: int
    few: int
    least_ratio: float
    least: float
    texture_share: float = 0.0


class _Rule(ctypes.Structure):
    """`ImgdupOutliers` of ``imgdup.h``."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("factor", "nearly_all", "least_ratio")),
        *((name, ctypes.c_int64) for name in ("apart", "few")),
        *((name, ctypes.c_float) for name in ("noise", "share", "least", "texture_share")),
    )


def quantile(values: Plane, share: float) -> float:
    """Return the smallest value that is not below this share of all.

    Examples
    --------
    >>> quantile(np.array([5, 1, 4, 2, 3], np.float32), 0.75)
    4.0
    """
    n = values.size
    if n == 0 or not 0 <= share <= 1:
        raise ValueError(f"expected a value at least and a share from 0 to 1, got {n} and {share}")
    address, keys = _address(values, values.shape), np.empty(n, np.uint32)
    return float(_functions().imgdup_ranked(address, n, int(share * (n - 1)), _data(keys)))


def thirds(near: Plane, step: int, bare: float, many_bare: float) -> tuple[Places, Places]:
    """Return the places of windows with little and with much texture near them.

    Parameters
    ----------
    near : ndarray of float32, at least one element
        The texture near each window.
    step : int
        One of so many windows is taken.
    bare : float
        Those that have no more texture than this are left out, ...
    many_bare : float
        ... unless they are nearly all: the others are at most this share of those taken.

    Returns
    -------
    flat, rich : ndarray of int64
        The third with the least, and that with the most texture; of equal ones the first. Either
        has one place at least.

    Examples
    --------
    >>> [places.tolist() for places in thirds(np.array([3, 9, 5], np.float32), 1, 1.0, 0.05)]
    [[0], [1]]
    """
    if near.size == 0 or step < 1:
        raise ValueError(f"expected a window and a step at least, got {near.size} and {step}")
    most = -(-near.size // step) + 1
    scratch, places = np.empty((2, most), np.float32), np.empty((3, most), np.int64)
    n = _functions().imgdup_thirds(
        *(_address(near, near.shape), near.size, step, bare, many_bare),
        *map(_data, (scratch[0], scratch[1], *places)),
    )
    return places[1, :n], places[2, :n]


def usual_squares(
    squares: Plane, near: Plane, thirds: tuple[Places, Places], share: float, least: float
) -> tuple[float, float]:
    """Return what is usual: squares in flat windows, and their share of texture in rich ones.

    Parameters
    ----------
    squares, near : ndarray of float32, of one shape
        The square of each window, and the texture near it.
    thirds : (ndarray of int64, ndarray of int64)
        The places of flat and of rich windows, as many.
    share : float
        Which quantile is usual.
    least : float
        What the squares of rich windows exceed the squares of flat ones by counts, or this.

    Examples
    --------
    >>> squares, near = np.array([[4, 10]], np.float32), np.array([[0, 2]], np.float32)
    >>> usual_squares(squares, near, (np.array([0]), np.array([1])), 0.75, 3.0)
    (4.0, 2.0)
    """
    n = len(thirds[0])
    places = [read_address(each, np.int64, (n,)) for each in thirds]
    scratch, found = np.empty((2, n), np.float32), np.empty(2, np.float32)
    _functions().imgdup_usual(
        *(_address(squares, squares.shape), _address(near, squares.shape), *places),
        *(n, int(share * (n - 1)), least, *map(_data, (scratch[0], scratch[1], found))),
    )
    noise, usual_share = found.tolist()
    return noise, usual_share


def raise_to_outliers(
    excess: Plane, squares: Plane, near: Plane, usual: tuple[float, float], rule: Outliers
) -> None:
    """Raise elements of a plane to the squares of windows that are outliers.

    Parameters
    ----------
    excess, squares, near : ndarray of float32, shape (height, width)
        What is raised, the square of each window, and the texture near it.
    usual : (float, float)
        The usual squares where there is no texture, and their usual share of texture.
    rule : Outliers
    """
    shape = squares.shape
    scratch = np.empty((3, *shape), np.float32)
    c_rule = _Rule(
        *(rule.factor, rule.nearly_all, rule.least_ratio, rule.apart, rule.few),
        *(*usual, rule.least, rule.texture_share),
    )
    _functions().imgdup_raise_outliers(
        *(_address(squares, shape), _address(near, shape), *shape, ctypes.addressof(c_rule)),
        *(_data(scratch), _data(scratch[2]), write_address(excess, np.float32, shape)),
    )


_P, _N, _X, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_ranked": (_X, _P, _N, _N, _P),
    "imgdup_thirds": (_N, _P, _N, _N, _X, _D, _P, _P, _P, _P, _P),
    "imgdup_usual": (None, _P, _P, _P, _P, _N, _N, _X, _P, _P, _P),
    "imgdup_raise_outliers": (None, _P, _P, _N, _N, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)


def _address(plane: Plane, shape: tuple[int, ...]) -> int:
    """Return the address of a plane to read."""
    return read_address(plane, np.float32, shape)


def _data(array: npt.NDArray[Any]) -> int:
    """Return the address of scratch memory."""
    address: int = array.__array_interface__["data"][0]
    return address
