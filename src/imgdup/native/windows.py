"""Windows of two pictures: which agree, what is usual, and what exceeds it.

Calls ``agreement.c`` and ``windows.c``.
"""

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, address_of, declared, read_address

Planes = npt.NDArray[np.float32]
MOMENTS = (6, None, None)  # their shape
EXCESS_ROOM, MOST_IN_WINDOW = 8, 128  # the same as in imgdup.h


class Usual(ctypes.Structure):
    """What is usual in a picture: `ImgdupUsual` of ``imgdup.h``, which says what each means."""

    _fields_ = (
        ("samples", ctypes.c_int64),
        ("bare", ctypes.c_float),
        *((name, ctypes.c_double) for name in ("many_bare", "quantile")),
        *((name, ctypes.c_double) for name in ("least_noise", "least_share", "nearly_all")),
        *((name, ctypes.c_int64) for name in ("apart", "few")),
        ("least_ratio", ctypes.c_double),
    )


class Limits(ctypes.Structure):
    """How large a remainder may be that still counts as explained, for one size of window."""

    factor: float  # how many times what is usual in the picture it may be
    # The most that is explained where there is no texture, in gray levels squared.
    most_noise: float
    most_share: float  # the most that is explained by texture, as a share of its variance
    _fields_ = tuple((name, ctypes.c_double) for name in ("factor", "most_noise", "most_share"))


class Outliers(ctypes.Structure):
    """When a square stands out from nearly all others; never if the factor is 0."""

    factor: float  # how many times theirs it is
    least: float  # smaller squares do not stand out, ...
    texture_share: float  # ... nor those that have no more than this share of the texture nearby
    _fields_ = tuple((name, ctypes.c_double) for name in ("factor", "least", "texture_share"))


class Excess(ctypes.Structure):
    """What counts as an excess in windows of one size: `ImgdupExcess` of ``imgdup.h``."""

    _fields_ = (
        ("usual", Usual),
        *((name, Limits) for name in ("squares", "means")),
        *((name, Outliers) for name in ("outliers", "faint", "faint_means")),
        *((name, ctypes.c_float) for name in ("even", "even_share")),
    )


class Agreement(ctypes.Structure):
    """Which windows have structure and agree: `ImgdupAgreement` of ``imgdup.h``."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("least", "mean_share")),
        *((name, ctypes.c_float) for name in ("floor", "correlated")),
    )


class Counts(NamedTuple):
    """How many windows there are, how many of these have structure, how many of those agree."""

    windows: int
    structured: int
    agreeing: int


def count_agreeing(moments: Planes, rules: Agreement) -> Counts:
    """Count windows by their moments, as `luma_part` returns them."""
    height, width = moments.shape[1:]
    n = height * width
    textures, counts = np.empty(n, np.float32), np.empty(2, np.int64)
    _functions().imgdup_count_agreeing(
        *(read_address(moments, np.float32, MOMENTS), n, ctypes.byref(rules)),
        *(address_of(textures), address_of(counts)),
    )
    return Counts(n, *counts.tolist())


def count_agreeing_of(
    first: Pixels, second: Pixels, block: int, window: int, rules: Agreement
) -> Counts:
    """Count the windows, of so many blocks a side, of two gray pictures of one shape.

    `block` is the side of a block in pixels; `window` is a power of two. A window has at most
    `MOST_IN_WINDOW` pixels a side.
    """
    height, width = first.shape
    fits = block >= 1 and window >= 1 and block * window <= MOST_IN_WINDOW
    if not fits or window & (window - 1) or first.size == 0:
        raise ValueError(
            "expected pixels, blocks and a window whose side is a power of two, "
            f"got {first.shape}, {block} and {window}"
        )
    n = -(-height // block) * -(-width // block)
    sums, means = np.empty(5 * (n + width) + window, np.int32), np.empty(6 * n, np.float32)
    counts = np.empty(2, np.int64)
    _functions().imgdup_agreement(
        *(read_address(each, np.uint8, first.shape) for each in (first, second)),
        *(height, width, block, window, ctypes.byref(rules)),
        *(address_of(sums), address_of(means), address_of(counts)),
    )
    return Counts(n, *counts.tolist())


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_count_agreeing": (None, _P, _N, _P, _P, _P),
    "imgdup_agreement": (None, _P, _P, _N, _N, _N, _N, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
