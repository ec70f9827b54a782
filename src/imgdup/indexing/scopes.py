"""The folders and files that a command names, and the roots of the index -> what to scan."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from imgdup.errors import UsageError
from imgdup.indexing.survey import Scope
from imgdup.sources import ScanOptions, absolute, check_exists
from imgdup.table import Paths, is_below, path_key

SINGLE_FILES = b""  # the root of files that were named one by one

Roots = Mapping[bytes, ScanOptions]


@dataclass(frozen=True)
class OptionChanges:
    """Scan options that the command names; those it leaves out stay as the root has them."""

    exclude: tuple[str, ...] | None = None
    follow_symlinks: bool | None = None
    hidden: bool | None = None

    def applied_to(self, options: ScanOptions) -> ScanOptions:
        """Return `options` with the named ones replaced."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        return replace(options, **named)


class Task(NamedTuple):
    """The roots of the next generation, what to scan for it, and single files that leave."""

    roots: dict[bytes, ScanOptions]
    scopes: list[Scope]
    forgotten: frozenset[bytes] = frozenset()


def plan_scan(
    old_roots: Roots,
    folders: Sequence[bytes],
    files: Sequence[bytes],
    changes: OptionChanges,
    single_files: Sequence[bytes] = (),
) -> Task:
    """Say which folders and files to scan, and which roots the index has afterwards.

    Parameters
    ----------
    old_roots : mapping
        The roots of the index, disjoint, and what counts in each.
    folders, files : sequence of bytes
        Absolute paths that the command names. A folder in a root means that part of it; one
        that holds roots takes their place; any other is a new root. With none named, all roots
        are scanned.
    changes : OptionChanges
        Scan options that the command names.
    single_files : sequence of bytes
        The files that the index holds under no folder; scanned where nothing is named.
    """
    if not folders and not files:
        roots = {root: changes.applied_to(options) for root, options in old_roots.items()}
        return Task(roots, _whole(roots, single_files))
    roots = dict(old_roots)
    tops = _outermost(folders)
    scopes = []
    for folder in tops:
        root = _root_of(folder, roots)
        if root is None:
            for inner in [r for r in roots if r and is_below(r, folder)]:
                del roots[inner]
            root = folder
        roots[root] = changes.applied_to(roots.get(root, ScanOptions()))
        scopes.append(Scope(folder, root, roots[root]))
    loose = [file for file in files if not any(is_below(file, top) for top in tops)]
    if any(_root_of(file, roots) is None for file in loose):
        roots[SINGLE_FILES] = ScanOptions()
    if loose:
        scopes.append(Scope(SINGLE_FILES, SINGLE_FILES, ScanOptions(), frozenset(loose)))
    return Task(in_order(roots), scopes)


def _whole(roots: Roots, single_files: Sequence[bytes]) -> list[Scope]:
    scopes = [Scope(root, root, options) for root, options in roots.items() if root]
    if single_files:
        files = frozenset(single_files)
        scopes.append(Scope(SINGLE_FILES, SINGLE_FILES, ScanOptions(), files))
    return scopes


def _outermost(folders: Sequence[bytes]) -> list[bytes]:
    """Drop folders that lie in another one of the list."""
    tops: list[bytes] = []
    for folder in sorted(set(folders), key=path_key):
        if not tops or not is_below(folder, tops[-1]):
            tops.append(folder)
    return tops


def _root_of(path: bytes, roots: Roots) -> bytes | None:
    return next((root for root in roots if root and is_below(path, root)), None)


def in_order(roots: Roots) -> dict[bytes, ScanOptions]:
    """Sort roots as a walk meets them."""
    return {root: roots[root] for root in sorted(roots, key=path_key)}


def plan_forgetting(old_roots: Roots, single_files: Sequence[bytes], path: bytes) -> Task:
    """Say which roots and single files are left when one of them goes; nothing is scanned.

    Raises
    ------
    UsageError
        If `path` is none of them; the text lists the folders.
    """
    if path in old_roots:
        return Task(_without(old_roots, path), [])
    if path not in single_files:
        known = ", ".join(os.fsdecode(root) for root in old_roots if root) or "none"
        raise UsageError(
            f"{os.fsdecode(path)!r} is not a root of this index; it has: {known}; "
            "a file can be forgotten if it was indexed by its own name"
        )
    is_last = len(single_files) == 1
    roots = _without(old_roots, SINGLE_FILES) if is_last else dict(old_roots)
    return Task(roots, [], frozenset([path]))


def _without(roots: Roots, gone: bytes) -> dict[bytes, ScanOptions]:
    return {root: options for root, options in roots.items() if root != gone}


def named_paths(
    paths: Sequence[str | bytes], old: Paths | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Part what the user named into folders and files, as absolute paths.

    What is not there but in the index is taken for what it was, so that its loss is noticed.

    Raises
    ------
    UsageError
        If one is neither there nor in the index.
    """
    folders: list[bytes] = []
    files: list[bytes] = []
    for path in paths:
        place = absolute(path)
        was_folder = old is not None and (place in old.roots or old.holds(place))
        if old is None or not (was_folder or old.find(place) is not None):
            check_exists(path)
        is_folder = os.path.isdir(path) or (was_folder and not os.path.lexists(path))
        (folders if is_folder else files).append(place)
    return folders, files
