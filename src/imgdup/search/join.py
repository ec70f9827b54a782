"""Find all pairs of hashes within a distance, or all hashes within a distance of many probes.

`imgdup.search.bands` chooses how to join two sets, and `imgdup.search.blocks` joins them. Both
treat equal hashes like different ones; use `imgdup.search.equal` to group them before, and to
expand the pairs afterwards.
"""

import operator
from collections.abc import Iterator

import numpy as np

from imgdup.search.blocks import JoinStats, iter_blocks
from imgdup.search.equal import Classes, Pairs, group_equal
from imgdup.search.hamming import Hashes, Matches, check_hashes, check_max_distance
from imgdup.system.limits import usable_cores

__all__ = ["JoinStats", "find_within", "iter_pairs"]

WORTH_SHARING = 0.7  # share of distinct probes above which equal probes are not grouped


def iter_pairs(
    distinct: Hashes,
    max_distance: int,
    *,
    other: Hashes | None = None,
    threads: int | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Pairs]:
    """Find all pairs within a Hamming distance, block by block, in bounded memory.

    The search is exact. In addition to the hashes it needs the larger of 24 bytes per hash (of 256
    bits at 31; 16 bytes for 64 bits) and a quarter of a gigabyte, and 8 bytes per pair for at most
    2**25 pairs (or the pairs of one row, if these are more).

    Parameters
    ----------
    distinct : ndarray of uint64, shape (n, words)
        The hashes. Equal hashes are allowed, but each pair of them counts; use `group_equal` first.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**; ``64 * words`` accepts all.
    other : ndarray of uint64, shape (n_other, words), optional
        The hashes to compare with; by default `distinct` is compared with itself.
    threads : int, optional
        The number of threads; by default one per usable core. The pairs are the same for any
        number.
    stats : JoinStats, optional
        Updated while the join runs. If it has a layout, that is used.

    Yields
    ------
    Pairs
        Blocks sorted by left row, then right row, none of them empty; their concatenation is
        sorted too.

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
    """Return the given number of threads, or by default the number of usable cores."""
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

    The matches equal those of `scan_within` and ``VPTree.within``. This function builds tables
    first, so it is faster only for several hundred probes or more.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes to search.
    probes : ndarray of uint64, shape (n_probes, words)
        The hashes to look up; equal hashes are looked up once.
    max_distance : int
        Largest accepted distance, in bits, **inclusive**.
    threads : int, optional
        The number of threads; by default one per usable core.
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
    """Join probes with hashes, the nearest match of a probe first."""
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
    """Copy the matches of each class to its probes."""
    class_of = np.empty(len(classes.members), np.int64)
    class_of[classes.members] = np.repeat(np.arange(len(classes.rows)), classes.sizes)
    n_found = np.diff(matches.offsets)[class_of]
    offsets = np.zeros(len(class_of) + 1, np.int64)
    np.cumsum(n_found, out=offsets[1:])
    shifts = matches.offsets[class_of] - offsets[:-1]
    where = np.repeat(shifts, n_found) + np.arange(offsets[-1])
    return Matches(offsets, matches.indices[where], matches.distances[where])
