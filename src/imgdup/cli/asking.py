"""Probe files -> matches, many files at a time; what was read, what failed, and how it went."""

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from imgdup.cli.common import note
from imgdup.errors import ImageError
from imgdup.output.codecs import counted

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.output.results import MatchRow
    from imgdup.query.matches import Match
    from imgdup.query.probe import Probe
    from imgdup.search.bands import JoinStats

PROBES_TOGETHER = 10_000  # looked up at once: enough for bands to pay, few enough to wait for


class Asked:
    """One query: its options, and what became of its probes.

    Attributes
    ----------
    read : list of bytes
        Absolute paths of the probes that could be read.
    failures : list of str
        What is wrong with the others, a line each.
    """

    def __init__(self, index: "ImageIndex", options: dict[str, Any]) -> None:
        self.index = index
        self.options = options
        self.read: list[bytes] = []
        self.failures: list[str] = []

    def matches(self, files: Iterable[bytes]) -> "Iterator[MatchRow]":
        """Yield the matches of each probe, in the order of the files."""
        rest = iter(files)
        while together := list(islice(rest, PROBES_TOGETHER)):
            for file, found in self._ask(together):
                yield from self._rows(file, found)

    def _ask(self, files: list[bytes]) -> "Iterator[tuple[bytes, list[Match]]]":
        """Look up some files at once, each as it is, or in its eight orientations."""
        from imgdup.query.matches import best_matches
        from imgdup.query.probe import probe_files

        parameters = self.index.generation.probe_parameters
        answers = probe_files(files, parameters, orientations=self.options["orientations"])
        good: list[tuple[bytes, list[Probe]]] = []
        for file, answer in zip(files, answers, strict=True):
            if isinstance(answer, ImageError):
                self._fail(file, answer)
            else:
                good.append((file, answer))
        found = iter(self._look_up([probe for _, probes in good for probe in probes]))
        for file, probes in good:
            yield file, best_matches(islice(found, len(probes)), self.options["k"])

    def _look_up(self, probes: "list[Probe]") -> "list[list[Match]]":
        """Look up probes; tell the plan before, and the effort after, if that is asked for."""
        from imgdup.search.bands import JoinStats

        if not self.options["explain"]:
            return self._found(probes, None)
        self._explain(len(probes))
        effort = JoinStats()
        started = time.perf_counter()
        found = self._found(probes, effort)
        seconds = time.perf_counter() - started
        n_matches = sum(map(len, found))
        note(
            f"{effort.n_compared:,} hashes visited, {counted(n_matches, 'match', 'matches')} of "
            f"{counted(len(found), 'probe')}, {seconds:.6f} s"
        )
        return found

    def _found(self, probes: "list[Probe]", effort: "JoinStats | None") -> "list[list[Match]]":
        limit, k, strategy = (self.options[name] for name in ("max_dist", "k", "strategy"))
        return self.index.look_up_many(probes, limit, k, strategy=strategy, effort=effort)

    def _rows(self, file: bytes, found: "list[Match]") -> "Iterator[MatchRow]":
        from imgdup.output.results import MatchRow
        from imgdup.system.paths import absolute

        itself = absolute(file)
        self.read.append(itself)
        for match in found:
            path = self.index.path(match.row)
            turned = match.orientation if self.options["orientations"] else None
            yield MatchRow(itself, path, *match[1:6], path == itself, turned)

    def _fail(self, file: bytes, error: ImageError) -> None:
        from imgdup.output.codecs import shown

        self.failures.append(f"{shown(file, sys.stderr.encoding)}: {error}")

    def _explain(self, n_probes: int) -> None:
        """Tell which ways there are, and which one is taken."""
        from imgdup.query.matches import default_distance, plan_within
        from imgdup.search.planner import explain

        limit, generation = self.options["max_dist"], self.index.generation
        if limit is None:
            limit = default_distance(generation)
        for line in explain(plan_within(generation, n_probes, limit)):
            note(line)
        if self.options["strategy"]:
            note(f"strategy {self.options['strategy']} was asked for")
