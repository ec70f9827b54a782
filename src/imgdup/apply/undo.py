"""A journal -> what it announced, taken back, and nothing overwritten.

Not the journal's word but the files decide what there is to do, so a run that was killed at any
moment is taken back too. But what lies where a file should have gone is touched only if the file
itself is gone or aside: it may be another run's, or the user's own. What was taken back is noted in
the journal, and undoing twice does nothing the second time. The journal is locked meanwhile:
neither apply nor another undo works on the same files.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imgdup.apply import moves
from imgdup.apply.actions import is_link_to_keeper
from imgdup.apply.journal import Step
from imgdup.apply.past import PastRun, held_journal, note_undone
from imgdup.apply.recheck import Skip, Skipped, verify


@dataclass
class Undone:
    """What became of the steps of a journal.

    Attributes
    ----------
    n_restored : int
        Files that are in their place again.
    n_in_place : int
        Files that were in their place already.
    skipped : list of Skipped
        Files that are not, and why.
    """

    n_restored: int = 0
    n_in_place: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 3 when something was skipped."""
        return 3 if self.skipped else 0


def undo(
    journal: Path, progress: Callable[[int, int], None] = lambda n_seen, n_steps: None
) -> Undone:
    """Take back what a run of apply did.

    Parameters
    ----------
    journal : Path
        What apply wrote.
    progress : callable
        Is called with the number of steps looked at, and of all.

    Raises
    ------
    UsageError
        If there is no such file.
    PlanError
        If it is no journal, or of a newer version.
    LockedError
        If apply is still writing it, or another process takes it back.
    """
    undone = Undone()
    with held_journal(journal) as run:
        for line in run.damaged_lines:
            detail = f"line {line} is damaged: what it announced is not taken back"
            undone.skipped.append(Skipped(os.fsencode(journal), "failed", detail))
        taken_back = []
        for number, step in enumerate(run.steps, start=1):
            if _take_back(run, step, undone):
                taken_back.append(step.number)
            progress(number, len(run.steps))
        _note(journal, sorted(set(taken_back) - run.undone), undone)
    return undone


def _take_back(run: PastRun, step: Step, undone: Undone) -> bool:
    """Take one step back; tell whether the file is in its place now."""
    try:
        if step.number in run.undone:
            _stay(step)
            undone.n_in_place += 1
        elif (_withdraw if step.number in run.refused else UNDOING[run.action])(step):
            undone.n_restored += 1
        else:
            undone.n_in_place += 1
    except OSError as error:
        skip = Skip.of(error)
        undone.skipped.append(Skipped(step.remove.path, skip.reason, skip.detail))
        return False
    except Skip as skip:
        undone.skipped.append(Skipped(step.remove.path, skip.reason, skip.detail))
        return False
    return True


def _note(journal: Path, numbers: Sequence[int], undone: Undone) -> None:
    """Note what was taken back."""
    if not numbers:
        return
    try:
        note_undone(journal, numbers)
    except OSError as error:
        detail = f"it was taken back, but the journal cannot say so: {error.strerror}"
        undone.skipped.append(Skipped(os.fsencode(journal), "failed", detail))


def _place_holder(step: Step) -> bool:
    """Tell whether only the empty file of `moves.move` on disks without hard links is there."""
    path = step.remove.path
    return os.path.lexists(path) and os.path.lexists(step.aside) and _is_empty(step, path)


def _is_empty(step: Step, path: bytes) -> bool:
    """Tell a file that holds a name for one that was not empty."""
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 < step.remove.size


def _in_place(step: Step) -> os.stat_result | None:
    """Look whether the file is where it was; Skip if another one is there. Changes nothing."""
    if not os.path.lexists(step.remove.path) or _place_holder(step):
        return None
    try:
        return verify(step.remove)
    except Skip as skip:
        raise Skip("taken", f"something else has its name ({skip.detail})") from skip


def _clean(step: Step, seen: os.stat_result | None) -> bool:
    """Remove what the run left of ours; tell whether the file was in its place.

    What lies aside goes only while the file still has its own name: it may be the file itself.
    """
    if seen is None:
        if _place_holder(step):
            moves.remove(step.remove.path)
        return False
    if os.path.lexists(step.aside):
        if not os.path.samestat(os.lstat(step.remove.path), seen):
            raise Skip("changed", "another file took its name")
        moves.remove(step.aside)
    return True


def _was_in_place(step: Step) -> bool:
    return _clean(step, _in_place(step))


