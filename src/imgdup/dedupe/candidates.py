"""Find the pairs of images that may be duplicates by a rule: the candidates.

Two images are candidates if their match hashes are within a distance and both have enough structure
to be compared (quality), or if their bytes are equal. A wide rule, for pictures that are compared
afterwards, finds edited, captioned, framed and cropped copies, too. Equal hashes are one class and
near ones are yielded in blocks, so a list of all pairs is never expanded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE, MATCH_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import RowNumbers, Rows, byte_keys, trimmed_hashes
from imgdup.query.transformed import crop_pairs, nearest_orientations, pairs_in_orientation
from imgdup.search import distances
from imgdup.search.equal import Pairs, group_equal
from imgdup.search.join import iter_pairs

# A logo changes the match hash by up to 64 bits, but a search hash of 64 bits hardly at all.
WIDE_MATCH, WIDE_SEARCH = 64, 3  # bits
# Large letters at the top and the bottom change all but the middle half of the search hash. The
# match hash is then within this distance, by the number of bits in which the middles differ.
MIDDLE_ROWS = np.uint64(0x0000_FFFF_FFFF_0000)  # of a hash of 8 rows
CAPTIONED_MATCH = np.array([80, 56])  # bits
LEAST_MIDDLE = 3  # ones, and zeros, of a middle; one with fewer is plain and says nothing
MOST_WIDE = 200_000  # images; in larger sets, each has too many candidates to compare

NO_CLASS = -1

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MatchRule:
    """Which two images count as duplicates."""

    # Largest distance of the match hashes, in bits, inclusive.
    max_distance: int = MATCH_MAX_DISTANCE
    # If given, the search hashes must be within this distance, too.
    search_distance: int | None = None
    # Whether one of the two may be rotated by quarter turns, or mirrored.
    orientations: bool = False
    # Whether two images are candidates, too, if the match hashes are within 64 bits and the search
    # hashes, as they are, within 3; if the middle rows of the search hashes are equal and the match
    # hashes within 80 bits, or one bit of these rows differs and the match hashes are within 56; if
    # those of what flat borders enclose are within the distance; or if one may be a crop of the
    # other, see `imgdup.query.transformed`.
    wide: bool = False

    def __post_init__(self) -> None:
        """Check the distances."""
        if not 0 <= self.max_distance <= MATCH_BITS:
            raise ValueError(f"max_distance must be 0 to {MATCH_BITS}, got {self.max_distance}")
        if self.search_distance is not None and self.search_distance < 0:
            raise ValueError(f"search_distance must be 0 or more, got {self.search_distance}")
        if self.orientations and self.search_distance is not None:
            raise ValueError("only match hashes can be turned: remove search_distance")


def widened(rule: MatchRule, sides: Sequence[tuple[Rows, RowNumbers]]) -> MatchRule:
    """Return the wide form of a rule, or the rule itself where that is not affordable.

    It is affordable for up to 200,000 images with search hashes of 64 bits.
    """
    is_small = sum(len(selected) for _, selected in sides) <= MOST_WIDE
    is_short = all(rows.column("hashes").shape[1] == 1 for rows, _ in sides)
    return replace(rule, wide=True) if is_small and is_short else rule


class Hashes(NamedTuple):
    """Hashes of some files: of the whole picture, for searching, of what flat borders enclose.

    ``match`` and ``trimmed`` have the shape (n, 4), ``search`` (n, words). Those that the rule does
    not use have 0 words; a trimmed hash is 0 where there is no border.
    """

    match: Words
    search: Words
    trimmed: Words

    def select(self, which: RowNumbers) -> "Hashes":
        """Return the hashes of some of the files, by position."""
        return Hashes(*(each[which] for each in self))


def hashes_of(rows: Rows, selected: RowNumbers, rule: MatchRule) -> Hashes:
    """Return the hashes of rows that the rule compares."""
    match: Words = rows.column("match")[selected]
    unused = np.zeros((len(match), 0), np.uint64)
    uses_search = rule.wide or rule.search_distance is not None
    return Hashes(
        match,
        rows.column("hashes")[selected] if uses_search else unused,
        trimmed_hashes(rows, selected) if rule.wide else unused,
    )


def near(
    hashes: Hashes, rule: MatchRule, *, other: Hashes | None = None, threads: int | None = None
) -> Iterator[Pairs]:
    """Find the pairs within the distances of a rule, in blocks.

    Without `other`, these are the pairs i < j within `hashes`; two equal hashes are a pair, too.
    The search compares match hashes and then filters by the search hash, if the rule has a search
    distance: match hashes are spread more evenly, and the result is the same. The distance of a
    pair is that of the match hashes of the whole pictures, in the nearest orientation if the rule
    has orientations. Each pair is found once, but under a wide rule perhaps several times.
    """
    if len(hashes.match) == 0 or (other is not None and len(other.match) == 0):
        return
    yield from _near_by_match(hashes, rule, other, threads)
    if rule.wide:
        across = hashes if other is None else other
        for block in _wide_pairs(hashes, rule, other, threads):
            bits = whole_distances(hashes, across, block.left, block.right, rule)
            kept = bits > rule.max_distance
            yield Pairs(block.left[kept], block.right[kept], bits[kept].astype(np.uint16))


def whole_distances(
    left: Hashes, right: Hashes, i: RowNumbers, j: RowNumbers, rule: MatchRule
) -> RowNumbers:
    """Return the distances of the match hashes of pairs, in the nearest orientation if wanted."""
    if rule.orientations:
        return nearest_orientations(left.match, right.match, i, j)[0]
    return distances(left.match[i], right.match[j])


def _near_by_match(
    hashes: Hashes, rule: MatchRule, other: Hashes | None, threads: int | None
) -> Iterator[Pairs]:
    """Find the pairs within the distance of the match hashes."""
    across = hashes if other is None else other
    second = None if other is None else other.match
    if rule.orientations:
        for orientation in range(len(ORIENTATIONS)):
            yield from pairs_in_orientation(
                orientation, hashes.match, rule.max_distance, other=second, threads=threads
            )
        return
    for block in iter_pairs(hashes.match, rule.max_distance, other=second, threads=threads):
        if rule.search_distance is None:
            yield block
            continue
        bits = distances(hashes.search[block.left], across.search[block.right])
        kept = bits <= rule.search_distance
        yield Pairs(block.left[kept], block.right[kept], block.distances[kept])


def _wide_pairs(
    hashes: Hashes, rule: MatchRule, other: Hashes | None, threads: int | None
) -> Iterator[Pairs]:
    """Find the pairs of a wide rule, among others that the match hash finds as well."""
    across = hashes if other is None else other
    second = None if other is None else other.search
    for i, j, bits in iter_pairs(hashes.search, WIDE_SEARCH, other=second, threads=threads):
        kept = whole_distances(hashes, across, i, j, rule) <= WIDE_MATCH
        yield Pairs(i[kept], j[kept], bits[kept])
    yield from near_in_the_middle(hashes, across, threads)
    yield from near_without_borders(hashes, across, rule.max_distance, threads)
    second = None if other is None else other.match
    yield from crop_pairs(hashes.match, other=second, threads=threads)


def near_in_the_middle(left: Hashes, right: Hashes, threads: int | None) -> Iterator[Pairs]:
    """Find the pairs that may be alike in the middle half of their height only."""
    one, i_rows = _middles(left)
    another, j_rows = (one, i_rows) if left is right else _middles(right)
    other = None if left is right else another
    for block in iter_pairs(one, len(CAPTIONED_MATCH) - 1, other=other, threads=threads):
        i, j = i_rows[block.left], j_rows[block.right]
        bits = distances(left.match[i], right.match[j])
        kept = bits <= CAPTIONED_MATCH[block.distances]
        yield Pairs(i[kept], j[kept], bits[kept].astype(np.uint16))


def _middles(hashes: Hashes) -> tuple[Words, RowNumbers]:
    """Return the middle rows of the search hashes that say something, and whose they are."""
    middles = hashes.search & MIDDLE_ROWS
    n_ones = np.bitwise_count(middles).sum(axis=1, dtype=np.int64)
    n_bits = int(MIDDLE_ROWS).bit_count()
    which = np.flatnonzero((n_ones >= LEAST_MIDDLE) & (n_ones <= n_bits - LEAST_MIDDLE))
    return middles[which], which


def near_without_borders(
    left: Hashes, right: Hashes, max_distance: int, threads: int | None
) -> Iterator[Pairs]:
    """Find the pairs that are near if one or both are taken without their borders."""
    is_self = left is right
    framed = [np.flatnonzero(each.trimmed.any(axis=1)) for each in (left, right)]
    sides = [
        (each.trimmed[which], which) for each, which in zip((left, right), framed, strict=True)
    ]
    wholes = [(each.match, np.arange(len(each.match))) for each in (left, right)]
    joins = [(sides[0], wholes[1]), (sides[0], sides[1])]
    joins += [] if is_self else [(wholes[0], sides[1])]
    for (one, one_rows), (another, another_rows) in joins:
        if len(one) == 0 or len(another) == 0:
            continue
        for block in iter_pairs(one, max_distance, other=another, threads=threads):
            i, j = one_rows[block.left], another_rows[block.right]
            if is_self:
                apart = i != j
                i, j = np.minimum(i, j)[apart], np.maximum(i, j)[apart]
                yield Pairs(i, j, block.distances[apart])
            else:
                yield Pairs(i, j, block.distances)


def are_near(hashes: Hashes, i: int, j: int, rule: MatchRule) -> bool:
    """Return whether `near` finds a pair of files under a wide rule."""
    pair = hashes.select(np.array([i])), hashes.select(np.array([j]))
    return any(len(block.left) for block in near(pair[0], rule, other=pair[1], threads=1))


def hash_classes(hashes: Hashes, quality: npt.NDArray[np.uint8]) -> RowNumbers:
    """Return the class of equal hashes of each file, from 0; -1 if its quality is too low."""
    numbers = np.full(len(quality), NO_CLASS, np.int64)
    good = np.flatnonzero(quality >= MATCH_MIN_QUALITY)
    numbers[good] = class_numbers(np.hstack(hashes.select(good)))
    return numbers


def byte_classes(rows: Rows, selected: RowNumbers) -> RowNumbers:
    """Return the class of equal bytes (size and content digest) of each file, from 0."""
    return class_numbers(byte_keys(rows, selected))


def class_numbers(keys: Words) -> RowNumbers:
    """Return the class of equal keys of each key, from 0; `keys` has the shape (n, words)."""
    numbers = np.empty(len(keys), np.int64)
    if len(keys):
        classes = group_equal(np.ascontiguousarray(keys))
        sizes = np.diff(classes.offsets)
        numbers[classes.members] = np.repeat(np.arange(len(sizes)), sizes)
    return numbers
