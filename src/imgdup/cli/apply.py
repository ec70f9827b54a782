"""The commands apply and undo: carry out a removal plan, and undo what was done."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.option_groups import CleanedSet
from imgdup.cli.options import (
    PATH,
    announced,
    find_index,
    gathered,
    index_option,
    is_named,
    open_found,
    option_to_find,
)
from imgdup.cli.printing import note, note_first, note_skipped, write_text
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import is_index, look_for
from imgdup.output import counted
from imgdup.output.progress import Bar
from imgdup.output.results import match_rule_text

if TYPE_CHECKING:
    from imgdup.dedupe.plan import PlanHeader


PERMANENT = ("trash", "delete")  # actions that undo cannot reverse


@dataclass(frozen=True)
class Action:
    """What to do with the files: exactly one of these, unless a cleaned set is written."""

    move_to: Path | None
    trash: bool
    delete: bool
    hardlink: bool
    symlink: bool

    def name(self, *, writes: bool) -> str:
        """Return the one action that was chosen; `writes` means that a set is written."""
        chosen = {
            "move": self.move_to is not None,
            "write": writes,
            "trash": self.trash,
            "delete": self.delete,
            "hardlink": self.hardlink,
            "symlink": self.symlink,
        }
        names = [name for name, is_chosen in chosen.items() if is_chosen]
        if len(names) != 1:
            ways = "--move-to FOLDER, --write-to FOLDER, --trash, --delete, --hardlink, --symlink"
            raise UsageError(f"give exactly one of {ways}")
        return names[0]


@click.command()
@click.argument("plan", type=PATH)
@index_option
@click.option("--move-to", type=PATH, metavar="FOLDER", help="Move the files, keeping their paths.")
@click.option("--trash", is_flag=True, help="Put the files in the trash.")
@click.option("--delete", is_flag=True, help="Delete the files permanently.")
@click.option("--hardlink", is_flag=True, help="Replace files of equal bytes by hard links.")
@click.option("--symlink", is_flag=True, help="Replace files of equal bytes by symbolic links.")
@click.option(
    "--write-to",
    type=PATH,
    metavar="FOLDER",
    help="Write a copy of the set without the files to a new folder. Also works for tar, zip and "
    "Parquet files. The input is not changed.",
)
@click.option(
    "--whole-samples",
    is_flag=True,
    help="With --write-to: remove the whole sample of a picture in a tar or zip file even if it "
    "contains other pictures, such as masks.",
)
@click.option(
    "--annotations",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="With --write-to: also remove the files from these annotations. A COCO file, a table, "
    "JSON lines or a list, or a folder with one file per picture. May be repeated.",
)
@click.option(
    "--tag-column",
    default="",
    metavar="NAME",
    help="With --write-to: keep all rows of Parquet and Arrow files, and add a column that names "
    "the kept picture in the rows of its duplicates.",
)
@click.option("--dry-run", is_flag=True, help="Verify everything, but change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@gathered(Action, "action")
@gathered(CleanedSet, "cleaned")
def apply(
    plan: Path,
    index_folder: Path | None,
    action: Action,
    cleaned: CleanedSet,
    dry_run: bool,
    yes: bool,
) -> int:
    """Carry out a plan of dedupe, verifying every file again.

    A file is removed only if the kept file exists, is readable and is unchanged. A journal is
    written beside the plan. Moves and links can be undone. Trashed files must be restored from the
    trash. Deletions are permanent. An interrupted run continues if you run the same command again.

    \b
    imgdup apply plan.jsonl --move-to ../duplicates
    imgdup apply plan.jsonl --write-to ../cleaned
    """
    from imgdup.apply import attached, options as choosing, registry
    from imgdup.cli import carrying_out
    from imgdup.dedupe.plan import read_plan

    cleaned.check()
    name = action.name(writes=cleaned.write_to is not None)
    loaded = read_plan(plan)
    place = index_of_plan(index_folder, plan, loaded.header)
    if cleaned.write_to is not None:
        return carrying_out.write_cleaned(loaded, cleaned, place, dry_run=dry_run)
    options = choosing.make_options(
        loaded, name, action.move_to, index_folder=place, dry_run=dry_run
    )
    journal = registry.journal_to_write(plan, choosing.journal_header(loaded, options), place)
    registry.check_earlier_runs(plan, place, journal)
    if not loaded.removals:
        note(f"nothing to do: {plan} has no removals; make another with: imgdup dedupe --plan FILE")
    note(f"{plan}: {match_rule_text(loaded.header, loaded.header.protect)}")
    if name in PERMANENT:
        _note_companions(attached.companions_of_all(each.remove.path for each in loaded.removals))
    if not (dry_run or yes):
        _ask(choosing.reasons_to_ask(loaded, name), plan)
    with _journal_named(journal, name, place):
        result = carrying_out.carry_out(loaded, options, place, journal)
        carrying_out.print_result(result, name, dry_run=dry_run)
        if not dry_run and not result.stopped:
            carrying_out.drop_rows(result, name, place)
    return result.exit_code


def index_of_plan(explicit: Path | None, plan: Path, header: "PlanHeader") -> Path:
    """Return the index folder to use: if it can be found, the one that the plan was made from.

    Without --index it is looked for in the current folder, in that of the plan, in the indexed
    folders, and in all folders above these. If the index was updated since, it is recognised by its
    folders.
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


