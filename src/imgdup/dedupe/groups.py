"""Divide duplicates into groups: one file that is kept, and those removed in favour of it.

Files are visited best first. A file is kept unless it is a duplicate of a file that is already
kept: a candidate by its hash, and removable by what a comparison of the two pictures found. It is
removed in favour of the nearest such file. So no removal rests on a chain.

Files of equal bytes are one content, which is compared once. Components of candidates are
independent, so as many of them as have room in memory are decided at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import (
    Hashes,
    MatchRule,
    are_near,
    byte_classes,
    class_numbers,
    hash_classes,
    hashes_of,
)
from imgdup.dedupe.components import Part, parts
from imgdup.dedupe.decide import Contents, Decisions, Judge, Pair, Policy, decide
from imgdup.dedupe.keep import FactsOf, Keep, keep_order, lie_in, needs_facts, unknown_facts
from imgdup.dedupe.nearest import nearest_better
from imgdup.dedupe.origin import Ruling, rulings
from imgdup.dedupe.relations import SAME_BYTES, UNVERIFIED, Verdict
from imgdup.hashing import dihedral_hashes
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import RowNumbers, Rows, file_numbers
from imgdup.query.transformed import nearest_orientations

Progress = Callable[[int, int], None]  # files decided, files that have candidates


@dataclass(frozen=True)
class DedupeOptions:
    """Which images to look at, what counts as a duplicate, and which file is kept."""

    keep: Keep = field(default_factory=Keep)
    rule: MatchRule = field(default_factory=MatchRule)
    # Absolute folders or files to look at; empty for the whole index.
    folders: tuple[bytes, ...] = ()
    # Which duplicates are removed, and how many candidates of a file are looked at.
    policy: Policy = field(default_factory=Policy)
    threads: int | None = None  # of the search for pairs; all cores by default


class Removed(NamedTuple):
    """A row that is removed in favour of another, and by which keep rule the other is kept."""

    keeper: int
    row: int
    distance: int
    verdict: Verdict
    rule: str = ""


class Shown(NamedTuple):
    """A row that is kept although it is a duplicate of a better row, as far as is known."""

    better: int
    row: int
    distance: int
    verdict: Verdict


class StarGroups(NamedTuple):
    """Star groups, by rows; the files of group i are ``removed[offsets[i]:offsets[i + 1]]``."""

    keepers: RowNumbers  # the file of each group that is kept; best first
    offsets: RowNumbers
    # The files removed in favour of the keeper, nearest first, the better first of equally near
    # ones. All names of such a file (hard links) are here, one after another.
    removed: RowNumbers
    # Match distance of each to its keeper, in bits; 0 where the bytes are equal.
    distances: npt.NDArray[np.uint16]
    verdicts: list[Verdict]  # what the comparison of each with its keeper found
    rules: list[str]  # the keep rule that decided for the keeper of each
    shown: list[Shown]  # duplicates that are kept, in path order
    # Pairs of pictures that were compared, and files that are kept although they have more
    # candidates than were compared.
    n_compared: int
    n_beyond: int

    def keeper_of_each(self) -> RowNumbers:
        """Return the keeper's row for each entry of ``removed``."""
        return np.repeat(self.keepers, np.diff(self.offsets))


def unverified(pairs: Sequence[Pair]) -> list[Verdict]:
    """Judge pairs without comparing their pictures."""
    return [Verdict(UNVERIFIED, 0.0, None)] * len(pairs)


def with_orientations(verdicts: Sequence[Verdict], by_hash: RowNumbers) -> list[Verdict]:
    """Add the orientation, by the hashes, to the verdicts of pictures that were not compared."""
    return [
        verdict._replace(orientation=ORIENTATIONS[number])
        if verdict.relation == UNVERIFIED
        else verdict
        for verdict, number in zip(verdicts, by_hash.tolist(), strict=True)
    ]


class Inspection(NamedTuple):
    """How to learn of files what the index does not know.

    `judge` compares the pictures of pairs of rows, the better one first; `facts_of` describes the
    files of rows, for the keep rules. `foresee` gets rows that will be described.
    """

    judge: Judge = unverified
    facts_of: FactsOf = unknown_facts
    foresee: Callable[[RowNumbers], None] = lambda selected: None


NO_INSPECTION = Inspection()


