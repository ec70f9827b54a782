"""The command info: what the index holds."""

import os
import sys
from pathlib import Path

import click

from imgdup.cli.options import find_index, index_option, json_option
from imgdup.cli.printing import on_terminal, terminal_width, write_text
from imgdup.system.records import json_line, json_paths


@click.command()
@index_option
@json_option
def info(index_folder: Path | None, as_json: bool) -> None:
    """Show what the index holds.

    \b
    imgdup info
    """
    from imgdup.api import ImageIndex
    from imgdup.output.tables import facts_table

    facts = ImageIndex.open(find_index(index_folder)).info()
    roots = [os.fsencode(root) for root in facts.pop("roots")]
    if as_json:
        write_text([json_line({**facts, **json_paths("roots", roots)})])
        return
    failed = ", ".join(f"{n:,} {reason}" for reason, n in facts.pop("failed").items()) or "none"
    lines = {key.replace("_", " "): value for key, value in facts.items()}
    width = terminal_width() if on_terminal() else sys.maxsize
    table = {**lines, "failed": failed, "roots": roots}
    write_text([facts_table(table, width=width, encoding=sys.stdout.encoding)])
