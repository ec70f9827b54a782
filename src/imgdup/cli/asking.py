"""Probe files -> matches, many files at a time; what was read, what failed, and how it went."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from imgdup.api import ImageIndex
from imgdup.cli.printing import note
from imgdup.errors import ImageError
from imgdup.output.codecs import counted
from imgdup.output.results import MatchRow
from imgdup.query.matches import Match, best_matches, default_distance, plan_within
from imgdup.query.probe import Probe, probe_files
from imgdup.search.join import JoinStats
from imgdup.search.planner import explain
from imgdup.system.paths import absolute

PROBES_TOGETHER = 10_000  # looked up at once: enough for bands to pay, few enough to wait for


class QueryOptions(NamedTuple):
    """What to find of each probe, and how."""

    max_distance: int | None = None
    k: int | None = None
    strategy: str | None = None
    orientations: bool = False
    explain: bool = False


class Asked:
    """One query: its options, and what became of its probes.

    Attributes
    ----------
    read : list of bytes
        Absolute paths of the probes that could be read.
    failures : list of (bytes, ImageError)
        The other probes, and why they could not be read.
    """

    def __init__(self, index: ImageIndex, options: QueryOptions) -> None:
        self.index = index
        self.options = options
        self.read: list[bytes] = []
        self.failures: list[tuple[bytes, ImageError]] = []

    def matches(self, files: Iterable[bytes]) -> Iterator[MatchRow]:
        """Yield the matches of each probe, in the order of the files."""
        rest = iter(files)
        while together := list(islice(rest, PROBES_TOGETHER)):
            for file, found in self._ask(together):
                yield from self._rows(file, found)

    def _ask(self, files: list[bytes]) -> Iterator[tuple[bytes, list[Match]]]:
        """Look up some files at once, each as it is, or in its eight orientations."""
        parameters = self.index.generation.probe_parameters
        answers = probe_files(files, parameters, orientations=self.options.orientations)
        good: list[tuple[bytes, list[Probe]]] = []
        for file, answer in zip(files, answers, strict=True):
            if isinstance(answer, ImageError):
                self.failures.append((file, answer))
            else:
                good.append((file, answer))
        found = iter(self._look_up([probe for _, probes in good for probe in probes]))
        for file, probes in good:
            yield file, best_matches(islice(found, len(probes)), self.options.k)

    def _look_up(self, probes: list[Probe]) -> list[list[Match]]:
        """Look up probes; with `explain`, print the plan before and the statistics after."""
        if not self.options.explain:
            return self._found(probes, None)
        self._explain(len(probes))
        stats = JoinStats()
        started = time.perf_counter()
        found = self._found(probes, stats)
        seconds = time.perf_counter() - started
        n_matches = sum(map(len, found))
        note(
            f"{stats.n_compared:,} hashes visited, {counted(n_matches, 'match', 'matches')} of "
            f"{counted(len(found), 'probe')}, {seconds:.6f} s"
        )
        return found

    def _found(self, probes: list[Probe], stats: JoinStats | None) -> list[list[Match]]:
        limit, k, strategy, *_ = self.options
        return self.index.look_up_many(probes, limit, k, strategy=strategy, stats=stats)

    def _rows(self, file: bytes, found: list[Match]) -> Iterator[MatchRow]:
        itself = absolute(file)
        self.read.append(itself)
        for match in found:
            path = self.index.path(match.row)
            turned = match.orientation if self.options.orientations else None
            yield MatchRow(itself, path, *match[1:6], path == itself, turned)

    def _explain(self, n_probes: int) -> None:
        """Print what each strategy would cost, and which one is used."""
        limit, generation = self.options.max_distance, self.index.generation
        if limit is None:
            limit = default_distance(generation)
        for line in explain(plan_within(generation, n_probes, limit)):
            note(line)
        if self.options.strategy:
            note(f"strategy {self.options.strategy} was asked for")
