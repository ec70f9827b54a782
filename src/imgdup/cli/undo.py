"""The command undo: undo what apply did."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.options import PATH, find_index, index_option, open_found
from imgdup.cli.printing import note, note_skipped, write_text
from imgdup.output import counted
from imgdup.output.progress import Bar

if TYPE_CHECKING:
    from imgdup.index.columns import Rows


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
    from imgdup.apply import undo as undoing

    place = find_index(index_folder)
    open_rows = partial(_open_rows, place) if index_folder else None
    with closing(Bar(quiet=False)) as bar:
        result = undoing.undo(journal, place, open_rows=open_rows, progress=bar.count)
    note_skipped(result.skipped)
    restored = counted(result.n_restored, "file")
    write_text([f"{restored} restored, {result.n_in_place:,} already in place\n"])
    if result.n_restored:
        note("to add the files to the index again, run: imgdup index")
    return result.exit_code


def _open_rows(place: Path) -> "Rows":
    """Open the index that the user named."""
    return open_found(place).rows
