"""Give two pictures of one size the same tones, as far as copying explains the difference.

Copies of a picture may be gray, or have another tone curve; other colours are no copy.
"""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.colours import colours_differ_everywhere, is_gray_pair, reduced
from imgdup.dedupe.curves import (
    CLIPPED_AT,
    Curve,
    Levels,
    near_identity,
    plain_curves,
    single_curves,
    smooth_curve,
)
from imgdup.images.gray import Pixels
from imgdup.images.opencv import luma_of, mapped
from imgdup.native.colours import Smooth, chroma, is_smooth
from imgdup.native.curves import curve_errors
from imgdup.native.levels import (
    end_steps,
    equally_matched,
    evenness,
    every,
    level_counts,
    matched_levels,
    nearer_counts,
)

Counts = npt.NDArray[np.int64]  # how often each of 256 levels occurs

IDENTITY = np.arange(256.0)  # the curve that changes nothing
CURVE_SIDE = 96  # pixels; the tone curve is fitted on a picture of this size
SAMPLED = 1 << 14  # pixels, about, on which curves are compared
CLEARLY_NEARER = 0.9  # of the mean squared difference that the first curve leaves
MOST_OFF = 400  # levels squared; pixels that differ by more say nothing about a curve
# The weight of a level by the range of its neighbours' levels. An average over tones that are
# clipped in one picture does not show where the curve leads.
EVENNESS = np.rint(1 + 63 / (1 + (np.arange(256) / 8) ** 2)).astype(np.uint8)
IDENTITY_FACTOR = 2.5  # a curve must lower the mean square by this factor to be used
UNMOVED = 2.5  # levels by which strong compression moves an area of one tone
MOST_MISSED = 0.5  # share of the variance; curves that miss more explain nothing
TEXTURED = 25.0  # variance from which a window is not smooth
SMOOTH_SHARE = 0.06  # of textured windows, below which a picture is smooth
SMOOTH = Smooth(side=8, textured=TEXTURED, share=SMOOTH_SHARE)
MOVED = 2  # levels by which a shirt of nearly the same colour differs
COUNTED_SHARE = 0.02  # of the area; a range of tones counts no more
END = 30  # levels from black or white
ROWS_APART = 4  # of those in which neighbours are compared
SHIFT_BY_NOISE = 1.5
FEW_MOVED = 0.002  # of the area; fewer do not matter
# Of 32: a curve that moves fewer tones may explain a changed object, above all if a part stays.
FEW_TONES, FEW_TONES_OF_PART = 13.0, 18.0
# If a part stays, more tones than that if no single number explains the curve: from this misfit on.
UNEXPLAINED = ((2.0, 20.0), (5.0, 24.0))
# But a curve that one number explains was applied to the whole picture if ... (see _is_explained).
FEWEST_TONES = 10.0
EXPLAINED, NEARLY_EXPLAINED = 0.8, 1.2  # levels, root mean square
NOT_BRIGHTER = 3.0  # the same; no factor and no offset explains the change of one object then
COMMON, MOST_OFF_COMMON = 0.02, 2.0  # share of the area; levels
FOLLOWED = (0.5, 3.0)  # levels by which a curve moves a background
FOLLOWED_AREA, FOLLOWED_SHARE = 0.07, (0.75, 1.3)  # its area, and the share of this that it moved
MUCH_MOVED = 6.0  # levels
AGREEING = 0.7  # share of the pixels that move much; clipped areas agree least
NEARLY_ALL_MOVED = 0.8  # of the area


class Tones(NamedTuple):
    """What was done to give two pictures the same tones."""

    is_mapped: bool  # whether a tone curve was applied
    # Whether the curve moves few tones, but is known exactly: then all the rest has to agree as if
    # none had been needed.
    is_exact: bool = False
    # Whether the curve may hide a real change; that takes a while, and is seldom asked for.
    may_hide_change: Callable[[], bool] = lambda: False


NO_CURVE = Tones(is_mapped=False)


class EqualColours:
    """Two pictures with the same tones, both RGB or both gray."""

    def __init__(self, first: Pixels, second: Pixels, tones: Tones, is_doubtful: bool) -> None:
        self.first, self.second = first, second
        self.is_mapped, self.is_exact = tones.is_mapped, tones.is_exact
        self._tones, self._is_doubtful = tones, is_doubtful

    @cached_property
    def chroma(self) -> tuple[Pixels, Pixels]:
        """Cr and Cb of both pictures, which have colour, shape (2, height, width)."""
        return chroma(self.first), chroma(self.second)

    @cached_property
    def may_hide_change(self) -> bool:
        """Whether the tone curve or the colours may hide a real change."""
        if self._is_doubtful or self._tones.may_hide_change():
            return True
        return self.first.ndim == 3 and colours_differ_everywhere(*self.chroma)


