"""Look up hashes: find the distinct hashes near each, their rows in the index, and the matches.

Probes are processed one after the other, so the memory does not depend on the total number of
matches.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE, MATCH_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import PDQ
from imgdup.index.generation import Generation
from imgdup.search.hamming import WORD_BITS, Hashes, Matches, check_max_distance, distances
from imgdup.search.join import JoinStats, iter_pairs
from imgdup.search.planner import Choice, plan

MAX_HELD = 1 << 22  # matches held at a time, 16 bytes each, or those of one probe if it has more

Integers = npt.NDArray[np.int64]


class Nearby(NamedTuple):
    """The distinct hashes near one probe.

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
    """Join the probes with all hashes; the pairs are found in blocks, sorted by probe."""
    n_done = 0
    for pairs in iter_pairs(probes, max_distance, other=hashes, stats=stats):
        n_after = int(pairs.left[-1]) + 1
        bounds = np.searchsorted(pairs.left, np.arange(n_done, n_after + 1)).tolist()
        for start, stop in pairwise(bounds):
            yield Nearby(pairs.right[start:stop], pairs.distances[start:stop].astype(np.int64))
        n_done = n_after
    for _ in range(n_done, len(probes)):
        yield Nearby(np.empty(0, np.int64), np.empty(0, np.int64))


if TYPE_CHECKING:
    from imgdup.query.probe import Probes

ROWS_TOGETHER = 1024  # rows of one picture that become `Match` at once


class Match(NamedTuple):
    """An indexed image near the picture that was looked up.

    Parameters
    ----------
    path : Path
        Absolute.
    distance : int
        Hamming distance of the search hashes, in bits.
    match_distance : int or None
        Hamming distance of the match hashes, in bits of 256; None in an index of format version 1.
    duplicate : bool
        Whether it is the same picture: match distance at most 31 and both qualities at least 50,
        or the same bytes.
    width, height : int
        In pixels, upright.
    row : int
        Its row in the index.
    orientation : str
        How the picture was rotated to match, one of `imgdup.images.gray.ORIENTATIONS`.
    pdq_distance : int or None
        Hamming distance of the PDQ hashes, in bits of 256; None if the index has none.
    """

    path: Path
    distance: int
    match_distance: int | None
    duplicate: bool
    width: int
    height: int
    row: int
    orientation: str = ORIENTATIONS[0]
    pdq_distance: int | None = None


class NearRows(NamedTuple):
    """Rows near one picture: each once, nearest first, ties by row."""

    rows: Integers
    distances: Integers
    probes: Integers  # which probe of the picture is nearest to the row


def near_rows(generation: Generation, found: Sequence[Nearby], k: int | None) -> NearRows:
    """Turn the distinct hashes near each probe of a picture into rows, at most k."""
    each = [_rows(generation, near) for near in found]
    rows = np.concatenate([rows for rows, _ in each])
    bits = np.concatenate([bits for _, bits in each])
    probes = np.repeat(np.arange(len(each)), [len(rows) for rows, _ in each])
    if len(each) > 1:
        order = np.lexsort((probes, bits, rows))
        _, first = np.unique(rows[order], return_index=True)
        best = order[first]
        rows, bits, probes = rows[best], bits[best], probes[best]
    order = np.lexsort((rows, bits))[:k]
    return NearRows(rows[order], bits[order], probes[order])


def _rows(generation: Generation, near: Nearby) -> tuple[Integers, Integers]:
    """Return the rows that have one of the hashes, and their distances."""
    offsets, class_rows = generation.class_offsets, generation.class_rows
    starts, stops = offsets[near.indices], offsets[near.indices + 1]
    pieces = [class_rows[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
    rows = generation.checked_rows(np.concatenate([np.zeros(0, np.int64), *pieces]))
    return rows, np.repeat(near.distances, [len(piece) for piece in pieces]).astype(np.int64)


def matches_of(generation: Generation, picture: "Probes", near: NearRows) -> Iterator[Match]:
    """Make the matches of one picture, some rows at a time."""
    for start in range(0, len(near.rows), ROWS_TOGETHER):
        some = NearRows(*(column[start : start + ROWS_TOGETHER] for column in near))
        yield from _described(generation, picture, some)


def _described(generation: Generation, picture: "Probes", near: NearRows) -> list[Match]:
    """Look up the facts of some rows."""
    arrays, rows = generation.arrays, near.rows
    match = _bits_between(arrays.get("match"), rows, [p.match for p in picture], near.probes)
    pdq = _bits_between(arrays.get(PDQ), rows, [p.pdq for p in picture], near.probes)
    deciding = pdq if match is None else match  # format version 1 has PDQ hashes
    nothing = [None] * len(rows)
    qualities = np.array([probe.quality for probe in picture])[near.probes]
    facts: list[Any] = [
        [Path(os.fsdecode(generation.paths[row])) for row in rows.tolist()],
        near.distances.tolist(),
        nothing if match is None else match.tolist(),
        are_duplicates(
            np.full(len(rows), MATCH_BITS) if deciding is None else deciding,
            np.minimum(arrays["quality"][rows], qualities),
            _have_same_bytes(arrays["digest"][rows], picture, near.probes),
        ).tolist(),
        arrays["width"][rows].tolist(),
        arrays["height"][rows].tolist(),
        rows.tolist(),
        [picture[probe].orientation for probe in near.probes.tolist()],
        nothing if pdq is None else pdq.tolist(),
    ]
    return [Match(*values) for values in zip(*facts, strict=True)]


def _bits_between(
    column: Hashes | None, rows: Integers, hashes: Sequence[Hashes | None], probes: Integers
) -> Integers | None:
    """Return the distances between some rows and the probes they match; None without hashes."""
    known = [each for each in hashes if each is not None]
    if column is None or len(known) < len(hashes):
        return None
    return distances(column[rows], np.concatenate(known)[probes])


def _have_same_bytes(
    digests: npt.NDArray[np.uint8], picture: "Probes", probes: Integers
) -> npt.NDArray[np.bool_]:
    """Return which rows have the bytes of the probe they match; a rotated one has no bytes."""
    same = np.zeros(len(digests), bool)
    for number, probe in enumerate(picture):
        if probe.digest:
            equal = (digests == np.frombuffer(probe.digest, np.uint8)).all(axis=1)
            same |= equal & (probes == number)
    return same


def are_duplicates(
    match_distances: npt.NDArray[Any], quality: npt.NDArray[Any], same_bytes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which pairs are the same picture.

    Parameters
    ----------
    match_distances : ndarray of int
        In bits.
    quality : ndarray of int
        Quality of the worse one of each pair.
    same_bytes : ndarray of bool

    Returns
    -------
    ndarray of bool
    """
    near = (match_distances <= MATCH_MAX_DISTANCE) & (quality >= MATCH_MIN_QUALITY)
    return np.asarray(near | same_bytes)
