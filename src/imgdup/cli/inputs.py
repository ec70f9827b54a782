"""Find the index folder and the paths that the arguments of a command name."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from imgdup.cli.printing import note
from imgdup.errors import UsageError
from imgdup.index.folder import ENVIRONMENT_VARIABLE, FOLDER_NAME, find, look_for


def find_index(explicit: Path | None) -> Path:
    """Return the index folder to use; raise ImgdupError if there is none."""
    return _announced(find(Path(), explicit), explicit)


def find_or_new_index(explicit: Path | None) -> Path:
    """Return the index folder to use, or the place of a new one in the current folder."""
    found = look_for(Path(), explicit)
    return Path(FOLDER_NAME) if found is None else _announced(found, explicit)


def _announced(found: Path, explicit: Path | None) -> Path:
    """Print the path of an index in a folder above on stderr, since the user may not know it."""
    if is_above(found, explicit):
        note(f"using the index {found}")
    return found


def is_above(index_folder: Path, explicit: Path | None) -> bool:
    """Return whether an index was not named but found in a folder above the current one."""
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    return not named and index_folder.parent != Path().absolute()


def read_list(null: bool) -> list[bytes]:
    """Read the paths on stdin: one per line, or separated by NUL."""
    data = sys.stdin.buffer.read()
    if null:
        return [path for path in data.split(b"\0") if path]
    if b"\0" in data:
        raise UsageError("the list on stdin is NUL-separated: add --null")
    return [path for path in (line.rstrip(b"\r") for line in data.split(b"\n")) if path]


def named_or_listed(paths: Sequence[str], null: bool) -> list[bytes]:
    """Return the paths of the command line, with ``-`` replaced by those on stdin."""
    found: list[bytes] = []
    for path in paths:
        found.extend(read_list(null) if path == "-" else [os.fsencode(path)])
    if paths and not found:
        note("imgdup: the list on stdin is empty: nothing to do")
    return found
