"""Write the file of the next generation from a finished listing and the sources of its facts.

Columns are gathered one at a time and in blocks, to need little memory in addition to the listing.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.build.checkpoints import load_checkpoint
from imgdup.build.identities import identity_blocks, same_file
from imgdup.build.listing import OLD, Listing
from imgdup.images.formats import OK, REASONS
from imgdup.index import store
from imgdup.index.columns import (
    IDENTITY,
    IDENTITY_FORM,
    RowNumbers,
    failure_arrays,
    failure_detail,
    fields,
)
from imgdup.index.generation import TREE_PREFIX, Generation, ScanOptions
from imgdup.index.paths import stored_root
from imgdup.search.bands import choose_layout, typical_distance
from imgdup.search.equal import group_equal
from imgdup.search.vptree import VPTree
from imgdup.system.paths import absolute

Array = npt.NDArray[Any]

BLOCK_ROWS = 1 << 18  # of a column, gathered at a time

MISSING = REASONS.index("missing")


@dataclass(frozen=True)
class Facts:
    """The sources of the facts of a listing: the old generation, checkpoints, parameters."""

    listing: Listing
    old: Generation | None
    checkpoints_folder: Path
    parameters: Mapping[str, Any]

    @property
    def words(self) -> int:
        """Width of the search hash."""
        return int(self.parameters["bits"]) // 64

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

    def sources(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[RowNumbers, RowNumbers, Mapping[str, Array]]]:
        """Yield rows, the rows of their source, and its arrays, for each source of some rows."""
        origin = np.frombuffer(self.listing.origin, np.int32)[start:stop]
        origin_row = np.frombuffer(self.listing.origin_row, np.int64)
        order = np.argsort(origin, kind="stable")
        numbers, starts = np.unique(origin[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
            if number >= OLD:
                rows = rows + start
                name = self.listing.checkpoint_names[number]
                yield rows, origin_row[rows], self._arrays(number, name)

    def _arrays(self, number: int, name: str) -> Mapping[str, Array]:
        if number == OLD and self.old is not None:
            return self.old.arrays
        return load_checkpoint(self.checkpoints_folder, name).arrays

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Array:
        """Gather one field of some rows, in row order; rows without a source are zero."""
        dtype, shape = fields(self.words)[field]
        stop = len(self.listing) if stop is None else stop
        column = np.zeros((stop - start, *shape), dtype)
        for rows, source_rows, arrays in self.sources(start, stop):
            column[rows - start] = arrays[field][source_rows]
        return column

    def failures(self, status: Array) -> dict[int, str]:
        """Return what went wrong, by row, for rows whose status is not ok."""
        found = {}
        for rows, source_rows, arrays in self.sources():
            failed = np.flatnonzero(status[rows] != OK)
            for row, source_row in zip(rows[failed], source_rows[failed], strict=True):
                found[int(row)] = failure_detail(arrays, int(source_row))
        return found


def write_generation(file: Path, facts: Facts, roots: Mapping[bytes, ScanOptions]) -> None:
    """Write the next generation; its bytes depend on nothing but the listing and the facts.

    Its permissions are those that all its pictures have in common.
    """
    listing, status = facts.listing, facts.gather("status")
    paths, (dtype, shape) = listing.paths, IDENTITY_FORM
    arrays: dict[str, Array | store.Column] = {
        "run_rows": paths.run_rows,
        "run_roots": paths.run_roots,
        "path_offsets": paths.relative.offsets,
        "path_blob": paths.relative.blob,
        "status": status,
        IDENTITY: store.Column(dtype, (len(listing), *shape), identity_blocks(listing, facts.old)),
        "same_file": facts.same_file,
        **failure_arrays(facts.failures(status)),
    }
    dictionary, skew = _dictionary(facts.gather("hashes"), status)
    arrays |= dictionary
    for name, (dtype, shape) in fields(facts.words).items():
        if name != "status":
            arrays[name] = store.Column(dtype, (len(listing), *shape), _late(facts, name))
    place = absolute(file.parent)
    head = {
        "kind": "index",
        **facts.parameters,
        "band_skew_thousandths": round(1000 * skew),
        "roots": [_root(stored_root(root, place), options) for root, options in roots.items()],
    }
    store.save(file, head, arrays, mode=facts.mode)


def _late(facts: Facts, field: str) -> Iterator[Array]:
    """Gather a column when it is written, and in blocks."""
    n_rows = len(facts.listing)
    for start in range(0, n_rows, BLOCK_ROWS):
        yield facts.gather(field, start, min(start + BLOCK_ROWS, n_rows))


def _root(path: bytes, options: ScanOptions) -> dict[str, Any]:
    return {
        "path": path.decode("utf-8", "surrogateescape"),
        "exclude": list(options.exclude),
        "follow_symlinks": int(options.follow_symlinks),
        "hidden": int(options.hidden),
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
    gone = set(np.flatnonzero(facts.gather("status") == MISSING).tolist())
    if not gone:
        return listing
    return listing.without(gone)
