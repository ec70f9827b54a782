"""Find the indexed images near each of many files or probes, as a stream.

Pictures are looked up thousands at a time, because some strategies need many, but the matches of
only one picture at a time exist as `Match`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgdup.errors import ImageError
from imgdup.hashing import HASHERS
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.generation import Generation
from imgdup.query.match import (
    Match,
    Nearby,
    iter_nearest,
    iter_within,
    matches_of,
    near_rows,
    plan_within,
)
from imgdup.search.join import JoinStats
from imgdup.search.planner import explain

if TYPE_CHECKING:
    from imgdup.query.probe import Probe, Probes
    from imgdup.workers.pool import Pool

MAX_PROBES = 10_000  # looked up at once: enough for bands to pay, few enough to wait for


@dataclass(frozen=True)
class QueryOptions:
    """The options of a query.

    Attributes
    ----------
    max_distance : int, optional
        Largest accepted distance, in bits, inclusive. Default: that of the hash, as in
        `imgdup.hashing.HASHERS`; none where `k` is given.
    k : int, optional
        How many matches of each picture at most.
    strategy : str, optional
        ``"tree"``, ``"bands"`` or ``"scan"``; by default the planner chooses. The matches are the
        same. With `k` it is always the tree.
    orientations : bool
        Whether `query_files` looks up each picture in its eight orientations.
    """

    max_distance: int | None = None
    k: int | None = None
    strategy: str | None = None
    orientations: bool = False


@dataclass
class QueryStats:
    """Statistics of a look-up so far.

    Attributes
    ----------
    n_probes, n_matches : int
    compared : JoinStats
        Counts the hashes that were compared; not with `QueryOptions.k`.
    seconds : float
        Spent on the search, without decoding and printing.
    """

    n_probes: int = 0
    n_matches: int = 0
    compared: JoinStats = field(default_factory=JoinStats)
    seconds: float = 0.0


class FileMatches(NamedTuple):
    """The answer for one file: its matches, or why it could not be read."""

    file: bytes
    matches: Iterator[Match]
    error: ImageError | None = None


def default_distance(generation: Generation) -> int:
    """Return the largest distance that a query accepts by default, in bits."""
    return HASHERS[generation.head["hash"]].max_distance[generation.bits]


def query_files(
    generation: Generation,
    files: Iterable[bytes],
    options: QueryOptions | None = None,
    *,
    pool: "Pool | None" = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[FileMatches]:
    """Find the indexed images near each of many files.

    Parameters
    ----------
    generation : Generation
        The opened index.
    files : iterable of bytes
        Paths; read as they are needed.
    options : QueryOptions, optional
        What to look for.
    pool : Pool, optional
        Processes that decode, as for `imgdup.query.probe.probe_files`.
    report : callable, optional
        Is called with lines of text about the plan and the actual cost of the search.

    Yields
    ------
    FileMatches
        One answer for each file, in the order of the files.

    Raises
    ------
    ValueError, IndexFormatError
        As `look_up_each` does.
    """
    from imgdup.query.probe import probe_files

    options = options or QueryOptions()
    n_files = MAX_PROBES // (len(ORIENTATIONS) if options.orientations else 1)
    rest = iter(files)
    while block := list(islice(rest, n_files)):
        parameters, orientations = generation.probe_parameters, options.orientations
        answers = list(probe_files(block, parameters, orientations=orientations, pool=pool))
        pictures = [answer for answer in answers if not isinstance(answer, ImageError)]
        found = look_up_each(generation, pictures, options, report=report)
        for file, answer in zip(block, answers, strict=True):
            if isinstance(answer, ImageError):
                yield FileMatches(file, iter(()), answer)
            else:
                yield FileMatches(file, next(found))
        next(found, None)  # lets it report


def look_up(
    generation: Generation, probes: "Probes", options: QueryOptions | None = None
) -> list[Match]:
    """Find the indexed images near one picture; see `look_up_each`."""
    return list(chain.from_iterable(look_up_each(generation, [probes], options)))


def look_up_each(
    generation: Generation,
    pictures: Sequence["Probes"],
    options: QueryOptions | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> Iterator[Iterator[Match]]:
    """Find the indexed images near each of some pictures.

    Parameters
    ----------
    generation : Generation
        The opened index.
    pictures : sequence of lists of Probe
        The probes of each picture: one, or one for each of its orientations.
    options : QueryOptions, optional
        What to look for.
    report : callable, optional
        As for `query_files`.

    Yields
    ------
    iterator of Match
        For each picture its matches, nearest first, ties in path order. An image that matches in
        several orientations is given once, in the nearest one.

    Raises
    ------
    ValueError
        If `max_distance` is not from 0 to the bits of the hash, `k` is less than 1, or the
        strategy is unknown.
    IndexFormatError
        If the index, which may be forged, names rows that it does not have.
    """
    options = options or QueryOptions()
    probes = [probe for picture in pictures for probe in picture]
    if not probes:
        return
    stats = QueryStats(len(probes))
    if report is not None:
        _report_plan(generation, options, len(probes), report)
    found = _search(generation, probes, options, stats if report else None)
    for picture in pictures:
        started = time.perf_counter()
        near = near_rows(generation, list(islice(found, len(picture))), options.k)
        stats.seconds += time.perf_counter() - started
        stats.n_matches += len(near.rows)
        yield matches_of(generation, picture, near)
    next(found, None)  # there is none: the search ends and releases what it holds
    if report is not None:
        _report_stats(stats, report)


def _search(
    generation: Generation,
    probes: Sequence["Probe"],
    options: QueryOptions,
    stats: QueryStats | None,
) -> Iterator[Nearby]:
    """Find the distinct hashes near each probe."""
    hashes = np.concatenate([probe.hashes for probe in probes])
    if options.k is not None:
        return iter_nearest(generation, hashes, options.k, options.max_distance)
    limit = options.max_distance
    if limit is None:
        limit = default_distance(generation)
    compared = None if stats is None else stats.compared
    return iter_within(generation, hashes, limit, options.strategy, compared)


def _report_plan(
    generation: Generation, options: QueryOptions, n_probes: int, report: Callable[[str], None]
) -> None:
    """Report what each strategy would cost, and which one is used."""
    limit = options.max_distance
    if limit is None:
        limit = default_distance(generation)
    for line in explain(plan_within(generation, n_probes, limit)):
        report(line)
    if options.strategy:
        report(f"strategy {options.strategy} was requested")


def _report_stats(stats: QueryStats, report: Callable[[str], None]) -> None:
    """Report what the search has cost."""
    matches = "match" if stats.n_matches == 1 else "matches"
    probes = "probe" if stats.n_probes == 1 else "probes"
    report(
        f"{stats.compared.n_compared:,} hashes visited, {stats.n_matches:,} {matches} of "
        f"{stats.n_probes:,} {probes}, {stats.seconds:.6f} s"
    )
