"""Write one index from the rows of several, or from some rows of one; no picture is read.

The parts of a folder, merged, give the generation that one run over the folder gives, byte for
byte. Rows are merged as sorted streams.
"""

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgdup.build.checkpoints import CHECKPOINT_NAME
from imgdup.build.known import load_known, save_known
from imgdup.build.merge_table import MergedTable, RowSources, different_rows, facts_of
from imgdup.build.roots import OPTION_WORDS, SINGLE_FILES, Roots, add_root, in_order, root_of
from imgdup.build.write import commit_table, scan_times
from imgdup.errors import ImgdupError, UsageError
from imgdup.images.formats import OK
from imgdup.index import folder
from imgdup.index.columns import RowNumbers
from imgdup.index.generation import Generation, open_generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import Paths, merge_sorted
from imgdup.system.paths import absolute, is_below, join, path_key

log = logging.getLogger(__name__)

MAX_INDEXES = 1 << 16


class Merged(NamedTuple):
    """What a merge wrote."""

    # Files, and how many of them have no hash.
    n_rows: int
    n_failed: int
    n_shared: int  # rows that were left out because another index has the same file
    # The roots of which parts are missing, and which parts there are, as in ``1-3,5/7``.
    incomplete: list[tuple[bytes, str]]
    # Indexes without an optional column, because of which the merged one does not have it.
    lacking: list[tuple[Path, str]]


class _Index(NamedTuple):
    """An opened index to merge."""

    place: Path
    current: folder.Current
    generation: Generation


def merge_indexes(places: Sequence[Path], target: Path, *, replace: bool = False) -> Merged:
    """Write an index of all files of several indexes.

    A path that several indexes have gives one row. If the content is the same, it is the row with
    the latest mtime; if only one index could read it, and size and mtime are the same, it is the
    row of that one. The target may be one of the indexes; another index in it is replaced only if
    `replace` is true.

    Raises UsageError if a folder in a folder has other scan options. Raises ImgdupError if the
    target holds another index; if the indexes hash differently, scanned one folder with different
    options, or have different contents under one path. Nothing is changed then.
    """
    if len(places) > MAX_INDEXES:
        raise UsageError(f"at most {MAX_INDEXES:,} indexes can be merged, got {len(places):,}")
    before = folder.read_current(target)
    indexes = [_opened(place) for place in places]
    _check_target(target, [each.place for each in indexes], replace=replace)
    for each in indexes[1:]:
        _check_same_hash(indexes[0], each)
    roots = _joined_roots(indexes)
    generations = [each.generation for each in indexes]
    optional = _optional(generations)
    table = MergedTable(generations, list(roots), optional)
    n_shared = _fill(table, indexes, roots)
    times = _oldest_scans(indexes, roots)
    known, counts = zip(*(load_known(each.place) for each in indexes), strict=True)
    _commit(target, before, table, roots, times)
    all_counts = dict(item for each in counts for item in each.items())
    save_known(target, np.unique(np.concatenate(known)), all_counts)
    return Merged(
        n_rows=len(table),
        n_failed=int((table.gather("status") != OK).sum()),
        n_shared=n_shared,
        incomplete=[(r, str(o.part)) for r, o in roots.items() if not o.part.is_whole],
        lacking=_lacking(indexes),
    )


def select_rows(place: Path, rows: RowNumbers, target: Path, *, replace: bool = False) -> None:
    """Write an index of some rows of an index, ascending, with the same roots.

    The target may be the same index; another one in it is replaced only if `replace` is true, else
    ImgdupError is raised.
    """
    before = folder.read_current(target)
    index = _opened(place)
    _check_target(target, [index.place], replace=replace)
    generation = index.generation
    chosen = np.zeros(len(generation), bool)
    chosen[rows] = True
    table = MergedTable([generation], list(generation.roots), _optional([generation]))
    for key, (_, row, root) in _rows(0, generation.paths, {r: r for r in generation.roots}):
        if chosen[row]:
            table.add(key.replace(b"\0", b"/"), root or SINGLE_FILES, 0, row)
    times = scan_times(generation, index.current)
    _commit(target, before, table, generation.roots, times)
    save_known(target, *load_known(index.place))


