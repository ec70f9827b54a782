"""Decide from the pixels of two copies which of them was made from the other.

Whoever saves a resized copy rounds it: to whole levels, and in a JPEG file to multiples of the
steps of its quantization. So a copy differs from its resized original by errors that are spread
evenly over each step. The other way round the errors have other sizes, or another spread: the
original's own rounding is in the copy as well.

The same holds for a copy of the same size that was compressed again.

How the copy was resized is not known. The results of several usual methods are mixed with the
weights that fit best, so that a little blur or sharpening and another brightness do not matter.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.resampling import Line, resampled
from imgdup.images.detail import BLOCK, block_cosines
from imgdup.images.gray import Pixels
from imgdup.images.headers import LOSSLESS_STEPS, Steps
from imgdup.images.spectra import ENLARGED, REDUCED
from imgdup.native.blocks import clipped_blocks, mixture_errors, varied_blocks
from imgdup.native.difference import blurred
from imgdup.native.levels import luma

MIDDLE = 320  # pixels a side, of the middle of a picture that is looked at
MIN_FACTOR, MAX_FACTOR = 1.05, 4.0  # between the sides of pictures that are compared
_WINDOW = 128  # pixels a side, at most, of the part whose errors are looked at
_MARGIN = 8  # pixels around it
_REACH = 3  # pixels of the smaller picture, the most that a method looks at on each side

_MIN_BLOCKS, _MIN_ERRORS, _MIN_OF_FREQUENCY = 8, 50, 8
_MIN_SPREAD = 0.5  # levels, the standard deviation in a block that is not flat
_BLURS = (0.6, 1.0, 2.0)  # pixels; a copy may be a little blurred, or sharpened
_DARK, _BRIGHT = 3, 252  # levels beyond may have been cut off
_MIN_STEP = 3  # errors of smaller ones are like those of rounding to whole levels
_NOT_ZERO = 0.75  # steps of a coefficient that was not rounded to zero
_JUDGED = 5  # of the 8 frequencies of a block in each direction, of a smaller picture
_OF_BAND = 0.6  # of the frequencies of the smaller picture, in a larger one

# What else changes levels, as standard deviations: rounding before and after compression; rounding
# between the two passes of a resize.
_NOISE, _LOSSLESS_NOISE = 0.5, 0.2
_LEAST_DENSITY = 1e-4  # of an error that is too large
_RIDGE = 1e-6  # of each product, so that equal columns do no harm
_EXACT = 0.01  # levels squared; rounding alone leaves 1 / 12

# By how much more likely the errors of a copy are, on average, than those the other way round; and
# the least of what is called a copy. Chosen on 20 to 60 photos, sharp and soft ones, of one sample.
_MIN_LEAD, _LEAST = 0.03, -0.1
# The same of copies of one size, whose errors are less even: compression of the copy meets that of
# the original. Chosen on 25 clean photos and copies of 7 qualities.
_MIN_LEAD_OF_EQUAL, _LEAST_OF_EQUAL = 0.2, -0.7
# A copy that was compressed by smaller steps lies near its original: the errors of the original by
# its larger steps are smaller than those of rounding, and than the errors of the copy by its own,
# which are about those of rounding. Mean squared errors, as a share of what rounding leaves.
_MOST_OF_COARSER, _MOST_OF_FINER, _TIMES_OF_COARSER = 0.9, 1.6, 1.45
# Where the steps of only one file are known: from this likeness on, it is the copy. It is the
# original if the other picture keeps to its steps (mean squared error, as a share of what rounding
# leaves), or if the errors are unlike those of rounding, and so small (levels) that nothing but
# compression changed the other one. Of 1,000 copies that were made from AVIF, HEIC and WebP files,
# none has less than 0.99 of the share, or less than -0.47 of the likeness.
_EVEN, _ON_STEPS, _UNEVEN, _SLIGHT = -0.05, 0.8, -0.6, 5.0
_FAR_OFF = 4.0  # of the share; larger errors count as this
FIRST, SECOND = "first", "second"

Plane = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Middle(NamedTuple):
    """The middle of a picture at full size; how large that is, and how its file rounds levels."""

    pixels: Pixels
    top: int
    left: int
    height: int
    width: int
    steps: Steps


class _Fit(NamedTuple):
    """How a picture fits what it may have been made from."""

    likeness: float  # of its errors to those of rounding
    share: float  # their mean square, of that of rounding
    spread: float  # their root mean square, in levels


def middle(pixels: Pixels, steps: Steps) -> Middle:
    """Cut the middle out of a picture at full size; it starts with a block of JPEG."""
    height, width = pixels.shape[:2]
    top, left = (max(0, side - MIDDLE) // 2 // BLOCK * BLOCK for side in (height, width))
    cut = pixels[top : top + MIDDLE, left : left + MIDDLE]
    return Middle(cut, top, left, height, width, steps)


def change_of_size(first: Middle, second: Middle) -> str | None:
    """Decide which of two pictures that show the same was made from the other.

    Returns ``enlarged`` if it is the larger one, ``reduced`` if it is the smaller one; None if the
    pixels do not show it, or the sizes are the same or too different.
    """
    larger, smaller = sorted((first, second), key=lambda each: -each.height * each.width)
    factor = math.sqrt(larger.height * larger.width / (smaller.height * smaller.width))
    shrinks = larger.height < smaller.height or larger.width < smaller.width
    if shrinks or not MIN_FACTOR <= factor <= MAX_FACTOR:
        return None
    of_larger = _likeness(larger, smaller, factor)
    if of_larger == math.inf:  # then the smaller one may be exact, too: pixels were only repeated
        return ENLARGED
    of_smaller = _likeness(smaller, larger, factor)
    if of_larger is None or of_smaller is None or max(of_larger, of_smaller) < _LEAST:
        return None
    if abs(of_larger - of_smaller) < _MIN_LEAD:
        return None
    return ENLARGED if of_larger > of_smaller else REDUCED


def copy_of_equal_size(first: Middle, second: Middle) -> str | None:
    """Decide which of two pictures of one size was made from the other: ``first`` or ``second``.

    None if the pixels do not show it, the sizes differ, or a file is lossless: a picture may have
    been saved in both ways at once.
    """
    if (first.height, first.width) != (second.height, second.width):
        return None
    if LOSSLESS_STEPS in (first.steps, second.steps):
        return None
    window = _window(first.pixels.shape)
    cuts = first.pixels[window], second.pixels[window]
    lumas = _luma(cuts[0]), _luma(cuts[1])
    one, other = _fit(first.steps, cuts[0], *lumas), _fit(second.steps, cuts[1], *lumas[::-1])
    if one and other:
        if _is_finer_copy(first, one, second, other):
            return FIRST
        if _is_finer_copy(second, other, first, one):
            return SECOND
        lead = one.likeness - other.likeness
        likeliest = max(one.likeness, other.likeness)
        if likeliest < _LEAST_OF_EQUAL or abs(lead) < _MIN_LEAD_OF_EQUAL:
            return None
        return FIRST if lead > 0 else SECOND
    if one and not second.steps:
        return _copy_by_one(one, FIRST, SECOND)
    if other and not first.steps:
        return _copy_by_one(other, SECOND, FIRST)
    return None


def _is_finer_copy(copy: Middle, fit: _Fit, original: Middle, other: _Fit) -> bool:
    """Return whether a picture was made from another one by compression of smaller steps."""
    is_finer = sum(copy.steps) < sum(original.steps)
    is_copy = _TIMES_OF_COARSER * other.share <= fit.share <= _MOST_OF_FINER
    return is_finer and is_copy and other.share <= _MOST_OF_COARSER


def _copy_by_one(fit: _Fit, known: str, unknown: str) -> str | None:
    """Decide by how the picture whose steps are known fits the one whose steps are not."""
    if fit.likeness >= _EVEN:
        return known
    is_slight = fit.likeness <= _UNEVEN and fit.spread <= _SLIGHT
    return unknown if is_slight or fit.share < _ON_STEPS else None


def _window(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the part of a middle that is looked at, whole blocks."""
    sides = [min(side // BLOCK * BLOCK, _WINDOW) for side in shape[:2]]
    starts = [
        (whole - side) // 2 // BLOCK * BLOCK for whole, side in zip(shape[:2], sides, strict=True)
    ]
    return tuple(slice(a, a + n) for a, n in zip(starts, sides, strict=True))


def _fit(steps: Steps, cut: Pixels, goal: Plane, known: Plane) -> _Fit | None:
    """Return how a part of a picture fits the same of another one; None as `_likeness`.

    `goal` is its luma, `known` that of the other one.
    """
    judged = _judged_blocks(steps, cut, goal)
    if judged is None:
        return None
    known = known - known.mean()
    shown, errors = mixture_errors(goal, [known, *_blurred(known)], judged, _RIDGE)
    return _fit_of_errors(steps, errors, shown, _JUDGED)


def _likeness(target: Middle, reference: Middle, factor: float) -> float | None:
    """Return the mean logarithm of how much likelier errors are those of rounding than normal ones.

    None if there is too little to see, as in flat pictures, or if the steps are not known.
    """
    lines = _lines(target, reference)
    if lines is None:
        return None
    rows, columns = lines
    cut = _part(target, (rows.first, rows.last), (columns.first, columns.last))
    channel = _channel(target)
    goal = channel(cut)
    judged = _judged_blocks(target.steps, cut, goal)
    if judged is None:
        return None
    known = _part(reference, (rows.start, rows.stop), (columns.start, columns.stop))
    shown, errors = mixture_errors(goal, _resizes(channel(known), lines), judged, _RIDGE)
    is_larger = target.height * target.width > reference.height * reference.width
    n_judged = max(2, math.ceil(BLOCK / factor * _OF_BAND)) if is_larger else _JUDGED
    fit = _fit_of_errors(target.steps, errors, shown, n_judged)
    return None if fit is None else fit.likeness


def _judged_blocks(steps: Steps, cut: Pixels, goal: Plane) -> Flags | None:
    """Mark the blocks of a part of a picture, of which `goal` is one channel, that show something.

    None if there are too few, or if the steps of the picture are not known.
    """
    if not steps or min(cut.shape[:2]) < BLOCK:
        return None
    judged = varied_blocks(goal, _MIN_SPREAD**2, clipped_blocks(cut, _DARK, _BRIGHT))
    return judged if np.count_nonzero(judged) >= _MIN_BLOCKS else None


def _channel(picture: Middle) -> Callable[[Pixels], Plane]:
    """Return what takes the channel whose errors are looked at from pixels."""
    return _green if picture.steps == LOSSLESS_STEPS else _luma


def _fit_of_errors(steps: Steps, errors: Plane, shown: Plane, n_judged: int) -> _Fit | None:
    """Return how errors fit the rounding of a file; None if there are too few."""
    mean_square = float(np.mean(errors**2))
    if steps != LOSSLESS_STEPS:
        return _fit_by_frequency(errors, shown, steps, n_judged)
    likeness = math.inf
    if mean_square >= _EXACT:
        spread = np.array([mean_square], np.float32)
        likeness = _mean_gain(errors, np.ones_like(spread), spread, _LOSSLESS_NOISE)
    return _Fit(likeness, 12 * mean_square, math.sqrt(mean_square))


def _lines(target: Middle, reference: Middle) -> tuple[Line, Line] | None:
    """Choose the rows and the columns that are compared; None if there are too few."""
    rows = _line(
        (target.top, len(target.pixels), target.height),
        (reference.top, len(reference.pixels), reference.height),
    )
    columns = _line(
        (target.left, target.pixels.shape[1], target.width),
        (reference.left, reference.pixels.shape[1], reference.width),
    )
    return None if rows is None or columns is None else (rows, columns)


def _line(target: tuple[int, int, int], reference: tuple[int, int, int]) -> Line | None:
    """Choose the pixels of a line that are compared, whole blocks, and those they depend on.

    Of each picture the first known pixel, how many are known, and the length of the line.
    """
    (start_out, n_known, n_out), (start_in, n_known_in, n_in) = target, reference
    scale = n_in / n_out
    reach = _REACH * max(scale, 1)
    room = min(n_known - 2 * _MARGIN, (n_known_in - 2 * reach) / scale - _MARGIN, _WINDOW)
    side = int(room) // BLOCK * BLOCK
    if side < BLOCK:
        return None
    first = start_out + (n_known - side) // 2 // BLOCK * BLOCK
    start = max(start_in, math.floor(first * scale - reach))
    stop = min(start_in + n_known_in, math.ceil((first + side) * scale + reach))
    return Line(n_in, start, stop, n_out, first, first + side)


def _part(picture: Middle, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
    """Cut some rows and columns of the whole picture out of its middle."""
    (top, bottom), (left, right) = rows, columns
    return picture.pixels[
        top - picture.top : bottom - picture.top, left - picture.left : right - picture.left
    ]


def _resizes(known: Plane, lines: tuple[Line, Line]) -> list[npt.NDArray[Any]]:
    """Return a part of a picture resized in several ways, some of it blurred."""
    rows, columns = lines
    found = resampled(known - known.mean(), rows, columns)
    return [*found, *_blurred(found[0])]


def _blurred(plane: npt.NDArray[Any]) -> list[Plane]:
    return [blurred(np.asarray(plane, np.float32), sigma) for sigma in _BLURS]


def _green(pixels: Pixels) -> Plane:
    return (pixels if pixels.ndim == 2 else pixels[..., 1]).astype(np.float32)


def _luma(pixels: Pixels) -> Plane:
    return pixels.astype(np.float32) if pixels.ndim == 2 else luma(pixels)


def _fit_by_frequency(errors: Plane, shown: Plane, steps: Steps, n_judged: int) -> _Fit | None:
    """Return how the coefficients of low frequencies that are not zero fit."""
    low = _low_frequencies(n_judged)
    transform = block_cosines()[low].T
    found, coefficients = (each @ transform for each in (errors, shown - 128))
    of_frequency = np.array(steps, np.float32)[low]
    judged = np.abs(coefficients) > _NOT_ZERO * of_frequency
    judged &= np.count_nonzero(judged, axis=0) >= _MIN_OF_FREQUENCY
    if np.count_nonzero(coarse := judged & (of_frequency >= _MIN_STEP)) >= _MIN_ERRORS:
        judged = coarse
    counts = np.count_nonzero(judged, axis=0)
    if np.sum(counts) < _MIN_ERRORS:
        return None
    spreads = np.sum(np.square(found) * judged, axis=0) / np.maximum(counts, 1) + 1e-6
    frequency = np.nonzero(judged)[1]
    steps_of, found_errors = of_frequency[frequency], found[judged]
    shares = np.minimum(_FAR_OFF, 12 * np.square(found_errors / steps_of))
    return _Fit(
        _mean_gain(found_errors, steps_of, spreads[frequency], _NOISE),
        float(np.mean(shares)),
        float(np.sqrt(np.mean(np.square(errors)))),
    )


@cache
def _low_frequencies(n_judged: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the lowest frequencies of a block in each direction."""
    number = np.arange(BLOCK * BLOCK)
    return np.flatnonzero(np.maximum(number // BLOCK, number % BLOCK) < n_judged)


def _mean_gain(errors: Plane, steps: Plane, spreads: Plane, noise: float) -> float:
    """Return the mean logarithm of how likely errors are by rounding, less that by their spread."""
    half = steps / 2
    above, below = (_normal((errors + end) / noise) for end in (half, -half))
    by_rounding = (above - below) / steps
    by_spread = -0.5 * (np.log(2 * np.pi * spreads) + np.square(errors) / spreads)
    return float(np.mean(np.log(by_rounding + _LEAST_DENSITY) - by_spread))


def _normal(values: npt.NDArray[Any]) -> Plane:
    """Return the normal distribution function, within 0.0003."""
    inner = values + 0.044715 * values * values * values
    return np.asarray(0.5 + 0.5 * np.tanh(math.sqrt(2 / math.pi) * inner), dtype=np.float32)
