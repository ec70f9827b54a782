"""What earlier runs found out, so that no file is read again without need.

That is: the rows of the old generation, the rows of another index that may be copied, the
containers among them, and which files are not images.
"""

import hashlib
import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.build.checkpoints import CheckpointRow
from imgdup.build.members import Candidate, Found, member_candidate, stamped
from imgdup.containers import Locator, Stamp
from imgdup.errors import ImgdupError
from imgdup.images.formats import OK, REASONS
from imgdup.index import store
from imgdup.index.columns import LOCATOR
from imgdup.index.folder import IGNORED
from imgdup.index.generation import Generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import Paths, merge_sorted
from imgdup.system.paths import inside, is_below, is_remote, path_key

log = logging.getLogger(__name__)

KEY_BYTES = 8  # of a file that is known not to be an image
KIND = "ignored"

# A file may change within one tick of its clock without a new mtime. Whole seconds suggest a
# clock of 2 s (FAT), others one of 20 ms (the kernel's tick, with room).
COARSE_TICK_NS = 2_000_000_000
FINE_TICK_NS = 20_000_000

COPIED = "copied"  # means another index among the checkpoints, whose names are hex digits

# Failures that may be temporary: such files are read again in every run.
PASSING = frozenset(REASONS.index(r) for r in ("unreadable", "changed", "missing"))
BLOCK_ROWS = 1 << 16  # of the old generation, turned into Python numbers at a time

Keys = npt.NDArray[np.uint64]


def is_settled(mtime_ns: int, seen_ns: int, path: bytes = b"") -> bool:
    """Return whether a file with this mtime cannot have changed unnoticed after `seen_ns`.

    For an object on a server, the time is a digest of its etag, if it has one: then every change is
    noticed. An object without time and etag is never settled.
    """
    if is_remote(path) and (not mtime_ns or mtime_ns % 1_000_000_000):
        return bool(mtime_ns)
    tick_ns = FINE_TICK_NS if mtime_ns % 1_000_000_000 else COARSE_TICK_NS
    return mtime_ns < seen_ns - tick_ns


