"""The folders and files that a command names, and the roots of the index -> what to scan."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from imgdup.build.listing import Scope
from imgdup.build.sources import reaches
from imgdup.errors import UsageError
from imgdup.index.columns import Paths
from imgdup.index.generation import ScanOptions
from imgdup.system.paths import absolute, check_exists, is_below, path_key

SINGLE_FILES = b""  # the root of files that were named one by one
OPTION_WORDS = {  # of the command line, by the names in ScanOptions
    "exclude": "--exclude GLOB",
    "follow_symlinks": "--follow-symlinks or --no-follow-symlinks",
    "hidden": "--hidden or --no-hidden",
}

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
    """The roots of the next generation, what to scan for it, and what is to be forgotten."""

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
        The roots of the index, and what counts in each. One may lie in another that does not reach
        it, because it is hidden there or excluded.
    folders, files : sequence of bytes
        Absolute paths that the command names. A folder that a root reaches means that part of it;
        any other is a new root, and takes the place of those that it reaches. Files that no root
        reaches are remembered one by one. With none named, all roots are scanned.
    changes : OptionChanges
        Scan options that the command names.
    single_files : sequence of bytes
        The files that the index holds under no folder; scanned where nothing is named.

    Raises
    ------
    UsageError
        If a root that gives way has options of its own, and the command does not say which count.
    """
    if not folders and not files:
        roots = {root: changes.applied_to(options) for root, options in old_roots.items()}
        return Task(roots, _whole(roots, single_files))
    roots = dict(old_roots)
    scopes: list[Scope] = []
    for folder in sorted(set(folders), key=path_key):
        if not _is_in(folder, scopes):
            root = _root_of(folder, roots)
            root = folder if root is None else root
            _take_over(roots, root, changes)
            scopes.append(Scope(folder, root, roots[root]))
    by_root: dict[bytes, set[bytes]] = {}
    for file in files:
        if not _is_in(file, scopes):
            by_root.setdefault(_root_of(file, roots) or SINGLE_FILES, set()).add(file)
    if SINGLE_FILES in by_root:
        roots[SINGLE_FILES] = ScanOptions()
    scopes += [_single(root, inside) for root, inside in by_root.items()]
    return Task(in_order(roots), scopes)


def _whole(roots: Roots, single_files: Sequence[bytes]) -> list[Scope]:
    scopes = [Scope(root, root, options) for root, options in roots.items() if root]
    return [*scopes, _single(SINGLE_FILES, single_files)] if single_files else scopes


def _single(root: bytes, files: Iterable[bytes]) -> Scope:
    return Scope(SINGLE_FILES, root, ScanOptions(), frozenset(files))


def _is_in(path: bytes, scopes: Sequence[Scope]) -> bool:
    """Tell whether a path is scanned already."""
    return any(
        is_below(path, scope.folder) and reaches(scope.root, scope.options, path)
        for scope in scopes
    )


def _root_of(path: bytes, roots: Roots) -> bytes | None:
    """Return the root that reaches a path."""
    reaching = (root for root, options in roots.items() if root and reaches(root, options, path))
    return max(reaching, key=len, default=None)


def _take_over(roots: dict[bytes, ScanOptions], root: bytes, changes: OptionChanges) -> None:
    """Give a root its options, and let those that it reaches go."""
    options = changes.applied_to(roots.get(root, ScanOptions()))
    for inner in [r for r in roots if r and r != root and reaches(root, options, r)]:
        _check_agreed(inner, roots.pop(inner), root, options, changes)
    roots[root] = options


def _check_agreed(
    inner: bytes, of_inner: ScanOptions, root: bytes, options: ScanOptions, changes: OptionChanges
) -> None:
    """Raise UsageError where options of a root would be lost without a word."""
    for name, words in OPTION_WORDS.items():
        unsaid = getattr(changes, name) is None
        if unsaid and getattr(of_inner, name) != getattr(options, name):
            raise UsageError(
                f"{os.fsdecode(inner)} was indexed with another choice of {words} than "
                f"{os.fsdecode(root)} would be: say which counts for both"
            )


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
        return Task(_without(old_roots, path), [], frozenset([path]))
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
