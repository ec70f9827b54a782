"""The command apply: carry out a removal plan."""

import os
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import PATH, find_index, index_option, open_found
from imgdup.cli.printing import note, note_skipped, write_text
from imgdup.cli.progress import Bar
from imgdup.errors import UsageError
from imgdup.output.codecs import counted
from imgdup.output.results import plan_rule_text

if TYPE_CHECKING:
    from imgdup.apply import ApplyResult

PERMANENT = ("trash", "delete")  # actions that undo cannot reverse
LINKING = ("hardlink", "symlink")  # actions that leave a link in the place of a file


@click.command()
@click.argument("plan", type=PATH)
@index_option
@click.option("--move-to", type=PATH, metavar="FOLDER", help="Move the files, keeping their paths.")
@click.option("--trash", is_flag=True, help="Put the files in the trash.")
@click.option("--delete", is_flag=True, help="Delete the files permanently.")
@click.option("--hardlink", is_flag=True, help="Replace files of equal bytes by hard links.")
@click.option("--symlink", is_flag=True, help="Replace files of equal bytes by symbolic links.")
@click.option("--dry-run", is_flag=True, help="Verify everything, but change nothing.")
def apply(
    plan: Path,
    index_folder: Path | None,
    move_to: Path | None,
    trash: bool,
    delete: bool,
    hardlink: bool,
    symlink: bool,
    dry_run: bool,
) -> int:
    """Carry out a plan of dedupe, verifying every file again.

    A file is removed only if the kept file exists, is readable and is unchanged. A journal is
    written beside the plan. Moves and links can be undone. Trashed files must be restored from the
    trash. Deletions are permanent.

    \b
    imgdup apply plan.jsonl --move-to ../duplicates
    """
    from imgdup import apply as applying
    from imgdup.apply.journal import check_earlier_runs, free_journal_path
    from imgdup.dedupe.plan import read_plan

    chosen = {"trash": trash, "delete": delete, "hardlink": hardlink, "symlink": symlink}
    action = _one_action(move=move_to is not None, **chosen)
    place = find_index(index_folder)
    loaded = read_plan(plan)
    options = applying.make_options(loaded, action, move_to, index_folder=place, dry_run=dry_run)
    check_earlier_runs(plan)
    if not loaded.removals:
        note(f"nothing to do: {plan} has no removals; make another with: imgdup dedupe --plan FILE")
    note(f"{plan}: {plan_rule_text(loaded.header)}")
    journal = free_journal_path(plan)
    with _journal_named(journal, action, index_folder):
        with closing(Bar(quiet=False)) as bar:
            result = applying.apply_plan(
                loaded,
                open_found(place),
                options,
                index_folder=place,
                journal=journal,
                progress=bar.count,
            )
        _print_result(result, action, dry_run=dry_run)
    return result.exit_code


def _one_action(**chosen: bool) -> str:
    """Return the one action that was chosen."""
    actions = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(actions) != 1:
        ways = "--move-to FOLDER, --trash, --delete, --hardlink, --symlink"
        raise UsageError(f"give exactly one of {ways}")
    return actions[0]


@contextmanager
def _journal_named(journal: Path, action: str, index_folder: Path | None) -> Iterator[None]:
    """Name the journal at the end, if there is one, however the run ends."""
    try:
        yield
    finally:
        if os.path.lexists(journal):
            name = shlex.quote(str(journal))
            if action in PERMANENT:
                note(f"the removed files are listed in {name}; imgdup cannot restore them")
            else:
                index = f" --index {shlex.quote(str(index_folder))}" if index_folder else ""
                note(f"to undo, run: imgdup undo {name}{index}")


def _print_result(result: "ApplyResult", action: str, *, dry_run: bool) -> None:
    """Print what was done, what was skipped, and why the run stopped if it did."""
    note_skipped(result.skipped)
    if result.stopped:
        note(f"imgdup: {result.stopped}")
    verb = "replaced by links" if action in LINKING else "removed"
    would_be = "would be " if dry_run else ""
    n_files, n_bytes = counted(result.n_done, "file"), counted(result.n_bytes, "byte")
    write_text([f"{n_files} {would_be}{verb}, {n_bytes}\n"])
    if result.n_done and not dry_run and action not in LINKING:
        note("to remove them from the index as well, run: imgdup index --allow-removals")
