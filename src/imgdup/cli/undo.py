"""The command undo: take back what apply did."""

from contextlib import closing
from pathlib import Path

import click

from imgdup.cli.options import PATH
from imgdup.cli.printing import note_skipped, write_text
from imgdup.cli.progress import Bar
from imgdup.output.codecs import counted


@click.command()
@click.argument("journal", type=PATH)
def undo(journal: Path) -> int:
    """Undo what apply did; never overwrites a file.

    \b
    imgdup undo plan.journal-1.jsonl
    """
    from imgdup.apply import undo as undoing

    with closing(Bar(quiet=False)) as bar:
        undone = undoing.undo(journal, bar.count)
    note_skipped(undone.skipped)
    restored = counted(undone.n_restored, "file")
    write_text([f"{restored} restored, {undone.n_in_place:,} already in place\n"])
    return undone.exit_code
