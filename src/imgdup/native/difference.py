"""Sums over two pictures that are compared, by calling ``difference.c``."""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native.loader import load_library

N_SUMS, N_MOMENTS = 8, 6  # the same as in imgdup.h

Plane = npt.NDArray[np.float32]


class FilterSums(NamedTuple):
    """Sums over all pixels of products of x = fine - a, z = coarse - a and y = b - a."""

    xx: float
    xz: float
    zz: float
    x: float
    z: float
    xy: float
    zy: float
    y: float


def filter_sums(a: Plane, fine: Plane, coarse: Plane, b: Plane) -> FilterSums:
    """Add up the products from which a filter is fitted that takes a plane nearest to another.

    Parameters
    ----------
    a, fine, coarse, b : ndarray of float32, all of one shape
        A plane, two blurred copies of it, and the plane to come near to.
    """
    planes = [_checked(each, a.shape) for each in (a, fine, coarse, b)]
    sums = np.zeros(N_SUMS, np.float64)
    _functions().sums(*map(_address, planes), a.size, _address(sums))
    return FilterSums(*sums.tolist())


def block_moments(a: Plane, b: Plane, side: int) -> npt.NDArray[np.float32]:
    """Return means over square blocks of two planes.

    Parameters
    ----------
    a, b : ndarray of float32, shape (height, width)
    side : int
        Side of a block, in pixels; blocks at the right and lower edge may be smaller.

    Returns
    -------
    ndarray of float32, shape (6, ceil(height / side), ceil(width / side))
        The means of a, b, a * a, b * b, a * b and (b - a) ** 2.

    Examples
    --------
    >>> ramp = np.arange(4, dtype=np.float32).reshape(2, 2)
    >>> block_moments(ramp, ramp + 1, 2).ravel().tolist()
    [1.5, 2.5, 3.5, 7.5, 5.0, 1.0]
    """
    if side < 1:
        raise ValueError(f"a block must have at least one pixel a side, got {side}")
    a, b = _checked(a, a.shape), _checked(b, a.shape)
    height, width = a.shape
    moments = np.empty((N_MOMENTS, -(-height // side), -(-width // side)), np.float32)
    columns = np.empty((N_MOMENTS, width), np.float32)
    _functions().moments(
        _address(a), _address(b), height, width, side, _address(columns), _address(moments)
    )
    return moments


class _Functions(NamedTuple):
    """The functions of ``difference.c``."""

    sums: Any
    moments: Any


@cache
def _functions() -> _Functions:
    """Set the argument types of the functions."""
    address, integer = ctypes.c_void_p, ctypes.c_int64
    sums, moments = load_library().imgdup_filter_sums, load_library().imgdup_block_moments
    sums.restype = moments.restype = None
    sums.argtypes = (address, address, address, address, integer, address)
    moments.argtypes = (address, address, integer, integer, integer, address, address)
    return _Functions(sums, moments)


def _checked(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Check a plane, and return it contiguous."""
    if plane.dtype != np.float32 or plane.ndim != 2 or plane.shape != shape:
        raise ValueError(
            f"expected planes of float32 of one shape (height, width), got {plane.dtype} "
            f"of shape {plane.shape} beside {shape}"
        )
    return np.ascontiguousarray(plane)


def _address(array: npt.NDArray[Any]) -> int:
    """Return the address of an array."""
    address: int = array.__array_interface__["data"][0]
    return address
