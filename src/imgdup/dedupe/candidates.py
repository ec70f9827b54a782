"""What counts as a duplicate, and who is one: classes of equal rows, blocks of near pairs.

Two images are duplicates when their PDQ hashes lie within a distance and both have structure
enough to be told by it (quality), or when their bytes are equal, whatever the quality. Nothing
here expands a list of pairs: equal hashes are one class, near ones come in blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import PDQ_BITS, PDQ_MAX_DISTANCE, PDQ_MIN_QUALITY
from imgdup.index.columns import RowNumbers, Rows, byte_keys
from imgdup.search.equal import Pairs, group_equal
from imgdup.search.hamming import distances
from imgdup.search.join import iter_pairs

NO_CLASS = -1

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MatchRule:
    """What counts as a duplicate.

    Attributes
    ----------
    max_distance : int
        Largest distance of the PDQ hashes, in bits, inclusive.
    search_distance : int, optional
        Where given, the search hashes must lie within this distance too.
    """

    max_distance: int = PDQ_MAX_DISTANCE
    search_distance: int | None = None

    def __post_init__(self) -> None:
        """Check the distances."""
        if not 0 <= self.max_distance <= PDQ_BITS:
            raise ValueError(f"max_distance must be 0 to {PDQ_BITS}, got {self.max_distance}")
        if self.search_distance is not None and self.search_distance < 0:
            raise ValueError(f"search_distance must be 0 or more, got {self.search_distance}")


class Hashes(NamedTuple):
    """The hashes of some files: ``pdq`` (n, 4); ``search`` (n, words), words 0 if not needed."""

    pdq: Words
    search: Words

    def take(self, which: RowNumbers) -> "Hashes":
        """Return the hashes of some of the files."""
        return Hashes(self.pdq[which], self.search[which])


def hashes_of(rows: Rows, selected: RowNumbers, rule: MatchRule) -> Hashes:
    """Return the hashes of rows that the rule looks at."""
    pdq: Words = rows.column("pdq")[selected]
    if rule.search_distance is None:
        return Hashes(pdq, np.zeros((len(pdq), 0), np.uint64))
    return Hashes(pdq, rows.column("hashes")[selected])


def near(
    hashes: Hashes, rule: MatchRule, *, other: Hashes | None = None, threads: int | None = None
) -> Iterator[Pairs]:
    """Stream the pairs within the rule's distances, as `imgdup.search.join.iter_pairs` does.

    By the search hash, too, the join is that of the PDQ hashes: the pairs within both distances
    are the same whichever is looked at first, and PDQ hashes are the more evenly spread ones.

    Parameters
    ----------
    hashes : Hashes
        Distinct, or nearly so: each pair of equal ones is a pair.
    rule : MatchRule
    other : Hashes, optional
        A second set; without it, the pairs i < j of one.
    threads : int, optional

    Yields
    ------
    Pairs
        Blocks, ascending and disjoint in ``left``.
    """
    across = hashes if other is None else other
    if len(hashes.pdq) == 0 or len(across.pdq) == 0:
        return
    second = None if other is None else other.pdq
    for block in iter_pairs(hashes.pdq, rule.max_distance, other=second, threads=threads):
        if rule.search_distance is None:
            yield block
            continue
        bits = distances(hashes.search[block.left], across.search[block.right])
        kept = bits <= rule.search_distance
        yield Pairs(block.left[kept], block.right[kept], block.distances[kept])


def hash_classes(hashes: Hashes, quality: npt.NDArray[np.uint8]) -> RowNumbers:
    """Give each file the number of its class of equal hashes.

    Parameters
    ----------
    hashes : Hashes
    quality : ndarray of uint8, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
        The class of each, from 0; -1 where the quality is too low to match.
    """
    numbers = np.full(len(quality), NO_CLASS, np.int64)
    good = np.flatnonzero(quality >= PDQ_MIN_QUALITY)
    numbers[good] = class_numbers(np.hstack(hashes.take(good)))
    return numbers


def byte_classes(rows: Rows, selected: RowNumbers) -> RowNumbers:
    """Give each file the number of its class of equal bytes: size and content digest."""
    return class_numbers(byte_keys(rows, selected))


def class_numbers(keys: Words) -> RowNumbers:
    """Give each key, shape (n, words), the number of its class of equal ones, from 0."""
    numbers = np.empty(len(keys), np.int64)
    if len(keys):
        classes = group_equal(np.ascontiguousarray(keys))
        sizes = np.diff(classes.offsets)
        numbers[classes.members] = np.repeat(np.arange(len(sizes)), sizes)
    return numbers


def with_duplicates(
    rows: Rows, selected: RowNumbers, rule: MatchRule, threads: int | None = None
) -> RowNumbers:
    """Find the rows that are a duplicate of another one; `selected` has one row a file.

    Returns
    -------
    ndarray of int64
        In the order of `selected`.
    """
    hashes = hashes_of(rows, selected, rule)
    classes = hash_classes(hashes, rows.column("quality")[selected])
    found = _shared(byte_classes(rows, selected)) | (_shared(classes) & (classes != NO_CLASS))
    numbers, first = np.unique(classes, return_index=True)
    first = first[numbers != NO_CLASS]
    paired = np.zeros(len(first), bool)
    for block in near(hashes.take(first), rule, threads=threads):
        paired[block.left] = paired[block.right] = True
    matched = np.append(paired, False)[classes]  # class -1 is the one at the end
    return np.compress(found | matched, selected)


def _shared(classes: RowNumbers) -> npt.NDArray[np.bool_]:
    """Tell which entries share their class with another one."""
    counts = np.bincount(classes + 1)
    return np.asarray(counts[classes + 1] > 1)
