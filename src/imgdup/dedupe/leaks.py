"""Choose the leaks by hash that a comparison of the pictures confirms.

The images of A that are near an image of B are compared with it, nearest first, until one is a
duplicate. If the labels disagree, it is looked for a duplicate with another label as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from imgdup.dedupe.candidates import MatchRule, hash_classes, hashes_of
from imgdup.dedupe.compare import Leaks
from imgdup.dedupe.decide import MAX_CANDIDATES, Judge
from imgdup.dedupe.difference import Verdict
from imgdup.dedupe.groups import Progress
from imgdup.dedupe.nearest import nearest_across
from imgdup.dedupe.relations import DIFFERENT, UNVERIFIED
from imgdup.workers.pool import batched

PAIRS_TOGETHER = 256  # compared between two reports of progress
NO_DUPLICATE = Verdict(DIFFERENT, 0.0, None)


@dataclass
class _Image:
    """An image of B with its candidates in A, and what was found."""

    place: int
    label: str | None
    candidates: Iterator[tuple[int, int]]  # places in A and distances
    nearest: list[tuple[int, int]] = field(default_factory=list)  # one at most
    verdict: Verdict = NO_DUPLICATE
    conflict: int = -1


def verified(
    leaks: Leaks,
    rule: MatchRule,
    judge: Judge,
    *,
    max_candidates: int = MAX_CANDIDATES,
    progress: Progress = lambda n_decided, n_images: None,
) -> Leaks:
    """Return the leaks whose pictures are not different, with what their comparisons found.

    Parameters
    ----------
    leaks : Leaks
        From `imgdup.dedupe.compare.compare`.
    rule : MatchRule
        By which they were found.
    judge : callable
        Compares the pictures of pairs of rows, the first of A and the second of B.
    max_candidates : int
        Most images of A to compare with an image of B.
    progress : callable
        Is called with the number of images of B that are decided, and of all that have candidates.
    """
    images = list(_images(leaks, rule, max_candidates))
    _confirm(images, leaks, judge, progress)
    found = [
        (distance, image.place, in_a, image.verdict, image.conflict)
        for image in images
        for in_a, distance in image.nearest
    ]
    found.sort(key=lambda each: each[:3])
    return leaks._replace(
        places_b=np.array([place for _, place, _, _, _ in found], np.int64),
        places_a=np.array([in_a for _, _, in_a, _, _ in found], np.int64),
        distances=np.array([distance for distance, _, _, _, _ in found], np.uint16),
        verdicts=[verdict for _, _, _, verdict, _ in found],
        conflicts=np.array([conflict for _, _, _, _, conflict in found], np.int64),
    )


def _confirm(images: Sequence[_Image], leaks: Leaks, judge: Judge, progress: Progress) -> None:
    """Compare images of B with their candidates until each is decided, some pairs at a time."""
    waiting = [(image, pair) for image in images if (pair := _next(image, leaks))]
    n_decided = len(images) - len(waiting)
    while waiting:
        again: list[tuple[_Image, tuple[int, int]]] = []
        for some in batched(waiting, PAIRS_TOGETHER):
            rows = [
                (int(leaks.a.images[place]), int(leaks.b.images[image.place]))
                for image, (place, _) in some
            ]
            for (image, pair), verdict in zip(some, judge(rows), strict=True):
                _note(image, pair, verdict, leaks.a.labels)
            open_ones = [(image, pair) for image, _ in some if (pair := _next(image, leaks))]
            again += open_ones
            n_decided += len(some) - len(open_ones)
            progress(n_decided, len(images))
        waiting = again


def _images(leaks: Leaks, rule: MatchRule, most: int) -> Iterator[_Image]:
    """Yield the images of B that have candidates; of equal bytes no picture is compared."""
    sides = []
    for each, images in ((leaks.a, leaks.a.images), (leaks.b, leaks.b.images[leaks.places_b])):
        hashes = hashes_of(each.rows, images, rule)
        sides.append((hashes, hash_classes(hashes, each.rows.column("quality")[images])))
    near = nearest_across(sides, rule, most)
    for i, (place, verdict) in enumerate(zip(leaks.places_b.tolist(), leaks.verdicts, strict=True)):
        span = slice(int(near.offsets[i]), int(near.offsets[i + 1]))
        pairs = zip(near.others[span].tolist(), near.distances[span].tolist(), strict=True)
        image = _Image(place, leaks.b.labels[place], pairs)
        if verdict.relation != UNVERIFIED:
            in_a = int(leaks.places_a[i])
            image.nearest, image.verdict = [(in_a, int(leaks.distances[i]))], verdict
            first = int(leaks.conflicts[i])
            image.conflict = first if _is_conflict(image, first, leaks) else -1
        yield image


def _is_conflict(image: _Image, in_a: int, leaks: Leaks) -> bool:
    """Return whether an image of A has the same bytes and another label: nothing to compare."""
    if in_a < 0 or leaks.a.labels[in_a] in (None, image.label) or image.label is None:
        return False
    rows = (leaks.a, int(leaks.a.images[in_a])), (leaks.b, int(leaks.b.images[image.place]))
    one, other = (each.rows.column("digest")[row].tobytes() for each, row in rows)
    return bool(one == other)


def _next(image: _Image, leaks: Leaks) -> tuple[int, int] | None:
    """Return the next candidate to compare; None if nothing is left to find."""
    for place, distance in image.candidates:
        label = leaks.a.labels[place]
        may_conflict = image.label is not None and label not in (None, image.label)
        if not image.nearest or (may_conflict and image.conflict < 0):
            return place, distance
    return None


def _note(
    image: _Image, pair: tuple[int, int], verdict: Verdict, labels: Sequence[str | None]
) -> None:
    """Note what the comparison of a candidate found."""
    if verdict.relation == DIFFERENT:
        return
    if not image.nearest:
        image.nearest, image.verdict = [pair], verdict
    if image.label is not None and labels[pair[0]] not in (None, image.label):
        image.conflict = pair[0] if image.conflict < 0 else image.conflict
