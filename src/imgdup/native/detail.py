"""Where the blocks of a picture begin, and how much detail it shows, by calling ``detail.c``."""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np

from imgdup.native import Plane, address_of, checked_plane, declared

N_FREQUENCIES = 8  # the same as in imgdup.h
LEAST_SIDE = 32  # pixels, for which the first edge can be told


class DetailRules(NamedTuple):
    """How detail is looked for."""

    cosines: Plane  # the transform of 8 pixels, a row for each frequency, shape (8, 8)
    min_side: int  # of what is judged, in pixels
    rounding: float  # power of the rounding of levels, which does not count
    least_variance: float  # of the frequencies 1 and 2; less is a flat picture
    least_share: float  # of the detail in the best of frequencies 1 to 3; less counts in part
    sharp: float  # share of the frequencies with detail, of a picture that is not halved


class _Rules(ctypes.Structure):
    """``ImgdupDetail``."""

    _fields_ = (
        ("cosines", ctypes.c_void_p),
        ("min_side", ctypes.c_int64),
        ("rounding", ctypes.c_double),
        ("least_variance", ctypes.c_double),
        ("least_share", ctypes.c_double),
        ("sharp", ctypes.c_double),
    )


def grid_start(plane: Plane, min_side: int) -> tuple[int, int]:
    """Return the row and the column, 0 to 7, where levels change most between blocks of 8 pixels.

    It is where, in the mean of every eighth place, twice a change most exceeds the sum of the
    changes before and after it; 0 where a side is shorter than `min_side`, which is at least 32.
    """
    plane, start = checked_plane(plane, plane.shape), np.zeros(2, np.int64)
    _check_least(min_side)
    _functions().imgdup_grid_start(address_of(plane), *plane.shape, min_side, address_of(start))
    row, column = start.tolist()
    return row, column


def detail_share(plane: Plane, rules: DetailRules) -> float:
    """Return the share of a plane's resolution, along a side, that shows detail.

    Squares of two pixels a side are averaged until the frequencies of 8 pixels in a row or a column
    of the grid hold as much as a sharp picture.
    """
    plane = checked_plane(plane, plane.shape)
    cosines = checked_plane(rules.cosines, (N_FREQUENCIES,) * 2)
    _check_least(rules.min_side)
    halves = np.empty(plane.size // 2 + 1, np.float32)
    rules_in_c = _Rules(address_of(cosines), *rules[1:])
    share: float = _functions().imgdup_detail_share(
        *(address_of(plane), *plane.shape, ctypes.addressof(rules_in_c), address_of(halves))
    )
    return share


def _check_least(min_side: int) -> None:
    if min_side < LEAST_SIDE:
        raise ValueError(f"the least side must be at least {LEAST_SIDE}, got {min_side}")


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_grid_start": (None, _P, _N, _N, _N, _P),
    "imgdup_detail_share": (ctypes.c_double, _P, _N, _N, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
