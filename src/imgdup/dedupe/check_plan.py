"""Check that every removal of a plan is safe by the index that the plan was made from.

This checker shares no code with the code that makes groups and plans, and does not trust what a
plan states about files; only the user's options are read from its header, which is sealed. For each
removal it verifies that both files are images of this generation and as the index describes them;
that the removed file is removed once, is not protected, has no other name in the index, and is kept
for no other removal; that the two are duplicates by the hashes or bytes of the index, at the stated
distance and with the stated relation, which is one that the user lets a plan remove. What the
pictures show is verified by `imgdup.dedupe.verify.check_pictures`.
"""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.plan import UNSEALED_VERSION, FileFacts, Plan, PlanHeader, sealed
from imgdup.errors import PlanError
from imgdup.index.columns import Rows, has_trimmed
from imgdup.search import distances

SIDE = 16  # of the square of frequencies that a match hash is made of
WIDE_MATCH, WIDE_SEARCH = 64, 3  # bits, of plans by the wide rule
# The same of pictures whose middle halves are alike: bits of the match hashes, by how many bits of
# the middle rows of the search hashes differ; so many of these are 1, and so many 0, at least.
MIDDLE_MATCH, LEAST_IN_MIDDLE = {0: 80, 1: 56}, 3
CROPPED_MATCH, PART_MATCH = 72, 68  # bits, likewise: of the whole pictures, of one and a part
# Thousandths of the weight of all frequencies in which a crop may differ; the second one holds
# where the whole picture differs in at least twice the share in which the crop does.
CROPPED_WEIGHT, CLEARLY_CROPPED_WEIGHT = 115, 130
CROPS = [
    *((share, share, share, share) for share in (0.015, 0.025, 0.04, 0.05)),
    *((0.05, 0, 0, 0), (0, 0.05, 0, 0), (0, 0, 0.05, 0), (0, 0, 0, 0.05)),
]  # what is cut off at the top, bottom, left and right
MIDDLE = CROPS[3]
UNCUT = (0.0, 0.0, 0.0, 0.0)
STRUCTURE = 50  # the least quality of a match hash that can distinguish pictures
SAME_BYTES = "same-bytes"
NEVER_REMOVED = ("same-file", "different")
SAME_FILE = "same-file"

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


class _Claims(NamedTuple):
    """The statements of a plan, one entry per removal; the rows exist in the index."""

    header: PlanHeader
    remove: Numbers
    keep: Numbers
    distance: Numbers
    relations: list[str]


def check_plan(plan: Plan, rows: Rows) -> None:
    """Raise PlanError, naming the first fault, unless every removal of a plan is safe.

    The rows are those of the index that the plan is to be applied to.
    """
    if plan.header.version == UNSEALED_VERSION:
        raise PlanError(
            "the plan was made by an older imgdup, so nothing shows whether its lines were edited; "
            "nothing was changed, make a new plan with imgdup dedupe"
        )
    for fault in faults(plan, rows):
        raise PlanError(f"{fault}; nothing was changed, make a new plan with imgdup dedupe")


def faults(plan: Plan, rows: Rows) -> Iterator[str]:
    """Yield one line per kind of fault of a plan, with the first path that has it.

    The rows are those of the index that the plan should be made from.
    """
    mismatch = _mismatch(plan, rows)
    if mismatch:
        yield mismatch
        return
    claims = _Claims(
        plan.header,
        np.array([removal.remove.row for removal in plan.removals], np.int64),
        np.array([removal.keep.row for removal in plan.removals], np.int64),
        np.array([removal.distance for removal in plan.removals], np.int64),
        [removal.relation for removal in plan.removals],
    )
    for what, check in CHECKS:
        places = np.flatnonzero(check(claims, rows))
        if len(places):
            first = os.fsdecode(plan.removals[int(places[0])].remove.path)
            yield f"the plan is wrong: {what} (removals: {len(places):,}, the first: {first!r})"


def _mismatch(plan: Plan, rows: Rows) -> str | None:
    """Return why a plan does not belong to this index, or None."""
    header = plan.header
    if header != sealed(header):
        return "the first line of the plan was edited"
    if header.generation != rows.digest or header.roots != tuple(rows.roots):
        return (
            "the plan was made from another index, or from this one before it was updated "
            f"({header.generation[:12]} there, {rows.digest[:12]} here)"
        )
    if header.digest_kind != rows.digest_kind:
        return f"the plan has {header.digest_kind} digests, its index {rows.digest_kind}"
    for removal in plan.removals:
        for facts in (removal.remove, removal.keep):
            if facts.row >= len(rows) or rows.path(facts.row) != facts.path:
                path = os.fsdecode(facts.path)
                return f"the plan is wrong: row {facts.row} of the index is not {path!r}"
    wrong = _wrong_facts(plan, rows)
    if wrong is None:
        return None
    return f"the plan is wrong: the index has another size, time or digest for {wrong!r}"


