"""The command info: what the index holds."""

import os
import sys
from pathlib import Path

import click

from imgdup.cli.options import index_option, json_option, open_found
from imgdup.cli.printing import on_terminal, write_text
from imgdup.output.results import facts_lines
from imgdup.system.limits import size_text
from imgdup.system.records import json_line, json_paths

NAMES = {  # for people, where they differ from the keys of --json
    "bytes": "size",
    "parameters": "hash version",
    "digest_kind": "content digests",
    "version": "imgdup version",
    "digest": "index digest",
    "with_trimmed": "borders looked for",
}


@click.command()
@index_option
@json_option
def info(index_folder: Path | None, as_json: bool) -> None:
    """Show what the index holds.

    \b
    imgdup info
    """
    facts = open_found(index_folder).info()
    roots = [os.fsencode(root) for root in facts.pop("roots")]
    if as_json:
        write_text([json_line({**facts, **json_paths("roots", roots)})])
        return
    facts["bytes"] = size_text(facts["bytes"])
    failed = ", ".join(f"{n:,} {reason}" for reason, n in facts.pop("failed").items()) or "none"
    lines = {NAMES.get(key, key.replace("_", " ")): value for key, value in facts.items()}
    lines |= {"failed": failed, "folders": roots}
    if on_terminal():
        from imgdup.output.tables import facts_table  # rich takes 0.02 s, and a pipe needs no table

        write_text([facts_table(lines, encoding=sys.stdout.encoding)])
    else:
        write_text(facts_lines(lines, encoding=sys.stdout.encoding))
