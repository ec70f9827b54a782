"""Folders -> a listing -> batches -> an executor -> parts -> the next generation.

The same call builds an index, resumes an interrupted build, and updates. Files whose answer is
known, from the old generation or from parts, are not opened.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup import __version__
from imgdup.build.checkpoints import Parts, sweep_parts
from imgdup.build.links import same_file
from imgdup.build.listing import OLD, Listing, build_listing
from imgdup.build.old_rows import old_row_stream
from imgdup.build.read import read_files
from imgdup.build.roots import SINGLE_FILES, Task, named_paths, plan_forgetting, plan_scan
from imgdup.build.settings import Failure, Outcome, Progress, Settings, Silent
from imgdup.build.write import Facts, drop_missing, write_generation
from imgdup.errors import ImgdupError, UsageError
from imgdup.images.formats import OK, reason_of
from imgdup.index import folder
from imgdup.index.columns import fields
from imgdup.index.generation import Generation, open_generation
from imgdup.index.terms import terms_of
from imgdup.system.paths import absolute

DEFAULT_HASH = "dhash"


class _State(NamedTuple):
    """An index folder as a run finds it."""

    folder: Path
    old: Generation | None
    current: folder.Current | None
    parameters: dict[str, Any]


def update_index(
    index_folder: Path,
    paths: Sequence[str | bytes] = (),
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Build, update or resume an index: the same call for all three.

    Parameters
    ----------
    index_folder : Path
        Where the index is or shall be.
    paths : sequence of str or bytes
        Folders and files to scan; none means all roots that the index has.
    settings : Settings, optional
        How to index.
    progress : Progress, optional
        Is told how far the run has come.

    Returns
    -------
    Outcome
        The counts, the failures, and whether a new generation was written.

    Raises
    ------
    UsageError
        If a path is neither there nor in the index, or there is no such hash.
    ImgdupError
        If no path is named and there is no index, or one without roots; if the index folder cannot
        be written, has another hash than `settings` names, or a root lost its files.
        Nothing is changed then.
    LockedError
        If another process is writing the index.
    """
    settings = settings or Settings()
    _check_hash(settings)
    old = None
    if not paths or folder.read_current(index_folder) is not None:
        old = folder.open_generation(index_folder, open_generation)[1]
    folders, files = named_paths(paths, old.paths if old else None)

    def task_of(state: _State) -> Task:
        roots = state.old.roots if state.old else {}
        if not roots and not folders and not files:
            raise ImgdupError(
                f"the index at {index_folder} has no folders: name one, as in: imgdup index DIR"
            )
        single = [] if folders or files else _single_files(state.old)
        return plan_scan(roots, folders, files, settings.changes, single)

    return _run(index_folder, task_of, settings, progress or Silent())


def forget(index_folder: Path, path: str | bytes) -> Outcome:
    """Take a root and its rows, or one single file, out of an index; no image is touched.

    Raises
    ------
    UsageError
        If `path` is neither a root of the index nor a file that was named by itself.
    """
    folder.open_generation(index_folder, open_generation)  # raises before a folder is made

    def task_of(state: _State) -> Task:
        roots = state.old.roots if state.old else {}
        return plan_forgetting(roots, _single_files(state.old), absolute(path))

    return _run(index_folder, task_of, Settings(), Silent())


def _run(
    index_folder: Path,
    task_of: Callable[[_State], Task],
    settings: Settings,
    progress: Progress,
) -> Outcome:
    started = time.monotonic()
    scanned_ns = time.time_ns()
    folder.prepare(index_folder)
    with folder.locked(index_folder):
        folder.sweep(index_folder)
        state = _read_state(index_folder, settings)
        task = task_of(state)
        progress.say("looking for images")
        survey = _survey(state, task, settings)
        facts = Facts(survey, state.old, index_folder / "parts", state.parameters)
        read_files(facts, settings, progress)
        progress.say("writing the index")
        return _finish(state, task, facts, scanned_ns, started)


def _check_hash(settings: Settings) -> None:
    """Raise UsageError for a hash that there is not, before a folder is made for it."""
    from imgdup.hashing import HASHERS

    name, bits = settings.hasher or DEFAULT_HASH, settings.bits
    if name not in HASHERS:
        raise UsageError(f"there is no hash {name!r}; there are: {', '.join(HASHERS)}")
    widths = HASHERS[name].widths
    if bits is not None and bits not in widths:
        lengths = " or ".join(map(str, widths))
        raise UsageError(f"{name} of {bits} bits is not made; it has {lengths} bits")