def _note_companions(companions: Sequence[bytes]) -> None:
    """Print the files that belong to deleted pictures; they are not deleted."""
    belongs = "belongs to a file of the plan; it is not removed"
    note_first(((path, belongs) for path in companions), "belong to files of the plan")


def _ask(reasons: list[str], plan: Path) -> None:
    """Ask on the terminal whether to continue; without a terminal, refuse."""
    if not reasons:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{plan}: {', and '.join(reasons)}: confirm with --yes")
    for reason in reasons:
        note(f"{plan}: {reason}")
    if not click.confirm("Continue?", err=True):
        raise ImgdupError("nothing was changed")


@contextmanager
def _journal_named(journal: Path, action: str, place: Path) -> Iterator[None]:
    """Print the path of the journal at the end of a run, if there is one, however the run ends."""
    try:
        yield
    finally:
        if os.path.lexists(journal):
            name = shlex.quote(str(journal))
            if action in PERMANENT:
                note(f"the removed files are listed in {name}; imgdup cannot restore them")
            else:
                note(f"to undo, run: imgdup undo {name}{option_to_find(place)}")


@click.command()
@click.argument("journal", type=PATH)
@index_option
def undo(journal: Path, index_folder: Path | None) -> int:
    """Undo what apply did; never overwrites a file.

    The index remembers the journals of the plans that were applied to it. For another journal, name
    the index with --index: the plan must then be beside the journal, and both must fit the index.

    \b
    imgdup undo plan.journal-1.jsonl
    """
    from imgdup.apply.undo import undo as undo_run

    if not is_named(index_folder) and look_for(Path()) is None:
        name = shlex.quote(str(journal))
        raise ImgdupError(
            "no index in this folder or above it; name the index that the plan was applied to: "
            f"imgdup undo {name} --index FOLDER"
        )
    place = find_index(index_folder)
    open_rows = (lambda: open_found(place).rows) if index_folder else None
    with closing(Bar(quiet=False)) as bar:
        result = undo_run(journal, place, open_rows=open_rows, progress=bar.count)
    note_skipped(result.skipped)
    restored = counted(result.n_restored, "file")
    write_text([f"{restored} restored, {result.n_in_place:,} already in place\n"])
    if result.n_restored:
        again = f"imgdup index{option_to_find(place)}"
        note(f"to add the files to the index again, run: {again}")
    return result.exit_code
