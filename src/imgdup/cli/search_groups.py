"""The options of pairs and query in groups, each with the name of its option.

This module imports little, because it is imported before the arguments are parsed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgdup.cli.options import check_one_limit, check_range, note_false_pairs, note_wide
from imgdup.errors import UsageError

if TYPE_CHECKING:
    from imgdup.api.index import ImageIndex

N_ORIENTATIONS = 8  # that --orientations of query looks up


@dataclass(frozen=True)
class PairOptions:
    """Which pairs are found, and whether their pictures are compared."""

    by: str
    max_dist: int | None
    max_false_pairs: float | None
    orientations: bool
    verify: bool


@dataclass(frozen=True)
class ShardOptions:
    """How a search for pairs is divided."""

    shards: int | None
    memory: int | None
    checkpoints: Path | None

    def check(self) -> None:
        """Raise UsageError for options that exclude each other, or need another."""
        if self.shards is not None and self.memory is not None:
            raise UsageError("--shards and --memory exclude each other: leave out one")
        if self.checkpoints and self.shards is None and self.memory is None:
            raise UsageError("--checkpoints needs --shards K or --memory SIZE")


@dataclass(frozen=True)
class Search:
    """What to look for: options of the same names."""

    max_dist: int | None
    by: str | None
    max_false_pairs: float | None
    k: int | None
    verify: bool
    orientations: bool
    strategy: str | None
    explain: bool

    def check(self, bits: int, default: int) -> None:
        """Raise UsageError for options that are out of range or exclude each other.

        `bits` are those of the hash that is looked up, `default` is its default distance.
        """
        check_range(self.max_dist, bits)
        check_one_limit(self.max_dist, self.max_false_pairs)
        note_wide(self.max_dist, default, "expect different pictures among the matches")
        if self.k and (self.strategy or self.explain):
            raise UsageError("-k uses no strategy: remove --strategy and --explain")
        if self.by not in ("match", "pdq"):
            return
        if self.strategy == "tree":
            raise UsageError(f"--strategy tree: the {self.by} hash has no tree; use scan or bands")
        if self.max_false_pairs is not None:
            limited = "--max-false-pairs limits the search hash"
            raise UsageError(f"{limited}: remove it, or --by {self.by}")

    @property
    def is_wide(self) -> bool:
        """Whether edited, framed and cropped copies are looked for: no option limits the search."""
        limits = (self.max_dist, self.by, self.max_false_pairs, self.k)
        return self.verify and all(each is None for each in limits)

    def limited(
        self, index: "ImageIndex", files: Iterable[bytes]
    ) -> tuple[Iterable[bytes], int | None]:
        """Return the files, and --max-dist or the distance that --max-false-pairs allows."""
        if self.max_false_pairs is None:
            return files, self.max_dist
        from imgdup.query.chance import query_distance

        files = list(files)
        n_probes = len(files) * (N_ORIENTATIONS if self.orientations else 1)
        rows = index.check_before_decision().rows
        distance = query_distance(rows, self.max_false_pairs, n_probes)
        note_false_pairs(distance, self.max_false_pairs)
        return files, distance


@dataclass(frozen=True)
class QueryOutputs:
    """What to print and write: options of the same names."""

    as_json: bool
    null: bool
    max_duplicates: int | None
    montage: Path | None
