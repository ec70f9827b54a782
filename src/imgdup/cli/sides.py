"""Open the images among which, or between which, `imgdup pairs` finds pairs, by its options."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from imgdup.api.index import ImageIndex
from imgdup.cli.options import check_one_limit, check_range, note_false_pairs, note_wide
from imgdup.cli.prepare import distance_of, open_index, widened
from imgdup.cli.search_groups import PairOptions, ShardOptions
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.decide import MAX_CANDIDATES
from imgdup.dedupe.verify import Verifier
from imgdup.dedupe.wide import wide_row_pairs
from imgdup.errors import ImgdupError
from imgdup.hashing import MATCH_BITS
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.columns import check_apart, images
from imgdup.index.pack import is_index_or_pack
from imgdup.query import chance
from imgdup.query.row_pairs import RowPairs, Side
from imgdup.query.shards import Sharding, shards_within
from imgdup.system.limits import usable_cores
from imgdup.system.paths import absolute


class Sides(NamedTuple):
    """The images to compare, with the index of `left` and the exit code of its update, 0 or 3."""

    opened: ImageIndex
    left: Side
    right: Side | None
    code: int


def pairs_distance(sides: Sides, options: PairOptions) -> int:
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


def _rounded(number: float) -> str:
    """Write an estimate with two digits that count.

    Examples
    --------
    >>> _rounded(12_345_678), _rounded(5.2), _rounded(0.4)
    ('12,000,000', '5', '0.4')
    """
    two_digits = float(f"{number:.2g}")
    return f"{two_digits:,.0f}" if number >= 1 else f"{two_digits:g}"


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
