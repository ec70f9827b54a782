"""Hash the files of a listing in batches, and record their checkpoints in the listing."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from imgdup.build.checkpoints import SAME_BYTES, BatchSettings, append_block, append_rows
from imgdup.build.hash_batch import BatchResult, FileToHash, hash_batch
from imgdup.build.identities import shared_answers
from imgdup.build.listing import OLD, TO_READ, Listing
from imgdup.build.members import Candidate
from imgdup.build.roots import SINGLE_FILES
from imgdup.build.settings import Progress, Settings
from imgdup.build.write import Facts
from imgdup.containers import FORWARD
from imgdup.containers.reading import read_content
from imgdup.errors import ImageError, ImgdupError
from imgdup.images.formats import OK, REASONS
from imgdup.index.columns import RowNumbers
from imgdup.system.files import read_file
from imgdup.system.limits import Limits
from imgdup.system.paths import is_remote, outer_file
from imgdup.workers.pool import BATCHES_PER_WORKER, Died, Pool, Remote, answers, decoding_pool

# A batch is at most this part of the files that are left, for each worker: so the last batches are
# small, and no worker waits long for another one.
SHARE = 4
MAX_BATCH_FILES = 256
MAX_REMOTE_FILES = 1024  # a batch for another machine takes some milliseconds to send
MAX_BATCH_BYTES = 16 << 20  # about 0.1 s of large photos: the most that a kill can lose
EARLY_FILES = 768  # listed before the first go to the workers: in some milliseconds
RUN_BYTES = 8  # of the name of a run
PRELOAD = (hash_batch.__module__,)
UNSEEN = {REASONS.index("missing"), REASONS.index("unreadable")}


def read_files(
    facts: Facts,
    found: Iterator[tuple[int, Candidate]],
    settings: Settings,
    progress: Progress,
    pool: Pool,
) -> None:
    """Hash the files that are found, and record in the listing where their results are.

    The listing is complete when `found`, from `list_files`, ends. Workers start with the first
    file, before all files are listed.
    """
    batches = _all_batches(facts, found, progress, pool)
    _hash(facts, batches, settings, progress, pool)
    _copy_answers(facts.listing)


def _copy_answers(listing: Listing) -> None:
    """Give all other names of a file the result of the name that was read."""
    origin = np.frombuffer(listing.origin, np.int32)
    origin_row = np.frombuffer(listing.origin_row, np.int64)
    rows = np.flatnonzero(origin == TO_READ)
    if len(rows):
        answered = shared_answers(listing)[rows]
        origin[rows], origin_row[rows] = origin[answered], origin_row[answered]


def own_pool(settings: Settings) -> Pool:
    """Return workers that hash; they start at the first file."""
    return decoding_pool(settings.limits, settings.workers, settings.engine, PRELOAD)


def _hash(
    facts: Facts,
    batches: Iterator[list[FileToHash]],
    settings: Settings,
    progress: Progress,
    pool: Pool,
) -> None:
    shared = new_run(facts.checkpoints.folder, facts.parameters, settings.limits)
    if pool.remote is not None:
        shared = shared._replace(by_value=True, began_ns=time.time_ns())
        batches = _seen_batches(facts.listing, batches, pool.remote)
    with closing(answers(partial(hash_batch, shared), batches, pool)) as answered:
        for files, answer in answered:
            if isinstance(answer, Died):
                answer = record_death(shared, files[0], answer)
            elif shared.by_value:
                answer = _keep_block(shared, files, answer)
            _note(facts.listing, files, answer)
            progress.advance(len(files))


def new_run(checkpoints: Path, parameters: Mapping[str, Any], limits: Limits) -> BatchSettings:
    """Return the settings of batches whose results go to new files in a folder of checkpoints."""
    return BatchSettings(checkpoints, dict(parameters), limits, os.urandom(RUN_BYTES).hex())


def _seen_batches(
    listing: Listing, batches: Iterator[list[FileToHash]], remote: Remote
) -> Iterator[list[FileToHash]]:
    """Check that other machines see the folders and a file of the first batch; then yield all."""
    for n_before, batch in enumerate(batches):
        if n_before == 0:
            folders = [root for root in listing.roots if root != SINGLE_FILES]
            paths = [*folders, outer_file(batch[0].path)]
            remote.require_seen([path for path in paths if not is_remote(path)])
        yield batch


def _keep_block(
    shared: BatchSettings, files: Sequence[FileToHash], answer: BatchResult
) -> BatchResult:
    """Append a batch that came back by value to a checkpoint.

    Raises ImgdupError if another machine could not read a file that this one can read.
    """
    for file, status in zip(files, answer.statuses, strict=True):
        if status in UNSEEN and file.fault is None and _can_read(file, shared.limits):
            raise ImgdupError(
                f"{os.fsdecode(file.path)}: a worker of the cluster cannot read it: all machines "
                "must find the pictures under the same path; run the same command again to continue"
            )
    if not answer.block:
        return answer
    where = append_block(shared, answer.block, len(files))
    return BatchResult(*where, answer.statuses)


def _can_read(file: FileToHash, limits: Limits) -> bool:
    """Return whether this process can read a file or a member."""
    try:
        if file.locator is None and not is_remote(file.path):
            read_file(file.path, limits)
        else:
            read_content(file.path, limits, file.locator)
    except ImageError:
        return False
    return True


def _all_batches(
    facts: Facts, found: Iterator[tuple[int, Candidate]], progress: Progress, pool: Pool
) -> Iterator[list[FileToHash]]:
    """Yield the files to read in batches; a file with several names occurs only once."""
    early: list[int] = []
    for batch in _early_batches(found, pool.n_workers):
        early += (file.row for file in batch)
        yield batch
    deque(found, maxlen=0)  # list the other files while the workers are busy
    needs_answer = np.frombuffer(facts.listing.origin, np.int32) == TO_READ
    needs_answer[shared_answers(facts.listing) >= 0] = False
    needs_answer[early] = False
    rows = _in_reading_order(facts.listing, np.flatnonzero(needs_answer))
    progress.start(len(early) + len(rows))
    most = MAX_REMOTE_FILES if pool.remote else MAX_BATCH_FILES
    yield from _batches(
        _files_to_hash(facts, rows),
        lambda n_before: min(most, -(-(len(rows) - n_before) // (SHARE * pool.n_workers))),
    )


def _in_reading_order(listing: Listing, rows: RowNumbers) -> RowNumbers:
    """Sort the members of tables and compressed files by their places.

    In path order, row 10 of a table comes before row 9.
    """
    if not listing.has_members or not len(rows):
        return rows
    places = listing.locator_array()[rows]
    kind, group, row = places[:, 0], places[:, 1], places[:, 2]
    is_forward = np.isin(kind, FORWARD)
    begins = np.ones(len(rows), bool)  # a run of members of one container, or of other files
    begins[1:] = (places[1:, -2:] != places[:-1, -2:]).any(axis=1)
    begins[1:] |= is_forward[1:] != is_forward[:-1]
    keys = [np.where(is_forward, column, 0) for column in (row, group)]
    order = np.lexsort((*keys, begins.cumsum()))
    return rows[order]


def _early_batches(
    found: Iterator[tuple[int, Candidate]], workers: int
) -> Iterator[list[FileToHash]]:
    """If there are many files, yield one batch less than are submitted at once.

    A file with several names occurs only once.
    """
    first = list(islice(found, EARLY_FILES))
    is_forward = any(file.locator and file.locator.kind in FORWARD for _, file in first)
    if len(first) == EARLY_FILES and not is_forward:
        by_identity = {(file.device, file.inode or -row): (row, file) for row, file in first[::-1]}
        files = [
            FileToHash(row, file.path, file.size, file.mtime_ns, b"", file.locator, file.fault)
            for row, file in sorted(by_identity.values())
        ]
        n_batches = BATCHES_PER_WORKER * workers - 1
        n_files = max(1, min(MAX_BATCH_FILES, EARLY_FILES // n_batches))
        yield from islice(_batches(files, lambda _: n_files), n_batches)


def _files_to_hash(facts: Facts, rows: RowNumbers) -> Iterator[FileToHash]:
    listing = facts.listing
    paths = listing.paths.of_rows(map(int, rows))
    for row, path in zip(map(int, rows), paths, strict=True):
        digest = _old_digest(facts, listing.recheck.get(row))
        stamp = listing.size[row], listing.mtime_ns[row]
        place = listing.locator(row), listing.faults.get(row)
        yield FileToHash(row, path, *stamp, digest, *place)


def _batches(
    files: Iterable[FileToHash], most_files: Callable[[int], int]
) -> Iterator[list[FileToHash]]:
    """Divide files into batches, by bytes and by a number that grows with the batches before."""
    batch: list[FileToHash] = []
    n_bytes, n_before = 0, 0
    for file in files:
        is_full = len(batch) == most_files(n_before) or n_bytes + file.size > MAX_BATCH_BYTES
        if batch and is_full:
            yield batch
            n_before += len(batch)
            batch, n_bytes = [], 0
        batch.append(file)
        n_bytes += file.size
    if batch:
        yield batch


def _old_digest(facts: Facts, old_row: int | None) -> bytes:
    if old_row is None or facts.old is None or facts.old.arrays["status"][old_row] != OK:
        return b""
    return bytes(facts.old.arrays["digest"][old_row])


def record_death(shared: BatchSettings, file: FileToHash, died: Died) -> BatchResult:
    """Append the result for a file that ended its worker."""
    columns = shared.empty_columns(1)
    columns["size"][0], columns["mtime_ns"][0] = file.size, file.mtime_ns
    columns["status"][0] = REASONS.index(died.reason)
    where = append_rows(shared, time.time_ns(), [file.key], columns, {0: died.detail})
    return BatchResult(*where, columns["status"].tobytes())


def _note(listing: Listing, files: Sequence[FileToHash], result: BatchResult) -> None:
    """Record in the listing where the results of one batch are."""
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
