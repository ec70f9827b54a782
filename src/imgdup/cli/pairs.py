"""The command pairs: all pairs of images within a distance."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.build import index_on_the_way, place_of
from imgdup.cli.common import (
    Distance,
    check_range,
    find_index,
    from_here,
    index_option,
    json_option,
    note,
    removals_option,
    write_bytes,
    write_text,
)

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.cli.progress import Bar
    from imgdup.output.results import Pair
    from imgdup.query.row_pairs import RowPairs, Side


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option("--with", "other", metavar="OTHER", help="Compare with a folder, or another index.")
@click.option("--by", type=click.Choice(["pdq", "search"]), default="pdq", show_default=True)
@click.option("--max-dist", type=Distance(), help="Inclusive. Default: 31 by pdq, else 10.")
@removals_option
@json_option
@click.option("--null", is_flag=True, help="Print paths only, NUL separated, two a pair.")
def pairs(folders: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Find all pairs of images within a distance, in one set or across two.

    FOLDERs are indexed on the way; without one, the whole index is compared. By pdq, pictures of
    too little structure to be compared (quality below 50) are left out; --by search takes all.

    \b
    imgdup pairs photos
    imgdup pairs new --with archive
    """
    from imgdup.cli.progress import Bar
    from imgdup.index.rows import check_apart
    from imgdup.output.results import pairs_summary
    from imgdup.query.row_pairs import iter_row_pairs
    from imgdup.search.bands import JoinStats

    index, left, right, code = _sides(folders, index_folder, options)
    if right is not None:
        check_apart(left.index, left.rows, right.index, right.rows)
    max_distance = _max_distance(options, index)
    with closing(Bar(quiet=sys.stdout.isatty())) as bar:
        bar.say("comparing; the first time on this machine, compiling takes some seconds")
        effort = JoinStats(on_progress=bar.share)
        blocks = iter_row_pairs(left, right, max_distance, by=options["by"], effort=effort)
        counted = _Counted(_cleared(blocks, bar))
        _print_pairs(_named(counted, left, right or left), options)
    note(pairs_summary(counted.n_within, counted.n_duplicates, max_distance))
    return code


def _cleared(blocks: "Iterator[RowPairs]", bar: "Bar") -> "Iterator[RowPairs]":
    """End the progress line when the first pairs are there: they may go to the same terminal."""
    for block in blocks:
        bar.end()
        yield block


class _Counted:
    """Passes blocks of pairs on and counts what is in them."""

    def __init__(self, blocks: "Iterable[RowPairs]") -> None:
        self.blocks = blocks
        self.n_within = self.n_duplicates = 0

    def __iter__(self) -> "Iterator[RowPairs]":
        for block in self.blocks:
            self.n_within += len(block.left)
            self.n_duplicates += int(block.duplicate.sum())
            yield block


def _sides(
    folders: tuple[str, ...], index_folder: Path | None, options: dict[str, Any]
) -> "tuple[ImageIndex, Side, Side | None, int]":
    """Open, or make, what is compared; with it the exit code of the indexing."""
    from imgdup.api import ImageIndex
    from imgdup.index.folder import CURRENT
    from imgdup.index.rows import images
    from imgdup.query.row_pairs import Side
    from imgdup.system.paths import absolute

    other: str | None = options["other"]
    is_index = other is not None and (Path(other) / CURRENT).is_file()
    named = [*folders, *([other] if other is not None and not is_index else [])]
    code = 0
    if named:
        place = place_of(index_folder, True)
        code = index_on_the_way(named, place, options)
    else:
        place = find_index(index_folder)
    index = ImageIndex.open(place)
    left = Side(index, images(index, [absolute(folder) for folder in folders]))
    if other is None:
        return index, left, None, code
    if is_index:
        second = ImageIndex.open(other)
        _check_same_hash(index, second)
        return index, left, Side(second, images(second)), code
    return index, left, Side(index, images(index, [absolute(other)])), code


def _check_same_hash(left: "ImageIndex", right: "ImageIndex") -> None:
    from imgdup.errors import ImgdupError

    mine, theirs = (index.generation.parameters for index in (left, right))
    if mine != theirs:
        raise ImgdupError(
            f"{right.folder} holds {theirs['hash']} {theirs['bits']}, {left.folder} holds "
            f"{mine['hash']} {mine['bits']}: index one of them again with the other's --hash"
        )


def _max_distance(options: dict[str, Any], index: "ImageIndex") -> int:
    from imgdup.hashing import PDQ_BITS, PDQ_MAX_DISTANCE
    from imgdup.query.matches import default_distance

    bits = PDQ_BITS if options["by"] == "pdq" else index.bits
    check_range(options["max_dist"], bits)
    if options["max_dist"] is not None:
        return int(options["max_dist"])
    return PDQ_MAX_DISTANCE if bits == PDQ_BITS else default_distance(index.generation)


def _named(blocks: "Iterable[RowPairs]", left: "Side", right: "Side") -> "Iterator[Pair]":
    from imgdup.output.results import Pair

    for block in blocks:
        columns = [column.tolist() for column in block]
        for i, j, distance, pdq, duplicate in zip(*columns, strict=True):
            yield Pair(left.index.path(i), right.index.path(j), distance, pdq, duplicate)


def _print_pairs(found: "Iterable[Pair]", options: dict[str, Any]) -> None:
    from imgdup.output import results

    if options["as_json"]:
        write_text(results.pair_json(found))
    elif options["null"]:
        write_bytes(results.pair_nulls(found))
    elif sys.stdout.isatty():
        near = (pair._replace(a=from_here(pair.a), b=from_here(pair.b)) for pair in found)
        width = shutil.get_terminal_size().columns
        write_text(results.pair_table(near, width=width, encoding=sys.stdout.encoding))
    else:
        write_bytes(results.pair_lines(found))
