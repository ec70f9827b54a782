"""The commands index and forget: build, update or resume an index; remove a folder from it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.config import config
from imgdup.cli.listed import named_or_listed
from imgdup.cli.options import (
    Number,
    OutputFile,
    find_index,
    find_or_new_index,
    gathered,
    index_option,
    json_option,
    limit_parameters,
    needing_extra,
    removals_option,
)
from imgdup.cli.printing import write_text
from imgdup.errors import UsageError
from imgdup.index.folder import CURRENT
from imgdup.index.parts import Part
from imgdup.output import counted
from imgdup.system.limits import Limits
from imgdup.system.paths import TABLES, kind_of

if TYPE_CHECKING:
    from imgdup.build.settings import Settings
    from imgdup.workers.pool import Pool

HASHING = ("imgdup.build.hash_batch",)  # the module that workers need
TABLE_MODULE = "imgdup.containers.table"  # and for Parquet and Arrow files
FIRST_ENTRIES = 100  # of a folder with containers, in which such files are looked for
# A test compares these with hashing.HASHERS.
HASHES = ("dhash", "ahash", "phash", "pdq", "dhash-tutorial")


class PartOf(click.ParamType[Part]):
    """One of several parts, as in ``3/7``."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part:
        """Return the part."""
        if isinstance(value, Part):
            return value
        try:
            part = Part.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return part


@dataclass(frozen=True)
class Report:
    """What is printed and written about the run."""

    errors: Path | None
    as_json: bool
    quiet: bool
    strict: bool


def _is_table(name: str | bytes) -> bool:
    return kind_of(os.fsencode(name)) in TABLES


def _has_table(folder: str | bytes) -> bool:
    """Return whether one of the first entries of a folder is a table."""
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            return any(_is_table(entry.name) for entry in islice(entries, FIRST_ENTRIES))
    except OSError:
        return False


@dataclass(frozen=True)
class Chosen:
    """The parameters that decide which files are indexed, and how."""

    hasher: str | None
    bits: str | None
    extra: str | None
    workers: int | None
    exclude: tuple[str, ...]
    follow_symlinks: bool | None
    hidden: bool | None
    part: Part | None
    containers: bool | None
    column: str | None
    retry_failed: bool
    rehash: bool
    allow_removals: bool
    list_ignored: bool
    limits: Limits

    cluster: str | None

    def pool(self, named: Sequence[str | bytes], *, is_needed: bool) -> "Pool":
        """Return the pool that hashes; if it will be needed, start it while this process imports.

        An update may have nothing to hash. Workers that will read tables import pyarrow at the
        start.
        """
        if self.cluster:
            with needing_extra("cluster", "--cluster", ("dask", "distributed")):
                from imgdup.workers.cluster import cluster_pool
            return cluster_pool(self.cluster, self.limits, HASHING)
        from imgdup.workers import pool

        folders = named if self.containers else ()
        has_tables = any(map(_is_table, named)) or any(map(_has_table, folders))
        preload = (*HASHING, TABLE_MODULE) if has_tables else HASHING
        found = pool.decoding_pool(self.limits, self.workers, preload=preload)
        if is_needed:
            found.start()
        return found

    def settings(self) -> "Settings":
        """Return the settings of the run."""
        from imgdup.build import roots, settings

        exclude = config().exclude
        if self.exclude:
            exclude = tuple(glob for glob in self.exclude if glob)
        return settings.Settings(
            hasher=self.hasher,
            bits=int(self.bits) if self.bits else None,
            workers=self.workers,
            limits=self.limits,
            changes=roots.OptionChanges(
                exclude, self.follow_symlinks, self.hidden, self.part, self.containers, self.column
            ),
            allow_removals=self.allow_removals,
            retry_failed=self.retry_failed,
            rehash=self.rehash,
            with_pdq=self.extra == "pdq",
            list_ignored=self.list_ignored,
        )


