"""Tone curves that one number describes, or two, by calling ``curves.c``."""

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from imgdup.native import Pixels, address_of, declared, read_address
from imgdup.native.levels import CURVE_REACH, LEVELS, CurveRules, Sums

SINGLE_CURVES, PLAIN_CURVES = 5, 2  # the same as in imgdup.h
FEWEST_LEVELS = 2  # that are not cut off, to fit two numbers
MOST = 1 << 14  # levels of a curve, and the root of the largest square

_LOGS = np.log(np.maximum(np.arange(LEVELS), 1) / 255)


def single_curves(counts: Sums, means: Sums, middle: float, rules: CurveRules) -> Sums:
    """Fit curves that one number describes to the mean of each level.

    Levels that are cut off in one picture do not count; levels whose mean lies far from a curve
    count little.

    Returns
    -------
    ndarray of float64, shape (5, 256)
        A factor, an offset, a gamma, a factor of the distance from 128, and one of that from
        `middle`; cut off at 0 and 255.
    """
    addresses = [read_address(each, np.float64, (LEVELS,)) for each in (counts, means)]
    logs, curves = _logarithms(means), np.empty((SINGLE_CURVES, LEVELS))
    _functions().imgdup_single_curves(
        *(*addresses, address_of(logs), middle, ctypes.byref(rules), address_of(curves)),
    )
    return curves


def plain_curves(counts: Sums, means: Sums, rules: CurveRules, fewest: int) -> Sums:
    """Fit a factor and an offset, and a gamma, as `single_curves`: shape (2, 256).

    None is returned, shape (0, 256), if fewer levels count than `fewest`.
    """
    addresses = [read_address(each, np.float64, (LEVELS,)) for each in (counts, means)]
    logs, curves = _logarithms(means), np.empty((PLAIN_CURVES, LEVELS))
    n_levels: int = _functions().imgdup_plain_curves(
        *(*addresses, address_of(logs), ctypes.byref(rules), address_of(curves)),
    )
    return curves if n_levels >= max(FEWEST_LEVELS, fewest) else curves[:0]


def smooth_curve(
    counts: Sums, means: Sums, rules: CurveRules, near: tuple[Sums, float], freedom: Sums
) -> Sums:
    """Fit an ascending curve: a stiff one that follows some levels freely.

    The stiff one is a polynomial of the root of the level, cut off at 0 and 255, and comes near to
    any change of brightness, contrast and gamma. Levels whose mean lies far from it count little;
    where there are no pixels, levels stay. The nearest ascending values are found by pooling
    adjacent violators (Barlow et al. 1972).

    `near` is the kernel and the least weight of `levels_off`; `freedom`, shape (256,), is how much
    the curve follows each level, from 0 to 1.
    """
    curve, (kernel, least) = np.empty(LEVELS), near
    _functions().imgdup_smooth_curve(
        *(read_address(each, np.float64, (LEVELS,)) for each in (counts, means)),
        *(ctypes.byref(rules), least, read_address(kernel, np.float64, (CURVE_REACH + 1,))),
        *(read_address(freedom, np.float64, (LEVELS,)), address_of(curve)),
    )
    return curve


def curve_errors(
    a: Pixels, b: Pixels, curves: Sequence[npt.NDArray[np.floating]], most: int
) -> npt.NDArray[np.float64]:
    """Return the mean squared differences of a picture from what curves make of another.

    Each curve is a level for each of 256, rounded to whole levels here; each square counts `most`
    at most.

    Examples
    --------
    >>> a, b = np.array([7, 7], np.uint8), np.array([9, 99], np.uint8)
    >>> curve_errors(a, b, [np.arange(256.0), np.arange(256) + 2.2], 400).tolist()
    [202.0, 200.0]
    """
    tables = np.rint(np.stack(curves)).astype(np.int32)
    if a.shape != b.shape or a.size == 0 or tables.shape[1:] != (LEVELS,):
        raise ValueError(
            "expected two pictures of one shape and curves of 256 levels, "
            f"got {a.shape}, {b.shape} and {tables.shape}"
        )
    is_low = bool((tables <= MOST).all() and (tables >= -MOST).all())
    if not 0 <= most <= 1 << 16 or not is_low:
        raise ValueError(f"expected levels up to {MOST} and squares up to 2^16, got {most}")
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    errors = np.empty(len(tables), np.int64)
    _functions().imgdup_curve_errors(
        *(read_address(each, np.uint8, a.shape) for each in (a, b)),
        *(a.size, address_of(tables), len(tables), most, address_of(errors)),
    )
    return errors / a.size


def _logarithms(means: Sums) -> Sums:
    """Return the logarithms of levels, and of what they have become, as shares of white."""
    return np.stack([_LOGS, np.log(np.maximum(means, 1) / 255)])


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_single_curves": (None, _P, _P, _P, ctypes.c_double, _P, _P),
    "imgdup_plain_curves": (_N, _P, _P, _P, _P, _P),
    "imgdup_smooth_curve": (None, _P, _P, _P, ctypes.c_double, _P, _P, _P),
    "imgdup_curve_errors": (None, _P, _P, _N, _P, _N, ctypes.c_int32, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