def _wrong_facts(plan: Plan, rows: Rows) -> str | None:
    """Return the first file whose facts in the plan differ from those in the index."""
    named: list[FileFacts] = [facts for r in plan.removals for facts in (r.remove, r.keep)]
    places = np.array([facts.row for facts in named], np.int64)
    stated = np.frombuffer(b"".join(facts.digest for facts in named), np.uint8).reshape(-1, 16)
    wrong = (rows.column("digest")[places] != stated).any(axis=1)
    for name in ("size", "mtime_ns"):
        wrong |= rows.column(name)[places] != np.array([getattr(f, name) for f in named], np.int64)
    first = np.flatnonzero(wrong)[:1].tolist()
    return os.fsdecode(named[first[0]].path) if first else None


def _not_an_image(claims: _Claims, rows: Rows) -> Flags:
    status = rows.column("status")
    return np.asarray((status[claims.remove] != 0) | (status[claims.keep] != 0))


def _removed_twice(claims: _Claims, rows: Rows) -> Flags:
    _, first = np.unique(claims.remove, return_index=True)
    again = np.ones(len(claims.remove), bool)
    again[first] = False
    return again


def _keeper_removed(claims: _Claims, rows: Rows) -> Flags:
    return np.isin(claims.keep, claims.remove)


def _has_other_names(claims: _Claims, rows: Rows) -> Flags:
    same_file = rows.column("same_file")
    leader = np.where(same_file >= 0, same_file, np.arange(len(rows)))
    n_names = np.bincount(leader, minlength=len(rows))
    return np.asarray(n_names[leader[claims.remove]] > 1)


def _is_protected(claims: _Claims, rows: Rows) -> Flags:
    folders = [folder.rstrip(b"/") + b"/" for folder in claims.header.protect]
    paths = (rows.path(row) + b"/" for row in claims.remove.tolist())
    return np.array([any(path.startswith(f) for f in folders) for path in paths], bool)


def _not_duplicates(claims: _Claims, rows: Rows) -> Flags:
    quality = rows.column("quality")
    match = _match_distances(claims, rows)
    near = match <= claims.header.max_distance
    hashes = rows.column("hashes")
    search = distances(hashes[claims.remove], hashes[claims.keep])
    if claims.header.search_distance is not None:
        near &= search <= claims.header.search_distance
    if claims.header.wide:
        near |= (match <= WIDE_MATCH) & (search <= WIDE_SEARCH)
        near |= _near_in_the_middle(claims, rows)
        near |= _near_without_borders(claims, rows)
        near[~near] = _may_be_crops(claims, rows, ~near)
    near &= quality[claims.remove] >= STRUCTURE
    near &= quality[claims.keep] >= STRUCTURE
    return ~(near | _same_bytes(claims, rows))


def _near_in_the_middle(claims: _Claims, rows: Rows) -> Flags:
    """Return whether the middle rows of the search hashes are alike, and the match hashes near."""
    removed, kept = (
        np.unpackbits(
            np.ascontiguousarray(rows.column("hashes")[each], "<u8").view(np.uint8), axis=1
        )[:, 16:48].astype(np.int64)
        for each in (claims.remove, claims.keep)
    )
    says = [
        np.minimum(each.sum(axis=1), 32 - each.sum(axis=1)) >= LEAST_IN_MIDDLE
        for each in (removed, kept)
    ]
    unlike = np.abs(removed - kept).sum(axis=1)
    most = np.array([MIDDLE_MATCH.get(bits, -1) for bits in unlike.tolist()], np.int64)
    match = rows.column("match")
    near = distances(match[claims.remove], match[claims.keep]) <= most
    return np.asarray(says[0] & says[1] & near)


def _near_without_borders(claims: _Claims, rows: Rows) -> Flags:
    """Return whether the hashes are near if one or both pictures are taken without borders."""
    near = np.zeros(len(claims.remove), bool)
    if not has_trimmed(rows):
        return near
    numbers, trimmed, match = (rows.column(n) for n in ("trimmed_rows", "trimmed", "match"))
    place = {row: i for i, row in enumerate(numbers.tolist())}
    for i, pair in enumerate(zip(claims.remove.tolist(), claims.keep.tolist(), strict=True)):
        one, other = (
            [match[row], *([trimmed[place[row]]] if row in place else [])] for row in pair
        )
        bits = [np.bitwise_count(a ^ b).sum() for a in one for b in other]
        near[i] = min([*bits[1:], SIDE * SIDE]) <= claims.header.max_distance
    return near


def _may_be_crops(claims: _Claims, rows: Rows, which: Flags) -> Flags:
    """Return of some removals whether one picture may be a crop of the other."""
    match = rows.column("match")
    removed, kept = (match[each[which]] for each in (claims.remove, claims.keep))
    is_near = distances(removed, kept) <= CROPPED_MATCH
    agrees = np.zeros(len(removed), bool)
    signs = [_coefficients(each).astype(np.int64) * 2 - 1 for each in (removed, kept)]
    for whole, other in (signs, signs[::-1]):
        _, uncut, all_uncut = _different(_part_of(whole, UNCUT), other)
        for crop in CROPS:
            n_bits, different, weights = _different(_part_of(whole, crop), other)
            is_clear = 2 * different * all_uncut <= uncut * weights
            most = np.where(is_clear, CLEARLY_CROPPED_WEIGHT, CROPPED_WEIGHT)
            agrees |= 1000 * different <= most * weights
            if crop == MIDDLE:
                is_near |= n_bits <= PART_MATCH
    return np.asarray(is_near & agrees)


