"""What differs beyond what copying explains, in windows of several sizes, by ``excess.c``."""

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from imgdup.native import Plane, address_of, declared, read_address, write_address
from imgdup.native.windows import EXCESS_ROOM, MOMENTS, Excess, Limits, Planes

SCRATCH_ROWS, CHROMA_ROOM = 7, 13  # the same as in imgdup.h


def luma_part(
    moments: Planes, side: int, rules: Excess, clean: float
) -> tuple[Planes, Plane, bool]:
    """Return by how much the luma of each window of one size differs unexplained.

    Parameters
    ----------
    moments : ndarray of float32, shape (6, height, width)
        Those of blocks, as from `block_moments`.
    side : int
        Of a window, in blocks; a power of two.
    rules : Excess
    clean : float
        Factor of the least that counts as usual.

    Returns
    -------
    tuple
        The moments of the windows, the root of the squares that exceed what copying explains, 0
        for other windows, and whether there are any.
    """
    _check_side(side)
    address, height, width = _checked(moments)
    windows = moments if side == 1 else np.empty_like(moments)
    excess, scratch = np.empty((height, width), np.float32), _scratch(height, width, side)
    differs: int = _functions().imgdup_luma_part(
        *(address, height, width, side, ctypes.byref(rules), clean),
        *(address_of(scratch), address_of(windows), address_of(excess)),
    )
    return windows, excess, bool(differs)


class Rules:
    """Rules for windows of 1, 2, 4 and so on blocks a side, one behind the other."""

    def __init__(self, each: Sequence[Excess]) -> None:
        self.rules = (Excess * len(each))(*each)
        self.pointers = ctypes.c_void_p * len(each)  # a type


def raise_to_chroma(
    excess: Plane, luma: Sequence[Planes], chroma: tuple[Planes, Planes], sizes: Rules, clean: float
) -> None:
    """Raise the excess of the luma to that of the chroma, the root of its squares.

    The squares of both channels are added up, and an even window must not change much.

    `luma` are the moments of the windows of each size, `chroma` those of the blocks of Cr and Cb.
    """
    height, width = excess.shape
    shape, n_sizes = (MOMENTS[0], height, width), len(sizes.rules)
    if len(luma) != n_sizes or excess.size == 0:
        raise ValueError(
            f"expected moments of {n_sizes} sizes of windows, got {len(luma)} of shape {shape}"
        )
    pointers = sizes.pointers(*(read_address(each, np.float32, shape) for each in luma))
    scratch = _scratch(height, width, 1 << n_sizes)
    windows = np.empty((CHROMA_ROOM, height, width), np.float32)
    _functions().imgdup_chroma_excess(
        *(pointers, *(read_address(each, np.float32, shape) for each in chroma), height, width),
        *(sizes.rules, n_sizes, clean, address_of(scratch), address_of(windows)),
        write_address(excess, np.float32, (height, width)),
    )


class Shapes(ctypes.Structure):
    """When shapes are not in both pictures: `ImgdupShapes` of ``imgdup.h``."""

    _fields_ = (
        ("side", ctypes.c_int64),
        *((name, ctypes.c_float) for name in ("faint", "floor", "correlated")),
        *((name, ctypes.c_double) for name in ("unlike_share", "beside_noise")),
        *((name, ctypes.c_double) for name in ("quantile", "least_noise")),
        ("few", ctypes.c_int64),
    )


def unlike_shapes(moments: Planes, rules: Shapes) -> Plane:
    """Return the root of the larger variance of windows whose shapes are not in both pictures.

    It is 0 for all other windows. `moments` are those of blocks, as for `luma_part`.
    """
    address, height, width = _checked(moments)
    _check_side(rules.side)
    _check_shares(rules.quantile)
    if rules.few < 1:
        raise ValueError(f"expected at least one window that tells the noise, got {rules.few}")
    sums, excess = np.empty(2 * (width + rules.side)), np.empty((height, width), np.float32)
    scratch = np.empty((2 * MOMENTS[0], height, width), np.float32)
    _functions().imgdup_unlike_shapes(
        *(address, height, width, ctypes.byref(rules)),
        *(address_of(sums), address_of(scratch), address_of(excess)),
    )
    return excess


class Structure(ctypes.Structure):
    """What is usual of the variance that is not shared: `ImgdupStructure` of ``imgdup.h``."""

    _fields_ = (
        *((name, ctypes.c_float) for name in ("floor", "unlike_share")),
        *((name, ctypes.c_double) for name in ("flat_share", "quantile", "least_noise")),
    )


def unlike_structure(windows: Planes, rules: Structure, limits: Limits) -> Plane:
    """Return the root of the variance that the other picture does not share, where it is much.

    It is 0 for all other windows. `windows` are the moments of windows.
    """
    address, height, width = _checked(windows)
    _check_shares(rules.flat_share, rules.quantile)
    scratch = np.empty((4, height, width), np.float32)
    excess = np.empty((height, width), np.float32)
    _functions().imgdup_unlike_structure(
        *(address, height * width, ctypes.byref(rules), ctypes.byref(limits)),
        *(address_of(scratch), address_of(excess)),
    )
    return excess


def _checked(moments: Planes) -> tuple[int, int, int]:
    """Check moments of one window or more; return their address, height and width."""
    address = read_address(moments, np.float32, MOMENTS)
    if moments.size == 0:
        raise ValueError(f"expected moments of windows, got shape {moments.shape}")
    _, height, width = moments.shape
    return address, height, width


def _check_side(side: int) -> None:
    if side < 1 or side & (side - 1):
        raise ValueError(f"the side of a window must be a power of two, got {side}")


def _check_shares(*shares: float) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"expected shares from 0 to 1, got {shares}")


def _scratch(height: int, width: int, side: int) -> npt.NDArray[np.int64]:
    """Return scratch memory for windows of one size."""
    n = max(SCRATCH_ROWS * (height * width + EXCESS_ROOM), 2 * (width + side))
    return np.empty(n, np.int64)


_P, _N, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_luma_part": (ctypes.c_int32, _P, _N, _N, _N, _P, _D, _P, _P, _P),
    "imgdup_chroma_excess": (None, _P, _P, _P, _N, _N, _P, _N, _D, _P, _P, _P),
    "imgdup_unlike_structure": (None, _P, _N, _P, _P, _P, _P),
    "imgdup_unlike_shapes": (None, _P, _N, _N, _P, _P, _P, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
