"""Undo a step of apply: put the file back in its place, and overwrite nothing.

The files, not the notes in the journal, decide what is to be done. So a step that was killed at any
moment can be undone, and an undo that was killed can be repeated. A file in the target is touched
only if it belongs to the step: the original is gone or set aside, or is in its place and this is
its second name.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from imgdup.apply.actions import (
    LINKS,
    are_names_of_one_file,
    is_link_to_keeper,
    make_folder,
    move,
    remove,
    sync_parent_if_possible,
)
from imgdup.apply.attached import restore_links
from imgdup.apply.copying import Copy, copied
from imgdup.apply.journal import DONE, PastRun
from imgdup.apply.recheck import OCCUPIED, READ_FLAGS, SkipFile, check_content
from imgdup.apply.steps import Step
from imgdup.system.files import stat_size_mtime

CANNOT_UNDO = "cannot-undo"  # the reason why a file that was trashed or deleted is not restored


def restore(run: PastRun, step: Step) -> bool:
    """Undo a step; return whether the file had to be put back.

    Raises SkipFile or OSError if the file is not in its place and cannot be put back.
    """
    result, action = run.results.get(step.number), run.header.action if run.header else ""
    if step.number in run.undone:
        was_restored = _check_still_there(step)
    elif result not in (None, DONE):
        was_restored = _undo_refused(step, is_link=action in LINKS)
    else:
        was_restored = UNDOING[action](step)
    restore_links(step)
    return was_restored


def undo_unfinished(action: str, step: Step) -> bool:
    """Undo a step that was killed; return False if it was carried out and cannot be undone.

    Raises SkipFile or OSError if it is unknown what became of the file.
    """
    try:
        UNDOING[action](step)
    except SkipFile as skip:
        if skip.reason == CANNOT_UNDO:
            return False
        raise
    restore_links(step)
    return True


def _is_placeholder(step: Step, path: bytes) -> bool:
    """Return whether a file is the empty one that `move` creates on disks without hard links."""
    if not os.path.lexists(path):
        return False
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 < step.remove.size


def _in_place(step: Step) -> os.stat_result | None:
    """Return the facts of the file if it is in its place; SkipFile if another one is there."""
    path = step.remove.path
    other_names = filter(None, (step.aside, step.part, step.to))
    if _is_placeholder(step, path) and any(map(os.path.lexists, other_names)):
        return None
    if not os.path.lexists(path):
        return None
    try:
        return check_content(step.remove)
    except SkipFile as skip:
        detail = f"a different file now exists at the original path ({skip.detail})"
        raise SkipFile(OCCUPIED, detail) from skip


def _was_in_place(step: Step) -> bool:
    """Return whether the file is in its place; if so, remove its second name beside it.

    The second name is kept if the file no longer has its own: it may be the last one.
    """
    status = _in_place(step)
    if status is None:
        return False
    if os.path.lexists(step.aside):
        if not os.path.samestat(os.lstat(step.remove.path), status):
            raise SkipFile("changed", "another file now has its name")
        remove(step.aside)
    return True


def _put_in_place(step: Step, source: bytes) -> None:
    """Give the file its own name again, in place of an empty file that only reserves the name."""
    if _is_placeholder(step, step.remove.path):
        remove(step.remove.path)
    make_folder(os.path.dirname(step.remove.path))
    move(source, step.remove.path)


def _restore_from_aside(step: Step) -> bool:
    """Put the file back that was set aside, changed or not; return whether there was one."""
    if not os.path.lexists(step.aside):
        return False
    _put_in_place(step, step.aside)
    return True


def _check_still_there(step: Step) -> bool:
    """Check that a file that was restored earlier is still there; SkipFile if not."""
    if not _in_place(step):
        raise SkipFile("missing", "it was restored earlier and is now missing")
    return False


def _undo_refused(step: Step, *, is_link: bool) -> bool:
    """Undo a step that failed: it left something only if what was to take it back failed, too."""
    is_replaced = is_link and not are_names_of_one_file(step.aside, step.remove.path)
    was_replaced = is_replaced and _replace_link(step)
    was_in_place = _was_in_place(step)
    if not was_in_place and not _restore_from_aside(step):
        raise SkipFile("missing", "it is missing, but this run did not remove it")
    if step.to is not None and os.path.lexists(step.to):
        _remove_what_failed(step, step.to)
    for name in step.temporary_names:
        remove(name)
    return was_replaced or not was_in_place


def _remove_what_failed(step: Step, to: bytes) -> None:
    """Remove what a move that failed left in the target; a file that is not its own stays."""
    if are_names_of_one_file(step.remove.path, to):
        return _remove_from_target(step, to)
    is_copy = os.lstat(to).st_dev != os.lstat(step.remove.path).st_dev
    if not (is_copy or _is_placeholder(step, to)):
        return
    with suppress(SkipFile):
        if not _is_placeholder(step, to):
            _check_any_time(step, to)
        remove(to)


def _undo_delete(step: Step) -> bool:
    if _was_in_place(step):
        return False
    if _restore_from_aside(step):
        return True
    raise SkipFile(CANNOT_UNDO, f"it was deleted; {os.fsdecode(step.keep)} was kept instead")


def _undo_trash(step: Step) -> bool:
    if _was_in_place(step):
        return False
    raise SkipFile(CANNOT_UNDO, "it is in the trash: restore it from there")


def _undo_move(step: Step) -> bool:
    """Undo a move, which may have been killed at any moment."""
    to = step.to or b""
    was_in_place = _was_in_place(step)
    if was_in_place:
        if are_names_of_one_file(step.remove.path, to):
            _remove_from_target(step, to)
    elif os.path.lexists(step.aside):
        _remove_copy(step, to)
        _restore_from_aside(step)
    elif os.path.lexists(to):
        _bring_back(step, to)
    else:
        _bring_back_copy(step)
    remove(step.part)
    remove(step.link)
    return not was_in_place


def _remove_from_target(step: Step, to: bytes) -> None:
    """Remove the second name of the file in the target, unless it is the file's only one."""
    remove(step.part)  # it may be a third name of the file: then renaming to it would do nothing
    os.rename(to, step.part)
    if os.path.lexists(step.remove.path):
        remove(step.part)
    else:
        move(step.part, to)


