"""The commands compare and split: leaks between two sets, and lists that share no picture."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.option_groups import JOB_SUMMARY, Comparison, ComparisonOutputs, LeakLimits
from imgdup.cli.options import (
    FOLDER,
    PATH,
    CountOrShare,
    Number,
    OutputFile,
    check_new,
    force_option,
    gathered,
    index_option,
    json_option,
    labels_option,
    match_distance_option,
    orientations_option,
    page_option,
    removals_option,
)
from imgdup.cli.printing import note, write_text
from imgdup.errors import UsageError
from imgdup.output import NEWLINE, NUL, cell_text, counted
from imgdup.system.paths import absolute

if TYPE_CHECKING:
    from imgdup.dedupe.split import Share

N_DEVIATIONS = 5  # that are printed of the shares of labels


@dataclass(frozen=True)
class SplitOptions:
    """How images are divided."""

    ratios: str
    stratify: str | None
    labels: Path | None
    seed: int


@dataclass(frozen=True)
class SplitLists:
    """The lists that are written; `null` ends their paths with NUL."""

    out: Path
    null: bool
    force: bool


@click.command()
@click.argument("a")
@click.argument("b")
@index_option
@click.option("--index-a", type=PATH, metavar="FOLDER", help="The index folder of A.")
@click.option("--index-b", type=PATH, metavar="FOLDER", help="The index folder of B.")
@match_distance_option
@orientations_option(True)
@click.option(
    "--max-leaks", type=Number(min=0), help="Exit with 4 if more images of B have a duplicate in A."
)
@click.option(
    "--max-unread",
    type=CountOrShare(),
    metavar="N|N%",
    help="Exit with 4 if more pictures of A or B could not be read. Default with --max-leaks: 0.",
)
@click.option(
    "--accept",
    type=PATH,
    metavar="FILE.jsonl",
    help="The output of an earlier run with --json: leaks of files with the same contents do not "
    "count.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare the pictures, and list only those that are not different. With --no-verify, all "
    "images with near hashes are listed.",
)
@labels_option
@page_option
@click.option("--junit", type=OutputFile(), metavar="FILE.xml", help="Write a JUnit report.")
@click.option(
    "--markdown",
    type=OutputFile(),
    metavar="FILE.md",
    help=f"Write a summary in Markdown; it is appended to the file that {JOB_SUMMARY} names.",
)
@click.option(
    "--card", is_flag=True, help="Print a paragraph for a data set card instead of the leaks."
)
@removals_option
@json_option
@gathered(Comparison, "comparison")
@gathered(LeakLimits, "limits")
@gathered(ComparisonOutputs, "outputs")
def compare(
    a: str,
    b: str,
    index_folder: Path | None,
    index_a: Path | None,
    index_b: Path | None,
    comparison: Comparison,
    limits: LeakLimits,
    outputs: ComparisonOutputs,
) -> int:
    """List every image of B that has a duplicate in A: leaks of a training set into a test set.

    A and B are folders, which are indexed first, or index folders. Each folder gets its own index,
    unless --index names one index for both. Duplicates with different labels are shown too.

    \b
    imgdup compare train test --max-leaks 0
    """
    from imgdup.cli.compare_sets import compare_sets

    if outputs.card and outputs.as_json:
        raise UsageError("--card and --json exclude each other: leave out one")
    places = (index_folder, index_a, index_b)
    return compare_sets((a, b), places, comparison, limits, outputs)


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option(
    "--ratios", required=True, metavar="NAME=RATIO,...", help="For example train=0.8,test=0.2."
)
@click.option("--stratify", type=click.Choice(["label"]), help="Meet the ratios for each label.")
@labels_option
@click.option(
    "--seed", type=Number(min=0), default=0, show_default=True, help="Seed of the random choice."
)
@removals_option
@match_distance_option
@orientations_option(True)
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    metavar="FOLDER",
    help="Where to write the lists.",
)
@click.option("--null", is_flag=True, help="End the paths with NUL.")
@force_option
@gathered(SplitOptions, "options")
@gathered(SplitLists, "lists")
def split(
    folders: tuple[str, ...],
    index_folder: Path | None,
    options: SplitOptions,
    allow_removals: bool,
    max_dist: int | None,
    orientations: bool,
    lists: SplitLists,
) -> int:
    """Divide images into lists for training and testing; no chain of duplicates is divided.

    FOLDERs are indexed first; without FOLDER, the whole index is divided. The same images and seed
    give the same lists.

    \b
    imgdup split photos --ratios train=0.8,val=0.1,test=0.1 --out splits
    """
    from imgdup.cli import prepare
    from imgdup.dedupe import split as splitting
    from imgdup.output.cleaning import save_split

    ratios = splitting.parse_ratios(options.ratios)
    match_rule = prepare.match_rule(
        max_dist, "more pictures are kept together, also different ones", orientations=orientations
    )
    check_new((lists.out / f"{name}.txt" for name in ratios), force=lists.force)
    index, code = prepare.open_index(folders, index_folder, allow_removals=allow_removals)
    name = ", ".join(folders) or str(index.folder)
    inside = [absolute(folder) for folder in folders]
    chosen = prepare.labelled_set(index, name, inside, options.labels)
    if max_dist is None:
        match_rule = prepare.widened(match_rule, [(chosen.rows, chosen.images)])
    division = splitting.split(
        chosen, ratios, stratify=bool(options.stratify), seed=options.seed, rule=match_rule
    )
    save_split(lists.out, index.rows, division, NUL if lists.null else NEWLINE)
    n_lists = len(division.names)
    write_text(map(_share_line, division.shares[:n_lists]))
    _print_deviations(division.shares[n_lists:])
    chained, chains = counted(division.n_chained, "image"), counted(division.n_chains, "chain")
    note(f"{chained} in {chains}; no chain is divided")
    return code


def _print_deviations(shares: "Sequence[Share]") -> None:
    """Print the shares of labels that are the furthest from their ratios, the worst first."""
    deviating = [share for share in shares if share.deviation]
    worst = sorted(deviating, key=lambda share: -share.deviation)[:N_DEVIATIONS]
    if worst:
        n_labels = len({share.label for share in shares})
        write_text([f"largest deviations of {counted(n_labels, 'label')}:\n"])
        write_text(map(_share_line, worst))


def _share_line(share: "Share") -> str:
    """Format the number of images of a list and its share of all images."""
    label = "" if share.label is None else f"  {cell_text(share.label, sys.stdout.encoding)}"
    ratio = f"{share.share:7.2%} ({share.ratio:.2%} requested)"
    number, noun = counted(share.n_images, "image").split()
    name = cell_text(share.name, sys.stdout.encoding)
    return f"{name:<8} {number:>9} {noun:<6}  {ratio}{label}\n"