def _optional(generations: Sequence[Generation]) -> dict[str, bool]:
    """Return which optional columns all generations have, as parameters such as ``with_pdq``."""
    return {
        "with_pdq": all(each.has_pdq for each in generations),
        "with_trimmed": all(each.has_trimmed for each in generations),
    }


def _lacking(indexes: Sequence[_Index]) -> list[tuple[Path, str]]:
    """Return which indexes do not have an optional column that another one has."""
    found = [(each.place, _optional([each.generation])) for each in indexes]
    there = {name for _, has in found for name in has if has[name]}
    return [(place, name) for place, has in found for name in sorted(there) if not has[name]]


def _opened(place: Path) -> _Index:
    """Open an index, verify it completely, and warn if a run on it was interrupted."""
    current, generation = folder.open_generation(place, open_generation)
    _ = generation.probe_parameters
    generation.check_before_decision()
    parts = place / folder.PARTS
    if parts.is_dir() and any(map(CHECKPOINT_NAME.fullmatch, os.listdir(parts))):
        log.warning(
            "%s: its last run was interrupted; the files that it hashed are left out", place
        )
    return _Index(place, current, generation)


def _check_target(target: Path, places: Sequence[Path], *, replace: bool) -> None:
    """Refuse to overwrite an index whose rows may be lost."""
    is_input = any(absolute(target) == absolute(place) for place in places)
    if folder.is_index(target) and not (replace or is_input):
        raise ImgdupError(
            f"{target} already holds an index: give another folder, or replace it with --force"
        )


def _check_same_hash(one: _Index, other: _Index) -> None:
    a, b = one.generation.parameters, other.generation.parameters
    if a == b:
        return
    if a["digest_kind"] != b["digest_kind"] and {**b, "digest_kind": a["digest_kind"]} == a:
        raise ImgdupError(
            f"{one.place} has {a['digest_kind']} digests, {other.place} {b['digest_kind']}: run "
            "imgdup index --rehash on the older one"
        )
    raise ImgdupError(
        f"{one.place} holds {a['hash']} {a['bits']} hashes, {other.place} {b['hash']} {b['bits']}: "
        "only indexes of the same hash can be merged"
    )


def _joined_roots(indexes: Sequence[_Index]) -> dict[bytes, ScanOptions]:
    """Return the roots of all indexes, without those that another one reaches."""
    named: dict[bytes, list[tuple[Path, ScanOptions]]] = {}
    for place, _, generation in indexes:
        for root, options in generation.roots.items():
            named.setdefault(root, []).append((place, options))
    roots: dict[bytes, ScanOptions] = {}
    for root in sorted(named, key=path_key, reverse=True):  # the inner ones first
        joined = _joined_options(root, named[root])
        if root == SINGLE_FILES:
            roots[root] = joined
        else:
            add_root(roots, root, joined)
    singles = (path for each in indexes for path in each.generation.paths.of_root(SINGLE_FILES))
    if all(_root_of_single(path, roots) != SINGLE_FILES for path in singles):
        roots.pop(SINGLE_FILES, None)
    return in_order(roots)


def _joined_options(root: bytes, named: Sequence[tuple[Path, ScanOptions]]) -> ScanOptions:
    """Join the parts of a root; raise ImgdupError if the indexes differ in anything else."""
    (first, options), *others = named
    part = options.part
    for place, other in others:
        for name, words in OPTION_WORDS.items():
            a, b = getattr(options, name), getattr(other, name)
            if a != b and not (name == "part" and options.part.of == other.part.of):
                raise ImgdupError(
                    f"{os.fsdecode(root) or 'a list of files'} was indexed with a different choice "
                    f"of {words} in {place} than in {first}: index it again with the same one"
                )
        part = part if part.is_whole else part | other.part
    return dataclasses.replace(options, part=part)


