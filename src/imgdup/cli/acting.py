"""Commands that act on files: apply carries a plan out, undo takes it back."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.common import find_index, index_option, note, write_text
from imgdup.errors import UsageError
from imgdup.output.codecs import counted

if TYPE_CHECKING:
    from imgdup.apply.recheck import Skipped

PATH = click.Path(path_type=Path)
N_LISTED = 10  # skipped files told on stderr
SWITCHES = ("trash", "delete", "hardlink", "symlink")
FOR_GOOD = ("trash", "delete")  # what undo cannot take back
DONE = {"hardlink": "replaced by links", "symlink": "replaced by links"}


@click.command()
@click.argument("plan", type=PATH)
@index_option
@click.option("--move-to", type=PATH, metavar="FOLDER", help="Move them, keeping their paths.")
@click.option("--trash", is_flag=True, help="Put them in the trash.")
@click.option("--delete", is_flag=True, help="Delete them for good.")
@click.option("--hardlink", is_flag=True, help="Put hard links in their place; equal bytes only.")
@click.option("--symlink", is_flag=True, help="Put symbolic links there; equal bytes only.")
@click.option("--dry-run", is_flag=True, help="Verify everything, change nothing.")
def apply(plan: Path, index_folder: Path | None, **options: Any) -> int:
    """Carry out a plan of dedupe, verifying every file again.

    Nothing is removed unless the file that stays is there, readable and unchanged. A journal is
    written beside the plan.

    \b
    imgdup apply plan.jsonl --move-to ../duplicates
    """
    from imgdup.api import ImageIndex
    from imgdup.apply import apply_plan, make_options
    from imgdup.apply.journal import free_journal_path
    from imgdup.apply.past import check_earlier
    from imgdup.cli.progress import Bar
    from imgdup.dedupe.plan import read_plan
    from imgdup.output.cleaning import plan_rule_text

    action = _action(options)
    place = find_index(index_folder)
    loaded = read_plan(plan)
    order = make_options(
        loaded, action, options["move_to"], index_folder=place, dry_run=options["dry_run"]
    )
    check_earlier(plan)
    if not loaded.removals:
        note(f"nothing to do: {plan} has no removals; make another with: imgdup dedupe --plan FILE")
    note(f"{plan}: {plan_rule_text(loaded.header)}")
    journal = free_journal_path(plan)
    with _told_what_is_noted(journal, action):
        with closing(Bar(quiet=False)) as bar:
            outcome = apply_plan(
                loaded,
                ImageIndex.open(place),
                order,
                index_folder=place,
                journal=journal,
                progress=bar.count,
            )
        _list_skipped(outcome.skipped)
        if outcome.stopped:
            note(f"imgdup: {outcome.stopped}")
        verb = ("would be " if options["dry_run"] else "") + DONE.get(action, "removed")
        write_text(
            [f"{counted(outcome.n_done, 'file')} {verb}, {counted(outcome.n_bytes, 'byte')}\n"]
        )
        if outcome.n_done and not options["dry_run"] and action not in DONE:
            note("to take them out of the index: imgdup index --allow-removals")
    return outcome.exit_code


def _action(options: dict[str, Any]) -> str:
    """Return the one action that was asked for."""
    asked = ["move"] if options["move_to"] else []
    asked += [name for name in SWITCHES if options[name]]
    if len(asked) != 1:
        ways = "--move-to FOLDER, --trash, --delete, --hardlink, --symlink"
        raise UsageError(f"say one of {ways}; with --dry-run, too")
    return asked[0]


@contextlib.contextmanager
def _told_what_is_noted(journal: Path, action: str) -> Iterator[None]:
    """Name the journal in the end if there is one, however the run ends."""
    try:
        yield
    finally:
        if os.path.lexists(journal):
            name = shlex.quote(str(journal))
            gone = f"what went is noted in {name}; imgdup cannot bring it back"
            note(gone if action in FOR_GOOD else f"to take it back: imgdup undo {name}")


def _list_skipped(skipped: "list[Skipped]") -> None:
    from imgdup.output.codecs import shown

    for each in skipped[:N_LISTED]:
        path = shown(each.path, sys.stderr.encoding)
        note(f"{path}: skipped ({each.reason}: {each.detail})")
    if len(skipped) > N_LISTED:
        note(f"... and {len(skipped) - N_LISTED:,} more were skipped")


@click.command()
@click.argument("journal", type=PATH)
def undo(journal: Path) -> int:
    """Take back what apply did; never overwrites a file.

    \b
    imgdup undo plan.journal-1.jsonl
    """
    from imgdup.apply.undo import undo as take_back
    from imgdup.cli.progress import Bar

    with closing(Bar(quiet=False)) as bar:
        undone = take_back(journal, bar.count)
    _list_skipped(undone.skipped)
    write_text(
        [f"{counted(undone.n_restored, 'file')} restored, {undone.n_in_place:,} in place already\n"]
    )
    return undone.exit_code
