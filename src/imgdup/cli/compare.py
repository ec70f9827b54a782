"""The command compare: images of one set that have a duplicate in another set."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import (
    PATH,
    Number,
    index_option,
    json_option,
    labels_option,
    match_distance_option,
    orientations_option,
    page_option,
    removals_option,
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
from imgdup.output.progress import Bar
from imgdup.output.results import leak_json, leak_lines, leak_table, leaks_summary

if TYPE_CHECKING:
    from imgdup.dedupe.compare import Leaks

GATE = 4  # exit code: more leaks than --max-leaks


@click.command()
@click.argument("a")
@click.argument("b")
@index_option
@click.option("--index-a", type=PATH, metavar="FOLDER", help="The index folder of A.")
@click.option("--index-b", type=PATH, metavar="FOLDER", help="The index folder of B.")
@match_distance_option
@orientations_option(True)
@click.option("--max-leaks", type=Number(min=0), help="Exit with 4 if more images of B leak.")
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare the pictures, and list only those that are not different. Without this, all "
    "images with near hashes are listed.",
)
@labels_option
@page_option
@removals_option
@json_option
def compare(
    a: str,
    b: str,
    index_folder: Path | None,
    index_a: Path | None,
    index_b: Path | None,
    max_dist: int | None,
    orientations: bool,
    max_leaks: int | None,
    verify: bool,
    labels: Path | None,
    report: Path | None,
    allow_removals: bool,
    as_json: bool,
) -> int:
    """List every image of B that has a duplicate in A: leaks of a training set into a test set.

    A and B are folders, which are indexed first, or index folders. Each folder gets its own index,
    unless --index names one index for both. Duplicates with different labels are shown too.

    \b
    imgdup compare train test --max-leaks 0
    """
    from imgdup.cli import prepare
    from imgdup.dedupe import compare as comparing, leaks as confirming, verify as verifying

    places = (index_folder, index_a, index_b)
    rule = prepare.match_rule(
        max_dist,
        "more pictures are compared, which takes longer"
        if verify
        else "pictures that only resemble each other are listed, too",
        orientations=orientations,
    )
    sets = prepare.two_parts((a, b), places, labels, allow_removals=allow_removals)
    (in_a, in_b), folder, code = sets
    if verify and max_dist is None:
        rule = prepare.widened(rule, [(each.rows, each.images) for each in (in_a, in_b)])
    leaks = comparing.compare(in_a, in_b, rule)
    if verify:
        with closing(Bar(quiet=False)) as bar, verifying.Verifier(folder) as verifier:
            judge = verifier.judge(in_a.rows, in_b.rows)
            leaks = confirming.verified(leaks, rule, judge, progress=bar.compared)
    _print_leaks(leaks, as_json=as_json)
    if report is not None:
        from imgdup.output.gallery import save_leaks

        save_leaks(report, leaks, rule)
    if max_leaks is not None and len(leaks.places_b) > max_leaks:
        note(f"imgdup: more leaks than --max-leaks {max_leaks}")
        return GATE
    return code


def _print_leaks(leaks: "Leaks", *, as_json: bool) -> None:
    """Print leaks in the requested form, or the one that suits stdout, and their number."""
    if as_json:
        write_text(leak_json(leaks.each()))
    elif on_terminal():
        near = (
            leak._replace(path=from_here(leak.path), duplicate_of=from_here(leak.duplicate_of))
            for leak in leaks.each()
        )
        width = terminal_width()
        write_table(leak_table(near, width=width, encoding=sys.stdout.encoding))
    else:
        write_bytes(leak_lines(leaks.each()))
    note(leaks_summary(leaks))
