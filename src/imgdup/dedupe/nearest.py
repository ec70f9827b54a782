"""Choose the nearest candidates of each file, in bounded memory.

Pairs of classes of equal hashes go in; what comes out is, for each content, the list of its nearest
candidates among better contents, or among the images of another set.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import (
    NO_CLASS,
    Hashes,
    MatchRule,
    near,
)
from imgdup.index.columns import RowNumbers
from imgdup.search.equal import Pairs

# A candidate is one number: the rank of the content, the distance, the rank of the better one.
RANK_BITS, DISTANCE_BITS = 27, 10
DISTANCE_SHIFT, CONTENT_SHIFT = np.uint64(RANK_BITS), np.uint64(RANK_BITS + DISTANCE_BITS)
BUFFERED = 1 << 22  # candidates that are kept before the farthest are dropped


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
    known: Pairs | None = None,
) -> Better:
    """Find for each content the `most` nearest candidates among those that are ranked before it.

    The hashes are those of each content, best first; the classes are from `hash_classes` and
    `byte_classes`. Equal bytes are at distance 0. If the pairs of hash classes that are `near` are
    known, they are not looked for.
    """
    nearest = _Nearest(len(hash_class), most, in_order=True)
    by_hash = _Members.of(hash_class)
    blocks = _near_classes(hashes, hash_class, rule, threads) if known is None else [known]
    for left, right, bits in blocks:
        nearest.add_classes((by_hash, left), (by_hash, right), bits)
        nearest.add_classes((by_hash, right), (by_hash, left), bits)
    for members in (by_hash, _Members.of(byte_class)):
        shared = np.flatnonzero(np.diff(members.bounds) > 1)
        both = members, shared
        nearest.add_classes(both, both, np.zeros(len(shared), np.int64))
    return nearest.result()


def _near_classes(
    hashes: Hashes, hash_class: RowNumbers, rule: MatchRule, threads: int | None
) -> Iterator[Pairs]:
    """Find the pairs of hash classes that are near, in blocks."""
    numbers, heads = np.unique(hash_class, return_index=True)
    heads = heads[numbers != NO_CLASS]
    for left, right, bits in near(hashes.select(heads), rule, threads=threads):
        yield Pairs(hash_class[heads[left]], hash_class[heads[right]], bits)


def nearest_across(
    sides: Sequence[tuple[Hashes, RowNumbers]], rule: MatchRule, most: int
) -> Better:
    """Find for each image of a second set the `most` nearest candidates by hash in a first set.

    The sides are the hashes and classes of both sets, from `hashes_of` and `hash_classes`. The
    others of an image are positions in the first set, nearest first, ties by position.
    """
    heads = []
    for _, classes in sides:
        numbers, first = np.unique(classes, return_index=True)
        heads.append(first[numbers != NO_CLASS])
    (hashes_a, classes_a), (hashes_b, classes_b) = sides
    members_a, members_b = _Members.of(classes_a), _Members.of(classes_b)
    nearest = _Nearest(max(len(classes_a), len(classes_b)), most, in_order=False)
    left, right = hashes_b.select(heads[1]), hashes_a.select(heads[0])
    for block in near(left, rule, other=right):
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
        for a, b in pairwise([*sorted(set(cuts.tolist())), len(ends)]):
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
    """Repeat each position as often as its count, and number the repetitions."""
    place = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return place, np.arange(len(place)) - starts[place]
