"""A generation and a probe -> the indexed images near it, nearest first, ties in path order."""

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import HASHERS, PDQ_MAX_DISTANCE, PDQ_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.generation import Generation
from imgdup.search.hamming import WORD_BITS, Matches, check_max_distance, distances
from imgdup.search.join import JoinStats, find_within
from imgdup.search.planner import Choice, plan

if TYPE_CHECKING:
    from imgdup.query.probe import Probe

Rows = npt.NDArray[np.int64]


class Match(NamedTuple):
    """An indexed image near a probe.

    Parameters
    ----------
    path : Path
        Absolute.
    distance : int
        Hamming distance of the search hashes, in bits.
    pdq_distance : int
        Hamming distance of the PDQ hashes, in bits of 256.
    duplicate : bool
        Whether it is the same picture: PDQ distance at most 31 and both qualities at least 50,
        or the same bytes.
    width, height : int
        In pixels, upright.
    row : int
        Its row in the index.
    orientation : str
        How the probe was turned to match, one of `imgdup.images.gray.ORIENTATIONS`.
    """

    path: Path
    distance: int
    pdq_distance: int
    duplicate: bool
    width: int
    height: int
    row: int
    orientation: str = ORIENTATIONS[0]


def default_distance(generation: Generation) -> int:
    """Return the largest distance that a query accepts unless told otherwise, in bits."""
    return HASHERS[generation.head["hash"]].max_distance[generation.bits]


def look_up(
    generation: Generation,
    probe: "Probe",
    max_distance: int | None = None,
    k: int | None = None,
) -> list[Match]:
    """Find the indexed images near a probe; see `look_up_many`."""
    return look_up_many(generation, [probe], max_distance, k)[0]


def look_up_many(
    generation: Generation,
    probes: Sequence["Probe"],
    max_distance: int | None = None,
    k: int | None = None,
    *,
    strategy: str | None = None,
    stats: JoinStats | None = None,
) -> list[list[Match]]:
    """Find the indexed images near each of some probes.

    Parameters
    ----------
    generation : Generation
        The opened index.
    probes : sequence of Probe
        From `imgdup.query.probe`.
    max_distance : int, optional
        Largest accepted distance, in bits, inclusive. Default: that of the hash, as in
        `imgdup.hashing.HASHERS`; none where `k` is given.
    k : int, optional
        How many at most.
    strategy : str, optional
        ``"tree"``, ``"bands"`` or ``"scan"``; all give the same. By default the planner chooses.
    stats : JoinStats, optional
        Counts the hashes that are compared; not for `k`.

    Returns
    -------
    list of list of Match
        For each probe, nearest first, ties in path order.

    Raises
    ------
    ValueError
        If `max_distance` is not from 0 to the bits of the hash, `k` is less than 1, or
        `strategy` is another word.
    IndexFormatError
        If the index names rows that it does not have.
    """
    if not probes:
        return []
    hashes = np.concatenate([probe.hashes for probe in probes])
    if k is None:
        limit = default_distance(generation) if max_distance is None else max_distance
        found = within(generation, hashes, limit, strategy, stats)
        return [_as_matches(generation, p, _one(found, i)) for i, p in enumerate(probes)]
    nearest = generation.tree.nearest(hashes, k, max_distance=max_distance)
    return [
        _as_matches(generation, p, _with_ties(generation, p, _one(nearest, i), k))[:k]
        for i, p in enumerate(probes)
    ]


def within(
    generation: Generation,
    hashes: npt.NDArray[np.uint64],
    max_distance: int,
    strategy: str | None,
    stats: JoinStats | None = None,
) -> Matches:
    """Find the classes of equal hashes within a distance of each hash, in the way that is asked."""
    strategy = strategy or plan_within(generation, len(hashes), max_distance).strategy
    tree = generation.tree
    if strategy == "bands":
        return find_within(tree.by_row(), hashes, max_distance, stats=stats)
    if stats is not None:
        everything = len(tree) * len(hashes)
        is_tree = strategy == "tree"
        stats.n_compared += tree.n_visited(hashes, max_distance) if is_tree else everything
    return tree.within(hashes, max_distance, strategy=strategy)


