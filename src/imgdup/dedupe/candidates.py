"""Find the pairs of images that may be duplicates by a rule: the candidates.

Two images are candidates if their match hashes are within a distance and both have enough structure
to be compared (quality), or if their bytes are equal. Equal hashes are one class and near ones
are yielded in blocks, so a list of all pairs is never expanded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE, MATCH_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import RowNumbers, Rows, byte_keys
from imgdup.query.turned import nearest_orientations, pairs_in_orientation
from imgdup.search.equal import Pairs, group_equal
from imgdup.search.hamming import distances
from imgdup.search.join import iter_pairs

# A logo changes the match hash by up to 64 bits, but a search hash of 64 bits hardly at all.
WIDE_MATCH, WIDE_SEARCH = 64, 3  # bits
MOST_WIDE = 200_000  # images; of more, too many pairs would have to be compared for each

NO_CLASS = -1
# A candidate is one number: the rank of the content, the distance, the rank of the better one.
RANK_BITS, DISTANCE_BITS = 27, 10
DISTANCE_SHIFT, CONTENT_SHIFT = np.uint64(RANK_BITS), np.uint64(RANK_BITS + DISTANCE_BITS)
BUFFERED = 1 << 22  # candidates that are kept before the farthest are dropped

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MatchRule:
    """Which two images count as duplicates.

    Attributes
    ----------
    max_distance : int
        Largest distance of the match hashes, in bits, inclusive.
    search_distance : int, optional
        If given, the search hashes must be within this distance, too.
    orientations : bool
        Whether one of the two may be rotated by quarter turns, or mirrored.
    wide : bool
        Whether two images are candidates, too, if the match hashes are within 64 bits and the
        search hashes, as they are, within 3.
    """

    max_distance: int = MATCH_MAX_DISTANCE
    search_distance: int | None = None
    orientations: bool = False
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

    Parameters
    ----------
    rule : MatchRule
    sides : sequence of (Rows, ndarray of int64)
        The images to compare: at most 200,000, with search hashes of 64 bits.
    """
    is_small = sum(len(selected) for _, selected in sides) <= MOST_WIDE
    is_short = all(rows.column("hashes").shape[1] == 1 for rows, _ in sides)
    return replace(rule, wide=True) if is_small and is_short else rule


class Hashes(NamedTuple):
    """Hashes of some files: ``match`` (n, 4) and ``search`` (n, words), 0 words if not used."""

    match: Words
    search: Words

    def select(self, which: RowNumbers) -> "Hashes":
        """Return the hashes of some of the files, by position."""
        return Hashes(self.match[which], self.search[which])


def hashes_of(rows: Rows, selected: RowNumbers, rule: MatchRule) -> Hashes:
    """Return the hashes of rows that the rule compares."""
    match: Words = rows.column("match")[selected]
    if rule.search_distance is None and not rule.wide:
        return Hashes(match, np.zeros((len(match), 0), np.uint64))
    return Hashes(match, rows.column("hashes")[selected])


def near(
    hashes: Hashes, rule: MatchRule, *, other: Hashes | None = None, threads: int | None = None
) -> Iterator[Pairs]:
    """Find the pairs within the distances of a rule, in blocks.

    The search compares match hashes and then filters by the search hash, if the rule has a search
    distance: match hashes are spread more evenly, and the result is the same.

    Parameters
    ----------
    hashes : Hashes
        Mostly distinct: two equal ones are a pair, too.
    rule : MatchRule
    other : Hashes, optional
        A second set; without it, the pairs i < j within `hashes`.
    threads : int, optional
        All cores by default.

    Yields
    ------
    Pairs
        Each pair once. The distance is that of the match hashes, in the nearest orientation if the
        rule has orientations.
    """
    if len(hashes.match) == 0 or (other is not None and len(other.match) == 0):
        return
    yield from _near_by_match(hashes, rule, other, threads)
    if rule.wide:
        yield from _near_by_search(hashes, rule, other, threads)


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


def _near_by_search(
    hashes: Hashes, rule: MatchRule, other: Hashes | None, threads: int | None
) -> Iterator[Pairs]:
    """Find further pairs whose search hashes are near."""
    across = hashes if other is None else other
    second = None if other is None else other.search
    for i, j, _ in iter_pairs(hashes.search, WIDE_SEARCH, other=second, threads=threads):
        if rule.orientations:
            bits = nearest_orientations(hashes.match, across.match, i, j)[0]
        else:
            bits = distances(hashes.match[i], across.match[j])
        kept = (bits > rule.max_distance) & (bits <= WIDE_MATCH)
        yield Pairs(i[kept], j[kept], bits[kept].astype(np.uint16))


