"""The command export: write the index for other programs."""

import os
import sys
from pathlib import Path

import click

from imgdup.cli.options import OutputFile, index_option, open_found
from imgdup.cli.printing import discard_output, note, on_terminal
from imgdup.errors import UsageError
from imgdup.output.codecs import counted, shown

EXPORTS = (
    "pickle",
    "tutorial-pickle",
    "json",
    "csv",
    "parquet",
)  # a test compares them with export.FORMATS
EXTENSIONS = {"pickle": "pickle", "tutorial-pickle": "pickle", "parquet": "parquet"}


@click.command()
@index_option
@click.option("--format", "form", type=click.Choice(EXPORTS), required=True, help="What to write.")
@click.option("--output", "-o", type=OutputFile(), metavar="FILE", help="Default: stdout.")
def export(index_folder: Path | None, form: str, output: Path | None) -> None:
    """Write the contents of the index for other programs.

    pickle writes a dictionary {hash: [paths]} of built-in types. tutorial-pickle writes it with the
    keys of the PyImageSearch tutorial, of an index that was made with --hash dhash-tutorial. json,
    csv and parquet write one row per file with all its columns. parquet needs pyarrow.

    \b
    imgdup export --format csv > files.csv
    imgdup export --format pickle -o hashes.pickle
    """
    from imgdup.output import export as exporting

    if output is None and form in EXTENSIONS and on_terminal():
        raise UsageError(
            f"{form} cannot be shown on a terminal: name a file, as in -o hashes.{EXTENSIONS[form]}"
        )
    index = open_found(index_folder)
    if output is not None:
        n_files = exporting.export(index.rows, form, output)
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    try:
        exporting.FORMATS[form](index.rows, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # click would call it a failure
        discard_output()
