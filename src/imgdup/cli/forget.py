"""The command forget: remove a folder from the index."""

from pathlib import Path

import click

from imgdup.build import update
from imgdup.cli.options import find_index, index_option
from imgdup.cli.printing import write_text
from imgdup.output import counted


@click.command()
@click.argument("path", metavar="DIR")
@index_option
def forget(path: str, index_folder: Path | None) -> None:
    """Remove a folder, or a file that was indexed by its own name, from the index.

    The image files are not changed.

    \b
    imgdup forget photos/old
    """
    outcome = update.forget(find_index(index_folder), path)
    write_text([f"removed {counted(outcome.removed, 'image')} from the index\n"])
