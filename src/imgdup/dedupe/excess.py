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
from imgdup.native.windows import Outliers, raise_to_outliers, thirds, usual_squares

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
OUTLIER = Outliers(
    factor=1.0, nearly_all=NEARLY_ALL, apart=APART, few=FEW, least_ratio=LEAST_RATIO, least=0.0
)


class Limits(NamedTuple):
    """How large a remainder may be that still counts as explained, for one size of window."""

    factor: float  # how often it may exceed what is usual in the picture
    # The most that is explained where there is no texture, in gray levels squared.
    most_noise: float
    most_share: float  # the most that is explained by texture, as a share of its variance


class Texture:
    """The texture near each window: the largest variance of the windows around it.

    `clean` is the least factor of what counts as usual at least.
    """

    def __init__(self, variances: Callable[[], Plane], clean: float) -> None:
        self._variances, self.clean = variances, clean
        self._usual: tuple[Plane, tuple[float, float]] | None = None

    @cached_property
    def near(self) -> Plane:
        """The largest variance near each window."""
        return largest_near(self._variances(), NEAR)

    @cached_property
    def flat_and_rich(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The places of some windows: the third with the least, and that with the most of it."""
        return thirds(self.near, max(1, self.near.size // SAMPLES), BARE, MANY_BARE)

    def usual(self, squares: Plane) -> tuple[float, float]:
        """Return the usual squares where there is little texture, and their share of texture."""
        if self._usual is None or self._usual[0] is not squares:
            self._usual = squares, self._usual_of(squares)
        return self._usual[1]

    def _usual_of(self, squares: Plane) -> tuple[float, float]:
        noise, share = usual_squares(squares, self.near, self.flat_and_rich, USUAL, LEAST_NOISE)
        unclean = max(self.clean, min(1.0, max(noise / LEAST_NOISE, share / LEAST_SHARE) * 5))
        return max(noise, unclean * LEAST_NOISE), max(share, unclean * LEAST_SHARE)


def raise_unexplained(excess: Plane, squares: Plane, texture: Texture, limits: Limits) -> None:
    """Raise the excess to squares that exceed what the limits explain for their texture."""
    always_explained = min(limits.factor * texture.clean * LEAST_NOISE, limits.most_noise)
    if squares.max() <= np.float32(always_explained):
        return
    noise, share = texture.usual(squares)
    most_noise = min(limits.factor * noise, limits.most_noise)
    most_share = min(limits.factor * share, limits.most_share)
    raise_beyond(excess, squares, texture.near, most_noise, most_share)


def raise_outliers(
    excess: Plane, squares: Plane, texture: Texture, factor: float, least: float
) -> None:
    """Raise the excess to squares that exceed so many times those of nearly all other windows.

    Each counts in proportion to what is usual for its texture.
    """
    _raise_outliers(excess, squares, texture, OUTLIER._replace(factor=factor, least=least))


def raise_faint_outliers(
    excess: Plane, squares: Plane, texture: Texture, factor: float, least: float
) -> None:
    """Do the same for faint details; beside much texture, nothing is faint."""
    rule = OUTLIER._replace(factor=factor, least=least, texture_share=FAINT_SHARE)
    _raise_outliers(excess, squares, texture, rule)


def _raise_outliers(excess: Plane, squares: Plane, texture: Texture, rule: Outliers) -> None:
    if squares.max() > rule.least:
        raise_to_outliers(excess, squares, texture.near, texture.usual(squares), rule)
