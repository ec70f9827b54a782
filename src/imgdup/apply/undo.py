"""A journal -> what its run did, undone.

The journal must be one of this index. Each step that was undone is noted in it, so undoing twice
does nothing the second time. It is locked meanwhile: neither apply nor another undo works on the
same files.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imgdup.apply.check_journal import check_journal
from imgdup.apply.journal import DONE, PastRun, locked_journal, note_undone
from imgdup.apply.recheck import SkipFile, SkippedFile
from imgdup.apply.restore import UNDOING, check_still_there, undo_refused
from imgdup.apply.steps import Header, Step
from imgdup.index.columns import Rows


@dataclass
class UndoResult:
    """What became of the steps of a journal.

    Attributes
    ----------
    n_restored : int
        Files that are in their place again.
    n_in_place : int
        Files that were in their place already.
    skipped : list of SkippedFile
        Files that are not, and why.
    """

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

    Parameters
    ----------
    journal : Path
        What apply wrote.
    index_folder : Path
        The index that the plan was applied to; it knows its journals.
    open_rows : callable, optional
        Opens the index, if the user named it: then a journal that it does not know is accepted if
        it fits the plan beside it and this index.
    progress : callable
        Is called with the number of steps looked at, and of all.

    Raises
    ------
    UsageError
        If there is no such file.
    PlanError
        If it is not a journal, of a newer version, or not one of this index; nothing was changed.
    LockedError
        If apply is still writing it, or another process undoes it.
    """
    result = UndoResult()
    with locked_journal(journal) as run:
        if run.header is None:
            return result
        check_journal(journal, run, index_folder, open_rows)
        for line in run.damaged_lines:
            detail = f"line {line} is damaged: the step that it announced is not undone"
            result.skipped.append(SkippedFile(os.fsencode(journal), "failed", detail))
        for number, step in enumerate(run.steps, start=1):
            if _undo_step(run, step, result):
                _note(journal, run, step, result)
            progress(number, len(run.steps))
        _remove_empty_folders(run.header, run.steps)
    return result


def _undo_step(run: PastRun, step: Step, result: UndoResult) -> bool:
    """Undo one step; return whether the file is in its place now."""
    try:
        if _undoing(run, step)(step):
            result.n_restored += 1
        else:
            result.n_in_place += 1
    except (OSError, SkipFile) as error:
        skip = error if isinstance(error, SkipFile) else SkipFile.of(error)
        result.skipped.append(SkippedFile(step.remove.path, skip.reason, skip.detail))
        return False
    return True


def _undoing(run: PastRun, step: Step) -> Callable[[Step], bool]:
    """Choose how to undo a step; the function returns whether the file had to be restored."""
    done = run.results.get(step.number)
    if step.number in run.undone:
        return check_still_there
    if done is not None and done != DONE:
        return undo_refused
    return UNDOING[run.header.action if run.header else ""]


def _note(journal: Path, run: PastRun, step: Step, result: UndoResult) -> None:
    """Note in the journal that a step was undone; complain once if that cannot be."""
    if step.number in run.undone:
        return
    run.undone.add(step.number)
    try:
        note_undone(journal, step.number)
    except OSError as error:
        path = os.fsencode(journal)
        if all(skip.path != path for skip in result.skipped):
            detail = f"files were restored, but the journal cannot be updated: {error.strerror}"
            result.skipped.append(SkippedFile(path, "failed", detail))


def _remove_empty_folders(header: Header, steps: list[Step]) -> None:
    """Remove the folders below the target that hold nothing any more."""
    for folder in sorted({os.path.dirname(step.to) for step in steps if step.to}, reverse=True):
        while header.target and folder.startswith(header.target.rstrip(b"/") + b"/"):
            try:
                os.rmdir(folder)
            except OSError:  # not empty, or gone
                break
            folder = os.path.dirname(folder)
