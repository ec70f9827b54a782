"""The distinct hashes near a picture -> rows of the index -> matches, a few at a time."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.hashing import PDQ_MAX_DISTANCE, PDQ_MIN_QUALITY
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.generation import Generation
from imgdup.query.nearby import Nearby
from imgdup.search.hamming import distances

if TYPE_CHECKING:
    from imgdup.query.probe import Probes

ROWS_TOGETHER = 1024  # rows of one picture that become `Match` at once

Integers = npt.NDArray[np.int64]


class Match(NamedTuple):
    """An indexed image near the picture that was looked up.

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
        How the picture was rotated to match, one of `imgdup.images.gray.ORIENTATIONS`.
    """

    path: Path
    distance: int
    pdq_distance: int
    duplicate: bool
    width: int
    height: int
    row: int
    orientation: str = ORIENTATIONS[0]


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
    pdq = distances(arrays["pdq"][rows], np.concatenate([p.pdq for p in picture])[near.probes])
    qualities = np.array([probe.quality for probe in picture])[near.probes]
    facts: list[Any] = [
        [Path(os.fsdecode(generation.paths[row])) for row in rows.tolist()],
        near.distances.tolist(),
        pdq.tolist(),
        are_duplicates(
            pdq,
            np.minimum(arrays["quality"][rows], qualities),
            _have_same_bytes(arrays["digest"][rows], picture, near.probes),
        ).tolist(),
        arrays["width"][rows].tolist(),
        arrays["height"][rows].tolist(),
        rows.tolist(),
        [picture[probe].orientation for probe in near.probes.tolist()],
    ]
    return [Match(*values) for values in zip(*facts, strict=True)]


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
    pdq_distances: npt.NDArray[Any], quality: npt.NDArray[Any], same_bytes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which pairs are the same picture.

    Parameters
    ----------
    pdq_distances : ndarray of int
        In bits.
    quality : ndarray of int
        PDQ quality of the worse one of each pair.
    same_bytes : ndarray of bool

    Returns
    -------
    ndarray of bool
    """
    near = (pdq_distances <= PDQ_MAX_DISTANCE) & (quality >= PDQ_MIN_QUALITY)
    return np.asarray(near | same_bytes)
