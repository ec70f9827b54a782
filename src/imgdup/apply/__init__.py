"""Carry out a plan: check the plan, check each file again, and record each step in a journal.

Steps that fail are skipped and reported; the others are carried out. A journal line is on the disk
before its step begins, so `imgdup.apply.undo` finds every file even if the run is killed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imgdup.apply.actions import ACTIONS, LINKS, check_bytes, trash_function
from imgdup.apply.journal import DONE, Header, Journal, Rights, Step, new_token
from imgdup.apply.recheck import NO_ROOM, Recheck, SkipFile, SkippedFile
from imgdup.apply.registry import register_journal
from imgdup.apply.target import check_target, destination, free_name, prepare
from imgdup.dedupe.check_plan import check_plan
from imgdup.dedupe.plan import Plan, Removal
from imgdup.errors import ImgdupError, UsageError
from imgdup.index import folder
from imgdup.index.columns import Rows
from imgdup.system.paths import absolute, is_below


@dataclass(frozen=True)
class ApplyOptions:
    """How to carry out a plan.

    Attributes
    ----------
    action : str
        One of ``imgdup.apply.actions.ACTIONS``.
    target : bytes, optional
        Absolute folder, for ``move``; made by `make_options`.
    dry_run : bool
        Check everything, but change nothing.
    """

    action: str
    target: bytes | None = None
    dry_run: bool = False


@dataclass
class ApplyResult:
    """The result of carrying out a plan.

    Attributes
    ----------
    n_done, n_bytes : int
        Files removed, or to be removed in a dry run, and their bytes.
    skipped : list of SkippedFile
        Files that were not changed.
    journal : Path or None
        The journal for undo; None if no step began.
    stopped : str
        Why the run ended early; empty if it did not.
    """

    n_done: int = 0
    n_bytes: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)
    journal: Path | None = None
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """0, or 3 when something was skipped."""
        return 3 if self.skipped or self.stopped else 0


def make_options(
    plan: Plan,
    action: str,
    target: str | bytes | os.PathLike[str] | None = None,
    *,
    index_folder: Path | None = None,
    dry_run: bool = False,
) -> ApplyOptions:
    """Check how a plan is to be carried out, before anything is changed.

    Raises
    ------
    UsageError
        If the target, or the place of any file in it, is in the index folder or in a root of the
        index, where it would be found again; if the target is not a folder; if the trash needs a
        package.
    """
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {action!r}")
    if (action == "move") != (target is not None):
        raise UsageError(
            "--move-to names the folder to move files to; no other action takes a folder"
        )
    if action == "trash":
        trash_function()
    if target is None:
        return ApplyOptions(action, None, dry_run)
    place = absolute(target)
    check_target(plan, place, None if index_folder is None else absolute(index_folder))
    return ApplyOptions(action, place, dry_run)


def apply_plan(
    plan: Plan,
    rows: Rows,
    options: ApplyOptions,
    *,
    index_folder: Path,
    journal: Path,
    progress: Callable[[int, int], None] = lambda n_seen, n_removals: None,
) -> ApplyResult:
    """Carry out a plan, as far as target and journal allow it.

    Parameters
    ----------
    plan : Plan
    rows : Rows
        The index that it was made from.
    options : ApplyOptions
        From `make_options`.
    index_folder : Path
        Locked meanwhile, so that no two runs remove the copies of each other.
    journal : Path
        A file to make, see `imgdup.apply.journal.free_journal_path`.
    progress : callable
        Is called with the number of removals looked at, and of all.

    Returns
    -------
    ApplyResult

    Raises
    ------
    PlanError
        If the plan is false, or of another index.
    LockedError
        If the index is being written, or another plan carried out.
    ImgdupError
        If the target cannot be written or has no room, or the journal cannot be written; nothing
        was changed then.
    """
    check_plan(plan, rows)
    result = ApplyResult()
    header = journal_header(plan, options)
    with (
        folder.locked(index_folder),
        Journal(journal, header, partial(register_journal, index_folder)) as book,
    ):
        if options.target is not None and not options.dry_run:
            prepare(plan, options.target)
        run = _Run(plan, options, header, book, result)
        result.stopped = _carry_out_all(run, progress)
        result.journal = journal if book.exists else None
    n_seen = result.n_done + len(result.skipped)
    result.skipped += [
        SkippedFile(removal.remove.path, "not-reached", result.stopped)
        for removal in plan.removals[n_seen:]
    ]
    return result


def journal_header(plan: Plan, options: ApplyOptions) -> Header:
    """Describe a run: its action, and the folders and files that undo may change."""
    header = plan.header
    roots = [root for root in header.roots if root]
    named = {facts.path for removal in plan.removals for facts in (removal.remove, removal.keep)}
    loose = (path for path in sorted(named) if not any(is_below(path, root) for root in roots))
    places = (*roots, *loose)
    return Header(
        options.action,
        header.generation,
        new_token(),
        places,
        options.target,
        header.seal,
        header.digest_kind,
    )


@dataclass(frozen=True)
class _Run:
    """The data that all steps of a run need."""

    plan: Plan
    options: ApplyOptions
    header: Header
    journal: Journal
    result: ApplyResult
    recheck: Recheck = field(default_factory=Recheck)


def _carry_out_all(run: _Run, progress: Callable[[int, int], None]) -> str:
    """Carry out all removals in turn; return why the run stopped early, if it did."""
    removals, result = run.plan.removals, run.result
    for number, removal in enumerate(removals, start=1):
        try:
            _carry_out(run, number, removal)
        except ImgdupError as error:
            if not result.n_done:
                raise
            return str(error)
        progress(number, len(removals))
        if result.skipped and result.skipped[-1].reason == NO_ROOM:
            return "the target is full; the files moved so far stay there"
    return ""


def _carry_out(run: _Run, number: int, removal: Removal) -> None:
    """Carry out one removal, or record why not; a refusal by the system is a reason."""
    options, outcome = run.options, DONE
    step = _step(run, number, removal)
    try:
        if options.action in LINKS:
            check_bytes(removal)
        run.recheck.check_both(removal.remove, removal.keep)
        if not options.dry_run:
            run.journal.announce(step)
            ACTIONS[options.action](step, removal.keep, run.recheck)
    except (SkipFile, OSError) as error:
        skip = error if isinstance(error, SkipFile) else SkipFile.of(error)
        outcome = skip.reason
        run.result.skipped.append(SkippedFile(removal.remove.path, skip.reason, skip.detail))
    else:
        run.result.n_done += 1
        run.result.n_bytes += removal.remove.size
    run.recheck.forget(removal.remove)
    run.journal.ended(step, outcome)


def _step(run: _Run, number: int, removal: Removal) -> Step:
    path, to = removal.remove.path, None
    if run.options.target is not None:
        to = free_name(destination(run.plan.header.roots, path, run.options.target))
    try:
        rights = Rights.of(os.lstat(path))
    except OSError:  # the check that follows gives the reason
        rights = None
    return Step(run.header.token, number, removal.remove, removal.keep.path, to, rights)
