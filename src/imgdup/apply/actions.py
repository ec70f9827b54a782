"""One removal of a certified plan -> done: moved, trashed, deleted, or replaced by a link.

A file that is to go first gets a name of ours beside its own, and is looked at again under that
name, as is the file that stays. So a file that changes at the last moment, or that turns out to be
the very file that should stay, is put back. Only then comes what cannot be taken back.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping

from imgdup.apply import moves
from imgdup.apply.journal import Step
from imgdup.apply.recheck import Skip, verify, verify_two
from imgdup.dedupe.plan import FileFacts, Removal
from imgdup.errors import UsageError

Action = Callable[[Step, FileFacts], None]


def delete(step: Step, keep: FileFacts) -> None:
    """Delete the file for good."""
    with _set_aside(step, keep):
        os.unlink(step.aside)
    moves.settle(step.aside)


def move_away(step: Step, keep: FileFacts) -> None:
    """Move the file to ``step.to``; to another device it is copied before it goes."""
    if step.to is None:
        raise ValueError("a step that moves a file must say where to")
    moves.make_folder(os.path.dirname(step.to))
    if os.stat(os.path.dirname(step.to)).st_dev != os.lstat(step.remove.path).st_dev:
        moves.copy(step.remove.path, step.part, step.remove.digest)
    try:
        with _set_aside(step, keep):
            _place(step, step.to)
    except BaseException:
        moves.remove(step.part)
        raise
    moves.settle(step.aside)


def _place(step: Step, to: bytes) -> None:
    """Move the file, or its copy, to its new place; nothing is left aside."""
    if not os.path.lexists(step.part):
        try:
            return moves.move(step.aside, to)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        moves.copy(step.aside, step.part, step.remove.digest)
    moves.move(step.part, to)
    try:
        os.unlink(step.aside)
    except OSError:
        if os.path.lexists(step.aside):  # else the copy is all that there is
            moves.remove(to)
            raise


def trash(step: Step, keep: FileFacts) -> None:
    """Put the file into the system's trash, from where the system restores it."""
    try:
        trash_function()(os.fsdecode(step.remove.path))
    except OSError as error:
        raise Skip("failed", f"the trash refused it: {error}") from error
    if os.path.lexists(step.remove.path):
        raise Skip("failed", "the trash left it where it was")
    try:
        verify(keep)
    except Skip as skip:
        detail = f"it is in the trash, take it back: the file that stays: {skip.detail}"
        raise Skip(skip.reason, detail) from skip


def trash_function() -> Callable[[str], None]:
    """Return Send2Trash's function.

    Raises
    ------
    UsageError
        If the package is not installed.
    """
    try:
        from send2trash import send2trash
    except ImportError as error:
        raise UsageError("--trash needs Send2Trash: pip install Send2Trash") from error
    function: Callable[[str], None] = send2trash
    return function


def hardlink(step: Step, keep: FileFacts) -> None:
    """Make the file's name another name of the file that stays."""
    _replace_by_link(step, keep, lambda: os.link(keep.path, step.link, follow_symlinks=False))


def symlink(step: Step, keep: FileFacts) -> None:
    """Make the file's name a symbolic link to the file that stays."""
    _replace_by_link(step, keep, lambda: os.symlink(keep.path, step.link))


ACTIONS: Mapping[str, Action] = {
    "move": move_away,
    "trash": trash,
    "delete": delete,
    "hardlink": hardlink,
    "symlink": symlink,
}
LINKS = ("hardlink", "symlink")


def check_bytes(removal: Removal) -> None:
    """Raise Skip unless both files of a removal have equal bytes by the plan."""
    remove, keep = removal.remove, removal.keep
    if (remove.size, remove.digest) != (keep.size, keep.digest):
        raise Skip("different-bytes", "only files of equal bytes are replaced by links")


@contextlib.contextmanager
def _set_aside(step: Step, keep: FileFacts) -> Iterator[None]:
    """Rename the file, and look again at both; after any exception it is where it was."""
    try:
        os.rename(step.remove.path, step.aside)
        verify_two(step.remove, keep, step.aside)
        yield
    except BaseException:
        put_back(step)
        raise


def put_back(step: Step) -> None:
    """Give a file that was set aside its own name again.

    Raises
    ------
    Skip
        If another file has taken the name; the file stays aside.
    """
    if not os.path.lexists(step.aside):
        return
    try:
        moves.move(step.aside, step.remove.path)
    except OSError as error:
        where = os.fsdecode(step.aside)
        raise Skip(
            Skip.of(error).reason, f"it could not be put back, and is now {where}"
        ) from error


def _replace_by_link(step: Step, keep: FileFacts, make_link: Callable[[], None]) -> None:
    """Put a link in the file's place at one stroke; its name is there at every moment."""
    path = step.remove.path
    try:
        os.link(path, step.aside, follow_symlinks=False)
        make_link()
        _check_link(step, keep)
        os.replace(step.link, path)
        if os.path.lexists(step.link):  # POSIX replaces nothing by another name of itself
            raise Skip("same-file", f"it is {os.fsdecode(keep.path)} under another name")
        verify_two(step.remove, keep, step.aside)
        moves.sync_parent(path)
        os.unlink(step.aside)
    except BaseException:
        take_back_link(step)
        raise


def _check_link(step: Step, keep: FileFacts) -> None:
    """Make sure that the link leads to the file that stays, and that nobody took the name."""
    if not os.path.samestat(os.stat(step.link), verify(keep)):
        raise Skip("changed", "the file that stays was replaced")
    if not os.path.samestat(os.lstat(step.remove.path), os.lstat(step.aside)):
        raise Skip("changed", "another file took its name")


def take_back_link(step: Step) -> None:
    """Give the file that a link replaced, or was about to, its own name again."""
    moves.remove(step.link)
    if not os.path.lexists(step.aside):
        return
    if not os.path.lexists(step.remove.path):
        moves.move(step.aside, step.remove.path)
    elif is_link_to_keeper(step):
        os.replace(step.aside, step.remove.path)
    moves.remove(step.aside)  # it has the name again, or a program put another file there


def is_link_to_keeper(step: Step) -> bool:
    """Tell whether the file's name is now a link to the file that stays."""
    status = os.lstat(step.remove.path)
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(step.remove.path) == step.keep
    return os.path.lexists(step.keep) and os.path.samestat(status, os.lstat(step.keep))
