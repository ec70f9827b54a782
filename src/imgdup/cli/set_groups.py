"""The options of compare and split in groups, each with the name of its option.

This module imports little, because it is imported before the arguments are parsed.
"""

from dataclasses import dataclass
from pathlib import Path

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
class SplitOptions:
    """How images are divided."""

    ratios: str
    stratify: str | None
    labels: Path | None
    seed: int
    max_dist: int | None
    orientations: bool
    allow_removals: bool


@dataclass(frozen=True)
class SplitLists:
    """The lists that are written; `null` ends their paths with NUL."""

    out: Path
    null: bool
    force: bool
