"""Blocks of 8 x 8 pixels, as JPEG compresses them, by calling ``blocks.c``.

A mask of blocks has one element for each whole block, row by row.
"""

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, Plane, address_of, checked_plane, declared, read_address

SIDE, MIXED_PLANES = 8, 16  # the same as in imgdup.h
Flags = npt.NDArray[np.bool_]


def clipped_blocks(pixels: Pixels, darkest: int, brightest: int) -> Flags:
    """Mark the blocks of a picture with a level up to the darkest, or from the brightest on.

    Examples
    --------
    >>> pixels = np.full((8, 16), 99, np.uint8)
    >>> pixels[3, 9] = 253
    >>> clipped_blocks(pixels, 3, 252)
    array([False,  True])
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(f"expected a picture of uint8, got {pixels.dtype} of {pixels.shape}")
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    adjoin = (channels, 1) if pixels.ndim == 3 else (1,)
    if pixels.strides[1:] != adjoin or pixels.strides[0] < 0:
        pixels = np.ascontiguousarray(pixels)
    clipped = np.empty((height // SIDE) * (width // SIDE), np.bool_)
    limits, row = np.array([darkest, brightest], np.uint8), np.empty(width * channels, np.uint8)
    _functions().imgdup_clipped_blocks(
        *(address_of(pixels), pixels.strides[0], height, width, channels),
        *(address_of(limits), address_of(row), address_of(clipped)),
    )
    return clipped


def varied_blocks(plane: Plane, least: float, clipped: Flags) -> Flags:
    """Mark the blocks of a plane that are not clipped and whose variance is more than `least`.

    Examples
    --------
    >>> varied_blocks(np.eye(8, 16, dtype=np.float32), 0.1, np.array([False, False]))
    array([ True, False])
    """
    plane = checked_plane(plane, plane.shape)
    n_blocks = (plane.shape[0] // SIDE) * (plane.shape[1] // SIDE)
    varied = np.empty(n_blocks, np.bool_)
    _functions().imgdup_varied_blocks(
        *(address_of(plane), *plane.shape, least),
        *(read_address(clipped, np.bool_, (n_blocks,)), address_of(varied)),
    )
    return varied


def on_steps(
    values: Plane, places: npt.NDArray[np.int32], tables: npt.NDArray[np.int32], tolerance: float
) -> npt.NDArray[np.int64]:
    """Count the values that lie on multiples, but 0, of their steps in each of some tables.

    Parameters
    ----------
    values : ndarray of float32, shape (n,)
    places : ndarray of int32, shape (n,)
        Where the step of each value lies in a table, from 0 to 63.
    tables : ndarray of int32, shape (n_tables, 64)
        Steps above 0.
    tolerance : float
        By which a value may lie off.

    Examples
    --------
    >>> tables = np.repeat([[4], [6]], 64, axis=1).astype(np.int32)
    >>> on_steps(np.array([1, 8, 13], np.float32), np.zeros(3, np.int32), tables, 1.0).tolist()
    [2, 1]
    """
    n, n_tables = len(values), len(tables)
    addresses = read_address(values, np.float32, (n,)), read_address(places, np.int32, (n,))
    tables_at, counts = (
        read_address(tables, np.int32, (None, SIDE * SIDE)),
        np.empty(n_tables, np.int64),
    )
    if n and not 0 <= places.min() <= places.max() < SIDE * SIDE:
        raise ValueError(f"expected places in a table of {SIDE * SIDE} steps, got {places}")
    _functions().imgdup_on_steps(*addresses, n, tables_at, n_tables, tolerance, address_of(counts))
    return counts


def mixture_errors(
    goal: Plane, planes: Sequence[Plane], judged: Flags, ridge: float
) -> tuple[Plane, Plane]:
    """Mix planes and a constant so that they come nearest to a goal, and return what they miss.

    Parameters
    ----------
    goal : ndarray of float32, shape (height, width)
    planes : 1 to 16 of the same
    judged : ndarray of bool
        A mask of the blocks that count.
    ridge : float
        A share of each sum of squares, of by how much a plane differs from the first one, that is
        added to it: then equal planes do no harm.

    Returns
    -------
    tuple of ndarray of float32, shape (n_judged, 64)
        The blocks of the goal, and those of the goal less the mixture.
    """
    goal = checked_plane(goal, goal.shape)
    planes = [checked_plane(each, goal.shape) for each in planes]
    if not 0 < len(planes) <= MIXED_PLANES:
        raise ValueError(f"expected 1 to {MIXED_PLANES} planes, got {len(planes)}")
    n_blocks = (goal.shape[0] // SIDE) * (goal.shape[1] // SIDE)
    judged_at = read_address(judged, np.bool_, (n_blocks,))
    shown, errors = np.empty((2, int(np.count_nonzero(judged)), SIDE * SIDE), np.float32)
    addresses = (ctypes.c_void_p * len(planes))(*map(_address, planes))
    _functions().imgdup_mixture_errors(
        *(address_of(goal), addresses, len(planes), *goal.shape, judged_at, ridge),
        *(address_of(shown), address_of(errors)),
    )
    return shown, errors


def _address(plane: Plane) -> int:
    return address_of(plane)


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_clipped_blocks": (None, _P, _N, _N, _N, _N, _P, _P, _P),
    "imgdup_varied_blocks": (None, _P, _N, _N, _D, _P, _P),
    "imgdup_on_steps": (None, _P, _P, _N, _P, _N, _D, _P),
    "imgdup_mixture_errors": (None, _P, _P, _N, _N, _N, _P, _D, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
