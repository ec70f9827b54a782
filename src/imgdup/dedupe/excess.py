"""Find the windows whose differences exceed what is usual for windows of similar texture.

Squared differences go in; an excess over what copying explains is raised to those beyond it.
"""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.opencv import Plane, largest_near
from imgdup.native.difference import raise_beyond

NEAR = 5  # blocks; the texture of a window is the largest within this distance
FAINT_SHARE = 0.12  # of the variance of the texture nearby; less is left by a sharpened edge
NEARLY_ALL = 0.999  # quantile
APART = 10  # blocks; other windows lie farther than this from the one that exceeds them most
LEAST_RATIO = 0.5  # what nearly all windows show at least, of what is usual
FEW = 100  # other windows; fewer do not tell what is usual
USUAL = 0.75  # quantile of the remainders that counts as usual
SAMPLES = 3000  # windows from which the usual remainders are taken
BARE = 1.0  # variance of windows that say nothing about noise
MANY_BARE = 0.05  # use them too if fewer windows than this share have texture
LEAST_NOISE = 3.0  # mean square that counts as usual at least, gray levels squared
LEAST_SHARE = 0.01  # of the variance that counts as usual at least


class Limits(NamedTuple):
    """How large a remainder may be that still counts as explained, for one size of window.

    Attributes
    ----------
    factor : float
        How often it may exceed what is usual in the picture.
    most_noise : float
        The most that is explained where there is no texture, in gray levels squared.
    most_share : float
        The most that is explained by texture, as a share of its variance.
    """

    factor: float
    most_noise: float
    most_share: float


class Texture:
    """The texture near each window: the largest variance of the windows around it.

    `clean` is the least factor of what counts as usual at least.
    """

    def __init__(self, variances: Callable[[], Plane], clean: float) -> None:
        self._variances, self.clean = variances, clean

    @cached_property
    def near(self) -> Plane:
        """The largest variance near each window."""
        return largest_near(self._variances(), NEAR)

    @cached_property
    def flat_and_rich(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """The places of some windows: the third with the least, and that with the most of it."""
        near = self.near
        places = np.arange(0, near.size, max(1, near.size // SAMPLES))
        values = near.ravel()[places]
        some = values > BARE
        if np.count_nonzero(some) > MANY_BARE * len(some):
            places, values = places[some], values[some]
        third = max(1, len(places) // 3)
        order = places[np.argpartition(values, (third - 1, len(places) - third))]
        return order[:third], order[-third:]


def raise_unexplained(excess: Plane, squares: Plane, texture: Texture, limits: Limits) -> None:
    """Raise the excess to squares that exceed what the limits explain for their texture."""
    always_explained = min(limits.factor * texture.clean * LEAST_NOISE, limits.most_noise)
    if squares.max() <= np.float32(always_explained):
        return
    noise, share = _usual(squares, texture)
    most_noise = min(limits.factor * noise, limits.most_noise)
    most_share = min(limits.factor * share, limits.most_share)
    raise_beyond(excess, squares, texture.near, most_noise, most_share)


def raise_outliers(
    excess: Plane, squares: Plane, texture: Texture, factor: float, least: float
) -> None:
    """Raise the excess to squares that exceed so many times those of nearly all other windows.

    Each counts in proportion to what is usual for its texture.
    """
    if squares.max() <= least:
        return
    noise, share = _usual(squares, texture)
    ratios = squares / (np.float32(noise) + np.float32(share) * texture.near)
    row, column = divmod(int(np.argmax(ratios)), ratios.shape[1])
    others = np.ones(ratios.shape, np.bool_)
    others[max(0, row - APART) : row + APART + 1, max(0, column - APART) : column + APART + 1] = 0
    rest = ratios[others]
    if len(rest) < FEW:
        return
    largest = factor * max(LEAST_RATIO, quantile(rest, NEARLY_ALL))
    np.maximum(excess, squares, out=excess, where=(ratios > largest) & (squares > least))


def raise_faint_outliers(
    excess: Plane, squares: Plane, texture: Texture, factor: float, least: float
) -> None:
    """Do the same for faint details; beside much texture, nothing is faint."""
    if squares.max() <= least:
        return
    found = np.zeros_like(squares)
    raise_outliers(found, squares, texture, factor, least)
    np.maximum(excess, found, out=excess, where=found > FAINT_SHARE * texture.near)


def _usual(squares: Plane, texture: Texture) -> tuple[float, float]:
    """Return the usual squares where there is little texture, and their usual share of texture."""
    values, (flat, rich) = squares.ravel(), texture.flat_and_rich
    noise = quantile(values[flat])
    beyond = np.maximum(0, values[rich] - max(noise, LEAST_NOISE))
    share = quantile(beyond / (texture.near.ravel()[rich] + 1))
    unclean = max(texture.clean, min(1.0, max(noise / LEAST_NOISE, share / LEAST_SHARE) * 5))
    return max(noise, unclean * LEAST_NOISE), max(share, unclean * LEAST_SHARE)


def quantile(values: npt.NDArray[np.float32], share: float = USUAL) -> float:
    """Return the smallest value that is not below this share of all."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])
