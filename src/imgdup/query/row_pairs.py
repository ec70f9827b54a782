"""Find the pairs of rows of one or two indexes within a distance, as a stream."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_MIN_QUALITY, dihedral_hashes
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import (
    PDQ,
    RowNumbers,
    Rows,
    byte_keys,
    check_digest_kinds,
    images,
    one_file_test,
)
from imgdup.query.match import are_duplicates
from imgdup.query.shards import Sharding, iter_sharded_pairs
from imgdup.query.transformed import INVERSE, pairs_in_orientation
from imgdup.search import Chosen, distances
from imgdup.search.equal import Classes, Pairs, expand, group_equal
from imgdup.search.join import JoinStats, iter_pairs

COLUMNS: Mapping[str, str] = {"match": "match", "search": "hashes"}


@dataclass(frozen=True)
class Side:
    """Some rows of an index."""

    index: Rows
    rows: RowNumbers

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of these rows."""
        return self.index.column(name)[self.rows]

    def has_pdq(self) -> bool:
        """Return whether the index has PDQ hashes."""
        try:
            self.index.column(PDQ)
        except KeyError:
            return False
        return True

    def with_structure(self) -> "Side":
        """Return the rows whose pictures are not too flat, blank or tiny for near-duplicates."""
        has_structure = self.column("quality") >= MATCH_MIN_QUALITY
        return self if has_structure.all() else Side(self.index, self.rows[has_structure])

    def hashes(self, name: str) -> Chosen:
        """Return a column of hashes of these rows, without a copy of it."""
        hashes = np.asarray(self.index.column(name), np.uint64)
        if np.array_equal(self.rows, np.arange(len(hashes))):
            return Chosen(hashes)
        return Chosen(hashes, self.rows.astype(np.uint32))


class PairRule(NamedTuple):
    """Which pairs of images are found."""

    max_distance: int  # largest accepted distance, in bits, inclusive
    # ``"match"`` or ``"search"``: which hash is compared. By match hash, pictures of a quality
    # below 50 are left out.
    by: str = "match"
    # Whether one picture of a pair may be rotated or mirrored; only by match hash. A pair is found
    # once, in its nearest orientation.
    orientations: bool = False


class JoinWork(NamedTuple):
    """How a join is done: what is updated meanwhile, and by which shards it is divided, if any."""

    stats: JoinStats | None = None
    sharding: Sharding | None = None

    @classmethod
    def shown(cls, on_progress: Callable[[float], None], sharding: Sharding | None) -> "JoinWork":
        """Report the share that is done while the join runs."""
        return cls(JoinStats(on_progress), sharding)

    def find(
        self, left: Chosen, max_distance: int, other: Chosen | None, orientation: int | None
    ) -> Iterator[Pairs]:
        """Find the pairs of hashes within a distance, of all or of those turned so."""
        if self.sharding is not None:
            return iter_sharded_pairs(
                left, max_distance, self.sharding, other=other, orientation=orientation
            )
        if orientation is None:
            return iter_pairs(left, max_distance, other=other, stats=self.stats)
        turned = None if other is None else other[:]
        return pairs_in_orientation(
            orientation, left[:], max_distance, other=turned, stats=self.stats
        )


class RowPairs(NamedTuple):
    """Pairs of rows within a distance."""

    # Rows of the two indexes, or of the same one.
    left: RowNumbers
    right: RowNumbers
    # Of the search hashes and of the match hashes, in bits.
    distances: RowNumbers
    match_distances: RowNumbers
    # Match distance at most 31 and both qualities at least 50, or the same bytes.
    duplicate: npt.NDArray[np.bool_]
    pdq_distances: RowNumbers | None  # of the PDQ hashes, in bits; None if an index has none
    # How the right picture must be turned to lie as the left one: a position in
    # `imgdup.images.gray.ORIENTATIONS`. `match_distances` and `duplicate` are those of the pictures
    # turned so; search and PDQ hashes are not turned.
    orientations: RowNumbers

    def part(self, which: slice | list[bool]) -> "RowPairs":
        """Return some of the pairs."""
        pdq = None if self.pdq_distances is None else self.pdq_distances[which]
        numbers = (self.left, self.right, self.distances, self.match_distances)
        left, right, search, match = (each[which] for each in numbers)
        duplicate, orientations = self.duplicate[which], self.orientations[which]
        return RowPairs(left, right, search, match, duplicate, pdq, orientations)

    def orientation_names(self) -> list[str]:
        """Return the orientation of each pair by its name."""
        return [ORIENTATIONS[number] for number in self.orientations.tolist()]


