"""The command pairs: all pairs of images within a distance."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import (
    FOLDER,
    Bytes,
    Distance,
    Number,
    by_option,
    false_pairs_option,
    gathered,
    index_option,
    json_option,
    orientations_option,
    removals_option,
    verify_option,
)
from imgdup.cli.printing import (
    from_here,
    note,
    on_terminal,
    terminal_width,
    write_bytes,
    write_table,
    write_text,
)
from imgdup.cli.search_groups import PairOptions, ShardOptions
from imgdup.output.progress import Bar
from imgdup.output.results import (
    PairRow,
    pair_json,
    pair_lines,
    pair_nulls,
    pair_table,
    pairs_summary,
    with_verdict,
)

if TYPE_CHECKING:
    from imgdup.dedupe.decide import Judge
    from imgdup.dedupe.relations import Verdict
    from imgdup.query.row_pairs import RowPairs, Side

NOT_SHOWN = ("different", "unverified")  # of pairs that only the wide rule finds
COMPARED_TOGETHER = 1000  # pairs whose pictures are compared before the first is printed


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option("--with", "other", metavar="OTHER", help="Compare with a folder or another index.")
@by_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Largest distance in bits, inclusive. Default: 31, 10 with --by search.",
)
@orientations_option(False)
@false_pairs_option
@verify_option
@click.option(
    "--shards",
    type=Number(min=1),
    metavar="K",
    help="Divide the hashes into K shards and compare two at a time: this takes longer, but needs "
    "less memory for many millions of pictures.",
)
@click.option(
    "--memory",
    type=Bytes(),
    metavar="SIZE",
    help="Use as many shards as this much memory requires, for example 4G; files that are mapped "
    "do not count.",
)
@click.option(
    "--checkpoints",
    type=FOLDER,
    metavar="FOLDER",
    help="With --shards or --memory: save the results of finished tasks there, so that an "
    "interrupted search can be continued.",
)
@removals_option
@json_option
@click.option("--null", is_flag=True, help="Print only paths, NUL-separated, two per pair.")
@gathered(PairOptions, "options")
@gathered(ShardOptions, "division")
def pairs(
    folders: tuple[str, ...],
    index_folder: Path | None,
    other: str | None,
    options: PairOptions,
    division: ShardOptions,
    allow_removals: bool,
    as_json: bool,
    null: bool,
) -> int:
    """Find all pairs of images within a distance, in one set or across two.

    FOLDERs are indexed first; without FOLDER, the whole index is compared. With --by match,
    pictures with too little structure to be compared (quality below 50) are left out; --by search
    includes them. With --verify, and without --max-dist, copies that were edited, framed or cropped
    are found as well, as dedupe finds them.

    \b
    imgdup pairs photos
    imgdup pairs new --with archive
    """
    from imgdup.cli import prepare, sides as of_pairs
    from imgdup.query.row_pairs import JoinWork, PairRule, iter_row_pairs

    prepare.check_turned(options.by, options.orientations)
    division.check()
    sides = of_pairs.two_sides(folders, other, index_folder, allow_removals=allow_removals)
    index, left, right, code = sides
    limit = of_pairs.pairs_distance(sides, options)
    with ExitStack() as stack:
        bar = stack.enter_context(closing(Bar(quiet=on_terminal())))
        bar.log("comparing")
        sharding = of_pairs.sharding(
            division, sides, stack, bar.shards, turned=options.orientations
        )
        work = JoinWork.shown(bar.share, sharding)
        wanted = PairRule(limit, options.by, options.orientations)
        found = _Counted(iter_row_pairs(left, right, wanted, work=work), bar)
        if options.verify:
            verifier = stack.enter_context(of_pairs.picture_verifier(index))
            found.judge = verifier.judge(left.index, (right or left).index)
            found.more = of_pairs.wide_pairs(left, right, options)
        named = _with_paths(found, left, right or left, options.orientations)
        are_all_printed = _print_pairs(named, as_json=as_json, null=null)
    if are_all_printed:
        counts = found.n_pairs, found.n_duplicates, limit, found.relations, found.n_wide
        note(pairs_summary(*counts))
    return code


class _Counted:
    """Iterates over blocks of pairs and counts them; the first one ends the progress display.

    Where there is a judge, it also compares the pictures of the pairs, and counts the relations.
    """

    def __init__(self, blocks: "Iterable[RowPairs]", bar: Bar) -> None:
        self.blocks = blocks
        self.bar = bar
        self.n_pairs = self.n_duplicates = self.n_wide = 0
        self.judge: Judge | None = None
        self.more: RowPairs | None = None  # found by the wide rule, and shown unless different
        self.relations: Counter[str] = Counter()

    def __iter__(self) -> "Iterator[RowPairs]":
        for block in self.blocks:
            self.bar.end()  # the pairs may go to the same terminal
            self.n_pairs += len(block.left)
            self.n_duplicates += int(block.duplicate.sum())
            yield block
        for block in self._confirmed():
            self.bar.end()
            self.n_wide += len(block.left)
            yield block

    def _confirmed(self) -> "Iterator[RowPairs]":
        """Yield the pairs of the wide rule whose pictures are not different."""
        if self.judge is None or self.more is None:
            return
        for start in range(0, len(self.more.left), COMPARED_TOGETHER):
            block = self.more.part(slice(start, start + COMPARED_TOGETHER))
            rows = zip(block.left.tolist(), block.right.tolist(), strict=True)
            relations = [verdict.relation for verdict in self.judge(list(rows))]
            yield block.part([each not in NOT_SHOWN for each in relations])

    def verdicts(self, block: "RowPairs") -> "Iterator[Verdict | None]":
        """Compare the pictures of pairs, some at a time; yield None where there is no judge."""
        rows = zip(block.left.tolist(), block.right.tolist(), strict=True)
        while some := list(islice(rows, COMPARED_TOGETHER)):
            verdicts = self.judge(some) if self.judge else [None] * len(some)
            self.relations.update(each.relation for each in verdicts if each is not None)
            yield from verdicts


def _with_paths(
    found: _Counted, left: "Side", right: "Side", orientations: bool
) -> Iterator[PairRow]:
    for block in found:
        nothing = [None] * len(block.left)
        columns = [nothing if column is None else column.tolist() for column in block[:-1]]
        names = block.orientation_names() if orientations else nothing
        for i, j, *facts, orientation, verdict in zip(
            *columns, names, found.verdicts(block), strict=True
        ):
            pair = PairRow(left.index.path(i), right.index.path(j), *facts)
            pair = pair._replace(orientation=orientation)
            yield pair if verdict is None else with_verdict(pair, verdict)


def _print_pairs(found: Iterable[PairRow], *, as_json: bool, null: bool) -> bool:
    """Print pairs in the requested form, or the one that suits stdout.

    Return False if the reader closed the pipe before the last pair was found.
    """
    if as_json:
        return write_text(pair_json(found))
    if null:
        return write_bytes(pair_nulls(found))
    if on_terminal():
        near = (pair._replace(a=from_here(pair.a), b=from_here(pair.b)) for pair in found)
        width = terminal_width()
        return write_table(pair_table(near, width=width, encoding=sys.stdout.encoding))
    return write_bytes(pair_lines(found))
