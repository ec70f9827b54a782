"""Decide which of two files that show the same picture is the original, by both together.

Keep rules sort files by what each one shows alone. Where two pictures were compared and are the
same, they show more: whether the larger one was enlarged from the smaller one, and whether one is
the other with changed levels. This decides instead of what `not-upscaled` and `quality` find.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from imgdup.dedupe.keep import FACT_RULES, LAST, FactsOf, Keep, deciding_rules
from imgdup.dedupe.relations import SAME_PICTURE, Verdict
from imgdup.dedupe.resized import FIRST
from imgdup.images.facts import ImageFacts
from imgdup.images.gray import Pixels
from imgdup.images.spectra import ENLARGED, change_of_size
from imgdup.index.columns import RowNumbers, Rows

MAX_COUNTED = 1 << 11  # pixels, about
MIN_LEVELS = 32  # that a picture shows, if its levels can be compared
MAX_VARIANCE = 0.1  # around the level that replaces another; compression leaves more ...
MAX_QUALITY = 95  # ... up to this quality


class Ruling(NamedTuple):
    """The keep rule that decides between two files, and whether it is for the second one."""

    rule: str
    for_second: bool = False


def only_levels_differ(first: Pixels, second: Pixels) -> bool:
    """Return whether each level of one picture became one level of the other, uncompressed."""
    if first.shape[:2] != second.shape[:2]:
        return False
    one, other = (_sampled(each) for each in (first, second))
    return _follows(one, other) or _follows(other, one)


def _sampled(pixels: Pixels) -> Pixels:
    """Return some pixels of the green channel."""
    green = pixels if pixels.ndim == 2 else pixels[..., 1]
    return green[:: max(1, green.size // MAX_COUNTED)].ravel()


def _follows(one: Pixels, other: Pixels) -> bool:
    """Return whether the levels of a picture decide those of another."""
    counts = np.bincount(one, minlength=256)
    if np.count_nonzero(counts) < MIN_LEVELS:
        return False
    sums = np.bincount(one, other, minlength=256)
    squares = np.bincount(one, other.astype(np.float64) ** 2, minlength=256)
    around = float(np.sum(squares) - np.sum(sums**2 / np.maximum(counts, 1)))
    return bool(around <= MAX_VARIANCE * (len(one) - np.count_nonzero(counts)))


def rulings(
    rows: Rows,
    keep: Keep,
    pairs: tuple[RowNumbers, RowNumbers],
    verdicts: Sequence[Verdict],
    facts_of: FactsOf,
) -> list[Ruling]:
    """Decide between the two rows of each pair, the better one by the keep order first.

    `verdicts` are what the comparison of their pictures found.
    """
    rules = deciding_rules(rows, keep, *pairs, facts_of)
    found = [Ruling(rule) for rule in rules]
    ordered = (*keep.rules, LAST)[: keep.rules.index(LAST) if LAST in keep.rules else None]
    by_size, by_quality = (
        {*ordered[ordered.index(name) :], LAST} if name in ordered else set()
        for name in ("not-upscaled", "quality")
    )
    same = [i for i, each in enumerate(verdicts) if each.relation == SAME_PICTURE]
    if not same or not set(ordered) & set(FACT_RULES):
        return found
    first, second = (side[same] for side in pairs)
    described = zip(same, facts_of(first), facts_of(second), strict=True)
    width, height = (rows.column(name).astype(np.float64) for name in ("width", "height"))
    for place, one, other in described:
        if one is None or other is None:
            continue
        a, b = (int(side[place]) for side in pairs)
        factor = math.sqrt(width[b] * height[b] / (width[a] * height[a]))
        if rules[place] in by_size and factor != 1:
            found[place] = _by_size(one, other, factor, verdicts[place]) or found[place]
        elif factor == 1 and rules[place] in by_quality | {"not-upscaled"}:
            found[place] = _by_quality(one, other, verdicts[place]) or found[place]
    return found


def _by_size(one: ImageFacts, other: ImageFacts, factor: float, verdict: Verdict) -> Ruling | None:
    """Decide by what the pictures show: what rounding has left, or else their spectra.

    The second is `factor` times as large. An enlarged picture is not kept for its size.
    """
    larger, smaller = (one, other) if factor < 1 else (other, one)
    quality = min(one.quality, other.quality)
    change = verdict.change_of_size or change_of_size(
        larger.spectrum, smaller.spectrum, max(factor, 1 / factor), quality
    )
    if change is None:
        return None
    if change == ENLARGED:
        return Ruling("not-upscaled", for_second=smaller is other)
    return Ruling("largest", for_second=larger is other)


def _by_quality(one: ImageFacts, other: ImageFacts, verdict: Verdict) -> Ruling | None:
    """Decide between files of one size by what rounding or a change of levels has left."""
    if verdict.levels_only:
        return _by_levels(one, other)
    return Ruling("quality", for_second=verdict.copy == FIRST) if verdict.copy else None


def _by_levels(one: ImageFacts, other: ImageFacts) -> Ruling | None:
    """Decide for the compressed one of two files whose levels differ: compression changes more."""
    lossy = other if one.lossless else one
    if one.lossless == other.lossless or lossy.quality > MAX_QUALITY:
        return None
    return Ruling("quality", for_second=lossy is other)
