"""The command evaluate: which copies are found at which distance, measured on the user's files."""

import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from imgdup.api.index import ImageIndex
from imgdup.build.sources import files_named_by
from imgdup.build.tally import Tally
from imgdup.cli.options import PATH, OutputFile, gathered, index_option, json_option, open_found
from imgdup.cli.printing import note, on_terminal, terminal_width, write_text
from imgdup.dedupe.evaluate import EvaluateOptions, Evaluation, evaluate as evaluate_files
from imgdup.dedupe.labels import LabelledPair, read_pairs
from imgdup.index.columns import images
from imgdup.index.pack import check_has_pictures
from imgdup.output import counted
from imgdup.output.evaluation import (
    evaluation_json,
    evaluation_lines,
    evaluation_table,
    reasons,
    save_evaluation,
)
from imgdup.output.progress import Bar
from imgdup.query.chance import Pictures, pictures_of, sample_rows
from imgdup.query.row_pairs import Side
from imgdup.system.paths import check_exists


@dataclass(frozen=True)
class Sampling:
    """How many pictures are edited and compared, and by which hashes and limit."""

    sample: int
    n_compared: int
    extra: str | None
    max_false_pairs: float


@click.command()
@click.argument("folder", required=False, metavar="[DIR]")
@index_option
@click.option(
    "--pairs",
    "table",
    type=PATH,
    metavar="FILE.csv",
    help="Also evaluate labelled pairs; the columns are label, a and b.",
)
@click.option(
    "--sample",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Largest number of pictures to edit.",
)
@click.option(
    "--compare",
    "n_compared",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Number of these pictures that are also compared with their copies.",
)
@click.option(
    "--with",
    "extra",
    type=click.Choice(["pdq"]),
    help="Also evaluate the PDQ hash. Default: if the index has it.",
)
@click.option(
    "--max-false-pairs",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="F",
    help="How many pairs of different pictures to accept in the whole collection.",
)
@click.option(
    "--report", type=OutputFile(), metavar="FILE.html", help="Write an HTML page with plots."
)
@json_option
@gathered(Sampling, "how")
def evaluate(
    folder: str | None,
    index_folder: Path | None,
    table: Path | None,
    how: Sampling,
    report: Path | None,
    as_json: bool,
) -> int:
    """Measure on your own pictures which copies are found, and choose a distance.

    A sample of the pictures is edited in many ways, and the copies are hashed and compared. DIR is
    a folder; without DIR, the pictures of the index are used. Only the report is written.

    \b
    imgdup evaluate photos --report evaluation.html
    """
    labelled = [] if table is None else read_pairs(table)
    files, options, known = _collection(folder, index_folder, labelled)
    options = options._replace(
        sample=how.sample, n_compared=how.n_compared, max_false_pairs=how.max_false_pairs
    )
    if how.extra == "pdq" and not options.with_pdq:
        options, known = options._replace(with_pdq=True), None  # the index has no such hashes
    with closing(Bar(quiet=False)) as bar:
        bar.start(min(len(files), how.sample))
        found = evaluate_files(files, labelled, options, known=known, advance=bar.advance)
    _print(found, as_json=as_json)
    if report is not None:
        save_evaluation(report, found)
    return 3 if found.n_failed or found.n_unread else 0


def _collection(
    folder: str | None, index_folder: Path | None, labelled: list[LabelledPair]
) -> tuple[list[bytes], EvaluateOptions, tuple[list[bytes], Pictures] | None]:
    """Return the files to sample from, the search hash to use, and hashes that an index knows."""
    if folder is not None:
        check_exists(folder)
        return list(files_named_by(os.fsencode(folder), Tally())), EvaluateOptions(), None
    if labelled and index_folder is None:
        return [], EvaluateOptions(), None
    index: ImageIndex = open_found(index_folder)
    check_has_pictures(index.generation)
    head = index.generation.head
    side = Side(index.rows, images(index.rows))
    files = [index.rows.path(row) for row in side.rows.tolist()]
    options = EvaluateOptions(head["hash"], index.bits, with_pdq=side.has_pdq())
    if not index.generation.has_match:
        return files, options, None
    chosen = sample_rows(len(files))
    known = pictures_of([Side(side.index, side.rows[chosen])])
    return files, options, ([files[i] for i in chosen.tolist()], known)


def _print(found: Evaluation, *, as_json: bool) -> None:
    if as_json:
        write_text([evaluation_json(found)])
    elif on_terminal():
        encoding = sys.stdout.encoding
        write_text(evaluation_table(found, width=terminal_width(), encoding=encoding))
    else:
        write_text(evaluation_lines(found))
    for text in reasons(found):
        note(text)
    for number, what in ((found.n_failed, "picture"), (found.n_unread, "labelled pair")):
        if number:
            note(f"{counted(number, what)} could not be read")
