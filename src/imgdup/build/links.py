"""A listing -> which of its rows name one file: hard links, and symbolic ones that are followed."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imgdup.build.listing import Listing
from imgdup.index.generation import Generation
from imgdup.system.paths import identity

Rows = npt.NDArray[np.int64]


def linked_groups(survey: Listing) -> list[list[int]]:
    """Return the rows of each scanned file that has several names, ascending."""
    return [rows for rows in _scanned(survey).values() if len(rows) > 1]


def same_file(survey: Listing, old: Generation | None) -> Rows:
    """Return for each row the first row of the same file, or -1 where it is the first itself.

    Rows that were scanned are one file where device and inode agree. A row that was not looked at
    joins a scanned one if the disk says so now; else it stays with those that it was with.
    """
    groups = _scanned(survey)
    joined = list(_joined(survey, set(groups)))
    for row, file in joined:
        groups[file].append(row)
    first = np.full(len(survey), -1, np.int64)
    apart = _kept_groups(survey, old, {row for row, _ in joined})
    for rows in [*groups.values(), *apart]:
        leader, *others = sorted(rows)
        first[others] = leader
    return first


def _scanned(survey: Listing) -> dict[tuple[int, int], list[int]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for row, device, inode in survey.linked:
        groups.setdefault((device, inode), []).append(row)
    return groups


def _joined(
    survey: Listing, scanned: set[tuple[int, int]]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield kept rows that name a scanned file: only those of its size and mtime can."""
    if not scanned:
        return
    size, mtime_ns, paths = survey.size, survey.mtime_ns, survey.paths
    facts = {(size[row], mtime_ns[row]) for row, _, _ in survey.linked}
    for row in survey.kept:
        if (size[row], mtime_ns[row]) in facts:
            file = identity(paths[row])
            if file in scanned:
                yield row, file


def _kept_groups(survey: Listing, old: Generation | None, joined: set[int]) -> list[list[int]]:
    """Return the rows that were not looked at, as they were together."""
    if old is None or not survey.kept:
        return []
    first = old.arrays["same_file"]
    kept = np.array([row for row in survey.kept if row not in joined], np.int64)
    old_rows = np.frombuffer(survey.origin_row, np.int64)[kept]
    leaders = np.where(first[old_rows] < 0, old_rows, first[old_rows])
    groups: dict[int, list[int]] = {}
    for i in np.flatnonzero(np.isin(leaders, first[first >= 0])).tolist():
        groups.setdefault(int(leaders[i]), []).append(int(kept[i]))
    return list(groups.values())
