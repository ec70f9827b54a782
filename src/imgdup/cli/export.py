"""The command export: write the index for other programs."""

import os
import sys
from pathlib import Path

import click

from imgdup.cli.options import OutputFile, index_option, open_found
from imgdup.cli.printing import discard_output, note, on_terminal
from imgdup.errors import UsageError
from imgdup.output import counted, shown

EXPORTS = (
    "pickle",
    "tutorial-pickle",
    "json",
    "csv",
    "parquet",
)  # a test compares them with export.FORMATS
PACK = "pack"
NAMES = ("relative", "absolute", "none")  # and these with generation.PACK_NAMES
EXTENSIONS = {"pickle": "pickle", "pack": "pack", "tutorial-pickle": "pickle", "parquet": "parquet"}


@click.command()
@index_option
@click.option(
    "--format", "form", type=click.Choice([*EXPORTS, PACK]), required=True, help="What to write."
)
@click.option("--output", "-o", type=OutputFile(), metavar="FILE", help="Default: stdout.")
@click.option(
    "--names",
    type=click.Choice(NAMES),
    help="Names in a pack: relative to the indexed folders, absolute, or none. Default: relative.",
)
@click.option(
    "--no-digests",
    is_flag=True,
    help="Leave digests and sizes of the files out of a pack; then equal bytes are not recognized.",
)
def export(
    index_folder: Path | None, form: str, output: Path | None, names: str | None, no_digests: bool
) -> None:
    """Write the contents of the index for other programs.

    pickle writes a dictionary {hash: [paths]} of built-in types. tutorial-pickle writes it with the
    keys of the PyImageSearch tutorial, of an index that was made with --hash dhash-tutorial. json,
    csv and parquet write one row per file with all its columns. parquet needs pyarrow. pack writes
    the hashes, to share without pictures; compare and query read it in place of an index.

    \b
    imgdup export --format csv > files.csv
    imgdup export --format pickle -o hashes.pickle
    imgdup export --format pack -o train.pack
    """
    from imgdup.output import export as exporting

    if output is None and form in EXTENSIONS and on_terminal():
        raise UsageError(
            f"{form} cannot be shown on a terminal: name a file, as in -o hashes.{EXTENSIONS[form]}"
        )
    if form != PACK and (names or no_digests):
        raise UsageError("--names and --no-digests are for --format pack")
    if form == PACK and output is None:
        raise UsageError("--format pack writes a file: name it, as in -o hashes.pack")
    index = open_found(index_folder)
    if form == PACK and output is not None:
        from imgdup.index.pack import save_pack

        n_files = save_pack(
            index.generation, output, names=names or NAMES[0], with_digests=not no_digests
        )
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    if output is not None:
        n_files = exporting.export(index.rows, form, output)
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    try:
        exporting.FORMATS[form](index.rows, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # click would call it a failure
        discard_output()
