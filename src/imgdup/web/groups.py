"""The groups of duplicates of the index: found in the background, listed page by page.

Decisions do not change the list, so that nothing moves while somebody decides; the plan follows
them.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from heapq import nlargest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.api.groups import match_rule
from imgdup.api.index import DEFAULT_KEEP, ImageIndex
from imgdup.dedupe import DedupeOptions, Duplicates, find_duplicates
from imgdup.dedupe.decisions import NOTHING, Decided
from imgdup.dedupe.keep import parse_keep
from imgdup.dedupe.relations import RELATIONS
from imgdup.dedupe.verify import Verifier
from imgdup.index.columns import images
from imgdup.output import shown
from imgdup.output.gallery import Member, members_of
from imgdup.system.paths import is_below
from imgdup.web.collection import Collection

PER_PAGE = 100
MAX_FOLDERS = 1000  # that can be chosen from
MAX_RESULTS = 3  # that are kept: without decisions, with the last ones, and one in progress
WAIT_S = 5.0  # for a result; after that, the response is that it takes longer


class KeepOptions(NamedTuple):
    """Which files of the groups to keep; as the options of `imgdup dedupe`."""

    keep: str = DEFAULT_KEEP
    protect: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """Which groups to list."""

    relation: str = ""  # groups with a file of this relation; empty for all
    min_distance: int = 0  # groups with a file at least so far from the kept one, in bits
    text: str = ""  # groups with a file whose path contains this, upper and lower case alike
    # Groups with a file in this folder or below it; as `GroupList.folders` names it.
    folder: str = ""


class Progress(NamedTuple):
    """How many files are decided, and how many have candidates; zeros before that is known."""

    n_decided: int = 0
    n_files: int = 0


class Group(NamedTuple):
    """A file that is kept, those that a plan removes for it, and those that are only shown."""

    keeper: int
    removed: list[Member]
    shown: list[Member]

    @property
    def members(self) -> list[Member]:
        """All files except the kept one."""
        return [*self.removed, *self.shown]

    @property
    def rows(self) -> list[int]:
        """The rows of all files."""
        return [self.keeper, *(member.row for member in self.members)]


class GroupList:
    """The groups of a generation, those first that save most."""

    def __init__(self, index: ImageIndex, duplicates: Duplicates) -> None:
        self.index = index
        self.duplicates = duplicates
        sizes = duplicates.rows.column("size")
        found = [Group(keeper, *each) for keeper, each in members_of(duplicates).items()]
        savings = [sum(int(sizes[member.row]) for member in group.removed) for group in found]
        order = sorted(range(len(found)), key=lambda i: (-savings[i], found[i].keeper))
        self.groups = [found[i] for i in order]
        self.savings = [savings[i] for i in order]

    @cached_property
    def _relations(self) -> npt.NDArray[np.int64]:
        """The relations of the files of each group, as bits."""
        numbers = {name: 1 << i for i, name in enumerate(RELATIONS)}
        return np.array(
            [sum({numbers[each.verdict.relation] for each in g.members}) for g in self.groups],
            np.int64,
        )

    @cached_property
    def _distances(self) -> npt.NDArray[np.int64]:
        return np.array(
            [max(each.distance for each in group.members) for group in self.groups], np.int64
        )

    @cached_property
    def _texts(self) -> list[str]:
        """The paths of each group, in lower case."""
        path = self.index.rows.path
        return [
            "\n".join(os.fsdecode(path(row)).casefold() for row in group.rows)
            for group in self.groups
        ]

    @cached_property
    def _folders(self) -> dict[str, list[int]]:
        """The places of the groups that have a file in a folder or below it, by its path."""
        rows = self.index.rows
        above: dict[bytes, list[str]] = {}  # a folder, and those that it is in
        found: dict[str, list[int]] = {}
        for place, group in enumerate(self.groups):
            folders = {rows.path(row).rpartition(b"/")[0] for row in group.rows}
            for folder in folders - above.keys():
                above[folder] = [shown(each) for each in _upwards(folder, rows.roots)]
            for name in {name for folder in folders for name in above[folder]}:
                found.setdefault(name, []).append(place)
        return found

    def relations(self) -> list[tuple[str, int]]:
        """Return how many groups have a file of each relation, without zeros."""
        counts = [(name, int((self._relations >> i & 1).sum())) for i, name in enumerate(RELATIONS)]
        return [(name, count) for name, count in counts if count]

    def folders(self) -> list[tuple[str, int]]:
        """Return how many groups have a file in a folder or below it: those with most, by path."""
        most = nlargest(MAX_FOLDERS, self._folders.items(), key=lambda each: len(each[1]))
        return sorted((name, len(places)) for name, places in most)

    def prepare(self) -> None:
        """Make what `places` needs, before anybody waits for it."""
        _ = self._relations, self._distances, self._texts, self._folders

    def places(self, wanted: Wanted) -> list[int]:
        """Return the places of the groups to list, in the order of the list."""
        chosen = self._distances >= wanted.min_distance
        if wanted.relation:
            chosen &= (self._relations >> RELATIONS.index(wanted.relation) & 1).astype(bool)
        if wanted.folder:
            inside = np.zeros(len(chosen), bool)
            inside[self._folders.get(wanted.folder, [])] = True
            chosen &= inside
        places = [int(place) for place in np.flatnonzero(chosen)]
        text = wanted.text.casefold()
        return [place for place in places if text in self._texts[place]] if text else places


def _upwards(folder: bytes, roots: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a folder and those above it, up to the indexed one."""
    yield folder
    while folder not in roots and any(is_below(folder, root) for root in roots):
        folder = folder.rpartition(b"/")[0]
        yield folder


