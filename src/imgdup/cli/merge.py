"""The command merge: make one index of several."""

import os
from pathlib import Path

import click

from imgdup.cli.options import PATH, json_option, open_found
from imgdup.cli.printing import note, note_path, write_text
from imgdup.output import counted
from imgdup.system.records import json_line

OPTIONAL = {"with_pdq": "PDQ hashes", "with_trimmed": "hashes of what flat borders enclose"}

output_option = click.option(
    "-o",
    "--output",
    "target",
    type=PATH,
    required=True,
    metavar="FOLDER",
    help="The index folder to write.",
)


@click.command()
@click.argument("indexes", nargs=-1, required=True, metavar="INDEX...", type=PATH)
@output_option
@click.option(
    "--force",
    is_flag=True,
    help="Replace an existing index at FOLDER; it must not be one of INDEX...",
)
@json_option
def merge(indexes: tuple[Path, ...], target: Path, force: bool, as_json: bool) -> int:
    """Combine several indexes into one, without reading any pictures.

    Merging all parts made by imgdup index --part gives the same index as one run over the folders.
    A file that is in several indexes appears only once in the new one. Exits with 3 if parts of a
    folder are missing.

    \b
    imgdup merge part1 part2 part3 -o .imgdup
    """
    from imgdup.build.merge import merge_indexes
    from imgdup.dedupe.known import merge_known

    merged = merge_indexes(indexes, target, replace=force)
    merge_known(indexes, target, open_found(target).rows.column("digest"))
    for place, column in merged.lacking:
        note(f"{place} has no {OPTIONAL[column]}, so the merged index has none")
    for root, parts in merged.incomplete:
        note_path(root, f"only part {parts} of this folder was merged")
    if as_json:
        line = {
            "indexes": len(indexes),
            "files": merged.n_rows,
            "failed": merged.n_failed,
            "shared": merged.n_shared,
            "parts": {os.fsdecode(root): parts for root, parts in merged.incomplete},
        }
        write_text([json_line(line)])
    else:
        several = f"{len(indexes):,} index{'' if len(indexes) == 1 else 'es'}"
        failed = f", {merged.n_failed:,} of them failed" if merged.n_failed else ""
        line_end = f"{failed}, merged from {several} into {target}\n"
        write_text([counted(merged.n_rows, "file") + line_end])
    return 3 if merged.incomplete else 0