def hash_classes(hashes: Hashes, quality: npt.NDArray[np.uint8]) -> RowNumbers:
    """Return the class of equal hashes of each file.

    Parameters
    ----------
    hashes : Hashes
    quality : ndarray of uint8, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0; -1 for files whose quality is too low to match by hash.
    """
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


def component_labels(
    rows: Rows, selected: RowNumbers, rule: MatchRule | None = None, *, threads: int | None = None
) -> RowNumbers:
    """Find the connected component of each image.

    Two images are in one component if a chain of duplicates leads from one to the other. The
    names of one file (hard links) have equal bytes, so they always are.

    Parameters
    ----------
    rows : Rows
    selected : ndarray of int64
        Rows of images.
    rule : MatchRule, optional
    threads : int, optional
        For the join; all cores by default.

    Returns
    -------
    ndarray of int64, shape of `selected`
        The component of each image, numbered from 0 by first appearance.
    """
    rule = rule or MatchRule()
    hashes = hashes_of(rows, selected, rule)
    by_hash = hash_classes(hashes, rows.column("quality")[selected])
    parent = np.arange(len(selected))
    for classes in (by_hash, byte_classes(rows, selected)):
        unite(parent, *_members_and_first(classes))
    classes, heads = np.unique(by_hash, return_index=True)
    heads = heads[classes != NO_CLASS]
    for block in near(hashes.select(heads), rule, threads=threads):
        unite(parent, heads[block.left], heads[block.right])
    return np.unique(parent, return_inverse=True)[1].reshape(-1)


