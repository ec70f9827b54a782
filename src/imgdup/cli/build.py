"""Commands that make and describe an index: index, forget, info."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.common import (
    OutputFile,
    find_index,
    index_option,
    json_option,
    limit_options,
    named_or_listed,
    note,
    removals_option,
    write_text,
)
from imgdup.errors import ImgdupError

if TYPE_CHECKING:
    from imgdup.build.settings import Failure, Outcome

HASHES = ("dhash", "ahash", "phash", "pdq")  # a test compares them with hashing.HASHERS
N_LISTED = 10  # failures told on stderr; --errors has all


@click.command()
@click.argument("paths", nargs=-1, metavar="[DIR]...")
@index_option
@click.option("--hash", "hasher", type=click.Choice(HASHES), help="Search hash. Default: dhash.")
@click.option("--bits", type=click.Choice(["64", "256"]), help="Its length. Default: 64, pdq 256.")
@click.option("--workers", type=click.IntRange(min=1), help="Default: all usable cores.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out names or paths; '' leaves out none again.",
)
@click.option("--follow-symlinks/--no-follow-symlinks", default=None, help="Follow links.")
@click.option("--hidden/--no-hidden", default=None, help="Take names that begin with a dot.")
@click.option("--null", is_flag=True, help="With - as DIR: the list on stdin is NUL separated.")
@removals_option
@click.option("--errors", type=OutputFile(), metavar="FILE", help="List failures as JSON lines.")
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--strict", is_flag=True, help="Exit with 3 also for failures already known.")
@limit_options
def index(paths: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Build, update or resume an index: the same command for all three.

    DIR is a folder, an image, or - for a list on stdin. Without DIR, all indexed folders are
    scanned again. Files that did not change are not read.

    \b
    imgdup index photos
    imgdup index                        update: new, changed and vanished files
    """
    from imgdup.build.update import update_index
    from imgdup.cli.progress import Bar

    named = named_or_listed(paths, options["null"])
    if paths and not named:
        return 0
    place = place_of(index_folder, bool(paths))
    with closing(Bar(quiet=options["quiet"])) as bar:
        outcome = update_index(place, named, _settings(options), bar)
    _tell(outcome, options)
    return _exit_code(outcome, strict=options["strict"])


def place_of(explicit: Path | None, has_paths: bool) -> Path:
    """Return the index to use: the one that is named or there, or a new one in this folder."""
    from imgdup.index.folder import FOLDER_NAME

    try:
        return find_index(explicit)
    except ImgdupError:
        if has_paths:
            return Path(FOLDER_NAME)
        raise


def index_on_the_way(paths: Sequence[str], place: Path, options: dict[str, Any]) -> int:
    """Index folders that another command names, quietly; return its exit code, 0 or 3."""
    from imgdup.build.settings import Settings
    from imgdup.build.update import update_index
    from imgdup.cli.progress import Bar

    settings = Settings(allow_removals=options["allow_removals"])

    with closing(Bar(quiet=False)) as bar:
        outcome = update_index(place, paths, settings, bar)
    _list_failures(outcome)
    return _exit_code(outcome, strict=False)


def _settings(options: dict[str, Any]) -> Any:
    from imgdup.build.roots import OptionChanges
    from imgdup.build.settings import Settings
    from imgdup.system.limits import Limits

    limits = Limits(
        options["max_pixels"],
        options["max_file_size"],
        options["timeout"],
        options["worker_memory"],
    )
    exclude = tuple(glob for glob in options["exclude"] if glob) if options["exclude"] else None
    changes = OptionChanges(exclude, options["follow_symlinks"], options["hidden"])
    bits = int(options["bits"]) if options["bits"] else None
    return Settings(
        options["hasher"], bits, options["workers"], limits, changes, options["allow_removals"]
    )


def _tell(outcome: "Outcome", options: dict[str, Any]) -> None:
    """Print the summary and the failures, as asked."""
    from imgdup.output import results

    if options["errors"]:
        _write_errors(options["errors"], outcome.failures)
    if not options["quiet"]:
        _list_failures(outcome)
    summary = {
        "seen": outcome.seen,
        "hashed": outcome.hashed,
        "unchanged": outcome.unchanged,
        "failed": outcome.failed,
        "removed": outcome.removed,
        "ignored": outcome.ignored,
        "seconds": round(outcome.seconds, 3),
        "images_per_second": round(outcome.images_per_second, 1),
    }
    if options["as_json"]:
        from imgdup.system.jsonl import json_line

        extra = {"unlisted": len(outcome.unlisted), "generation": outcome.generation}
        write_text([json_line({**summary, **extra, "written": outcome.written})])
    elif not options["quiet"]:
        write_text([results.index_summary(summary) + "\n"])
        if not outcome.seen:
            note("no images found")


def _write_errors(path: Path, failures: Iterable["Failure"]) -> None:
    from imgdup.output.results import failure_json
    from imgdup.system.atomic import replacing

    lines = [failure_json(f.path, f.reason, f.detail).encode() for f in failures]
    with replacing(path, needed_bytes=sum(map(len, lines)), sync=False) as file:
        file.writelines(lines)


def _list_failures(outcome: "Outcome") -> None:
    """Name the first new failures on stderr."""
    from imgdup.output.codecs import shown

    encoding = sys.stderr.encoding
    for folder, reason in outcome.unlisted:
        note(f"{shown(folder, encoding)}: not scanned ({reason}); its entries stay")
    new = [failure for failure in outcome.failures if not failure.known]
    for failure in new[:N_LISTED]:
        note(f"{shown(failure.path, encoding)}: {failure.reason} ({failure.detail})")
    if len(new) > N_LISTED:
        note(f"... and {len(new) - N_LISTED:,} more; --errors FILE lists all")


def _exit_code(outcome: "Outcome", *, strict: bool) -> int:
    failed = outcome.failed if strict else outcome.n_new_failures
    return 3 if failed or outcome.unlisted else 0


@click.command()
@click.argument("path", metavar="DIR")
@index_option
def forget(path: str, index_folder: Path | None) -> None:
    """Take a folder, or a file that was indexed by its own name, out of the index.

    No image is touched.

    \b
    imgdup forget photos/old
    """
    from imgdup.build import update as indexing

    outcome = indexing.forget(find_index(index_folder), path)
    write_text([f"{outcome.removed:,} images left the index\n"])


@click.command()
@index_option
@json_option
def info(index_folder: Path | None, as_json: bool) -> None:
    """Tell what the index holds.

    \b
    imgdup info
    """
    from imgdup.api import ImageIndex
    from imgdup.output.tables import facts_table
    from imgdup.system.jsonl import json_line, json_paths

    facts = ImageIndex.open(find_index(index_folder)).info()
    roots = [os.fsencode(root) for root in facts.pop("roots")]
    if as_json:
        write_text([json_line({**facts, **json_paths("roots", roots)})])
        return
    failed = ", ".join(f"{n:,} {reason}" for reason, n in facts.pop("failed").items()) or "none"
    lines = {key.replace("_", " "): value for key, value in facts.items()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    table = facts_table(
        {**lines, "failed": failed, "roots": roots}, width=width, encoding=sys.stdout.encoding
    )
    write_text([table])
