"""Commands that ask an index: query, export."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.asking import Asked
from imgdup.cli.common import (
    Distance,
    OutputFile,
    check_range,
    discard_output,
    find_index,
    from_here,
    index_option,
    json_option,
    named_or_listed,
    note,
    write_bytes,
    write_text,
)
from imgdup.errors import UsageError
from imgdup.output.codecs import counted, shown

if TYPE_CHECKING:
    from imgdup.build.sources import Tally
    from imgdup.output.results import MatchRow

STRATEGIES = ("tree", "bands", "scan")  # a test compares them with planner.STRATEGIES
EXPORTS = ("pickle", "json", "csv", "parquet")  # a test compares them with export.FORMATS
BINARY = ("pickle", "parquet")


@click.command()
@click.argument("probes", nargs=-1, required=True, metavar="PROBE...")
@index_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Largest distance in bits, inclusive. Default: 10 for 64 bits, 31 for 256.",
)
@click.option(
    "-k",
    type=click.IntRange(min=1),
    help="The k nearest, at any distance unless --max-dist is said, too.",
)
@json_option
@click.option("--orientations", is_flag=True, help="Look up each PROBE turned and mirrored, too.")
@click.option("--null", is_flag=True, help="Print paths only, NUL separated; also for - as PROBE.")
@click.option("--montage", type=OutputFile(), metavar="FILE.png", help="Draw what was found.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    help="How to search; the answer is the same.",
)
@click.option(
    "--explain", is_flag=True, help="Tell what each strategy would take, and what the search took."
)
def query(probes: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Find the indexed images near each PROBE: an image, a folder, or - for a list on stdin.

    Prints distance, PDQ distance, duplicate or not, size and path, nearest first.

    \b
    imgdup query photo.jpg --max-dist 10
    """
    from imgdup.api import ImageIndex
    from imgdup.build.sources import Tally

    index = ImageIndex.open(find_index(index_folder))
    check_range(options["max_dist"], index.bits)
    if options["k"] and (options["strategy"] or options["explain"]):
        raise UsageError("-k always takes the tree: leave out --strategy and --explain")
    asked, tally = Asked(index, options), Tally()
    matches: Iterable[MatchRow] = asked.matches(_probe_files(probes, options["null"], tally))
    if options["montage"] or sys.stdout.isatty():
        matches = list(matches)
    _print_matches(matches, options)
    if sys.stdout.isatty() and asked.read and not matches:
        note("no match")
    if options["montage"]:
        from imgdup.output.montage import save_montage

        save_montage(options["montage"], matches, probes=asked.read)
    return _exit_code(asked, tally)


def _exit_code(asked: Asked, tally: "Tally") -> int:
    """Name what could not be read: 3 if something could, 1 if nothing could, 0 if all was."""
    for failure in asked.failures:
        note(f"imgdup: {failure}")
    for folder, reason in tally.unlisted:
        note(f"imgdup: {shown(folder, sys.stderr.encoding)}: not searched ({reason})")
    if asked.failures or tally.unlisted:
        return 3 if asked.read else 1
    return 0


def _probe_files(probes: Sequence[str], null: bool, tally: "Tally") -> Iterator[bytes]:
    """Return the files that the probes mean; of a folder, those that would be indexed."""
    from imgdup.system.paths import check_exists

    for probe in probes:
        if probe != "-":
            check_exists(probe)
    return chain.from_iterable(_files_of(path, tally) for path in named_or_listed(probes, null))


def _files_of(path: bytes, tally: "Tally") -> Iterator[bytes]:
    """Yield a file, or the images in a folder; what is not there fails when it is read."""
    from imgdup.build.sources import walk
    from imgdup.index.generation import ScanOptions
    from imgdup.system.paths import absolute

    if not os.path.isdir(path):
        yield path
        return
    folder = absolute(path)
    yield from (found.path for found in walk(folder, folder, ScanOptions(), b"", tally))


def _print_matches(matches: "Iterable[MatchRow]", options: dict[str, Any]) -> None:
    from imgdup.output import results

    if options["as_json"]:
        write_text(results.match_json(matches))
    elif options["null"]:
        write_bytes(results.match_nulls(matches))
    elif sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        near = [match._replace(path=from_here(match.path)) for match in matches]
        write_text([results.match_table(near, width=width, encoding=sys.stdout.encoding)])
    else:
        write_bytes(results.match_lines(matches))


@click.command()
@index_option
@click.option("--format", "form", type=click.Choice(EXPORTS), required=True)
@click.option("--output", "-o", type=OutputFile(), metavar="FILE", help="Default: stdout.")
def export(index_folder: Path | None, form: str, output: Path | None) -> None:
    """Write what the index holds for other programs.

    pickle is a dictionary {hash: [paths]} of builtins only; json, csv and parquet have one row a
    file with all that is known of it. parquet needs pyarrow.

    \b
    imgdup export --format csv > files.csv
    imgdup export --format pickle -o hashes.pickle
    """
    from imgdup.api import ImageIndex
    from imgdup.output.export import FORMATS
    from imgdup.output.export import export as write

    if output is None and form in BINARY and sys.stdout.isatty():
        raise UsageError(f"{form} is nothing for a terminal: name a file, as in -o hashes.{form}")
    index = ImageIndex.open(find_index(index_folder))
    if output is not None:
        n_files = write(index, form, output)
        note(f"{counted(n_files, 'file')} written to {shown(os.fsencode(output))}")
        return
    try:
        FORMATS[form](index, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # click would call it a failure
        discard_output()
