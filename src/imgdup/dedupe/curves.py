"""Fit tone curves to what each level of one picture has become in another.

A tone curve is a level for each of the 256 levels. It is fitted to the mean level that the pixels
of each level of one picture have in the other.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.native.levels import (
    CURVE_REACH,
    CurveRules,
    ascending,
    levels_off,
    matched_levels,
    missed,
    stiff_curve,
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
# How much a curve follows each level freely: near black and white only.
NEAR_END = np.clip(2 - np.minimum(np.arange(256), 255 - np.arange(256)) / 12, 0, 1)


class Levels:
    """How often each level occurs in one reduced picture, and what it has become in the other."""

    def __init__(self, a: Pixels, b: Pixels, even: Pixels) -> None:
        self.counts, self.means, self.total, self.spread = matched_levels(a, b, even)

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
    stiff = stiff_curve(levels.counts, levels.means, RULES)
    free = stiff + NEAR_END * levels.off(stiff)
    return np.asarray(np.clip(ascending(free, levels.counts + 1e-9), 0, 255))


def plain_curves(levels: Levels) -> list[Curve]:
    """Fit what programs do to all levels: a factor and an offset, or a gamma, cut off at 0 and 255.

    An average of reduced pictures over levels that are cut off says little, so these do not count.
    """
    x, y = np.arange(256.0), levels.means
    weights = levels.counts * _is_inside(y)
    if np.count_nonzero(weights) < FEWEST_LEVELS:
        return []
    logs, goals = np.log(np.maximum(x, 1) / 255), np.log(np.maximum(y, 1) / 255)
    slope, offset, gamma = 1.0, 0.0, 1.0
    close: tuple[Curve, ...] = (weights, weights)
    for _ in range(CURVE_ROUNDS):
        mean_x, mean_y = (float(np.average(each, weights=close[0])) for each in (x, y))
        spread = float(np.average((x - mean_x) ** 2, weights=close[0]))
        slope = float(np.average((x - mean_x) * (y - mean_y), weights=close[0])) / max(1.0, spread)
        offset = mean_y - slope * mean_x
        gamma = float(np.sum(close[1] * logs * goals) / np.sum(close[1] * logs * logs))
        plain = slope * x + offset, 255 * (x / 255) ** max(0.1, gamma)
        close = tuple(weights / (1 + ((y - each) / FAR_OFF) ** 2) for each in plain)
    return [np.clip(each, 0, 255) for each in plain]


def single_curves(levels: Levels, mean: float) -> dict[str, Curve]:
    """Fit what programs do to all levels with one number, cut off at 0 and 255.

    That is a factor, an offset, a gamma, or contrast: a factor for the distance from 128 or from
    the mean luma of the picture.
    """
    x, y = np.arange(256.0), levels.means
    weights = levels.counted() * _is_inside(y)
    logs, goals = np.log(np.maximum(x, 1) / 255), np.log(np.maximum(y, 1) / 255)

    def fitted(basis: Curve, goal: Curve, as_levels: Callable[[float], Curve]) -> Curve:
        close = weights
        for _ in range(CURVE_ROUNDS):
            number = float(np.sum(close * basis * goal) / max(1e-9, np.sum(close * basis * basis)))
            curve = as_levels(number)
            close = weights / (1 + ((y - curve) / FAR_OFF) ** 2)
        return np.clip(curve, 0, 255)

    def contrast(pivot: float) -> Curve:
        return fitted(x - pivot, y - pivot, lambda factor: pivot + factor * (x - pivot))

    return {
        "factor": contrast(0),
        "offset": fitted(np.ones(256), y - x, lambda offset: x + offset),
        "gamma": fitted(logs, goals, lambda gamma: 255 * (x / 255) ** max(0.1, gamma)),
        "contrast about 128": contrast(128),
        "contrast about the mean": contrast(mean),
    }


def _is_inside(means: Curve) -> npt.NDArray[np.bool_]:
    """Return which levels are far enough from black and white in both pictures."""
    level = np.arange(256)
    nearest = np.minimum(np.minimum(level, 255 - level), np.minimum(means, 255 - means))
    return np.asarray(nearest > CLIPPED_AT)


def near_identity(levels: Levels, shift: Curve) -> Curve:
    """Return the curve that moves levels by as much as noise explains."""
    identity = np.arange(256.0)
    moves = np.clip(levels.off(identity), -shift, shift)
    return np.asarray(np.clip(identity + moves, 0, 255))
