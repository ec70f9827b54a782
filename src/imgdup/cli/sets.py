"""The commands compare and split: leaks between two sets, and lists that share no picture."""

from pathlib import Path

import click

from imgdup.cli.options import (
    FOLDER,
    PATH,
    CountOrShare,
    Number,
    OutputFile,
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
from imgdup.cli.set_groups import (
    JOB_SUMMARY,
    Comparison,
    ComparisonOutputs,
    LeakLimits,
    SplitLists,
    SplitOptions,
)
from imgdup.errors import UsageError


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
    folders: tuple[str, ...], index_folder: Path | None, options: SplitOptions, lists: SplitLists
) -> int:
    """Divide images into lists for training and testing; no chain of duplicates is divided.

    FOLDERs are indexed first; without FOLDER, the whole index is divided. The same images and seed
    give the same lists.

    \b
    imgdup split photos --ratios train=0.8,val=0.1,test=0.1 --out splits
    """
    from imgdup.cli.split_set import split_set

    return split_set(folders, index_folder, options, lists)