def _read_state(index_folder: Path, settings: Settings) -> _State:
    """Open what there is, and refuse another hash than the stored one."""
    from imgdup.hashing import HASHERS, PARAMETERS_VERSION

    current, old = folder.read_current(index_folder), None
    if current is not None:
        current, old = folder.open_generation(index_folder, open_generation)
    known = old.probe_parameters if old else {}
    hasher = settings.hasher or known.get("hash", DEFAULT_HASH)
    bits = settings.bits or known.get("bits") or HASHERS[hasher].widths[0]
    wanted = {"hash": hasher, "bits": bits, "parameters": PARAMETERS_VERSION}
    if old and wanted != known:
        raise ImgdupError(
            f"{index_folder} holds {_words(known)} hashes, not {_words(wanted)}: leave out --hash "
            "and --bits to keep them, or choose another index with --index"
        )
    return _State(index_folder, old, current, wanted)


def _words(parameters: dict[str, Any]) -> str:
    return f"{parameters['hash']} {parameters['bits']}"


def _single_files(old: Generation | None) -> list[bytes]:
    """Return the files of the index that were named one by one."""
    return [] if old is None else list(old.paths.of_root(SINGLE_FILES))


def _survey(state: _State, task: Task, settings: Settings) -> Listing:
    terms = terms_of(settings.limits)
    old_rows: Iterator[Any] = iter(())
    if state.old is not None and state.current is not None:
        scanned = {os.fsencode(r): ns for r, ns in state.current.scanned_ns.items()}
        old_rows = old_row_stream(state.old.paths, state.old.arrays, scanned, terms)
    parts = Parts(state.folder / "parts", state.parameters, terms)
    return build_listing(
        task.scopes,
        list(task.roots),
        absolute(state.folder),
        old_rows,
        parts.done(),
        forgotten=task.forgotten,
        allow_removals=settings.allow_removals,
    )


def _finish(state: _State, task: Task, facts: Facts, scanned_ns: int, started: float) -> Outcome:
    """Write the next generation, if it differs from the old one, and count."""
    status = facts.gather("status")
    failures = _failures(facts, status)
    counts = _counts(facts.survey, status)
    was_doubtful = bool(facts.survey.doubtful)
    facts = facts._replace(survey=drop_missing(facts))
    times = _scan_times(facts.survey, scanned_ns)
    written = _differs(state, task, facts)
    number = state.current.generation if state.current else 0
    if written:
        number = folder.next_generation(state.folder)
        write_generation(folder.generation_path(state.folder, number), facts, task.roots)
        built = datetime.now(UTC).isoformat(timespec="seconds")
        folder.commit(state.folder, folder.Current(number, built, __version__, times))
    elif was_doubtful and state.current:
        folder.commit(state.folder, state.current._replace(scanned_ns=times))
    sweep_parts(facts.parts_folder)
    return Outcome(
        seen=facts.survey.n_seen,
        removed=facts.survey.n_removed,
        ignored=facts.survey.tally.ignored,
        seconds=time.monotonic() - started,
        failures=failures,
        unlisted=facts.survey.tally.unlisted,
        generation=number,
        written=written,
        **counts,
    )


def _scan_times(survey: Listing, scanned_ns: int) -> dict[str, int]:
    """Say since when all rows of each root are known; those not looked at make it older."""
    return {os.fsdecode(root): survey.kept_ns.get(root, scanned_ns) for root in survey.roots}


def _counts(survey: Listing, status: npt.NDArray[Any]) -> dict[str, int]:
    seen = np.ones(len(survey), bool)
    seen[survey.kept] = False
    ok = seen & (status == OK)
    old = np.frombuffer(survey.origin, np.int32) == OLD
    return {
        "hashed": int((ok & ~old).sum()),
        "unchanged": int((ok & old).sum()),
        "failed": int((seen & ~ok).sum()),
    }


def _failures(facts: Facts, status: npt.NDArray[Any]) -> list[Failure]:
    """List the files without a hash, those that were not looked at left out."""
    paths, kept = facts.survey.paths, set(facts.survey.kept)
    return [
        Failure(paths[row], reason_of(status[row]), why.detail, facts.survey.origin[row] == OLD)
        for row, why in sorted(facts.failures(status).items())
        if row not in kept
    ]


def _differs(state: _State, task: Task, facts: Facts) -> bool:
    """Tell whether the next generation would hold anything but the old one."""
    old, survey = state.old, facts.survey
    if old is None or len(survey) != len(old) or survey.n_removed or old.roots != task.roots:
        return True
    if np.any(np.frombuffer(survey.origin, np.int32) != OLD):
        return True
    rows = np.frombuffer(survey.origin_row, np.int64)
    moved = np.flatnonzero(rows != np.arange(len(rows)))  # names of a file, told by one of them
    columns = (old.arrays[name] for name in fields(facts.words))
    if not all(np.array_equal(column[rows[moved]], column[moved]) for column in columns):
        return True
    return not np.array_equal(same_file(survey, old), old.arrays["same_file"])