def _different(part: npt.NDArray[np.float64], other: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return in how many frequencies parts and other pictures differ, their weight, that of all."""
    differs = (part > 0) != (other > 0)
    differs[:, 0, 0] = False
    size = np.abs(part)
    exact = size * (4 * SIDE**2 / size.sum(axis=(1, 2), keepdims=True))
    weight = np.minimum(np.rint(exact), 15).astype(np.int64)
    sums = (differs, weight * differs, weight)
    n_bits, different, weights = (each.sum(axis=(1, 2), dtype=np.int64) for each in sums)
    return n_bits, different, weights


def _part_of(signs: Numbers, crop: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Return the frequencies of a part of pictures, from the signs of those of the whole."""
    waves, lines = np.arange(SIDE), (np.arange(64) + 0.5) / 64
    norm = np.where(waves > 0, np.sqrt(2.0), 1.0)
    part = norm[:, np.newaxis] * np.cos(np.pi * waves[:, np.newaxis] * lines) * (1024 / 64)
    sizes = np.rint(1024 / np.sqrt(np.sqrt(1 + waves[:, np.newaxis] ** 2 + waves**2)))
    frequencies = signs * sizes
    frequencies[:, 0, 0] = 0
    for axis in (1, 2):
        before, after = crop[2 * axis - 2 : 2 * axis]
        places = before + (1 - before - after) * lines
        whole = norm[:, np.newaxis] * np.cos(np.pi * waves[:, np.newaxis] * places)
        operator = np.rint(part @ whole.T)
        frequencies = np.moveaxis(np.tensordot(frequencies, operator, ([axis], [1])), -1, axis)
    frequencies[:, 0, 0] = 0
    return np.asarray(frequencies)


def _wrong_distance(claims: _Claims, rows: Rows) -> Flags:
    true = _match_distances(claims, rows)
    return np.asarray(np.where(_same_bytes(claims, rows), 0, true) != claims.distance)


def _match_distances(claims: _Claims, rows: Rows) -> Numbers:
    """Return the distances of the match hashes, of the nearest orientation if the plan says so."""
    match = rows.column("match")
    removed, kept = match[claims.remove], match[claims.keep]
    if not claims.header.orientations:
        return distances(removed, kept)
    unlike = [
        (turned ^ _coefficients(kept)).reshape(-1, SIDE * SIDE)[:, 1:].sum(axis=1, dtype=np.int64)
        for turned in _eight_ways(_coefficients(removed))
    ]
    return np.asarray(np.min(unlike, axis=0))


def _coefficients(match: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the signs of the coefficients of a match hash: 0 or 1, shape (n, 16, 16)."""
    data = np.ascontiguousarray(match, "<u8").view(np.uint8)
    return np.unpackbits(data, axis=1, bitorder="little").reshape(-1, SIDE, SIDE)


def _eight_ways(signs: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the signs of pictures rotated and mirrored: odd frequencies change their sign."""
    odd = (np.arange(SIDE) % 2).astype(np.uint8)
    for square in (signs, signs.swapaxes(1, 2)):
        for upside_down in (0 * odd, odd):
            for mirrored in (0 * odd, odd):
                yield square ^ upside_down[:, np.newaxis] ^ mirrored


def _wrong_relation(claims: _Claims, rows: Rows) -> Flags:
    same_bytes = np.array([relation == SAME_BYTES for relation in claims.relations], bool)
    same_file = np.array([relation == SAME_FILE for relation in claims.relations], bool)
    return np.asarray(same_file | (same_bytes != _same_bytes(claims, rows)))


def _may_not_go(claims: _Claims, rows: Rows) -> Flags:
    asked = set(claims.header.removable) - set(NEVER_REMOVED)
    return np.array([relation not in asked for relation in claims.relations], bool)


def _same_bytes(claims: _Claims, rows: Rows) -> Flags:
    digest, size = rows.column("digest"), rows.column("size")
    same = (digest[claims.remove] == digest[claims.keep]).all(axis=1)
    return np.asarray(same & (size[claims.remove] == size[claims.keep]))


CHECKS: tuple[tuple[str, Callable[[_Claims, Rows], Flags]], ...] = (
    ("one of the files is not an image", _not_an_image),
    ("a file is removed twice", _removed_twice),
    ("the file to keep is removed, too", _keeper_removed),
    ("the file has other names (hard links)", _has_other_names),
    ("the file is protected", _is_protected),
    ("the two files are not duplicates", _not_duplicates),
    ("the distance is not as stated", _wrong_distance),
    ("the relation is not as stated", _wrong_relation),
    ("files of this relation are not removed", _may_not_go),
)
