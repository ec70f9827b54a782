"""Confirm the leaks between two sets by their pictures, and decide whether the comparison passes.

The images of A that are near an image of B are compared with it, nearest first, until one is a
duplicate. If the labels disagree, a duplicate with another label is looked for as well. A file that
could not be read may be a leak that nobody sees, so a gate limits both.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgdup.build.settings import Outcome
from imgdup.dedupe.candidates import MatchRule, hash_classes, hashes_of
from imgdup.dedupe.compare import Leaks
from imgdup.dedupe.decide import MAX_CANDIDATES, Judge
from imgdup.dedupe.groups import Progress
from imgdup.dedupe.nearest import nearest_across
from imgdup.dedupe.relations import DIFFERENT, UNVERIFIED, Verdict
from imgdup.errors import PlanError, UsageError
from imgdup.hashing import MATCH_MIN_QUALITY
from imgdup.images.formats import OK
from imgdup.index.columns import Rows
from imgdup.system.paths import is_below
from imgdup.system.records import digest, parse_line, read_lines
from imgdup.workers.pool import batched

PAIRS_TOGETHER = 256  # compared between two reports of progress
NO_DUPLICATE = Verdict(DIFFERENT, 0.0, None)
DigestPair = tuple[bytes, bytes]


@dataclass
class _Image:
    """An image of B with its candidates in A, and what was found."""

    place: int
    label: str | None
    candidates: Iterator[tuple[int, int]]  # places in A and distances
    nearest: list[tuple[int, int]] = field(default_factory=list)  # one at most
    verdict: Verdict = NO_DUPLICATE
    conflict: int = -1


def verified(
    leaks: Leaks,
    rule: MatchRule,
    judge: Judge,
    *,
    progress: Progress = lambda n_decided, n_images: None,
) -> Leaks:
    """Return the leaks whose pictures are not different, with what their comparisons found.

    The judge compares the pictures of pairs of rows, the first of A and the second of B. An image
    of B is compared with `MAX_CANDIDATES` images of A at most. `progress` is called with the number
    of images of B that are decided, and of all that have candidates.
    """
    images = list(_images(leaks, rule))
    _confirm(images, leaks, judge, progress)
    found = [
        (distance, image.place, in_a, image.verdict, image.conflict)
        for image in images
        for in_a, distance in image.nearest
    ]
    found.sort(key=lambda each: each[:3])
    return leaks._replace(
        places_b=np.array([place for _, place, _, _, _ in found], np.int64),
        places_a=np.array([in_a for _, _, in_a, _, _ in found], np.int64),
        distances=np.array([distance for distance, _, _, _, _ in found], np.uint16),
        verdicts=[verdict for _, _, _, verdict, _ in found],
        conflicts=np.array([conflict for _, _, _, _, conflict in found], np.int64),
    )


def _confirm(images: Sequence[_Image], leaks: Leaks, judge: Judge, progress: Progress) -> None:
    """Compare images of B with their candidates until each is decided, some pairs at a time."""
    waiting = [(image, pair) for image in images if (pair := _next(image, leaks))]
    n_decided = len(images) - len(waiting)
    while waiting:
        again: list[tuple[_Image, tuple[int, int]]] = []
        for some in batched(waiting, PAIRS_TOGETHER):
            rows = [
                (int(leaks.a.images[place]), int(leaks.b.images[image.place]))
                for image, (place, _) in some
            ]
            for (image, pair), verdict in zip(some, judge(rows), strict=True):
                _note(image, pair, verdict, leaks.a.labels)
            open_ones = [(image, pair) for image, _ in some if (pair := _next(image, leaks))]
            again += open_ones
            n_decided += len(some) - len(open_ones)
            progress(n_decided, len(images))
        waiting = again


def _images(leaks: Leaks, rule: MatchRule) -> Iterator[_Image]:
    """Yield the images of B that have candidates; pictures of equal bytes are not compared."""
    sides = []
    for each, images in ((leaks.a, leaks.a.images), (leaks.b, leaks.b.images[leaks.places_b])):
        hashes = hashes_of(each.rows, images, rule)
        sides.append((hashes, hash_classes(hashes, each.rows.column("quality")[images])))
    near = nearest_across(sides, rule, MAX_CANDIDATES)
    for i, (place, verdict) in enumerate(zip(leaks.places_b.tolist(), leaks.verdicts, strict=True)):
        span = slice(int(near.offsets[i]), int(near.offsets[i + 1]))
        pairs = zip(near.others[span].tolist(), near.distances[span].tolist(), strict=True)
        image = _Image(place, leaks.b.labels[place], pairs)
        if verdict.relation != UNVERIFIED:
            in_a = int(leaks.places_a[i])
            image.nearest, image.verdict = [(in_a, int(leaks.distances[i]))], verdict
            first = int(leaks.conflicts[i])
            image.conflict = first if _is_conflict(image, first, leaks) else -1
        yield image


def _is_conflict(image: _Image, in_a: int, leaks: Leaks) -> bool:
    """Return whether an image of A has the same bytes and another label: nothing to compare."""
    if in_a < 0 or leaks.a.labels[in_a] in (None, image.label) or image.label is None:
        return False
    rows = (leaks.a, int(leaks.a.images[in_a])), (leaks.b, int(leaks.b.images[image.place]))
    one, other = (each.rows.column("digest")[row].tobytes() for each, row in rows)
    return bool(one == other)


def _next(image: _Image, leaks: Leaks) -> tuple[int, int] | None:
    """Return the next candidate to compare; None if nothing is left to find."""
    for place, distance in image.candidates:
        label = leaks.a.labels[place]
        may_conflict = image.label is not None and label not in (None, image.label)
        if not image.nearest or (may_conflict and image.conflict < 0):
            return place, distance
    return None


def _note(
    image: _Image, pair: tuple[int, int], verdict: Verdict, labels: Sequence[str | None]
) -> None:
    """Note what the comparison of a candidate found."""
    if verdict.relation == DIFFERENT:
        return
    if not image.nearest:
        image.nearest, image.verdict = [pair], verdict
    if image.label is not None and labels[pair[0]] not in (None, image.label):
        image.conflict = pair[0] if image.conflict < 0 else image.conflict


class Coverage(NamedTuple):
    """How much of a set could be compared."""

    name: str  # the set, as the user named it
    folders: tuple[bytes, ...]  # absolute; where the files are
    digest: str  # of the index of the set, in hex
    n_images: int  # files with a hash
    # Those of them that have too little structure, and so match only files of equal bytes.
    n_low_quality: int
    n_failed: int  # files that could not be read
    # Pictures of formats that are not decoded; known only if the set was scanned in this run.
    n_undecoded: int
    n_unlisted: int  # folders that could not be scanned in this run

    @property
    def n_unread(self) -> int:
        """The number of pictures without a hash."""
        return self.n_failed + self.n_undecoded

    @property
    def n_files(self) -> int:
        """The number of pictures, with or without a hash."""
        return self.n_images + self.n_unread


def coverage(name: str, rows: Rows, folders: Sequence[bytes], outcome: Outcome | None) -> Coverage:
    """Count what an index knows of a set: of some folders, or of all of it.

    The outcome is that of the run that scanned the set; None if it was not scanned.
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
        """Return whether a set of this many files may have this many without a hash."""
        return n_unread <= (self.value * n_files / 100 if self.is_percent else self.value)

    def __str__(self) -> str:
        """Return the limit as it is typed."""
        return f"{float(self.value):g}{'%' if self.is_percent else ''}"


@dataclass(frozen=True)
class Gate:
    """The result of a comparison, and the limits that it must keep."""

    leaks: Leaks
    # For each leak, whether it was accepted before; such leaks do not count.
    accepted: Sequence[bool]
    coverages: Sequence[Coverage]  # of A and of B
    max_leaks: int | None = None  # most leaks that are not accepted; None means no limit
    max_unread: UnreadLimit | None = None  # most unread pictures of each set; None means no limit

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

    Raises UsageError if there is no such file, or a line is not that of a leak. Raises ImgdupError
    if it cannot be read.
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
