"""Compare two pictures; if they differ, treat one as the other may have been, and compare again.

An imitation is one picture treated as the other one may have been: compressed as strongly, or
sharpened. If the treatment is all that was done, both are nearly equal then; what else was changed
stays.
"""

from collections.abc import Iterator

import numpy as np

from imgdup.dedupe.evidence import Evidence
from imgdup.dedupe.sharpness import SHARPENED, filter_between, filtered, plane_of
from imgdup.images.detail import strong_quality
from imgdup.images.gray import Pixels
from imgdup.images.opencv import Plane, luma, through_jpeg

ALIKE = 0.8  # agreement from which one picture may be a copy of the other
CLEARLY_LOWER = 10  # quality; two files of about one quality need no imitation
CENTRE_SIDE = 256  # pixels
FILTERED = 0.25  # strength of a fitted filter, from which one picture may have been sharpened


def evidence_of(first: Pixels, second: Pixels) -> Evidence:
    """Measure two pictures of one size; if they differ, also imitations.

    What is measured of an imitation counts only if nothing of it is unexplained.
    """
    found = Evidence(first, second)
    if found.agreement < ALIKE or not found.differs:
        return found
    for pair in _imitations(first, second, abs(found.filter_strength) >= FILTERED):
        imitated = Evidence(*pair)
        if not imitated.differs:
            return imitated
    return found


def _imitations(
    first: Pixels, second: Pixels, may_be_sharpened: bool
) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield pairs in which one of two pictures was treated as the other one was."""
    qualities = [strong_quality(each) or 100 for each in (first, second)]
    if qualities[0] + CLEARLY_LOWER <= qualities[1]:
        yield first, through_jpeg(second, qualities[0])
    elif qualities[1] + CLEARLY_LOWER <= qualities[0]:
        yield through_jpeg(first, qualities[1]), second
    elif may_be_sharpened:
        yield from _sharpened(first, second)


def _sharpened(first: Pixels, second: Pixels) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield the pair with one picture sharpened, each channel by itself as most programs do.

    The outermost pixels are left out, because many filters leave them as they are.
    """
    y, z = (_central_luma(each) for each in (first, second))
    to_second, to_first = filter_between(y, z), filter_between(z, y)
    if to_second.strength <= SHARPENED:
        yield _inner(filtered(first, to_second)), _inner(second)
    elif to_first.strength <= SHARPENED:
        yield _inner(first), _inner(filtered(second, to_first))


def _inner(pixels: Pixels) -> Pixels:
    """Cut off the outermost pixels."""
    return np.ascontiguousarray(pixels[1:-1, 1:-1])


def _central_luma(pixels: Pixels) -> Plane:
    """Return the luma of the centre of a picture, which tells how it was sharpened."""
    top, left = (max(0, side - CENTRE_SIDE) // 2 for side in pixels.shape[:2])
    centre = np.ascontiguousarray(pixels[top : top + CENTRE_SIDE, left : left + CENTRE_SIDE])
    return plane_of(centre if centre.ndim == 2 else luma(centre), 0)