def equal_colours(first: Pixels, second: Pixels) -> EqualColours:
    """Turn two pictures gray if only one has colour, and give them equal tones."""
    a, b = reduced(first, CURVE_SIDE), reduced(second, CURVE_SIDE)
    is_gray, is_doubtful = is_gray_pair(a, b)
    if is_gray:
        first, second, a, b = (luma_of(each) for each in (first, second, a, b))
    tones = NO_CURVE
    if not (is_smooth(first, SMOOTH) or is_smooth(second, SMOOTH)):
        first, second, tones = _with_equal_tones(first, second, a, b)
    return EqualColours(first, second, tones, is_doubtful)


def _with_equal_tones(
    first: Pixels, second: Pixels, a: Pixels, b: Pixels
) -> tuple[Pixels, Pixels, Tones]:
    """Apply to one picture the monotone curve that takes it nearest to the other.

    It is fitted to the reduced pictures a and b, and may hide a change if it moves few tones.
    """
    ways = [Levels(each) for each in matched_levels(a, b, evenness(a, b, EVENNESS))]
    if _need_no_curve(ways):
        return first, second, NO_CURVE
    curves = [smooth_curve(each) for each in ways]
    errors = [each.error(curve) for each, curve in zip(ways, curves, strict=True)]
    counts = level_counts(a), level_counts(b)
    missed = [error / _spread(each) for error, each in zip(errors, counts[::-1], strict=True)]
    way = int(missed[1] < missed[0])
    enough = IDENTITY_FACTOR * min(errors)
    is_needed = _movement(counts[way], curves[way]) > 1
    is_needed &= ways[way].error(IDENTITY, UNMOVED) > enough
    if not is_needed or missed[way] > MOST_MISSED:
        return first, second, NO_CURVE
    source, target = (_sampled(each) for each in ((first, second), (second, first))[way])
    levels = Levels(equally_matched(source, target))
    single = single_curves(levels, float(luma_of((a, b)[way]).mean()))
    candidates = [curves[way], *plain_curves(ways[way]), *single.values()]
    curve = _nearest_curve(candidates, source, target)
    shift = _clipping_shift(first, second)
    unmoved = near_identity(ways[way], shift)
    if ways[way].error(unmoved) <= enough + 1:
        curve = unmoved
    moved = np.abs(curve - np.arange(256)) > MOVED + shift
    moved &= ~_stays(ways[way])
    tones, share = _moved_tones(counts[way], moved)
    is_exact = FEWEST_TONES <= tones < FEW_TONES_OF_PART and _is_explained(levels, single)

    def may_hide_change() -> bool:
        misfit = min(map(levels.misfit, single.values()))
        is_object = not is_exact and _may_be_one_object(tones, share, misfit)
        return is_object or _agreeing_share(source, target, curve) < AGREEING

    found, table = Tones(True, is_exact, may_hide_change), np.rint(curve).astype(np.uint8)
    if way == 0:
        return mapped(first, table), second, found
    return first, mapped(second, table), found


def _need_no_curve(ways: list[Levels]) -> bool:
    """Return whether no curve can come nearer by enough to be used."""
    enough = IDENTITY_FACTOR * min(each.spread for each in ways)  # no curve leaves less
    return all(each.error(IDENTITY, UNMOVED) <= enough for each in ways)


def _sampled(pixels: Pixels) -> Pixels:
    """Take some pixels of a picture; averages would mix levels that are cut off with others."""
    apart = max(1, round((pixels.shape[0] * pixels.shape[1] / SAMPLED) ** 0.5))
    return every(pixels, apart)


def _nearest_curve(curves: list[Curve], source: Pixels, target: Pixels) -> Curve:
    """Return the curve that takes pixels nearest; the first if no other is clearly nearer."""
    missed = curve_errors(source, target, curves, MOST_OFF)
    nearest = int(np.argmin(missed))
    return curves[nearest if missed[nearest] < CLEARLY_NEARER * missed[0] else 0]


def _stays(levels: Levels) -> npt.NDArray[np.bool_]:
    """Return which levels are those of an unchanged black or white background."""
    level = np.arange(256)
    is_end = np.minimum(level, 255 - level) < CLIPPED_AT
    return np.asarray(is_end & (np.abs(levels.means - level) <= UNMOVED))


