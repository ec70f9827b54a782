"""Undo a run of apply by its journal, last step first, and note each step that is undone.

`imgdup.apply.restore` undoes a single step.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imgdup.apply.actions import remove_empty_folders
from imgdup.apply.journal import PastRun, locked_journal, note_undone
from imgdup.apply.recheck import SkipFile, SkippedFile
from imgdup.apply.registry import check_journal
from imgdup.apply.restore import restore
from imgdup.apply.steps import Step
from imgdup.index.columns import Rows


@dataclass
class UndoResult:
    """How many files were put back or were in their place already, and which were skipped."""

    n_restored: int = 0
    n_in_place: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 3 when something was skipped."""
        return 3 if self.skipped else 0


def undo(
    journal: Path,
    index_folder: Path,
    *,
    open_rows: Callable[[], Rows] | None = None,
    progress: Callable[[int, int], None] = lambda n_seen, n_steps: None,
) -> UndoResult:
    """Undo what a run of apply did.

    The index knows its journals. `open_rows` opens it if the user named it: then a journal that it
    does not know is accepted if it fits the plan beside it and this index. `progress` is called
    with the numbers of steps seen so far and of all steps.

    Raises UsageError if there is no such file. Raises PlanError, and changes nothing, if it is not
    a journal, of a newer version, or not one of this index. Raises LockedError if apply is still
    writing it, or another process undoes it.
    """
    result = UndoResult()
    with locked_journal(journal) as run:
        if run.header is None:
            return result
        check_journal(journal, run, index_folder, open_rows)
        for line in run.damaged_lines:
            detail = f"line {line} is damaged: its step cannot be undone"
            result.skipped.append(SkippedFile(os.fsencode(journal), "failed", detail))
        last = {step.remove.path: step.number for step in run.steps}
        for n_seen, step in enumerate(reversed(run.steps), start=1):
            is_repeated = step.number in run.undone and step.number != last[step.remove.path]
            if not is_repeated and _undo_step(run, step, result):
                remove_empty_folders([step])  # before the note, which may be the last act of a run
                _note(journal, run, step, result)
            progress(n_seen, len(run.steps))
        remove_empty_folders(run.steps)
    return result


def _undo_step(run: PastRun, step: Step, result: UndoResult) -> bool:
    """Undo one step; return whether the file is in its place now."""
    try:
        was_restored = restore(run, step)
        result.n_restored += was_restored
        result.n_in_place += not was_restored
    except (OSError, SkipFile) as error:
        skip = SkipFile.of(error)
        result.skipped.append(SkippedFile(step.remove.path, skip.reason, skip.detail))
        return False
    return True


def _note(journal: Path, run: PastRun, step: Step, result: UndoResult) -> None:
    """Note in the journal that a step was undone; report once if it cannot be written."""
    if step.number in run.undone:
        return
    try:
        note_undone(journal, step.number)
    except OSError as error:
        path = os.fsencode(journal)
        if all(skip.path != path for skip in result.skipped):
            detail = f"files were restored, but the journal cannot be updated: {error.strerror}"
            result.skipped.append(SkippedFile(path, "failed", detail))
