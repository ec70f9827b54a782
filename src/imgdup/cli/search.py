"""Commands that ask an index: query, export."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.asking import Asked
from imgdup.cli.common import (
    Distance,
    check_range,
    find_index,
    from_here,
    index_option,
    json_option,
    named_or_listed,
    note,
    write_bytes,
    write_text,
)
from imgdup.errors import ImgdupError

if TYPE_CHECKING:
    from imgdup.report import Match

EXPORTS = ("pickle", "json", "csv", "parquet")  # a test compares them with export.FORMATS


@click.command()
@click.argument("probes", nargs=-1, required=True, metavar="PROBE...")
@index_option
@click.option(
    "--max-dist", type=Distance(), help="Largest distance in bits, inclusive. Default: 10."
)
@click.option("-k", type=click.IntRange(min=1), help="Only the k nearest, at any distance.")
@json_option
@click.option("--orientations", is_flag=True, help="Look up each PROBE turned and mirrored, too.")
@click.option("--null", is_flag=True, help="Print paths only, NUL separated; also for - as PROBE.")
@click.option("--montage", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw them.")
@click.option("--strategy", type=click.Choice(["tree", "bands", "scan"]), help="Same answer.")
@click.option("--explain", is_flag=True, help="Tell which strategy is taken, and why.")
def query(probes: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Find the indexed images near each PROBE: an image, a folder, or - for a list on stdin.

    Prints distance, PDQ distance, duplicate or not, size and path, nearest first.

    \b
    imgdup query photo.jpg --max-dist 10
    """
    from imgdup.index import ImageIndex

    index = ImageIndex.open(find_index(index_folder))
    check_range(options["max_dist"], index.bits)
    named = named_or_listed(probes, options["null"])
    asked = Asked(index, options)
    matches: Iterable[Match] = asked.matches(_probe_files(named))
    if options["montage"] or sys.stdout.isatty():
        matches = list(matches)
    _print_matches(matches, options)
    if options["montage"]:
        from imgdup.report.montage import save_montage

        save_montage(options["montage"], matches, probes=asked.read)
    if asked.failures and len(asked.failures) == len(named) == 1:
        raise ImgdupError(asked.failures[0])
    for failure in asked.failures:
        note(f"imgdup: {failure}")
    return 3 if asked.failures else 0


def _probe_files(named: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the files that the probes mean; of a folder, those that would be indexed."""
    from imgdup.sources import ScanOptions, Tally, absolute, check_exists, walk

    for path in named:
        check_exists(path)
        if not os.path.isdir(path):
            yield path
            continue
        folder = absolute(path)
        tally = Tally()
        yield from (found.path for found in walk(folder, folder, ScanOptions(), b"", tally))


def _print_matches(matches: "Iterable[Match]", options: dict[str, Any]) -> None:
    from imgdup import report

    if options["as_json"]:
        write_text(report.match_json(matches))
    elif options["null"]:
        write_bytes(report.match_nulls(matches))
    elif sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        near = [match._replace(path=from_here(match.path)) for match in matches]
        write_text([report.match_table(near, width=width, encoding=sys.stdout.encoding)])
        if not near:
            note("no match")
    else:
        write_bytes(report.match_lines(matches))


@click.command()
@index_option
@click.option("--format", "form", type=click.Choice(EXPORTS), required=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FILE")
def export(index_folder: Path | None, form: str, output: Path) -> None:
    """Write what the index holds for other programs.

    pickle is {hash: [paths]}, builtins only, as the tutorial has it; the others have one row a
    file with all that is known of it. parquet needs the extra of that name.

    \b
    imgdup export --format pickle -o hashes.pickle
    """
    from imgdup.export import FORMATS
    from imgdup.index import ImageIndex

    n_images = FORMATS[form](ImageIndex.open(find_index(index_folder)), output)
    note(f"{n_images:,} images written to {output}")
