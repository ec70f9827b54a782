"""Find the pairs of rows of one or two indexes within a distance, as a stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_MIN_QUALITY
from imgdup.index.columns import PDQ, RowNumbers, Rows, one_file_test
from imgdup.query.match import are_duplicates
from imgdup.search.equal import expand, group_equal
from imgdup.search.hamming import distances
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
        return Side(self.index, self.rows[self.column("quality") >= MATCH_MIN_QUALITY])


class RowPairs(NamedTuple):
    """Pairs of rows within a distance.

    Parameters
    ----------
    left, right : ndarray of int64, shape (n_pairs,)
        Rows of the two indexes, or of the same one.
    distances, match_distances : ndarray of int64, shape (n_pairs,)
        Of the search hashes and of the match hashes, in bits.
    duplicate : ndarray of bool, shape (n_pairs,)
        Match distance at most 31 and both qualities at least 50, or the same bytes.
    pdq_distances : ndarray of int64, shape (n_pairs,), or None
        Of the PDQ hashes, in bits; None if an index has none.
    """

    left: RowNumbers
    right: RowNumbers
    distances: RowNumbers
    match_distances: RowNumbers
    duplicate: npt.NDArray[np.bool_]
    pdq_distances: RowNumbers | None


def iter_row_pairs(
    left: Side,
    right: Side | None,
    max_distance: int,
    *,
    by: str = "match",
    stats: JoinStats | None = None,
) -> Iterator[RowPairs]:
    """Find all pairs of images within a distance; exact, in bounded memory.

    Two rows of one file (hard links, a second mount) are not a pair.

    Parameters
    ----------
    left : Side
        The images; without `right` they are compared with each other.
    right : Side or None
        Other images, of the same or of another index with the same hash.
    max_distance : int
        Largest accepted distance, in bits, inclusive.
    by : str
        ``"match"`` or ``"search"``: which hash is compared. By match hash, pictures of a quality
        below 50 are left out.
    stats : JoinStats, optional
        Updated while the join runs.

    Yields
    ------
    RowPairs
        In the order of the left rows, equal hashes together.

    Raises
    ------
    ValueError
        If `max_distance` is out of range, or `by` is unknown.
    """
    if by not in COLUMNS:
        raise ValueError(f"by must be one of {sorted(COLUMNS)}, got {by!r}")
    if by == "match":
        left, right = left.with_structure(), right and right.with_structure()
    sides = [left] if right is None else [left, right]
    hashes = [np.ascontiguousarray(s.column(COLUMNS[by]), np.uint64) for s in sides]
    classes = [group_equal(each) for each in hashes]
    distinct = [c.distinct(h) for h, c in zip(hashes, classes, strict=True)]
    blocks = iter_pairs(
        distinct[0],
        max_distance,
        other=None if right is None else distinct[1],
        stats=stats,
    )
    other = None if right is None else classes[1]
    are_one_file = one_file_test(left.index, (right or left).index)
    for block in expand(classes[0], blocks, other=other):
        one_file = are_one_file(left.rows[block.left], (right or left).rows[block.right])
        yield _described(left, right or left, block.left[~one_file], block.right[~one_file])


def _described(left: Side, right: Side, i: RowNumbers, j: RowNumbers) -> RowPairs:
    """Return the distances of pairs, and which are duplicates."""
    a, b = Side(left.index, left.rows[i]), Side(right.index, right.rows[j])
    search, match = (_between(a, b, name) for name in ("hashes", "match"))
    quality = np.minimum(a.column("quality"), b.column("quality"))
    same_bytes = np.all(a.column("digest") == b.column("digest"), axis=1)
    pdq = _between(a, b, PDQ) if left.has_pdq() and right.has_pdq() else None
    return RowPairs(a.rows, b.rows, search, match, are_duplicates(match, quality, same_bytes), pdq)


def _between(a: Side, b: Side, name: str) -> RowNumbers:
    left, right = (np.asarray(side.column(name), np.uint64) for side in (a, b))
    return distances(left, right) if len(left) else np.zeros(0, np.int64)
