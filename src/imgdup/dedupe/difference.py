"""Decide from the pixels of two pictures how they are related.

A copy may have another size, tone curve, sharpness, noise or compression: then it shows the same
picture. Otherwise a colour, a region, the frame or the orientation differs, or everything does.
In case of doubt, the result is never ``same-picture``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.alignment import (
    box_in_whole,
    cut_out,
    find_places,
    is_reverse,
    is_unmoved,
    refine,
)
from imgdup.dedupe.evidence import Evidence, agreement_of, differ_plainly
from imgdup.dedupe.exact import changed_detail, colour_was_changed
from imgdup.dedupe.imitate import evidence_of
from imgdup.images.gray import ORIENTATIONS, Pixels, upright
from imgdup.images.opencv import Plane, as_rgb, largest_near, luma, region_around, resized

VERDICT_VERSION = 16  # verdicts of another version are not comparable

SAME_PICTURE = "same-picture"
RECOLOURED = "recoloured"
EDITED = "edited"
CROPPED = "cropped"
TURNED = "turned"
DIFFERENT = "different"

MIN_SIDE = 8  # pixels; smaller pictures are the same only if they are equal
LOCAL_SHARE = 0.05  # of the area; if less differs, ...
LOCAL_AGREEMENT = 0.9  # ... and so much agrees, the pictures lie on each other
LEAST_AGREEMENT = 0.8  # share of the structured area that agrees in an edited picture
# The same; a place that agrees in less is not measured the other way round. Nor is one that agrees
# in enough of an edited picture, but not in nearly all: of 500 places with another relation the
# other way round, none agreed in less than 99 %.
FAR_FROM_ALIKE, NEARLY_ALIKE = 0.75, 0.95
STRUCTURE_SHARE = 0.02  # of the differing area; recoloured pictures differ less in structure
TONE_SHARE = 0.5  # of the squared differences; recoloured pictures differ in the means of blocks
ALIKE = 0.9  # share of the structured area that agrees in a recoloured picture
LIKELY_TURN = 0.7  # correlation of the reduced pictures
CLEARLY_LIKELIER = 0.1  # correlation above that of the upright pictures
NEARLY_AS_LIKELY = 0.01  # correlation below the best
NEARER = 0.7  # of the mean squared remainder of the upright pictures; turned ones have less
MOST_TURNS = 2  # orientations to compare
TURN_SIDE = 32  # pixels
COARSE_SIDE = 128  # pixels
WIDELY = 0.8  # share of the structured area

Box = tuple[int, int, int, int]
WHOLE: Box = (0, 0, 1000, 1000)


class Verdict(NamedTuple):
    """How two pictures are related."""

    # ``same-picture``, ``recoloured``, ``edited``, ``cropped``, ``turned`` or ``different``.
    relation: str
    # Largest local difference that copying does not explain, in gray levels from 0 to 255.
    peak: float
    # Where, in thousandths of the first picture: the region that differs most or, of cropped
    # pictures, what both show.
    box: Box | None
    # How the second picture must be turned to lie as the first, one of
    # `imgdup.images.gray.ORIENTATIONS`. A turned picture that differs otherwise, too, is not
    # ``turned``, but has the relation that it has in this orientation.
    orientation: str = ORIENTATIONS[0]
    # Whether each level of one picture became one level of the other, and nothing else differs.
    levels_only: bool = False


def same_pixels(first: Pixels, second: Pixels) -> bool:
    """Return whether two fully decoded pictures have the same size and pixels; gray equals RGB."""
    if first.shape[:2] != second.shape[:2]:
        return False
    if first.ndim == second.ndim:
        return bool(np.array_equal(first, second))
    gray, colour = (first, second) if first.ndim == 2 else (second, first)
    return all(np.array_equal(gray, colour[:, :, i]) for i in range(3))


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
        return Verdict(EDITED, detail.peak, _thousandths(detail.box))
    return verdict


def _compare(first: Pixels, second: Pixels) -> Verdict:
    """Compare two pictures that are not equal, in the likely orientations."""
    turns, is_clear = _likely_turns(first, second)
    turned = _compare_turned(first, second, turns) if is_clear else None
    if turned is not None:
        return turned
    finding = _compare_upright(first, second)
    verdict = finding.verdict()
    if is_clear or verdict.relation in (SAME_PICTURE, RECOLOURED):
        return verdict
    if verdict.relation != DIFFERENT:  # then only the same picture counts, and that agrees widely
        turns = [each for each in turns if _agree_widely(first, _turned(second, each))]
    turned = _compare_turned(first, second, turns, finding.evidence)
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
    evidence: Evidence | None = None
    box: Box | None = None  # where there is no evidence

    def verdict(self) -> Verdict:
        """Return the verdict."""
        if self.evidence is None:
            return Verdict(self.relation, 255.0 if self.relation == DIFFERENT else 0.0, self.box)
        excess = self.evidence.excess
        if not excess.any():
            return Verdict(self.relation, 0.0, None if self.relation == SAME_PICTURE else WHOLE)
        return Verdict(self.relation, float(excess.max()), _box(excess))


def _compare_upright(first: Pixels, second: Pixels) -> _Finding:
    """Compare two pictures that are not equal, without turning one."""
    if min(*first.shape[:2], *second.shape[:2]) < MIN_SIDE:
        return _Finding(DIFFERENT, box=WHOLE)
    height, width = (min(sides) for sides in zip(first.shape[:2], second.shape[:2], strict=True))
    direct = evidence_of(resized(first, height, width), resized(second, height, width))
    relation = _relation(direct)
    if relation == SAME_PICTURE and colour_was_changed(first, second):
        return _Finding(RECOLOURED, direct)
    if relation == SAME_PICTURE or not _may_be_moved(direct):
        return _Finding(relation, direct)
    return _compare_aligned(first, second, _Finding(relation, direct), direct.agreement)


def _may_be_moved(evidence: Evidence) -> bool:
    """Return whether the luma, or its structure, differs in more than a small region.

    Of pictures of smooth areas that are moved by a few pixels, hardly more than edges differ.
    """
    if evidence.agreement < LOCAL_AGREEMENT:
        return evidence.luma_differs
    if not evidence.luma_differs:
        return False
    parts = (evidence.luma_excess, evidence.structure_excess)
    return any(float(np.mean(part > 0)) > LOCAL_SHARE for part in parts)


def _compare_aligned(first: Pixels, second: Pixels, direct: _Finding, agreement: float) -> _Finding:
    """Find how one picture lies in the other and compare what both show."""
    finding, unlike = direct, None
    places = find_places(first, second)
    for rough in places:
        if unlike is not None and is_reverse(rough, unlike, second.shape):
            continue
        place = refine(first, second, rough)
        if place is None:
            continue
        whole, part = (first, second) if place.part_is_second else (second, first)
        shared = cut_out(whole, part, place.matrix)
        if shared is None or min(shared[0].shape[:2]) < MIN_SIDE:
            continue
        is_moved = not is_unmoved(place.matrix, part.shape)
        is_last = rough is places[-1]
        if is_last and not is_moved and finding is direct and agreement >= LEAST_AGREEMENT:
            break  # whatever is measured here, the answer is the direct one
        evidence = Evidence(*(shared if place.part_is_second else shared[::-1]))
        relation = _relation(evidence)
        if relation == SAME_PICTURE:
            if not is_moved:
                return direct  # the edges differ
            if evidence.agreement < LEAST_AGREEMENT:
                continue  # both show next to nothing there
            box = _thousandths(box_in_whole(place.matrix)) if place.part_is_second else WHOLE
            return _Finding(CROPPED, box=box)
        if evidence.agreement < FAR_FROM_ALIKE or (
            relation == EDITED and LEAST_AGREEMENT <= evidence.agreement < NEARLY_ALIKE
        ):
            unlike = place
        if evidence.agreement > agreement:
            agreement = evidence.agreement
            is_news = is_moved and relation != EDITED
            finding = _Finding(relation, evidence) if is_news else direct
    if finding.relation == RECOLOURED or agreement >= LEAST_AGREEMENT:
        return finding
    return direct._replace(relation=DIFFERENT)


def _likely_turns(first: Pixels, second: Pixels) -> tuple[list[str], bool]:
    """Return in which orientations the second picture may show the first, the likeliest first.

    Also return whether these are clearly likelier than the upright one.
    """
    one, other = _small(first), _small(second)
    likeness = [
        float(np.mean(one * upright(other, number))) for number in range(1, len(ORIENTATIONS) + 1)
    ]
    best = max(likeness[1:])
    if best < LIKELY_TURN:
        return [], False
    places = sorted(range(1, len(likeness)), key=lambda place: -likeness[place])
    likely = [place for place in places if likeness[place] >= best - NEARLY_AS_LIKELY]
    turns = [ORIENTATIONS[place] for place in likely[:MOST_TURNS]]
    return turns, best > likeness[0] + CLEARLY_LIKELIER


def _compare_turned(
    first: Pixels, second: Pixels, turns: Sequence[str], upright_evidence: Evidence | None = None
) -> Verdict | None:
    """Compare with the second picture turned; None if it differs in all of these orientations.

    If the upright pictures were measured, only one that is clearly nearer shows the same picture:
    a symmetrical object with other letters is about as near either way.
    """
    found = None
    for orientation in turns:
        turned = _turned(second, orientation)
        if same_pixels(first, turned):
            return Verdict(TURNED, 0.0, None, orientation)
        if differ_plainly(*_coarse(first, turned)) and not find_places(first, turned):
            continue
        finding = _compare_upright(first, turned)
        if (
            upright_evidence
            and finding.evidence
            and not _is_nearer(finding.evidence, upright_evidence)
        ):
            continue
        if finding.relation == SAME_PICTURE:
            return Verdict(TURNED, 0.0, None, orientation)
        if found is None and finding.relation != DIFFERENT:
            found = finding.verdict()._replace(orientation=orientation)
    return found


def _is_nearer(turned: Evidence, upright_evidence: Evidence) -> bool:
    """Return whether turned pictures are clearly nearer to each other than upright ones."""
    return turned.remainder <= NEARER * upright_evidence.remainder


def _turned(pixels: Pixels, orientation: str) -> Pixels:
    """Turn a picture."""
    return np.ascontiguousarray(upright(pixels, ORIENTATIONS.index(orientation) + 1))


def _agree_widely(first: Pixels, second: Pixels) -> bool:
    """Return whether reduced pictures correlate nearly everywhere, as all copies do.

    Of 960 copies of photos (blurred, noisy, JPEG 10, ...), the least agreed in 97 % of the area.
    """
    return agreement_of(*_coarse(first, second)) >= WIDELY


def _coarse(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels]:
    """Reduce two pictures to one size."""
    sides = [min(each) for each in zip(first.shape[:2], second.shape[:2], strict=True)]
    scale = min(1.0, COARSE_SIDE / max(sides))
    height, width = (max(1, round(side * scale)) for side in sides)
    return resized(first, height, width), resized(second, height, width)


def _small(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Reduce a picture to a small square with mean 0 and variance 1."""
    small = resized(pixels, TURN_SIDE, TURN_SIDE)
    small = (small if small.ndim == 2 else luma(small)).astype(np.float64)
    return np.asarray((small - small.mean()) / max(1e-6, float(small.std())))