def plan_within(generation: Generation, n_probes: int, max_distance: int) -> Choice:
    """Plan a look-up of so many probes; `max_distance` is checked."""
    tree = generation.tree
    words = generation.bits // WORD_BITS
    max_distance = check_max_distance(max_distance, words)
    skew = generation.band_skew
    visited = tree.visited_fractions.tolist()
    return plan(len(tree), words, n_probes, max_distance, visited, skew)


def _one(found: Matches, i: int) -> Matches:
    """Return the matches of probe `i` alone."""
    start, stop = found.offsets[i : i + 2].tolist()
    return Matches(found.offsets[:2] * 0, found.indices[start:stop], found.distances[start:stop])


def _with_ties(generation: Generation, probe: "Probe", nearest: Matches, k: int) -> Matches:
    """Add what is as near as the last of k, since ties are broken by path."""
    if len(nearest.distances) < k:
        return nearest
    return generation.tree.within(probe.hashes, int(nearest.distances[-1]))


def look_up_turned(
    generation: Generation,
    probes: Iterable["Probe"],
    max_distance: int | None = None,
    k: int | None = None,
) -> list[Match]:
    """Find the images near any orientation of a probe; each once, as it matches best.

    Parameters are those of `look_up`; the probes come from `make_oriented_probes`.
    """
    return best_matches(look_up_many(generation, list(probes), max_distance, k), k)


def best_matches(found: Iterable[Sequence[Match]], k: int | None = None) -> list[Match]:
    """Merge the matches of several probes of one picture: each image once, as it matches best."""
    best: dict[int, Match] = {}
    for match in chain.from_iterable(found):
        if match.row not in best or match.distance < best[match.row].distance:
            best[match.row] = match
    return sorted(best.values(), key=lambda match: (match.distance, match.row))[:k]


def _as_matches(generation: Generation, probe: "Probe", found: Matches) -> list[Match]:
    """Turn the matches of one probe in the tree into indexed images."""
    rows, bits = _rows(generation, found)
    order = np.lexsort((rows, bits))
    rows, bits = rows[order], bits[order]
    arrays = generation.arrays
    pdq = distances(arrays["pdq"][rows], probe.pdq)
    facts: list[Any] = [
        [Path(os.fsdecode(generation.paths[row])) for row in rows.tolist()],
        bits.tolist(),
        pdq.tolist(),
        _are_duplicates(generation, probe, rows, pdq).tolist(),
        arrays["width"][rows].tolist(),
        arrays["height"][rows].tolist(),
        rows.tolist(),
        [probe.orientation] * len(rows),
    ]
    return [Match(*values) for values in zip(*facts, strict=True)]


def _rows(generation: Generation, found: Matches) -> tuple[Rows, Rows]:
    """Expand classes of equal hashes to rows and the distance of each."""
    offsets, class_rows = generation.class_offsets, generation.class_rows
    starts, stops = offsets[found.indices], offsets[found.indices + 1]
    pieces = [class_rows[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
    rows = generation.checked_rows(np.concatenate([np.zeros(0, np.int64), *pieces]))
    return rows, np.repeat(found.distances, [len(piece) for piece in pieces]).astype(np.int64)


def _are_duplicates(
    generation: Generation, probe: "Probe", rows: Rows, pdq: Rows
) -> npt.NDArray[np.bool_]:
    same = np.zeros(len(rows), bool)
    if probe.digest:
        digest = np.frombuffer(probe.digest, np.uint8)
        same = (generation.arrays["digest"][rows] == digest).all(axis=1)
    quality = np.minimum(generation.arrays["quality"][rows], probe.quality)
    return are_duplicates(pdq, quality, same)


def are_duplicates(
    pdq_distances: npt.NDArray[Any], quality: npt.NDArray[Any], same_bytes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Tell of pairs whether they are the same picture.

    Parameters
    ----------
    pdq_distances : ndarray of int
        In bits.
    quality : ndarray of int
        PDQ quality of the worse of each two.
    same_bytes : ndarray of bool

    Returns
    -------
    ndarray of bool
    """
    near = (pdq_distances <= PDQ_MAX_DISTANCE) & (quality >= PDQ_MIN_QUALITY)
    return np.asarray(near | same_bytes)
