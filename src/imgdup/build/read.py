"""Hash the files of a listing in batches, and record their checkpoints in the listing."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from imgdup.build.checkpoints import (
    SAME_BYTES,
    BatchResult,
    BatchSettings,
    FileToHash,
    append_rows,
)
from imgdup.build.hash_batch import hash_batch
from imgdup.build.listing import OLD, TO_READ, Listing
from imgdup.build.settings import Progress, Settings
from imgdup.build.write import Facts, linked_rows
from imgdup.images.formats import OK, REASONS
from imgdup.system.limits import usable_cores
from imgdup.workers.pool import Died, answers, decoding_pool

BATCHES_PER_WORKER = 12  # so that other workers wait only briefly for the last batch
RUN_BYTES = 8  # of the name of a run
MAX_BATCH_FILES = 1000
MAX_BATCH_BYTES = 64 << 20  # about half a second of large photos: the most that a kill can lose


def read_files(facts: Facts, settings: Settings, progress: Progress) -> None:
    """Hash the files without an answer, and record in the listing where each answer is."""
    listing = facts.listing
    first_of = _first_names(listing)
    rows = [row for row in _rows_to_read(listing) if first_of.get(row, row) == row]
    progress.start(len(rows))
    if rows:
        _hash_rows(facts, rows, settings, progress)
    for row, first in first_of.items():
        if listing.origin[row] == TO_READ:
            listing.origin[row] = listing.origin[first]
            listing.origin_row[row] = listing.origin_row[first]


def _rows_to_read(listing: Listing) -> list[int]:
    origin = np.frombuffer(listing.origin, np.int32)
    return np.flatnonzero(origin == TO_READ).tolist()


def _first_names(listing: Listing) -> dict[int, int]:
    """Choose which name of each file with several names is read."""
    first_of = {}
    for rows in linked_rows(listing):
        names = rows.tolist()
        unknown = [row for row in names if listing.origin[row] == TO_READ]
        known = [row for row in names if listing.origin[row] != TO_READ]
        first_of.update(dict.fromkeys(unknown, (known or names)[0]))
    return first_of


def _hash_rows(facts: Facts, rows: list[int], settings: Settings, progress: Progress) -> None:
    workers = settings.workers or usable_cores()
    run = os.urandom(RUN_BYTES).hex()
    shared = BatchSettings(facts.checkpoints.folder, dict(facts.parameters), settings.limits, run)
    with (
        decoding_pool(settings.limits, workers, settings.engine) as pool,
        closing(
            answers(partial(hash_batch, shared), _batches(facts, rows, workers), pool)
        ) as answered,
    ):
        for files, answer in answered:
            if isinstance(answer, Died):
                answer = _record_death(shared, files[0], answer)
            _note(facts.listing, files, answer)
            progress.advance(len(files))


def _batches(facts: Facts, rows: list[int], workers: int) -> Iterator[list[FileToHash]]:
    """Divide the rows into batches by number and by bytes."""
    listing, paths = facts.listing, facts.listing.paths
    n_files = min(MAX_BATCH_FILES, max(1, len(rows) // (BATCHES_PER_WORKER * workers)))
    batch: list[FileToHash] = []
    n_bytes = 0
    for row in rows:
        size = listing.size[row]
        if len(batch) == n_files or (batch and n_bytes + size > MAX_BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        digest = _old_digest(facts, listing.recheck.get(row))
        batch.append(FileToHash(row, paths[row], size, listing.mtime_ns[row], digest))
        n_bytes += size
    if batch:
        yield batch


def _old_digest(facts: Facts, old_row: int | None) -> bytes:
    if old_row is None or facts.old is None or facts.old.arrays["status"][old_row] != OK:
        return b""
    return bytes(facts.old.arrays["digest"][old_row])


def _record_death(shared: BatchSettings, file: FileToHash, died: Died) -> BatchResult:
    """Append the answer for a file that ended its worker."""
    columns = shared.empty_columns(1)
    columns["size"][0], columns["mtime_ns"][0] = file.size, file.mtime_ns
    columns["status"][0] = REASONS.index(died.reason)
    where = append_rows(shared, time.time_ns(), [file.path], columns, {0: died.detail})
    return BatchResult(*where, columns["status"].tobytes())


def _note(listing: Listing, files: Sequence[FileToHash], result: BatchResult) -> None:
    """Record in the listing where the answers of one batch are."""
    number = listing.checkpoint_number(result.checkpoint) if result.checkpoint else OLD
    for i, (file, status) in enumerate(zip(files, result.statuses, strict=True)):
        before = listing.failed_before.get(file.row)
        if status == SAME_BYTES:
            listing.origin[file.row] = OLD
            listing.origin_row[file.row] = listing.recheck[file.row]
        elif before is not None and before.status == status:
            listing.origin[file.row], listing.origin_row[file.row] = OLD, before.row
        else:
            listing.origin[file.row] = number
            listing.origin_row[file.row] = result.first_row + i
