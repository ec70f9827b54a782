"""The options of the command compare in groups, and the type of one of them."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

JOB_SUMMARY = "GITHUB_STEP_SUMMARY"  # names a file to which each step of a job appends
COUNT_OR_SHARE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(%?)", re.ASCII)


class CountOrShare(click.ParamType[tuple[Fraction, bool]]):
    """A whole number, or a share such as ``5%``: the value, and whether it is in percent."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Fraction, bool]:
        """Return the value, and whether it is in percent."""
        if isinstance(value, tuple):
            return value
        match = COUNT_OR_SHARE.fullmatch(str(value).strip())
        if match is None or (match[2] and Fraction(match[1]) > 100):
            self.fail(f"{value!r} is neither a number nor a share, as in 3 or 5%", param, ctx)
        if not match[2] and "." in match[1]:
            self.fail(f"{value!r} is no whole number; a share ends in %, as in 5%", param, ctx)
        return Fraction(match[1]), bool(match[2])


@dataclass(frozen=True)
class Comparison:
    """How two sets are compared: options of the same names."""

    max_dist: int | None
    orientations: bool
    verify: bool
    labels: Path | None
    allow_removals: bool


@dataclass(frozen=True)
class LeakLimits:
    """The limits of a comparison: options of the same names."""

    max_leaks: int | None
    max_unread: tuple[Fraction, bool] | None
    accept: Path | None


@dataclass(frozen=True)
class Outputs:
    """What a comparison prints and writes: options of the same names."""

    report: Path | None
    junit: Path | None
    markdown: Path | None
    card: bool
    as_json: bool
