"""A plan -> carried out: certified first, each file verified again, each step in the journal.

What cannot be done is skipped and reported, the rest is done. A journal line is on the disk before
its step begins, so whatever kills the run, `imgdup.apply.undo` finds every file.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imgdup.apply.actions import ACTIONS, LINKS, check_bytes, trash_function
from imgdup.apply.journal import DONE, Journal, Rights, Step
from imgdup.apply.moves import free_name
from imgdup.apply.recheck import NO_ROOM, Skip, Skipped, verify_two
from imgdup.apply.target import check_target, destination, prepare
from imgdup.dedupe.check_plan import check_plan
from imgdup.dedupe.plan import Plan, Removal
from imgdup.errors import ImgdupError, UsageError
from imgdup.index import folder
from imgdup.index.columns import Rows
from imgdup.system.paths import absolute


@dataclass(frozen=True)
class Order:
    """How to carry out a plan.

    Attributes
    ----------
    action : str
        One of ``imgdup.apply.actions.ACTIONS``.
    target : bytes, optional
        Absolute folder, for ``move``; made by `make_options`.
    dry_run : bool
        Verify everything, change nothing.
    """

    action: str
    target: bytes | None = None
    dry_run: bool = False


@dataclass
class Outcome:
    """What became of a plan.

    Attributes
    ----------
    n_done, n_bytes : int
        Files removed, or that would be, and their bytes.
    skipped : list of Skipped
        Files that were left alone.
    journal : Path or None
        What to give to undo; None if nothing was begun.
    stopped : str
        Why the run ended before the plan did; empty if it did not.
    """

    n_done: int = 0
    n_bytes: int = 0
    skipped: list[Skipped] = field(default_factory=list)
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
) -> Order:
    """Check how a plan is to be carried out, before anything is changed.

    Raises
    ------
    UsageError
        If the target or the place of any file in it lies in a root of the index, where it would
        be found again, or in the index folder; if the target is no folder; if the trash needs a
        package.
    """
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {action!r}")
    if (action == "move") != (target is not None):
        raise UsageError("--move-to names the folder to move files to; no other action has one")
    if action == "trash":
        trash_function()
    if target is None:
        return Order(action, None, dry_run)
    place = absolute(target)
    check_target(plan, place, None if index_folder is None else absolute(index_folder))
    return Order(action, place, dry_run)


def apply_plan(
    plan: Plan,
    rows: Rows,
    order: Order,
    *,
    index_folder: Path,
    journal: Path,
    progress: Callable[[int, int], None] = lambda n_seen, n_removals: None,
) -> Outcome:
    """Carry out a plan, as far as target and journal take it.

    Parameters
    ----------
    plan : Plan
    rows : Rows
        The index that it was made from.
    order : Order
        From `make_options`.
    index_folder : Path
        Locked meanwhile, so that no two runs remove the copies of each other.
    journal : Path
        A file to make, see `imgdup.apply.journal.free_journal_path`.
    progress : callable
        Is called with the number of removals looked at, and of all.

    Returns
    -------
    Outcome

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
    outcome = Outcome()
    with (
        folder.locked(index_folder),
        Journal(journal, order.action, plan.header.generation) as book,
    ):
        if order.target is not None and not order.dry_run:
            prepare(plan, order.target)
        outcome.stopped = _carry_out_all(plan, order, book, outcome, progress)
        outcome.journal = journal if book.exists else None
    n_seen = outcome.n_done + len(outcome.skipped)
    outcome.skipped += [
        Skipped(removal.remove.path, "not-reached", outcome.stopped)
        for removal in plan.removals[n_seen:]
    ]
    return outcome


def _carry_out_all(
    plan: Plan,
    order: Order,
    book: Journal,
    outcome: Outcome,
    progress: Callable[[int, int], None],
) -> str:
    """Do one removal after the other; return why not all, where that is so."""
    for number, removal in enumerate(plan.removals, start=1):
        step = _step(plan, order, book.token, number, removal)
        try:
            _carry_out(step, removal, order, book, outcome)
        except ImgdupError as error:
            if not outcome.n_done:
                raise
            return str(error)
        progress(number, len(plan.removals))
        if outcome.skipped and outcome.skipped[-1].reason == NO_ROOM:
            return "the target is full; what was moved until now stays there"
    return ""


def _carry_out(step: Step, removal: Removal, order: Order, book: Journal, outcome: Outcome) -> None:
    """Do one removal, or note why it is not done; what the system refuses is a reason."""
    result = DONE
    try:
        if order.action in LINKS:
            check_bytes(removal)
        verify_two(removal.remove, removal.keep)
        if not order.dry_run:
            book.announce(step)
            ACTIONS[order.action](step, removal.keep)
    except (Skip, OSError) as error:
        skip = error if isinstance(error, Skip) else Skip.of(error)
        result = skip.reason
        outcome.skipped.append(Skipped(removal.remove.path, skip.reason, skip.detail))
    else:
        outcome.n_done += 1
        outcome.n_bytes += removal.remove.size
    book.ended(step, result)


def _step(plan: Plan, order: Order, token: str, number: int, removal: Removal) -> Step:
    to = None
    if order.target is not None:
        to = free_name(destination(plan.header.roots, removal.remove.path, order.target))
    rights = Rights.of(removal.remove.path)
    return Step(token, number, removal.remove, removal.keep.path, to, rights)
