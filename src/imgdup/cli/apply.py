"""The command apply: carry out a removal plan."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import (
    PATH,
    announced,
    find_index,
    index_option,
    is_named,
    open_found,
)
from imgdup.cli.printing import N_LISTED, note, note_path, note_skipped, write_text
from imgdup.errors import ImgdupError, LockedError, UsageError
from imgdup.index.folder import is_index, look_for
from imgdup.output.codecs import counted
from imgdup.output.progress import Bar
from imgdup.output.results import match_rule_text
from imgdup.system.limits import size_text

if TYPE_CHECKING:
    from imgdup.apply import ApplyResult
    from imgdup.apply.options import ApplyOptions
    from imgdup.dedupe.plan import Plan, PlanHeader

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
@click.option("--yes", is_flag=True, help="Do not ask before deleting files or removing many.")
def apply(
    plan: Path,
    index_folder: Path | None,
    move_to: Path | None,
    trash: bool,
    delete: bool,
    hardlink: bool,
    symlink: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Carry out a plan of dedupe, verifying every file again.

    A file is removed only if the kept file exists, is readable and is unchanged. A journal is
    written beside the plan. Moves and links can be undone. Trashed files must be restored from the
    trash. Deletions are permanent. An interrupted run continues if you run the same command again.

    \b
    imgdup apply plan.jsonl --move-to ../duplicates
    """
    from imgdup.apply import attached, options as choosing, registry
    from imgdup.dedupe.plan import read_plan

    chosen = {"trash": trash, "delete": delete, "hardlink": hardlink, "symlink": symlink}
    action = _one_action(move=move_to is not None, **chosen)
    loaded = read_plan(plan)
    place = _index_of_plan(index_folder, plan, loaded.header)
    options = choosing.make_options(loaded, action, move_to, index_folder=place, dry_run=dry_run)
    journal = registry.journal_to_write(plan, choosing.journal_header(loaded, options), place)
    registry.check_earlier_runs(plan, journal)
    if not loaded.removals:
        note(f"nothing to do: {plan} has no removals; make another with: imgdup dedupe --plan FILE")
    note(f"{plan}: {match_rule_text(loaded.header, loaded.header.protect)}")
    if action in PERMANENT:
        _note_companions(attached.companions_of_all(each.remove.path for each in loaded.removals))
    if not (dry_run or yes):
        _ask(choosing.reasons_to_ask(loaded, action), plan)
    with _journal_named(journal, action, index_folder):
        result = _carry_out(loaded, options, place, journal)
        _print_result(result, action, dry_run=dry_run)
        if not dry_run and not result.stopped and action not in LINKING:
            _drop_rows(result, place)
    return result.exit_code


def _carry_out(plan: "Plan", options: "ApplyOptions", place: Path, journal: Path) -> "ApplyResult":
    """Carry out a plan with a progress display; the pictures are compared again meanwhile."""
    from imgdup.apply import apply_plan, options as choosing
    from imgdup.dedupe.verify import Verifier

    with closing(Bar(quiet=False)) as bar, Verifier() as verifier:
        rows = open_found(place).check_before_decision().rows
        index = choosing.PlanIndex(place, rows, verifier.judge(rows))
        return apply_plan(plan, index, options, journal=journal, progress=bar.count)


def _index_of_plan(explicit: Path | None, plan: Path, header: "PlanHeader") -> Path:
    """Return the index folder to use: the one that the plan was made from, where it can be found.

    Without --index it is looked for from the current folder, from that of the plan, and from the
    indexed folders upwards. An index that was changed since still has the folders of the plan.
    """
    if is_named(explicit):
        return find_index(explicit)
    same_folders: list[Path] = []
    for start in (Path(), plan.resolve().parent, *map(Path, map(os.fsdecode, header.roots))):
        place = look_for(start)
        if place is None or not is_index(place):
            continue
        rows = open_found(place).rows
        if rows.digest == header.generation:
            return announced(place, explicit)
        if {*header.roots} <= {*rows.roots}:
            same_folders.append(place)
    if same_folders:
        return announced(same_folders[0], explicit)
    return find_index(explicit)


def _one_action(**chosen: bool) -> str:
    """Return the one action that was chosen."""
    actions = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(actions) != 1:
        ways = "--move-to FOLDER, --trash, --delete, --hardlink, --symlink"
        raise UsageError(f"give exactly one of {ways}")
    return actions[0]


def _note_companions(companions: Sequence[bytes]) -> None:
    """Name the files that belong to pictures which are deleted; they are not deleted."""
    for path in companions[:N_LISTED]:
        note_path(path, "belongs to a file of the plan, and is not removed")
    if len(companions) > N_LISTED:
        note(f"... and {len(companions) - N_LISTED:,} more belong to files of the plan")


def _ask(reasons: list[str], plan: Path) -> None:
    """Ask on the terminal whether to go on; without a terminal, refuse."""
    if not reasons:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{plan}: {', and '.join(reasons)}: confirm with --yes")
    for reason in reasons:
        note(f"{plan}: {reason}")
    if not click.confirm("Continue?", err=True):
        raise ImgdupError("nothing was changed")


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
    would_be = "would be " if dry_run else ""
    if result.n_companions:
        also = "would also move" if dry_run else "also moved"
        note(f"{also} {counted(result.n_companions, 'file')} that belong to them")
    if result.n_links:
        note(f"pointed {counted(result.n_links, 'link')} to the kept files")
    verb = "replaced by links" if action in LINKING else "removed"
    n_files = counted(result.n_done, "file")
    already = f", {result.n_already:,} already done" if result.n_already else ""
    write_text([f"{n_files} {would_be}{verb}, {size_text(result.n_bytes)}{already}\n"])


def _drop_rows(result: "ApplyResult", index_folder: Path) -> None:
    """Remove the rows of the removed files from the index."""
    from imgdup.apply import drop_removed_rows

    try:
        drop_removed_rows(result, index_folder)
    except LockedError as error:
        note(f"{error}; to remove the files from it, run: imgdup index --allow-removals")
