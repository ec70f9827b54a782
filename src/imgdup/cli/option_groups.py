"""The options of commands in groups, each with the name of its option.

This module imports little, because it is imported before the arguments are parsed.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgdup.cli.options import (
    GROUP_FILES,
    check_new,
    check_one_limit,
    check_range,
    note_false_pairs,
    note_wide,
)
from imgdup.errors import UsageError

if TYPE_CHECKING:
    from imgdup.api.index import ImageIndex

N_ORIENTATIONS = 8  # that --orientations of query looks up
JOB_SUMMARY = "GITHUB_STEP_SUMMARY"  # names a file to which each step of a job appends


@dataclass(frozen=True)
class Comparison:
    """How two sets are compared."""

    max_dist: int | None
    orientations: bool
    verify: bool
    labels: Path | None
    allow_removals: bool


@dataclass(frozen=True)
class LeakLimits:
    """The limits of a comparison."""

    max_leaks: int | None
    max_unread: tuple[str, bool] | None
    accept: Path | None


@dataclass(frozen=True)
class ComparisonOutputs:
    """What a comparison prints and writes."""

    report: Path | None
    junit: Path | None
    markdown: Path | None
    card: bool
    as_json: bool


@dataclass(frozen=True)
class RemovalOptions:
    """Which pictures are duplicates, and which files are kept."""

    max_dist: int | None
    by: str
    orientations: bool
    keep: str
    protect: tuple[str, ...]
    decisions: Path | None
    remove: str
    verify: bool
    max_candidates: int

    def check(self) -> None:
        """Raise UsageError for options that need another."""
        if not self.verify and self.max_dist is None:
            raise UsageError(
                "--no-verify needs --max-dist: only the distance of the hashes decides"
            )


@dataclass(frozen=True)
class DedupeFiles:
    """The files that dedupe writes; `null` ends the paths of the lists with NUL."""

    plan: Path | None
    report: Path | None
    keep_list: Path | None
    remove_list: Path | None
    groups: Path | None
    null: bool
    force: bool

    def check(self) -> None:
        """Raise UsageError for a file that is named twice, of an unknown kind, or not new.

        Plans and lists are overwritten only with `force`; reports and groups always.
        """
        if self.groups and self.groups.suffix not in GROUP_FILES:
            raise UsageError(
                f"--groups {self.groups}: expected a name that ends in {', '.join(GROUP_FILES)}"
            )
        named: dict[Path, str] = {}
        for name, file in asdict(self).items():
            if isinstance(file, Path):
                option = f"--{name.replace('_', '-')}"
                first = named.setdefault(file.resolve(), option)
                if first != option:
                    raise UsageError(f"{first} and {option} name one file: {file}")
        check_new((self.plan, self.keep_list, self.remove_list), force=self.force)


@dataclass(frozen=True)
class CleanedSet:
    """Where apply writes the cleaned set, if it is to write one, and how."""

    write_to: Path | None
    whole_samples: bool
    annotations: tuple[Path, ...]
    tag_column: str

    def check(self) -> None:
        """Raise UsageError for options that need another."""
        for option, is_given in (
            ("--whole-samples", self.whole_samples),
            ("--annotations", bool(self.annotations)),
            ("--tag-column", bool(self.tag_column)),
        ):
            if self.write_to is None and is_given:
                raise UsageError(f"{option} works only with --write-to")

    @property
    def folder(self) -> Path:
        """The folder that was named."""
        return Path() if self.write_to is None else self.write_to


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
