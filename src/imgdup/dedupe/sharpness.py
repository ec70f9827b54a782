"""Give two pictures of one size the same sharpness, as far as one filter explains the difference.

A copy may be blurred or sharpened. The filter adds to a picture what a fine and a coarse blur
change, each with the weight that brings the picture nearest to the other one.
"""

from typing import NamedTuple

import numpy as np

from imgdup.images.gray import Pixels
from imgdup.images.opencv import Plane, resized
from imgdup.native.colours import luma_plane
from imgdup.native.difference import blended, blurred, blurs, fine_detail, fitted_filter

UNFILTERED = 0.05  # a weaker filter than this changes nothing
# Strengths from which on a filter sharpens so much that edges are cut off, or blurs strongly.
SHARPENED, BLURRED = -0.4, 0.45
# The factor of the least that counts as usual, after such a filter, and after any other change.
# Where nothing was changed, pixels may be nearly equal.
CLIPPED, STRONGLY_FITTED, FITTED, CLEAN = 2.0, 1.5, 1.0, 0.2
FILTER_SIGMAS = (1.0, 2.5)  # pixels
# Of two pictures, one has less fine detail than this share of the other's if it was blurred by two
# pixels or more, or the other one is grainy. Of 5,600 pairs of photos that look alike, one has.
UNEQUALLY_SHARP = 0.3
BLURRED_SHARE = 0.15  # less fine detail than this share of the other's: compare at half the size
DAMPING = 1e-3  # a pixel; prefers the unfiltered plane if nothing is to be gained
BLURS = blurs(*FILTER_SIGMAS, DAMPING)
SMALLEST = 64  # pixels; smaller pictures are not halved, ...
MOST_HALVED = 3  # ... nor is any more often


class Filter(NamedTuple):
    """How much of what a fine and a coarse blur change is added to a picture."""

    fine: float
    coarse: float

    @property
    def strength(self) -> float:
        """How strong the filter is; below 0 if it sharpens."""
        size = abs(self.fine) + abs(self.coarse)
        return float(np.copysign(size, self.fine + self.coarse))


class Sharp(NamedTuple):
    """The luma of two pictures, about equally sharp."""

    planes: tuple[Plane, Plane]
    sharper: int  # which is sharper, 0 or 1
    n_halved: int  # how often both were halved


def equal_sharpness(first: Pixels, second: Pixels) -> Sharp:
    """Halve the luma of both pictures while one lacks nearly all of the other's fine detail."""
    planes, n_halved = (luma_plane(first), luma_plane(second)), 0
    while n_halved < MOST_HALVED:
        details = [_detail(each) for each in planes]
        if min(details) >= BLURRED_SHARE * max(details) or min(planes[0].shape) < SMALLEST:
            break
        planes, n_halved = (_halved(planes[0]), _halved(planes[1])), n_halved + 1
    return Sharp(planes, int(details[0] < details[1]), n_halved)


def equally_sharp(first: Pixels, second: Pixels) -> bool:
    """Return whether neither of two gray pictures lacks most of the other's fine detail."""
    details = [_detail(luma_plane(each)) for each in (first, second)]
    return min(details) >= UNEQUALLY_SHARP * max(details)


def _halved(plane: Plane) -> Plane:
    """Halve a plane of whole levels."""
    height, width = plane.shape
    return resized(plane.astype(np.uint8), height // 2, width // 2).astype(np.float32)


def _detail(plane: Plane) -> float:
    """Return the root mean square of the finest detail."""
    return float(np.sqrt(fine_detail(plane, 0.8)))


def equal_filter(a: Plane, b: Plane, sharper: int) -> tuple[Plane, Plane, float]:
    """Filter one plane so that it comes nearest to the other; also return how strongly.

    The sharper plane is blurred, unless sharpening the other one comes nearer.
    """
    planes = [a, b]
    found = fitted_filter(planes[sharper], planes[1 - sharper], BLURS)
    strength = Filter(found.fine, found.coarse).strength
    if abs(strength) >= UNFILTERED:
        other = fitted_filter(planes[1 - sharper], planes[sharper], BLURS)
        if other.error < found.error:
            found, sharper = other, 1 - sharper
            strength = Filter(found.fine, found.coarse).strength
    planes[sharper] = found.plane
    return planes[0], planes[1], strength


def least_factor(strength: float, is_mapped: bool) -> float:
    """Return the factor of the least that counts as usual, by what the fits have changed."""
    if strength <= SHARPENED:
        return CLIPPED
    if strength >= BLURRED:
        return STRONGLY_FITTED
    return FITTED if is_mapped or abs(strength) >= UNFILTERED else CLEAN


def filter_between(a: Plane, b: Plane) -> Filter:
    """Return the filter that takes one plane nearest to another."""
    found = fitted_filter(a, b, BLURS)
    return Filter(found.fine, found.coarse)


def filtered(pixels: Pixels, found: Filter) -> Pixels:
    """Filter all channels of a picture."""
    a = pixels.astype(np.float32)
    fine, coarse = (blurred(a, sigma) for sigma in FILTER_SIGMAS)
    return np.rint(_applied(a, fine, coarse, found)).astype(np.uint8)


def _applied(a: Plane, fine: Plane, coarse: Plane, found: Filter) -> Plane:
    x, z = np.float32(found.fine), np.float32(found.coarse)
    rows = [each.reshape(len(each), -1) for each in (a, fine, coarse)]  # all channels at once
    return blended(rows[0], rows[1], rows[2], (float(1 - x - z), float(x), float(z))).reshape(
        a.shape
    )
