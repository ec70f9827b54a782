"""Find the windows of two pictures that differ beyond what is usual in windows of similar texture.

Means over windows of one size go in; what comes out is by how much each window differs beyond the
limits for this size. The limits are those of copies of photos.
"""

from collections.abc import Sequence

import numpy as np

from imgdup.images.opencv import Plane
from imgdup.native import excess
from imgdup.native.windows import Excess, Limits, Outliers, Planes, Usual

FEW = 100  # windows; fewer do not show what is usual
QUANTILE = 0.75  # of the remainders, which counts as usual
LEAST_NOISE = 3.0  # mean square that counts as usual at least, gray levels squared
USUAL = Usual(
    samples=3000,  # windows from which the usual remainders are taken
    bare=1.0,  # variance of windows that say nothing about noise
    many_bare=0.05,  # use them too if fewer windows than this share have texture
    quantile=QUANTILE,
    least_noise=LEAST_NOISE,
    least_share=0.01,  # of the variance that counts as usual at least
    nearly_all=0.999,  # quantile
    apart=10,  # blocks; other windows lie farther than this from the one that exceeds them most
    few=FEW,
    least_ratio=0.5,  # what nearly all windows show at least, of what is usual
)

# By the side of the window, in blocks: limits for the mean of the squared remainders, and for the
# square of their mean. Compression and noise change the mean of a large window very little.
LUMA_LIMITS = {
    1: (Limits(110, 1500, 2.5), Limits(85, 900, 2.5)),
    2: (Limits(48, 1500, 1.8), Limits(42, 200, 1.8)),
    4: (Limits(32, 1100, 1.1), Limits(20, 60, 0.9)),
    8: (Limits(22, 800, 0.75), Limits(11, 45, 0.5)),
    16: (Limits(20, 700, 0.75), Limits(9, 36, 0.35)),
}
CHROMA_LIMITS = {
    1: (Limits(200, 1800, 3.0), Limits(200, 1600, 3.0)),
    2: (Limits(80, 1200, 2.2), Limits(80, 500, 2.2)),
    4: (Limits(48, 600, 1.8), Limits(48, 280, 1.0)),
    8: (Limits(25, 450, 1.0), Limits(22, 120, 0.5)),
    16: (Limits(25, 400, 1.0), Limits(20, 80, 0.35)),
}
CALM = 0.5  # factor of the least that is usual, for chroma: copies change it less

# By the side of the window, in blocks: the largest square of the mean change of chroma in an even
# window, and by how much the variance of the chroma in this window raises it, as a share. Edges
# nearby do not excuse it: one field among many of a map has another colour. Of 3,900 copies of
# photos, JPEG 10 and sharpened ones left out, 3 exceed any of these.
EVEN_CHROMA = {2: (75.0, 0.2), 4: (33.0, 0.1), 8: (24.0, 0.05)}

# By the side of the window, in blocks: how many times as large the squares may be as in nearly all
# other windows of the picture, and from which squares on. One other letter in a page of print
# stands out among thousands of equal ones; of 1,600 copies of photos, at most two exceed any of
# these.
OUTLIERS = {1: (5.5, 600.0), 2: (5.5, 400.0), 4: (4.5, 300.0)}
# The same for faint details, and for squared means, in pictures that need no tone curve and were
# not sharpened: compression, blur and noise are spread over the picture, a faint letter is not.
# Beside much texture, nothing is faint: sharpened edges leave less than a share of its variance.
FAINT_OUTLIERS = {2: (5.5, 40.0), 4: (4.5, 40.0), 8: (5.0, 40.0)}
FAINT_MEANS = {4: (5.0, 36.0), 8: (4.5, 25.0)}
FAINT_SHARE = 0.12


def luma_part(
    moments: tuple[Planes, int], side: int, clean: float, *, is_plain: bool
) -> tuple[Planes, Plane, bool]:
    """Return by how many levels the luma of each window of one size differs unexplained.

    `moments` are the means in each block, as from `block_moments`, and the side of windows of these
    in blocks; or the means in each window, and 1. `clean` is the factor of the least that counts as
    usual. Faint outliers count in plain pictures only. Returned are the means in each window of
    `side` blocks a side, the excess, and whether there is any.
    """
    return excess.luma_part(*moments, _LUMA_RULES[side, is_plain], clean)


def raise_to_chroma(
    luma_excess: Plane, luma: Sequence[Planes], chroma: tuple[Planes, Planes], clean: float
) -> None:
    """Raise the excess of the luma to that of the chroma, in windows of all sizes.

    `luma` are the means in the windows of each size, `chroma` those of Cr and Cb in each block.
    """
    excess.raise_to_chroma(luma_excess, luma, chroma, _CHROMA_RULES, CALM * clean)


def _luma_rules(side: int, is_plain: bool) -> Excess:
    """Return the rules for luma, by the side of the windows, in blocks."""
    squares, means = LUMA_LIMITS[side]
    rules = Excess(USUAL, squares, means)
    if side in OUTLIERS:
        rules.outliers = Outliers(*OUTLIERS[side])
    if is_plain and side in FAINT_OUTLIERS:
        rules.faint = Outliers(*FAINT_OUTLIERS[side], FAINT_SHARE)
    if is_plain and side in FAINT_MEANS:
        rules.faint_means = Outliers(*FAINT_MEANS[side], FAINT_SHARE)
    return rules


def _chroma_rules(side: int) -> Excess:
    """Return the rules for chroma, by the side of the windows, in blocks."""
    rules = Excess(USUAL, *CHROMA_LIMITS[side])
    rules.even = np.inf  # no change is too large
    if side in EVEN_CHROMA:
        most, share = EVEN_CHROMA[side]
        rules.even, rules.even_share = most, most * share
    return rules


_LUMA_RULES = {
    (side, is_plain): _luma_rules(side, is_plain)
    for side in LUMA_LIMITS
    for is_plain in (False, True)
}


_CHROMA_RULES = excess.Rules([_chroma_rules(side) for side in CHROMA_LIMITS])
