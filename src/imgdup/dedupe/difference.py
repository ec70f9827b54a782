"""Decide from the pixels of two pictures how they are related.

A copy may have another size, tone curve, sharpness, noise or compression: then it shows the same
picture. Otherwise a colour, a region, the frame or the orientation differs, or everything does.
In case of doubt, the result is never ``same-picture``.
"""

from collections.abc import Mapping

import numpy as np

from imgdup.dedupe.alignment import (
    Place,
    box_in_whole,
    cut_out,
    find_places,
    is_reverse,
    is_unmoved,
    likely_turns,
    refine,
)
from imgdup.dedupe.evidence import Evidence, visible_agreement
from imgdup.dedupe.exact import changed_detail, same_pixels
from imgdup.dedupe.finding import (
    ALIKE,
    FULL_FRAME,
    NOTHING_AGREES,
    Finding,
    Pair,
    relation_of,
)
from imgdup.dedupe.relations import (
    CROPPED,
    DIFFERENT,
    EDITED,
    RECOLOURED,
    SAME_PICTURE,
    TURNED,
    Verdict,
    thousandths,
)
from imgdup.dedupe.sharpness import equally_sharp
from imgdup.images.gray import Pixels
from imgdup.images.opencv import as_rgb, luma_of, resized

MIN_SIDE = 8  # pixels; smaller pictures are the same only if they are equal
NEARER = 0.7  # of the mean squared remainder of the upright pictures; turned ones have less

# All that follows are shares of the structured area that agree.
# In reduced pictures. All copies agree widely: of 9,600 copies of photos, the least agreed in 85 %.
# Of 12,000 pairs that did not agree widely, any photos that showed an edit or another colour
# without being moved agreed in 48 % or more.
WIDELY, SLIGHTLY = 0.8, 0.4
# In equally sharp pictures of full size that do not agree widely when reduced: of 1,020 such pairs,
# those that showed an edit without being moved agreed in 64 % or more.
PLAINLY = 0.55
# In pictures that agree widely when reduced: in less of the reduced ones and of those of full size,
# they are likely moved. Copies that are only blurred or noisy agree in more when reduced.
NEARLY_REDUCED, NEARLY = 0.97, 0.8
# Where one picture lies in the other, and there in pictures of half the size, where grain matters
# less: below both, nothing is alike that is equally sharp. Of 460 places of photos that made a
# difference, two agreed in less; of 2,000 that agreed in less, or clearly showed different things,
# one pair was alike where the other picture lies in the first one.
AT_A_PLACE, HALVED_AT_A_PLACE = 0.65, 0.8
# Above what agrees in unmoved pictures; where hardly more agrees, they are not moved.
MORE_AT_A_PLACE = 0.03
# Where one picture lies in the other and is measured. Below the first, or with enough for an edited
# picture, but not nearly all, it is not measured the other way round: of 500 places with another
# relation there, none agreed in less than 99 %.
FAR_FROM_ALIKE, NEARLY_ALIKE = 0.75, 0.98
LEAST_AGREEMENT = 0.8  # in an edited picture


def compare_pictures(first: Pixels, second: Pixels) -> Verdict:
    """Compare two pictures, each reduced to at most about 1,024 pixels on its longer side.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (height, width, 3) or (height, width)
        RGB or gray.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        For any other dtype or shape, or a picture without pixels.
    """
    first, second = _checked(first), _checked(second)
    if same_pixels(first, second):
        return Verdict(SAME_PICTURE, 0.0, None)
    if first.ndim != second.ndim:
        first, second = (each if each.ndim == 3 else as_rgb(each) for each in (first, second))
    verdict = _compare(first, second)
    if verdict.relation in (SAME_PICTURE, TURNED) and (detail := changed_detail(first, second)):
        return Verdict(EDITED, detail.peak, thousandths(detail.box))
    return verdict


def _compare(first: Pixels, second: Pixels) -> Verdict:
    """Compare two pictures that are not equal, in the likely orientations."""
    pair = Pair(first, second)
    turns, is_clear = likely_turns(*pair.grays)
    turned_pairs = {each: pair.turned(each) for each in turns}
    turned = _compare_turned(pair, turned_pairs, must_be_nearer=False) if is_clear else None
    if turned is not None:
        return turned
    verdict = _compare_upright(pair).verdict()
    if is_clear or verdict.relation in (SAME_PICTURE, RECOLOURED):
        return verdict
    # Where both are alike upright, only the same picture counts, and that agrees widely.
    least = pair.rough_agreement if verdict.relation == DIFFERENT else WIDELY
    likely = {key: each for key, each in turned_pairs.items() if each.rough_agreement >= least}
    turned = _compare_turned(pair, likely, must_be_nearer=True)
    if turned is not None and (turned.relation == TURNED or verdict.relation == DIFFERENT):
        return turned
    return verdict


def _checked(pixels: Pixels) -> Pixels:
    """Check the type and the shape of a picture, and return it contiguous."""
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not fits or pixels.size == 0:
        raise ValueError(
            "a picture must be uint8 of shape (height, width) or (height, width, 3), "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )
    return np.ascontiguousarray(pixels)