def _from_aside(step: Step) -> bool:
    """Put back what was set aside when the run ended: whatever it is, it was there before."""
    if not os.path.lexists(step.aside):
        return False
    moves.move(step.aside, step.remove.path)
    return True


def _stay(step: Step) -> None:
    """Do nothing for a file that was taken back before; Skip if it is not there now."""
    if not _in_place(step):
        raise Skip("missing", "it was taken back before, and went since")


def _withdraw(step: Step) -> bool:
    """Clean up after a step that was refused: the file never went further than aside."""
    was_in_place = _was_in_place(step)
    if not was_in_place and not _from_aside(step):
        raise Skip("missing", "this run did not remove it, and it is not there")
    for name in step.names:
        moves.remove(name)
    return not was_in_place


def _undo_delete(step: Step) -> bool:
    if _was_in_place(step):
        return False
    if _from_aside(step):
        return True
    raise Skip("cannot-undo", f"it was deleted; {os.fsdecode(step.keep)} stayed for it")


def _undo_trash(step: Step) -> bool:
    if _was_in_place(step):
        return False
    raise Skip("cannot-undo", "it is in the trash: restore it there")


def _undo_move(step: Step) -> bool:
    to = step.to or b""
    was_in_place = _was_in_place(step)
    if not was_in_place:
        if os.path.lexists(step.aside):
            _take_copy(step, to)
            _from_aside(step)
        elif os.path.lexists(to):
            _bring_back(step, to)
        else:
            _bring_back_copy(step)
    moves.remove(step.part)
    moves.remove(step.link)
    return not was_in_place


def _bring_back(step: Step, to: bytes) -> None:
    _check_content(step, to)
    moves.make_folder(os.path.dirname(step.remove.path))
    try:
        moves.move(to, step.remove.path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.rename(to, step.part)
        _bring_back_copy(step)


def _bring_back_copy(step: Step) -> None:
    """Copy from another device what has a name of ours there; it goes when the file is back."""
    _check_content(step, step.part)
    moves.make_folder(os.path.dirname(step.remove.path))
    _make_copy(step, step.part)
    moves.move(step.link, step.remove.path)


def _make_copy(step: Step, source: bytes) -> None:
    """Copy what has the file's content, for a name that is not there before the copy is whole."""
    moves.remove(step.link)  # half a copy, of an undo that was killed
    moves.copy(source, step.link, step.remove.digest)
    times_ns = (os.lstat(source).st_atime_ns, step.remove.mtime_ns)
    os.utime(step.link, ns=times_ns)  # another device may have rounded it


def _give_back(step: Step) -> None:
    """Give a copy of the file that stayed the rights that the file had itself.

    Permissions beyond those of reading, writing and running are not taken from a journal.
    """
    if step.rights is None:
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # who may not give files away owns the copy
            os.chown(step.link, step.rights.owner, step.rights.group)
    os.chmod(step.link, step.rights.mode & 0o777)


def _check_content(step: Step, path: bytes) -> None:
    """Make sure of size and content; another device may have rounded the time."""
    time_ns = os.lstat(path).st_mtime_ns
    verify(step.remove._replace(mtime_ns=time_ns), path)


def _take_copy(step: Step, copy: bytes) -> None:
    """Take what the run had brought to the target, while the file still waits aside.

    It gets a name of ours, under which it is removed when the file is in its place. Were it the
    file itself by another path, that would be gone from aside.
    """
    if not os.path.lexists(copy):
        return
    if _is_empty(step, copy):
        return moves.remove(copy)
    _check_content(step, copy)
    moves.remove(step.part)  # perhaps another name of the copy: then renaming would do nothing
    os.rename(copy, step.part)
    if not os.path.lexists(step.aside):
        moves.move(step.part, copy)
        raise Skip("same-file", f"{os.fsdecode(copy)} is the file itself")


def _undo_link(step: Step) -> bool:
    path = step.remove.path
    moves.remove(step.link)
    if os.path.lexists(path) and is_link_to_keeper(step):
        if os.path.lexists(step.aside):
            os.replace(step.aside, path)
            moves.remove(step.aside)
        else:
            _check_content(step, step.keep)
            _make_copy(step, step.keep)
            _give_back(step)
            os.replace(step.link, path)
        moves.settle(path)
        return True
    if _was_in_place(step):
        return False
    if _from_aside(step):
        return True
    raise Skip("missing", "the link is not there any more")


UNDOING: Mapping[str, Callable[[Step], bool]] = {
    "move": _undo_move,
    "trash": _undo_trash,
    "delete": _undo_delete,
    "hardlink": _undo_link,
    "symlink": _undo_link,
}
