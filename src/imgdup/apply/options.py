"""How to carry out a plan: the action and the folder to move files to, checked before any change.

Each file keeps its path below its root, under the root's name if there are several roots. None may
end up where the next indexing would find it again, not even through a link or a mounted folder.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgdup.apply.actions import LINKS, trash_function
from imgdup.apply.steps import ACTIONS, Header, new_token
from imgdup.dedupe.decide import Judge
from imgdup.dedupe.plan import Plan
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import Rows
from imgdup.system.limits import size_text
from imgdup.system.paths import absolute, is_below, join

MAX_PERCENT = 20  # of a collection that a plan removes without asking
MAX_DISTANCE = 64  # in bits, of files that a plan removes without asking

Identity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class ApplyOptions:
    """How to carry out a plan."""

    action: str  # one of ``imgdup.apply.actions.ACTIONS``
    target: bytes | None = None  # absolute folder, for ``move``; made by `make_options`
    dry_run: bool = False  # check everything, but change nothing


@dataclass(frozen=True)
class PlanIndex:
    """The index that a plan was made from."""

    # The index folder; locked during a run, so that no two runs remove the copies of each other.
    folder: Path
    rows: Rows
    # Compares the pictures of pairs of rows; see `imgdup.dedupe.verify.Verifier.judge`. It is
    # called again for each pair whose files have different bytes, because an index or the verdicts
    # in it may be damaged.
    judge: Judge


def reasons_to_ask(plan: Plan, action: str) -> list[str]:
    """Return the reasons why a person should confirm a plan first; usually there are none.

    Examples
    --------
    >>> from imgdup.dedupe.plan import PlanHeader
    >>> header = PlanHeader("", (), 31, None, (), (), 10, 0, 0, 0)
    >>> reasons_to_ask(Plan(header, []), "delete")
    []
    """
    n_files, n_images = len(plan.removals), plan.header.n_images
    if action in LINKS or not n_files:
        return []
    reasons = []
    if action == "delete":
        reasons.append("it deletes files permanently")
    if 100 * n_files > MAX_PERCENT * n_images:
        reasons.append(f"it removes {n_files:,} of {n_images:,} images")
    farthest = max(removal.distance for removal in plan.removals)
    if farthest > MAX_DISTANCE:
        reasons.append(f"it removes files that differ by {farthest} bits from the kept file")
    return reasons


def make_options(
    plan: Plan,
    action: str,
    target: str | bytes | os.PathLike[str] | None = None,
    *,
    index_folder: Path | None = None,
    dry_run: bool = False,
) -> ApplyOptions:
    """Check how a plan is to be carried out, before anything is changed.

    Raises UsageError if the target, or the place of any file in it, is in the index folder or in a
    root of the index, where it would be found again; if the target is not a folder; if the trash
    needs a package.
    """
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {action!r}")
    if (action == "move") != (target is not None):
        raise UsageError("moving needs a target folder, and no other action accepts one")
    if action == "trash":
        trash_function()
    if target is None:
        return ApplyOptions(action, None, dry_run)
    place = absolute(target)
    check_target(plan, place, None if index_folder is None else absolute(index_folder))
    return ApplyOptions(action, place, dry_run)


def journal_header(plan: Plan, options: ApplyOptions) -> Header:
    """Describe a run: its action, and the folders and files that undo may change."""
    header = plan.header
    roots = [root for root in header.roots if root]
    named = {facts.path for removal in plan.removals for facts in (removal.remove, removal.keep)}
    loose = (path for path in sorted(named) if not any(is_below(path, root) for root in roots))
    places = (*roots, *loose)
    return Header(
        options.action,
        header.generation,
        new_token(),
        places,
        options.target,
        header.seal,
        header.digest_kind,
    )


def destination(roots: Sequence[bytes], path: bytes, target: bytes) -> bytes:
    """Return where a file is moved to."""
    root = max((root for root in roots if is_below(path, root)), key=len, default=b"")
    if not root:
        return join(target, path.split(b"/", 1)[1])
    relative = path[len(join(root, b"")) :]
    if len(roots) == 1:
        return join(target, relative)
    names = [os.path.basename(other) for other in roots]
    name = os.path.basename(root) or b"root"
    unique = name if names.count(name) == 1 else b"%s-%d" % (name, roots.index(root) + 1)
    return join(target, join(unique, relative))


def free_name(path: bytes) -> bytes:
    """Return the path if it is free, else the first free one with ``~1``, ``~2`` in its name."""
    stem, ending = os.path.splitext(path)
    number = 0
    while os.path.lexists(path):
        number += 1
        path = stem + b"~%d" % number + ending
    return path


def check_target(plan: Plan, target: bytes, index_folder: bytes | None) -> None:
    """Raise if files must not be moved to a folder; changes nothing.

    Raises UsageError if it is not a folder, or if it or the new place of any file is in a root or
    in the index.
    """
    if os.path.lexists(target) and not os.path.isdir(target):
        name = os.fsdecode(target)
        raise UsageError(f"the target {name}: not a folder; give an existing folder or a new one")
    roots = plan.header.roots
    forbidden = [root for root in roots if root] + ([index_folder] if index_folder else [])
    places = (destination(roots, removal.remove.path, target) for removal in plan.removals)
    folders = {target, *map(os.path.dirname, places)}
    for folder, hit in _hits(sorted(folders), forbidden):
        what = "index folder" if hit == index_folder else "indexed folder"
        raise UsageError(
            f"the target {os.fsdecode(target)}: {os.fsdecode(folder)} is in the {what} "
            f"{os.fsdecode(hit)}, so the files would be indexed again: give a folder outside it"
        )


def _hits(folders: Iterable[bytes], forbidden: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the folders that are in a forbidden one, by path or by identity, and which one."""
    identities = {found: each for each in forbidden if (found := _identity(each))}
    seen: set[bytes] = set()
    for folder in folders:
        hit = next((each for each in forbidden if is_below(folder, each)), None)
        for above in _upwards(folder):
            if hit or above in seen:
                break
            seen.add(above)
            found = _identity(above)
            hit = identities.get(found) if found else None
        if hit:
            yield folder, hit


