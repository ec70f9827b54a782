"""Decide what to scan from the folders and files of a command and the roots of the index.

Also holds the guard that refuses an update if a scan lost too many files.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from imgdup.build.sources import reaches
from imgdup.containers.reading import remote, stamp_of
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.parts import WHOLE, Part, ScanOptions
from imgdup.index.paths import Paths
from imgdup.system.files import error_words
from imgdup.system.paths import (
    absolute,
    check_exists,
    containers_of,
    inside,
    is_below,
    is_container,
    is_remote,
    join,
    outer_file,
    path_key,
)

SINGLE_FILES = b""  # the root of files that were named one by one
OPTION_WORDS = {  # options of the command line, by the names in ScanOptions
    "exclude": "--exclude GLOB",
    "follow_symlinks": "--follow-symlinks or --no-follow-symlinks",
    "hidden": "--hidden or --no-hidden",
    "part": "--part I/N",
    "containers": "--containers or --no-containers",
    "column": "--column NAME",
}

Roots = Mapping[bytes, ScanOptions]


@dataclass(frozen=True)
class OptionChanges:
    """Scan options that the command names; for all others, the root keeps its value."""

    exclude: tuple[str, ...] | None = None
    follow_symlinks: bool | None = None
    hidden: bool | None = None
    part: Part | None = None
    containers: bool | None = None
    column: str | None = None

    def applied_to(self, options: ScanOptions) -> ScanOptions:
        """Return `options` with the named ones replaced."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        return replace(options, **named)


class Scan(NamedTuple):
    """A folder to scan, or single files; other rows of the old generation are kept unchanged."""

    folder: bytes
    root: bytes
    options: ScanOptions
    files: frozenset[bytes] = frozenset()

    def covers(self, path: bytes, root: bytes) -> bool:
        """Return whether the scan would find the file of a row in a root."""
        if self.files:
            return path in self.files or any(c in self.files for c in containers_of(path))
        is_ours = root == self.root or reaches(self.root, self.options, path)
        return is_below(path, self.folder) and is_ours