def _fill(table: MergedTable, indexes: Sequence[_Index], roots: Roots) -> int:
    """Add the rows of all indexes in path order, and return how many were left out."""
    streams = [
        _rows(number, each.generation.paths, _roots_now(each.generation.roots, roots))
        for number, each in enumerate(indexes)
    ]
    others, places = RowSources(table.generations), []
    for key, group in groupby(merge_sorted(streams), key=itemgetter(0)):
        path = key.replace(b"\0", b"/")
        (number, row, root), *rest = [value for _, value in group]
        for other_number, other_row, _ in rest:
            places.append(len(table))
            others.add(other_number, other_row)
        table.add(path, _root_of_single(path, roots) if root is None else root, number, row)
    _choose(table, indexes, np.array(places, np.int64), others)
    return len(others)


def _rows(
    number: int, paths: Paths, roots_now: Mapping[bytes, bytes | None]
) -> Iterator[tuple[bytes, tuple[int, int, bytes | None]]]:
    """Yield the key of each path of an index, the number of the index, the row, and its root."""

    def of_spans(
        spans: Sequence[tuple[int, int]],
    ) -> Iterator[tuple[bytes, tuple[int, int, bytes | None]]]:
        for start, stop in spans:
            for first, last, old_root in paths.runs_between(start, stop):
                root = roots_now[old_root]
                for row, path in enumerate(paths.between(first, last), first):
                    yield path_key(path), (number, row, root)

    return merge_sorted(map(of_spans, paths.sorted_spans))


def _roots_now(old: Roots, roots: Roots) -> dict[bytes, bytes | None]:
    """Return the new root of the rows of each root of an index; None if it depends on the path."""
    found: dict[bytes, bytes | None] = {SINGLE_FILES: None}
    for root in filter(None, old):
        outer = (each for each in roots if each and is_below(root, each))
        found[root] = root if root in roots else max(outer, key=len)
    return found


def _root_of_single(path: bytes, roots: Roots) -> bytes:
    """Return the root that has a file that was named itself, or that of single files."""
    root = root_of(path, roots)
    if root is None or not roots[root].part.holds_path(path[len(join(root, b"")) :]):
        return SINGLE_FILES
    return root


def _choose(
    table: MergedTable, indexes: Sequence[_Index], places: RowNumbers, others: RowSources
) -> None:
    """Choose which row is kept if several have one path.

    Raises ImgdupError if the contents of a path differ.
    """
    conflicts: list[tuple[int, int, int]] = []
    for i in different_rows(table, places, others):
        place = int(places[i])
        rows = table.sources.of(place), others.of(i)
        mine, theirs = (facts_of(table, *each) for each in rows)
        if not mine.may_be_one(theirs):
            conflicts.append((place, rows[0][0], rows[1][0]))
        elif theirs > mine:
            table.sources.replace(place, *rows[1])
    if conflicts:
        place, one, other = conflicts[0]
        number, row = table.sources.of(place)
        path = os.fsdecode(table.generations[number].paths[row])
        more = f" (and {len(conflicts) - 1:,} more)" if conflicts[1:] else ""
        raise ImgdupError(
            f"the content of {path}{more} differs between {indexes[other].place} and "
            f"{indexes[one].place}: update both with imgdup index"
        )


def _oldest_scans(indexes: Sequence[_Index], roots: Roots) -> dict[bytes, int]:
    """Return since when all rows of each root are known: the oldest scan of its rows."""
    found: dict[bytes, int] = {}
    for _, current, generation in indexes:
        for root, scanned_ns in scan_times(generation, current).items():
            for each in roots:  # files that were named themselves may be in any
                if root == SINGLE_FILES or (each and is_below(root, each)):
                    found[each] = min(scanned_ns, found.get(each, scanned_ns))
    return found


def _commit(
    target: Path,
    before: folder.Current | None,
    table: MergedTable,
    roots: Roots,
    times: Mapping[bytes, int],
) -> None:
    """Write the generation, and make it the current one of the target.

    Raises ImgdupError if another process changed the target in the meantime.
    """
    folder.prepare(target)
    with folder.locked(target):
        if folder.read_current(target) != before:
            raise ImgdupError(
                f"{target} was changed by another process in the meantime: run the "
                "same command again"
            )
        folder.sweep(target)
        commit_table(target, table, roots, {root: times.get(root, 0) for root in roots})
