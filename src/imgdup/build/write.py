"""Write the next generation from a finished listing and the sources of its facts.

Columns are gathered one at a time and in blocks, to need little memory in addition to the listing.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from imgdup import __version__
from imgdup.build.checkpoints import Checkpoints
from imgdup.build.identities import BLOCK_ROWS, Array, Identities, identity_blocks, same_file
from imgdup.build.known import COPIED
from imgdup.build.listing import OLD, Listing
from imgdup.build.merge_table import MergedTable
from imgdup.images.formats import OK, REASONS
from imgdup.index import folder, store
from imgdup.index.columns import (
    IDENTITY,
    IDENTITY_FORM,
    LOCATOR,
    TRIMMED,
    TRIMMED_ROWS,
    RowNumbers,
    expanded,
    failure_arrays,
    failure_detail,
    fields,
)
from imgdup.index.generation import TREE_PREFIX, Generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import stored_root
from imgdup.search.bands import choose_layout, typical_distance
from imgdup.search.equal import group_equal
from imgdup.search.vptree import VPTree
from imgdup.system.paths import absolute

log = logging.getLogger(__name__)

MISSING = REASONS.index("missing")


@dataclass(frozen=True)
class Facts:
    """The sources of the facts of a listing: the old generation, checkpoints, parameters.

    `other` is the generation of another index, of which rows are copied.
    """

    listing: Listing
    old: Generation | None
    checkpoints: Checkpoints
    parameters: Mapping[str, Any]
    other: Generation | None = None

    @property
    def fields(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtype and row shape of each column."""
        with_pdq, with_trimmed = (bool(self.parameters[f"with_{x}"]) for x in ("pdq", TRIMMED))
        words, with_members = int(self.parameters["bits"]) // 64, self.listing.has_members
        optional = {"with_pdq": with_pdq, "with_trimmed": with_trimmed}
        return fields(words, **optional, with_members=with_members)

    @cached_property
    def same_file(self) -> RowNumbers:
        """For each row, the first row of the same file, or -1 if it is that row itself."""
        return same_file(self.listing, self.old)

    @cached_property
    def mode(self) -> int:
        """Permissions of the index: those that all its pictures have in common.

        The permissions of the old generation represent pictures that were not scanned.
        """
        mode = self.listing.tally.mode
        is_kept = self.old is not None and len(self.listing.kept)
        return mode & os.stat(self.old.file).st_mode if self.old and is_kept else mode

    def __len__(self) -> int:
        return len(self.listing)

    def path_arrays(self) -> Mapping[str, Array]:
        """Return the arrays of the paths."""
        return self.listing.paths.arrays()

    def identity_blocks(self) -> Iterator[Identities]:
        """Yield device and inode of the file of each row, as `identity_blocks` does."""
        return identity_blocks(self.listing, self.old)

    def sources(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[RowNumbers, RowNumbers, int]]:
        """Yield rows, the rows of their source, and its number, for each source of some rows."""
        origin = np.frombuffer(self.listing.origin, np.int32)[start:stop]
        origin_row = np.frombuffer(self.listing.origin_row, np.int64)
        order = np.argsort(origin, kind="stable")
        numbers, starts = np.unique(origin[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
            if number >= OLD:
                rows = rows + start
                yield rows, origin_row[rows], number

    def _values(self, number: int, field: str, source_rows: RowNumbers) -> Array:
        name = self.listing.checkpoint_names[number]
        generation = self.old if number == OLD else self.other if name == COPIED else None
        if generation is None:
            return self.checkpoints.columns(name, source_rows)[field][source_rows]
        if field == TRIMMED:
            arrays = generation.arrays
            return expanded(arrays[TRIMMED_ROWS], arrays[TRIMMED], source_rows)
        return generation.arrays[field][source_rows]

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Array:
        """Gather one field of some rows, in row order; rows without a source are zero."""
        if field == LOCATOR:
            return self.listing.locator_array()[start:stop]
        dtype, shape = self.fields[field]
        stop = len(self.listing) if stop is None else stop
        column = np.zeros((stop - start, *shape), dtype)
        for rows, source_rows, number in self.sources(start, stop):
            column[rows - start] = self._values(number, field, source_rows)
        if field == "mtime_ns" and self.listing.has_members:  # of a container with equal members
            is_member = self.listing.locator_array()[start:stop].any(axis=1)
            mtime_ns = np.frombuffer(self.listing.mtime_ns, np.int64)[start:stop]
            column[is_member] = mtime_ns[is_member]
        return column

    def failures(self, status: Array) -> dict[int, str]:
        """Return what went wrong, by row, for rows whose status is not ok."""
        found = {}
        for rows, source_rows, number in self.sources():
            failed = np.flatnonzero(status[rows] != OK)
            if len(failed):
                detail = self._details(number)
                for row, source_row in zip(rows[failed], source_rows[failed], strict=True):
                    found[int(row)] = detail(int(source_row))
        return found

    def _details(self, number: int) -> Callable[[int], str]:
        """Return a function that returns what went wrong with the file of a row of a source."""
        if number == OLD and self.old is not None:
            return partial(failure_detail, self.old.arrays)
        known = self.checkpoints.failures(self.listing.checkpoint_names[number])
        return lambda row: known.get(row, "")


Table = Facts | MergedTable  # what a generation is written from: rows in path order


def write_generation(file: Path, table: Table, roots: Mapping[bytes, ScanOptions]) -> None:
    """Write the next generation; its bytes depend on nothing but the table and the roots.

    Its permissions are those that all its pictures have in common.
    """
    status, (dtype, shape) = table.gather("status"), IDENTITY_FORM
    arrays: dict[str, Array | store.Column] = {
        **table.path_arrays(),
        "status": status,
        IDENTITY: store.Column(dtype, (len(table), *shape), table.identity_blocks()),
        "same_file": table.same_file,
        **failure_arrays(table.failures(status)),
    }
    dictionary, skew = _dictionary(table.gather("hashes"), status)
    arrays |= dictionary
    for name, (dtype, shape) in table.fields.items():
        if name == TRIMMED:
            arrays |= _trimmed(table)
        elif name != "status":
            arrays[name] = store.Column(dtype, (len(table), *shape), _late(table, name))
    place = absolute(file.parent)
    stated = {k: v for k, v in table.parameters.items() if k != "with_trimmed"}  # arrays show it
    head = {
        "kind": "index",
        **stated,
        "band_skew_thousandths": round(1000 * skew),
        "roots": [_root(stored_root(root, place), options) for root, options in roots.items()],
    }
    store.save(file, head, arrays, mode=table.mode)


def _late(table: Table, field: str) -> Iterator[Array]:
    """Gather a column when it is written, and in blocks."""
    for start in range(0, len(table), BLOCK_ROWS):
        yield table.gather(field, start, min(start + BLOCK_ROWS, len(table)))


def _trimmed(table: Table) -> dict[str, Array]:
    """Gather the match hashes of what borders enclose, and the rows that have one."""
    rows, hashes = [np.zeros(0, np.int64)], [table.gather(TRIMMED, 0, 0)]
    for number, block in enumerate(_late(table, TRIMMED)):
        places = np.flatnonzero(block.any(axis=1))
        rows.append(places + number * BLOCK_ROWS)
        hashes.append(block[places])
    return {TRIMMED_ROWS: np.concatenate(rows), TRIMMED: np.concatenate(hashes)}


def _root(path: bytes, options: ScanOptions) -> dict[str, Any]:
    return {
        "path": path.decode("utf-8", "surrogateescape"),
        "exclude": list(options.exclude),
        "follow_symlinks": int(options.follow_symlinks),
        "hidden": int(options.hidden),
        **({} if options.part.is_whole else {"part": str(options.part)}),
        **({"containers": 1} if options.containers else {}),
        **({"column": options.column} if options.column else {}),
    }


def _dictionary(hashes: Array, status: Array) -> tuple[dict[str, Array], float]:
    """Make the hash dictionary, the tree over its hashes, and measure the skew of their bands."""
    ok = np.flatnonzero(status == OK)
    hashes = hashes[ok]
    classes = group_equal(hashes)
    distinct = hashes[classes.rows]
    del hashes
    tree = VPTree.build(distinct)
    dictionary = {
        "class_offsets": classes.offsets,
        "class_rows": ok[classes.members],
        **{TREE_PREFIX + name: array for name, array in tree.arrays().items()},
    }
    return dictionary, choose_layout(distinct, None, typical_distance(distinct.shape[1])).skew


def drop_missing(facts: Facts) -> Listing:
    """Return the listing without the files that vanished between listing and reading."""
    listing = facts.listing
    missing = set(np.flatnonzero(facts.gather("status") == MISSING).tolist())
    if not missing:
        return listing
    return listing.without(missing)


def commit_generation(
    place: Path, facts: Facts, roots: Mapping[bytes, ScanOptions], *, scanned_ns: int
) -> int:
    """Write the next generation, make it the current one, and return its number.

    `scanned_ns` is the time of the scan for roots without older rows.
    """
    return commit_table(place, facts, roots, kept_times(facts.listing, scanned_ns))


def commit_table(
    place: Path, table: Table, roots: Mapping[bytes, ScanOptions], times: Mapping[bytes, int]
) -> int:
    """Write a table as the next generation, make it the current one, and return its number.

    `times` are those of the scans of the roots.
    """
    number = folder.next_generation(place)
    write_generation(folder.generation_path(place, number), table, roots)
    built = datetime.now(UTC).isoformat(timespec="seconds")
    stored = stored_times(times, absolute(place))
    folder.commit(place, folder.Current(number, built, __version__, stored))
    return number


def kept_times(listing: Listing, scanned_ns: int) -> dict[bytes, int]:
    """Return since when all rows of each root are known; rows that were not scanned count, too."""
    return {root: listing.kept_ns.get(root, scanned_ns) for root in listing.roots}


def stored_times(times: Mapping[bytes, int], place: bytes) -> dict[str, int]:
    """Return the times of roots, by their names in the file `current`."""
    return {os.fsdecode(stored_root(root, place)): times[root] for root in times}


def keep_private(file: Path, mode: int) -> None:
    """Remove permissions from the index that some of its pictures no longer have."""
    now = stat.S_IMODE(os.stat(file).st_mode)
    if now & ~mode:
        try:
            os.chmod(file, now & mode)
        except OSError as error:
            log.warning("%s can be read by more users than its pictures: %s", file, error.strerror)


def scan_times(old: Generation, current: folder.Current) -> dict[bytes, int]:
    """Return when each root, by its current path, was scanned, in nanoseconds."""
    by_stored = {os.fsencode(root): ns for root, ns in current.scanned_ns.items()}
    pairs = zip(old.roots, old.stored_roots, strict=True)
    return {root: by_stored[stored] for root, stored in pairs if stored in by_stored}
