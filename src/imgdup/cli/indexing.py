"""Index folders with a progress display and print the result; the command watch repeats it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import click

from imgdup.api.index import ImageIndex
from imgdup.build.relocate import relocate as move_rows
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Outcome, Settings
from imgdup.build.update import update_index
from imgdup.cli.config import config
from imgdup.cli.options import (
    Seconds,
    find_index,
    find_or_new_index,
    index_option,
    json_option,
    removals_option,
)
from imgdup.cli.printing import (
    N_LISTED,
    is_verbose,
    note,
    note_first,
    note_path,
    write_bytes,
    write_text,
)
from imgdup.errors import ImgdupError, LockedError, UsageError
from imgdup.images.formats import undecoded_extension
from imgdup.output import counted, tsv_line
from imgdup.output.progress import Bar
from imgdup.output.results import failure_json
from imgdup.system.files import common_mode, replacing
from imgdup.system.paths import absolute, is_below
from imgdup.system.records import json_line
from imgdup.workers.pool import Pool

POLL_MS = 1000  # after so long without a change, what could not be done is tried again
MOST_WAITS = 20  # times --debounce: files that change all the time are indexed after so long


def update(
    index_folder: Path,
    paths: Sequence[str | bytes],
    settings: Settings,
    *,
    quiet: bool,
    pool: Pool | None = None,
) -> Outcome:
    """Build or update an index, with a progress display."""
    with closing(Bar(quiet=quiet)) as bar:
        return update_index(index_folder, paths, settings, bar, pool)


def index_first(
    index_folder: Path, paths: Sequence[str], *, allow_removals: bool, reuse: Path | None = None
) -> Outcome:
    """Index the folders that another command names, and print what failed.

    `reuse` is another index folder, of which the rows of unchanged files are copied.
    """
    changes = OptionChanges(exclude=config().exclude)
    settings = Settings(changes=changes, allow_removals=allow_removals, reuse=reuse)
    outcome = update(index_folder, paths, settings, quiet=False)
    note_failures(outcome)
    return outcome


def relocate(
    index_folder: Path, moved: tuple[str, str], paths: Sequence[str], *, as_json: bool
) -> int:
    """Give the images of a moved folder their new paths; print how many, and return 0."""
    if paths:
        raise UsageError("--moved OLD NEW excludes DIR: leave out DIR, then run imgdup index again")
    n_moved = move_rows(index_folder, *moved)
    if as_json:
        write_text([json_line({"moved": n_moved})])
    else:
        have = "has a new path" if n_moved == 1 else "have new paths"
        write_text([f"{counted(n_moved, 'image')} {have}\n"])
    return 0


def exit_code(outcome: Outcome, *, strict: bool) -> int:
    """Return 3 if files failed, with `strict` known failures too, or folders were not listed."""
    n_failed = outcome.failed if strict else outcome.n_new_failures
    return 3 if n_failed or outcome.unlisted else 0


def print_outcome(outcome: Outcome, *, as_json: bool, quiet: bool) -> None:
    """Print the counts of a run: as JSON, or as a line unless `quiet`."""
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
    if as_json:
        extra = {"unlisted": len(outcome.unlisted), "generation": outcome.generation}
        write_text([json_line({**summary, **extra, "written": outcome.written})])
    elif not quiet:
        line = index_summary(summary)
        if outcome.ignored_files:
            note(line)
        else:
            write_text([line + "\n"])
        if not outcome.seen:
            note("no images found")


def print_ignored(outcome: Outcome, *, as_json: bool) -> None:
    """Print the ignored files on stdout: why and path, or ``path`` and ``ignored`` as JSON."""
    if as_json:
        write_text(json_line({"path": p, "ignored": why}) for p, why in outcome.ignored_files)
    else:
        write_bytes(tsv_line([why, path]) for path, why in outcome.ignored_files)


def write_failures(file: Path, outcome: Outcome) -> None:
    """Write what was not read as JSON lines: files, folders, ignored pictures of other formats."""
    failed = [(f.path, f.reason, f.detail) for f in outcome.failures]
    folders = [(path, "unreadable", f"not scanned: {why}") for path, why in outcome.unlisted]
    ignored = [
        (path, "unsupported", f"{undecoded_extension(os.fsdecode(path))} is not decoded; ignored")
        for path in outcome.undecoded
    ]
    lines = [failure_json(*each).encode() for each in [*failed, *folders, *ignored]]
    mode = common_mode(path for path, _, _ in [*failed, *ignored])
    with replacing(file, needed_bytes=sum(map(len, lines)), sync=False, mode=mode) as out:
        out.writelines(lines)


def note_failures(outcome: Outcome) -> None:
    """Print the folders that were not scanned, leftovers, and the first new failures on stderr."""
    for folder, reason in outcome.unlisted:
        note_path(folder, f"not scanned ({reason}); its entries are kept")
    for path in outcome.set_aside:
        note_path(path, "left by an interrupted imgdup apply: undo its journal, or rename it")
    note_first(outcome.notes, "that are not read")
    if outcome.not_entered:
        n = len(outcome.not_entered)
        note(f"{counted(n, 'container')} not read (zip, tar, Parquet): add --containers")
    new = [failure for failure in outcome.failures if not failure.known]
    n_listed = len(new) if is_verbose() else N_LISTED
    for failure in new[:n_listed]:
        note_path(failure.path, f"{failure.reason} ({failure.detail})")
    if len(new) > n_listed:
        note(f"... and {len(new) - n_listed:,} more; -v prints all, --errors FILE writes all")


def index_summary(summary: Mapping[str, float]) -> str:
    """Write the counts of an indexing run as one line.

    Examples
    --------
    >>> index_summary(dict(seen=9146, hashed=9144, unchanged=0, failed=2, removed=0, ignored=3,
    ...                    seconds=2.14, images_per_second=4273.8))
    '9,146 seen: 9,144 hashed, 0 unchanged, 2 failed; 0 removed, 3 ignored; 2.1 s, 4,274 images/s'
    """
    parts = _counts(summary, "hashed", "unchanged", "failed")
    others = _counts(summary, "removed", "ignored")
    rate = f"{summary['seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s"
    return f"{_counts(summary, 'seen')}: {parts}; {others}; {rate}"


def _counts(summary: Mapping[str, float], *names: str) -> str:
    return ", ".join(f"{summary[name]:,} {name}" for name in names)


@click.command()
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@index_option
@click.option(
    "--debounce",
    "debounce_s",
    type=Seconds(min=0.05, max=3600),
    default=1.0,
    show_default=True,
    help="Wait until nothing has changed for this long.",
)
@removals_option
@json_option
def watch(
    folders: tuple[str, ...],
    index_folder: Path | None,
    debounce_s: float,
    allow_removals: bool,
    as_json: bool,
) -> None:
    """Keep an index current: update it whenever files in its folders change.

    DIR is a folder to index and to watch; without DIR, all indexed folders are watched. Each update
    prints one line. Press Ctrl-C to stop. It needs the package watchfiles.

    \b
    imgdup watch photos
    """
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"{folder!r} is not a folder, and cannot be watched")
    place = find_or_new_index(index_folder) if folders else find_index(index_folder)
    changes = OptionChanges(exclude=config().exclude)
    updates = _Updates(place, folders, Settings(changes=changes, allow_removals=allow_removals))
    with suppress(KeyboardInterrupt):
        watched = _watched(place, folders)
        signals = _signals(watched, place, debounce_s)
        updates.first(as_json=as_json)
        note(f"watching {', '.join(watched)}; press Ctrl-C to stop")
        is_due = True  # something may have changed before the watch began
        for is_changed in signals:
            if is_changed or is_due:
                is_due = not updates.next(as_json=as_json)


class _Updates:
    """Updates one index again and again."""

    def __init__(self, place: Path, folders: Sequence[str], settings: Settings) -> None:
        self._place = place
        self._folders = folders
        self._settings = settings

    def first(self, *, as_json: bool) -> None:
        """Update the index and print the result; an error ends the command."""
        outcome = update(self._place, self._folders, self._settings, quiet=False)
        note_failures(outcome)
        print_outcome(outcome, as_json=as_json, quiet=False)

    def next(self, *, as_json: bool) -> bool:
        """Update the index, print a line if it changed; return False to try again soon."""
        try:
            outcome = update(self._place, self._folders, self._settings, quiet=True)
        except LockedError:
            return False  # another command writes the index
        except ImgdupError as error:
            note(f"imgdup: {error}")
            return True
        if outcome.written or outcome.n_new_failures:
            note_failures(outcome)
            print_outcome(outcome, as_json=as_json, quiet=False)
        return True


def _watched(place: Path, folders: Sequence[str]) -> list[str]:
    """Return the folders to watch: those that were named, or those of the index."""
    if folders:
        return [os.fsdecode(absolute(folder)) for folder in folders]
    roots = [os.fsdecode(root) for root in ImageIndex.open(place).roots if root]
    watched = [root for root in roots if os.path.isdir(root)]
    if not watched:
        raise ImgdupError(f"{place} has no folder that exists; name one: imgdup watch DIR")
    return watched


def _signals(folders: Sequence[str], place: Path, debounce_s: float) -> Iterator[bool]:
    """Yield True when files have changed, but not those of the index, and False from time to time.

    Raises ImgdupError if the package watchfiles is missing.
    """
    try:
        import watchfiles  # an extra
    except ImportError as error:
        raise ImgdupError("watching needs watchfiles: pip install watchfiles") from error
    index = absolute(place)
    step_ms = round(debounce_s * 1000)
    changes = watchfiles.watch(
        *folders,
        watch_filter=lambda change, path: not is_below(os.fsencode(path), index),
        debounce=MOST_WAITS * step_ms,
        step=step_ms,
        rust_timeout=POLL_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    return map(bool, changes)
