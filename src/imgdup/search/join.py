"""Hashes in, all pairs within a distance out, or all hashes within a distance of many probes.

`imgdup.search.bands` chooses how to join two sets, `imgdup.search.blocks` joins them. Both compare
equal hashes one by one: `imgdup.search.equal` groups them before and expands the pairs after.
"""

import operator
from collections.abc import Iterator

import numpy as np

from imgdup.search.blocks import JoinStats, iter_blocks
from imgdup.search.equal import Classes, Pairs, group_equal
from imgdup.search.hamming import Hashes, Matches, check_hashes, check_max_distance
from imgdup.system.limits import usable_cores

__all__ = ["JoinStats", "find_within", "iter_pairs"]

WORTH_SHARING = 0.7  # share of distinct probes above which equal ones are looked up one by one


def iter_pairs(
    distinct: Hashes,
    max_distance: int,
    *,
    other: Hashes | None = None,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, block by block, in bounded memory.

    The search is exact. Beside the hashes it takes 24 bytes a hash (of 256 bits at 31; 16 of 64
    bits) or a quarter of a gigabyte, if that is more, and 8 bytes a pair for at most 2**25 pairs
    (or those of one row, if these are more).

    Parameters
    ----------
    distinct : ndarray of uint64, shape (n, words)
        The hashes. Equal ones are allowed, but each pair of them counts: `group_equal` first.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**; ``64 * words`` accepts all.
    other : ndarray of uint64, shape (n_other, words), optional
        Hashes to compare with; without them, `distinct` is compared with itself.
    threads : int, optional
        How many threads compare; by default one for each usable core. The pairs are the same
        for any number.
    stats : JoinStats, optional
        Updated while the join runs. If it has a layout, that is used.

    Yields
    ------
    Pairs
        Each block sorted by left, then right row; blocks ascending and disjoint in `left`, so
        that their concatenation is sorted. None is empty.

    Raises
    ------
    ValueError
        If an array is not 2-D uint64, the widths differ, `max_distance` lies outside
        ``0..64 * words`` or `threads` is less than 1.

    Notes
    -----
    On two cores, a million PDQ hashes (256 bits) at 31 take 1 s, ten million 40 s.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
    >>> list(iter_pairs(hashes, 2))  # doctest: +NORMALIZE_WHITESPACE
    [Pairs(left=array([0, 1]), right=array([1, 2]), distances=array([1, 2], dtype=uint16))]
    """
    check_hashes("distinct", distinct)
    if other is not None:
        check_hashes("other", other, distinct.shape[1])
    return _iter_pairs(
        distinct,
        other,
        check_max_distance(max_distance, distinct.shape[1]),
        _checked_threads(threads),
        stats or JoinStats(),
    )


def _iter_pairs(
    left: Hashes, right: Hashes | None, max_distance: int, threads: int, stats: JoinStats
) -> Iterator[Pairs]:
    n_pairs = len(left) * (len(left) - 1 if right is None else len(right))
    if n_pairs:
        yield from iter_blocks(left, right, max_distance, threads=threads, stats=stats)


def _checked_threads(threads: int | None) -> int:
    """Return a number of threads: the caller's, or that of the usable cores."""
    if threads is None:
        return usable_cores()
    number = operator.index(threads)
    if number < 1:
        raise ValueError(f"threads must be at least 1, got {number}")
    return number


def find_within(
    hashes: Hashes,
    probes: Hashes,
    max_distance: int,
    *,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Matches:
    """Find every hash within a Hamming distance of each of many probes.

    The matches are those of `scan_within` and ``VPTree.within``. Tables are built first, so this
    is faster for some hundreds of probes or more.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes to search.
    probes : ndarray of uint64, shape (n_probes, words)
        The hashes to look up; equal ones are looked up once.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**.
    threads : int, optional
        How many threads compare; by default one for each usable core.
    stats : JoinStats, optional
        Updated while the join runs. If it has a layout, that is used.

    Returns
    -------
    Matches
        Nearest first, ties by index.

    Raises
    ------
    ValueError
        If an array is not 2-D uint64, the widths differ, `max_distance` lies outside
        ``0..64 * words`` or `threads` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
    >>> find_within(hashes, hashes[1:2], max_distance=2)
    Matches(offsets=array([0, 3]), indices=array([1, 0, 2]), distances=array([0, 1, 2]))
    """
    check_hashes("hashes", hashes)
    check_hashes("probes", probes, hashes.shape[1])
    max_distance = check_max_distance(max_distance, hashes.shape[1])
    threads, stats = _checked_threads(threads), stats or JoinStats()
    classes = group_equal(probes)
    if len(classes.rows) > WORTH_SHARING * len(probes):
        return _matches(probes, hashes, max_distance, threads, stats)
    distinct = probes[classes.rows]
    return _shared(classes, _matches(distinct, hashes, max_distance, threads, stats))


def _matches(
    probes: Hashes, hashes: Hashes, max_distance: int, threads: int, stats: JoinStats
) -> Matches:
    """Join probes with hashes, the nearest of a probe first."""
    offsets = np.zeros(len(probes) + 1, np.int64)
    blocks: list[Pairs] = []
    if len(hashes) and len(probes):
        for block in iter_blocks(
            probes, hashes, max_distance, threads=threads, stats=stats, nearest_first=True
        ):
            offsets[1:] += np.bincount(block.left, minlength=len(probes))
            blocks.append(block)
    np.cumsum(offsets, out=offsets)
    indices, distances = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.int64)
    if blocks:
        np.concatenate([block.right for block in blocks], out=indices)
        np.concatenate([block.distances for block in blocks], out=distances)
    return Matches(offsets, indices, distances)


def _shared(classes: Classes, matches: Matches) -> Matches:
    """Give each probe the matches of its class."""
    class_of = np.empty(len(classes.members), np.int64)
    class_of[classes.members] = np.repeat(np.arange(len(classes.rows)), classes.sizes)
    n_found = np.diff(matches.offsets)[class_of]
    offsets = np.zeros(len(class_of) + 1, np.int64)
    np.cumsum(n_found, out=offsets[1:])
    shifts = matches.offsets[class_of] - offsets[:-1]
    where = np.repeat(shifts, n_found) + np.arange(offsets[-1])
    return Matches(offsets, matches.indices[where], matches.distances[where])
