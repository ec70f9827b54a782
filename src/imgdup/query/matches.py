"""Find the indexed images near each of many files or probes, as a stream.

Pictures are looked up thousands at a time, because some strategies need many, but the matches of
only one picture at a time exist as `Match`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from imgdup.errors import ImageError
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.generation import Generation
from imgdup.query import default_distance, hash_bits
from imgdup.query.match import HASHES, Match, matches_of, near_rows
from imgdup.query.nearby import (
    Nearby,
    RowLookup,
    iter_nearest,
    iter_within,
    nearest_of,
    plan_within,
    rows_with,
)
from imgdup.query.probe import Image, Probe, Probes, make_probes, probe_files
from imgdup.search.join import JoinStats
from imgdup.search.planner import STRATEGIES, explain

MAX_PROBES = 10_000  # looked up at once: enough for bands to pay, few enough to wait for


@dataclass(frozen=True)
class QueryOptions:
    """The options of a query."""

    # Largest accepted distance, in bits, inclusive: of the search hash, or of the hash that `by`
    # names. Default: that of the hash, as in `default_distance`; none where `k` is given.
    max_distance: int | None = None
    k: int | None = None  # how many matches of each picture at most
    # ``"tree"``, ``"bands"`` or ``"scan"``; by default the planner chooses. The matches are the
    # same. Only the search hash has a tree: the planner chooses for the others. With `k` it has no
    # effect.
    strategy: str | None = None
    # Whether `query_files` looks up each picture in its eight orientations.
    orientations: bool = False
    # The hash to look up: ``"search"``, ``"match"`` or ``"pdq"``. By default an image matches if
    # the search hash is within `max_distance` or the match hash within 31 bits; with `k`, the
    # search hash alone is looked up.
    by: str | None = None
    # How many matches of each picture are read at most: more need not be found.
    n_read: int | None = None


@dataclass
class QueryStats:
    """Statistics of a look-up so far."""

    n_probes: int = 0
    n_matches: int = 0
    # Counts the hashes that were compared; not with `QueryOptions.k`.
    compared: JoinStats = field(default_factory=JoinStats)
    seconds: float = 0.0  # spent on the search, without decoding and printing


class FileMatches(NamedTuple):
    """The answer for one file: its matches and what was looked up, or why it could not be read."""

    file: bytes
    matches: Iterator[Match]
    error: ImageError | None = None
    probe: Probe | None = None


def looked_up(generation: Generation, options: QueryOptions) -> dict[str, int | None]:
    """Return the hashes that a query looks up, and the largest distance of each.

    Raises ValueError if `by` is not the name of a hash. Raises ImgdupError if the index does not
    have it.
    """
    by = options.by or "search"
    if by not in HASHES:
        raise ValueError(f"by must be one of {sorted(HASHES)}, got {by!r}")
    if by == "match":
        generation.require_match()
    if by == "pdq":
        generation.require_pdq()
    limit = options.max_distance
    if limit is None and options.k is None:
        limit = default_distance(generation, by)
    if options.by is None and options.k is None and generation.has_match:
        return {"search": limit, "match": MATCH_MAX_DISTANCE}
    return {by: limit}


def query_files(
    generation: Generation,
    files: Iterable[bytes],
    options: QueryOptions | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> Iterator[FileMatches]:
    """Find the indexed images near each of many files, which are read as they are needed.

    Yields one answer for each file, in the order of the files. `report` is called with lines of
    text about the plan and the actual cost of the search. Raises ValueError, IndexFormatError as
    `look_up_each` does.
    """
    options = options or QueryOptions()
    n_files = MAX_PROBES // (len(ORIENTATIONS) if options.orientations else 1)
    rest = iter(files)
    while block := list(islice(rest, n_files)):
        parameters, orientations = generation.probe_parameters, options.orientations
        answers = list(probe_files(block, parameters, orientations=orientations))
        pictures = [answer for answer in answers if not isinstance(answer, ImageError)]
        found = look_up_each(generation, pictures, options, report=report)
        for file, answer in zip(block, answers, strict=True):
            if isinstance(answer, ImageError):
                yield FileMatches(file, iter(()), answer)
            else:
                yield FileMatches(file, next(found), probe=answer[0])
        next(found, None)  # lets it report


def look_up(generation: Generation, image: Image, options: QueryOptions) -> list[Match]:
    """Find the indexed images near one image, as `query_files` does for files."""
    probes = make_probes(image, generation.probe_parameters, orientations=options.orientations)
    return list(chain.from_iterable(look_up_each(generation, [probes], options)))


def look_up_each(
    generation: Generation,
    pictures: Sequence[Probes],
    options: QueryOptions | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> Iterator[Iterator[Match]]:
    """Find the indexed images near each of some pictures.

    The probes of a picture are one, or one for each of its orientations. Yields for each picture
    its matches, nearest first, ties in path order. An image that matches in several orientations is
    given once, in the nearest one. `report` is called as by `query_files`.

    Raises ValueError if `max_distance` is not from 0 to the bits of the hash, `k` is less than 1,
    or the strategy is unknown. Raises IndexFormatError if the index, which may be forged, names
    rows that it does not have.
    """
    options = options or QueryOptions()
    if options.strategy not in (None, *STRATEGIES):
        raise ValueError(f"strategy must be one of {STRATEGIES}, got {options.strategy!r}")
    limits = looked_up(generation, options)
    probes = [probe for picture in pictures for probe in picture]
    if not probes:
        return
    stats = QueryStats(len(probes))
    if report is not None:
        _report_plan(generation, options, len(probes), report)
    compared = None if report is None else stats.compared
    found = {by: _search(generation, probes, by, options, compared) for by in limits}
    for picture in pictures:
        started = time.perf_counter()
        near = {by: list(islice(each, len(picture))) for by, each in found.items()}
        rows = near_rows(generation, picture, near, options.k)
        stats.seconds += time.perf_counter() - started
        stats.n_matches += len(rows.rows)
        yield matches_of(generation, picture, rows)
    for each in found.values():
        next(each, None)  # there is none: the search ends and releases what it holds
    if report is not None:
        _report_stats(stats, report)


def _search(
    generation: Generation,
    probes: Sequence[Probe],
    by: str,
    options: QueryOptions,
    compared: JoinStats | None,
) -> Iterator[Nearby]:
    """Find the rows near each probe by one hash."""
    limit = looked_up(generation, options)[by]
    if limit is None:
        limit = hash_bits(generation, by)
    if by != "search":
        lookup = RowLookup(generation, by, limit)
        if options.k is not None:
            return lookup.nearest(probes, options.k)
        strategy = options.strategy if options.strategy != "tree" else None  # it has no tree
        return lookup.within(probes, strategy, compared)
    hashes = np.concatenate([probe.hashes for probe in probes])
    if options.k is not None:
        near = iter_nearest(generation, hashes, options.k, limit)
    else:
        near = iter_within(generation, hashes, limit, options.strategy, compared)
    if options.n_read is not None and not options.orientations:
        near = (nearest_of(each, options.n_read) for each in near)
    return (rows_with(generation, each) for each in near)


def _report_plan(
    generation: Generation, options: QueryOptions, n_probes: int, report: Callable[[str], None]
) -> None:
    """Report what each strategy would cost, and which one is used."""
    for by, limit in looked_up(generation, options).items():
        if limit is None:
            continue
        if by == "search":
            choice = plan_within(generation, n_probes, limit)
        else:
            choice = RowLookup(generation, by, limit).plan(n_probes)
        first, *others = explain(choice)
        report(f"{by} hash: {first}")
        for line in others:
            report(line)
    if options.strategy:
        report(f"strategy {options.strategy} was requested")


def _report_stats(stats: QueryStats, report: Callable[[str], None]) -> None:
    n_compared = stats.compared.n_compared
    visited = "hash" if n_compared == 1 else "hashes"
    matches = "match" if stats.n_matches == 1 else "matches"
    probes = "probe" if stats.n_probes == 1 else "probes"
    report(
        f"{n_compared:,} {visited} visited, {stats.n_matches:,} {matches} of "
        f"{stats.n_probes:,} {probes}, {stats.seconds:.6f} s"
    )