class Finder:
    """Finds duplicates, one search at a time, in a thread of its own."""

    def __init__(self, collection: Collection, options: KeepOptions) -> None:
        self._collection = collection
        self._options = options
        self._thread = ThreadPoolExecutor(1, "imgdup-groups")
        self._lock = threading.Lock()
        self._results: OrderedDict[tuple[object, ...], Future[GroupList]] = OrderedDict()
        self._progress = Progress()

    def close(self) -> None:
        """Start no more searches; the one that runs ends when its workers are closed."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def find(self, index: ImageIndex, decided: Decided = NOTHING) -> GroupList | Progress:
        """Return the groups, or the progress of the search if it takes more than a few seconds.

        Raises ImgdupError if they cannot be found; the next call tries it again.
        """
        key = (index.digest, decided.different, decided.keep, tuple(sorted(decided.prefer.items())))
        with self._lock:
            if key not in self._results:
                self._results[key] = self._thread.submit(self._search, index, decided)
            self._results.move_to_end(key)
            while len(self._results) > MAX_RESULTS:
                self._results.popitem(last=False)[1].cancel()
            future = self._results[key]
        try:
            return future.result(timeout=WAIT_S)
        except TimeoutError:
            return self._progress
        except Exception:
            with self._lock:
                self._results.pop(key, None)
            raise

    def _search(self, index: ImageIndex, decided: Decided) -> GroupList:
        self._progress = Progress()
        rows = index.check_before_decision().rows
        keep = parse_keep(rows, self._options.keep, self._options.protect)
        rule = match_rule(None, [(rows, images(rows))], orientations=False, wide=True)
        options = DedupeOptions(replace(keep, decided=decided), rule)
        with Verifier(self._collection.folder, pool=self._collection.pool) as verifier:
            duplicates = find_duplicates(
                rows, options, verifier.judge(rows), verifier.facts(rows), self._count
            )
        groups = GroupList(index, duplicates)
        groups.prepare()
        return groups

    def _count(self, n_decided: int, n_files: int) -> None:
        self._progress = Progress(n_decided, n_files)
