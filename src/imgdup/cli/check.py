"""The command check: verify the index, or a removal plan."""

from pathlib import Path

import click

from imgdup.cli.options import PATH, index_option, open_found
from imgdup.cli.printing import note, write_text
from imgdup.errors import ImgdupError, PlanError
from imgdup.output import counted
from imgdup.output.results import match_rule_text

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
        from imgdup.dedupe import check_plan as checking, plan as planning, verify

        loaded = planning.read_plan(plan)
        checking.check_plan(loaded, index.check_before_decision().rows)
        if deep:
            with verify.Verifier() as verifier:
                _raise_for(list(verify.check_pictures(loaded, index.rows, verifier)))
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


def _raise_for(findings: list[str]) -> None:
    """Print the removals whose pictures are not as the plan states; raise if there is one."""
    for finding in findings[:N_LISTED]:
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
