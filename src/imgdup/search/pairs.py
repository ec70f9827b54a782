"""Hashes in, all pairs within a distance out: in one set or across two, whole or in blocks.

Equal hashes are looked at once: `group_equal` makes classes of them, `iter_pairs` joins the
distinct hashes, `expand` turns pairs of classes into pairs of rows. How the join works is told in
`imgdup.search.bands` and `imgdup.search.join`; numba is imported when the first join starts.
"""

import operator
import os
from collections.abc import Iterable, Iterator

import numpy as np

from imgdup.errors import TooManyPairsError
from imgdup.search.bands import JoinStats
from imgdup.search.equal import Classes, Pairs, expand, group_equal
from imgdup.search.hamming import Hashes, Matches, check_hashes, check_max_distance

__all__ = [
    "Classes",
    "JoinStats",
    "Pairs",
    "expand",
    "find_pairs",
    "find_within",
    "group_equal",
    "iter_pairs",
]

WORTH_SHARING = 0.7  # share of distinct probes above which equal ones are looked up one by one
MAX_PAIRS = 10**8  # pairs held in memory unless the caller says otherwise: 1.8 GB


def iter_pairs(
    distinct: Hashes,
    max_distance: int,
    *,
    other: Hashes | None = None,
    threads: int | None = None,
    effort: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, block by block, in bounded memory.

    The search is exact. Memory is that of the hashes three times over, a gigabyte of tables and
    a block of at most 2**24 pairs (or those of one row, if these are more).

    Parameters
    ----------
    distinct : ndarray of uint64, shape (n, words)
        The hashes. Equal ones are allowed, but each pair of them counts: `group_equal` first.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**; ``64 * words`` accepts all.
    other : ndarray of uint64, shape (n_other, words), optional
        Hashes to compare with; without them, `distinct` is compared with itself.
    threads : int, optional
        How many threads compare; without it, one for each processor that may be used. The pairs
        are the same for any number.
    effort : JoinStats, optional
        Told what is done, and asked for the layout if it has one.

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
        effort or JoinStats(),
    )


def _iter_pairs(
    left: Hashes, right: Hashes | None, max_distance: int, threads: int, effort: JoinStats
) -> Iterator[Pairs]:
    n_pairs = len(left) * (len(left) - 1 if right is None else len(right))
    if n_pairs == 0:
        return
    from imgdup.search.join import iter_blocks

    yield from iter_blocks(left, right, max_distance, threads=threads, effort=effort)


def _checked_threads(threads: int | None) -> int:
    """Return a number of threads: the caller's, or that of the processors that may be used."""
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    number = operator.index(threads)
    if number < 1:
        raise ValueError(f"threads must be at least 1, got {number}")
    return number


def find_pairs(
    hashes: Hashes,
    max_distance: int,
    *,
    other: Hashes | None = None,
    threads: int | None = None,
    max_pairs: int = MAX_PAIRS,
) -> Pairs:
    """Find all pairs of rows within a Hamming distance.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes; any of them may be equal.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**; 0 finds equal hashes.
    other : ndarray of uint64, shape (n_other, words), optional
        Hashes to compare with; without them, `hashes` is compared with itself.
    threads : int, optional
        How many threads compare; without it, one for each processor that may be used.
    max_pairs : int
        How many pairs may be held in memory, 18 bytes each.

    Returns
    -------
    Pairs
        Sorted by left, then right row.

    Raises
    ------
    TooManyPairsError
        If there are more than `max_pairs`; they are counted before they are expanded.
    ValueError
        As `iter_pairs`.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b1111], [0b0000]], dtype=np.uint64)
    >>> find_pairs(hashes, 3)
    Pairs(left=array([0]), right=array([2]), distances=array([0], dtype=uint16))
    """
    classes, others, distinct = group_equal(hashes), None, None
    if other is not None:
        check_hashes("other", other, hashes.shape[1])
        others = group_equal(other)
        distinct = other[others.rows]
    blocks = iter_pairs(hashes[classes.rows], max_distance, other=distinct, threads=threads)
    kept, n_pairs = _counted(classes, others, blocks, operator.index(max_pairs))
    if n_pairs > max_pairs:
        raise TooManyPairsError(n_pairs, max_pairs)
    found = _joined(expand(classes, kept, other=others), n_pairs)
    if not classes.has_shared and not (others and others.has_shared):
        return found
    order = np.lexsort((found.right, found.left))
    return Pairs(found.left[order], found.right[order], found.distances[order])


def _counted(
    classes: Classes, others: Classes | None, blocks: Iterable[Pairs], max_pairs: int
) -> tuple[list[Pairs], int]:
    """Count the pairs of rows; keep the pairs of classes as long as there are not too many."""
    sizes = classes.sizes
    other_sizes = sizes if others is None else others.sizes
    n_pairs = int((sizes * (sizes - 1) // 2).sum()) if others is None else 0
    kept = []
    for block in blocks:
        n_pairs += int((sizes[block.left] * other_sizes[block.right]).sum())
        kept.append(block)
        if n_pairs > max_pairs:
            kept.clear()
    return kept, n_pairs


def _joined(blocks: Iterable[Pairs], n_pairs: int | None = None) -> Pairs:
    """Write blocks one after another; their number of pairs is needed where they stream."""
    if n_pairs is None:
        blocks = list(blocks)
        if len(blocks) == 1:
            return blocks[0]
        n_pairs = sum(len(block.left) for block in blocks)
    whole = Pairs(
        np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64), np.empty(n_pairs, np.uint16)
    )
    start = 0
    for block in blocks:
        where = slice(start, start + len(block.left))
        whole.left[where], whole.right[where], whole.distances[where] = block
        start = where.stop
    return whole


def find_within(
    hashes: Hashes,
    probes: Hashes,
    max_distance: int,
    *,
    threads: int | None = None,
    effort: JoinStats | None = None,
) -> Matches:
    """Find every hash within a Hamming distance of each of many probes.

    The matches are those of `hamming.scan_within` and ``VPTree.within``; tables are built first,
    so that it takes some hundreds of probes to be faster.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes to search.
    probes : ndarray of uint64, shape (n_probes, words)
        The hashes to look up; equal ones are looked up once.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**.
    threads : int, optional
        How many threads compare; without it, one for each processor that may be used.
    effort : JoinStats, optional
        Told what is done, and asked for the layout if it has one.

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
    threads = _checked_threads(threads)
    classes = group_equal(probes)
    if len(classes.rows) > WORTH_SHARING * len(probes):
        return _matches(_joined(_near(probes, hashes, max_distance, threads, effort)), len(probes))
    distinct = probes[classes.rows]
    found = _joined(_near(distinct, hashes, max_distance, threads, effort))
    return _shared(classes, _matches(found, len(distinct)))


def _near(
    probes: Hashes, hashes: Hashes, max_distance: int, threads: int, effort: JoinStats | None
) -> list[Pairs]:
    """Join probes with hashes, the nearest of a probe first."""
    if len(hashes) == 0 or len(probes) == 0:
        return []
    from imgdup.search.join import iter_blocks

    effort = effort or JoinStats()
    return list(
        iter_blocks(
            probes, hashes, max_distance, threads=threads, effort=effort, nearest_first=True
        )
    )


def _matches(pairs: Pairs, n_probes: int) -> Matches:
    """Give each probe its pairs."""
    offsets = np.zeros(n_probes + 1, np.int64)
    np.cumsum(np.bincount(pairs.left, minlength=n_probes), out=offsets[1:])
    return Matches(offsets, pairs.right, pairs.distances.astype(np.int64))


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
