"""Merge the disk, the old generation and the checkpoints into a listing of what must be read.

All of them are read in path order, as are the rows of another index that may be copied. Only the
listing itself is kept in memory.
"""

from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.build.checkpoints import SAME_BYTES, CheckpointRow
from imgdup.build.known import PASSING, OldRow, is_settled
from imgdup.build.members import Candidate
from imgdup.build.roots import Scan, UnmountGuard
from imgdup.build.sources import stat_files, walk
from imgdup.build.tally import Tally
from imgdup.containers import Fault, Locator
from imgdup.images.formats import OK
from imgdup.index.paths import Paths, PathsBuilder, merge_sorted
from imgdup.system.paths import containers_of, is_below, members_folder, path_key

TO_READ = -1  # origin of a row whose file must be read
OLD = 0  # origin of a row of the old generation; checkpoint k has the origin k >= 1

N_LOCATOR = len(Locator._fields)


class FoundFile(NamedTuple):
    """A file on the disk, and the root of the scan that found it."""

    root: bytes
    file: Candidate


@dataclass
class Listing:
    """The listing: one row per path, in path order, and the source of its facts."""

    roots: Sequence[bytes]
    # ``TO_READ``, or ``OLD`` and the row of the old generation, or the number of a checkpoint in
    # ``checkpoint_names`` and its row.
    origin: "array[int]" = field(default_factory=lambda: array("i"))
    origin_row: "array[int]" = field(default_factory=lambda: array("q"))
    # As the scan found them.
    size: "array[int]" = field(default_factory=lambda: array("q"))
    mtime_ns: "array[int]" = field(default_factory=lambda: array("q"))
    # Which file each row names: a number in ``devices``, and its inode; zeros where it was not
    # scanned.
    device: "array[int]" = field(default_factory=lambda: array("I"))
    inode: "array[int]" = field(default_factory=lambda: array("Q"))
    devices: list[int] = field(default_factory=lambda: [0])
    checkpoint_names: list[str] = field(default_factory=lambda: [""])
    # Row -> old row of files that could have changed within a tick of the clock.
    recheck: dict[int, int] = field(default_factory=dict)
    # Row -> old row of failures that are tried again and may fail in the same way.
    failed_before: dict[int, OldRow] = field(default_factory=dict)
    # Row -> why it cannot be read, if that is known without reading it.
    faults: dict[int, Fault] = field(default_factory=dict)
    kept: "array[int]" = field(default_factory=lambda: array("q"))  # rows that were not looked at
    # Root -> the time of the oldest scan of its kept rows.
    kept_ns: dict[bytes, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    n_seen: int = 0
    n_removed: int = 0

    def __post_init__(self) -> None:
        self._paths = PathsBuilder(self.roots)
        self._locators = array("q")
        self._checkpoint_numbers: dict[str, int] = {}
        self._device_numbers = {device: number for number, device in enumerate(self.devices)}

    @property
    def paths(self) -> Paths:
        """The path of each row."""
        return self._paths.paths()

    def __len__(self) -> int:
        return len(self.origin)

    @property
    def has_members(self) -> bool:
        """Whether any row is a member of a container."""
        return bool(self._locators)

    def locator_array(self) -> npt.NDArray[np.int64]:
        """Return where the member of each row lies, shape (n, 7); zeros for files."""
        self._pad_locators()
        return np.frombuffer(self._locators, np.int64).reshape(-1, N_LOCATOR)

    def locator(self, row: int) -> Locator | None:
        """Return where the member of a row lies; None for a file."""
        found = self._locators[N_LOCATOR * row : N_LOCATOR * (row + 1)]
        return Locator(*found) if any(found) else None

    def _pad_locators(self) -> None:
        """Add zeros for the files that were added after the last member."""
        n_missing = N_LOCATOR * len(self) - len(self._locators)
        self._locators.frombytes(bytes(n_missing * self._locators.itemsize))

    def add(self, root: bytes, file: Candidate, origin: int, origin_row: int) -> None:
        """Add the next row in path order."""
        if file.locator is not None:
            self._pad_locators()
            self._locators.extend(file.locator)
        if file.fault is not None:
            self.faults[len(self)] = file.fault
        self._paths.append(root, file.path)
        self.origin.append(origin)
        self.origin_row.append(origin_row)
        self.size.append(file.size)
        self.mtime_ns.append(file.mtime_ns)
        self.device.append(self._device_number(file.device))
        self.inode.append(file.inode)

    def keep(self, root: bytes, path: bytes, old: OldRow) -> None:
        """Add the next row unchanged: its file was not scanned."""
        self.kept.append(len(self))
        self.add(root, Candidate(path, old.size, old.mtime_ns, 0, 0, old.locator), OLD, old.row)
        self.kept_ns[root] = min(old.scanned_ns, self.kept_ns.get(root, old.scanned_ns))

    def without(self, left_out: Container[int]) -> "Listing":
        """Return the listing without some rows: those to check again, or whose files vanished."""
        rest = Listing(self.roots, checkpoint_names=self.checkpoint_names, tally=self.tally)
        rest.kept_ns = self.kept_ns
        rest.n_seen, rest.n_removed = self.n_seen, self.n_removed
        kept, paths = set(self.kept), self.paths
        columns = (paths, self.size, self.mtime_ns, self.device, self.inode)
        for row, (path, size, mtime_ns, device, inode) in enumerate(zip(*columns, strict=True)):
            if row not in left_out:
                if row in kept:
                    rest.kept.append(len(rest))
                file = Candidate(
                    path, size, mtime_ns, self.devices[device], inode, self.locator(row)
                )
                rest.add(paths.root_of(row), file, self.origin[row], self.origin_row[row])
        return rest

    def checkpoint_number(self, name: str) -> int:
        """Return the origin number of a checkpoint."""
        if name not in self._checkpoint_numbers:
            self._checkpoint_numbers[name] = len(self.checkpoint_names)
            self.checkpoint_names.append(name)
        return self._checkpoint_numbers[name]

    def _device_number(self, device: int) -> int:
        if device not in self._device_numbers:
            self._device_numbers[device] = len(self.devices)
            self.devices.append(device)
        return self._device_numbers[device]


class ListingOptions(NamedTuple):
    """What a listing is made for.

    ``forgotten`` are roots, and single files, whose rows are removed; ``allow_removals`` means that
    a scan may lose all or most of its files; ``retry_failed`` that all failures are tried again;
    ``rehash`` that every file that is found is read again.
    """

    forgotten: Container[bytes] = frozenset()
    allow_removals: bool = False
    retry_failed: bool = False
    rehash: bool = False


def list_files(
    scans: Sequence[Scan],
    listing: Listing,
    index_folder: bytes,
    known: Sequence[Iterable[tuple[bytes, OldRow | CheckpointRow]]],
    options: ListingOptions,
) -> Iterator[tuple[int, Candidate]]:
    """Fill an empty listing with the files of the next generation, and where their facts are.

    The scans are disjoint; the index folder is not scanned. The listing has all roots of the next
    generation; a root that is new gets the rows of those in it that left. `known` are the old
    generation, the checkpoints and another index, as pairs of path key and row, each in path order.
    Yields the row and the candidate of each file that must be read; the listing is complete when
    there are no more. Raises ImgdupError if a scan lost all that was known in it, or most of it;
    see `UnmountGuard`.
    """
    guards = [(scan, UnmountGuard(scan)) for scan in scans]
    files = [_found_files(scan, index_folder, listing.tally) for scan in scans]
    streams: list[Iterator[tuple[bytes, Any]]] = [merge_sorted(files), *map(iter, known)]
    for key, group in groupby(merge_sorted(streams), key=itemgetter(0)):
        found, old, done = _sort_out(row for _, row in group)
        path = key.replace(b"\0", b"/")
        if found is not None:
            known_row = None if options.rehash else old
            _add_found(listing, found, known_row, done, retry_failed=options.retry_failed)
            if listing.origin[-1] == TO_READ:
                yield len(listing) - 1, found.file
        if old is not None and _is_forgotten(path, old.root, options.forgotten):
            listing.n_removed += 1
        elif old is not None:
            _account(listing, path, old, guards, found=found is not None)
    if not options.allow_removals:
        for _, guard in guards:
            guard.check()


def _is_forgotten(path: bytes, root: bytes, forgotten: Container[bytes]) -> bool:
    names = (path, root, *containers_of(path))
    return any(name in forgotten for name in names)


def _found_files(
    scan: Scan, index_folder: bytes, tally: Tally
) -> Iterator[tuple[bytes, FoundFile]]:
    container = members_folder(scan.folder)
    named = scan.files or ([container] if container else [])
    if named:
        files = stat_files(named, tally, scan.options, scan.root)
    else:
        files = walk(scan.folder, scan.root, scan.options, index_folder, tally)
    return ((path_key(file.path), FoundFile(scan.root, file)) for file in files)


def _sort_out(
    rows: Iterable[FoundFile | OldRow | CheckpointRow],
) -> tuple[FoundFile | None, OldRow | None, list[CheckpointRow]]:
    """Separate the rows of one path by the stream they came from."""
    found, old, done = None, None, []
    for row in rows:
        if isinstance(row, FoundFile):
            found = found or row
        elif isinstance(row, OldRow):
            old = row
        else:
            done.append(row)
    return found, old, done


def _add_found(
    listing: Listing,
    found: FoundFile,
    old: OldRow | None,
    done: list[CheckpointRow],
    *,
    retry_failed: bool,
) -> None:
    """Add a file on the disk, with the best known source of its facts."""
    root, file = found
    row = len(listing)
    listing.n_seen += 1
    origin, origin_row = TO_READ, 0
    if old is not None and _agrees(old, file):
        if _is_final(old, old.scanned_ns, file.path, retry_failed=retry_failed):
            origin, origin_row = OLD, old.row
        elif old.status == OK:
            listing.recheck[row] = old.row
        else:
            listing.failed_before[row] = old
    elif old is not None and old.status == OK and _may_be_equal(old, file):
        listing.recheck[row] = old.row
    if origin == TO_READ and file.answer is not None:
        done = [file.answer, *done]
        if old is not None and row in listing.recheck and file.answer.status == SAME_BYTES:
            origin, origin_row = OLD, old.row
    if origin == TO_READ:
        for each in done:
            if _is_answer(each, file, retry_failed=retry_failed):
                origin, origin_row = listing.checkpoint_number(each.checkpoint), each.row
                break
    listing.add(root, file, origin, origin_row)


def _agrees(known: OldRow | CheckpointRow, file: Candidate) -> bool:
    if file.locator is None:
        is_same = not known.container_bytes
    else:
        is_same = known.container_bytes == file.locator.container_bytes
        if not file.locator.has_size:
            return is_same and known.mtime_ns == file.mtime_ns
    return is_same and (known.size, known.mtime_ns) == (file.size, file.mtime_ns)


def _may_be_equal(old: OldRow, file: Candidate) -> bool:
    """Return whether a member of a changed container may be unchanged."""
    if file.locator is None or old.locator is None:
        return False
    return old.size == file.size or not file.locator.has_size


def _is_final(
    known: OldRow | CheckpointRow, seen_ns: int, path: bytes, *, retry_failed: bool
) -> bool:
    """Return whether a known result for a file is still the one that reading it would give."""
    is_tried_again = known.status in PASSING or (retry_failed and known.status != OK)
    return not is_tried_again and is_settled(known.mtime_ns, seen_ns, path)


def _is_answer(done: CheckpointRow, file: Candidate, *, retry_failed: bool) -> bool:
    is_one = _agrees(done, file) and done.status != SAME_BYTES
    return is_one and _is_final(done, done.hashed_ns, file.path, retry_failed=retry_failed)


def _account(
    listing: Listing,
    path: bytes,
    old: OldRow,
    guards: Sequence[tuple[Scan, UnmountGuard]],
    *,
    found: bool,
) -> None:
    """Keep an old row that was not looked at; count it, unless its container was wrong before."""
    root = _root_now(path, old.root, listing.roots)
    covering = [guard for scan, guard in guards if scan.covers(path, root)]
    is_kept = found or not covering or listing.tally.is_unlisted(path)
    if is_kept and not found:
        listing.keep(root, path, old)
    is_there = is_kept or path in listing.tally.containers.entered
    listing.n_removed += not is_there
    for guard in covering:
        guard.count(path, is_kept=is_there)


def _root_now(path: bytes, root: bytes, roots: Sequence[bytes]) -> bytes:
    """Return the root of a row: the old root, or the one that replaced it."""
    if root in roots:
        return root
    return max((each for each in roots if each and is_below(path, each)), key=len)
