"""Find the groups of duplicates of an index, and give them as objects that a person can read."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from imgdup.api.notebook import duplicates_html
from imgdup.api.plans import Plan
from imgdup.dedupe import DedupeOptions, Duplicates
from imgdup.dedupe.candidates import MatchRule, widened
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.keep import parse_keep
from imgdup.dedupe.relations import removable
from imgdup.dedupe.verify import Verifier, verified_duplicates
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index.columns import RowNumbers, Rows, images
from imgdup.index.generation import GenerationRows
from imgdup.index.paths import Unknown, rows_of_paths
from imgdup.output import counted
from imgdup.output.cleaning import GROUP_COLUMNS, group_records
from imgdup.output.export import DataFrameLibrary, data_frame
from imgdup.output.gallery import save_duplicates
from imgdup.output.progress import showing
from imgdup.system.limits import size_text
from imgdup.system.paths import as_path


class Removal(NamedTuple):
    """A duplicate of the file that is kept.

    Attributes
    ----------
    path : Path
        Absolute.
    relation : str
        What the comparison of the two pictures found: ``"same-bytes"``, ``"same-pixels"``,
        ``"same-picture"``, and the relations that were requested; ``"unverified"`` if the pictures
        were not compared.
    distance : int
        Between the match hashes of the two files, in bits of 256; 0 where the bytes are equal.
    difference : float
        The largest difference between the two pictures, from 0 to 255.
    rule : str
        The keep rule that decided which of the two is kept.
    row : int
        Its row in the index.
    """

    path: Path
    relation: str
    distance: int
    difference: float
    rule: str
    row: int


class Group(NamedTuple):
    """A file that is kept, and its duplicates.

    Attributes
    ----------
    keeper : Path
        Absolute.
    removed : list of Removal
        Nearest first. Each is a duplicate of the keeper itself.
    row : int
        The row of the keeper in the index.
    """

    keeper: Path
    removed: list[Removal]
    row: int


class Similar(NamedTuple):
    """A file that is kept although it resembles a better one, as in another crop or colour.

    Attributes
    ----------
    path, better : Path
        The file, and the file that it resembles; absolute.
    relation : str
        How they differ: ``"recoloured"``, ``"edited"``, ``"cropped"``, ``"turned"``, or
        ``"unverified"`` if one of them could not be read.
    distance : int
        Between their match hashes, in bits of 256.
    """

    path: Path
    better: Path
    relation: str
    distance: int


class Groups(Sequence[Group]):
    """The groups of duplicates of an index, from `ImageIndex.groups`, best keeper first.

    Attributes
    ----------
    duplicates : imgdup.dedupe.Duplicates
        The same as arrays: ``duplicates.groups`` has the rows of keepers and removed files, and the
        distances; ``duplicates.rows`` is the table of the index.
    """

    def __init__(self, rows: GenerationRows, duplicates: Duplicates) -> None:
        self.duplicates = duplicates
        self._rows = rows

    def __len__(self) -> int:
        return len(self.duplicates.groups.keepers)

    @overload
    def __getitem__(self, number: int) -> Group: ...

    @overload
    def __getitem__(self, number: slice) -> list[Group]: ...

    def __getitem__(self, number: int | slice) -> Group | list[Group]:
        places = range(len(self))[number]
        return self._group(places) if isinstance(places, int) else list(map(self._group, places))

    def _group(self, place: int) -> Group:
        groups = self.duplicates.groups
        row, removed = int(groups.keepers[place]), groups.removed
        span = range(int(groups.offsets[place]), int(groups.offsets[place + 1]))
        return Group(self._path(row), [self._removal(i, int(removed[i])) for i in span], row)

    def _removal(self, i: int, row: int) -> Removal:
        groups = self.duplicates.groups
        verdict = groups.verdicts[i]
        distance = int(groups.distances[i])
        return Removal(
            self._path(row), verdict.relation, distance, verdict.peak, groups.rules[i], row
        )

    def _path(self, row: int) -> Path:
        return as_path(self._rows.path(row))

    def __repr__(self) -> str:
        n_images, groups = len(self.duplicates.images), self.duplicates.groups
        n_bytes = int(self._rows.column("size")[groups.removed].sum())
        return (
            f"<imgdup.Groups: {counted(len(self), 'group')}, "
            f"{counted(len(groups.removed), 'duplicate')} of {counted(n_images, 'image')}, "
            f"{size_text(n_bytes)}>"
        )

    def _repr_html_(self) -> str:
        """Show the first groups with thumbnails, in a notebook."""
        return duplicates_html(self.duplicates)

    @property
    def removed(self) -> list[Path]:
        """The duplicates of all groups, in path order."""
        return self._paths(self.duplicates.removed())

    @property
    def kept(self) -> list[Path]:
        """All other images of the index, with those that have no duplicate, in path order."""
        return self._paths(self.duplicates.kept())

    def _paths(self, rows: RowNumbers) -> list[Path]:
        paths = self._rows.generation.paths.of_rows(rows.tolist())
        return [as_path(path) for path in paths]

    @property
    def similar(self) -> Iterator[Similar]:
        """The files that are kept although they resemble a better one, in path order."""
        for better, row, distance, verdict in self.duplicates.groups.shown:
            yield Similar(self._path(row), self._path(better), verdict.relation, distance)

    def kept_indices(
        self, paths: Iterable[str | bytes | os.PathLike[str]], *, unknown: Unknown = "raise"
    ) -> list[int]:
        """Return the positions of the paths that are kept, to filter a data set.

        Pass them to ``torch.utils.data.Subset`` or to ``select`` of a Hugging Face data set.

        Parameters
        ----------
        paths : iterable of paths
            Absolute, or relative to the current folder.
        unknown : str
            What to do with a path that the index does not have: ``"raise"`` an error, ``"keep"`` it
            or ``"drop"`` it. A file that is in the index and could not be read is kept.

        Raises
        ------
        UsageError
            A ValueError that names the first unknown path.
        """
        removed = set(self.duplicates.groups.removed.tolist())
        rows = rows_of_paths(self._rows.generation.paths, paths, unknown=unknown)
        return [
            i
            for i, row in enumerate(rows)
            if (unknown == "keep" if row is None else row not in removed)
        ]

    def plan(self) -> Plan:
        """Plan the removal of the duplicates; nothing is changed.

        Files with other names in the index (hard links) are not removed: that would free no space.
        """
        return Plan(self.duplicates.plan(), self._rows.generation.file.parent)

    def save_report(self, file: str | os.PathLike[str]) -> None:
        """Write a page of HTML with the pictures of every group; it needs no network.

        Raises
        ------
        ImgdupError
            If it cannot be written.
        """
        save_duplicates(Path(file), self.duplicates)

    def to_dataframe(self, library: DataFrameLibrary | None = None) -> Any:
        """Return a table with one row per file, group by group, the kept file first.

        Its columns are ``group role path duplicate_of distance relation width height size``:
        ``role`` is ``"keep"`` or ``"remove"``, and ``size`` is in bytes.

        Parameters
        ----------
        library : str, optional
            ``"pandas"`` or ``"polars"``; by default the one that is imported, else the one that is
            installed.

        Raises
        ------
        ImgdupError
            If it is not installed.
        """
        return data_frame(group_records(self.duplicates), GROUP_COLUMNS, library)


class Wanted(NamedTuple):
    """The options of `find_groups`; see `ImageIndex.groups`."""

    max_distance: int | None
    orientations: bool
    keep: str
    protect: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]
    remove: str
    verify: bool


def find_groups(
    rows: GenerationRows, index_folder: Path, wanted: Wanted, *, progress: bool
) -> Groups:
    """Find the groups of duplicates of an index; see `ImageIndex.groups`."""
    rows.generation.check_before_decision()
    named = wanted.protect
    protect = [named] if isinstance(named, str | os.PathLike) else named
    options = DedupeOptions(
        parse_keep(rows, wanted.keep, protect),
        match_rule(
            wanted.max_distance,
            [(rows, images(rows))],
            orientations=wanted.orientations,
            wide=wanted.verify,
        ),
        policy=Policy(removable(wanted.remove, verify=wanted.verify)),
    )
    with showing(progress) as bar:
        verifier = Verifier(index_folder) if wanted.verify else None
        duplicates = verified_duplicates(rows, options, verifier, progress=bar.compared)
    return Groups(rows, duplicates)


def match_rule(
    max_distance: int | None,
    sides: Sequence[tuple[Rows, RowNumbers]],
    *,
    orientations: bool,
    wide: bool,
) -> MatchRule:
    """Return which images count as duplicates.

    `sides` are the images to compare. `wide` means that copies whose match hashes are far apart are
    looked for, too, if no distance is given.
    """
    if max_distance is not None:
        return MatchRule(max_distance, orientations=orientations)
    rule = MatchRule(MATCH_MAX_DISTANCE, orientations=orientations)
    return widened(rule, sides) if wide else rule