class IgnoredFiles:
    """The files that are not images, so that they are not opened again.

    A file without an image extension must be opened once to find out whether it is an image. After
    that an 8-byte digest of its name, size and mtime is stored in a small file, and the file is not
    opened again until one of these changes. A folder of 20,000 labels takes 160 kB. Among a million
    such files, two have the same digest by chance in one of 30 million runs.

    `known` has the digests that earlier runs stored, ascending, `stored_roots` the name of each
    root as the index stores it, so that a renamed folder stays known. A file that changed at about
    the time `scanned_ns`, when this run began, is not remembered. `counts` has the number of
    members of each container that are no images, by its digest.
    """

    def __init__(
        self,
        known: Keys | None = None,
        stored_roots: Mapping[bytes, bytes] | None = None,
        scanned_ns: int = 0,
        counts: Mapping[int, int] | None = None,
    ) -> None:
        self._known_counts, self._counts = counts or {}, dict[int, int]()
        self._known: Keys = np.zeros(0, np.uint64) if known is None else known
        self._stored_roots = stored_roots or {}
        self._scanned_ns = scanned_ns
        self._found = array("Q")

    def holds(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> bool:
        """Return whether a file is known to be no image; if so, the next run knows it, too."""
        key = self._key(root, relative, size, mtime_ns)
        i = int(np.searchsorted(self._known, key))
        is_known = i < len(self._known) and int(self._known[i]) == key
        if is_known:
            self._found.append(int(key))
        return is_known

    def add(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> None:
        """Remember that a file is no image, unless it may change without a new mtime."""
        if is_settled(mtime_ns, self._scanned_ns):
            self._found.append(int(self._key(root, relative, size, mtime_ns)))

    def count_in(self, container: bytes, stamp: Stamp, n_ignored: int | None) -> int:
        """Remember how many members of a container are no images; None means as many as before.

        Return the number; 0 if it is not known.
        """
        above = (each for each in self._stored_roots if is_below(container, each))
        root = max(above, key=len, default=b"")
        relative = container[len(root) :]
        key = int(self._key(root, relative, stamp.size, stamp.mtime_ns))
        count = self._known_counts.get(key, 0) if n_ignored is None else n_ignored
        if count:
            self._counts[key] = count
        return count

    def _key(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> np.uint64:
        text = b"%s\0%s\0%d\0%d" % (self._stored_roots.get(root, root), relative, size, mtime_ns)
        digest = hashlib.blake2b(text, digest_size=KEY_BYTES).digest()
        return np.uint64(int.from_bytes(digest, "little"))

    def save(self, folder: Path, *, is_whole: bool) -> None:
        """Store the keys in the index folder if they changed.

        `is_whole` means that all roots were scanned: then keys that were not found are deleted.
        """
        found, counts = set(self._found), self._counts
        if not is_whole:
            found.update(self._known.tolist())
            counts = {**self._known_counts, **counts}
        keys = np.array(sorted(found), np.uint64)  # np.unique would import numpy.ma: 7 ms
        if not np.array_equal(keys, self._known) or counts != self._known_counts:
            save_known(folder, keys, counts)


def save_known(folder: Path, keys: Keys, counts: Mapping[int, int] | None = None) -> None:
    """Store the keys of files that are known not to be images, ascending, in an index folder.

    `counts` are those of members of containers; see `IgnoredFiles`.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"keys": keys}
    if counts:
        arrays["containers"] = np.array(sorted(counts), np.uint64)
        arrays["counts"] = np.array([counts[key] for key in sorted(counts)], np.int64)
    store.save(folder / IGNORED, {"kind": KIND}, arrays, sync=False)


def load_known(folder: Path) -> tuple[Keys, dict[int, int]]:
    """Read the stored keys, ascending, and counts; none if there is no file, or a damaged one."""
    try:
        stored = store.load(folder / IGNORED, verify=True)
        keys = stored.arrays["keys"]
        if stored.head != {"kind": KIND} or keys.dtype != np.uint64 or keys.ndim != 1:
            raise ValueError("not a list of keys")
        names = ("containers", "counts") if "containers" in stored.arrays else ()
        columns = [stored.arrays[name].astype(np.uint64).tolist() for name in names]
        counts = dict(zip(*columns, strict=True))
    except FileNotFoundError:
        return np.zeros(0, np.uint64), {}
    except (ImgdupError, KeyError, ValueError, TypeError) as error:
        log.warning("files that are not images are opened again: %s", str(error).partition(";")[0])
        return np.zeros(0, np.uint64), {}
    return np.array(sorted(set(keys.tolist())), np.uint64), counts


class OldRow(NamedTuple):
    """The row of a path in the old generation; `scanned_ns` is when its root was scanned."""

    row: int
    root: bytes
    size: int
    mtime_ns: int
    status: int
    scanned_ns: int
    locator: Locator | None = None

    @property
    def container_bytes(self) -> int:
        """Size of the container; 0 for a file."""
        return self.locator.container_bytes if self.locator else 0


def old_row_stream(
    paths: Paths, columns: Mapping[str, Any], scanned_ns: Mapping[bytes, int]
) -> Iterator[tuple[bytes, OldRow]]:
    """Yield ``(path_key, OldRow)`` of each row of a generation, in path order."""
    return merge_sorted(
        [_old_rows(paths, columns, scanned_ns, spans) for spans in paths.sorted_spans]
    )


def _old_rows(
    paths: Paths,
    columns: Mapping[str, Any],
    scanned_ns: Mapping[bytes, int],
    spans: Sequence[tuple[int, int]],
) -> Iterator[tuple[bytes, OldRow]]:
    names = ("size", "mtime_ns", "status")
    for begin, end in spans:
        for start in range(begin, end, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, end)
            facts = (columns[name][start:stop].tolist() for name in names)
            places = locators_between(columns, start, stop)
            block = zip(paths.between(start, stop), *facts, places, strict=True)
            for row, (path, size, mtime_ns, status, place) in enumerate(block, start):
                root = paths.root_of(row)
                seen_ns = scanned_ns.get(root, 0)
                yield path_key(path), OldRow(row, root, size, mtime_ns, status, seen_ns, place)


def locators_between(columns: Mapping[str, Any], start: int, stop: int) -> Iterable[Locator | None]:
    """Return where the members of containers lie, of some rows; None for files."""
    if LOCATOR not in columns:
        return repeat(None, stop - start)
    return [
        Locator(*place) if place[0] or place[-1] else None
        for place in columns[LOCATOR][start:stop].tolist()
    ]


def copied_row_stream(
    paths: Paths,
    columns: Mapping[str, Any],
    scanned_ns: Mapping[bytes, int],
    folders: Iterable[bytes],
) -> Iterator[tuple[bytes, CheckpointRow]]:
    """Yield the images of another index that are in some folders, with their keys, in path order.

    Files without a hash are left out: with other limits they may have one.
    """
    spans = [span for folder in folders for span in paths.below(folder)]
    rows = merge_sorted([_old_rows(paths, columns, scanned_ns, [span]) for span in spans])
    for key, (row, _, size, mtime_ns, status, seen_ns, place) in rows:
        if status == OK:
            found = CheckpointRow(COPIED, row, size, mtime_ns, seen_ns, status)
            yield key, found._replace(container_bytes=place.container_bytes if place else 0)


class KnownContainers:
    """The containers of an old generation, which need not be opened if they did not change.

    `scanned_ns` has the time when each root was scanned. With `retry_failed`, containers that could
    not be listed are opened again.
    """

    def __init__(
        self, old: Generation, scanned_ns: Mapping[bytes, int], *, retry_failed: bool
    ) -> None:
        self._old, self._scanned_ns, self._retry_failed = old, scanned_ns, retry_failed

    def find(self, path: bytes, stamp: Stamp, options: ScanOptions) -> Found | None:
        """Return what a container holds if it is unchanged and was scanned with these options.

        None if that is not known.
        """
        own = self._old.paths.find(path)
        spans = self._old.paths.below(inside(path))
        first = own if own is not None else next((start for start, _ in spans), None)
        if first is None or not self._is_same(first, stamp, options):
            return None
        if own is not None and not self._is_final(own, stamp):
            return None
        if LOCATOR in self._old.arrays:
            stamps = {(stamp.size, stamp.mtime_ns)}
            for start, stop in spans:
                stamps.update(map(tuple, self._old.arrays[LOCATOR][start:stop, -2:].tolist()))
            if len(stamps) > 1:
                return None
        container = [] if own is None else [stamped(path, stamp)]
        return Found(container, self._members(spans, stamp))

    def _is_final(self, row: int, stamp: Stamp) -> bool:
        """Return whether the row of a container already says what is wrong with it."""
        arrays = self._old.arrays
        if self._retry_failed or int(arrays["status"][row]) in PASSING:
            return False
        return int(arrays["size"][row]) == stamp.size

    def _is_same(self, row: int, stamp: Stamp, options: ScanOptions) -> bool:
        """Return whether a row is of this container and its root had these options."""
        root = self._old.paths.root_of(row)
        before = self._old.roots[root]
        if (before.exclude, before.hidden, before.column) != (
            options.exclude,
            options.hidden,
            options.column,
        ):
            return False
        is_same = int(self._old.arrays["mtime_ns"][row]) == stamp.mtime_ns
        seen_ns = self._scanned_ns.get(root, 0)
        return is_same and is_settled(stamp.mtime_ns, seen_ns, self._old.paths[row])

    def _members(self, spans: Sequence[tuple[int, int]], stamp: Stamp) -> Iterator[Candidate]:
        """Yield the members that the old generation has, with the faults of those that have one."""
        arrays, paths = self._old.arrays, self._old.paths
        for start, stop in spans:
            sizes = arrays["size"][start:stop].tolist()
            places = locators_between(arrays, start, stop)
            rows = zip(paths.between(start, stop), sizes, places, strict=True)
            for path, size, place in rows:
                if place is not None:
                    yield member_candidate(path, place, stamp)._replace(size=size)
