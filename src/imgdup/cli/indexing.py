"""Index folders with a progress display, and print the result of the run."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from imgdup.build.relocate import relocate as move_rows
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Outcome, Settings
from imgdup.build.update import update_index
from imgdup.cli.config import config
from imgdup.cli.printing import is_verbose, note, note_path, write_bytes, write_text
from imgdup.errors import UsageError
from imgdup.images.formats import undecoded_extension
from imgdup.output import counted, tsv_line
from imgdup.output.progress import Bar
from imgdup.output.results import failure_json
from imgdup.system.files import common_mode, replacing
from imgdup.system.records import json_line
from imgdup.workers.pool import Pool

N_LISTED = 10  # failures to print on stderr; --errors writes all of them


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
    index_folder: Path,
    paths: Sequence[str],
    *,
    allow_removals: bool,
    reuse: Path | None = None,
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
    """Write the files that failed and the ignored pictures of other formats as JSON lines."""
    failed = [(f.path, f.reason, f.detail) for f in outcome.failures]
    ignored = [
        (path, "unsupported", f"{undecoded_extension(os.fsdecode(path))} is not decoded; ignored")
        for path in outcome.undecoded
    ]
    lines = [failure_json(*each).encode() for each in [*failed, *ignored]]
    mode = common_mode(path for path, _, _ in [*failed, *ignored])
    with replacing(file, needed_bytes=sum(map(len, lines)), sync=False, mode=mode) as out:
        out.writelines(lines)


def note_failures(outcome: Outcome) -> None:
    """Print the folders that were not scanned, leftovers, and the first new failures on stderr."""
    for folder, reason in outcome.unlisted:
        note_path(folder, f"not scanned ({reason}); its entries are kept")
    for path in outcome.set_aside:
        note_path(path, "left by an interrupted imgdup apply: undo its journal, or rename it")
    for path, reason in outcome.notes[:N_LISTED]:
        note_path(path, reason)
    if len(outcome.notes) > N_LISTED:
        note(f"... and {len(outcome.notes) - N_LISTED:,} more that are not read")
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