@click.command()
@click.argument("paths", nargs=-1, metavar="[DIR]...")
@index_option
@click.option("--hash", "hasher", type=click.Choice(HASHES), help="Search hash. Default: dhash.")
@click.option(
    "--bits", type=click.Choice(["64", "256"]), help="Length of the hash. Default: 64, for pdq 256."
)
@click.option(
    "--with",
    "extra",
    type=click.Choice(["pdq"]),
    help="Also store the PDQ hash of each picture; an index that has it keeps it.",
)
@click.option("--workers", type=Number(min=1), help="Processes. Default: all usable cores.")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Hash on the workers of a Dask cluster: the address of its scheduler, or its scheduler "
    "file.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Skip files and folders with matching names or paths; '' removes all patterns.",
)
@click.option("--follow-symlinks/--no-follow-symlinks", default=None, help="Follow symbolic links.")
@click.option("--hidden/--no-hidden", default=None, help="Include names that begin with a dot.")
@click.option(
    "--part",
    type=PartOf(),
    help="Index only part I of N of each DIR, as in 3/7. Each part needs its own --index; imgdup "
    "merge combines them.",
)
@click.option(
    "--containers/--no-containers",
    default=None,
    help="Also index the pictures in the zip, tar and Parquet files of the folders.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="The column of pictures in Parquet files. Default: the only one that can hold them.",
)
@click.option(
    "--moved",
    nargs=2,
    metavar="OLD NEW",
    help="Give the images of a moved folder their new paths; nothing is hashed.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Read failed files again, for example after raising a limit.",
)
@click.option(
    "--rehash", is_flag=True, help="Read all files again, and replace older digests by BLAKE3."
)
@click.option("--null", is_flag=True, help="With - as DIR: the list on stdin is NUL-separated.")
@removals_option
@click.option(
    "--list-ignored",
    is_flag=True,
    help="Print the files that are not indexed, and why; then the counts are printed on stderr.",
)
@click.option("--errors", type=OutputFile(), metavar="FILE", help="Write failures as JSON lines.")
@json_option
@click.option("--quiet", is_flag=True, help="Print only errors and warnings.")
@click.option(
    "--strict", is_flag=True, help="Also exit with 3 for failures that are already known."
)
@limit_parameters
@gathered(Report, "report")
@gathered(Chosen, "chosen")
def index(
    paths: tuple[str, ...],
    index_folder: Path | None,
    moved: tuple[str, str] | None,
    null: bool,
    report: Report,
    chosen: Chosen,
) -> int:
    """Build, update or resume an index.

    DIR is a folder, an image, a zip, tar or Parquet file, an address such as s3://bucket/photos,
    or - for a list on stdin. Without DIR, all indexed folders are scanned again. Unchanged files
    are not read.

    \b
    imgdup index photos
    imgdup index                        update: new, changed and deleted files
    imgdup index --moved OLD NEW        a folder was renamed or is mounted elsewhere
    """
    if chosen.cluster and (moved or chosen.workers):
        raise UsageError(f"--cluster and {'--moved' if moved else '--workers'} exclude each other")
    named = [] if moved else named_or_listed(paths, null)
    if paths and not (named or moved):
        return 0
    place = find_or_new_index(index_folder) if named else find_index(index_folder)
    with chosen.pool(named, is_needed=not (place / CURRENT).exists()) as pool:
        from imgdup.cli import indexing

        if moved:
            return indexing.relocate(place, moved, paths, as_json=report.as_json)
        outcome = indexing.update(place, named, chosen.settings(), quiet=report.quiet, pool=pool)
    if report.errors:
        indexing.write_failures(report.errors, outcome)
    if not report.quiet:
        indexing.note_failures(outcome)
    if chosen.list_ignored:
        indexing.print_ignored(outcome, as_json=report.as_json)
    indexing.print_outcome(outcome, as_json=report.as_json, quiet=report.quiet)
    return indexing.exit_code(outcome, strict=report.strict)


@click.command()
@click.argument("path", metavar="DIR")
@index_option
def forget(path: str, index_folder: Path | None) -> None:
    """Remove a folder, or a file that was indexed by its own name, from the index.

    The image files are not changed.

    \b
    imgdup forget photos/old
    """
    from imgdup.build import update

    outcome = update.forget(find_index(index_folder), path)
    write_text([f"removed {counted(outcome.removed, 'image')} from the index\n"])
