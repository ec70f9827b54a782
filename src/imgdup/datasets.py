"""Find the duplicates of a data set of torchvision or of Hugging Face.

Neither package is needed here: any object of the same form will do.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, overload

from imgdup.api.groups import match_rule
from imgdup.api.index import DEFAULT_KEEP, ImageIndex
from imgdup.build.in_memory import Content, hash_contents
from imgdup.dedupe import DedupeOptions, Duplicates, find_duplicates
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.keep import parse_keep
from imgdup.dedupe.relations import removable
from imgdup.dedupe.sources import File, file_of_row
from imgdup.dedupe.verify import Verifier, verified_duplicates
from imgdup.errors import UsageError
from imgdup.index.columns import Rows, images
from imgdup.index.folder import place_of_set
from imgdup.index.paths import rows_of_paths
from imgdup.output import counted
from imgdup.output.progress import Bar, showing

__all__ = ["DatasetDuplicates", "DatasetGroup", "DatasetRemoval", "dedupe_hf", "dedupe_imagefolder"]


class DatasetRemoval(NamedTuple):
    """A duplicate in a data set.

    Attributes
    ----------
    position : int
        In the data set.
    relation : str
        As in `imgdup.Removal`.
    distance : int
        To the kept one, between the match hashes, in bits of 256.
    """

    position: int
    relation: str
    distance: int


class DatasetGroup(NamedTuple):
    """The position of an image that is kept, and its duplicates, nearest first."""

    keeper: int
    removed: list[DatasetRemoval]


class DatasetDuplicates(Sequence[DatasetGroup]):
    """The groups of duplicates in a data set, by position.

    Attributes
    ----------
    kept : list of int
        The positions that are kept, ascending: for ``torch.utils.data.Subset(dataset, kept)`` or
        ``dataset.select(kept)``.
    removed : list of int
        The positions of the duplicates, ascending.
    unread : list of (int, str)
        The positions of images that could not be read, and why; they are kept.
    """

    def __init__(
        self, groups: list[DatasetGroup], n_images: int, unread: list[tuple[int, str]]
    ) -> None:
        self._groups = groups
        self.removed = sorted(each.position for group in groups for each in group.removed)
        removed = set(self.removed)
        self.kept = [i for i in range(n_images) if i not in removed]
        self.unread = unread

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, number: int) -> DatasetGroup: ...

    @overload
    def __getitem__(self, number: slice) -> list[DatasetGroup]: ...

    def __getitem__(self, number: int | slice) -> DatasetGroup | list[DatasetGroup]:
        return self._groups[number]

    def __repr__(self) -> str:
        unread = f", {len(self.unread):,} not read" if self.unread else ""
        n_images = len(self.kept) + len(self.removed)
        return (
            f"<imgdup.datasets.DatasetDuplicates: {counted(len(self), 'group')}, "
            f"{counted(len(self.removed), 'duplicate')} of {counted(n_images, 'image')}{unread}>"
        )


def dedupe_imagefolder(
    dataset: Any,
    *,
    keep: str = DEFAULT_KEEP,
    remove: str = "",
    verify: bool = True,
    progress: bool = True,
) -> DatasetDuplicates:
    """Find the duplicates of an ``ImageFolder`` or ``DatasetFolder`` of torchvision.

    Its folder is indexed first. The index is kept in ``.imgdup/sets``, as that of `imgdup.compare`.

    Parameters
    ----------
    dataset : torchvision.datasets.ImageFolder
        Anything with ``root``, a folder, and ``samples``, a list of pairs of a path and a class.
    keep, remove, verify, progress
        As in `imgdup.ImageIndex.groups`; with ``remove="turned"``, rotated and mirrored copies are
        found.

    Returns
    -------
    DatasetDuplicates
        ``Subset(dataset, found.kept)`` is the data set without duplicates.

    Raises
    ------
    TypeError
        If `dataset` has no ``root`` or ``samples``.
    UsageError
        A ValueError: a sample is not in the folder, or a rule is unknown.
    """
    if not (hasattr(dataset, "root") and hasattr(dataset, "samples")):
        raise TypeError(
            "a data set of folders has root and samples, as torchvision's ImageFolder, "
            f"got {type(dataset).__name__}"
        )
    if not dataset.samples:
        return DatasetDuplicates([], 0, [])
    index = ImageIndex.build(dataset.root, place_of_set(dataset.root), progress=progress)
    rows = rows_of_paths(index.generation.paths, [path for path, *_ in dataset.samples])
    options = _options(index.rows, keep, remove, verify=verify)
    if set(index.image_rows.tolist()) - set(rows):  # keep no file that is not in the data set
        paths = (index.rows.path(row) for row in rows if row is not None)
        options = replace(options, folders=tuple(paths))
    with showing(progress) as bar:
        found = verified_duplicates(
            index.check_before_decision().rows,
            options,
            Verifier(index.folder) if verify else None,
            progress=bar.compared,
        )
    positions: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        if row is not None:
            positions.setdefault(row, []).append(position)
    detail = {failure.path: failure.reason for failure in index.failures}
    unread = [
        (position, detail[path])
        for position, row in enumerate(rows)
        if row is not None and (path := index.path(row)) in detail
    ]
    return DatasetDuplicates(_groups(found, positions), len(rows), unread)


def dedupe_hf(
    dataset: Any,
    column: str = "image",
    *,
    keep: str = DEFAULT_KEEP,
    remove: str = "",
    verify: bool = True,
    progress: bool = True,
) -> DatasetDuplicates:
    """Find the duplicates of a data set of Hugging Face ``datasets``; no file is written.

    The bytes that the table holds are hashed and compared in worker processes. Where the table
    holds a path instead, that file is read.

    Parameters
    ----------
    dataset : datasets.Dataset
        One split, not a ``DatasetDict``; not streamed, since positions are returned.
    column : str
        The column of images.
    keep, remove, verify, progress
        As in `dedupe_imagefolder`. Rows have no folders and no times: ``oldest`` and
        ``shortest-path`` decide nothing, and ``first`` is the order of the rows.

    Returns
    -------
    DatasetDuplicates
        ``dataset.select(found.kept)`` is the data set without duplicates.

    Raises
    ------
    TypeError
        If `dataset` has no rows by number, or the column holds no images.
    UsageError
        A ValueError: there is no such column, or a rule is unknown.
    """
    table = _undecoded(dataset, column)
    n = len(table)
    with showing(progress) as bar:
        bar.start(n)
        rows = hash_contents(_counted(table, column, bar), n)
        options = _options(rows, keep, remove, verify=verify)
        if verify:
            with Verifier(file_of=_file_of(table, column)) as verifier:
                judge, facts_of = verifier.judge(rows), verifier.facts(rows)
                found = find_duplicates(rows, options, judge, facts_of, bar.compared)
        else:
            found = find_duplicates(rows, options, progress=bar.compared)
    unread = [(i, str(error)) for i, error in rows.failures]
    return DatasetDuplicates(_groups(found, {i: [i] for i in range(n)}), n, unread)


def _options(rows: Rows, keep: str, remove: str, *, verify: bool) -> DedupeOptions:
    more = removable(remove, verify=verify)
    rule = match_rule(None, [(rows, images(rows))], orientations="turned" in more, wide=verify)
    return DedupeOptions(parse_keep(rows, keep), rule, policy=Policy(more))


def _undecoded(dataset: Any, column: str) -> Any:
    """Return the column of a data set alone, as bytes and paths instead of pictures."""
    if isinstance(dataset, Mapping):
        names = ", ".join(map(str, dataset))
        raise TypeError(f"choose one of the splits, as in dataset[...]: {names}")
    if not (hasattr(dataset, "features") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            "a data set has features and rows by number, as one of Hugging Face that is not "
            f"streamed, got {type(dataset).__name__}"
        )
    if column not in dataset.features:
        raise UsageError(f"no column {column!r}; the columns are {', '.join(dataset.features)}")
    feature = dataset.features[column]
    if hasattr(feature, "decode"):
        dataset = dataset.cast_column(column, type(feature)(decode=False))
    return dataset.select_columns([column])


def _content(value: Any, column: str) -> Content:
    if value is None:
        return Content(None)
    if isinstance(value, bytes):
        return Content(value)
    if isinstance(value, str | os.PathLike):
        return Content(None, os.fspath(value))
    if isinstance(value, Mapping) and {"bytes", "path"} <= set(value):
        data, path = value["bytes"], value["path"]
        return Content(data, None if data is not None else path)
    raise TypeError(f"column {column!r} holds {type(value).__name__}, not images, bytes or paths")


def _counted(table: Any, column: str, bar: Bar) -> Iterator[Content]:
    """Yield the content of each row, and show how many there were."""
    for row in table:
        yield _content(row[column], column)
        bar.advance(1)


def _file_of(table: Any, column: str) -> Any:
    """Return a function that gives the file of a row with its bytes."""

    def file_of(rows: Rows, row: int) -> File:
        content = _content(table[row][column], column)
        file = file_of_row(rows, row)
        if content.data is not None:
            return file._replace(data=content.data)
        return file._replace(path=os.fsencode(str(content.path)))

    return file_of


def _groups(found: Duplicates, positions: Mapping[int, Sequence[int]]) -> list[DatasetGroup]:
    """Return groups by the positions of their rows; rows without a position are left out."""
    groups, result = found.groups, []
    for place, row in enumerate(groups.keepers.tolist()):
        removed = [
            DatasetRemoval(position, groups.verdicts[i].relation, int(groups.distances[i]))
            for i in range(int(groups.offsets[place]), int(groups.offsets[place + 1]))
            for position in positions.get(int(groups.removed[i]), ())
        ]
        if removed:
            result.append(DatasetGroup(positions[row][0], removed))
    return result
