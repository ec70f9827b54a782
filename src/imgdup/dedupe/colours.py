"""Tell whether two pictures of one size differ in their colours, or only one of them has any.

A gray copy has lost its colours; a filter that tints a gray picture, or turns hues, makes no copy.
"""

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.images.opencv import largest_near, luma_and_chroma, luma_of, resized

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
    chroma = [_colourfulness(each) for each in (first, second)]
    shares = [float(np.mean(each > NEUTRAL)) for each in chroma]
    if first.ndim == second.ndim == 3 and (min(shares) > 0 or max(shares) == 0):
        return False, False
    coloured = int(shares[0] < shares[1])
    if shares[coloured] == 0:
        return True, False
    if shares[coloured] < FEW_COLOURED or _extent(chroma[coloured] > NEUTRAL) < ONE_OBJECT:
        return True, bool(chroma[coloured].max() > NOISE_COLOUR)
    pair = (first, second) if coloured == 0 else (second, first)
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


def _colourfulness(pixels: Pixels) -> npt.NDArray[np.int16]:
    """Return the largest less the smallest channel of each pixel; 0 for gray pictures."""
    if pixels.ndim == 2:
        return np.zeros(pixels.shape, np.int16)
    red, green, blue = (pixels[:, :, i].astype(np.int16) for i in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    return high - np.minimum(np.minimum(red, green), blue)


def colours_differ_everywhere(first: Pixels, second: Pixels) -> bool:
    """Return whether chroma is shifted, turned, weaker or stronger in the reduced pictures."""
    a, b = (
        reduced(each, COLOUR_SIDE)[:, :, 1:].astype(np.float64) - 128 for each in (first, second)
    )
    shift = float(np.abs((b - a).mean(axis=(0, 1))).max())
    power = float(np.mean(a * a))
    factor = float(np.mean(a * b)) / max(1.0, power)
    off = float(np.sqrt(2 * np.mean((b - a) ** 2)))
    low, high = CHROMA_FACTORS
    return (
        shift > CHROMA_SHIFT
        or off > CHROMA_CHANGE
        or (power > CHROMA_POWER and not low <= factor <= high)
        or _hues_are_turned(a, b)
    )


def _hues_are_turned(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    """Return whether one turn of all hues explains most of the change of two chroma pictures.

    Compression, noise and resampling move colours in all directions, and a tone curve moves them
    towards gray or away from it.
    """
    first, second = (each[..., 0] + 1j * each[..., 1] for each in (a, b))
    product = complex(np.mean(first.conj() * second))
    explained = 2 * (abs(product) - product.real)  # by the turn that comes nearest
    change = float(np.mean(np.abs(second - first) ** 2))
    return explained > max(HUE_CHANGE**2, HUE_SHARE * change)