def _members_and_first(classes: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Pair each member of a class with the first member."""
    _, first, same = np.unique(classes, return_index=True, return_inverse=True)
    members = np.flatnonzero(classes != NO_CLASS)
    return members, first[same.reshape(-1)[members]]


class Better(NamedTuple):
    """Of each content its nearest better candidates; contents are numbered by rank, best first.

    Those of content ``i`` are the slice ``offsets[i]:offsets[i + 1]`` of the other two, nearest
    first, the better first of equally near ones.
    """

    offsets: RowNumbers
    others: RowNumbers
    distances: RowNumbers


def nearest_better(
    hashes: Hashes,
    hash_class: RowNumbers,
    byte_class: RowNumbers,
    rule: MatchRule,
    most: int,
    *,
    threads: int | None = None,
) -> Better:
    """Find for each content the nearest candidates among those that are ranked before it.

    Parameters
    ----------
    hashes : Hashes
        Of each content, best first.
    hash_class, byte_class : ndarray of int64, shape (n,)
        From `hash_classes` and `byte_classes`; equal bytes are at distance 0.
    rule : MatchRule
    most : int
        How many to return for each content.
    threads : int, optional
        All cores by default.
    """
    nearest = _Nearest(len(hash_class), most, in_order=True)
    numbers, heads = np.unique(hash_class, return_index=True)
    heads = heads[numbers != NO_CLASS]
    by_hash = _Members.of(hash_class)
    for block in near(hashes.select(heads), rule, threads=threads):
        left, right = hash_class[heads[block.left]], hash_class[heads[block.right]]
        nearest.add_classes((by_hash, left), (by_hash, right), block.distances)
        nearest.add_classes((by_hash, right), (by_hash, left), block.distances)
    for members in (by_hash, _Members.of(byte_class)):
        shared = np.flatnonzero(np.diff(members.bounds) > 1)
        both = members, shared
        nearest.add_classes(both, both, np.zeros(len(shared), np.int64))
    return nearest.result()


def nearest_across(
    sides: Sequence[tuple[Hashes, RowNumbers]],
    rule: MatchRule,
    most: int,
    *,
    threads: int | None = None,
) -> Better:
    """Find for each image of a second set the nearest candidates by hash in a first set.

    Parameters
    ----------
    sides : sequence of (Hashes, ndarray of int64)
        The hashes and classes of both sets, from `hashes_of` and `hash_classes`.
    rule : MatchRule
    most : int
        How many to return for each image.
    threads : int, optional
        All cores by default.

    Returns
    -------
    Better
        The others are positions in the first set, nearest first, ties by position.
    """
    heads = []
    for _, classes in sides:
        numbers, first = np.unique(classes, return_index=True)
        heads.append(first[numbers != NO_CLASS])
    (hashes_a, classes_a), (hashes_b, classes_b) = sides
    members_a, members_b = _Members.of(classes_a), _Members.of(classes_b)
    nearest = _Nearest(max(len(classes_a), len(classes_b)), most, in_order=False)
    left, right = hashes_b.select(heads[1]), hashes_a.select(heads[0])
    for block in near(left, rule, other=right, threads=threads):
        in_b = members_b, classes_b[heads[1][block.left]]
        in_a = members_a, classes_a[heads[0][block.right]]
        nearest.add_classes(in_a, in_b, block.distances)
    return nearest.result()


class _Members(NamedTuple):
    """The contents of class i, best first: ``ranks[bounds[i]:bounds[i + 1]]``."""

    ranks: RowNumbers
    bounds: RowNumbers

    @classmethod
    def of(cls, classes: RowNumbers) -> "_Members":
        """Sort contents by class; those without a class are left out."""
        ranks = np.argsort(classes, kind="stable")[np.count_nonzero(classes == NO_CLASS) :]
        n_classes = int(classes.max(initial=NO_CLASS)) + 1
        return cls(ranks, np.searchsorted(classes[ranks], np.arange(n_classes + 1)))


class _Nearest:
    """Collects candidates and keeps the nearest of each content, in bounded memory."""

    def __init__(self, n_contents: int, most: int, *, in_order: bool) -> None:
        if n_contents >> RANK_BITS:
            raise ValueError(f"at most {1 << RANK_BITS:,} different contents, got {n_contents:,}")
        self.n_contents = n_contents
        self.most = most
        self.in_order = in_order  # whether candidates must be ranked before the content
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._n_buffered, self._room = 0, BUFFERED

    def add_classes(
        self,
        better: tuple["_Members", RowNumbers],
        others: tuple["_Members", RowNumbers],
        distances: npt.NDArray[np.integer[Any]],
    ) -> None:
        """Add the best members of classes as candidates for all members of other classes."""
        (sources, source), (targets, target) = better, others
        first = sources.bounds[source]
        n_better = np.minimum(sources.bounds[source + 1] - first, self.most)
        start, n_members = targets.bounds[target], np.diff(targets.bounds)[target]
        ends = np.cumsum(n_better * n_members)
        cuts = np.searchsorted(ends, np.arange(0, int(ends[-1]) if len(ends) else 0, BUFFERED))
        for a, b in pairwise([*np.unique(cuts).tolist(), len(ends)]):
            part = slice(a, b)
            pair, number = _numbered(n_better[part] * n_members[part])
            row, place = np.divmod(number, n_better[part][pair])
            best = sources.ranks[first[part][pair] + place]
            self._add(best, targets.ranks[start[part][pair] + row], distances[part][pair])

    def _add(
        self, better: RowNumbers, contents: RowNumbers, distances: npt.NDArray[np.integer[Any]]
    ) -> None:
        """Add candidates; those that are not better do not count."""
        kept = better < contents if self.in_order else np.ones(len(better), bool)
        parts = (each[kept].astype(np.uint64) for each in (contents, distances, better))
        content, distance, rank = parts
        self._keys.append(content << CONTENT_SHIFT | distance << DISTANCE_SHIFT | rank)
        self._n_buffered += len(rank)
        if self._n_buffered > self._room:
            self._drop_far()

    def _drop_far(self) -> None:
        """Sort the candidates of each content, and drop all but the nearest."""
        keys = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._keys]))
        keys = np.compress(np.diff(keys, prepend=~keys[:1]) != 0, keys)
        contents = keys >> CONTENT_SHIFT
        starts = np.searchsorted(contents, np.arange(self.n_contents, dtype=np.uint64))
        place = np.arange(len(keys)) - starts[contents.astype(np.int64)]
        self._keys = [keys[place < self.most]]
        self._n_buffered = len(self._keys[0])
        self._room = 2 * self._n_buffered + BUFFERED

    def result(self) -> Better:
        """Return the nearest candidates of each content."""
        self._drop_far()
        keys = self._keys[0]
        numbers = np.arange(self.n_contents + 1, dtype=np.uint64)
        bounds = np.searchsorted(keys >> CONTENT_SHIFT, numbers)
        distances = keys >> DISTANCE_SHIFT & np.uint64((1 << DISTANCE_BITS) - 1)
        others = keys & np.uint64((1 << RANK_BITS) - 1)
        return Better(bounds, others.astype(np.int64), distances.astype(np.int64))


def _numbered(counts: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Return each position as often as it counts, and the number of each repetition."""
    place = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return place, np.arange(len(place)) - starts[place]


def unite(parent: RowNumbers, left: RowNumbers, right: RowNumbers) -> None:
    """Join the components of each pair; the least member of each becomes the root of all.

    ``parent`` is changed: at first it is ``arange(n)``, in the end each entry is its root.
    """
    while len(left):
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        _flatten(parent)


def _flatten(parent: RowNumbers) -> None:
    """Let each member point at its root; takes as many rounds as the depth has bits."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above
