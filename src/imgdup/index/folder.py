"""The index folder: find it, and read or replace its current generation.

The folder holds ``index.<n>`` (a generation), ``current`` (which generation counts), ``lock``,
``parts/`` (the checkpoints of a run) and ``ignored`` (files that are no images). A generation is
durable before ``current`` is replaced; what a reader may have open is never changed.
"""

import contextlib
import datetime
import hashlib
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.system import lock
from imgdup.system.files import TEMPORARY_SUFFIX, TOKEN_BYTES, open_regular, replacing
from imgdup.system.paths import absolute, check_exists, current_folder

FOLDER_NAME = ".imgdup"
ENVIRONMENT_VARIABLE = "IMGDUP_INDEX"
CURRENT = "current"  # a file that every index folder has
SETS = "sets"  # holds index folders of their own: those of sets that are compared
LOCK, PARTS = "lock", "parts"
JOURNALS = "journals"  # which journals the runs of apply on this index wrote
IGNORED = "ignored"  # files that were opened and are no images
FACTS = "facts"  # what candidate files hold
VERDICTS = "verdicts"  # what comparisons of pictures found
DECISIONS = "decisions.jsonl"  # what people decided about duplicates
MAX_CURRENT_BYTES = 1 << 20
NAME_BYTES = 4  # of the digest that distinguishes sets of one name
GENERATION = re.compile(r"index\.([1-9][0-9]{0,17})", re.ASCII)
TEMPORARY = re.compile(rf".+\.[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}", re.ASCII)
VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,64}", re.ASCII)
# Between two tries to open a generation, while a writer replaces it or a network disk lags.
OPEN_PAUSES_S = (0, 0, 0.01, 0.01, 0.02, 0.02, 0.05, 0.1)

T = TypeVar("T")


class Current(NamedTuple):
    """The content of the file ``current``.

    ``generation`` counts from 1; ``built`` is ISO 8601 in UTC; ``version`` is that of imgdup;
    ``scanned_ns`` maps a root to the start of the scan that recorded it (ns since 1970).
    """

    generation: int
    built: str
    version: str
    scanned_ns: dict[str, int]


def prepare(folder: Path) -> None:
    """Make an index folder and its ``parts``, and check that they can be written.

    Raises ImgdupError if they cannot, or if the folder holds other files than those of an index.
    """
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_ours(folder)
        # Checkpoints may describe pictures that others may not read.
        (folder / PARTS).mkdir(mode=0o700, exist_ok=True)
        for place in (folder / PARTS, folder):
            probe = place / f"probe.{os.urandom(TOKEN_BYTES).hex()}{TEMPORARY_SUFFIX}"
            probe.touch(exist_ok=False)
            probe.unlink()
    except OSError as error:
        raise ImgdupError(
            f"cannot write in the index folder {folder}: {error.strerror or error}; "
            "choose another place with --index FOLDER"
        ) from error


def locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the right to write in an index folder; see ``lock.locked``."""
    return lock.locked(folder / LOCK, f"the index {folder}")


def generation_path(folder: Path, generation: int) -> Path:
    """Name the file of a generation."""
    return folder / f"index.{generation}"


def next_generation(folder: Path) -> int:
    """Return a number that no generation has, whether committed or not."""
    current = read_current(folder)
    return max(0 if current is None else current.generation, *_generations(folder), 0) + 1


def read_current(folder: Path) -> Current | None:
    """Read which generation is current; None if none was ever finished.

    Raises IndexFormatError if ``current`` is not what ``commit`` writes. Raises ImgdupError if it
    cannot be read.
    """
    _check_folder(folder)
    path = folder / CURRENT
    try:
        with open_regular(path) as file:
            text = file.read(MAX_CURRENT_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise IndexFormatError(
            f"{path}: {error}; restore this file from a copy, "
            "or delete the index folder and run imgdup index again"
        ) from error


def open_generation(folder: Path, load: Callable[[Path], T]) -> tuple[Current, T]:
    """Load the current generation, even while a writer replaces it.

    `load` opens the file of a generation; it raises FileNotFoundError when the generation has gone
    since ``current`` was read. Raises ImgdupError if there is no index, or as `load` does. Raises
    IndexFormatError if the generation is missing for good.
    """
    for pause_s in OPEN_PAUSES_S:
        time.sleep(pause_s)
        current = _existing(folder)
        with contextlib.suppress(FileNotFoundError):
            return current, load(generation_path(folder, current.generation))
    raise IndexFormatError(
        f"{generation_path(folder, current.generation)} is missing; restore it from a copy, "
        f"or delete {folder} and run imgdup index again"
    )


def commit(folder: Path, current: Current) -> None:
    """Make a written generation the current one, and delete the others.

    Readers that have another generation open continue to read it until they close it.
    Only the holder of the lock may call this.

    Raises ValueError if `current` is not well formed or its generation is not there: nothing is
    changed then. Raises ImgdupError if the folder cannot be written; the old generation remains
    current.
    """
    text = json.dumps(current._asdict(), indent=1).encode()
    _parsed(text)
    if not generation_path(folder, current.generation).is_file():
        raise ValueError(f"generation {current.generation} is not in {folder}")
    with replacing(folder / CURRENT, needed_bytes=len(text)) as file:
        file.write(text)
    _delete_others(folder, current.generation)


def sweep(folder: Path) -> int:
    """Delete what a crash left behind, and return the number of files.

    These are temporary files, and generations that are not current. Only the holder of the lock may
    call this.
    """
    current = read_current(folder)
    deleted = 0
    if current is not None and generation_path(folder, current.generation).exists():
        deleted += _delete_others(folder, current.generation)
    places = [folder, *(p for p in [folder / PARTS] if p.is_dir() and not p.is_symlink())]
    strays = [path for place in places for path in _files(place) if TEMPORARY.fullmatch(path.name)]
    return deleted + sum(_deleted(path) for path in strays)


def _check_folder(folder: Path) -> None:
    """Refuse a file or device at the path of an index folder or of a folder above it."""
    there = next((place for place in (folder, *folder.parents) if os.path.exists(place)), folder)
    if os.path.exists(there) and not os.path.isdir(there):
        raise ImgdupError(f"{there} is a file, not an index folder; name one with --index FOLDER")


def _existing(folder: Path) -> Current:
    """Read which generation is current; raise ImgdupError if there is none."""
    current = read_current(folder)
    if current is None:
        raise ImgdupError(f"no index in {folder}; make one with: imgdup index DIR")
    return current


def _parsed(text: bytes) -> Current:
    """Parse and check the content; the file is not trusted."""
    if len(text) > MAX_CURRENT_BYTES:
        raise ValueError(f"longer than {MAX_CURRENT_BYTES:,} bytes")
    fields = json.loads(text)
    if type(fields) is not dict or sorted(fields) != sorted(Current._fields):
        raise ValueError(f"expected the keys {', '.join(Current._fields)}")
    current = Current(**fields)
    if not (_is_generation(current.generation) and _is_time(current.built)):
        raise ValueError("generation or built is damaged")
    if type(current.version) is not str or not VERSION.fullmatch(current.version):
        raise ValueError("version is damaged")
    scanned = current.scanned_ns
    if type(scanned) is not dict or not all(_is_int64(value) for value in scanned.values()):
        raise ValueError("scanned_ns is damaged")
    return current


def _is_generation(value: Any) -> bool:
    return type(value) is int and 0 < value < 10**18


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_time(value: Any) -> bool:
    if type(value) is not str or not value.isascii() or not value.isprintable():
        return False
    return datetime.datetime.fromisoformat(value).utcoffset() == datetime.timedelta(0)


def _check_ours(folder: Path) -> None:
    """Refuse a folder with other files, since files in an index folder may be deleted."""
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    foreign = [name for name in names if not _is_ours(name)]
    if foreign and CURRENT not in names:
        raise ImgdupError(
            f"{folder} holds other files, such as {min(foreign)}: "
            "name an empty folder, or one that is not there yet"
        )
    if (folder / PARTS).is_symlink():
        raise ImgdupError(f"{folder / PARTS} is a link: delete it; imgdup does not use its target")


def _is_ours(name: str) -> bool:
    known = name in (CURRENT, LOCK, f"{LOCK}.held", PARTS, IGNORED, FACTS, VERDICTS, SETS, JOURNALS)
    known |= name in (DECISIONS, f"{DECISIONS}.lock", f"{DECISIONS}.lock.held")
    return known or bool(GENERATION.fullmatch(name) or TEMPORARY.fullmatch(name))


def _files(folder: Path) -> Iterator[Path]:
    """List the files of a folder, links not followed; none if it is not there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from (Path(e.path) for e in entries if e.is_file(follow_symlinks=False))


