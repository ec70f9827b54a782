"""Many files -> their probes: in this process while they are few, else by all cores."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from imgdup.confine import quiet_libraries
from imgdup.decoding import decode_batches
from imgdup.errors import ImageError
from imgdup.executors import Died
from imgdup.limits import Limits

if TYPE_CHECKING:
    from imgdup.probes import Probe

FEW_FILES = 200  # hashed sooner than worker processes start
BATCH_FILES = 100


def make_probes(
    paths: Sequence[bytes],
    parameters: dict[str, Any],
    limits: Limits | None = None,
    workers: int | None = None,
) -> "list[Probe | ImageError]":
    """Hash files for a query; one answer for each, in their order.

    Parameters
    ----------
    paths : sequence of bytes
        The files.
    parameters : dict
        Those of the index: `imgdup.generation.Generation.parameters`.
    limits : Limits, optional
        What one file may cost.
    workers : int, optional
        How many processes; all usable cores by default. Few files take none.
    """
    limits = limits or Limits()
    if len(paths) <= FEW_FILES:
        with quiet_libraries():
            return _hash(parameters, limits, paths, lambda _: None)
    return _by_workers(paths, parameters, limits, workers)


def _by_workers(
    paths: Sequence[bytes], parameters: dict[str, Any], limits: Limits, workers: int | None
) -> "list[Probe | ImageError]":
    numbers = range(len(paths))
    batches = (numbers[i : i + BATCH_FILES] for i in range(0, len(paths), BATCH_FILES))
    found: dict[int, Probe | ImageError] = {}
    with closing(
        decode_batches(
            partial(_hash_numbered, parameters, limits),
            ([(i, paths[i]) for i in batch] for batch in batches),
            limits,
            workers=workers,
        )
    ) as answered:
        for items, answer in answered:
            if isinstance(answer, Died):
                found[items[0][0]] = ImageError(answer.reason, answer.detail)
            else:
                found.update(zip((i for i, _ in items), answer, strict=True))
    return [found[i] for i in numbers]


def _hash_numbered(
    parameters: dict[str, Any],
    limits: Limits,
    items: Sequence[tuple[int, bytes]],
    before_item: Callable[[int], None],
) -> "list[Probe | ImageError]":
    return _hash(parameters, limits, [path for _, path in items], before_item)


def _hash(
    parameters: dict[str, Any],
    limits: Limits,
    paths: Sequence[bytes],
    before_item: Callable[[int], None],
) -> "list[Probe | ImageError]":
    from imgdup.probes import make_probe

    found: list[Probe | ImageError] = []
    for i, path in enumerate(paths):
        before_item(i)
        try:
            found.append(
                make_probe(os.fsdecode(path), parameters["hash"], parameters["bits"], limits)
            )
        except ImageError as error:
            found.append(error)
    return found
