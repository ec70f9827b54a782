"""Find groups of duplicates in an index by the user's options, and plan which to remove."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.decide import Judge
from imgdup.dedupe.groups import (
    DedupeOptions,
    Inspection,
    Progress,
    StarGroups,
    star_groups,
    unverified,
)
from imgdup.dedupe.keep import FactsOf, unknown_facts
from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, Removal, sealed
from imgdup.dedupe.relations import RELATIONS
from imgdup.index.columns import RowNumbers, Rows, has_other_names, images, listed_paths

__all__ = ["DedupeOptions", "Duplicates", "Saving", "find_duplicates"]


class Saving(NamedTuple):
    """The number of files that a plan removes, and their size."""

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class Duplicates:
    """Groups of duplicates, from `find_duplicates`."""

    rows: Rows
    options: DedupeOptions
    images: RowNumbers  # the rows of the images that were compared
    groups: StarGroups

    @property
    def relations(self) -> list[str]:
        """The relation of each entry of ``groups.removed`` to its keeper."""
        return [verdict.relation for verdict in self.groups.verdicts]

    def kept(self) -> RowNumbers:
        """Return the rows that are kept, ascending."""
        return np.setdiff1d(self.images, self.groups.removed, assume_unique=True)

    def removed(self) -> RowNumbers:
        """Return the rows that are removed, ascending: all names of each file."""
        return np.sort(self.groups.removed)

    def removable(self) -> npt.NDArray[np.bool_]:
        """Return a mask over ``groups.removed``: the files that a plan removes.

        These are the files with one name in the index. Removing a single hard link frees no
        space, and the user linked the file on purpose.
        """
        return ~has_other_names(self.rows)[self.groups.removed]

    def plan(self) -> Plan:
        """Return the plan that removes the files of `removable`."""
        which = np.flatnonzero(self.removable())
        keepers = self.groups.keeper_of_each()
        removals = [self._removal(i, int(keepers[i])) for i in which.tolist()]
        return Plan(self._header(removals), removals)

    def _removal(self, place: int, keeper: int) -> Removal:
        verdict = self.groups.verdicts[place]
        return Removal(
            _facts(self.rows, int(self.groups.removed[place])),
            _facts(self.rows, keeper),
            int(self.groups.distances[place]),
            verdict.relation,
            verdict.peak,
            verdict.box,
            verdict.orientation,
            self.groups.rules[place],
        )

    def _header(self, removals: Sequence[Removal]) -> PlanHeader:
        rule, keep = self.options.rule, self.options.keep
        header = PlanHeader(
            self.rows.digest,
            tuple(self.rows.roots),
            rule.max_distance,
            rule.search_distance,
            keep.rules,
            keep.protect,
            len(self.images),
            len(self.groups.keepers),
            len(removals),
            sum(removal.remove.size for removal in removals),
            removable=self.options.policy.removable,
            orientations=rule.orientations,
            wide=rule.wide,
            digest_kind=self.rows.digest_kind,
        )
        return sealed(header)

    def savings(self) -> dict[str, Saving]:
        """Count the files that a plan removes by relation, the closest first; no zeros."""
        sizes = self.rows.column("size")[self.groups.removed].tolist()
        found: dict[str, Saving] = {}
        for relation, size, counts in zip(self.relations, sizes, self.removable(), strict=True):
            if counts:
                n_files, n_bytes = found.get(relation, (0, 0))
                found[relation] = Saving(n_files + 1, n_bytes + size)
        return {name: found[name] for name in RELATIONS if name in found}

    def only_shown(self) -> dict[str, int]:
        """Count the duplicates that are kept, by relation, the closest first; no zeros."""
        found = Counter(shown.verdict.relation for shown in self.groups.shown)
        return {name: found[name] for name in RELATIONS if found[name]}

    def deciding_rules(self) -> dict[str, int]:
        """Count the files that a plan removes by the keep rule that decided, most first."""
        which = np.flatnonzero(self.removable()).tolist()
        found = Counter(self.groups.rules[i] for i in which)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def listed(self, selected: RowNumbers) -> Iterator[bytes]:
        """Yield the paths of rows for a list: relative if the index has one root."""
        return listed_paths(self.rows, selected)


def find_duplicates(
    rows: Rows,
    options: DedupeOptions | None = None,
    judge: Judge = unverified,
    facts_of: FactsOf = unknown_facts,
    progress: Progress = lambda n_decided, n_files: None,
) -> Duplicates:
    """Find the duplicates of an index and decide which file of each group is kept.

    `judge` compares the pictures of pairs of rows, and `facts_of` describes files for the keep
    rules; both are those of an `imgdup.dedupe.verify.Verifier`. By default no pictures are
    compared, and only files of equal bytes are removed. `progress` is called with the number of
    files that are decided, and of all that have candidates.
    """
    options = options or DedupeOptions()
    selected = images(rows, options.folders)
    groups = star_groups(
        rows, selected, options, inspection=Inspection(judge, facts_of), progress=progress
    )
    return Duplicates(rows, options, selected, groups)


def _facts(rows: Rows, row: int) -> FileFacts:
    size, mtime_ns = (int(rows.column(name)[row]) for name in ("size", "mtime_ns"))
    digest = rows.column("digest")[row].tobytes()
    return FileFacts(row, rows.path(row), size, mtime_ns, digest, rows.digest_kind)