def _spread(counts: Counts) -> float:
    """Return the variance of all levels, at least 1, from how often each of them occurs."""
    level = np.arange(256)
    n, total, squares = (int(np.dot(counts, level**power)) for power in range(3))
    return max(1.0, (squares * n - total * total) / (n * n))


def _movement(counts: Counts, curve: Curve) -> float:
    """Return the mean square of what a curve moves the levels of a reduced picture."""
    moves = np.maximum(np.abs(curve - np.arange(256)) - UNMOVED, 0)
    return float(np.dot(counts, moves**2)) / int(counts.sum())


def _may_be_one_object(tones: float, share: float, misfit: float) -> bool:
    """Return whether the tones that moved may be those of one object, of this share of the pixels.

    `misfit` is by how much any single number misses what became of all tones.
    """
    if share < FEW_MOVED:
        return False
    if share > NEARLY_ALL_MOVED:
        return tones < FEW_TONES
    return tones < FEW_TONES_OF_PART or any(
        misfit > least and tones < most for least, most in UNEXPLAINED
    )


def _moved_tones(counts: Counts, moved: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return how many ranges of 8 levels the moved ones fill, and the share of their pixels.

    The number is the exponential of the entropy of their shares: one background counts little.
    """
    shares = np.where(moved, counts, 0) / counts.sum()
    moved_share = float(shares.sum())
    shares = np.minimum(shares.reshape(32, 8).sum(axis=1), COUNTED_SHARE)
    shares = shares[shares > 0] / max(1e-9, shares.sum())
    return float(np.exp(-np.sum(shares * np.log(shares)))), moved_share


def _is_explained(levels: Levels, curves: dict[str, Curve]) -> bool:
    """Return whether one number explains the curve, and no object of another tone has this curve.

    Another tone of an object multiplies its levels, and its background stays.
    """
    is_common = levels.counts >= COMMON * levels.total
    is_brighter = min(levels.misfit(curves[each]) for each in ("factor", "offset")) <= NOT_BRIGHTER
    for name, curve in curves.items():
        off = np.abs(levels.means - curve)[is_common]
        misfit = levels.misfit(curve)
        if misfit > NEARLY_EXPLAINED or np.any(off > MOST_OFF_COMMON):
            continue
        if not is_brighter and (misfit <= EXPLAINED or name in ("gamma", "contrast about 128")):
            return True
        if misfit <= EXPLAINED and (_moves_much(levels, curve) or _is_followed(levels, curve)):
            return True
    return False


def _moves_much(levels: Levels, curve: Curve) -> bool:
    """Return whether a curve moves nearly all pixels much."""
    is_moved = np.abs(curve - np.arange(256)) > MUCH_MOVED
    return float(levels.counts[is_moved].sum()) > NEARLY_ALL_MOVED * levels.total


def _is_followed(levels: Levels, curve: Curve) -> bool:
    """Return whether levels that a curve moves by little did move like this, over some area."""
    expected = curve - np.arange(256)
    counts = np.where((np.abs(expected) >= FOLLOWED[0]) & (np.abs(expected) <= FOLLOWED[1]), 1, 0)
    counts = counts * levels.counts
    if counts.sum() < FOLLOWED_AREA * levels.total:
        return False
    actual = levels.means - np.arange(256)
    share = np.dot(counts, actual * expected) / np.dot(counts, expected * expected)
    return bool(FOLLOWED_SHARE[0] <= share <= FOLLOWED_SHARE[1])


def _agreeing_share(source: Pixels, target: Pixels, curve: Curve) -> float:
    """Return which share of the pixels that a curve moves much it takes nearer to the target."""
    is_moved = np.abs(curve - np.arange(256)) > MUCH_MOVED
    n_moved, n_nearer = nearer_counts(source, target, curve, is_moved)
    return n_nearer / n_moved if n_moved >= max(1, FEW_MOVED * source.size) else 1.0


def _clipping_shift(first: Pixels, second: Pixels) -> Curve:
    """Return by how much noise may move each level, because it is cut off at black and white."""
    shift = np.zeros(256)
    for pixels in (first, second):
        dark, bright = end_steps(pixels, ROWS_APART, END)
        for place, steps in ((np.s_[:END], dark), (np.s_[-END:], bright)):
            if steps.any():
                shift[place] = np.maximum(shift[place], SHIFT_BY_NOISE * _median(steps))
    return shift


def _median(counts: npt.NDArray[np.int64]) -> float:
    """Return the median of numbers, from how often each of them occurs."""
    total = int(counts.sum())
    low, high = np.searchsorted(np.cumsum(counts), [(total - 1) // 2, total // 2], "right")
    return float(low + high) / 2
