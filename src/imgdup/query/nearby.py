"""Find what is near each of many probes in an index, by search hash, match hash or PDQ hash.

The distinct search hashes have a tree. The other hashes have none: they are compared row by row.
Probes are processed one after the other, so the memory does not depend on the total number of
matches.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import IndexFormatError
from imgdup.hashing import MATCH_MIN_QUALITY
from imgdup.images.formats import OK
from imgdup.index.columns import PDQ
from imgdup.index.generation import Generation
from imgdup.native.scan import distances_from
from imgdup.search import WORD_BITS, Hashes, Matches, RepeatedScan, check_max_distance
from imgdup.search.bands import band_skew
from imgdup.search.join import JoinStats, iter_pairs
from imgdup.search.planner import Choice, Workload, plan

if TYPE_CHECKING:
    from imgdup.query.probe import Probe

COLUMNS: Mapping[str, str] = {"search": "hashes", "match": "match", "pdq": PDQ}
FEW_PROBES = 16  # up to which a scan costs less than the choice between scan and bands

MAX_HELD = 1 << 22  # matches held at a time, 16 bytes each, or those of one probe if it has more

Integers = npt.NDArray[np.int64]


class Nearby(NamedTuple):
    """What is near one probe."""

    # Rows of the index, or positions in its list of distinct search hashes, in no particular order.
    indices: Integers
    distances: Integers  # hamming distances, in bits


def plan_within(generation: Generation, n_probes: int, max_distance: int) -> Choice:
    """Choose how to look up some probes.

    Raises ValueError if `max_distance` is not from 0 to the bits of the hash.
    """
    tree = generation.tree
    words = generation.bits // WORD_BITS
    max_distance = check_max_distance(max_distance, words)
    visited = tree.visited_fractions.tolist()
    work = Workload(n_probes, len(tree), words, max_distance, is_self=False)
    return plan(work, visited, generation.band_skew)


def iter_within(
    generation: Generation,
    probes: Hashes,
    max_distance: int,
    strategy: str | None = None,
    stats: JoinStats | None = None,
) -> Iterator[Nearby]:
    """Yield for each probe, in order, the distinct hashes within a distance of it.

    The strategy is ``"tree"``, ``"bands"`` or ``"scan"``; by default the planner chooses. The
    matches are the same. `stats` counts the hashes that were compared. Raises ValueError if
    `max_distance` is not from 0 to the bits of the hash, or the strategy is unknown.
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

    Raises ValueError if `k` is less than 1, or `max_distance` is out of range.
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
    """Join the probes with all hashes; the pairs are found in blocks, sorted by probe."""
    n_done = 0
    for pairs in iter_pairs(probes, max_distance, other=hashes, stats=stats):
        n_after = int(pairs.left[-1]) + 1
        bounds = np.searchsorted(pairs.left, np.arange(n_done, n_after + 1)).tolist()
        for start, stop in pairwise(bounds):
            yield Nearby(pairs.right[start:stop], pairs.distances[start:stop].astype(np.int64))
        n_done = n_after
    for _ in range(n_done, len(probes)):
        yield _nothing()


def _nothing() -> Nearby:
    return Nearby(np.empty(0, np.int64), np.empty(0, np.int64))


def nearest_of(near: Nearby, n: int) -> Nearby:
    """Return the n nearest, and all that are as near as the last of them."""
    if len(near.indices) <= n:
        return near
    n_within = np.cumsum(np.bincount(near.distances))
    is_near = near.distances <= np.searchsorted(n_within, n)
    return Nearby(near.indices[is_near], near.distances[is_near])


def rows_with(generation: Generation, near: Nearby) -> Nearby:
    """Return the rows that have one of some distinct search hashes.

    Raises IndexFormatError if the index, which may be forged, names rows that it does not have.
    """
    offsets, class_rows = generation.class_offsets, generation.class_rows
    starts, stops = offsets[near.indices], offsets[near.indices + 1]
    if (starts < 0).any() or (stops < starts).any() or (stops > len(class_rows)).any():
        raise IndexFormatError(f"{generation.file}: forged row numbers; index again")
    sizes = stops - starts
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
    rows = generation.checked_rows(class_rows[places])
    return Nearby(rows, np.repeat(near.distances, sizes).astype(np.int64))


