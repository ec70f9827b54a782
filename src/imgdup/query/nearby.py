"""An index and hashes -> the distinct hashes near each of them, one probe after the other.

The memory does not depend on how many matches there are in all: only those of a few probes are
held at a time.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.index.generation import Generation
from imgdup.search.hamming import WORD_BITS, Hashes, Matches, check_max_distance
from imgdup.search.join import JoinStats, iter_pairs
from imgdup.search.planner import Choice, plan

MAX_HELD = 1 << 22  # matches held at a time, 16 bytes each, or those of one probe if it has more

Integers = npt.NDArray[np.int64]


class Nearby(NamedTuple):
    """What is near one probe.

    Parameters
    ----------
    indices : ndarray of int64, shape (n,)
        Positions in the index's list of distinct hashes, in no particular order.
    distances : ndarray of int64, shape (n,)
        Hamming distances, in bits.
    """

    indices: Integers
    distances: Integers


def plan_within(generation: Generation, n_probes: int, max_distance: int) -> Choice:
    """Choose how to look up some probes.

    Raises
    ------
    ValueError
        If `max_distance` is not from 0 to the bits of the hash.
    """
    tree = generation.tree
    words = generation.bits // WORD_BITS
    max_distance = check_max_distance(max_distance, words)
    visited = tree.visited_fractions.tolist()
    return plan(len(tree), words, n_probes, max_distance, visited, generation.band_skew)


def iter_within(
    generation: Generation,
    probes: Hashes,
    max_distance: int,
    strategy: str | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Nearby]:
    """Find the distinct hashes within a distance of each probe.

    Parameters
    ----------
    generation : Generation
        The opened index.
    probes : ndarray of uint64, shape (n_probes, words)
        The hashes to look up.
    max_distance : int
        Largest accepted distance, in bits, inclusive.
    strategy : str, optional
        ``"tree"``, ``"bands"`` or ``"scan"``; by default the planner chooses. The matches are the
        same.
    stats : JoinStats, optional
        Counts the hashes that were compared.

    Yields
    ------
    Nearby
        One for each probe, in order.

    Raises
    ------
    ValueError
        If `max_distance` is not from 0 to the bits of the hash, or `strategy` is unknown.
    """
    strategy = strategy or plan_within(generation, len(probes), max_distance).strategy
    tree = generation.tree
    if strategy == "bands":
        yield from _by_bands(tree.by_row(), probes, max_distance, stats)
        return
    for block in _blocks(probes, len(tree)):
        if stats is not None:
            is_tree = strategy == "tree"
            n_hashes = len(tree) * len(block)
            stats.n_compared += tree.n_visited(block, max_distance) if is_tree else n_hashes
        yield from _each(tree.within(block, max_distance, strategy=strategy))


def iter_nearest(
    generation: Generation, probes: Hashes, k: int, max_distance: int | None = None
) -> Iterator[Nearby]:
    """Find the k distinct hashes nearest to each probe, and all that are as near as the last.

    Parameters are those of `iter_within`; `max_distance` is optional.

    Raises
    ------
    ValueError
        If `k` is less than 1, or `max_distance` is out of range.
    """
    tree = generation.tree
    for block in _blocks(probes, min(max(k, 1), len(tree))):
        nearest = tree.nearest(block, k, max_distance=max_distance)
        for probe, near in zip(block, _each(nearest), strict=True):
            if len(near.distances) < k:
                yield near
            else:
                yield from _each(tree.within(probe[np.newaxis], int(near.distances[-1])))


def _blocks(probes: Hashes, most_each: int) -> Iterator[Hashes]:
    """Cut probes into blocks that cannot have more than MAX_HELD matches."""
    n = max(1, MAX_HELD // max(1, most_each))
    return (probes[start : start + n] for start in range(0, len(probes), n))


def _each(found: Matches) -> Iterator[Nearby]:
    """Cut the matches of a block into those of each probe."""
    bounds = found.offsets.tolist()
    for start, stop in pairwise(bounds):
        yield Nearby(found.indices[start:stop], found.distances[start:stop])


def _by_bands(
    hashes: Hashes, probes: Hashes, max_distance: int, stats: JoinStats | None
) -> Iterator[Nearby]:
    """Join the probes with all hashes; the pairs come in blocks, sorted by probe."""
    n_done = 0
    for pairs in iter_pairs(probes, max_distance, other=hashes, stats=stats):
        n_after = int(pairs.left[-1]) + 1
        bounds = np.searchsorted(pairs.left, np.arange(n_done, n_after + 1)).tolist()
        for start, stop in pairwise(bounds):
            yield Nearby(pairs.right[start:stop], pairs.distances[start:stop].astype(np.int64))
        n_done = n_after
    for _ in range(n_done, len(probes)):
        yield Nearby(np.empty(0, np.int64), np.empty(0, np.int64))
