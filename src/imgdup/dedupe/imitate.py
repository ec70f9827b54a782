"""Compare two pictures; if they differ, treat one as the other may have been, and compare again.

An imitation is one picture treated as the other one may have been: compressed as strongly, or
sharpened. If the treatment is all that was done, both are nearly equal then; what else was changed
stays.
"""

from collections.abc import Iterator

import numpy as np

from imgdup.dedupe.evidence import Evidence
from imgdup.dedupe.sharpness import (
    BLURRED,
    SHARPENED,
    UNFILTERED,
    filter_between,
    filtered,
)
from imgdup.images.detail import strong_quality
from imgdup.images.gray import Pixels
from imgdup.images.opencv import Plane, luma_of, through_jpeg
from imgdup.native.changes import spread_between

ALIKE = 0.8  # agreement from which one picture may be a copy of the other
CLEARLY_LOWER = 10  # quality; two files of about one quality need no imitation
STRONG = 30  # quality up to which nothing but compression itself comes near
COMMON_QUALITIES = range(5, 65, 5)
NEARLY_EQUAL = 0.1  # of the difference before
# Of the same: a compression that comes near changes a picture by as much.
LEAST_CHANGED, MOST_CHANGED = 0.8, 1.2
# Peak of the difference, in gray levels; of 570 pairs that an imitation explained (JPEG 1 to 60,
# sharpened, blurred), none had a peak above 91.
MOST_EXPLAINED = 110.0
FEW_TRIED = 2  # strong compressions, before the weakest one shows whether any fits
BLUR_REACH = 6  # pixels
CENTRE_SIDE = 256  # pixels
MCU = 16  # pixels; the side of a block of chroma in most JPEG files
EDGES = 3  # blocks; blurring changes nothing that lies farther inside
FILTERED = 0.25  # strength of a fitted filter, from which one picture may have been treated


def evidence_of(first: Pixels, second: Pixels) -> Evidence:
    """Measure two pictures of one size; if they differ, also imitations.

    What is measured of an imitation counts only if nothing of it is unexplained, if it needs no
    stronger filter than before, and if it leaves no tone curve where one may hide a change.
    """
    found = Evidence(first, second)
    if found.agreement < ALIKE or not found.differs or found.luma_excess.max() > MOST_EXPLAINED:
        return found
    may_be_filtered = abs(found.filter_strength) >= FILTERED
    only_edges = may_be_filtered and not found.excess[EDGES:-EDGES, EDGES:-EDGES].any()
    for pair in _imitations(first, second, may_be_filtered, only_edges):
        imitated = Evidence(*pair)
        is_nearer = abs(imitated.filter_strength) <= abs(found.filter_strength) + UNFILTERED
        is_nearer &= not (found.curve_may_hide_change and imitated.has_curve)
        if is_nearer and not imitated.differs:
            return imitated
    return found


def _imitations(
    first: Pixels, second: Pixels, may_be_filtered: bool, only_edges_differ: bool = True
) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield pairs in which one of two pictures was treated as the other one was."""
    qualities = [strong_quality(each) or 100 for each in (first, second)]
    if qualities[0] + CLEARLY_LOWER <= qualities[1]:
        for imitation in _compressed(second, first, qualities[0]):
            yield first, imitation
    elif qualities[1] + CLEARLY_LOWER <= qualities[0]:
        for imitation in _compressed(first, second, qualities[1]):
            yield imitation, second
    elif may_be_filtered:
        yield from _filtered(first, second, only_edges_differ)


def _compressed(pixels: Pixels, copy: Pixels, quality: int | None = None) -> Iterator[Pixels]:
    """Yield a picture compressed as its copy was, at about this quality.

    Unless compression is strong, the centre must then be nearly equal to that of the copy.
    """
    centre, goal = _centre(pixels), _centre(copy)
    before = spread_between(centre, goal)
    if quality is None:
        errors = _common_errors(centre, goal, before)
    else:
        near = range(quality - 1, quality + 2)
        errors = {each: spread_between(through_jpeg(centre, each), goal) for each in near}
    if not errors:
        return
    nearest = min(errors, key=lambda each: errors[each])
    is_strong = quality is not None and quality <= STRONG
    if is_strong or errors[nearest] <= NEARLY_EQUAL * before:
        yield through_jpeg(pixels, nearest)


def _common_errors(centre: Pixels, goal: Pixels, before: float) -> dict[int, float]:
    """Return what common qualities leave of a difference, if they change a picture by as much."""
    errors = {}
    for place, quality in enumerate(COMMON_QUALITIES):  # the strongest compression first
        if place == FEW_TRIED and (
            spread_between(through_jpeg(centre, COMMON_QUALITIES[-1]), centre)
            > MOST_CHANGED * before
        ):
            break
        imitation = through_jpeg(centre, quality)
        change = spread_between(imitation, centre)
        if change < LEAST_CHANGED * before:
            break
        if change <= MOST_CHANGED * before:
            errors[quality] = spread_between(imitation, goal)
    return errors


def _filtered(
    first: Pixels, second: Pixels, only_edges_differ: bool
) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield the pair with one picture sharpened, or compressed if the other one has less detail.

    The outermost pixels are left out, because programs differ in what they do there.
    """
    y, z = (_central_luma(each) for each in (first, second))
    to_second, to_first = filter_between(y, z), filter_between(z, y)
    if to_second.strength <= SHARPENED:
        yield _inner(filtered(first, to_second)), _inner(second)
    elif to_first.strength <= SHARPENED:
        yield _inner(first), _inner(filtered(second, to_first))
    if only_edges_differ and max(to_second.strength, to_first.strength) >= BLURRED:
        yield _inner(first, BLUR_REACH), _inner(second, BLUR_REACH)
    if to_second.strength > to_first.strength:
        for imitation in _compressed(first, second):
            yield imitation, second
    else:
        for imitation in _compressed(second, first):
            yield first, imitation


def _inner(pixels: Pixels, width: int = 1) -> Pixels:
    """Cut off the outermost pixels, `width` on each side, unless the picture is too small."""
    if min(pixels.shape[:2]) < 8 * width:
        return pixels
    return np.ascontiguousarray(pixels[width:-width, width:-width])


def _central_luma(pixels: Pixels) -> Plane:
    """Return the luma of the centre of a picture, which shows how it was sharpened."""
    return luma_of(_centre(pixels)).astype(np.float32)


def _centre(pixels: Pixels) -> Pixels:
    """Return the centre of a picture, which begins with a block of JPEG."""
    top, left = (max(0, side - CENTRE_SIDE) // 2 // MCU * MCU for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + CENTRE_SIDE, left : left + CENTRE_SIDE])
