"""Turn the folders, indexes and options of a command into the arguments of its library call.

Folders are indexed first, as `imgdup index` does.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imgdup.api.index import ImageIndex
from imgdup.cli.option_groups import RemovalOptions
from imgdup.cli.options import (
    check_range,
    find_index,
    find_or_new_index,
    is_above,
    note_wide,
)
from imgdup.cli.printing import note
from imgdup.dedupe import DedupeOptions, candidates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.decisions import decided_in
from imgdup.dedupe.keep import parse_keep
from imgdup.dedupe.relations import removable
from imgdup.errors import UsageError
from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE
from imgdup.index.columns import RowNumbers, Rows, has_trimmed, images
from imgdup.index.pack import check_has_pictures
from imgdup.query import default_distance
from imgdup.system.paths import absolute


def open_index(
    folders: Sequence[str], index_folder: Path | None, *, allow_removals: bool
) -> tuple[ImageIndex, int]:
    """Index the folders, if any, and open the index; also return the exit code, 0 or 3."""
    if not folders:
        index = ImageIndex.open(find_index(index_folder)).check_before_decision()
        check_has_pictures(index.generation)
        if is_above(index.folder, index_folder):
            roots = ", ".join(os.fsdecode(root) for root in index.rows.roots if root)
            note(
                "comparing all images of this index, including those outside the current folder: "
                f"{roots or 'single files'}"
            )
        return index, 0
    from imgdup.cli.indexing import exit_code, index_first  # 15 ms

    place = find_or_new_index(index_folder)
    outcome = index_first(place, folders, allow_removals=allow_removals)
    if not outcome.seen:
        note("no images found")
    return ImageIndex.open(place).check_before_decision(), exit_code(outcome, strict=False)


def distance_of(index: ImageIndex, by: str, max_distance: int | None) -> int:
    """Return the given distance, or the default distance of the hash that `by` names."""
    check_range(max_distance, MATCH_BITS if by == "match" else index.bits)
    if max_distance is not None:
        return max_distance
    return MATCH_MAX_DISTANCE if by == "match" else default_distance(index.generation)


def check_turned(by: str, orientations: bool) -> None:
    """Raise UsageError if hashes are to be turned that cannot be."""
    if orientations and by != "match":
        raise UsageError("--orientations works only with match hashes: remove it, or --by search")


def duplicate_rule(
    index: ImageIndex, by: str, max_distance: int | None, *, orientations: bool
) -> MatchRule:
    """Return what counts as a duplicate."""
    check_turned(by, orientations)
    distance = distance_of(index, by, max_distance)
    if by == "match":
        return MatchRule(distance, orientations=orientations)
    return MatchRule(search_distance=distance)


def removal_policy(removal: RemovalOptions) -> Policy:
    """Return which relations let `imgdup dedupe` remove a file."""
    return Policy(removable(removal.remove, verify=removal.verify), removal.max_candidates)


def dedupe_options(
    index: ImageIndex, folders: Sequence[str], removal: RemovalOptions, policy: Policy
) -> DedupeOptions:
    """Return what to compare, what counts as a duplicate, and which files are kept."""
    rule = duplicate_rule(index, removal.by, removal.max_dist, orientations=removal.orientations)
    note_wide(
        removal.max_dist,
        distance_of(index, removal.by, None),
        "more pictures are compared, which takes longer; what they show decides"
        if removal.verify
        else "pictures that only resemble a kept one are removed",
    )
    keep = parse_keep(index.rows, removal.keep, removal.protect)
    named = tuple(absolute(folder) for folder in folders)
    if removal.verify and removal.by == "match" and removal.max_dist is None:
        rule = widened(rule, [(index.rows, images(index.rows, named))])
    decided = decided_in(removal.decisions, index.rows)
    return DedupeOptions(replace(keep, decided=decided), rule, named, policy)


def match_rule(max_distance: int | None, meaning: str, *, orientations: bool) -> MatchRule:
    """Return the rule of a match distance; `meaning` is printed if it is beyond the default."""
    check_range(max_distance, MATCH_BITS)
    note_wide(max_distance, MATCH_MAX_DISTANCE, meaning)
    distance = MATCH_MAX_DISTANCE if max_distance is None else max_distance
    return MatchRule(distance, orientations=orientations)


def widened(rule: MatchRule, sides: Sequence[tuple[Rows, RowNumbers]]) -> MatchRule:
    """Return the wide form of a rule that no --max-dist limits; print it if that is too much."""
    wide = candidates.widened(rule, sides)
    n_images = sum(len(selected) for _, selected in sides)
    if not wide.wide and n_images > candidates.MOST_WIDE:
        note(
            f"{n_images:,} images are too many to compare pictures whose match hashes are further "
            f"apart than {rule.max_distance} bits: some edited, framed and cropped copies are not "
            "found"
        )
    if wide.wide and not all(has_trimmed(rows) for rows, _ in sides):
        note(
            "the index was built by an imgdup that did not look for borders, so copies with a "
            "border are not found: run imgdup index --rehash"
        )
    return wide