class ScanPlan(NamedTuple):
    """The roots of the next generation, what to scan for it, and what to remove from it."""

    roots: dict[bytes, ScanOptions]
    scans: list[Scan]
    forgotten: frozenset[bytes] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether all roots are scanned."""
        return set(self.roots) <= {scan.root for scan in self.scans if scan.folder == scan.root}


def plan_scan(
    old_roots: Roots,
    folders: Sequence[bytes],
    files: Sequence[bytes],
    changes: OptionChanges,
    single_files: Sequence[bytes] = (),
) -> ScanPlan:
    """Decide which folders and files to scan, and which roots the index has afterwards.

    If a folder that is named is in a root, only that part of the root is scanned; otherwise it
    becomes a new root, which replaces the roots in it. Files that are in no root are remembered one
    by one. If nothing is named, all roots and the `single_files` of the index are scanned. A root
    may be inside another one that does not include it, because it is hidden there or excluded.

    Raises UsageError if a root that is replaced has other options, and the command does not choose
    between them; or if a root is indexed in another part than the command names.
    """
    _check_part(old_roots, changes.part)
    if not folders and not files:
        roots = {root: _changed(root, options, changes) for root, options in old_roots.items()}
        if SINGLE_FILES in roots:  # each of its files was chosen when it was named
            roots[SINGLE_FILES] = replace(roots[SINGLE_FILES], part=WHOLE)
        return ScanPlan(roots, _whole(roots, single_files))
    roots = dict(old_roots)
    scans: list[Scan] = []
    for folder in sorted(set(folders), key=path_key):
        if not _is_in(folder, scans):
            root = root_of(folder, roots)
            root = folder if root is None else root
            add_root(roots, root, changes.applied_to(roots.get(root, ScanOptions())), changes)
            scans.append(Scan(folder, root, roots[root]))
    by_root: dict[bytes, set[bytes]] = {}
    for file in files:
        place = inside(file) if is_container(file) else file
        root = root_of(place, roots)
        if not _is_in(place, scans) and _part_holds(file, root, roots, changes):
            by_root.setdefault(root or SINGLE_FILES, set()).add(file)
    if SINGLE_FILES in by_root:
        options = roots.get(SINGLE_FILES, ScanOptions())
        roots[SINGLE_FILES] = _changed(SINGLE_FILES, options, changes)
    scans += [_single(root, roots[root], some) for root, some in by_root.items()]
    return ScanPlan(in_order(roots), scans)


def _check_part(roots: Roots, part: Part | None) -> None:
    """Raise UsageError if a folder is indexed in another part than the command names."""
    for root, options in roots.items():
        if part is not None and root and options.part != part:
            has = "as a whole" if options.part.is_whole else f"in part {options.part}"
            raise UsageError(
                f"{os.fsdecode(root)} is indexed {has} here, not in part {part}: give each part an "
                "index folder of its own"
            )


def _part_holds(file: bytes, root: bytes | None, roots: Roots, changes: OptionChanges) -> bool:
    """Return whether a file that was named belongs to this part, and not to another one."""
    if root is None:
        return changes.part is None or changes.part.holds(file)
    return roots[root].part.holds_path(file[len(join(root, b"")) :])


def _whole(roots: Roots, single_files: Sequence[bytes]) -> list[Scan]:
    scans = [Scan(root, root, options) for root, options in roots.items() if root]
    if not single_files:
        return scans
    return [*scans, _single(SINGLE_FILES, roots[SINGLE_FILES], single_files)]


def _changed(root: bytes, options: ScanOptions, changes: OptionChanges) -> ScanOptions:
    """Return the options of a root with those of the command; single files have only a column."""
    if root == SINGLE_FILES:
        return options if changes.column is None else replace(options, column=changes.column)
    return changes.applied_to(options)


def _single(root: bytes, options: ScanOptions, files: Iterable[bytes]) -> Scan:
    return Scan(SINGLE_FILES, root, options, frozenset(files))


def _is_in(path: bytes, scans: Sequence[Scan]) -> bool:
    return any(
        is_below(path, scan.folder) and reaches(scan.root, scan.options, path) for scan in scans
    )


def root_of(path: bytes, roots: Roots) -> bytes | None:
    """Return the root that contains a path."""
    reaching = (root for root, options in roots.items() if root and reaches(root, options, path))
    return max(reaching, key=len, default=None)


def add_root(
    roots: dict[bytes, ScanOptions],
    root: bytes,
    options: ScanOptions,
    changes: OptionChanges = OptionChanges(),
) -> None:
    """Add a root, or change its options, and remove the roots inside it.

    A root inside it that has options which `changes` does not give is a `UsageError`.
    """
    for inner in [r for r in roots if r and r != root and reaches(root, options, r)]:
        _check_agreed(inner, roots.pop(inner), root, options, changes)
    roots[root] = options


def _check_agreed(
    inner: bytes, of_inner: ScanOptions, root: bytes, options: ScanOptions, changes: OptionChanges
) -> None:
    """Raise UsageError if options of a root would be lost silently."""
    for name, words in OPTION_WORDS.items():
        unsaid = getattr(changes, name) is None
        if unsaid and getattr(of_inner, name) != getattr(options, name):
            raise UsageError(
                f"{os.fsdecode(inner)} was indexed with a different choice of {words} "
                f"than {os.fsdecode(root)} would be: give the option for both"
            )


def in_order(roots: Roots) -> dict[bytes, ScanOptions]:
    """Sort roots in the order of a walk."""
    return {root: roots[root] for root in sorted(roots, key=path_key)}


def plan_forgetting(old_roots: Roots, single_files: Sequence[bytes], path: bytes) -> ScanPlan:
    """Compute the roots and single files that remain when one is forgotten; scan nothing.

    Raises UsageError if `path` is none of them; the message lists the folders.
    """
    if path in old_roots:
        return ScanPlan(_without(old_roots, path), [], frozenset([path]))
    if path not in single_files:
        known = ", ".join(os.fsdecode(root) for root in old_roots if root) or "none"
        raise UsageError(
            f"{os.fsdecode(path)!r} is not an indexed folder; the indexed folders are: {known}; "
            "a file can be removed only if it was indexed by its own name"
        )
    is_last = len(single_files) == 1
    roots = _without(old_roots, SINGLE_FILES) if is_last else dict(old_roots)
    return ScanPlan(roots, [], frozenset([path]))


def _without(roots: Roots, removed: bytes) -> dict[bytes, ScanOptions]:
    return {root: options for root, options in roots.items() if root != removed}


def named_paths(
    paths: Sequence[str | bytes], old: Paths | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Separate the named paths into folders and files, as absolute paths.

    A path that does not exist but is in the index counts as what it was, so that its loss is
    noticed. Raises UsageError if a path neither exists nor is in the index.
    """
    folders: list[bytes] = []
    files: list[bytes] = []
    for path in paths:
        given = absolute(path)
        place = outer_file(given)
        was_folder = old is not None and (place in old.roots or old.holds(place))
        is_known = old is not None and (
            was_folder or old.find(place) is not None or old.holds(inside(place))
        )
        if not is_known and not is_remote(place):
            check_exists(path if place == given else place)
        if is_remote(place):
            is_folder = was_folder if is_known else _is_prefix(place)
        else:
            is_folder = os.path.isdir(path) or (was_folder and not os.path.lexists(path))
        (folders if is_folder else files).append(place)
    return folders, files