def _upwards(path: bytes) -> Iterator[bytes]:
    """Yield a path and all folders above it."""
    yield path
    while (above := os.path.dirname(path)) != path:
        path = above
        yield path


def _identity(folder: bytes) -> Identity | None:
    """Return device and inode of a folder; None if the system gives none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def uppermost_missing(folder: bytes) -> bytes | None:
    """Return the uppermost folder that must be made so that a folder exists; None if it does."""
    missing = None
    while not os.path.lexists(folder):
        missing, folder = folder, os.path.dirname(folder)
    return missing


def check_writable(plan: Plan, target: bytes) -> None:
    """Raise ImgdupError unless the target can be written, or made, and has room."""
    name, there = os.fsdecode(target), _nearest_folder(target)
    if not os.path.isdir(there):
        raise ImgdupError(
            f"the target {name}: {os.fsdecode(there)} is not a folder; nothing was changed"
        )
    try:
        _check_room(plan, target, there)
    except OSError as error:
        raise ImgdupError(f"the target {name}: {error.strerror}; nothing was changed") from error
    if not os.access(there, os.W_OK | os.X_OK):
        raise ImgdupError(f"the target {name} cannot be written; nothing was changed")


def _check_room(plan: Plan, target: bytes, there: bytes) -> None:
    device = os.stat(there).st_dev
    elsewhere = (r for r in plan.removals if _device(r.remove.path) not in (None, device))
    needed = sum(removal.remove.size for removal in elsewhere)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ImgdupError(
            f"the target {os.fsdecode(target)} has room for {size_text(free)}, and "
            f"{size_text(needed)} would be moved there; nothing was changed: free some space, or "
            "give a folder on another disk"
        )


def _nearest_folder(path: bytes) -> bytes:
    """Return the path, or the nearest folder above it that exists."""
    return next(filter(os.path.lexists, _upwards(path)), path)


def _device(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None
