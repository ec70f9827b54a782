"""Carry out one removal of a checked plan: move, trash, delete, or replace with a link.

The file to remove is first renamed to a temporary name beside its own. Then both this file and the
kept file are checked again. A file that changed at the last moment, or that is the kept file
itself, is put back. Only then is the action carried out. Nothing is ever overwritten or left half
written.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from imgdup.apply.copying import NEW_FILE, Copy, copied
from imgdup.apply.recheck import Recheck, SkipFile
from imgdup.apply.steps import Step
from imgdup.dedupe.plan import FileFacts, Removal
from imgdup.errors import UsageError
from imgdup.system.files import sync_folder
from imgdup.system.paths import is_below

Action = Callable[[Step, FileFacts, Recheck], None]

NO_LINKS = {
    getattr(errno, name)
    for name in ("EPERM", "EACCES", "EMLINK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")
    if hasattr(errno, name)
}


def delete(step: Step, keep: FileFacts, recheck: Recheck) -> None:
    """Delete the file permanently."""
    with _set_aside(step, keep, recheck):
        os.unlink(step.aside)
    sync_parent_if_possible(step.aside)


def move_away(step: Step, keep: FileFacts, recheck: Recheck) -> None:
    """Move the file to ``step.to``; on another device, copy it before it is deleted."""
    if step.to is None:
        raise ValueError("a step that moves a file needs a target")
    make_folder(os.path.dirname(step.to))
    with contextlib.ExitStack() as copying:
        copy = None
        if os.stat(os.path.dirname(step.to)).st_dev != os.lstat(step.remove.path).st_dev:
            made = copied(step.remove.path, step.part, step.remove)
            copy = copying.enter_context(made)
        with _set_aside(step, keep, recheck):
            _move_to_target(step, step.to, copy)
    sync_parent_if_possible(step.aside)


def _move_to_target(step: Step, to: bytes, copy: Copy | None) -> None:
    """Move the file that was set aside, or its copy, to its new place."""
    if copy:
        return _move_copy(step, to, copy)
    try:
        move(step.aside, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with copied(step.aside, step.part, step.remove) as copy:
            _move_copy(step, to, copy)


def _move_copy(step: Step, to: bytes, copy: Copy) -> None:
    """Move a copy to its place; delete the original only once the copy is there."""
    move(copy.path, to)
    try:
        copy.check_at(to)
        os.unlink(step.aside)
    except OSError:
        if os.path.lexists(step.aside):  # otherwise only the copy exists
            copy.remove(to)
            raise
        copy.check_at(to)


def trash(step: Step, keep: FileFacts, recheck: Recheck) -> None:
    """Put the file in the trash of the system, from which the system can restore it."""
    try:
        trash_function()(os.fsdecode(step.remove.path))
    except OSError as error:
        raise SkipFile("failed", f"it cannot be put in the trash: {error}") from error
    if os.path.lexists(step.remove.path):
        raise SkipFile("failed", "it is still in place after it was put in the trash")
    try:
        recheck.check_keep(keep)
    except SkipFile as skip:
        detail = f"it is in the trash and must be restored from there: {skip.detail}"
        raise SkipFile(skip.reason, detail) from skip


def trash_function() -> Callable[[str], None]:
    """Return Send2Trash's function.

    Raises UsageError if the package is not installed.
    """
    try:
        from send2trash import send2trash
    except ImportError as error:
        raise UsageError("the trash needs Send2Trash: pip install Send2Trash") from error
    function: Callable[[str], None] = send2trash
    return function


def hardlink(step: Step, keep: FileFacts, recheck: Recheck) -> None:
    """Replace the file by a hard link to the kept file."""
    _replace_by_link(
        step, keep, recheck, lambda: os.link(keep.path, step.link, follow_symlinks=False)
    )


def symlink(step: Step, keep: FileFacts, recheck: Recheck) -> None:
    """Replace the file by a symbolic link to the kept file."""
    _replace_by_link(step, keep, recheck, lambda: os.symlink(keep.path, step.link))


ACTIONS: Mapping[str, Action] = {
    "move": move_away,
    "trash": trash,
    "delete": delete,
    "hardlink": hardlink,
    "symlink": symlink,
}
LINKS = ("hardlink", "symlink")


def check_bytes(removal: Removal) -> None:
    """Raise SkipFile unless the plan states that both files of a removal have equal bytes."""
    remove, keep = removal.remove, removal.keep
    if (remove.size, remove.digest) != (keep.size, keep.digest):
        raise SkipFile("different-bytes", "links can only replace files with equal bytes")


@contextlib.contextmanager
def _set_aside(step: Step, keep: FileFacts, recheck: Recheck) -> Iterator[None]:
    """Rename the file and check both files again; after an exception, restore its name."""
    recheck.check_both(step.remove, keep)
    try:
        os.rename(step.remove.path, step.aside)
        recheck.check_renamed(step.remove, step.aside)
        recheck.check_keep(keep)
        yield
    except BaseException:
        _put_back(step)
        raise


def _put_back(step: Step) -> None:
    """Restore the name of a file that was set aside; SkipFile if the name is occupied."""
    if not os.path.lexists(step.aside):
        return
    try:
        move(step.aside, step.remove.path)
    except OSError as error:
        if are_names_of_one_file(step.aside, step.remove.path):
            return  # only its second name could not be removed; undo does that
        where = os.fsdecode(step.aside)
        raise SkipFile(
            SkipFile.of(error).reason, f"it could not be put back, and is now {where}"
        ) from error


def _replace_by_link(
    step: Step, keep: FileFacts, recheck: Recheck, make_link: Callable[[], None]
) -> None:
    """Replace the file by a link in one step, so that its name always exists."""
    path = step.remove.path
    recheck.check_both(step.remove, keep)
    try:
        os.link(path, step.aside, follow_symlinks=False)
        recheck.check_keep(keep)
        make_link()
        recheck.check_link(keep, step.link)
        if not are_names_of_one_file(path, step.aside):
            raise SkipFile("changed", "another file now has its name")
        os.replace(step.link, path)
        if os.path.lexists(step.link):  # POSIX replaces nothing by another name of itself
            raise SkipFile("same-file", f"it is {os.fsdecode(keep.path)} under another name")
        recheck.check_renamed(step.remove, step.aside)
        recheck.check_link(keep, path)
        recheck.check_keep(keep)
        sync_parent(path)
        os.unlink(step.aside)
    except BaseException:
        _restore_replaced(step)
        raise


def _restore_replaced(step: Step) -> None:
    """Restore the name of a file that a link replaced or was about to replace."""
    try:
        if not os.path.lexists(step.aside):
            return
        if not os.path.lexists(step.remove.path):
            move(step.aside, step.remove.path)
        elif is_link_to_keeper(step):
            os.replace(step.aside, step.remove.path)
        remove(step.aside)  # it has the name again, or a program put another file there
    finally:
        remove(step.link)


def is_link_to_keeper(step: Step) -> bool:
    """Return whether the name of the file is now a link to the kept file."""
    status = os.lstat(step.remove.path)
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(step.remove.path) == step.keep
    return os.path.lexists(step.keep) and os.path.samestat(status, os.lstat(step.keep))


def move(source: bytes, target: bytes) -> None:
    """Give a file another name on the same device, unless that name is occupied.

    The new name is durable before the old one is removed, so that a power failure leaves at least
    one of them. If another program removes the old name meanwhile, the new name is kept.

    Raises FileExistsError if there is something at `target`. Raises OSError if the system refuses;
    the file is then where it was.
    """
    if os.name == "nt":
        os.rename(source, target)  # does not replace there
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _move_over_placeholder(source, target)
        return
    try:
        sync_parent(target)
        os.unlink(source)
    except OSError:
        if are_names_of_one_file(source, target):
            os.unlink(target)
            raise


def are_names_of_one_file(source: bytes, target: bytes) -> bool:
    """Return whether both names exist and belong to one file."""
    try:
        return os.path.samestat(os.lstat(source), os.lstat(target))
    except FileNotFoundError:
        return False


def _move_over_placeholder(source: bytes, target: bytes) -> None:
    """Create an empty file of that name, then replace it; for disks without hard links."""
    os.close(os.open(target, os.O_WRONLY | NEW_FILE, 0o600))
    try:
        os.replace(source, target)
    except BaseException:
        if os.path.lexists(source):  # otherwise it was replaced after all: the target is the file
            os.unlink(target)
        raise


def make_folder(path: bytes) -> None:
    """Make a folder and those above it, each durable before the next."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_parent(path)


def remove(path: bytes) -> None:
    """Delete a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sync_parent(path: bytes) -> None:
    """Make the names in a file's folder durable."""
    sync_folder(Path(os.fsdecode(os.path.dirname(path))))


def sync_parent_if_possible(path: bytes) -> None:
    """Make the names in a file's folder durable if possible; nothing depends on it."""
    with contextlib.suppress(OSError):
        sync_parent(path)


def remove_empty_folders(steps: list[Step]) -> None:
    """Remove the folders that the run made, if they are empty."""
    for step in reversed(steps):
        folder = os.path.dirname(step.to or b"")
        while step.made and is_below(folder, step.made):
            with contextlib.suppress(OSError):  # it is gone, or not empty
                os.rmdir(folder)
            folder = os.path.dirname(folder)
