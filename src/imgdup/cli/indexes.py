"""The commands about whole indexes: info, check, export, merge and subtract."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from imgdup.cli.apply import index_of_plan
from imgdup.cli.options import (
    PATH,
    Distance,
    OutputFile,
    check_range,
    index_option,
    json_option,
    open_found,
)
from imgdup.cli.printing import (
    discard_output,
    note,
    note_path,
    on_terminal,
    path_on_stdout,
    write_text,
)
from imgdup.errors import ImgdupError, PlanError, UsageError
from imgdup.hashing import MATCH_BITS
from imgdup.output import counted, facts_lines, shown
from imgdup.output.results import match_rule_text
from imgdup.system.limits import size_text
from imgdup.system.records import json_line, json_paths

FACT_NAMES = {  # for people, where they differ from the keys of --json
    "bytes": "size",
    "parameters": "hash version",
    "digest_kind": "content digests",
    "version": "imgdup version",
    "digest": "index digest",
    "with_trimmed": "borders looked for",
}
N_FINDINGS = 10  # of a plan, to print
EXPORTS = (
    "pickle",
    "tutorial-pickle",
    "json",
    "csv",
    "parquet",
)  # a test compares them with export.FORMATS
PACK = "pack"
PACK_NAMES = ("relative", "absolute", "none")  # and these with generation.PACK_NAMES
EXTENSIONS = {"pickle": "pickle", "pack": "pack", "tutorial-pickle": "pickle", "parquet": "parquet"}
OPTIONAL = {"with_pdq": "PDQ hashes", "with_trimmed": "hashes of what flat borders enclose"}
output_option = click.option(
    "-o",
    "--output",
    "target",
    type=PATH,
    required=True,
    metavar="FOLDER",
    help="The index folder to write.",
)


@click.command()
@index_option
@json_option
def info(index_folder: Path | None, as_json: bool) -> None:
    """Show what the index holds.

    \b
    imgdup info
    """
    facts = open_found(index_folder).info()
    roots = [os.fsencode(root) for root in facts.pop("roots")]
    if as_json:
        write_text([json_line({**facts, **json_paths("roots", roots)})])
        return
    facts["bytes"] = size_text(facts["bytes"])
    failed = ", ".join(f"{n:,} {reason}" for reason, n in facts.pop("failed").items()) or "none"
    lines = {FACT_NAMES.get(key, key.replace("_", " ")): value for key, value in facts.items()}
    lines |= {"failed": failed, "folders": roots}
    write_text(facts_lines(lines, encoding=sys.stdout.encoding))


@click.command()
@click.argument("plan", type=PATH, required=False)
@index_option
@click.option(
    "--deep",
    is_flag=True,
    help="Also hash a sample of the files again, and test the tree; of a PLAN, compare the "
    "pictures again.",
)
def check(plan: Path | None, index_folder: Path | None, deep: bool) -> None:
    """Verify the index, or verify a removal PLAN against it.

    \b
    imgdup check --deep
    imgdup check plan.jsonl --deep
    """
    if plan is not None:
        from imgdup.dedupe import check_plan as checking, plan as planning, verify

        loaded = planning.read_plan(plan)
        index = open_found(index_of_plan(index_folder, plan, loaded.header))
        checking.check_plan(loaded, index.check_before_decision().rows)
        if deep:
            with verify.Verifier() as verifier:
                _raise_for(list(verify.check_pictures(loaded, index.rows, verifier)))
        write_text([f"OK: {counted(len(loaded.removals), 'removal')} verified\n"])
        note(f"{plan}: {match_rule_text(loaded.header, loaded.header.protect)}")
        return
    from imgdup.query import check_index

    index = open_found(index_folder)
    _note_leftovers(list(check_index.temporary_files(index.rows)), Path(index.folder))
    findings = [*check_index.check_structure(index.rows)]
    if deep and not findings:
        findings += check_index.check_deep(index.rows)
    for finding in findings[:-1]:
        note(f"imgdup: {finding}")
    if findings:
        raise ImgdupError(findings[-1])
    files = counted(len(index.rows), "file")
    write_text([f"OK: {files} in {path_on_stdout(index.folder)}\n"])


def _raise_for(findings: list[str]) -> None:
    """Print the removals whose pictures are not as the plan states; raise if there is one."""
    for finding in findings[:N_FINDINGS]:
        note(finding)
    if findings:
        raise PlanError(
            f"the pictures of {counted(len(findings), 'removal')} are not as the plan states; "
            "make a new plan with imgdup dedupe"
        )


def _note_leftovers(files: list[tuple[bytes, bytes]], index_folder: Path) -> None:
    """Print the files that a killed apply or undo left, and what to do about them."""
    if files:
        from imgdup.apply.registry import describe_leftovers  # imports all of apply

        for line in describe_leftovers(files, index_folder):
            note(line)


@click.command()
@index_option
@click.option(
    "--format", "form", type=click.Choice([*EXPORTS, PACK]), required=True, help="What to write."
)
@click.option("--output", "-o", type=OutputFile(), metavar="FILE", help="Default: stdout.")
@click.option(
    "--names",
    type=click.Choice(PACK_NAMES),
    help="Names in a pack: relative to the indexed folders, absolute, or none. Default: relative.",
)
@click.option(
    "--no-digests",
    is_flag=True,
    help="Leave digests and sizes of the files out of a pack; then equal bytes are not recognized.",
)
def export(
    index_folder: Path | None, form: str, output: Path | None, names: str | None, no_digests: bool
) -> None:
    """Write the contents of the index for other programs.

    pickle writes a dictionary {hash: [paths]} of built-in types. tutorial-pickle writes it with the
    keys of the PyImageSearch tutorial, of an index that was made with --hash dhash-tutorial. json,
    csv and parquet write one row per file with all its columns. parquet needs pyarrow. pack writes
    the hashes, to share without pictures; compare and query read it in place of an index.

    \b
    imgdup export --format csv > files.csv
    imgdup export --format pickle -o hashes.pickle
    imgdup export --format pack -o train.pack
    """
    from imgdup.output import export as exporting

    if output is None and form in EXTENSIONS and on_terminal():
        raise UsageError(
            f"{form} cannot be shown on a terminal: name a file, as in -o hashes.{EXTENSIONS[form]}"
        )
    if form != PACK and (names or no_digests):
        raise UsageError("--names and --no-digests are for --format pack")
    if form == PACK and output is None:
        raise UsageError("--format pack writes a file: name it, as in -o hashes.pack")
    index = open_found(index_folder)
    if form == PACK and output is not None:
        from imgdup.index.pack import save_pack

        n_files = save_pack(
            index.generation, output, names=names or PACK_NAMES[0], with_digests=not no_digests
        )
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    if output is not None:
        n_files = exporting.export(index.rows, form, output)
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    try:
        exporting.FORMATS[form](index.rows, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # click would call it a failure
        discard_output()


@click.command()
@click.argument("indexes", nargs=-1, required=True, metavar="INDEX...", type=PATH)
@output_option
@click.option(
    "--force",
    is_flag=True,
    help="Replace an existing index at FOLDER; it must not be one of INDEX...",
)
@json_option
def merge(indexes: tuple[Path, ...], target: Path, force: bool, as_json: bool) -> int:
    """Combine several indexes into one, without reading any pictures.

    Merging all parts made by imgdup index --part gives the same index as one run over the folders.
    A file that is in several indexes appears only once in the new one. Exits with 3 if parts of a
    folder are missing.

    \b
    imgdup merge part1 part2 part3 -o .imgdup
    """
    from imgdup.build.merge import merge_indexes

    merged = merge_indexes(indexes, target, replace=force)
    _take_known(indexes, target)
    for place, column in merged.lacking:
        note(f"{place} has no {OPTIONAL[column]}, so the merged index has none")
    for root, parts in merged.incomplete:
        note_path(root, f"only part {parts} of this folder was merged")
    if as_json:
        line = {
            "indexes": len(indexes),
            "files": merged.n_rows,
            "failed": merged.n_failed,
            "shared": merged.n_shared,
            "parts": {os.fsdecode(root): parts for root, parts in merged.incomplete},
        }
        write_text([json_line(line)])
    else:
        several = f"{len(indexes):,} index{'' if len(indexes) == 1 else 'es'}"
        failed = f", {merged.n_failed:,} of them failed" if merged.n_failed else ""
        line_end = f"{failed}, merged from {several} into {path_on_stdout(target)}\n"
        write_text([counted(merged.n_rows, "file") + line_end])
    return 3 if merged.incomplete else 0


@click.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@output_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Also leave out files whose match hash is within this distance of one in B. Default: only "
    "files of the same bytes are left out.",
)
@click.option("--force", is_flag=True, help="Replace another index at FOLDER.")
@json_option
def subtract(
    a: Path, b: Path, target: Path, max_dist: int | None, force: bool, as_json: bool
) -> None:
    """Make an index of the files of index A whose picture is not in index B.

    A picture counts as in B if B has a file with the same bytes; with --max-dist, also if B has a
    near match hash and both pictures have enough structure. No picture is read or compared. The new
    index has the folders of A; if you run imgdup index on it, the other files are added again.

    \b
    imgdup subtract all seen -o unseen
    """
    from imgdup.build.merge import select_rows
    from imgdup.query.row_pairs import rows_outside

    check_range(max_dist, MATCH_BITS)
    one, other = (open_found(place).check_before_decision() for place in (a, b))
    rows = rows_outside(one.rows, other.rows, max_dist)
    select_rows(one.folder, rows, target, replace=force)
    _take_known([one.folder], target)
    if as_json:
        write_text([json_line({"files": len(rows), "of": len(one.rows)})])
    else:
        files = counted(len(one.rows), "file")
        write_text([f"{len(rows):,} of {files} written to {path_on_stdout(target)}\n"])


def _take_known(indexes: Sequence[Path], target: Path) -> None:
    """Give a new index what is known of its files in those that it was made of."""
    from imgdup.dedupe.known import merge_known

    merge_known(indexes, target, open_found(target).rows.column("digest"))
