"""Probe files -> matches, many files at a time; what was read, what failed, and how it went."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from imgdup.cli.common import note
from imgdup.errors import ImageError

if TYPE_CHECKING:
    from imgdup.index import ImageIndex
    from imgdup.lookup import Match
    from imgdup.report import Match as Row

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

    def matches(self, files: Iterable[bytes]) -> "Iterator[Row]":
        """Yield the matches of each probe, in the order of the files."""
        rest = iter(files)
        ask = self._ask_turned if self.options["orientations"] else self._ask
        while together := list(islice(rest, PROBES_TOGETHER)):
            for file, found in ask(together):
                yield from self._rows(file, found)

    def _ask(self, files: list[bytes]) -> "Iterator[tuple[bytes, list[Match]]]":
        """Look up files as they are, all at once."""
        from imgdup.pairs.bands import Effort
        from imgdup.probing import make_probes

        answers = make_probes(files, self.index.generation.parameters)
        good, probes = [], []
        for file, answer in zip(files, answers, strict=True):
            if isinstance(answer, ImageError):
                self._fail(file, answer)
            else:
                good.append(file)
                probes.append(answer)
        self._explain(len(probes))
        effort = Effort() if self.options["explain"] else None
        started = time.perf_counter()
        found = self.index.look_up_many(
            probes,
            self.options["max_dist"],
            self.options["k"],
            strategy=self.options["strategy"],
            effort=effort,
        )
        if effort is not None:
            seconds = time.perf_counter() - started
            note(
                f"{effort.n_compared:,} hashes compared, {sum(map(len, found)):,} matches of "
                f"{len(found):,} probes, {seconds:.6f} s"
            )
        yield from zip(good, found, strict=True)

    def _ask_turned(self, files: list[bytes]) -> "Iterator[tuple[bytes, list[Match]]]":
        """Look up each file in its eight orientations."""
        for file in files:
            try:
                path = os.fsdecode(file)
                found = self.index.look_up_turned(path, self.options["max_dist"], self.options["k"])
            except ImageError as error:
                self._fail(file, error)
                continue
            yield file, found

    def _rows(self, file: bytes, found: "list[Match]") -> "Iterator[Row]":
        from imgdup.report import Match as Row
        from imgdup.sources import absolute

        itself = absolute(file)
        self.read.append(itself)
        for match in found:
            path = self.index.path(match.row)
            turned = match.orientation if self.options["orientations"] else None
            yield Row(itself, path, *match[1:6], path == itself, turned)

    def _fail(self, file: bytes, error: ImageError) -> None:
        from imgdup.lines import shown

        self.failures.append(f"{shown(file, sys.stderr.encoding)}: {error}")

    def _explain(self, n_probes: int) -> None:
        """Tell the plan, before it is carried out."""
        if not self.options["explain"]:
            return
        from imgdup.lookup import default_distance, plan_within
        from imgdup.planner import explain

        limit, generation = self.options["max_dist"], self.index.generation
        if limit is None:
            limit = generation.bits if self.options["k"] else default_distance(generation)
        for line in explain(plan_within(generation, n_probes, limit)):
            note(line)
        if self.options["strategy"]:
            note(f"strategy {self.options['strategy']} was asked for")
