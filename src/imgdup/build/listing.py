"""The disk, the old generation and the parts -> one listing that says what must be read.

Three streams in path order become one: files on the disk, rows of the old generation, rows of
parts that an interrupted run left. Nothing is held but the listing itself.
"""

import os
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from imgdup.build.checkpoints import PASSING, SAME_BYTES, Done, is_settled
from imgdup.build.losses import Losses
from imgdup.build.old_rows import OldRow
from imgdup.build.sources import Candidate, Tally, reaches, stat_files, walk
from imgdup.images.formats import OK
from imgdup.index.columns import Paths, PathsBuilder, merge_sorted
from imgdup.index.generation import ScanOptions
from imgdup.system.paths import is_below, path_key

TO_READ = -1  # origin of a row that no one has the answer for
OLD = 0  # origin of a row of the old generation; part k has the origin k >= 1


class Scope(NamedTuple):
    """A folder to scan, or single files; rows of the old generation elsewhere stay."""

    folder: bytes
    root: bytes
    options: ScanOptions
    files: frozenset[bytes] = frozenset()

    @property
    def where(self) -> str:
        """Name it for people."""
        return os.fsdecode(self.folder) or "files named one by one"

    def covers(self, path: bytes, root: bytes) -> bool:
        """Tell whether the scan would have found the file of a row that lies in a root."""
        if self.files:
            return path in self.files
        is_ours = root == self.root or reaches(self.root, self.options, path)
        return is_below(path, self.folder) and is_ours


class Found(NamedTuple):
    """A file on the disk, and the root of the scope that found it."""

    root: bytes
    file: Candidate


@dataclass
class Listing:
    """The listing: one row a path, in path order, and where its facts come from.

    Attributes
    ----------
    origin, origin_row : array of int
        ``TO_READ``, or ``OLD`` and the row of the old generation, or the number of a part in
        ``part_names`` and its row.
    size, mtime_ns : array of int
        As the scan found them.
    linked : list of (row, device, inode)
        Scanned files that may have other names.
    doubtful : dict
        Row -> old row of files that could have changed within a tick of the clock.
    failed_before : dict
        Row -> old row of failures that are tried again and may be what they were.
    kept : list of int
        Rows that were not looked at.
    kept_ns : dict
        Root -> the oldest scan that its kept rows go back to.
    """

    roots: Sequence[bytes]
    origin: "array[int]" = field(default_factory=lambda: array("i"))
    origin_row: "array[int]" = field(default_factory=lambda: array("q"))
    size: "array[int]" = field(default_factory=lambda: array("q"))
    mtime_ns: "array[int]" = field(default_factory=lambda: array("q"))
    part_names: list[str] = field(default_factory=lambda: [""])
    linked: list[tuple[int, int, int]] = field(default_factory=list)
    doubtful: dict[int, int] = field(default_factory=dict)
    failed_before: dict[int, OldRow] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    kept_ns: dict[bytes, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    n_seen: int = 0
    n_removed: int = 0

    def __post_init__(self) -> None:
        """Prepare what grows with the listing and what only the making needs."""
        self._paths = PathsBuilder(self.roots)
        self._part_numbers: dict[str, int] = {}

    @property
    def paths(self) -> Paths:
        """The path of each row."""
        return self._paths.paths()

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.origin)

    def add(
        self, root: bytes, path: bytes, origin: int, origin_row: int, size: int, mtime_ns: int
    ) -> None:
        """Add the next row in path order."""
        self._paths.append(root, path)
        self.origin.append(origin)
        self.origin_row.append(origin_row)
        self.size.append(size)
        self.mtime_ns.append(mtime_ns)

    def keep(self, root: bytes, path: bytes, old: OldRow) -> None:
        """Add the next row as it was: its file was not looked at."""
        self.kept.append(len(self))
        self.add(root, path, OLD, old.row, old.size, old.mtime_ns)
        self.kept_ns[root] = min(old.scanned_ns, self.kept_ns.get(root, old.scanned_ns))

    def without(self, gone: Container[int]) -> "Listing":
        """Return the listing less some rows that vanished meanwhile.

        All its rows have an answer: what was in doubt is not taken over.
        """
        rest = Listing(self.roots, part_names=self.part_names, tally=self.tally)
        rest.kept_ns = self.kept_ns
        rest.n_seen, rest.n_removed = self.n_seen, self.n_removed
        new_row, paths = {}, self.paths
        columns = (paths, self.origin, self.origin_row, self.size, self.mtime_ns)
        for row, values in enumerate(zip(*columns, strict=True)):
            if row not in gone:
                new_row[row] = len(rest)
                rest.add(paths.root_of(row), *values)
        rest.linked = [(new_row[r], d, i) for r, d, i in self.linked if r in new_row]
        rest.kept = [new_row[r] for r in self.kept]
        return rest

    def part_number(self, name: str) -> int:
        """Return the origin that stands for a part."""
        if name not in self._part_numbers:
            self._part_numbers[name] = len(self.part_names)
            self.part_names.append(name)
        return self._part_numbers[name]


