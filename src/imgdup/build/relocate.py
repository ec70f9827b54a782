"""Give the rows of a renamed or remounted folder their new paths, or remove rows from an index.

No image is read; the next update finds that sizes and mtimes are unchanged.
"""

import os
from collections.abc import Container, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from imgdup.build.checkpoints import Checkpoints
from imgdup.build.known import OldRow, old_row_stream
from imgdup.build.listing import Listing
from imgdup.build.roots import SINGLE_FILES, Roots, add_root, in_order, root_of
from imgdup.build.write import Facts, commit_generation, scan_times
from imgdup.errors import UsageError
from imgdup.index import folder
from imgdup.index.generation import Generation, open_generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import merge_sorted
from imgdup.system.paths import absolute, is_below, path_key


class _Move(NamedTuple):
    """The old and the new folder, the roots after the move, and the new root of each old root."""

    old: bytes
    new: bytes
    roots: dict[bytes, ScanOptions]
    root_of_moved: Mapping[bytes, bytes]
    root_of_others: Mapping[bytes, bytes]

    def path(self, path: bytes) -> bytes:
        return self.new + path[len(self.old) :]


def relocate(index_folder: Path, old: str | bytes, new: str | bytes) -> int:
    """Give the rows of a folder that was moved their new paths; return how many, and hash nothing.

    `old` is a root, a folder in one, or one that holds roots. If a file is indexed under its new
    path already, its row under the old path is removed. If `new` is in a root of the index, the
    options of that root apply. Raises UsageError if `new` is not a folder, or no row of the index
    is in `old`.
    """
    folder.open_generation(index_folder, open_generation)  # raises before a folder is made
    before, after = absolute(old), absolute(new)
    if not os.path.isdir(new) or before == after:
        raise UsageError(
            f"NEW must be a folder that exists and is not OLD, got {os.fsdecode(new)!r}"
        )
    folder.prepare(index_folder)
    with folder.locked(index_folder):
        folder.sweep(index_folder)
        current, generation = folder.open_generation(index_folder, open_generation)
        generation.require_match()
        move = _planned(generation, before, after)
        listing = Listing(list(move.roots))
        n_moved = _fill(listing, generation, scan_times(generation, current), move)
        _commit(index_folder, listing, generation, move.roots)
    return n_moved


def drop_rows(index_folder: Path, paths: Container[bytes]) -> int:
    """Remove the rows of some files from an index, and return how many there were.

    Raises LockedError if another process is writing the index.
    """
    folder.open_generation(index_folder, open_generation)  # raises before a folder is made
    folder.prepare(index_folder)
    with folder.locked(index_folder):
        folder.sweep(index_folder)
        current, generation = folder.open_generation(index_folder, open_generation)
        listing, times = Listing(list(generation.roots)), scan_times(generation, current)
        for key, old in old_row_stream(generation.paths, generation.arrays, times):
            path = key.replace(b"\0", b"/")
            if path not in paths:
                listing.keep(old.root, path, old)
        n_dropped = len(generation) - len(listing)
        if n_dropped:
            _commit(index_folder, listing, generation, generation.roots)
    return n_dropped


def _commit(
    index_folder: Path, listing: Listing, generation: Generation, roots: Mapping[bytes, ScanOptions]
) -> None:
    """Make the rows of a listing, all of them of one generation, the next one."""
    parameters = generation.probe_parameters
    checkpoints = Checkpoints(index_folder / folder.PARTS, parameters)
    facts = Facts(listing, generation, checkpoints, parameters)
    commit_generation(index_folder, facts, roots, scanned_ns=0)


def _planned(generation: Generation, old: bytes, new: bytes) -> _Move:
    """Compute the roots after the move, and the new root of each old root."""
    before, roots = generation.roots, dict(generation.roots)
    if not generation.paths.below(old):
        known = ", ".join(os.fsdecode(root) for root in before if root) or "single files only"
        raise UsageError(
            f"{os.fsdecode(old)!r} is not in this index; the indexed folders are: {known}"
        )
    moving = {root: new + root[len(old) :] for root in before if root and is_below(root, old)}
    for root in moving:
        del roots[root]
    for root, place in sorted(moving.items(), key=lambda pair: path_key(pair[1])):
        add_root(roots, place, before[root])
    holder = root_of(old, before)
    if holder is not None and holder not in moving:
        add_root(roots, new, before[holder])
    moved = {root: _root_at(moving.get(root, new), root, roots) for root in before}
    others = {root: _root_at(root, root, roots) for root in before if root not in moving}
    return _Move(old, new, in_order(roots), moved, others)


def _root_at(place: bytes, old_root: bytes, roots: Roots) -> bytes:
    """Return the root of the rows in a place; single files may remain single files."""
    if old_root == SINGLE_FILES and place == SINGLE_FILES:
        return SINGLE_FILES
    inside = [root for root in roots if root and is_below(place, root)]
    return max(inside, key=len, default=SINGLE_FILES)


def _fill(listing: Listing, generation: Generation, times: Mapping[bytes, int], move: _Move) -> int:
    """Fill a listing with the rows of a generation, and count those that moved."""
    streams = [_rows(generation, times, move, moving=moving) for moving in (False, True)]
    n_moved = 0
    for _, group in groupby(merge_sorted(streams), key=itemgetter(0)):
        root, path, old, is_moved = next(group)[1]  # of two, the one that was there already
        listing.keep(root, path, old)
        n_moved += is_moved
    return n_moved


def _rows(
    generation: Generation, times: Mapping[bytes, int], move: _Move, *, moving: bool
) -> Iterator[tuple[bytes, tuple[bytes, bytes, OldRow, bool]]]:
    """Yield the rows that move, or those that do not, in the order of their new paths."""
    for key, old in old_row_stream(generation.paths, generation.arrays, times):
        path = key.replace(b"\0", b"/")
        if is_below(path, move.old) == moving:
            roots = move.root_of_moved if moving else move.root_of_others
            path = move.path(path) if moving else path
            yield path_key(path), (roots[old.root], path, old, moving)
