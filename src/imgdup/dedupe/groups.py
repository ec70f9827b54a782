"""Divide duplicates into groups: one file that is kept, and those removed in favour of it.

Files are visited best first. A file is kept unless a file that is already kept is a duplicate of
it; then it is removed in favour of the nearest such file, and of the best among equally near ones.
So no two kept files are duplicates (except protected ones, which are always kept), and no removal
rests on a chain.

Pairs come with the better file on the left, in the order of the visits. When a file comes up on
the left, it is known whether it is kept; then only one number is stored for each file on its
right, whatever the number of pairs.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import (
    NO_CLASS,
    Hashes,
    MatchRule,
    byte_classes,
    hash_classes,
    hashes_of,
    near,
    with_duplicates,
)
from imgdup.dedupe.keep import Keep, keep_order, lie_in
from imgdup.index.columns import RowNumbers, Rows, file_numbers
from imgdup.search.equal import Pairs

RANK_BITS = 40  # a keeper is one number: its distance in the high bits, its rank in the low ones
FAR = np.int64(1 << 62)  # no keeper

Flags = npt.NDArray[np.bool_]


class Groups(NamedTuple):
    """Star groups, by rows; the files of group i are ``removed[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    keepers : ndarray of int64, shape (n_groups,)
        The file of each group that is kept; best first.
    offsets : ndarray of int64, shape (n_groups + 1,)
    removed : ndarray of int64
        The files removed in favour of the keeper, nearest first, the better first of equally
        near ones. All names of such a file (hard links) are here, one after another.
    distances : ndarray of uint16
        Match distance of each to its keeper, in bits; 0 where the bytes are equal.
    """

    keepers: RowNumbers
    offsets: RowNumbers
    removed: RowNumbers
    distances: npt.NDArray[np.uint16]

    def keeper_of_each(self) -> RowNumbers:
        """Return the keeper's row for each entry of ``removed``."""
        return np.repeat(self.keepers, np.diff(self.offsets))


class _Files(NamedTuple):
    """Files that have duplicates, best first; the position of a file is its rank.

    Twins are files with the same duplicates: of equal hashes, or of equal bytes if there is no
    usable hash. The result for their head, the best of them, applies to all. A file is `split`
    if its bytes equal those of a file with another hash (an index filled by two versions of a
    decoder): its twins agree in both, and it is visited even if the search for pairs misses it.
    """

    hashes: Hashes
    has_hash: Flags  # the quality is good enough to match by hash
    byte_class: RowNumbers
    head: RowNumbers
    split: Flags
    protected: Flags


def star_groups(
    rows: Rows,
    selected: RowNumbers,
    keep: Keep,
    rule: MatchRule | None = None,
    *,
    threads: int | None = None,
) -> Groups:
    """Decide which images are kept and which are removed, whatever the number of threads.

    Parameters
    ----------
    rows : Rows
    selected : ndarray of int64
        Rows of images; see `imgdup.index.columns.images`.
    keep : Keep
    rule : MatchRule, optional
    threads : int, optional
        For the join; all cores by default.

    Returns
    -------
    Groups
    """
    rule = rule or MatchRule()
    number = file_numbers(rows)
    _, first = np.unique(number[selected], return_index=True)
    matched = with_duplicates(rows, selected[first], rule, threads)
    is_matched = np.isin(number[selected], number[matched])
    names = keep_order(rows, selected[is_matched], keep)
    _, best_name, same = np.unique(number[names], return_index=True, return_inverse=True)
    rank_of_name = np.argsort(np.argsort(best_name))[same]
    files = _files(rows, names[np.sort(best_name)], keep, rule)
    return _groups(names, rank_of_name, files.protected, _keepers(files, rule, threads))


def _files(rows: Rows, ranked: RowNumbers, keep: Keep, rule: MatchRule) -> _Files:
    """Collect the facts of the files of `ranked`, one row each, best first."""
    hashes = hashes_of(rows, ranked, rule)
    hash_class = hash_classes(hashes, rows.column("quality")[ranked])
    byte_class = byte_classes(rows, ranked)
    split = _split(hash_class, byte_class)
    return _Files(
        hashes,
        hash_class != NO_CLASS,
        byte_class,
        _heads(hash_class, byte_class, split),
        split,
        lie_in(rows, ranked, keep.protect),
    )


def _split(hash_class: RowNumbers, byte_class: RowNumbers) -> Flags:
    """Return a mask of the files whose bytes equal those of a file with another hash."""
    n_classes = int(byte_class.max(initial=-1)) + 1
    least = np.full(n_classes, np.iinfo(np.int64).max)
    most = np.full(n_classes, np.iinfo(np.int64).min)
    np.minimum.at(least, byte_class, hash_class)
    np.maximum.at(most, byte_class, hash_class)
    return np.asarray((least != most)[byte_class])


def _heads(hash_class: RowNumbers, byte_class: RowNumbers, split: Flags) -> RowNumbers:
    """Return the rank of the head of each file: the best of its twins, perhaps itself."""
    width = int(byte_class.max(initial=0)) + 1
    n_hash_classes = int(hash_class.max(initial=NO_CLASS)) + 1
    by_hash = hash_class * width
    by_both = by_hash + byte_class  # negative where there is no hash: then the bytes decide
    whole = np.where(hash_class == NO_CLASS, by_both, by_hash)
    twins = np.where(split, by_both + (n_hash_classes + 1) * width, whole)
    _, first, same = np.unique(twins, return_index=True, return_inverse=True)
    return first[same.reshape(-1)]


def _keepers(files: _Files, rule: MatchRule, threads: int | None) -> RowNumbers:
    """Find for each file the nearest kept file that was visited before it, or FAR.

    A keeper is the number ``distance << RANK_BITS | rank``.
    """
    ranks = np.arange(len(files.head))
    best = np.full(len(ranks), FAR)
    missed = np.zeros(len(ranks), bool)
    kept_by_bytes = _visit(files, rule, threads, best, missed)
    kept = files.protected | (best == FAR)
    head_is_kept = kept[files.head] & (files.head != ranks)
    best = np.minimum(best[files.head], np.where(head_is_kept, files.head, FAR))
    for rank in np.flatnonzero(files.split).tolist():
        twin = kept_by_bytes.get(int(files.byte_class[rank]), rank)
        best[rank] = min(best[rank], twin if twin < rank else FAR)
    _look_again(files, rule, threads, best, kept & missed)
    return best


def _visit(
    files: _Files, rule: MatchRule, threads: int | None, best: RowNumbers, missed: Flags
) -> dict[int, int]:
    """Visit the heads, best first; return by class of bytes the split file that is kept.

    Sets `best` for the files on the right of a kept head, and `missed` for those on the right of a
    removed head with twins: they may be the nearest keeper of such a twin.
    """
    kept_by_bytes: dict[int, int] = {}
    is_head = files.head == np.arange(len(files.head))
    has_twins = np.bincount(files.head, minlength=len(best)) > 1
    with_hash = np.flatnonzero(is_head & files.has_hash)
    blocks = near(files.hashes.select(with_hash), rule, threads=threads)
    for rank, others, keys in _visits(blocks, with_hash, np.flatnonzero(is_head & files.split)):
        if files.split[rank]:
            twin = kept_by_bytes.get(int(files.byte_class[rank]), rank)
            best[rank] = min(best[rank], FAR if twin == rank else twin)
        if files.protected[rank] or best[rank] == FAR:
            best[others] = np.minimum(best[others], keys | rank)
            if files.split[rank]:
                kept_by_bytes.setdefault(int(files.byte_class[rank]), rank)
        elif has_twins[rank]:
            missed[others] = True
    return kept_by_bytes


def _visits(
    blocks: Iterable[Pairs], ranks: RowNumbers, alone: RowNumbers
) -> Iterator[tuple[int, RowNumbers, RowNumbers]]:
    """Yield ``(rank, others, keys)`` by rank; each rank of `alone` also once without others."""
    none = np.zeros(0, np.int64)
    by_themselves = ((rank, none, none) for rank in alone.tolist())
    return heapq.merge(by_themselves, _runs(blocks, ranks, ranks), key=itemgetter(0))


def _runs(
    blocks: Iterable[Pairs], ranks: RowNumbers, other_ranks: RowNumbers
) -> Iterator[tuple[int, RowNumbers, RowNumbers]]:
    """Yield of each left file its rank, the ranks on its right, and their distances as keys."""
    for block in blocks:
        bounds = np.flatnonzero(np.diff(block.left, prepend=-1, append=-1))
        left, right = ranks[block.left], other_ranks[block.right]
        keys = block.distances.astype(np.int64) << RANK_BITS
        for a, b in pairwise(bounds.tolist()):
            yield int(left[a]), right[a:b], keys[a:b]


def _look_again(
    files: _Files, rule: MatchRule, threads: int | None, best: RowNumbers, missed: Flags
) -> None:
    """Let the twins of removed heads choose among the keepers ranked between head and twin."""
    twins = np.argsort(files.head, kind="stable")
    bounds = np.searchsorted(files.head[twins], np.arange(len(best) + 1))
    removed = files.has_hash & ~files.protected & (best != FAR) & (np.diff(bounds) > 1)
    lefts, others = np.flatnonzero(removed), np.flatnonzero(missed)
    hashes = files.hashes
    blocks = near(hashes.select(lefts), rule, other=hashes.select(others), threads=threads)
    for rank, keepers, keys in _runs(blocks, lefts, others):
        mine = twins[bounds[rank] : bounds[rank + 1]]
        order = np.argsort(keepers)
        nearest = np.minimum.accumulate((keys | keepers)[order])
        n_before = np.searchsorted(keepers[order], mine)
        later = mine[n_before > 0]
        best[later] = np.minimum(best[later], nearest[n_before[n_before > 0] - 1])


def _groups(
    names: RowNumbers, rank_of_name: RowNumbers, protected: Flags, best: RowNumbers
) -> Groups:
    """Turn the keepers of ranks into groups of rows."""
    ranked = names[np.sort(np.unique(rank_of_name, return_index=True)[1])]
    removed = ~protected & (best != FAR)
    which = np.flatnonzero(removed[rank_of_name])
    key = best[rank_of_name[which]]
    keeper, distance = key & ((1 << RANK_BITS) - 1), key >> RANK_BITS
    order = np.lexsort((which, rank_of_name[which], distance, keeper))
    keepers, counts = np.unique(keeper, return_counts=True)
    return Groups(
        ranked[keepers],
        np.concatenate([[0], np.cumsum(counts)]),
        names[which[order]],
        distance[order].astype(np.uint16),
    )