def star_groups(
    rows: Rows,
    selected: RowNumbers,
    options: DedupeOptions,
    *,
    inspection: Inspection = NO_INSPECTION,
    progress: Progress = lambda n_decided, n_files: None,
) -> StarGroups:
    """Decide which images are kept and which are removed, whatever the number of threads.

    `progress` is called with the number of rows that are decided, and of all that have candidates.
    """
    foresee = (inspection if needs_facts(options.keep) else NO_INSPECTION).foresee
    divided = parts(rows, selected, options.rule, threads=options.threads, foresee=foresee)
    n_files, n_decided = sum(len(part.rows) for part in divided), 0
    removed: list[Removed] = []
    shown: list[Shown] = []
    n_compared = n_beyond = 0
    for part in divided:
        gone, seen, found = _decide_part(rows, part, options, inspection)
        removed += gone
        shown += seen
        n_compared += found.n_compared
        n_beyond += found.n_beyond
        n_decided += len(part.rows)
        progress(n_decided, n_files)
    shown.sort(key=lambda each: each.row)
    return _groups(rows, options.keep, inspection, removed, (shown, n_compared, n_beyond))


def _decide_part(
    rows: Rows, part: Part, options: DedupeOptions, inspection: Inspection
) -> tuple[list[Removed], list[Shown], Decisions]:
    """Decide which rows of some components of candidates are removed, and which only shown.

    If two pictures show that the one to be removed is the original, all is decided again.
    """
    names = keep_order(rows, part.rows, options.keep, inspection.facts_of)
    judge = options.keep.decided.judge(inspection.judge, rows)
    moved: set[tuple[int, int]] = set()
    while True:
        files = _files(rows, names, options)
        found = _decide(rows, part, files, options, judge)
        removed = _removed(names, files, found)
        ruled = _rulings(rows, options.keep, removed, inspection)
        originals = {
            each.row: each.keeper
            for each, ruling in zip(removed, ruled, strict=True)
            if ruling.for_second and (each.row, each.keeper) not in moved
        }
        if not originals:
            removed = [
                each._replace(rule=ruling.rule) for each, ruling in zip(removed, ruled, strict=True)
            ]
            return removed, _shown(files, found), found
        moved.update(originals.items())
        names = _moved_before(names, originals)


def _moved_before(names: RowNumbers, others: dict[int, int]) -> RowNumbers:
    """Move some rows directly before others."""
    place = {row: number for number, row in enumerate(names.tolist())}
    keys = [
        (place[others.get(row, row)], row not in others, number) for row, number in place.items()
    ]
    return names[sorted(range(len(names)), key=keys.__getitem__)]


class _Files(NamedTuple):
    """Files by their best names, best first, and contents, numbered by their best files.

    Files are of one content if their bytes and their hashes are equal.
    """

    rows: RowNumbers
    of_name: RowNumbers
    content: RowNumbers
    heads: RowNumbers
    protected: npt.NDArray[np.bool_]
    hashes: Hashes
    hash_class: RowNumbers
    byte_class: RowNumbers


def _files(rows: Rows, names: RowNumbers, options: DedupeOptions) -> _Files:
    """Collect the files and contents of rows that are in keep order."""
    number = file_numbers(rows)[names]
    _, first, same = np.unique(number, return_index=True, return_inverse=True)
    of_name = np.argsort(np.argsort(first))[same.reshape(-1)]
    ranked = names[np.sort(first)]
    hashes = hashes_of(rows, ranked, options.rule)
    hash_class = hash_classes(hashes, rows.column("quality")[ranked])
    byte_class = byte_classes(rows, ranked)
    keys = np.column_stack([hash_class, byte_class]).astype(np.uint64)
    _, heads, content = np.unique(class_numbers(keys), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(heads))
    return _Files(
        ranked,
        of_name,
        rank[content.reshape(-1)],
        np.sort(heads),
        _protected(rows, ranked, heads, options.keep),
        hashes,
        hash_class,
        byte_class,
    )


def _protected(
    rows: Rows, ranked: RowNumbers, heads: RowNumbers, keep: Keep
) -> npt.NDArray[np.bool_]:
    """Return which files are kept in any case; of a preferred content, that is the best file."""
    protected = lie_in(rows, ranked, keep.protect) | keep.decided.keeps(rows, ranked)
    protected[heads] |= keep.decided.prefers(rows, ranked[heads])
    return protected


