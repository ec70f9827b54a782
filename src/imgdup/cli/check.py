"""The command check: verify the index, or a removal plan."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import PATH, index_option, open_found
from imgdup.cli.printing import note, write_text
from imgdup.errors import ImgdupError, PlanError
from imgdup.output.codecs import counted
from imgdup.output.results import match_rule_text

if TYPE_CHECKING:
    from imgdup.api.index import ImageIndex
    from imgdup.dedupe.plan import Plan

N_LISTED = 10  # removals to print


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
    index = open_found(index_folder)
    if plan is not None:
        from imgdup.dedupe import check_plan as checking, plan as planning

        loaded = planning.read_plan(plan)
        checking.check_plan(loaded, index.check_before_decision().rows)
        if deep:
            _check_pictures(loaded, index)
        write_text([f"OK: {counted(len(loaded.removals), 'removal')} verified\n"])
        note(f"{plan}: {match_rule_text(loaded.header, loaded.header.protect)}")
        return
    from imgdup.query import check_index

    _note_leftovers(list(check_index.temporary_files(index.rows)), Path(index.folder))
    findings = [*check_index.check_structure(index.rows)]
    if deep and not findings:
        findings += check_index.check_deep(index.rows)
    for finding in findings[:-1]:
        note(f"imgdup: {finding}")
    if findings:
        raise ImgdupError(findings[-1])
    write_text([f"OK: {counted(len(index.rows), 'file')} in {index.folder}\n"])


def _check_pictures(plan: "Plan", index: "ImageIndex") -> None:
    """Print the removals whose pictures are not as the plan states; raise if there is one."""
    from imgdup.dedupe.verify import Verifier, check_pictures

    with Verifier() as verifier:
        findings = list(check_pictures(plan, index.rows, verifier))
    for finding in findings[:N_LISTED]:
        note(finding)
    if findings:
        raise PlanError(
            f"the pictures of {counted(len(findings), 'removal')} are not as the plan states; "
            "make a new plan with imgdup dedupe"
        )


def _note_leftovers(files: list[tuple[bytes, bytes]], index_folder: Path) -> None:
    """Name the files that a killed apply or undo left, and what to do about them."""
    if files:
        from imgdup.apply.registry import describe_leftovers  # imports all of apply

        for line in describe_leftovers(files, index_folder):
            note(line)
