"""Rows that no one has the answer for -> batches -> an executor -> parts, noted in the listing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from imgdup.build.checkpoints import SAME_BYTES, Item, Job, Result, write_part
from imgdup.build.links import linked_groups
from imgdup.build.listing import OLD, TO_READ, Listing
from imgdup.build.settings import Progress, Settings
from imgdup.build.task import hash_batch
from imgdup.build.write import Facts
from imgdup.images.formats import OK, REASONS
from imgdup.index.columns import Why, empty_columns
from imgdup.index.terms import terms_of
from imgdup.system.limits import usable_cores
from imgdup.workers.decode import decoding_pool
from imgdup.workers.pool import Died, answers

BATCHES_PER_WORKER = 12  # so that the last batch of one worker keeps the others waiting briefly
MAX_BATCH_FILES = 1000
MAX_BATCH_BYTES = 64 << 20  # about half a second of large photos: what a kill can lose


def read_files(facts: Facts, settings: Settings, progress: Progress) -> None:
    """Hash what no one has the answer for, and note in the listing where each answer is."""
    survey = facts.survey
    leaders = _leaders(survey)
    rows = [row for row in _rows_to_read(survey) if leaders.get(row, row) == row]
    progress.start(len(rows))
    if rows:
        _hash_rows(facts, rows, settings, progress)
    for row, leader in leaders.items():
        if survey.origin[row] == TO_READ:
            survey.origin[row] = survey.origin[leader]
            survey.origin_row[row] = survey.origin_row[leader]


def _rows_to_read(survey: Listing) -> list[int]:
    origin = np.frombuffer(survey.origin, np.int32)
    return np.flatnonzero(origin == TO_READ).tolist()


def _leaders(survey: Listing) -> dict[int, int]:
    """Say for each row of a file with several names which of them stands for all."""
    leaders = {}
    for rows in linked_groups(survey):
        known = [row for row in rows if survey.origin[row] != TO_READ]
        leaders.update(dict.fromkeys(rows, (known or rows)[0]))
    return leaders


def _hash_rows(facts: Facts, rows: list[int], settings: Settings, progress: Progress) -> None:
    workers = settings.workers or usable_cores()
    job = Job(facts.parts_folder, dict(facts.parameters), settings.limits)
    with (
        decoding_pool(settings.limits, workers, settings.engine) as pool,
        closing(
            answers(partial(hash_batch, job), _batches(facts, rows, workers), pool)
        ) as answered,
    ):
        for items, answer in answered:
            result = _bury(job, items, answer) if isinstance(answer, Died) else answer
            _note(facts.survey, items, result)
            progress.advance(len(items))


def _batches(facts: Facts, rows: list[int], workers: int) -> Iterator[list[Item]]:
    """Cut the rows into batches by number and by bytes."""
    survey, paths = facts.survey, facts.survey.paths
    n_files = min(MAX_BATCH_FILES, max(1, len(rows) // (BATCHES_PER_WORKER * workers)))
    batch: list[Item] = []
    n_bytes = 0
    for row in rows:
        if len(batch) == n_files or (batch and n_bytes + survey.size[row] > MAX_BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        digest = _old_digest(facts, survey.doubtful.get(row))
        batch.append(Item(row, paths[row], survey.size[row], survey.mtime_ns[row], digest))
        n_bytes += survey.size[row]
    if batch:
        yield batch


def _old_digest(facts: Facts, old_row: int | None) -> bytes:
    if old_row is None or facts.old is None or facts.old.arrays["status"][old_row] != OK:
        return b""
    return bytes(facts.old.arrays["digest"][old_row])


def _bury(job: Job, items: Sequence[Item], died: Died) -> Result:
    """Write the part for a file that ended its worker."""
    columns = empty_columns(1, job.words)
    columns["size"][0], columns["mtime_ns"][0] = items[0].size, items[0].mtime_ns
    columns["status"][0] = REASONS.index(died.reason)
    head = {**job.parameters, "hashed_ns": time.time_ns()}
    why = Why(died.detail, terms_of(job.limits))
    name = write_part(job.parts_folder, head, [items[0].path], columns, {0: why})
    return Result(name, columns["status"].tobytes())


def _note(survey: Listing, items: Sequence[Item], result: Result) -> None:
    """Note in the listing where the answers of one batch are."""
    number = survey.part_number(result.part) if result.part else OLD
    for i, (item, status) in enumerate(zip(items, result.statuses, strict=True)):
        before = survey.failed_before.get(item.row)
        if status == SAME_BYTES:
            survey.origin[item.row] = OLD
            survey.origin_row[item.row] = survey.doubtful[item.row]
        elif before is not None and before.status == status:
            survey.origin[item.row], survey.origin_row[item.row] = OLD, before.row
        else:
            survey.origin[item.row], survey.origin_row[item.row] = number, i
