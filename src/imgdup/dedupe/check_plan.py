"""A plan and the index it names -> proof that it removes nothing without a stay, or what is wrong.

This is the independent checker: it shares no code with what makes groups and plans, and believes
nothing that a plan says about files; what the user asked for stands in its header, which is sealed.
What it proves of every removal: both files are images of this very generation and as it describes
them; the one goes once and stays for no other; the other does not go; the two are two files, are
duplicates by the index's own hashes or bytes, and lie as far apart as stated; and the one that goes
is not protected.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, sealed
from imgdup.errors import PlanError
from imgdup.index.columns import Rows
from imgdup.search.hamming import distances

STRUCTURE = 50  # PDQ quality from which a hash tells pictures apart
SAME_BYTES = "same-bytes"
OF_ONE_FILE = "same-file"

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


class _Claims(NamedTuple):
    """What a plan says, one entry a removal; rows are known to be rows of the index."""

    header: PlanHeader
    remove: Numbers
    keep: Numbers
    distance: Numbers
    relations: list[str]


def check_plan(plan: Plan, rows: Rows) -> None:
    """Raise unless a plan is true.

    Parameters
    ----------
    plan : Plan
    rows : Rows
        The index that it is about to be carried out on.

    Raises
    ------
    PlanError
        Names the first fault, and how many removals have it.
    """
    for fault in faults(plan, rows):
        raise PlanError(f"{fault}; nothing was changed, make a new plan with imgdup dedupe")


def faults(plan: Plan, rows: Rows) -> Iterator[str]:
    """Find what is false in a plan.

    Parameters
    ----------
    plan : Plan
    rows : Rows
        The index that it says it was made from.

    Yields
    ------
    str
        One line for each kind of fault, with the first path that has it.
    """
    stranger = _stranger(plan, rows)
    if stranger:
        yield stranger
        return
    claims = _Claims(
        plan.header,
        np.array([removal.remove.row for removal in plan.removals], np.int64),
        np.array([removal.keep.row for removal in plan.removals], np.int64),
        np.array([removal.distance for removal in plan.removals], np.int64),
        [removal.relation for removal in plan.removals],
    )
    for what, wrong in _checks(claims, rows):
        places = np.flatnonzero(wrong)
        if len(places):
            first = os.fsdecode(plan.removals[int(places[0])].remove.path)
            yield f"the plan is false: {what}, in {len(places):,} removals, the first of {first!r}"


def _stranger(plan: Plan, rows: Rows) -> str | None:
    """Say why a plan is not about these rows, or None."""
    header = plan.header
    if header != sealed(header):
        return "the first line of the plan was edited"
    if header.generation != rows.digest or header.roots != tuple(rows.roots):
        return (
            "the plan was made from another index, or from this one before it was updated "
            f"({header.generation[:12]} there, {rows.digest[:12]} here)"
        )
    for removal in plan.removals:
        for facts in (removal.remove, removal.keep):
            if facts.row >= len(rows) or rows.path(facts.row) != facts.path:
                return f"the plan is false: {os.fsdecode(facts.path)!r} is not in that row"
    wrong = _other_facts(plan, rows)
    return f"the plan is false: size, time or digest of {wrong!r} is another" if wrong else None


def _other_facts(plan: Plan, rows: Rows) -> str | None:
    """Name the first file whose facts are not the index's."""
    sides: Iterable[tuple[FileFacts, ...]] = ((r.remove, r.keep) for r in plan.removals)
    named = [facts for side in sides for facts in side]
    places = np.array([facts.row for facts in named], np.int64)
    stated = np.frombuffer(b"".join(facts.digest for facts in named), np.uint8).reshape(-1, 16)
    wrong = (rows.column("digest")[places] != stated).any(axis=1)
    for name in ("size", "mtime_ns"):
        wrong |= rows.column(name)[places] != np.array([getattr(f, name) for f in named], np.int64)
    first = np.flatnonzero(wrong)[:1].tolist()
    return os.fsdecode(named[first[0]].path) if first else None


def _checks(claims: _Claims, rows: Rows) -> Iterator[tuple[str, Flags]]:
    for what, check in CHECKS:
        yield what, check(claims, rows)


def _not_an_image(claims: _Claims, rows: Rows) -> Flags:
    status = rows.column("status")
    return np.asarray((status[claims.remove] != 0) | (status[claims.keep] != 0))


def _goes_twice(claims: _Claims, rows: Rows) -> Flags:
    _, first = np.unique(claims.remove, return_index=True)
    again = np.ones(len(claims.remove), bool)
    again[first] = False
    return again


def _keeper_goes(claims: _Claims, rows: Rows) -> Flags:
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
    pdq, quality = rows.column("pdq"), rows.column("quality")
    near = distances(pdq[claims.remove], pdq[claims.keep]) <= claims.header.max_distance
    near &= quality[claims.remove] >= STRUCTURE
    near &= quality[claims.keep] >= STRUCTURE
    if claims.header.search_distance is not None:
        hashes = rows.column("hashes")
        bits = distances(hashes[claims.remove], hashes[claims.keep])
        near &= bits <= claims.header.search_distance
    return ~(near | _same_bytes(claims, rows))


def _other_distance(claims: _Claims, rows: Rows) -> Flags:
    pdq = rows.column("pdq")
    true = distances(pdq[claims.remove], pdq[claims.keep])
    return np.asarray(np.where(_same_bytes(claims, rows), 0, true) != claims.distance)


def _other_relation(claims: _Claims, rows: Rows) -> Flags:
    same_bytes = np.array([relation == SAME_BYTES for relation in claims.relations], bool)
    same_file = np.array([relation == OF_ONE_FILE for relation in claims.relations], bool)
    return np.asarray(same_file | (same_bytes != _same_bytes(claims, rows)))


def _same_bytes(claims: _Claims, rows: Rows) -> Flags:
    digest, size = rows.column("digest"), rows.column("size")
    same = (digest[claims.remove] == digest[claims.keep]).all(axis=1)
    return np.asarray(same & (size[claims.remove] == size[claims.keep]))


CHECKS: tuple[tuple[str, Callable[[_Claims, Rows], Flags]], ...] = (
    ("a file of them is no image", _not_an_image),
    ("a file goes twice", _goes_twice),
    ("the file that should stay goes too", _keeper_goes),
    ("the file has other names (hard links)", _has_other_names),
    ("the file is protected", _is_protected),
    ("the two are no duplicates", _not_duplicates),
    ("the distance is another", _other_distance),
    ("the relation is another", _other_relation),
)
