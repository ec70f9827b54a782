"""Find the classes of equal images, and the pairs of images near each other, in blocks.

Two images are duplicates if their match hashes are within a distance and both have enough structure
to be compared (quality), or if their bytes are equal. Equal hashes are one class and near ones
come in blocks, so a list of all pairs is never expanded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE, MATCH_MIN_QUALITY
from imgdup.index.columns import RowNumbers, Rows, byte_keys
from imgdup.search.equal import Pairs, group_equal
from imgdup.search.hamming import distances
from imgdup.search.join import iter_pairs

NO_CLASS = -1

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
    """

    max_distance: int = MATCH_MAX_DISTANCE
    search_distance: int | None = None

    def __post_init__(self) -> None:
        """Check the distances."""
        if not 0 <= self.max_distance <= MATCH_BITS:
            raise ValueError(f"max_distance must be 0 to {MATCH_BITS}, got {self.max_distance}")
        if self.search_distance is not None and self.search_distance < 0:
            raise ValueError(f"search_distance must be 0 or more, got {self.search_distance}")


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
    if rule.search_distance is None:
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
        As `imgdup.search.join.iter_pairs`: ``left`` ascends from block to block, and no two
        blocks share a value of it.
    """
    across = hashes if other is None else other
    if len(hashes.match) == 0 or len(across.match) == 0:
        return
    second = None if other is None else other.match
    for block in iter_pairs(hashes.match, rule.max_distance, other=second, threads=threads):
        if rule.search_distance is None:
            yield block
            continue
        bits = distances(hashes.search[block.left], across.search[block.right])
        kept = bits <= rule.search_distance
        yield Pairs(block.left[kept], block.right[kept], block.distances[kept])


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


def with_duplicates(
    rows: Rows, selected: RowNumbers, rule: MatchRule, threads: int | None = None
) -> RowNumbers:
    """Return the rows that have a duplicate; `selected`, whose order is kept, has one per file."""
    hashes = hashes_of(rows, selected, rule)
    classes = hash_classes(hashes, rows.column("quality")[selected])
    found = _shared(byte_classes(rows, selected)) | (_shared(classes) & (classes != NO_CLASS))
    numbers, first = np.unique(classes, return_index=True)
    first = first[numbers != NO_CLASS]
    paired = np.zeros(len(first), bool)
    for block in near(hashes.select(first), rule, threads=threads):
        paired[block.left] = paired[block.right] = True
    matched = np.append(paired, False)[classes]  # class -1 is the last entry
    return np.compress(found | matched, selected)


def _shared(classes: RowNumbers) -> npt.NDArray[np.bool_]:
    """Return a mask of the entries that share their class with another entry."""
    counts = np.bincount(classes + 1)
    return np.asarray(counts[classes + 1] > 1)
