"""Turn the folders, indexes and options of a command into the arguments of its library call.

Folders are indexed first, as `imgdup index` does.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from imgdup.api.index import ImageIndex
from imgdup.build.settings import covering_index
from imgdup.cli.indexing import exit_code, index_first
from imgdup.cli.option_groups import PairOptions, RemovalOptions, ShardOptions
from imgdup.cli.options import (
    check_one_limit,
    check_range,
    find_index,
    find_or_new_index,
    is_above,
    note_false_pairs,
    note_wide,
)
from imgdup.cli.printing import note
from imgdup.dedupe import DedupeOptions, candidates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.decide import MAX_CANDIDATES, Policy
from imgdup.dedupe.decisions import decided_in
from imgdup.dedupe.keep import parse_keep
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.dedupe.leaks import Coverage, coverage
from imgdup.dedupe.nearest import wide_row_pairs
from imgdup.dedupe.relations import removable
from imgdup.dedupe.verify import Verifier
from imgdup.errors import ImgdupError, UsageError
from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import RowNumbers, Rows, check_apart, folder_of_index, has_trimmed, images
from imgdup.index.folder import place_of_set
from imgdup.index.pack import check_has_pictures, is_index_or_pack
from imgdup.query import chance
from imgdup.query.matches import default_distance
from imgdup.query.row_pairs import RowPairs, Side
from imgdup.query.shards import Sharding, shards_within
from imgdup.system.limits import usable_cores
from imgdup.system.paths import absolute, check_exists


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


def pairs_distance(sides: "Sides", options: PairOptions) -> int:
    """Return the distance of `imgdup pairs`, by --max-dist, --max-false-pairs or the default."""
    index, left, right, _ = sides
    by, max_distance = options.by, options.max_dist
    check_one_limit(max_distance, options.max_false_pairs)
    n_orientations = len(ORIENTATIONS) if options.orientations else 1
    if options.max_false_pairs is None:
        default = distance_of(index, by, None)
        if max_distance is not None and max_distance > default:
            check_range(max_distance, MATCH_BITS if by == "match" else index.bits)
            expected = chance.expected_pairs(max_distance, left, right, by=by)
            about = "pairs"
            if expected is not None:
                about = f"about {_rounded(n_orientations * expected)} pairs"
            note_wide(max_distance, default, f"{about} of different pictures are expected")
        return distance_of(index, by, max_distance)
    accepted = options.max_false_pairs / n_orientations  # of each
    found = chance.pairs_distance(accepted, left, right, by=by)
    note_false_pairs(found, options.max_false_pairs)
    return found


def check_turned(by: str, orientations: bool) -> None:
    """Raise UsageError if hashes are to be turned that cannot be."""
    if orientations and by != "match":
        raise UsageError("--orientations works only with match hashes: remove it, or --by search")


def _rounded(number: float) -> str:
    """Write an estimate with two digits that count.

    Examples
    --------
    >>> _rounded(12_345_678), _rounded(5.2), _rounded(0.4)
    ('12,000,000', '5', '0.4')
    """
    two_digits = float(f"{number:.2g}")
    return f"{two_digits:,.0f}" if number >= 1 else f"{two_digits:g}"


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


def wide_pairs(left: Side, right: Side | None, pairs: PairOptions) -> RowPairs | None:
    """Find what only the wide rule finds; None for too many images, or if an option is a limit."""
    if pairs.by != "match" or pairs.max_dist is not None or pairs.max_false_pairs is not None:
        return None
    sides = [left] if right is None else [left, right]
    narrow = MatchRule(orientations=pairs.orientations)
    rule = widened(narrow, [(side.index, side.rows) for side in sides])
    return wide_row_pairs(left, right, rule, MAX_CANDIDATES) if rule.wide else None


def picture_verifier(index: ImageIndex) -> Verifier:
    """Return what compares pictures; it keeps the verdicts in the folder of an index."""
    return Verifier(index.folder)


class Sides(NamedTuple):
    """The images to compare, with the index of `left` and the exit code of its update, 0 or 3."""

    opened: ImageIndex
    left: Side
    right: Side | None
    code: int


def two_sides(
    folders: Sequence[str], other: str | None, index_folder: Path | None, *, allow_removals: bool
) -> Sides:
    """Open the images of some folders, and the others that `other` names: a folder or an index."""
    named = [*folders] if other is None or is_index_or_pack(Path(other)) else [*folders, other]
    index, code = open_index(named, index_folder, allow_removals=allow_removals)
    left = Side(index.rows, images(index.rows, [absolute(folder) for folder in folders]))
    if other is None:
        return Sides(index, left, None, code)
    if is_index_or_pack(Path(other)):
        second = ImageIndex.open(other).check_before_decision()
        _check_same_hash(index, second)
        right = Side(second.rows, images(second.rows))
    else:
        right = Side(index.rows, images(index.rows, [absolute(other)]))
    check_apart(left.index, left.rows, right.index, right.rows)
    return Sides(index, left, right, code)


def _check_same_hash(left: ImageIndex, right: ImageIndex) -> None:
    mine, theirs = (index.generation.parameters for index in (left, right))
    if mine != theirs:
        raise ImgdupError(
            f"{right.folder} holds {theirs['hash']} {theirs['bits']}, {left.folder} holds "
            f"{mine['hash']} {mine['bits']}: index one of them again with the --hash of the other"
        )


class TwoSets(NamedTuple):
    """Two sets, what is known of their files, where verdicts are kept, and exit code 0 or 3."""

    sets: list[ImageSet]
    coverages: list[Coverage]
    folder: Path
    code: int


def two_sets(
    names: Sequence[str],
    index_folders: Sequence[Path | None],
    labels: Path | None,
    *,
    allow_removals: bool,
) -> TwoSets:
    """Index two sets, and return the images of each with their labels.

    `index_folders` names one index for both, that of the first, and that of the second; each may
    be None. Verdicts are kept in the index folder of the second set. No set is indexed if one of
    them does not exist.
    """
    for name in names:
        check_exists(name)
    both, *own_places = index_folders
    if both is not None:
        return _sets_in_one_index(names, both, labels, allow_removals=allow_removals)
    sets, coverages, code = [], [], 0
    opened: dict[Path, ImageIndex] = {}  # so that a set is never compared with itself
    are_indexes = all(is_index_or_pack(Path(name)) for name in names)
    nearest = None if are_indexes else find_or_new_index(None)
    for name, own_place in zip(names, own_places, strict=True):
        outcome = None
        if is_index_or_pack(Path(name)):
            place = Path(name)
        else:
            place = own_place or place_of_set(name, nearest)
            reuse = covering_index(name, nearest)
            outcome = index_first(place, [name], allow_removals=allow_removals, reuse=reuse)
            code = max(code, exit_code(outcome, strict=False))
        index = opened.setdefault(place.resolve(), ImageIndex.open(place).check_before_decision())
        sets.append(labelled_set(index, name, [], labels))
        coverages.append(coverage(name, index.rows, (), outcome))
    return TwoSets(sets, coverages, index.folder, code)


def _sets_in_one_index(
    names: Sequence[str], index_folder: Path, labels: Path | None, *, allow_removals: bool
) -> TwoSets:
    place = find_or_new_index(index_folder)
    outcome = index_first(place, names, allow_removals=allow_removals)
    index = ImageIndex.open(place).check_before_decision()
    folders = [folder_of_index(index.rows, *each) for each in zip(names, "AB", strict=True)]
    named = list(zip(names, folders, strict=True))
    sets = [labelled_set(index, name, [folder], labels) for name, folder in named]
    coverages = [coverage(name, index.rows, [folder], outcome) for name, folder in named]
    return TwoSets(sets, coverages, index.folder, exit_code(outcome, strict=False))


def labelled_set(
    index: ImageIndex, name: str, folders: Sequence[bytes], labels: Path | None
) -> ImageSet:
    """Return the images of a set with their labels; raise ImgdupError if it has no image."""
    selected = images(index.rows, folders)
    if not len(selected):
        raise ImgdupError(
            f"{name} contains no readable image: name another folder, or list what failed with: "
            "imgdup index FOLDER --index NEW --errors FILE"
        )
    if labels is None:
        return ImageSet(index.rows, selected, folder_labels(index.rows, selected, folders))
    found = table_labels(read_labels(labels), index.rows, selected, folders)
    _note_unlabelled(found, name, labels)
    return ImageSet(index.rows, selected, found)


def _note_unlabelled(found: Sequence[str | None], name: str, labels: Path) -> None:
    """Print how many images have no label in a table; raise UsageError if none has one."""
    n_missing = found.count(None)
    if n_missing == len(found):
        raise UsageError(
            f"--labels {labels} names none of the {len(found):,} images of {name}: it must name "
            "paths below that folder, or absolute ones"
        )
    if n_missing:
        note(f"{n_missing:,} of {len(found):,} images of {name} have no label in {labels}")


def sharding(
    division: ShardOptions,
    sides: Sides,
    stack: ExitStack,
    on_task: Callable[[int, int], None],
    *,
    turned: bool,
) -> Sharding | None:
    """Return how a search is divided, or None; one task at a time uses all cores.

    What is found is kept in the folder of checkpoints, without one in a temporary folder. `stack`
    ends both the executor and the temporary folder. Without a number of shards, all hashes are one.
    """
    n_shards, folder = division.shards, division.checkpoints
    if division.memory is not None:
        right = None if sides.right is None else len(sides.right.rows)
        n_shards = shards_within(division.memory, len(sides.left.rows), right, orientations=turned)
    if n_shards is None and folder is None:
        return None
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgdup-")))
    folder.mkdir(parents=True, exist_ok=True)
    executor = stack.enter_context(ThreadPoolExecutor(1))
    return Sharding(n_shards or 1, folder, executor, threads=usable_cores(), on_task=on_task)
