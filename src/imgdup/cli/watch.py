"""The command watch: keep an index current while files change."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from imgdup.api.index import ImageIndex
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.cli import indexing
from imgdup.cli.config import config
from imgdup.cli.options import (
    Seconds,
    find_index,
    find_or_new_index,
    index_option,
    json_option,
    removals_option,
)
from imgdup.cli.printing import note
from imgdup.errors import ImgdupError, LockedError, UsageError
from imgdup.system.paths import absolute, is_below

POLL_MS = 1000  # after so long without a change, what could not be done is tried again
MOST_WAITS = 20  # times --debounce: files that change all the time are indexed after so long


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
        outcome = indexing.update(self._place, self._folders, self._settings, quiet=False)
        indexing.note_failures(outcome)
        indexing.print_outcome(outcome, as_json=as_json, quiet=False)

    def next(self, *, as_json: bool) -> bool:
        """Update the index, print a line if it changed; return False to try again soon."""
        try:
            outcome = indexing.update(self._place, self._folders, self._settings, quiet=True)
        except LockedError:
            return False  # another command writes the index
        except ImgdupError as error:
            note(f"imgdup: {error}")
            return True
        if outcome.written or outcome.n_new_failures:
            indexing.note_failures(outcome)
            indexing.print_outcome(outcome, as_json=as_json, quiet=False)
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
    """Return an iterator that yields True when files have changed, and False from time to time.

    Changes of the index itself do not count.

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
