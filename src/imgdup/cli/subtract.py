"""The command subtract: make an index of the files whose picture is not in another index."""

from pathlib import Path

import click

from imgdup.cli.merge import output_option
from imgdup.cli.options import PATH, Distance, check_range, json_option, open_found
from imgdup.cli.printing import write_text
from imgdup.hashing import MATCH_BITS
from imgdup.output import counted
from imgdup.system.records import json_line


@click.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@output_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Also leave out files whose match hash is within this distance of one in B. Default: only "
    "files of the same bytes are left out.",
)
@click.option("--force", is_flag=True, help="Replace another index at FOLDER.")
@json_option
def subtract(
    a: Path, b: Path, target: Path, max_dist: int | None, force: bool, as_json: bool
) -> None:
    """Make an index of the files of index A whose picture is not in index B.

    A picture counts as in B if B has a file with the same bytes; with --max-dist, also if B has a
    near match hash and both pictures have enough structure. No picture is read or compared. The new
    index has the folders of A; if you run imgdup index on it, the other files are added again.

    \b
    imgdup subtract all seen -o unseen
    """
    from imgdup.build.merge import select_rows
    from imgdup.dedupe.known import merge_known
    from imgdup.query.row_pairs import rows_outside

    check_range(max_dist, MATCH_BITS)
    one, other = (open_found(place).check_before_decision() for place in (a, b))
    rows = rows_outside(one.rows, other.rows, max_dist)
    select_rows(one.folder, rows, target, replace=force)
    merge_known([one.folder], target, open_found(target).rows.column("digest"))
    if as_json:
        write_text([json_line({"files": len(rows), "of": len(one.rows)})])
    else:
        write_text([f"{len(rows):,} of {counted(len(one.rows), 'file')} written to {target}\n"])
