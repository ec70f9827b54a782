"""Decide from the pixels of two pictures how they are related.

A copy may have another size, tone curve, sharpness, noise or compression: then it shows the same
picture. Otherwise a colour, a region, the frame or the orientation differs, or everything does.
In case of doubt, the result is never ``same-picture``.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from imgdup.dedupe.alignment import (
    Place,
    Shares,
    box_in_whole,
    cut_out,
    find_places,
    is_reverse,
    is_unmoved,
    likely_turns,
    refine,
    within,
)
from imgdup.dedupe.evidence import Evidence, visible_agreement
from imgdup.dedupe.exact import changed_detail, colour_was_changed, same_pixels
from imgdup.dedupe.imitate import evidence_of
from imgdup.dedupe.relations import (
    CROPPED,
    DIFFERENT,
    EDITED,
    RECOLOURED,
    SAME_PICTURE,
    TURNED,
    WHOLE,
    Verdict,
    thousandths,
)
from imgdup.images.gray import ORIENTATIONS, Pixels
from imgdup.images.opencv import (
    Plane,
    as_rgb,
    in_orientation,
    largest_near,
    luma_of,
    region_around,
    resized,
)

MIN_SIDE = 8  # pixels; smaller pictures are the same only if they are equal
# If less than this share of the area differs, and this share agrees, the pictures are not moved.
LOCAL_SHARE, LOCAL_AGREEMENT = 0.05, 0.9
LEAST_AGREEMENT = 0.8  # share of the structured area that agrees in an edited picture
# The same in the middle half of the height, where large letters at the top and the bottom change
# nothing; the mean of the share in the pictures and in the reduced ones, where noise matters less.
# Of 337 pairs of photos that look alike, none has more than 0.83.
LEAST_IN_THE_MIDDLE = 0.87
# The same; a place that agrees in less is not measured the other way round. Nor is one that agrees
# in enough of an edited picture, but not in nearly all: of 500 places with another relation the
# other way round, none agreed in less than 99 %.
FAR_FROM_ALIKE, NEARLY_ALIKE = 0.75, 0.95
STRUCTURE_SHARE = 0.02  # of the differing area; recoloured pictures differ less in structure
TONE_SHARE = 0.5  # of the squared differences; recoloured pictures differ in the means of blocks
ALIKE = 0.9  # share of the structured area that agrees in a recoloured picture
NEARER = 0.7  # of the mean squared remainder of the upright pictures; turned ones have less
COARSE_SIDE = 128  # pixels
# Share of the structured area that agrees in reduced pictures. All copies agree widely: of 9,600
# copies of photos, the least agreed in 85 %. Of 12,000 pairs that did not agree widely, any photos
# that showed an edit or another colour without being moved agreed in 48 % or more.
WIDELY, SLIGHTLY = 0.8, 0.4
# The same at full size, of pictures that do not agree widely: of 1,020 such pairs, those that
# showed an edit without being moved agreed in 64 % or more.
PLAINLY = 0.55

FULL_FRAME: Shares = (0.0, 0.0, 1.0, 1.0)


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
    _check(first)
    _check(second)
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
    pair = _Pair(first, second)
    turns, is_clear = likely_turns(*pair.grays)
    turned = _compare_turned(pair, turns, must_be_nearer=False) if is_clear else None
    if turned is not None:
        return turned
    verdict = _compare_upright(pair).verdict()
    if is_clear or verdict.relation in (SAME_PICTURE, RECOLOURED):
        return verdict
    if verdict.relation != DIFFERENT:  # then only the same picture counts, and that agrees widely
        turns = [each for each in turns if pair.turned(each).agree_roughly() >= WIDELY]
    turned = _compare_turned(pair, turns, must_be_nearer=True)
    if turned is not None and (turned.relation == TURNED or verdict.relation == DIFFERENT):
        return turned
    return verdict


def _check(pixels: Pixels) -> None:
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not fits or pixels.size == 0:
        raise ValueError(
            "a picture must be uint8 of shape (height, width) or (height, width, 3), "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )


class _Finding(NamedTuple):
    """How two pictures are related, and what shows it; peak and box are taken only if needed."""

    relation: str
    agreement: float  # share of the structured area in which the pictures agree
    evidence: Evidence | None = None
    # Where both pictures were compared or, without evidence, the box: in shares of the first.
    frame: Shares = FULL_FRAME
    is_final: bool = True  # whether no place of one picture in the other changes the answer

    def verdict(self) -> Verdict:
        """Return the verdict."""
        if self.relation == DIFFERENT:
            return Verdict(DIFFERENT, 255.0, WHOLE)
        if self.evidence is None:
            return Verdict(self.relation, 0.0, thousandths(self.frame))
        excess = self.evidence.excess
        if not excess.any():
            box = None if self.relation == SAME_PICTURE else thousandths(self.frame)
            return Verdict(self.relation, 0.0, box)
        box = thousandths(within(self.frame, _region(excess)))
        return Verdict(self.relation, float(excess.max()), box)


NOTHING_AGREES = _Finding(DIFFERENT, 0.0)


class _Pair:
    """Two pictures that are not equal; each is turned gray once, and they are compared once."""

    def __init__(self, first: Pixels, second: Pixels) -> None:
        self.first, self.second = first, second

    @property
    def size(self) -> tuple[int, int]:
        """The lesser height and the lesser width, at which both pictures are compared."""
        (height, width), (other_height, other_width) = self.first.shape[:2], self.second.shape[:2]
        return min(height, other_height), min(width, other_width)

    @cached_property
    def grays(self) -> tuple[Pixels, Pixels]:
        """The luma of both pictures."""
        return luma_of(self.first), luma_of(self.second)

    @cached_property
    def evidence(self) -> Evidence:
        """What is measured of the pictures as they are, at one size."""
        return evidence_of(*(resized(each, *self.size) for each in (self.first, self.second)))

    @cached_property
    def direct(self) -> _Finding:
        """How the pictures differ as they are."""
        evidence, relation = self.evidence, _relation(self.evidence)
        if relation == SAME_PICTURE and colour_was_changed(self.first, self.second):
            return _Finding(RECOLOURED, evidence.agreement, evidence)
        is_final = relation == SAME_PICTURE or not _may_be_moved(evidence)
        return _Finding(relation, evidence.agreement, evidence, is_final=is_final)

    def turned(self, orientation: str) -> "_Pair":
        """Return the pair with the second picture turned."""
        turned = in_orientation(self.second, ORIENTATIONS.index(orientation) + 1)
        return _Pair(self.first, turned)

    @cached_property
    def reduced(self) -> tuple[Pixels, Pixels]:
        """The luma of both pictures at one small size."""
        height, width = self.size
        scale = min(1.0, COARSE_SIDE / max(height, width))
        size = max(1, round(scale * height)), max(1, round(scale * width))
        one, other = (resized(gray, *size) for gray in self.grays)
        return one, other

    def agree_roughly(self) -> float:
        """Return in which share of the structured area the reduced pictures agree.

        It is 1 if there is not much to see.
        """
        return visible_agreement(*self.reduced)

    def agree_plainly(self) -> float:
        """Return in which share of the structured area the pictures agree at the smaller size."""
        return visible_agreement(*(resized(gray, *self.size) for gray in self.grays))

    def agree_in_the_middle(self) -> bool:
        """Return whether the middle half of the height agrees, as between large letters."""
        edge = len(self.reduced[0]) // 4
        middles = (each[edge : len(each) - edge] for each in self.reduced)
        roughly, least = visible_agreement(*middles), 2 * LEAST_IN_THE_MIDDLE
        return roughly + 1 >= least and roughly + self.evidence.middle_agreement >= least


def _compare_upright(pair: _Pair) -> _Finding:
    """Compare two pictures that are not equal, without turning one.

    If they do not agree widely as they are, a place of one in the other is looked for first.
    """
    if min(*pair.first.shape[:2], *pair.second.shape[:2]) < MIN_SIDE:
        return NOTHING_AGREES
    agreement = pair.agree_roughly()
    if agreement >= WIDELY and pair.direct.is_final:
        return pair.direct
    found = _compare_aligned(pair, pair.direct if agreement >= WIDELY else None)
    is_found = found is not None and (found.is_final or found.agreement >= LEAST_AGREEMENT)
    if not is_found and SLIGHTLY <= agreement < WIDELY:
        found = pair.direct if pair.agree_plainly() >= PLAINLY else None
    if found and (found.is_final or found.relation == RECOLOURED):
        return found
    if found and found.agreement >= LEAST_AGREEMENT:
        return found
    is_captioned = pair.agree_in_the_middle() and pair.direct.relation == EDITED
    return pair.direct if is_captioned else NOTHING_AGREES


def _may_be_moved(evidence: Evidence) -> bool:
    """Return whether the luma, or its structure, differs in more than a small region.

    Of pictures of smooth areas that are moved by a few pixels, hardly more than edges differ.
    """
    if evidence.agreement < LOCAL_AGREEMENT or not evidence.luma_differs:
        return evidence.luma_differs
    parts = (evidence.luma_excess, evidence.structure_excess)
    return any(float(np.mean(part > 0)) > LOCAL_SHARE for part in parts)


def _compare_aligned(pair: _Pair, best: _Finding | None) -> _Finding | None:
    """Find how one picture lies in the other, and return the finding in which most agrees.

    `best` is what was found before.
    """
    unlike = None
    for rough in find_places(*pair.grays):
        if unlike is not None and is_reverse(rough, unlike, pair.second.shape):
            continue
        place = refine(*pair.grays, rough)
        found = place and _compare_at(pair, place)
        if not place or not found:
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


def _compare_at(pair: _Pair, place: Place) -> _Finding | None:
    """Compare what both pictures show where one lies in the other; None if that is too little."""
    part = pair.second if place.part_is_second else pair.first
    is_moved = not is_unmoved(place.matrix, part.shape)
    if not is_moved and (pair.direct.is_final or pair.direct.agreement >= LEAST_AGREEMENT):
        return pair.direct
    shared = cut_out(pair.first, pair.second, place)
    if shared is None or min(shared.first.shape[:2]) < MIN_SIDE:
        return None
    evidence = Evidence(shared.first, shared.second)
    relation = _relation(evidence)
    if not is_moved:  # perhaps only the edges differ
        is_final = relation == SAME_PICTURE
        return pair.direct._replace(agreement=evidence.agreement, is_final=is_final)
    if relation != SAME_PICTURE:
        return _Finding(relation, evidence.agreement, evidence, shared.frame, is_final=False)
    if evidence.agreement < LEAST_AGREEMENT:
        return None  # both show next to nothing there
    box = box_in_whole(place.matrix) if place.part_is_second else FULL_FRAME
    return _Finding(CROPPED, evidence.agreement, frame=box)


def _compare_turned(pair: _Pair, turns: Sequence[str], *, must_be_nearer: bool) -> Verdict | None:
    """Compare with the second picture turned; None if it differs in all of these orientations.

    A symmetrical object with other letters is about as near either way: see `must_be_nearer`.
    """
    verdict = None
    for orientation in turns:
        turned = pair.turned(orientation)
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


def _relation(evidence: Evidence) -> str:
    """Decide whether two pictures are the same, recoloured or edited; the first glance may do."""
    if evidence.luma_differs and (evidence.agreement <= ALIKE or evidence.tone_share <= TONE_SHARE):
        return EDITED
    differs = evidence.excess > 0
    if not differs.any():
        return RECOLOURED if evidence.recoloured else SAME_PICTURE
    structure = np.count_nonzero(evidence.structure_excess)
    is_recoloured = structure <= STRUCTURE_SHARE * np.count_nonzero(differs)
    return RECOLOURED if is_recoloured and evidence.agreement > ALIKE else EDITED


def _region(excess: Plane) -> Shares:
    """Return the box of the connected region with the largest excess."""
    rows, columns = excess.shape
    marks = (largest_near(excess, 3) > 0).astype(np.uint8)
    row, column = divmod(int(np.argmax(excess)), columns)
    x, y, width, height = region_around(marks, row, column)
    return x / columns, y / rows, (x + width) / columns, (y + height) / rows
