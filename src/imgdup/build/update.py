"""Build, resume or update an index: list the files, hash the new ones, write a generation.

Files whose answer is known from the old generation or from checkpoints are not opened.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.build.checkpoints import Checkpoints
from imgdup.build.identities import row_identities, same_files
from imgdup.build.known import (
    COPIED,
    IgnoredFiles,
    KnownContainers,
    copied_row_stream,
    load_known,
    old_row_stream,
)
from imgdup.build.listing import OLD, Listing, ListingOptions, list_files
from imgdup.build.members import Containers
from imgdup.build.read import new_run, own_pool, read_files
from imgdup.build.roots import SINGLE_FILES, ScanPlan, named_paths, plan_forgetting, plan_scan
from imgdup.build.settings import (
    Failure,
    Outcome,
    Progress,
    Settings,
    Silent,
    State,
    check_hash,
    read_state,
)
from imgdup.build.stream import TarStreams
from imgdup.build.tally import Tally
from imgdup.build.write import (
    Facts,
    commit_generation,
    drop_missing,
    keep_private,
    kept_times,
    scan_times,
    stored_times,
)
from imgdup.errors import ImgdupError
from imgdup.images.formats import OK, reason_of
from imgdup.index import folder
from imgdup.index.columns import IDENTITY, LOCATOR, TRIMMED
from imgdup.index.generation import Generation, open_generation
from imgdup.index.paths import stored_root
from imgdup.system.paths import absolute, inside, outer_file
from imgdup.workers.pool import Pool

log = logging.getLogger(__name__)


def update_index(
    index_folder: Path,
    paths: Sequence[str | bytes] = (),
    settings: Settings | None = None,
    progress: Progress | None = None,
    pool: Pool | None = None,
) -> Outcome:
    """Build, update or resume an index: the same call for all three.

    The index folder is made if it does not exist. Without `paths`, all roots of the index are
    scanned. The workers of `pool` were started before; without it, workers start when there are
    files to read.

    Raises UsageError if a path is neither there nor in the index, or there is no such hash. Raises
    LockedError if another process is writing the index. Raises ImgdupError if no path is named and
    there is no index, or one without roots; if the index folder cannot be written, has another hash
    than `settings` names, or a root lost its files; if all files are to be read again, and some
    cannot be found. Nothing is changed then.
    """
    settings = settings or Settings()
    check_hash(settings)
    old = None
    if not paths or folder.read_current(index_folder) is not None:
        old = folder.open_generation(index_folder, open_generation)[1]
    folders, files = named_paths(paths, old.paths if old else None)

    def plan_of(state: State) -> ScanPlan:
        roots = state.old.roots if state.old else {}
        if not roots and not folders and not files:
            raise ImgdupError(
                f"the index at {index_folder} has no folders: name one, as in: imgdup index DIR"
            )
        single = [] if folders or files else _single_files(state.old)
        return plan_scan(roots, folders, files, settings.changes, single)

    return _run(index_folder, plan_of, settings, progress or Silent(), pool)


def forget(index_folder: Path, path: str | bytes) -> Outcome:
    """Remove a root, or a file that was named itself, from an index; raise UsageError otherwise."""
    old = folder.open_generation(index_folder, open_generation)[1]
    old.require_match()  # before a folder is made

    def plan_of(state: State) -> ScanPlan:
        roots = state.old.roots if state.old else {}
        return plan_forgetting(roots, _single_files(state.old), absolute(path))

    return _run(index_folder, plan_of, Settings(), Silent())


def _run(
    index_folder: Path,
    plan_of: Callable[[State], ScanPlan],
    settings: Settings,
    progress: Progress,
    pool: Pool | None = None,
) -> Outcome:
    started, scanned_ns = time.monotonic(), time.time_ns()
    folder.prepare(index_folder)
    with folder.locked(index_folder):
        folder.sweep(index_folder)
        state = read_state(index_folder, settings)
        if state.old is not None and not state.old.has_match:
            again = "%s is of format version %d: all files are read again to update it"
            log.warning(again, index_folder, state.old.version)
        plan = plan_of(state)
        progress.log("looking for images")
        checkpoints = Checkpoints(index_folder / folder.PARTS, state.parameters)
        other = _other_index(settings.reuse, state)
        listing = _empty_listing(state, plan, scanned_ns, settings)
        known = _known_rows(state, plan, checkpoints, other)
        options = ListingOptions(
            plan.forgotten, settings.allow_removals, settings.retry_failed, state.needs_rehash
        )
        found = list_files(plan.scans, listing, absolute(index_folder), known, options)
        with nullcontext(pool) if pool else own_pool(settings) as workers:
            if workers.remote is None:
                old = None if state.needs_rehash else state.old
                batches = new_run(checkpoints.folder, state.parameters, settings.limits)
                streams = TarStreams(workers, checkpoints, batches, old, progress.log)
                listing.tally.containers.read_once = streams.read
            if state.old is not None:
                deque(found, maxlen=0)  # raises what is wrong before a file is read
            if state.needs_rehash:
                _check_all_found(listing)
            facts = Facts(listing, state.old, checkpoints, state.parameters, other and other[1])
            read_files(facts, found, settings, progress, workers)
        progress.log("writing the index")
        outcome = _finish(state, plan, facts, scanned_ns)
        return replace(outcome, seconds=time.monotonic() - started)


def _single_files(old: Generation | None) -> list[bytes]:
    """Return the files of the index that were named one by one; of members their containers."""
    found: list[bytes] = []
    for path in old.paths.of_root(SINGLE_FILES) if old else ():
        if not found or not path.startswith(inside(found[-1]) + b"/"):
            found.append(outer_file(path))
    return found


def _empty_listing(state: State, plan: ScanPlan, scanned_ns: int, settings: Settings) -> Listing:
    """Return a listing that has only its roots, and the files that are known not to be images."""
    place = absolute(state.folder)
    stored = {root: stored_root(root, place) for root in plan.roots}
    known, counts = load_known(state.folder)
    ignored = IgnoredFiles(known, stored, scanned_ns, counts)
    listed: list[tuple[bytes, str]] | None = [] if settings.list_ignored else None
    containers = Containers(settings.limits)
    if state.old is not None and state.current is not None and not state.needs_rehash:
        times = scan_times(state.old, state.current)
        retry_failed = settings.retry_failed
        containers.known = KnownContainers(state.old, times, retry_failed=retry_failed).find
    tally = Tally(known=ignored, ignored_files=listed, containers=containers)
    return Listing(list(plan.roots), tally=tally)


_Opened = tuple[folder.Current, Generation]


def _other_index(place: Path | None, state: State) -> _Opened | None:
    """Open the index whose rows may be copied; None if it is damaged or hashes differently."""
    if place is None or state.needs_rehash:
        return None
    try:
        current, other = folder.open_generation(place, open_generation)
        other.check_before_decision()
    except ImgdupError as error:
        log.warning("%s; the files are read again", error)
        return None
    wanted = dict(state.parameters)
    needs_pdq, needs_trimmed = wanted.pop("with_pdq"), wanted.pop("with_trimmed")
    fits = other.parameters == wanted and (other.has_pdq or not needs_pdq)
    fits &= other.has_trimmed or not needs_trimmed
    return (current, other) if fits else None


def _known_rows(
    state: State, plan: ScanPlan, checkpoints: Checkpoints, other: _Opened | None
) -> "list[Iterable[tuple[bytes, Any]]]":
    """Return the rows that may have answers for files, by their source, each in path order."""
    known: list[Iterable[tuple[bytes, Any]]] = [checkpoints.rows()]
    if state.old is not None and state.current is not None:
        times = scan_times(state.old, state.current)
        known.append(old_row_stream(state.old.paths, state.old.arrays, times))
    if other is not None:
        current, generation = other
        times, folders = scan_times(generation, current), [scan.folder for scan in plan.scans]
        known.append(copied_row_stream(generation.paths, generation.arrays, times, folders))
    return known


def _check_all_found(listing: Listing) -> None:
    """Raise if the listing has files that were not looked at, so that their digests would stay."""
    if listing.kept:
        first = os.fsdecode(listing.paths[listing.kept[0]])
        raise ImgdupError(
            f"all files of the index must be read again, but {len(listing.kept):,} could not be "
            f"read, the first: {first!r}; nothing was changed: run imgdup index without DIR when "
            "all indexed folders can be read"
        )


def _finish(state: State, plan: ScanPlan, facts: Facts, scanned_ns: int) -> Outcome:
    """Write the next generation if it differs from the old one, and count the files."""
    status = facts.gather("status")
    failures, counts = _failures(facts, status), _counts(facts.listing, status)
    was_rechecked = bool(facts.listing.recheck)
    facts = replace(facts, listing=drop_missing(facts))
    listing, tally = facts.listing, facts.listing.tally
    mode = facts.mode  # before the old generation is deleted
    written = _differs(state, plan, facts)
    number = state.current.generation if state.current else 0
    if written:
        number = commit_generation(state.folder, facts, plan.roots, scanned_ns=scanned_ns)
    elif was_rechecked and state.current:
        times = stored_times(kept_times(listing, scanned_ns), absolute(state.folder))
        folder.commit(state.folder, state.current._replace(scanned_ns=times))
    keep_private(folder.generation_path(state.folder, number), mode)
    tally.known.save(state.folder, is_whole=plan.is_whole)
    facts.checkpoints.sweep()
    return Outcome(
        seen=listing.n_seen,
        removed=listing.n_removed,
        ignored=tally.ignored,
        seconds=0.0,
        failures=failures,
        unlisted=tally.unlisted,
        set_aside=tally.set_aside,
        undecoded=tally.undecoded,
        ignored_files=tally.ignored_files or (),
        not_entered=tally.containers.not_entered,
        notes=tally.containers.notes,
        generation=number,
        written=written,
        **counts,
    )


def _counts(listing: Listing, status: npt.NDArray[Any]) -> dict[str, int]:
    seen = np.ones(len(listing), bool)
    seen[np.frombuffer(listing.kept, np.int64)] = False
    ok = seen & (status == OK)
    known = [i for i, name in enumerate(listing.checkpoint_names) if i == OLD or name == COPIED]
    was_known = np.isin(np.frombuffer(listing.origin, np.int32), known)
    return {
        "hashed": int((ok & ~was_known).sum()),
        "unchanged": int((ok & was_known).sum()),
        "failed": int((seen & ~ok).sum()),
    }


def _failures(facts: Facts, status: npt.NDArray[Any]) -> list[Failure]:
    """List the files without a hash, except those that were not scanned."""
    listing, kept, paths = facts.listing, set(facts.listing.kept), facts.listing.paths
    return [
        Failure(paths[row], reason_of(status[row]), detail, listing.origin[row] == OLD)
        for row, detail in sorted(facts.failures(status).items())
        if row not in kept
    ]


def _differs(state: State, plan: ScanPlan, facts: Facts) -> bool:
    """Return whether the next generation differs from the old one."""
    old, listing = state.old, facts.listing
    if state.needs_rehash:
        return True
    if old is None or len(listing) != len(old) or listing.n_removed or old.roots != plan.roots:
        return True
    place = absolute(state.folder)
    if old.stored_roots != [stored_root(root, place) for root in plan.roots]:
        return True
    if np.any(np.frombuffer(listing.origin, np.int32) != OLD):
        return True
    rows = np.frombuffer(listing.origin_row, np.int64)
    moved = np.flatnonzero(rows != np.arange(len(rows)))  # names of a file, known by one of them
    columns = (old.arrays[name] for name in facts.fields if name != TRIMMED)
    if not all(np.array_equal(column[rows[moved]], column[moved]) for column in columns):
        return True
    if IDENTITY not in old.arrays or listing.has_members != (LOCATOR in old.arrays):
        return True
    if listing.has_members and not np.array_equal(listing.locator_array(), old.arrays[LOCATOR]):
        return True
    if not same_files(row_identities(listing, old), old.arrays[IDENTITY]):
        return True
    return not np.array_equal(facts.same_file, old.arrays["same_file"])
