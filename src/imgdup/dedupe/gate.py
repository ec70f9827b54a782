"""Decide whether a comparison of two sets passes: by its leaks, and by how much was compared.

A file that could not be read may be a leak that nobody sees, so a gate limits both.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgdup.build.settings import Outcome
from imgdup.dedupe.compare import Leaks
from imgdup.errors import PlanError, UsageError
from imgdup.hashing import MATCH_MIN_QUALITY
from imgdup.images.formats import OK
from imgdup.index.columns import Rows
from imgdup.system.paths import is_below
from imgdup.system.records import digest, parse_line, read_lines

DigestPair = tuple[bytes, bytes]


class Coverage(NamedTuple):
    """How much of a set could be compared.

    Attributes
    ----------
    name : str
        The set, as the user named it.
    folders : tuple of bytes
        Absolute; where the files are.
    digest : str
        Of the index of the set, in hex.
    n_images : int
        Files with a hash.
    n_low_quality : int
        Those of them that have too little structure, and so match only files of equal bytes.
    n_failed : int
        Files that could not be read.
    n_undecoded : int
        Pictures of formats that are not decoded; known only if the set was scanned in this run.
    n_unlisted : int
        Folders that could not be scanned in this run.
    """

    name: str
    folders: tuple[bytes, ...]
    digest: str
    n_images: int
    n_low_quality: int
    n_failed: int
    n_undecoded: int
    n_unlisted: int

    @property
    def n_unread(self) -> int:
        """The number of pictures without a hash."""
        return self.n_failed + self.n_undecoded

    @property
    def n_files(self) -> int:
        """The number of pictures, with or without a hash."""
        return self.n_images + self.n_unread


def coverage(name: str, rows: Rows, folders: Sequence[bytes], outcome: Outcome | None) -> Coverage:
    """Count what an index knows of a set.

    Parameters
    ----------
    name : str
        The set, as the user named it.
    rows : Rows
        The index.
    folders : sequence of bytes
        The part of the index that is the set; none means all of it.
    outcome : Outcome or None
        Of the run that scanned the set; None if it was not scanned.
    """
    status, quality = rows.column("status"), rows.column("quality")
    if folders:
        inside = np.unique(np.concatenate([rows.rows_below(folder) for folder in folders]))
        status, quality = status[inside], quality[inside]
    good = status == OK
    undecoded = outcome.undecoded if outcome else ()
    unlisted = [folder for folder, _ in outcome.unlisted] if outcome else ()
    return Coverage(
        name,
        tuple(folders) or tuple(root for root in rows.roots if root),
        rows.digest,
        n_images=int(good.sum()),
        n_low_quality=int((quality[good] < MATCH_MIN_QUALITY).sum()),
        n_failed=int((~good).sum()),
        n_undecoded=_count_inside(undecoded, folders),
        n_unlisted=_count_inside(unlisted, folders),
    )


def _count_inside(paths: Sequence[bytes], folders: Sequence[bytes]) -> int:
    """Count the paths that are in some folders; none means everywhere."""
    return sum(not folders or any(is_below(path, each) for each in folders) for path in paths)


class UnreadLimit(NamedTuple):
    """How many pictures of a set may be without a hash: a number, or a share in percent."""

    value: Fraction
    is_percent: bool

    def allows(self, n_unread: int, n_files: int) -> bool:
        """Return whether so many of all pictures of a set may be unread."""
        return n_unread <= (self.value * n_files / 100 if self.is_percent else self.value)

    def __str__(self) -> str:
        """Return the limit as it is typed."""
        return f"{float(self.value):g}{'%' if self.is_percent else ''}"


@dataclass(frozen=True)
class Gate:
    """The result of a comparison, and the limits that it must keep.

    Parameters
    ----------
    leaks : Leaks
    accepted : sequence of bool
        For each leak, whether it was accepted before; such leaks do not count.
    coverages : sequence of Coverage
        Of A and of B.
    max_leaks : int or None
        Most leaks that are not accepted; None means no limit.
    max_unread : UnreadLimit or None
        Most unread pictures of each set; None means no limit.
    """

    leaks: Leaks
    accepted: Sequence[bool]
    coverages: Sequence[Coverage]
    max_leaks: int | None = None
    max_unread: UnreadLimit | None = None

    @property
    def n_new(self) -> int:
        """The number of leaks that are not accepted."""
        return len(self.accepted) - sum(self.accepted)

    @property
    def has_too_many_leaks(self) -> bool:
        """Whether there are more new leaks than the limit allows."""
        return self.max_leaks is not None and self.n_new > self.max_leaks

    def is_covered(self, each: Coverage) -> bool:
        """Return whether enough of a set was read; every folder of it must have been scanned."""
        if self.max_unread is None:
            return True
        return self.max_unread.allows(each.n_unread, each.n_files) and not each.n_unlisted

    @property
    def verdict(self) -> str:
        """``PASS`` or ``FAIL``; empty if there is no limit."""
        if self.max_leaks is None and self.max_unread is None:
            return ""
        passes = not self.has_too_many_leaks and all(map(self.is_covered, self.coverages))
        return "PASS" if passes else "FAIL"


def read_accepted(path: Path) -> set[DigestPair]:
    """Read the pairs of digests of leaks from what ``imgdup compare --json`` printed.

    Raises
    ------
    UsageError
        If there is no such file, or a line is not that of a leak.
    ImgdupError
        If it cannot be read.
    """
    try:
        with closing(read_lines(path)) as lines:
            return set(_digest_pairs(path, lines))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except PlanError as error:
        raise UsageError(str(error)) from error


def _digest_pairs(path: Path, lines: Iterator[bytes]) -> Iterator[DigestPair]:
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_line(line)
            yield digest(record, "digest"), digest(record, "duplicate_digest")
        except ValueError as error:
            raise UsageError(
                f"{path}, line {number}: {error}; expected what imgdup compare --json prints"
            ) from error


def accepted_leaks(leaks: Leaks, pairs: set[DigestPair]) -> list[bool]:
    """Return for each leak whether its pair of digests is one of those that are accepted."""
    return [
        (bytes.fromhex(leak.digest), bytes.fromhex(leak.duplicate_digest)) in pairs
        for leak in leaks.each()
    ]
