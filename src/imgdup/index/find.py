"""Find the index folder to use, without opening it."""

import os
import shlex
from pathlib import Path

from imgdup.errors import ImgdupError
from imgdup.system.paths import current_folder

FOLDER_NAME = ".imgdup"
ENVIRONMENT_VARIABLE = "IMGDUP_INDEX"
CURRENT = "current"  # a file that every index folder has


def find(start: Path, explicit: Path | None = None) -> Path:
    """Find the index folder to use, as `look_for` does; raise ImgdupError if there is none."""
    found = look_for(start, explicit)
    if found is None:
        raise ImgdupError(
            f"no index in {_from_root(start)} or above it; make one with: imgdup index DIR"
        )
    return found


def look_for(start: Path, explicit: Path | None = None) -> Path | None:
    """Look for the index folder to use.

    Parameters
    ----------
    start : Path
        The current folder; ``.imgdup`` is looked for here and in the folders above.
    explicit : Path, optional
        The folder that the user named (``--index``). Without it, the environment variable
        ``IMGDUP_INDEX`` is used if it is set.

    Returns
    -------
    Path or None
        The folder that was named, even if it does not exist; else the nearest ``.imgdup``, or
        None if there is none in `start` or above it.

    Raises
    ------
    ImgdupError
        If the nearest ``.imgdup`` belongs to another user: anyone who may write in a folder above,
        such as ``/tmp``, could have put it there.
    """
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    start = _from_root(start)
    for above in (start, *start.parents):
        if os.path.isdir(above / FOLDER_NAME):  # False where it may not be looked at
            _check_owner(above / FOLDER_NAME)
            return above / FOLDER_NAME
    return None


def _from_root(path: Path) -> Path:
    """Make a path absolute; raise UsageError if it is relative to a folder that was deleted."""
    return path if path.is_absolute() else current_folder() / path


def _check_owner(folder: Path) -> None:
    """Refuse an index folder, or a link to one, of another user, as git does with repositories.

    Under sudo, the calling user is trusted too.
    """
    if not hasattr(os, "geteuid"):  # Windows
        return
    known = {os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        known.add(int(caller))
    owners = {os.lstat(folder).st_uid, os.stat(folder).st_uid}
    if not owners <= known:
        raise ImgdupError(
            f"{folder} belongs to another user (uid {min(owners - known)}): if you trust it, name "
            f"it with --index {shlex.quote(str(folder))}; if not, name another one"
        )


def is_index(folder: Path) -> bool:
    """Return whether a folder is an index folder."""
    return (folder / CURRENT).is_file()