def _is_prefix(name: bytes) -> bool:
    """Return whether objects are below an address, and none has the address itself.

    Raises UsageError if there is neither. Raises ImgdupError if the server does not answer.
    """
    is_web = name.startswith(b"http")
    try:
        if name.count(b"/") > 2:  # it names more than the bucket
            with contextlib.suppress(FileNotFoundError):
                stamp_of(name)
                return False
        if not is_web and next(iter(remote().list_objects(name)), None) is not None:
            return True
    except OSError as error:
        raise ImgdupError(f"{os.fsdecode(name)}: {error_words(error)}") from error
    hint = "; on web servers, give the address of each object" if is_web else " or prefix"
    raise UsageError(f"{os.fsdecode(name)!r}: no such object{hint}")


IF_MOVED = (
    "If the folder was renamed, run: imgdup index --moved OLD NEW, "
    "or imgdup index NEW and imgdup forget OLD"
)
FEW_FILES = 100  # losing more than half of more files than this is treated as an unmounted drive
FEW_IN_FOLDER = 10  # so is losing all files of a first-level folder with more files than this


class UnmountGuard:
    """Counts how many of the known rows in a place still exist.

    It counts for the whole place and for each folder on its first level, where a second drive may
    be mounted. Rows are counted in path order, so that one folder is counted at a time.
    """

    def __init__(self, scan: Scan) -> None:
        self._place = os.fsdecode(scan.folder) or "individually named files"
        self._prefix = len(join(scan.folder, b"")) if scan.folder else None
        self._n_old = self._n_lost = 0
        self._folder = b""
        self._n_old_before = self._n_lost_before = 0
        self._losses: list[str] = []

    def count(self, path: bytes, *, is_kept: bool) -> None:
        """Count one old row, in path order."""
        folder = b"" if self._prefix is None else path[self._prefix :].rpartition(b"/")[0]
        folder = folder.partition(b"/")[0]
        if folder != self._folder:
            self._end_folder()
            self._folder = folder
        self._n_old += 1
        self._n_lost += not is_kept

    def _end_folder(self) -> None:
        """Check the folder that was counted last."""
        n_old = self._n_old - self._n_old_before
        n_lost = self._n_lost - self._n_lost_before
        lost_all = n_lost == n_old > FEW_IN_FOLDER
        if self._folder and (lost_all or _lost_most(n_lost, n_old)):
            place = os.path.join(self._place, os.fsdecode(self._folder))
            self._losses.append(f"{place}: {n_lost:,} of {n_old:,} indexed files are gone")
        self._n_old_before, self._n_lost_before = self._n_old, self._n_lost

    def check(self) -> None:
        """Raise ImgdupError if all or most rows of the place, or of a folder in it, are gone.

        New files do not compensate for them.
        """
        self._end_folder()
        lost_all = self._n_lost > 0 and self._n_lost == self._n_old
        if lost_all or _lost_most(self._n_lost, self._n_old):
            counts = f"{self._n_lost:,} of {self._n_old:,} indexed files are gone"
            self._losses.insert(0, f"{self._place}: {counts}")
        if self._losses:
            raise ImgdupError(
                f"{self._losses[0]}; is a drive not mounted? Nothing was changed. {IF_MOVED}. "
                "If the files were removed on purpose, add --allow-removals"
            )


def _lost_most(n_lost: int, n_old: int) -> bool:
    return n_old > FEW_FILES and n_lost * 2 > n_old
