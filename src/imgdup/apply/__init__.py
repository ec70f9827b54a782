"""Carry out a plan: check the plan, check each file again, and record each step in a journal.

Steps that fail are skipped and reported; the others are carried out. A journal line is on the disk
before its step begins, so `imgdup.apply.restore` finds every file even if the run is killed. A run
that was interrupted is continued with the same journal.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imgdup.apply.actions import ACTIONS, LINKS, check_bytes, is_link_to_keeper
from imgdup.apply.attached import (
    Companions,
    changes,
    companion_facts,
    companion_target,
    companions_of_all,
    links_to,
    pointed_to_keeper,
)
from imgdup.apply.journal import DONE, Journal
from imgdup.apply.options import (
    ApplyOptions,
    PlanIndex,
    check_writable,
    destination,
    free_name,
    journal_header,
    uppermost_missing,
)
from imgdup.apply.recheck import (
    COMPARED_AT_ONCE,
    NO_ROOM,
    Recheck,
    SkipFile,
    SkippedFile,
    compared_again,
)
from imgdup.apply.registry import register_journal
from imgdup.apply.restore import undo_unfinished
from imgdup.apply.steps import Rights, Step
from imgdup.build.relocate import drop_rows
from imgdup.dedupe.check_plan import check_plan
from imgdup.dedupe.decide import Judge
from imgdup.dedupe.plan import FileFacts, Plan, Removal
from imgdup.errors import ImgdupError, PlanError
from imgdup.index import folder
from imgdup.index.columns import Rows
from imgdup.system.paths import is_remote, outer_file


@dataclass
class ApplyResult:
    """The result of carrying out a plan."""

    # Files removed, or to be removed in a dry run, and their bytes.
    n_done: int = 0
    n_bytes: int = 0
    n_already: int = 0  # files that an earlier, interrupted run had removed
    n_companions: int = 0  # files that were moved because they belong to a moved file
    n_links: int = 0  # links to removed files that now lead to the kept files
    # Paths of the removed files, also of those of an earlier run.
    removed: list[bytes] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)  # files that were not changed
    journal: Path | None = None  # the journal for undo; None if no step began
    stopped: str = ""  # why the run ended early; empty if it did not

    @property
    def exit_code(self) -> int:
        """0, or 3 when something was skipped."""
        return 3 if self.skipped or self.stopped else 0


def apply_plan(
    plan: Plan,
    index: PlanIndex,
    options: ApplyOptions,
    *,
    journal: Path,
    progress: Callable[[int, int], None] = lambda n_seen, n_removals: None,
) -> ApplyResult:
    """Carry out a plan, as far as target and journal allow it.

    The options are from `make_options`, the journal is a file to make; see
    `imgdup.apply.registry.free_journal_path`. `progress` is called with the number of removals
    looked at, and of all.

    Raises PlanError if the plan is wrong or of another index, or the journal is that of another
    run. Raises LockedError if the index is being written, or another plan carried out. Raises
    ImgdupError if target or journal cannot be written, or the target has no room; then nothing was
    changed.
    """
    header = journal_header(plan, options)
    register = partial(register_journal, index.folder)
    with folder.locked(index.folder), Journal(journal, header, register) as book:
        run = _Run(plan, options, book, index.judge)
        _start(run, index.rows)
        result = run.result
        result.stopped = _carry_out_all(run, progress)
        result.journal = journal if book.exists else None
    result.skipped += [
        SkippedFile(removal.remove.path, "not-reached", result.stopped)
        for removal in plan.removals[run.n_seen :]
    ]
    return result


def drop_removed_rows(result: ApplyResult, index_folder: Path) -> int:
    """Remove the rows of removed files from the index, and return how many there were.

    Otherwise the next update would mistake them for files of a missing drive. Raises LockedError if
    the index is being written.
    """
    missing = {path for path in result.removed if not os.path.lexists(path)}
    return drop_rows(index_folder, missing) if missing else 0


@dataclass
class _Run:
    """The data that all steps of a run need.

    ``done`` holds the steps of the earlier run to continue, by the path of the removed file;
    ``links`` the symbolic links to each file that is to be removed; ``refused`` the relation of
    each file whose picture is not as the plan requires.
    """

    plan: Plan
    options: ApplyOptions
    journal: Journal
    judge: Judge
    result: ApplyResult = field(default_factory=ApplyResult)
    recheck: Recheck = field(default_factory=Recheck)
    companions: Companions = field(default_factory=Companions)
    done: Mapping[bytes, Step] = field(default_factory=dict)
    links: Mapping[bytes, list[bytes]] = field(default_factory=dict)
    refused: Mapping[bytes, str] = field(default_factory=dict)
    n_seen: int = 0


def _start(run: _Run, rows: Rows) -> None:
    """Check the plan and the target, and find what an earlier run did, before the first step."""
    plan, options = run.plan, run.options
    run.done = _done_before(run)
    rest = [r.remove.path for r in plan.removals if r.remove.path not in run.done]
    if rest or not plan.removals:
        check_plan(plan, rows)
    check_files(rest)
    if options.target is not None and not options.dry_run:
        check_writable(plan, options.target)
    if options.dry_run:
        moved = rest if options.action == "move" else []
        run.result.n_companions = len(companions_of_all(moved))
        return
    _settle_unfinished(run)
    if options.action not in LINKS:
        run.links = links_to(rest, plan.header.roots)


def check_files(paths: Sequence[bytes]) -> None:
    """Raise PlanError if nothing is to be removed but members of containers and remote objects.

    A single one is skipped like any other file that cannot be removed.
    """
    if paths and all(is_remote(path) or outer_file(path) != path for path in paths):
        where = "in zip, tar or Parquet files"
        if any(map(is_remote, paths)):
            where = f"on servers or {where}"
        remedy = "imgdup apply --write-to FOLDER writes the set without them"
        raise PlanError(
            f"all {len(paths):,} files to remove are {where}, as is {os.fsdecode(paths[0])!r}: "
            f"imgdup apply changes none of these; nothing was changed; {remedy}"
        )


def _done_before(run: _Run) -> dict[bytes, Step]:
    """Return the steps of an earlier run that were carried out and still are, by path."""
    past = run.journal.past
    done = {}
    for step in past.steps:
        if past.results.get(step.number) == DONE and step.number not in past.undone:
            path = step.remove.path
            if run.options.action in LINKS:
                is_done = os.path.lexists(path) and is_link_to_keeper(step)
            else:
                is_done = not os.path.lexists(path)
            if is_done:
                done[path] = step
    return done


def _settle_unfinished(run: _Run) -> None:
    """Undo the step that an earlier run was killed in, or record that it was carried out."""
    past, action = run.journal.past, run.options.action
    unfinished = past.unfinished
    for step in past.steps:
        if step.number in unfinished:
            try:
                was_undone = undo_unfinished(action, step)
            except (SkipFile, OSError) as error:
                raise ImgdupError(
                    f"an earlier run was killed while it removed {os.fsdecode(step.remove.path)}, "
                    f"which cannot be undone: {SkipFile.of(error).detail}"
                ) from error
            if was_undone:
                run.journal.undone(step)
            else:
                run.journal.ended(step, DONE)
                run.done = {**run.done, step.remove.path: step}


def _carry_out_all(run: _Run, progress: Callable[[int, int], None]) -> str:
    """Carry out all removals in turn; return why the run stopped early, if it did."""
    removals, result = run.plan.removals, run.result
    for number, removal in enumerate(removals):
        if number % COMPARED_AT_ONCE == 0:
            run.refused = _refused(run, removals[number : number + COMPARED_AT_ONCE])
        try:
            _carry_out(run, removal)
        except ImgdupError as error:
            if not result.n_done:
                raise
            return str(error)
        run.n_seen += 1
        progress(run.n_seen, len(removals))
        if result.skipped and result.skipped[-1].reason == NO_ROOM:
            return "the target is full; the files moved so far are kept there"
    return ""


def _refused(run: _Run, removals: Sequence[Removal]) -> dict[bytes, str]:
    """Return the relation of the files that must be kept; links need no comparison."""
    if run.options.action in LINKS:
        return {}
    rest = [removal for removal in removals if removal.remove.path not in run.done]
    return compared_again(rest, run.judge, run.plan.header.removable)


def _carry_out(run: _Run, removal: Removal) -> None:
    """Carry out one removal, unless an earlier run did, and move the companions of the file."""
    result, path = run.result, removal.remove.path
    done = run.done.get(path)
    if done is not None:
        result.n_already += 1
    else:
        done = _step(run, removal.remove, removal.keep.path, _place(run, path))
        if not _perform(run, done, removal):
            return
        result.n_done += 1
        result.n_bytes += removal.remove.size
    result.removed.append(path)
    if done.to is not None and not run.options.dry_run:
        for companion in run.companions.of(path):
            _move_companion(run, companion, companion_target(path, done.to, companion), removal)


def _move_companion(run: _Run, path: bytes, to: bytes, removal: Removal) -> None:
    """Move a file that belongs to a picture that was moved."""
    try:
        facts = companion_facts(path, removal.remove.digest_kind)
    except (SkipFile, OSError) as error:
        skip = SkipFile.of(error)
        if skip.reason != "missing":
            run.result.skipped.append(SkippedFile(path, skip.reason, skip.detail))
        return
    if facts is not None:
        step = _step(run, facts, removal.keep.path, free_name(to))
        run.result.n_companions += _perform(run, step, removal._replace(remove=facts))


def _perform(run: _Run, step: Step, removal: Removal) -> bool:
    """Carry out a step, or record why not; a refusal by the system is a reason."""
    action, path = run.options.action, removal.remove.path
    try:
        if action in LINKS:
            check_bytes(removal)
        run.recheck.check_both(removal.remove, removal.keep)
        if path in run.refused:
            detail = f"the pictures were compared again, with the result: {run.refused[path]}"
            raise SkipFile("different-picture", detail)
        if not run.options.dry_run:
            step = step._replace(links=changes(run.links.get(path, ()), path, removal.keep.path))
            run.journal.announce(step)
            with pointed_to_keeper(step):
                ACTIONS[action](step, removal.keep, run.recheck)
    except (SkipFile, OSError) as error:
        skip = SkipFile.of(error)
        run.result.skipped.append(SkippedFile(path, skip.reason, skip.detail))
        run.recheck.forget(removal.remove)
        run.journal.ended(step, skip.reason)
        return False
    run.recheck.forget(removal.remove)
    run.journal.ended(step, DONE)
    run.result.n_links += len(step.links)
    return True


def _place(run: _Run, path: bytes) -> bytes | None:
    """Return where a file is moved to; None if it is not moved."""
    target = run.options.target
    return None if target is None else free_name(destination(run.plan.header.roots, path, target))


def _step(run: _Run, facts: FileFacts, keep: bytes, to: bytes | None) -> Step:
    try:
        rights = Rights.of(os.lstat(facts.path))
    except OSError:  # the check that follows gives the reason
        rights = None
    made = None if to is None else uppermost_missing(os.path.dirname(to))
    token, number = run.journal.header.token, run.journal.next_number
    return Step(token, number, facts, keep, to, rights, made)
