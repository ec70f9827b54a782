"""Make the matches of a picture from the rows that its hashes found, with the facts of each row."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE, MATCH_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.generation import Generation
from imgdup.query.nearby import COLUMNS, Nearby, hash_of
from imgdup.search import distances
from imgdup.system.paths import as_path

if TYPE_CHECKING:
    from imgdup.query.probe import Probes

Integers = npt.NDArray[np.int64]

HASHES = tuple(COLUMNS)
WIDE = "wide"  # found by the rule for pictures that are compared, see MatchRule.wide
FOUND_BY = (*HASHES, WIDE)
_NAMES = [
    tuple(name for i, name in enumerate(FOUND_BY) if flags >> i & 1)
    for flags in range(1 << len(FOUND_BY))
]

FIRST_ROWS, ROWS_TOGETHER = 128, 1024  # rows of one picture that become `Match` at once


class Match(NamedTuple):
    """An indexed image near the picture that was looked up.

    Attributes
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
    found_by : tuple of str
        The hashes that are within the distance, of those that were looked up: ``"search"``,
        ``"match"``, ``"pdq"``. ``"wide"`` alone if it is none of them, but may be an edited, framed
        or cropped copy; such images are only looked for where pictures are compared.
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
    found_by: tuple[str, ...] = HASHES[:1]


class NearRows(NamedTuple):
    """Rows near one picture: each once, nearest first, ties by row."""

    rows: Integers
    probes: Integers  # which probe of the picture matches the row
    found_by: npt.NDArray[np.uint8]  # what found it: bit i means FOUND_BY[i]


def near_rows(
    generation: Generation, picture: "Probes", found: Mapping[str, Sequence[Nearby]], k: int | None
) -> NearRows:
    """Join what each hash found near each probe of a picture; at most k rows.

    `found` has for each hash the rows near each probe. The rows are sorted by the distance of the
    first hash. A row near several probes is given once: with one that was found by match hash if
    there is one, else with the nearest.
    """
    n = len(picture)
    if n == 1 and [*found] == ["search"]:
        (only,) = found["search"]
        order = np.lexsort((only.indices, only.distances))[:k]
        flag = np.full(len(order), 1 << HASHES.index("search"), np.uint8)
        return NearRows(only.indices[order], np.zeros(len(order), np.int64), flag)
    keys = [near.indices * n + i for each in found.values() for i, near in enumerate(each)]
    flags = [1 << HASHES.index(name) for name, each in found.items() for _ in each]
    unique, places = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(places, np.repeat(flags, list(map(len, keys))), len(unique))
    found_by = sums.astype(np.uint8)
    rows, probes = np.divmod(unique, n)
    bits = _distances(generation, picture, next(iter(found)), rows, probes)
    if n > 1:
        is_by_match = found_by >> HASHES.index("match") & 1
        order = np.lexsort((probes, bits, 1 - is_by_match, rows))
        _, first = np.unique(rows[order], return_index=True)
        best = order[first]
        rows, bits, probes, found_by = rows[best], bits[best], probes[best], found_by[best]
    order = np.lexsort((rows, bits))[:k]
    return NearRows(rows[order], probes[order], found_by[order])


def wide_matches(generation: Generation, picture: "Probes", rows: Integers) -> Iterator[Match]:
    """Make the matches of a picture that the wide rule found, from their rows."""
    flags = np.full(len(rows), 1 << FOUND_BY.index(WIDE), np.uint8)
    return matches_of(generation, picture, NearRows(rows, np.zeros(len(rows), np.int64), flags))


def matches_of(generation: Generation, picture: "Probes", near: NearRows) -> Iterator[Match]:
    """Make the matches of one picture, some rows at a time; few at first, for who wants no more."""
    bounds = [0, *range(FIRST_ROWS, len(near.rows), ROWS_TOGETHER), len(near.rows)]
    for start, stop in pairwise(bounds if len(near.rows) else ()):
        part = slice(start, stop)
        some = NearRows(near.rows[part], near.probes[part], near.found_by[part])
        yield from _described(generation, picture, some)


def _described(generation: Generation, picture: "Probes", near: NearRows) -> list[Match]:
    arrays, rows = generation.arrays, near.rows
    search = _distances(generation, picture, "search", rows, near.probes)
    match, pdq = (_known_distances(generation, picture, each, near) for each in ("match", "pdq"))
    deciding = pdq if match is None else match  # format version 1 has PDQ hashes
    nothing = [None] * len(rows)
    qualities = np.array([probe.quality for probe in picture])[near.probes]
    facts: list[Any] = [
        [as_path(generation.paths[row]) for row in rows.tolist()],
        search.tolist(),
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
        [_NAMES[flags] for flags in near.found_by.tolist()],
    ]
    return [Match(*values) for values in zip(*facts, strict=True)]


def _known_distances(
    generation: Generation, picture: "Probes", name: str, near: NearRows
) -> Integers | None:
    """Return what `_distances` does, or None if the index or a probe does not have the hash."""
    if COLUMNS[name] not in generation.arrays or (name == "pdq" and picture[0].pdq is None):
        return None
    return _distances(generation, picture, name, near.rows, near.probes)


def _distances(
    generation: Generation, picture: "Probes", name: str, rows: Integers, probes: Integers
) -> Integers:
    """Return the distances by one hash between some rows and the probes they match."""
    hashes = np.concatenate([hash_of(probe, name) for probe in picture])
    return distances(generation.arrays[COLUMNS[name]][rows], hashes[probes])


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
    """Return which pairs are the same picture, by match distance, worse quality and equal bytes."""
    near = (match_distances <= MATCH_MAX_DISTANCE) & (quality >= MATCH_MIN_QUALITY)
    return np.asarray(near | same_bytes)
