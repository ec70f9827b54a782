"""Measure how two pictures of one size differ locally, beyond what copying explains.

Copies of a picture may have another tone curve, be blurred or sharpened, and carry noise or
compression artefacts. A tone curve and a filter are fitted to the whole picture; what remains is
compared, window by window, with what remains in windows of similar texture in the same picture:
the excess of a window is by how much it differs beyond what is usual there.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.excess import (
    CHROMA_LIMITS,
    FEW,
    LEAST_NOISE,
    LUMA_LIMITS,
    QUANTILE,
    luma_part,
    raise_to_chroma,
)
from imgdup.dedupe.sharpness import CLEAN, equal_filter, equal_sharpness, least_factor
from imgdup.dedupe.tones import SMOOTH_SHARE, TEXTURED, equal_colours
from imgdup.images.gray import Pixels
from imgdup.images.opencv import Plane, resized
from imgdup.native.difference import block_moments, level_moments, window_means
from imgdup.native.excess import Shapes, Structure, unlike_shapes, unlike_structure
from imgdup.native.windows import (
    Agreement,
    Counts,
    Planes,
    count_agreeing,
    count_agreeing_of,
)

BLOCK = 4  # pixels; windows are squares of blocks

LEAST_SHARPENED = -0.25  # strength of the fitted filter

STRUCTURED = 40.0  # variance of the luma in a window with something to see
SMOOTH_CHANGE = 1.5  # levels, root mean square
CORRELATED = 0.4  # squared correlation of windows that agree
FLOOR = 1e-3  # added to the product of the variances of two windows, so that it is not 0
AGREEMENT_SIDE = 4  # blocks
# The variance in a window with structure is also at least a quarter of the mean variance.
AGREEMENT = Agreement(least=STRUCTURED, mean_share=0.25, floor=FLOOR, correlated=CORRELATED)
MUCH = 0.05  # share of the windows that have structure
STRUCTURE_SIDES = (2, 4)  # blocks; of the windows whose structure is compared
NEVER = 1 << 62  # windows
FAINT_SIDE = 4  # blocks; of the windows in which faint shapes are compared
# What is faint, as pencil on an empty page, may differ by less than compression changes. In 1,200
# copies of photos, at most 0.25 of the windows with shapes are unlike, or their variance is up to
# 700 times the noise. The second rules are for pairs that needed a rough tone curve: there, nothing
# tells the noise.
SHAPES = [
    Shapes(
        side=FAINT_SIDE,
        faint=12.0,  # variance of the means of blocks in a window with a shape
        floor=FLOOR,
        correlated=CORRELATED,
        unlike_share=0.3,
        beside_noise=1000.0,
        quantile=0.9,
        least_noise=0.02,
        few=few,
    )
    for few in (FEW, NEVER)
]
STRUCTURE = Structure(
    floor=FLOOR,
    unlike_share=0.35,  # of the variance; more than copying changes
    flat_share=1 / 3,
    quantile=QUANTILE,
    least_noise=LEAST_NOISE,
)


class _Moments:
    """Means of two planes over blocks or windows: of a, b, aa, bb, ab and (b - a) squared."""

    def __init__(self, planes: Plane) -> None:
        self.planes = planes
        self._windows: dict[int, _Moments] = {}  # by the side of the window

    def windows(self, side: int) -> "_Moments":
        """Return the means over windows of `side` blocks a side."""
        if side == 1:
            return self  # kept in no cycle of references, which would hold the planes for long
        if side not in self._windows:
            self._windows[side] = _Moments(window_means(self.planes, side))
        return self._windows[side]

    def to_average(self, side: int) -> tuple[Planes, int]:
        """Return the means over windows of `side` blocks, and 1; or means, and over what side."""
        known = self if side == 1 else self._windows.get(side)
        return (known.planes, 1) if known else (self.planes, side)

    def keep_windows(self, side: int, planes: Planes) -> None:
        """Keep the means over windows of `side` blocks a side."""
        if side > 1:
            self._windows.setdefault(side, _Moments(planes))

    @cached_property
    def variances(self) -> tuple[Plane, Plane]:
        """The variances of a and b."""
        a, b, aa, bb, *_ = self.planes
        return np.maximum(0, aa - a * a), np.maximum(0, bb - b * b)


class Evidence:
    """What is measured about two pictures of one size, both RGB or gray, on a grid of blocks.

    Each value is measured when it is first asked for, because few are needed of most pairs.
    """

    def __init__(self, first: Pixels, second: Pixels) -> None:
        self._colours = equal_colours(first, second)
        self._sharp = equal_sharpness(self._colours.first, self._colours.second)
        # The strength is below 0 if the filter sharpens.
        y, z, self.filter_strength = equal_filter(*self._sharp.planes, self._sharp.sharper)
        is_exact = self._colours.is_exact
        self._has_rough_curve = self._colours.is_mapped and not is_exact
        self._clean = CLEAN if is_exact else least_factor(self.filter_strength, self.has_curve)
        self._luma = _moments(y, z, BLOCK)
        # By the side of the window: the excess of the luma, and whether there is any.
        self._luma_parts: dict[int, tuple[Plane, bool]] = {}

    @cached_property
    def agreement(self) -> float:
        """Share of the area with structure in which both pictures correlate."""
        return _agreement(self._luma.windows(AGREEMENT_SIDE))

    @cached_property
    def middle_agreement(self) -> float:
        """The same share of the middle half of the height; 0 if there is not much to see."""
        planes = self._luma.windows(AGREEMENT_SIDE).planes
        edge = planes.shape[1] // 4
        middle = np.ascontiguousarray(planes[:, edge : planes.shape[1] - edge])
        counts = count_agreeing(middle, AGREEMENT)
        return 0.0 if counts.structured <= MUCH * counts.windows else _share(counts)

    @property
    def remainder(self) -> float:
        """Mean squared difference of the luma that remains after the fits, in levels squared."""
        return float(self._luma.planes[-1].mean())

    @property
    def luma_differs(self) -> bool:
        """Whether the luma differs anywhere; small windows are looked at first."""
        return any(self._luma_part(side)[1] for side in LUMA_LIMITS)

    @cached_property
    def luma_excess(self) -> Plane:
        """By how much luma differs beyond what copying explains, as in `excess`."""
        return np.asarray(np.maximum.reduce([self._luma_part(side)[0] for side in LUMA_LIMITS]))

    @cached_property
    def structure_excess(self) -> Plane:
        """The same for what no local change of brightness and contrast of the luma explains."""
        parts = (
            unlike_structure(self._luma.windows(side).planes, STRUCTURE, LUMA_LIMITS[side][0])
            for side in STRUCTURE_SIDES
        )
        return np.asarray(np.maximum.reduce([self._unlike_shapes, *parts]))

    @cached_property
    def excess(self) -> Plane:
        """By how many gray levels (root mean square) luma or chroma differ unexplained."""
        if not self._chroma:
            return self.luma_excess
        luma = [self._luma.windows(side).planes for side in CHROMA_LIMITS]
        red, blue = (each.planes for each in self._chroma)
        excess = self.luma_excess.copy()
        raise_to_chroma(excess, luma, (red, blue), self._clean)
        return excess

    @property
    def differs(self) -> bool:
        """Whether anything is unexplained."""
        return self.luma_differs or bool(self.excess.any()) or self.recoloured

    @property
    def has_curve(self) -> bool:
        """Whether a tone curve was applied."""
        return self._colours.is_mapped

    @property
    def curve_may_hide_change(self) -> bool:
        """Whether a tone curve was applied that may hide a real change."""
        return self._colours.is_mapped and self._colours.may_hide_change

    @cached_property
    def tone_share(self) -> float:
        """Share of the squared differences of the luma that the means of small blocks explain.

        It is taken where the luma differs: much if tones differ, little if there is another detail.
        """
        return _tone_share(self._luma, self.luma_excess > 0)

    @cached_property
    def recoloured(self) -> bool:
        """Whether colours differ everywhere, or tones by a curve that could hide an object."""
        return self._colours.may_hide_change or _differs_smoothly(self._luma, self._chroma)

    @cached_property
    def _chroma(self) -> list[_Moments]:
        """The moments of Cr and Cb, from pictures of half the size; none of gray pictures."""
        if self._colours.first.ndim == 2:
            return []
        first, second = (
            [_halved(plane, self._sharp.n_halved) for plane in each]
            for each in self._colours.chroma
        )
        _, *grid = self._luma.planes.shape
        return [
            _Moments(level_moments(*planes, BLOCK // 2, (grid[0], grid[1])))
            for planes in zip(first, second, strict=True)
        ]

    def _luma_part(self, side: int) -> tuple[Plane, bool]:
        """Return the excess of the luma in windows of one size, and whether there is any."""
        if side not in self._luma_parts:
            moments, is_plain = self._luma.to_average(side), self._is_plain
            means, found, differs = luma_part(moments, side, self._clean, is_plain=is_plain)
            self._luma.keep_windows(side, means)
            if side == FAINT_SIDE:
                found = np.maximum(found, self._unlike_shapes)
                differs = differs or bool(self._unlike_shapes.any())
            self._luma_parts[side] = found, differs
        return self._luma_parts[side]

    @property
    def _is_plain(self) -> bool:
        """Whether no rough tone curve was needed, and neither picture was sharpened much."""
        return not self._has_rough_curve and self.filter_strength > LEAST_SHARPENED

    @cached_property
    def _unlike_shapes(self) -> Plane:
        """By how many levels shapes differ, however faint, that are not in both pictures."""
        return unlike_shapes(self._luma.planes, SHAPES[self._has_rough_curve])


def visible_agreement(first: Pixels, second: Pixels) -> float:
    """Return in which share of the area with structure two reduced gray pictures correlate.

    It is 1 if there is not much to see.
    """
    counts = count_agreeing_of(first, second, BLOCK, AGREEMENT_SIDE, AGREEMENT)
    return 1.0 if counts.structured <= MUCH * counts.windows else _share(counts)


def _agreement(windows: _Moments) -> float:
    """Return in which share of the windows with structure both planes correlate."""
    return _share(count_agreeing(windows.planes, AGREEMENT))


def _share(counts: Counts) -> float:
    """Return which share of the windows with structure agrees."""
    return counts.agreeing / counts.structured if counts.structured else 0.0


def _moments(a: Plane, b: Plane, side: int) -> _Moments:
    return _Moments(block_moments(a, b, side))


def _tone_share(moments: _Moments, differs: npt.NDArray[np.bool_]) -> float:
    """Return which share of the squared differences in marked blocks their means explain."""
    a, b, *_, squares = moments.planes
    means = (b - a)[differs]
    return float(np.sum(means * means)) / max(1e-6, float(np.sum(squares[differs])))


def _differs_smoothly(luma_moments: _Moments, chroma: list[_Moments]) -> bool:
    """Return whether nearly textureless pictures differ slightly: gradients, areas of one colour.

    No curve or noise explains that, because there is nothing else by which such pictures differ.
    """
    windows = luma_moments.windows(AGREEMENT_SIDE)
    if np.mean(np.maximum(*windows.variances) > TEXTURED) >= SMOOTH_SHARE:
        return False
    changes = [(each.planes[1] - each.planes[0]) ** 2 for each in (windows, *chroma)]
    return float(np.mean(sum(changes))) > SMOOTH_CHANGE**2


def _halved(pixels: Pixels, n_halved: int) -> Pixels:
    """Halve a picture as often as its luma was, and once more."""
    for _ in range(n_halved):
        pixels = resized(pixels, pixels.shape[0] // 2, pixels.shape[1] // 2)
    return resized(pixels, max(1, pixels.shape[0] // 2), max(1, pixels.shape[1] // 2))
