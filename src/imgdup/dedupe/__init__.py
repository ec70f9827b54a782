"""Find groups of duplicates in an index by the user's options, and plan which to remove."""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.groups import Groups, star_groups
from imgdup.dedupe.keep import Keep
from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, Removal, sealed
from imgdup.dedupe.relations import RELATIONS, relate
from imgdup.index.columns import RowNumbers, Rows, has_other_names, images, listed_paths
from imgdup.system.paths import absolute, join


@dataclass(frozen=True)
class DedupeOptions:
    """Which images to look at, what counts as a duplicate, and which file is kept.

    Attributes
    ----------
    keep : Keep
    rule : MatchRule
    folders : tuple of bytes
        Absolute folders or files to look at; empty for the whole index.
    threads : int, optional
        Of the search for pairs; all cores by default.
    """

    keep: Keep = field(default_factory=Keep)
    rule: MatchRule = field(default_factory=MatchRule)
    folders: tuple[bytes, ...] = ()
    threads: int | None = None


class Saving(NamedTuple):
    """The number of files that a plan removes, and their size."""

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class Duplicates:
    """Groups of duplicates with their relations, from `find_duplicates`.

    Attributes
    ----------
    rows : Rows
    options : DedupeOptions
    images : ndarray of int64
        The rows of the images that were compared.
    groups : Groups
    relations : ndarray of uint8
        Of each entry of ``groups.removed`` to its keeper, a position in ``RELATIONS``.
    """

    rows: Rows
    options: DedupeOptions
    images: RowNumbers
    groups: Groups
    relations: npt.NDArray[np.uint8]

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
        removals = [
            Removal(
                _facts(self.rows, int(self.groups.removed[i])),
                _facts(self.rows, int(keepers[i])),
                int(self.groups.distances[i]),
                RELATIONS[self.relations[i]],
            )
            for i in which.tolist()
        ]
        return Plan(self._header(removals), removals)

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
            digest_kind=self.rows.digest_kind,
        )
        return sealed(header)

    def savings(self) -> dict[str, Saving]:
        """Count the files that a plan removes by relation, the closest first; no zeros."""
        which = self.removable()
        relations = self.relations[which]
        sizes = self.rows.column("size")[self.groups.removed[which]]
        return {
            name: Saving(int((relations == i).sum()), int(sizes[relations == i].sum()))
            for i, name in enumerate(RELATIONS)
            if (relations == i).any()
        }

    def listed(self, selected: RowNumbers) -> Iterator[bytes]:
        """Yield the paths of rows for a list: relative if the index has one root."""
        return listed_paths(self.rows, selected)

    def kept_indices(self, paths: Iterable[str | bytes | os.PathLike[str]]) -> list[int]:
        """Return the positions of the paths that are kept, also of those not in the index.

        For a PyTorch ``Subset``, or ``select`` of a Hugging Face data set.

        Parameters
        ----------
        paths : iterable of paths
            Absolute, or relative to the current folder.
        """
        removed = {self.rows.path(row) for row in self.groups.removed.tolist()}
        folder = functools.cache(absolute)
        parts = (os.path.split(os.fsdecode(path)) for path in paths)
        return [
            i
            for i, (parent, name) in enumerate(parts)
            if join(folder(parent or os.curdir), os.fsencode(name)) not in removed
        ]


def find_duplicates(rows: Rows, options: DedupeOptions | None = None) -> Duplicates:
    """Find the duplicates of an index and decide which file of each group is kept.

    Parameters
    ----------
    rows : Rows
        An opened index.
    options : DedupeOptions, optional
    """
    options = options or DedupeOptions()
    selected = images(rows, options.folders)
    groups = star_groups(rows, selected, options.keep, options.rule, threads=options.threads)
    keepers = groups.keeper_of_each()
    relations = relate(rows, groups.removed, rows, keepers, groups.distances)
    return Duplicates(rows, options, selected, groups, relations)


def _facts(rows: Rows, row: int) -> FileFacts:
    size, mtime_ns = (int(rows.column(name)[row]) for name in ("size", "mtime_ns"))
    digest = rows.column("digest")[row].tobytes()
    return FileFacts(row, rows.path(row), size, mtime_ns, digest, rows.digest_kind)