def build_listing(
    scopes: Sequence[Scope],
    roots: Sequence[bytes],
    index_folder: bytes,
    old_rows: Iterable[tuple[bytes, OldRow]],
    done_rows: Iterable[tuple[bytes, Done]],
    *,
    forgotten: Container[bytes] = (),
    allow_removals: bool = False,
) -> Listing:
    """List all files of the next generation and say where the facts of each come from.

    Parameters
    ----------
    scopes : sequence of Scope
        What to scan, disjoint.
    roots : sequence of bytes
        All roots of the next generation; one that is new takes the rows of those in it that left.
    index_folder : bytes
        Absolute path of the index, which is not scanned.
    old_rows, done_rows : iterable of (path_key, row)
        The old generation and the parts, in path order.
    forgotten : container of bytes
        Roots, and single files, whose rows leave.
    allow_removals : bool
        Whether a scope may lose all or most of its files.

    Raises
    ------
    ImgdupError
        If a scope lost all that was known in it, or over half of more than 100 files.
    """
    survey = Listing(roots)
    scanned = _scan(scopes, index_folder, survey.tally)
    losses = [(scope, Losses(scope.where)) for scope in scopes]
    streams: list[Iterator[tuple[bytes, Any]]] = [scanned, iter(old_rows), iter(done_rows)]
    for key, group in groupby(merge_sorted(streams), key=itemgetter(0)):
        found, old, done = _sort_out(row for _, row in group)
        path = key.replace(b"\0", b"/")
        if found is not None:
            _add_found(survey, found, old, done)
        if old is not None and (path in forgotten or old.root in forgotten):
            survey.n_removed += 1
        elif old is not None:
            _account(survey, path, old, losses, found=found is not None)
    if not allow_removals:
        for _, loss in losses:
            loss.check()
    return survey


def _scan(
    scopes: Sequence[Scope], index_folder: bytes, tally: Tally
) -> Iterator[tuple[bytes, Found]]:
    """Yield what the scopes hold, in path order; what several hold, the first one's first."""
    return merge_sorted([_found(scope, index_folder, tally) for scope in scopes])


def _found(scope: Scope, index_folder: bytes, tally: Tally) -> Iterator[tuple[bytes, Found]]:
    if scope.files:
        files = stat_files(scope.files, tally)
    else:
        files = walk(scope.folder, scope.root, scope.options, index_folder, tally)
    return ((path_key(file.path), Found(scope.root, file)) for file in files)


def _sort_out(
    rows: Iterable[Found | OldRow | Done],
) -> tuple[Found | None, OldRow | None, list[Done]]:
    """Part the rows of one path by the stream they came from."""
    found, old, done = None, None, []
    for row in rows:
        if isinstance(row, Found):
            found = found or row
        elif isinstance(row, OldRow):
            old = row
        else:
            done.append(row)
    return found, old, done


def _add_found(survey: Listing, there: Found, old: OldRow | None, done: list[Done]) -> None:
    """Add a file that is on the disk, with the best answer there is for it."""
    root, found = there
    survey.n_seen += 1
    row = len(survey)
    if found.inode:
        survey.linked.append((row, found.device, found.inode))
    origin, origin_row = TO_READ, 0
    if old is not None and _agrees(old, found):
        if _stands(old, found, old.scanned_ns):
            origin, origin_row = OLD, old.row
        elif old.status == OK:
            survey.doubtful[row] = old.row
        elif not old.hopeful:
            survey.failed_before[row] = old
    if origin == TO_READ:
        answer = next((d for d in done if _is_answer(d, found)), None)
        if answer is not None:
            origin, origin_row = survey.part_number(answer.part), answer.row
    survey.add(root, found.path, origin, origin_row, found.size, found.mtime_ns)


def _agrees(known: OldRow | Done, found: Candidate) -> bool:
    return (known.size, known.mtime_ns) == (found.size, found.mtime_ns)


def _stands(known: OldRow | Done, found: Candidate, seen_ns: int) -> bool:
    """Tell whether an answer for a file that agrees is still the one that reading would give."""
    may_pass = known.status in PASSING or known.hopeful
    return not may_pass and is_settled(found.mtime_ns, seen_ns)


def _is_answer(done: Done, found: Candidate) -> bool:
    is_one = _agrees(done, found) and done.status != SAME_BYTES
    return is_one and _stands(done, found, done.hashed_ns)


def _account(
    survey: Listing, path: bytes, old: OldRow, losses: list[tuple[Scope, Losses]], *, found: bool
) -> None:
    """Keep an old row that was not looked at; tell those who looked whether it stays."""
    root = _root_now(path, old.root, survey.roots)
    looking = [loss for scope, loss in losses if scope.covers(path, root)]
    unlisted = any(is_below(path, folder) for folder, _ in survey.tally.unlisted)
    stays = found or unlisted or not looking
    if stays and not found:
        survey.keep(root, path, old)
    survey.n_removed += not stays
    for loss in looking:
        loss.count(stays=stays)


def _root_now(path: bytes, root: bytes, roots: Sequence[bytes]) -> bytes:
    """Return the root of a row: the one it had, or the one that took its place."""
    if root in roots:
        return root
    return max((each for each in roots if each and is_below(path, each)), key=len)
