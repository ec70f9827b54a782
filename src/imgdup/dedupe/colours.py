"""Decide whether two pictures of one size differ in their colours, or only one of them has any.

A gray copy has lost its colours; a filter that tints a gray picture, or turns hues, makes no copy.
"""

import math

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.images.opencv import channel_of, largest_near, luma_and_chroma, luma_of, resized
from imgdup.native.colours import coloured_share

NEUTRAL = 6  # levels between the channels of a gray picture, at most
FEW_COLOURED = 0.03  # share of the area
NEARLY_ALL_MARKS = (0.02, 0.98)  # quantiles of their places
ONE_OBJECT = 0.12  # share of the area in which all colour lies, nearly; 3 of 1,000 photos have less
NOISE_COLOUR = 20  # levels between the channels, at most, where only noise has colour
TINT_TERMS = 5  # of the polynomial that takes luma to chroma in a tinted picture
TINTED = 0.7  # levels, root mean square; a tint misses less than this, or ...
TINTED_SHARE = 0.25  # ... than this share of the chroma; 10 % of 600 coloured photos do so too
# Levels; a gray copy of a tinted picture keeps the mean luma of each fifth of its tones: 394 of 400
# copies of photos do. Filters that tint gray pictures move one of them by more, nearly always.
KEPT_LUMA, FIFTHS = 1.0, 5
CUT_OFF = 245  # levels; a channel that is brighter nearby may be cut off
LEAST_WHOLE = 0.15  # share of the area that is not cut off, from which this area decides
COLOUR_SIDE = 32  # pixels; colours are compared as a whole on pictures of this size
CHROMA_SHIFT = 3.0  # levels; copies shift the mean of Cb and Cr by up to 2.5
CHROMA_CHANGE = 10.0  # levels; root mean square, copies change up to 6.3
CHROMA_FACTORS = (0.5, 1.15)  # how much weaker or stronger copies make colours
CHROMA_POWER = 30.0  # mean square of Cb and Cr from which the factor is known
HUE_CHANGE = 1.0  # levels, root mean square; hardly any copy shows a turn of all hues by more ...
HUE_SHARE = 0.5  # ... and that explains more than this share of the squared change


def reduced(pixels: Pixels, side: int) -> Pixels:
    """Reduce a picture to at most this side."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def is_gray_pair(first: Pixels, second: Pixels) -> tuple[bool, bool]:
    """Return whether only one of two pictures has colour, and whether that may hide a change.

    It may if hardly any of the picture with colour has some, or one object alone, and that is more
    than noise; or if its colour depends only on the luma, which is not that of the gray picture:
    then it was added, as by a sepia filter.
    """
    shares = [coloured_share(each, NEUTRAL) for each in (first, second)]
    if first.ndim == second.ndim == 3 and (min(shares) > 0 or max(shares) == 0):
        return False, False
    coloured = int(shares[0] < shares[1])
    if shares[coloured] == 0:
        return True, False
    pair = (first, second) if coloured == 0 else (second, first)
    chroma = _colourfulness(pair[0])
    if shares[coloured] < FEW_COLOURED or _extent(chroma > NEUTRAL) < ONE_OBJECT:
        return True, bool(chroma.max() > NOISE_COLOUR)
    return True, _is_tinted(pair[0]) and not _keeps_luma(*pair)


def _extent(marks: npt.NDArray[np.bool_]) -> float:
    """Return the share of a picture in the box around nearly all marks."""
    low, high = (np.quantile(np.nonzero(marks), share, axis=1) for share in NEARLY_ALL_MARKS)
    return float(np.prod(high - low + 1)) / marks.size


def _is_tinted(pixels: Pixels) -> bool:
    """Return whether the chroma of a reduced picture is nearly a polynomial of its luma.

    Where a channel is cut off, a filter changes the chroma in another way.
    """
    height, width = (min(COLOUR_SIDE, side) for side in pixels.shape[:2])
    small = luma_and_chroma(resized(pixels, height, width)).reshape(-1, 3).astype(np.float64)
    brightest = largest_near(pixels.max(axis=2).astype(np.float32), 3)
    whole = resized(brightest.astype(np.uint8), height, width).ravel() < CUT_OFF
    small = small[whole] if np.mean(whole) >= LEAST_WHOLE else small
    design, chroma = np.vander(small[:, 0] / 255, TINT_TERMS), small[:, 1:] - 128
    fitted = design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    missed, explained = (float(np.sqrt(np.mean(each**2))) for each in (chroma - fitted, fitted))
    return missed < max(TINTED, TINTED_SHARE * explained)


def _keeps_luma(coloured: Pixels, gray: Pixels) -> bool:
    """Return whether a reduced gray picture has the luma of a coloured one, dark or bright."""
    before = luma_of(coloured).ravel()
    after = luma_of(gray).ravel()[np.argsort(before, kind="stable")].astype(np.float64)
    shifts = after - np.sort(before)
    parts = np.array_split(shifts, min(FIFTHS, len(shifts)))
    return all(abs(float(part.mean())) < KEPT_LUMA for part in parts)


def _colourfulness(pixels: Pixels) -> Pixels:
    """Return the largest less the smallest channel of each pixel; 0 for gray pictures."""
    if pixels.ndim == 2:
        return np.zeros_like(pixels)
    red, green, blue = (channel_of(pixels, i) for i in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    return high - np.minimum(np.minimum(red, green), blue)


def colours_differ_everywhere(first: Pixels, second: Pixels) -> bool:
    """Return whether Cr and Cb, reduced, are shifted, turned, weaker or stronger.

    The shape of either is (2, height, width).
    """
    small = [reduced(plane, COLOUR_SIDE).ravel() for each in (first, second) for plane in each]
    chroma = np.stack(small, axis=1).astype(np.float64) - 128  # whole numbers: sums are exact
    means, products = chroma.mean(axis=0), (chroma.T @ chroma / len(chroma)).tolist()
    shift = float(np.abs(means[2:] - means[:2]).max())
    power, other_power = (products[i][i] + products[i + 1][i + 1] for i in (0, 2))
    along, across = products[0][2] + products[1][3], products[0][3] - products[1][2]
    change = power + other_power - 2 * along
    factor, (low, high) = along / max(2.0, power), CHROMA_FACTORS
    return (
        shift > CHROMA_SHIFT
        or change > CHROMA_CHANGE**2
        or (power > 2 * CHROMA_POWER and not low <= factor <= high)
        or _hues_are_turned(along, across, change)
    )


def _hues_are_turned(along: float, across: float, change: float) -> bool:
    """Return whether one turn of all hues explains most of the change of two chroma pictures.

    `along` and `across` are the means of the inner and the outer products of their colours.
    """
    explained = 2 * (math.hypot(along, across) - along)  # by the turn that comes nearest
    return explained > max(HUE_CHANGE**2, HUE_SHARE * change)