def _bring_back(step: Step, to: bytes) -> None:
    """Move the file back from the target, or copy it from another device or another owner."""
    with _kept_open(to) as descriptor:
        status = _check_any_time(step, to)
        if descriptor is not None and not os.path.samestat(os.fstat(descriptor), status):
            raise SkipFile("changed", f"{os.fsdecode(to)} was replaced while it was checked")
        if step.rights is None or status.st_uid == step.rights.owner:
            try:
                _put_in_place(step, to)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return _check_is(step, to, status)
    os.rename(to, step.part)
    try:
        _bring_back_copy(step)
    except BaseException:
        if not os.path.lexists(step.remove.path):
            move(step.part, to)  # its own name in the target, where people look for it
        raise


@contextmanager
def _kept_open(path: bytes) -> Iterator[int | None]:
    """Keep a file open, so that no other file can get its inode number meanwhile."""
    if os.name == "nt" or os.path.islink(path):  # Windows renames no open file
        yield None
        return
    descriptor = os.open(path, READ_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_is(step: Step, to: bytes, status: os.stat_result) -> None:
    """Check that the file that was moved back is the one that was checked; if not, return it."""
    if not os.path.samestat(os.lstat(step.remove.path), status):
        move(step.remove.path, to)
        raise SkipFile("changed", f"{os.fsdecode(to)} was replaced while it was moved back")


def _bring_back_copy(step: Step) -> None:
    """Copy the file back from the temporary name that it has in the target."""
    make_folder(os.path.dirname(step.remove.path))
    with _new_copy(step, step.part) as copy:
        _put_in_place(step, copy.path)
        copy.check_at(step.remove.path)


@contextmanager
def _new_copy(step: Step, source: bytes) -> Iterator[Copy]:
    """Copy the file to a name beside its place, with its former rights and the plan's time."""
    remove(step.link)  # an incomplete copy, left by an undo that was killed
    mtime_ns = step.remove.mtime_ns
    with copied(source, step.link, step.remove, rights=step.rights, mtime_ns=mtime_ns) as copy:
        yield copy


def _check_any_time(step: Step, path: bytes) -> os.stat_result:
    """Check size and content of a file, but not its time, which another device may round."""
    _, time_ns = stat_size_mtime(os.lstat(path))
    return check_content(step.remove._replace(mtime_ns=time_ns), path)


def _remove_copy(step: Step, copy: bytes) -> None:
    """Remove the copy in the target of a file that is still set aside.

    If the file that was set aside vanishes when the copy is renamed, the two are one file.
    """
    if not os.path.lexists(copy):
        return
    if _is_placeholder(step, copy):
        return remove(copy)
    _check_any_time(step, copy)
    remove(step.part)  # it may be a second name of the copy: then renaming would do nothing
    os.rename(copy, step.part)
    if not os.path.lexists(step.aside):
        move(step.part, copy)
        raise SkipFile("same-file", f"{os.fsdecode(copy)} is the file itself")


def _replace_link(step: Step) -> bool:
    """Replace a link to the kept file by the file that was set aside; return whether there is one.

    Both may be names of the kept file itself: then only the second name is removed.
    """
    if not os.path.lexists(step.aside) or not os.path.lexists(step.remove.path):
        return False
    if not is_link_to_keeper(step):
        return False
    os.replace(step.aside, step.remove.path)
    remove(step.aside)
    return True


def _undo_link(step: Step) -> bool:
    """Replace the link by the file that was set aside, else by a copy of the kept, equal file."""
    path = step.remove.path
    remove(step.link)
    if os.path.lexists(path) and is_link_to_keeper(step):
        if not _replace_link(step):
            with _new_copy(step, step.keep) as copy:
                os.replace(copy.path, path)
                copy.check_at(path)
        sync_parent_if_possible(path)
        return True
    if _was_in_place(step):
        return False
    if _restore_from_aside(step):
        return True
    raise SkipFile("missing", "the link is missing")


UNDOING: Mapping[str, Callable[[Step], bool]] = {
    "move": _undo_move,
    "trash": _undo_trash,
    "delete": _undo_delete,
    "hardlink": _undo_link,
    "symlink": _undo_link,
}
