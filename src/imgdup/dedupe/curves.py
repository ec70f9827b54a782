"""Fit tone curves to what each level of one picture has become in another.

A tone curve is a level for each of the 256 levels. It is fitted to the mean level that the pixels
of each level of one picture have in the other.
"""

import math

import numpy as np
import numpy.typing as npt

from imgdup.native import curves as native
from imgdup.native.levels import (
    CURVE_REACH,
    CurveRules,
    Matched,
    levels_off,
    missed,
)

Curve = npt.NDArray[np.float64]  # a level for each of 256
CURVE_SIGMA = 6.0  # gray levels
# How much a level counts by its distance from another one.
NEARBY = np.array([math.exp(-0.5 * (i / CURVE_SIGMA) ** 2) for i in range(CURVE_REACH + 1)])
CURVE_ROUNDS = 5
CLIPPED_AT = 6  # levels from black or white
MOST_CLIPPED = 0.1  # share of the pixels that are not clipped, below which all are fitted
FAR_OFF = 3.0  # levels
RULES = CurveRules(
    clipped_at=CLIPPED_AT, most_clipped=MOST_CLIPPED, far_off=FAR_OFF, rounds=CURVE_ROUNDS
)
FEWEST_LEVELS = 8  # that are not cut off, to fit a plain curve
FEWEST_PIXELS = 4  # of a level that counts
MOST_COUNTED = 0.02  # of all pixels; more of one level do not count more
SINGLE = ("factor", "offset", "gamma", "contrast about 128", "contrast about the mean")
# How much a curve follows each level freely: near black and white only.
NEAR_END = np.clip(2 - np.minimum(np.arange(256), 255 - np.arange(256)) / 12, 0, 1)


class Levels:
    """How often each level occurs in one reduced picture, and what it has become in the other."""

    def __init__(self, found: Matched) -> None:
        self.counts, self.means, self.total, self.spread = found

    def error(self, curve: Curve, slack: float = 0.0) -> float:
        """Return the mean squared difference that a curve leaves, beyond some levels."""
        return self.spread + missed(self.counts, self.means, curve, slack) / self.total

    def counted(self) -> Curve:
        """Return how much each level counts where all tones are to count, not the common ones."""
        some = np.where(self.counts >= FEWEST_PIXELS, self.counts, 0)
        return np.minimum(some, MOST_COUNTED * self.total)

    def misfit(self, curve: Curve) -> float:
        """Return by how much a curve misses the means of all tones, root mean square."""
        weights = self.counted()
        missed = np.dot(weights, (self.means - curve) ** 2) / max(1.0, weights.sum())
        return float(np.sqrt(missed))

    def off(self, curve: Curve) -> Curve:
        """Return by how much the levels near each one lie off a curve."""
        return levels_off(self.counts, self.means, curve, NEARBY, 1e-9 * self.total)


def smooth_curve(levels: Levels) -> Curve:
    """Fit a smooth monotone curve.

    Few parameters describe it, so that it cannot follow the tones of one object. Only near black
    and white, where clipping bends it, it follows the tones freely.
    """
    near = NEARBY, 1e-9 * levels.total
    return native.smooth_curve(levels.counts, levels.means, RULES, near, NEAR_END)


def plain_curves(levels: Levels) -> list[Curve]:
    """Fit what programs do to all levels: a factor and an offset, or a gamma, cut off at 0 and 255.

    An average of reduced pictures over levels that are cut off says little, so these do not count.
    """
    return list(native.plain_curves(levels.counts, levels.means, RULES, FEWEST_LEVELS))


def single_curves(levels: Levels, mean: float) -> dict[str, Curve]:
    """Fit what programs do to all levels with one number, cut off at 0 and 255.

    That is a factor, an offset, a gamma, or contrast: a factor for the distance from 128 or from
    the mean luma of the picture.
    """
    found = native.single_curves(levels.counted(), levels.means, mean, RULES)
    return dict(zip(SINGLE, found, strict=True))


def near_identity(levels: Levels, shift: Curve) -> Curve:
    """Return the curve that moves levels by as much as noise explains."""
    identity = np.arange(256.0)
    moves = np.clip(levels.off(identity), -shift, shift)
    return np.asarray(np.clip(identity + moves, 0, 255))
