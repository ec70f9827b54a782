"""Many files -> their probes: in this process while they are few, else by all cores."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from imgdup.errors import ImageError, answer_of
from imgdup.system.limits import Limits
from imgdup.system.streams import quiet_libraries
from imgdup.workers.decode import batched, decode_batches
from imgdup.workers.pool import Died

if TYPE_CHECKING:
    from imgdup.query.probe import Probe

FEW_FILES = 16  # that a person names by hand: hashed sooner than worker processes start
BATCH_FILES = 100


def make_probes(
    paths: Sequence[bytes],
    parameters: dict[str, Any],
    limits: Limits | None = None,
    workers: int | None = None,
    *,
    turned: bool = False,
    few: int = FEW_FILES,
) -> "list[list[Probe] | ImageError]":
    """Hash files for a query; one answer for each, in their order.

    Parameters
    ----------
    paths : sequence of bytes
        The files.
    parameters : dict
        Those of the index: `imgdup.index.generation.Generation.parameters`.
    limits : Limits, optional
        What one file may cost.
    workers : int, optional
        How many processes; all usable cores by default.
    turned : bool
        Whether to hash each picture in its eight orientations; else it has one probe.
    few : int
        Up to so many files are hashed in this process, without its own limits of time and memory.
    """
    job = _Job(parameters, limits or Limits(), turned)
    if len(paths) <= few:
        with quiet_libraries():
            return _hash(job, paths, lambda _: None)
    return _by_workers(job, paths, workers)


class _Job(NamedTuple):
    """What is asked of each file."""

    parameters: dict[str, Any]
    limits: Limits
    turned: bool


def _by_workers(
    job: _Job, paths: Sequence[bytes], workers: int | None
) -> "list[list[Probe] | ImageError]":
    found: dict[int, list[Probe] | ImageError] = {}
    with closing(
        decode_batches(
            partial(_hash_numbered, job),
            batched(list(enumerate(paths)), BATCH_FILES),
            job.limits,
            workers=workers,
        )
    ) as answered:
        for items, answer in answered:
            if isinstance(answer, Died):
                found[items[0][0]] = ImageError(answer.reason, answer.detail)
            else:
                found.update(zip((i for i, _ in items), answer, strict=True))
    return [found[i] for i in range(len(paths))]


def _hash_numbered(
    job: _Job, items: Sequence[tuple[int, bytes]], before_item: Callable[[int], None]
) -> "list[list[Probe] | ImageError]":
    return _hash(job, [path for _, path in items], before_item)


def _hash(
    job: _Job, paths: Sequence[bytes], before_item: Callable[[int], None]
) -> "list[list[Probe] | ImageError]":
    from imgdup.query.probe import make_probe, make_turned_probes

    name, bits = job.parameters["hash"], job.parameters["bits"]
    found: list[list[Probe] | ImageError] = []
    for i, path in enumerate(paths):
        before_item(i)
        file = os.fsdecode(path)
        try:
            if job.turned:
                found.append(make_turned_probes(file, name, bits, job.limits))
            else:
                found.append([make_probe(file, name, bits, job.limits)])
        except Exception as error:
            found.append(answer_of(error))
    return found
