"""By how much the pixels of two pictures of one shape differ, by calling ``changes.c``."""

import ctypes
import math
from functools import cache
from typing import NamedTuple

import numpy as np

from imgdup.native import Pixels, address_of, declared

CHANNELS = 3


def count_changed(a: Pixels, b: Pixels, least: int, rows_apart: int = 1) -> int:
    """Count the levels of all channels that differ by at least `least`, from 1 to 255.

    Only every `rows_apart`-th row is looked at.

    Examples
    --------
    >>> count_changed(np.array([[7, 9], [3, 3]], np.uint8), np.array([[7, 8], [3, 4]], np.uint8), 1)
    2
    """
    a, b = _checked(a, b, rows_apart)
    if not 0 < least < 256:
        raise ValueError(f"expected a difference from 1 to 255, got {least}")
    addresses, height = (address_of(a), address_of(b)), len(a)
    count: int = _functions().imgdup_count_changed(
        *addresses, height, a.size // height, rows_apart, least
    )
    return count


def spread_between(a: Pixels, b: Pixels) -> float:
    """Return the standard deviation of the differences of all levels of two pictures.

    Examples
    --------
    >>> spread_between(np.array([[7, 9]], np.uint8), np.array([[7, 5]], np.uint8))
    2.0
    """
    a, b = _checked(a, b, 1)
    sums = np.empty(2, np.int64)
    _functions().imgdup_add_squares(address_of(a), address_of(b), a.size, address_of(sums))
    total, squares = sums.tolist()
    return math.sqrt(squares * a.size - total * total) / a.size


class Changes(NamedTuple):
    """How many pixels differ, and of each channel the sum of the changes and of their sizes."""

    n_pixels: int
    sums: list[int]
    sizes: list[int]


def added_changes(a: Pixels, b: Pixels, rows_apart: int = 1) -> Changes:
    """Add up what turns one RGB picture into another one, in every `rows_apart`-th row.

    Examples
    --------
    >>> a, b = (np.array([pixels], np.uint8) for pixels in ([[7, 8, 9]], [[5, 8, 10]]))
    >>> added_changes(a, b)
    Changes(n_pixels=1, sums=[-2, 0, 1], sizes=[2, 0, 1])
    """
    a, b = _checked(a, b, rows_apart)
    if a.ndim != CHANNELS or a.shape[2] != CHANNELS:
        raise ValueError(f"expected RGB pixels, got shape {a.shape}")
    facts = np.empty(1 + 2 * CHANNELS, np.int64)
    _functions().imgdup_add_changes(
        *(address_of(a), address_of(b), *a.shape[:2], rows_apart, address_of(facts))
    )
    n_pixels, *sums = facts.tolist()
    return Changes(n_pixels, sums[:CHANNELS], sums[CHANNELS:])


def _checked(a: Pixels, b: Pixels, rows_apart: int) -> tuple[Pixels, Pixels]:
    """Check that two pictures have one shape and pixels, and return them contiguous."""
    fits = a.shape == b.shape and a.ndim > 1 and a.size > 0 and rows_apart > 0
    if not fits or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(
            f"expected two pictures of uint8 of one shape and a step, got {a.dtype} of {a.shape}, "
            f"{b.dtype} of {b.shape} and {rows_apart}"
        )
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_count_changed": (_N, _P, _P, _N, _N, _N, ctypes.c_uint8),
    "imgdup_add_squares": (None, _P, _P, _N, _P),
    "imgdup_add_changes": (None, _P, _P, _N, _N, _N, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