@dataclass(frozen=True)
class RowLookup:
    """A look-up of rows by a hash that has no tree.

    Pictures of a quality below 50 have too little structure to be compared by these hashes, so
    such a probe has only the rows with its bytes, and such a row is near no other probe.
    """

    generation: Generation  # the opened index
    by: str  # ``"match"`` or ``"pdq"``; the index must have this hash
    max_distance: int  # largest accepted distance, in bits, inclusive

    @property
    def hashes(self) -> Hashes:
        """The hash of each row, 0 where a file has none."""
        found: Hashes = self.generation.arrays[COLUMNS[self.by]]
        return found

    def plan(self, n_probes: int) -> Choice:
        """Choose between scan and bands."""
        return _plan(self.hashes, n_probes, self.max_distance)

    def within(
        self, probes: Sequence["Probe"], strategy: str | None = None, stats: JoinStats | None = None
    ) -> Iterator[Nearby]:
        """Find the rows near each probe; the parameters are those of `iter_within`.

        The strategy is ``"scan"`` or ``"bands"``.
        """
        limit = check_max_distance(self.max_distance, self.hashes.shape[1])
        clear = [hash_of(probe, self.by) for probe in probes if _has_structure(probe)]
        scanned = self.generation.scans[COLUMNS[self.by]]
        near = _iter_without_tree(scanned, clear, limit, strategy, stats)
        same = self._same_bytes(probes, strategy, stats)
        for probe in probes:
            yield self._comparable(next(near)) if _has_structure(probe) else next(same)

    def nearest(self, probes: Sequence["Probe"], k: int) -> Iterator[Nearby]:
        """Find the k rows nearest to each probe, and all that are as near as the last.

        Raises ValueError if `k` is less than 1, or the distance is out of range.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        limit = check_max_distance(self.max_distance, self.hashes.shape[1])
        same = self._same_bytes(probes)
        for probe in probes:
            yield self._nearest(probe, k, limit) if _has_structure(probe) else next(same)

    def _nearest(self, probe: "Probe", k: int, limit: int) -> Nearby:
        bits = distances_from(self.hashes, hash_of(probe, self.by)[0])
        rows = np.flatnonzero(bits <= limit)
        near = self._comparable(Nearby(rows, bits[rows].astype(np.int64)))
        if len(near.indices) <= k:
            return near
        is_near = near.distances <= np.partition(near.distances, k - 1)[k - 1]
        return Nearby(near.indices[is_near], near.distances[is_near])

    def _comparable(self, near: Nearby) -> Nearby:
        """Leave out files without a hash and pictures with too little structure."""
        arrays, rows = self.generation.arrays, near.indices
        good = (arrays["quality"][rows] >= MATCH_MIN_QUALITY) & (arrays["status"][rows] == OK)
        return Nearby(rows[good], near.distances[good])

    def _same_bytes(
        self, probes: Sequence["Probe"], strategy: str | None = None, stats: JoinStats | None = None
    ) -> Iterator[Nearby]:
        """Find the rows with the bytes of each probe that has too little structure."""
        unclear = [probe for probe in probes if not _has_structure(probe)]
        wanted = [np.frombuffer(p.digest, np.uint64)[np.newaxis] for p in unclear if p.digest]
        digests = RepeatedScan(self.generation.arrays["digest"].view(np.uint64))
        found = _iter_without_tree(digests, wanted, 0, strategy, stats)
        for probe in unclear:
            near = next(found) if probe.digest else _nothing()
            good = self.generation.arrays["status"][near.indices] == OK
            yield Nearby(near.indices[good], near.distances[good])


def _has_structure(probe: "Probe") -> bool:
    return probe.quality >= MATCH_MIN_QUALITY


def hash_of(probe: "Probe", by: str) -> Hashes:
    """Return the hash of a probe that `by`, a key of `COLUMNS`, names: shape (1, words).

    Raises ValueError if the probe was made without it.
    """
    found = {"search": probe.hashes, "match": probe.match, "pdq": probe.pdq}[by]
    if found is None:
        raise ValueError(f"the probe was made without the {by} hash")
    return found


def _iter_without_tree(
    scanned: RepeatedScan,
    probes: Sequence[Hashes],
    max_distance: int,
    strategy: str | None,
    stats: JoinStats | None,
) -> Iterator[Nearby]:
    """Find the hashes near each probe by a scan or by bands."""
    if not probes:
        return
    joined, hashes = np.concatenate(probes), scanned.hashes
    if strategy is None:
        few = len(probes) <= FEW_PROBES
        strategy = "scan" if few else _plan(hashes, len(probes), max_distance).strategy
    if strategy == "bands":
        yield from _by_bands(hashes, joined, max_distance, stats)
        return
    for block in _blocks(joined, len(hashes)):
        if stats is not None:
            stats.n_compared += len(hashes) * len(block)
        yield from _each(scanned.within(block, max_distance))


def _plan(hashes: Hashes, n_probes: int, max_distance: int) -> Choice:
    n, words = hashes.shape
    max_distance = check_max_distance(max_distance, words)
    visited = [1.0] * (WORD_BITS * words + 1)  # no tree: a search visits everything
    work = Workload(n_probes, n, words, max_distance, is_self=False)
    choice = plan(work, visited, band_skew(hashes))
    estimates = tuple(each for each in choice.estimates if each.strategy != "tree")
    return Choice(estimates[0].strategy, estimates)
