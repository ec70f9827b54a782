"""Commands that find out and change nothing: dedupe, check."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.build import index_on_the_way, place_of
from imgdup.cli.common import (
    Distance,
    OutputFile,
    check_range,
    find_index,
    index_option,
    json_option,
    note,
    removals_option,
    write_text,
)
from imgdup.errors import ImgdupError, UsageError
from imgdup.output.codecs import counted

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.dedupe import DedupeOptions, Duplicates

PATH = click.Path(path_type=Path)
ENDINGS = (".csv", ".jsonl", ".parquet", ".png")  # a test compares them with output.cleaning
RULES = "largest,lossless,most-bytes,oldest,first"


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option("--max-dist", type=Distance(), help="Default: 31 of PDQ; with --by search, 10.")
@click.option("--by", type=click.Choice(["pdq", "search"]), default="pdq", show_default=True)
@click.option("--keep", default=RULES, show_default=True, help="The first difference decides.")
@click.option("--protect", multiple=True, metavar="FOLDER", help="Never remove from there.")
@click.option("--plan", type=OutputFile(), metavar="FILE", help="Write the removal plan.")
@click.option(
    "--report", type=OutputFile(), metavar="FILE.html", help="Write a page to look through."
)
@click.option("--keep-list", type=OutputFile(), metavar="FILE", help="Write the paths that stay.")
@click.option("--remove-list", type=OutputFile(), metavar="FILE", help="Write the paths that go.")
@click.option("--null", is_flag=True, help="End the paths of the lists by NUL.")
@click.option(
    "--groups", type=OutputFile(), metavar="FILE", help=f"Write the groups: {' '.join(ENDINGS)}."
)
@removals_option
@click.option("--chains", is_flag=True, help="Tell the connected components, too.")
@json_option
def dedupe(folders: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Find duplicates and plan which to remove; changes nothing.

    FOLDERs are indexed on the way; without one, the whole index is looked at. Keep rules: largest,
    smallest, most-bytes, oldest, newest, lossless, shortest-path, first, under:FOLDER.

    \b
    imgdup dedupe photos --plan plan.jsonl --report report.html
    """
    from imgdup.api import ImageIndex
    from imgdup.dedupe import find_duplicates
    from imgdup.dedupe.pixels import look_at_pixels

    _check_outputs(options)
    code = 0
    place = place_of(index_folder, bool(folders))
    if folders:
        code = index_on_the_way(folders, place, options)
    index = ImageIndex.open(place)
    if not folders and index_folder is None:
        _tell_which(index)
    duplicates = look_at_pixels(find_duplicates(index, _dedupe_options(index, folders, options)))
    _write_files(duplicates, options)
    _tell(duplicates, options)
    return code


def _check_outputs(options: dict[str, Any]) -> None:
    """Raise UsageError for an ending that means nothing, and for one file named twice."""
    groups = options["groups"]
    if groups and groups.suffix not in ENDINGS:
        raise UsageError(f"--groups {groups}: expected a name that ends in {', '.join(ENDINGS)}")
    named: dict[Path, str] = {}
    for option in ("plan", "report", "keep_list", "remove_list", "groups"):
        words = f"--{option.replace('_', '-')}"
        first = named.setdefault(options[option].resolve(), words) if options[option] else words
        if first != words:
            raise UsageError(f"{first} and {words} name one file: {options[option]}")


def _tell_which(index: "ImageIndex") -> None:
    """Name an index that was found in a folder above, where it may not be expected."""
    if Path(index.folder).resolve().parent != Path.cwd().resolve():
        roots = ", ".join(os.fsdecode(root) for root in index.roots if root) or "single files"
        note(f"looking at the whole index {index.folder}, which has: {roots}")


def _dedupe_options(
    index: "ImageIndex", folders: Iterable[str], options: dict[str, Any]
) -> "DedupeOptions":
    from imgdup.dedupe import DedupeOptions
    from imgdup.dedupe.candidates import MatchRule
    from imgdup.dedupe.keep import parse_keep
    from imgdup.hashing import PDQ_BITS
    from imgdup.query.matches import default_distance
    from imgdup.system.paths import absolute

    distance = options["max_dist"]
    if options["by"] == "search":
        check_range(distance, index.bits)
        limit = default_distance(index.generation) if distance is None else distance
        rule = MatchRule(search_distance=limit)
    else:
        check_range(distance, PDQ_BITS)
        rule = MatchRule() if distance is None else MatchRule(distance)
    keep = parse_keep(index, options["keep"], options["protect"])
    return DedupeOptions(keep, rule, tuple(absolute(folder) for folder in folders))


def _write_files(duplicates: "Duplicates", options: dict[str, Any]) -> None:
    """Write what was asked for: plan, lists, page."""
    from imgdup.dedupe.plan import write_plan
    from imgdup.output.cleaning import save_groups, save_lists
    from imgdup.output.codecs import NEWLINE, NUL

    save_lists(
        duplicates,
        keep_list=options["keep_list"],
        remove_list=options["remove_list"],
        end=NUL if options["null"] else NEWLINE,
    )
    if options["plan"]:
        write_plan(options["plan"], duplicates.plan())
    if options["report"]:
        from imgdup.output.gallery import save_duplicates

        save_duplicates(options["report"], duplicates)
    if options["groups"]:
        save_groups(options["groups"], duplicates)


def _tell(duplicates: "Duplicates", options: dict[str, Any]) -> None:
    from imgdup.dedupe.components import chains
    from imgdup.output.cleaning import summary_json, summary_text

    sizes = chains(duplicates) if options["chains"] else None
    write_text([(summary_json if options["as_json"] else summary_text)(duplicates, sizes)])
    n_linked = int((~duplicates.removable()).sum())
    if n_linked:
        note(f"{n_linked:,} more have other names (hard links): in the lists, not in the plan")
    if options["plan"] and not options["as_json"]:
        note(_next_step(str(options["plan"]), int(duplicates.removable().sum())))


def _next_step(plan: str, n_removals: int) -> str:
    if not n_removals:
        return f"nothing to remove: {plan} is empty; a larger --max-dist finds more"
    return f"look at {plan}, then: imgdup apply {shlex.quote(plan)} --move-to FOLDER"


@click.command()
@click.argument("plan", type=PATH, required=False)
@index_option
@click.option("--deep", is_flag=True, help="Compare checksums, hash a sample again, ask the tree.")
def check(plan: Path | None, index_folder: Path | None, deep: bool) -> int:
    """Check the index, or prove a removal PLAN against it.

    \b
    imgdup check --deep
    imgdup check plan.jsonl
    """
    from imgdup.api import ImageIndex
    from imgdup.query.check_index import check_deep, check_structure

    index = ImageIndex.open(find_index(index_folder))
    if plan is not None:
        from imgdup.dedupe.check_plan import check_plan
        from imgdup.dedupe.plan import read_plan
        from imgdup.output.cleaning import plan_rule_text

        loaded = read_plan(plan)
        check_plan(loaded, index)
        write_text([f"{plan}: proved, {len(loaded.removals):,} removals\n"])
        note(f"{plan}: {plan_rule_text(loaded.header)}")
        return 0
    findings = [*check_structure(index), *(check_deep(index) if deep else [])]
    for finding in findings[:-1]:
        note(f"imgdup: {finding}")
    if findings:
        raise ImgdupError(findings[-1])
    write_text([f"{index.folder}: sound, {counted(len(index), 'file')}\n"])
    return 0