def _compare_upright(pair: Pair) -> Finding:
    """Compare two pictures that are not equal, without turning one.

    If much differs as they are, a place of one in the other is looked for first.
    """
    if min(*pair.first.shape[:2], *pair.second.shape[:2]) < MIN_SIDE:
        return NOTHING_AGREES
    agreement = pair.rough_agreement
    is_near = agreement >= NEARLY_REDUCED or (
        agreement >= WIDELY and pair.plain_agreement >= NEARLY
    )
    if is_near and pair.direct.is_final:
        return pair.direct
    found = _compare_aligned(pair, pair.direct if is_near else None)
    is_found = found is not None and _agrees(found)
    if not is_found and not is_near and agreement >= SLIGHTLY:
        may_be_alike = pair.plain_agreement >= PLAINLY or not pair.is_equally_sharp
        found = pair.direct if agreement >= WIDELY or may_be_alike else None
    if found and (_agrees(found) or found.relation == RECOLOURED):
        return found
    is_captioned = pair.agree_in_the_middle() and pair.direct.relation == EDITED
    return pair.direct if is_captioned else NOTHING_AGREES


def _agrees(found: Finding) -> bool:
    """Return whether enough agrees for an edited picture, or no other place changes the answer."""
    return found.is_final or found.agreement >= LEAST_AGREEMENT


def _compare_aligned(pair: Pair, best: Finding | None) -> Finding | None:
    """Find how one picture lies in the other, and return the finding in which most agrees.

    `best` is what was found before.
    """
    unlike = None
    for rough in find_places(*pair.grays):
        if unlike is not None and is_reverse(rough, unlike, pair.second.shape):
            continue
        place = refine(*pair.grays, rough)
        found = place and _compare_at(pair, place)
        if not place or found is NOTHING_AGREES:
            break
        if not found:
            continue
        if found.is_final:
            return found
        if found.agreement < FAR_FROM_ALIKE or (
            found.relation == EDITED and LEAST_AGREEMENT <= found.agreement < NEARLY_ALIKE
        ):
            unlike = place
        if best is None or found.agreement > best.agreement:
            best = found
    return best


def _compare_at(pair: Pair, place: Place) -> Finding | None:
    """Compare what both pictures show where one lies in the other; None if that is too little."""
    part = pair.second if place.part_is_second else pair.first
    is_moved = not is_unmoved(place.matrix, part.shape)
    if not is_moved and _agrees(pair.direct):
        return pair.direct
    shared = cut_out(pair.first, pair.second, place)
    if shared is None or min(shared.first.shape[:2]) < MIN_SIDE:
        return None
    grays = luma_of(shared.first), luma_of(shared.second)
    agreement = visible_agreement(*grays)
    if agreement < AT_A_PLACE and _differ_without_grain(*grays):
        return NOTHING_AGREES
    if pair.rough_agreement >= WIDELY:
        least = min(ALIKE, pair.plain_agreement + MORE_AT_A_PLACE)
        if agreement < least and _agrees(pair.direct):
            return pair.direct
    evidence = Evidence(shared.first, shared.second)
    relation = relation_of(evidence)
    if not is_moved:  # perhaps only the edges differ
        is_final = relation == SAME_PICTURE
        return pair.direct._replace(agreement=evidence.agreement, is_final=is_final)
    if relation != SAME_PICTURE:
        return Finding(relation, evidence.agreement, evidence, shared.frame, is_final=False)
    if evidence.agreement < LEAST_AGREEMENT:
        return None  # both show next to nothing there
    if pair.rough_agreement >= WIDELY and pair.direct.is_final:
        return pair.direct  # a blurred copy may lie as well beside its place
    box = box_in_whole(place.matrix) if place.part_is_second else FULL_FRAME
    return Finding(CROPPED, evidence.agreement, frame=box)


def _differ_without_grain(first: Pixels, second: Pixels) -> bool:
    """Return whether two gray pictures are about equally sharp, and differ at half their size."""
    halves = (resized(each, len(each) // 2, each.shape[1] // 2) for each in (first, second))
    return equally_sharp(first, second) and visible_agreement(*halves) < HALVED_AT_A_PLACE


def _compare_turned(
    pair: Pair, turned_pairs: Mapping[str, Pair], *, must_be_nearer: bool
) -> Verdict | None:
    """Compare with the second picture turned; None if it differs in all of these orientations.

    A symmetrical object with other letters is about as near either way: see `must_be_nearer`.
    """
    verdict = None
    for orientation, turned in turned_pairs.items():
        if same_pixels(turned.first, turned.second):
            return Verdict(TURNED, 0.0, None, orientation)
        found = _compare_upright(turned)
        if found.relation == DIFFERENT:
            continue
        if (
            must_be_nearer
            and found.evidence
            and found.evidence.remainder > NEARER * pair.evidence.remainder
        ):
            continue
        if found.relation == SAME_PICTURE:
            return Verdict(TURNED, 0.0, None, orientation)
        if verdict is None:
            verdict = found.verdict()._replace(orientation=orientation)
    return verdict