def iter_row_pairs(
    left: Side, right: Side | None, rule: PairRule, *, work: JoinWork | None = None
) -> Iterator[RowPairs]:
    """Find all pairs of images within a distance; exact, in bounded memory.

    Without `right`, the images are compared with each other. Two rows of one file (hard links, a
    second mount) are not a pair. Pairs are yielded in the order of the left rows, equal hashes
    together; one orientation after the other. `work` is updated while the join runs, and says by
    which shards it is divided. Raises ValueError if `max_distance` is out of range, `by` is
    unknown, or search hashes are to be turned.
    """
    work = work or JoinWork()
    _check(rule)
    are_one_file = one_file_test(left.index, (right or left).index)
    one = _distinct(left, rule.by)
    two = one if right is None else _distinct(right, rule.by)
    second = None if right is None else two.hashes
    for orientation in range(len(ORIENTATIONS) if rule.orientations else 1):
        turned_so = orientation if rule.orientations else None
        blocks = work.find(one.hashes, rule.max_distance, second, turned_so)
        other = None if right is None and orientation == 0 else two.classes
        for block in expand(one.classes, blocks, other=other):
            i, j = block.left, block.right
            turned = np.full(len(i), orientation)
            if right is None:
                swapped = i > j
                i, j = np.minimum(i, j), np.maximum(i, j)
                turned[swapped] = INVERSE[orientation]
            apart = ~are_one_file(i, j)
            a, b = Side(left.index, i[apart]), Side((right or left).index, j[apart])
            yield _described(a, b, turned[apart])


def _check(rule: PairRule) -> None:
    """Raise ValueError for what `iter_row_pairs` cannot find."""
    if rule.by not in COLUMNS:
        raise ValueError(f"by must be one of {sorted(COLUMNS)}, got {rule.by!r}")
    if rule.orientations and rule.by != "match":
        raise ValueError("only match hashes can be turned: compare by match")


class _Distinct(NamedTuple):
    """The different hashes of some rows, and the rows of each: the members of its class."""

    hashes: Chosen
    classes: Classes


def _distinct(side: Side, by: str) -> _Distinct:
    """Group the rows of a side by hash; by match hash, only those with structure."""
    if by == "match":
        side = side.with_structure()
    hashes = side.hashes(COLUMNS[by])
    classes = group_equal(hashes)
    return _Distinct(classes.choose(hashes), classes._replace(members=side.rows[classes.members]))


def described_pairs(left: Side, right: Side | None, i: RowNumbers, j: RowNumbers) -> RowPairs:
    """Return what `iter_row_pairs` does of some pairs of rows, those of one file left out."""
    other = (right or left).index
    apart = ~one_file_test(left.index, other)(i, j)
    upright = np.zeros(np.count_nonzero(apart), np.int64)
    return _described(Side(left.index, i[apart]), Side(other, j[apart]), upright)


def _described(a: Side, b: Side, orientations: RowNumbers) -> RowPairs:
    """Return the distances of pairs of rows, and which are duplicates."""
    search = _between(a, b, "hashes")
    match = _between(a, b, "match", orientations)
    quality = np.minimum(a.column("quality"), b.column("quality"))
    same_bytes = np.all(a.column("digest") == b.column("digest"), axis=1)
    pdq = _between(a, b, PDQ) if a.has_pdq() and b.has_pdq() else None
    duplicate = are_duplicates(match, quality, same_bytes)
    return RowPairs(a.rows, b.rows, search, match, duplicate, pdq, orientations)


def _between(a: Side, b: Side, name: str, orientations: RowNumbers | None = None) -> RowNumbers:
    """Return the distances between two sides, the second in orientations if these are given."""
    left, right = (np.asarray(side.column(name), np.uint64) for side in (a, b))
    if orientations is not None:
        for orientation in np.unique(orientations[orientations > 0]).tolist():
            turned = orientations == orientation
            right[turned] = dihedral_hashes(right[turned], [orientation])[0]
    return distances(left, right) if len(left) else np.zeros(0, np.int64)


def rows_outside(a: Rows, b: Rows, max_distance: int | None = None) -> RowNumbers:
    """Return the rows of an index whose picture is not in another index, ascending.

    By default, a picture is in `b` if the same bytes are. With `max_distance` it is also in `b` if
    a match hash there is within this distance, in bits of 256, and both qualities are at least 50.
    Raises UsageError if the contents of the files are digested differently.
    """
    check_digest_kinds(a, b)
    outside = ~_have_equal_bytes(a, b)
    if max_distance is not None:
        outside[_near_rows(Side(a, images(a)), Side(b, images(b)), max_distance)] = False
    return np.flatnonzero(outside)


def _have_equal_bytes(a: Rows, b: Rows) -> npt.NDArray[np.bool_]:
    """Return for each row of `a` whether `b` has a file of the same bytes.

    Files that could not be read have no digest, and so no known bytes.
    """
    keys = [byte_keys(each, np.arange(len(each))) for each in (a, b)]
    classes = group_equal(np.concatenate(keys))
    number = np.empty(len(classes.members), np.int64)
    number[classes.members] = np.repeat(np.arange(len(classes.rows)), classes.sizes)
    is_known = [each[:, :-1].any(axis=1) for each in keys]
    in_b = np.zeros(len(classes.rows), bool)
    in_b[number[len(a) :][is_known[1]]] = True
    return np.asarray(in_b[number[: len(a)]] & is_known[0])


def _near_rows(left: Side, right: Side, max_distance: int) -> RowNumbers:
    """Return the rows of the left side that are near any row of the right side, by match hash."""
    ours, theirs = _distinct(left, "match"), _distinct(right, "match")
    is_near = np.zeros(len(ours.hashes), bool)
    for block in iter_pairs(ours.hashes, max_distance, other=theirs.hashes):
        is_near[block.left] = True
    rows: RowNumbers = ours.classes.members[np.repeat(is_near, ours.classes.sizes)]
    return rows
