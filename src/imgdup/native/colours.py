"""Luma and chroma of pictures, whether there is colour, or texture, by calling ``colours.c``."""

import ctypes
from functools import cache

import numpy as np

from imgdup.native import Pixels, Plane, address_of, declared

MAX_BLOCK = 16  # pixels a side, whose sums of squares are exact


def luma_plane(pixels: Pixels) -> Plane:
    """Return the luma of an RGB or gray picture, rounded to whole levels (ITU-R BT.601).

    Examples
    --------
    >>> luma_plane(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8))
    array([[255.,  76.]], dtype=float32)
    """
    pixels = _checked(pixels)
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    plane = np.empty(pixels.shape[:2], np.float32)
    _functions().imgdup_luma_plane(address_of(pixels), plane.size, address_of(plane))
    return plane


def chroma(pixels: Pixels) -> Pixels:
    """Return Cr and Cb of an RGB picture, shape (2, height, width), of the rounded luma.

    Examples
    --------
    >>> chroma(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8)).tolist()
    [[[128, 255]], [[128, 85]]]
    """
    pixels = _checked(pixels)
    if pixels.ndim == 2:
        raise ValueError(f"expected RGB pixels, got shape {pixels.shape}")
    planes = np.empty((2, *pixels.shape[:2]), np.uint8)
    _functions().imgdup_chroma(address_of(pixels), pixels.size // 3, address_of(planes))
    return planes


def coloured_share(pixels: Pixels, neutral: int) -> float:
    """Return the share of the pixels whose channels differ by more than some levels.

    Examples
    --------
    >>> coloured_share(np.array([[[7, 9, 1], [255, 0, 0]]], dtype=np.uint8), 8)
    0.5
    """
    pixels = _checked(pixels)
    if pixels.ndim == 2:
        return 0.0
    n = pixels.size // 3
    count: int = _functions().imgdup_count_coloured(address_of(pixels), n, neutral)
    return count / n


class Smooth(ctypes.Structure):
    """When a picture has no texture: `ImgdupSmooth` of ``imgdup.h``."""

    _fields_ = (
        ("side", ctypes.c_int64),
        ("textured", ctypes.c_float),
        ("share", ctypes.c_double),
    )


def is_smooth(pixels: Pixels, rules: Smooth) -> bool:
    """Return whether an RGB or gray picture has no texture, by every second pixel and row.

    Examples
    --------
    >>> is_smooth(np.eye(8, dtype=np.uint8) * 99, Smooth(side=4, textured=25.0, share=0.5))
    False
    """
    pixels = _checked(pixels)
    if not 0 < rules.side <= MAX_BLOCK:
        raise ValueError(f"a block must have 1 to {MAX_BLOCK} pixels a side, got {rules.side}")
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else 3
    found: int = _functions().imgdup_is_smooth(
        address_of(pixels), height, width, channels, ctypes.byref(rules)
    )
    return bool(found)


def _checked(pixels: Pixels) -> Pixels:
    """Check that a picture is RGB or gray and has pixels, and return it contiguous."""
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not fits or pixels.size == 0:
        raise ValueError(
            f"expected RGB or gray pixels of uint8, got {pixels.dtype} of shape {pixels.shape}"
        )
    return np.ascontiguousarray(pixels)


_P, _N = ctypes.c_void_p, ctypes.c_int64  # address, number
_SIGNATURES = {  # what each function returns, then its arguments
    "imgdup_luma_plane": (None, _P, _N, _P),
    "imgdup_chroma": (None, _P, _N, _P),
    "imgdup_count_coloured": (_N, _P, _N, ctypes.c_int32),
    "imgdup_is_smooth": (ctypes.c_int32, _P, _N, _N, _N, _P),
}


@cache
def _functions() -> ctypes.CDLL:
    return declared(_SIGNATURES)
