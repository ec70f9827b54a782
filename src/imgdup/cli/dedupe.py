"""The command dedupe: find duplicates and plan which files to remove."""

from pathlib import Path

import click

from imgdup.cli.config import keep_rules, protected_folders
from imgdup.cli.option_groups import DedupeFiles, RemovalOptions
from imgdup.cli.options import (
    GROUP_FILES,
    PATH,
    Distance,
    Number,
    OutputFile,
    by_option,
    force_option,
    gathered,
    has_no_verdicts,
    index_option,
    json_option,
    orientations_option,
    page_option,
    removals_option,
)
from imgdup.system.limits import Limits

PRELOAD = ("imgdup.dedupe.pictures", "numpy.fft", "numpy.ma")  # a test compares it with verify's
# A test compares these rules with DEFAULT_RULES.
KEEP = "colour,not-upscaled,metadata,quality,largest,oldest,shortest-path,first"


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Largest distance in bits, inclusive. Default: 31, or 10 with --by search; in sets of up "
    "to 200,000 images, possible edited, framed and cropped copies are looked for as well.",
)
@by_option
@orientations_option(False)
@click.option(
    "--keep",
    default=KEEP,
    callback=keep_rules,
    show_default=True,
    help="Rules that decide which file to keep; the first rule by which two files differ decides.",
)
@click.option(
    "--protect",
    multiple=True,
    callback=protected_folders,
    metavar="FOLDER",
    help="Never remove files from this folder; those of the settings file are protected, too.",
)
@click.option(
    "--decisions",
    type=PATH,
    metavar="FILE",
    help="Use the decisions made with imgdup serve: which files to keep, which are different.",
)
@click.option(
    "--remove",
    default="",
    metavar="RELATIONS",
    help="Also remove files of these relations: recoloured, edited, cropped, turned.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare the pictures of duplicates. With --no-verify, a file is removed if its hash is "
    "near that of another, whatever the pictures show; --max-dist must then be given.",
)
@click.option(
    "--max-candidates",
    type=Number(min=1),
    default=64,
    show_default=True,
    help="Compare a file with at most this many candidates; if none is a duplicate, it is kept.",
)
@click.option("--plan", type=OutputFile(), metavar="FILE", help="Write the removal plan.")
@page_option
@click.option(
    "--keep-list",
    type=OutputFile(),
    metavar="FILE",
    help="Write the paths to keep; with their shards, keys and rows if the name ends in .jsonl, "
    ".csv or .parquet.",
)
@click.option(
    "--remove-list",
    type=OutputFile(),
    metavar="FILE",
    help="Write the paths to remove; with their shards, keys and rows if the name ends in .jsonl, "
    ".csv or .parquet.",
)
@click.option("--null", is_flag=True, help="End the paths of the lists with NUL.")
@click.option(
    "--groups",
    type=OutputFile(),
    metavar="FILE",
    help=f"Write the groups; the name ends in {' '.join(GROUP_FILES)}.",
)
@force_option
@removals_option
@click.option(
    "--chains", is_flag=True, help="Also count chains: connected components of duplicates."
)
@json_option
@gathered(RemovalOptions, "removal")
@gathered(DedupeFiles, "files")
@click.pass_context
def dedupe(
    context: click.Context,
    folders: tuple[str, ...],
    index_folder: Path | None,
    removal: RemovalOptions,
    files: DedupeFiles,
    allow_removals: bool,
    chains: bool,
    as_json: bool,
) -> int:
    """Find duplicates and plan which files to remove; changes nothing.

    FOLDERs are indexed first; without FOLDER, the whole index is compared. Rules for --keep:
    colour, not-upscaled, metadata, quality, largest, smallest, most-bytes, oldest, newest,
    lossless, shortest-path, first, under:FOLDER. With --no-verify no file is read: colour, metadata
    and quality decide nothing, and not-upscaled compares pixel counts.

    \b
    imgdup dedupe photos --plan plan.jsonl --report report.html
    """
    from imgdup.workers.pool import decoding_pool

    files.check()
    removal.check()
    with decoding_pool(Limits(), preload=PRELOAD) as pool:
        if removal.verify and not folders and has_no_verdicts(index_folder):
            pool.start()  # its processes import what they need while this one does
        from imgdup.cli import prepare, removals

        policy = prepare.removal_policy(removal)
        index, code = prepare.open_index(folders, index_folder, allow_removals=allow_removals)
        options = prepare.dedupe_options(index, folders, removal, policy)
        if not removal.verify:
            removals.note_rules_without_effect(options.keep)
        duplicates = removals.find_duplicates(index, options, pool if removal.verify else None)
    removals.write_files(files, duplicates)
    removals.print_summary(duplicates, with_chains=chains, as_json=as_json)
    if not as_json and (files.plan or not files.remove_list):
        removals.note_next_step(files, duplicates, index.folder, context.obj)
    return code