def _generations(folder: Path) -> dict[int, Path]:
    found = ((GENERATION.fullmatch(path.name), path) for path in _files(folder))
    return {int(match[1]): path for match, path in found if match}


def _delete_others(folder: Path, generation: int) -> int:
    others = [path for number, path in _generations(folder).items() if number != generation]
    return sum(_deleted(path) for path in others)


def _deleted(path: Path) -> bool:
    """Delete a file; one that cannot be deleted now (mapped on Windows) is deleted next time."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def find(start: Path, explicit: Path | None = None) -> Path:
    """Find the index folder to use, as `look_for` does; raise ImgdupError if there is none."""
    found = look_for(start, explicit)
    if found is None:
        raise ImgdupError(
            f"no index in {_from_root(start)} or above it; make one with: imgdup index DIR"
        )
    return found


def look_for(start: Path, explicit: Path | None = None) -> Path | None:
    """Look for the index folder to use; None if there is none.

    The user may have named it (``--index``), or the variable ``IMGDUP_INDEX``: then it is that
    folder, even if it does not exist, or the ``.imgdup`` in it. Else it is the nearest ``.imgdup``,
    in `start` or a folder above. Raises ImgdupError if that belongs to another user: anyone who may
    write in a folder above, such as ``/tmp``, could have put it there.
    """
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        inside = Path(named) / FOLDER_NAME
        return inside if is_index(inside) and not is_index(Path(named)) else Path(named)
    start = _from_root(start)
    for above in (start, *start.parents):
        if os.path.isdir(above / FOLDER_NAME):  # False where it may not be looked at
            _check_owner(above / FOLDER_NAME)
            return above / FOLDER_NAME
    return None


def option_naming(index_folder: Path, named: Path | None = None) -> str:
    """Return `` --index FOLDER`` for a command to run next, or nothing if it finds it anyway.

    It runs in the current folder; `named` is the index of the settings file, if there is one.
    """
    found = None
    with contextlib.suppress(ImgdupError):  # of another user, or the current folder was deleted
        found = look_for(Path(), named)
    if found is not None and found.resolve() == index_folder.resolve():
        return ""
    return f" --index {shlex.quote(str(index_folder))}"


def _from_root(path: Path) -> Path:
    """Make a path absolute; raise UsageError if it is relative to a folder that was deleted."""
    return path if path.is_absolute() else current_folder() / path


def _check_owner(folder: Path) -> None:
    """Refuse an index folder of another user, as git does with repositories."""
    owner = foreign_owner(folder)
    if owner is not None:
        raise ImgdupError(
            f"{folder} belongs to another user (uid {owner}): if you trust it, name it with "
            f"--index {shlex.quote(str(folder))}; if not, name another one"
        )


def foreign_owner(path: Path) -> int | None:
    """Return the number of the other user to whom a path, or a link there, belongs; else None.

    Under sudo, the calling user is no other user.
    """
    if not hasattr(os, "geteuid"):  # Windows
        return None
    known = {os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        known.add(int(caller))
    return min({os.lstat(path).st_uid, os.stat(path).st_uid} - known, default=None)


def is_index(folder: Path) -> bool:
    """Return whether a folder is an index folder."""
    return (folder / CURRENT).is_file()


def place_of_set(folder: str | os.PathLike[str], index_folder: Path | None = None) -> Path:
    """Return where the index of a set is kept: in the index folder to use, named after the set.

    By default that is the one that `look_for` finds, or a new one in the current folder. Raises
    UsageError if the folder of images does not exist.
    """
    check_exists(folder)
    path = absolute(folder)
    digest = hashlib.blake2b(path, digest_size=NAME_BYTES).hexdigest()
    place = index_folder or look_for(Path()) or Path(FOLDER_NAME)
    return place / SETS / f"{os.path.basename(os.fsdecode(path))}-{digest}"