def _decide(
    rows: Rows, part: Part, files: _Files, options: DedupeOptions, judge: Judge
) -> Decisions:
    """Decide about the contents of the files of a part."""
    heads, rule = files.heads, options.rule
    hashes, hash_class = files.hashes.select(heads), files.hash_class[heads]
    keys, most = (hash_class, files.byte_class[heads]), options.policy.max_candidates
    known = part.renumbered(files.rows[heads], hash_class)
    better = nearest_better(hashes, *keys, rule, most, threads=options.threads, known=known)
    others = range(1, len(ORIENTATIONS) if rule.orientations else 1)
    turned = [hashes.match, *dihedral_hashes(hashes.match, others)]
    contents = Contents(
        _integers(hashes.match),
        list(zip(*map(_integers, turned), strict=True)),
        _integers(rows.column("hashes")[files.rows[heads]]),
        (hash_class >= 0).tolist(),
        files.byte_class[heads].tolist(),
        files.protected[heads].tolist(),
        cache(lambda a, b: are_near(hashes, a, b, rule)),
    )
    row_of = files.rows[heads].tolist()

    def judge_contents(pairs: Sequence[Pair]) -> Sequence[Verdict]:
        verdicts = judge([(row_of[a], row_of[b]) for a, b in pairs])
        if not rule.orientations:
            return verdicts
        better, others = np.array(pairs).T
        by_hash = nearest_orientations(hashes.match, hashes.match, better, others)[1]
        return with_orientations(verdicts, by_hash)

    return decide(better, contents, rule, judge_contents, options.policy)


def _integers(hashes: npt.NDArray[np.uint64]) -> list[int]:
    """Return each hash as one integer."""
    data, width = np.ascontiguousarray(hashes, "<u8").tobytes(), 8 * hashes.shape[1]
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def _removed(names: RowNumbers, files: _Files, found: Decisions) -> list[Removed]:
    """Return the rows that are removed, the best first."""
    row_of, heads = files.rows.tolist(), files.heads.tolist()
    same_bytes = Verdict(SAME_BYTES, 0.0, None)
    removed = []
    for name, file in zip(names.tolist(), files.of_name.tolist(), strict=True):
        content = int(files.content[file])
        finding = found.removed.get(content)
        if files.protected[file]:
            continue
        if finding is not None:
            keeper = row_of[heads[finding.better]]
            removed.append(Removed(keeper, name, finding.distance, finding.verdict))
        elif file != heads[content]:
            removed.append(Removed(row_of[heads[content]], name, 0, same_bytes))
    return removed


def _rulings(
    rows: Rows, keep: Keep, removed: Sequence[Removed], inspection: Inspection
) -> list[Ruling]:
    """Decide between the kept and the removed file of each removal."""
    kept, others = (np.array([each[i] for each in removed], np.int64) for i in range(2))
    return rulings(
        rows, keep, (kept, others), [each.verdict for each in removed], inspection.facts_of
    )


def _shown(files: _Files, found: Decisions) -> list[Shown]:
    row_of = files.rows[files.heads].tolist()
    return [
        Shown(row_of[finding.better], row_of[content], finding.distance, finding.verdict)
        for content, finding in found.shown.items()
    ]


def _groups(
    rows: Rows,
    keep: Keep,
    inspection: Inspection,
    removed: Sequence[Removed],
    more: tuple[list[Shown], int, int],
) -> StarGroups:
    """Sort removed rows, each part of which is sorted best first, into groups."""
    every = np.array([each.keeper for each in removed], np.int64)
    keepers = keep_order(
        rows, np.array(sorted(set(every.tolist())), np.int64), keep, inspection.facts_of
    )
    place = np.empty(len(rows) if len(every) else 0, np.int64)
    place[keepers] = np.arange(len(keepers))
    bits = np.array([each.distance for each in removed], np.int64)
    order = np.lexsort((bits, place[every])).tolist()
    return StarGroups(
        keepers,
        np.searchsorted(place[every[order]], np.arange(len(keepers) + 1)),
        np.array([removed[i].row for i in order], np.int64),
        bits[order].astype(np.uint16),
        [removed[i].verdict for i in order],
        [removed[i].rule for i in order],
        *more,
    )