def _relation(evidence: Evidence) -> str:
    """Decide whether two pictures are the same, recoloured or edited; the first glance may do."""
    if evidence.agreement <= ALIKE and evidence.luma_differs:
        return EDITED
    differs = evidence.excess > 0
    if not differs.any():
        return RECOLOURED if evidence.recoloured else SAME_PICTURE
    structure = np.count_nonzero(evidence.structure_excess)
    is_recoloured = structure <= STRUCTURE_SHARE * np.count_nonzero(differs)
    is_recoloured &= evidence.agreement > ALIKE
    is_recoloured &= evidence.tone_share > TONE_SHARE or not evidence.luma_differs
    return RECOLOURED if is_recoloured else EDITED


def _box(excess: Plane) -> Box:
    """Return the box of the connected region with the largest excess."""
    rows, columns = excess.shape
    marks = (largest_near(excess, 3) > 0).astype(np.uint8)
    row, column = divmod(int(np.argmax(excess)), columns)
    x, y, width, height = region_around(marks, row, column)
    return _thousandths((x / columns, y / rows, (x + width) / columns, (y + height) / rows))


def _thousandths(box: tuple[float, float, float, float]) -> Box:
    """Turn shares (left, top, right, bottom) into x, y, width, height in thousandths."""
    left, top, right, bottom = (round(1000 * each) for each in box)
    return left, top, max(1, right - left), max(1, bottom - top)
