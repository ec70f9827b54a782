"""Compare two sets of images, refuse leaks in a test, and divide a set; the results are objects."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np

from imgdup.api import ImageIndex
from imgdup.api.groups import match_rule
from imgdup.api.notebook import leaks_html
from imgdup.api.positions import Unknown, rows_of_paths
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import Leaks as LeakArrays, compare as compare_sets
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.dedupe.leaks import verified
from imgdup.dedupe.split import Share, Split, check_ratios, split as split_set
from imgdup.dedupe.verify import Verifier
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import is_index, place_of_set
from imgdup.index.generation import GenerationRows
from imgdup.output.cleaning import save_split
from imgdup.output.codecs import counted
from imgdup.output.export import DataFrameLibrary, data_frame
from imgdup.output.gallery import save_leaks
from imgdup.output.progress import showing

Images: TypeAlias = ImageIndex | str | os.PathLike[str]
"""A set: an opened index, an index folder, or a folder of images, which is indexed."""

Labels: TypeAlias = Mapping[str, str] | str | os.PathLike[str]
"""Labels by path, or a CSV file of paths and labels."""

N_NAMED = 10  # leaks that an error names
LEAK_COLUMNS = {
    "path": "path",
    "duplicate_of": "path",
    "distance": "int64",
    "relation": "text",
    "label": "text",
    "label_of": "text",
}


class Leak(NamedTuple):
    """An image of the second set that has a duplicate in the first.

    Attributes
    ----------
    path, duplicate_of : Path
        In the second set, and its nearest duplicate in the first; absolute.
    relation : str
        As in `Removal`, or ``"same-file"`` if both are names of one file.
    distance : int
        Between their match hashes, in bits of 256; 0 where the bytes are equal.
    label, label_of : str or None
        The labels of the two.
    conflict : Path or None
        The nearest duplicate in the first set that has another label, if there is one.
    """

    path: Path
    duplicate_of: Path
    relation: str
    distance: int
    label: str | None
    label_of: str | None
    conflict: Path | None


class Leaks(Sequence[Leak]):
    """The images of a second set that have a duplicate in a first one, from `compare`.

    Attributes
    ----------
    arrays : imgdup.dedupe.compare.Leaks
        The same as arrays.
    unread : list of Path
        Files of either set that could not be read, and so were not compared.
    """

    def __init__(self, arrays: LeakArrays, rule: MatchRule, unread: list[Path]) -> None:
        self.arrays = arrays
        self.unread = unread
        self._rule = rule
        self._leaks = list(map(_leak, arrays.each()))

    def __len__(self) -> int:
        return len(self._leaks)

    @overload
    def __getitem__(self, number: int) -> Leak: ...

    @overload
    def __getitem__(self, number: slice) -> list[Leak]: ...

    def __getitem__(self, number: int | slice) -> Leak | list[Leak]:
        return self._leaks[number]

    def __repr__(self) -> str:
        n_images = counted(len(self.arrays.b.images), "image")
        unread = f", {counted(len(self.unread), 'file')} not read" if self.unread else ""
        return f"<imgdup.Leaks: {len(self):,} of {n_images} have a duplicate{unread}>"

    def _repr_html_(self) -> str:
        """Show the first leaks with thumbnails, in a notebook."""
        return leaks_html(self.arrays, len(self.unread))

    def save_report(self, file: str | os.PathLike[str]) -> None:
        """Write a page of HTML with the pictures of every leak; it needs no network.

        Raises
        ------
        ImgdupError
            If it cannot be written.
        """
        save_leaks(Path(file), self.arrays, self._rule)

    def to_dataframe(self, library: DataFrameLibrary | None = None) -> Any:
        """Return a table with one row per leak; see `Groups.to_dataframe`.

        Its columns are ``path duplicate_of distance relation label label_of``.
        """
        records = ({name: getattr(leak, name) for name in LEAK_COLUMNS} for leak in self)
        return data_frame(records, LEAK_COLUMNS, library)


def compare(
    a: Images,
    b: Images,
    *,
    max_distance: int | None = None,
    orientations: bool = True,
    labels: Labels | None = None,
    verify: bool = True,
    progress: bool = True,
) -> Leaks:
    """Find the images of one set that have a duplicate in another, such as train and test.

    A folder is indexed first. Its index is kept in ``.imgdup/sets`` of the current folder, or of
    the nearest folder above it that has ``.imgdup``, and is only brought up to date the next time.

    Parameters
    ----------
    a, b : ImageIndex or path
        The images that are known, and those that should be new. A path is that of a folder of
        images, or of an index.
    max_distance : int, optional
        Largest match distance of duplicates, in bits of 256, inclusive. Default: as in
        `ImageIndex.groups`, for the images of both sets together.
    orientations : bool
        Whether to find rotated and mirrored copies, too.
    labels : mapping or path, optional
        The label of each path (absolute, or relative to the indexed folder), or a CSV file of
        these. By default, the label of an image is its first folder below the set.
    verify : bool
        Whether to compare the pictures, and to leave out pairs that are different. If not, all
        images with near hashes are given, as ``"unverified"``.
    progress : bool
        Whether to show a progress bar, on a terminal or in a notebook.

    Returns
    -------
    Leaks
        Nearest first.

    Raises
    ------
    ImgdupError
        If a set has no readable image.
    UsageError
        A ValueError: a path does not exist, the sets have images in common, or `max_distance` is
        not from 0 to 256.
    """
    opened = [_opened(each, progress=progress) for each in (a, b)]
    in_a, in_b = (_image_set(index, labels) for index in opened)
    sides = [(each.rows, each.images) for each in (in_a, in_b)]
    rule = match_rule(max_distance, sides, orientations=orientations, wide=verify)
    leaks = compare_sets(in_a, in_b, rule)
    if verify:
        with showing(progress) as bar, Verifier(opened[0].folder) as verifier:
            judge = verifier.judge(in_a.rows, in_b.rows)
            leaks = verified(leaks, rule, judge, progress=bar.compared)
    unread = [failure.path for index in opened for failure in index.failures]
    return Leaks(leaks, rule, unread)


def assert_no_leak(
    train: Images,
    test: Images,
    *,
    max_leaks: int = 0,
    max_unread: int = 0,
    max_distance: int | None = None,
    orientations: bool = True,
    progress: bool = False,
) -> None:
    """Fail if a test set shares pictures with a training set; for pytest.

    Parameters
    ----------
    train, test : ImageIndex or path
        As in `compare`.
    max_leaks : int
        How many images of the test set may have a duplicate in the training set.
    max_unread : int
        How many files of both sets may be unreadable: nothing is known about those.
    max_distance, orientations
        As in `compare`.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    AssertionError
        It names the first leaks, with paths and distances, or the first unreadable files.
    ImgdupError, UsageError
        As in `compare`.
    """
    __tracebackhide__ = True
    leaks = compare(
        train, test, max_distance=max_distance, orientations=orientations, progress=progress
    )
    if len(leaks.unread) > max_unread:
        raise AssertionError(
            f"{counted(len(leaks.unread), 'file')} could not be read, so nothing is known about "
            f"them:{_listed(map(str, leaks.unread), len(leaks.unread))}"
        )
    if len(leaks) > max_leaks:
        lines = (
            f"{leak.path} is in the training set as {leak.duplicate_of} "
            f"({leak.relation}, {counted(leak.distance, 'bit')})"
            for leak in leaks
        )
        raise AssertionError(
            f"{len(leaks):,} of {counted(len(leaks.arrays.b.images), 'test image')} leaked from "
            f"the training set:{_listed(lines, len(leaks))}"
        )


def _listed(lines: Iterable[str], n_lines: int) -> str:
    """Write the first lines, indented, and how many more there are."""
    text = "".join(f"\n  {line}" for line in islice(lines, N_NAMED))
    return text + (f"\n  and {n_lines - N_NAMED:,} more" if n_lines > N_NAMED else "")


class Splits(Mapping[str, list[Path]]):
    """Images divided into sets that share no picture, from `split`: a name -> its paths.

    Attributes
    ----------
    shares : list of Share
        The number and the share of images of each set, of each label too if it was stratified.
    n_chains, n_chained : int
        Chains of two or more duplicates, and the files in them; no chain is divided.
    """

    def __init__(self, rows: GenerationRows, division: Split) -> None:
        self._rows = rows
        self._division = division
        self.shares: list[Share] = division.shares
        self.n_chains, self.n_chained = division.n_chains, division.n_chained

    def __getitem__(self, name: str) -> list[Path]:
        if name not in self._division.names:
            raise KeyError(name)
        place = self._division.names.index(name)
        rows = self._division.images[self._division.places == place]
        return [Path(os.fsdecode(self._rows.path(row))) for row in rows.tolist()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._division.names)

    def __len__(self) -> int:
        return len(self._division.names)

    def __repr__(self) -> str:
        counts = np.bincount(self._division.places, minlength=len(self)).tolist()
        sets = ", ".join(f"{name} {n:,}" for name, n in zip(self, counts, strict=True))
        return f"<imgdup.Splits: {sets} images; {counted(self.n_chains, 'chain')} of duplicates>"

    def indices(
        self, paths: Iterable[str | bytes | os.PathLike[str]], *, unknown: Unknown = "raise"
    ) -> dict[str, list[int]]:
        """Return the positions of the paths that are in each set, to divide a data set.

        Parameters
        ----------
        paths : iterable of paths
            Absolute, or relative to the current folder.
        unknown : str
            What to do with a path that was not divided, since the index does not have it or it
            could not be read: ``"raise"`` an error or ``"drop"`` it.

        Raises
        ------
        UsageError
            A ValueError that names the first such path.
        """
        if unknown == "keep":
            raise UsageError("a path that was not divided is in no set: choose 'raise' or 'drop'")
        named = [os.fsdecode(path) for path in paths]
        found: dict[str, list[int]] = {name: [] for name in self}
        images, places = self._division.images.tolist(), self._division.places.tolist()
        name_of = {
            row: self._division.names[place] for row, place in zip(images, places, strict=True)
        }
        for i, row in enumerate(rows_of_paths(self._rows, named, unknown=unknown)):
            if row in name_of:
                found[name_of[row]].append(i)
            elif unknown == "raise":
                raise UsageError(f"{named[i]!r} could not be read, so it is in no set")
        return found

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write one list of paths per set, ``NAME.txt``, and return the files.

        Paths are relative to the indexed folder if there is only one.

        Raises
        ------
        ImgdupError
            If a list cannot be written, or a path contains a newline.
        UsageError
            If the folder holds a list of another split.
        """
        return save_split(Path(folder), self._rows, self._division)


def split(
    images: Images,
    ratios: Mapping[str, float],
    *,
    stratify: bool = False,
    labels: Labels | None = None,
    seed: int = 0,
    max_distance: int | None = None,
    orientations: bool = True,
    progress: bool = True,
) -> Splits:
    """Divide images into sets for training and testing; no chain of duplicates is divided.

    The same images and seed give the same sets. The pictures are not compared: near hashes are
    enough to stay together.

    Parameters
    ----------
    images : ImageIndex or path
        As in `compare`.
    ratios : mapping
        The share of each set, such as ``{"train": 0.8, "test": 0.2}``; they add up to 1.
    stratify : bool
        Whether to meet the ratios for each label.
    labels : mapping or path, optional
        As in `compare`.
    seed : int
        Of the random choice.
    max_distance, orientations
        As in `compare`.
    progress : bool
        Whether to show a progress bar, on a terminal or in a notebook.

    Returns
    -------
    Splits
        A mapping from the name of each set to its paths.

    Raises
    ------
    UsageError
        A ValueError: the ratios do not add up to 1, a name cannot be that of a file, or `seed` is
        negative.
    TypeError
        If `ratios` is no mapping.
    """
    if not isinstance(ratios, Mapping):
        raise TypeError(f"ratios must map names to shares, got {type(ratios).__name__}")
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, got {seed}")
    checked = check_ratios(ratios)
    index = _opened(images, progress=progress)
    part = _image_set(index, labels)
    sides = [(part.rows, part.images)]
    rule = match_rule(max_distance, sides, orientations=orientations, wide=True)
    return Splits(index.rows, split_set(part, checked, stratify=stratify, seed=seed, rule=rule))


def _opened(images: Images, *, progress: bool) -> ImageIndex:
    """Open the index of a set; a folder of images is indexed first."""
    if isinstance(images, ImageIndex):
        return images.check_before_decision()
    path = Path(images)
    if is_index(path):
        return ImageIndex.open(path).check_before_decision()
    return ImageIndex.build(path, place_of_set(path), progress=progress).check_before_decision()


def _image_set(index: ImageIndex, labels: Labels | None) -> ImageSet:
    """Return the images of an index with their labels; raise ImgdupError if there is none."""
    selected = index.image_rows
    if not len(selected):
        raise ImgdupError(f"{index} contains no readable image: see its failures")
    if labels is None:
        return ImageSet(index.rows, selected, folder_labels(index.rows, selected))
    if isinstance(labels, Mapping):
        table = {
            os.fsencode(path).replace(os.fsencode(os.sep), b"/"): label
            for path, label in labels.items()
        }
    else:
        table = read_labels(Path(labels))
    found = table_labels(table, index.rows, selected)
    if not any(found):
        raise UsageError(
            f"labels name none of the {len(found):,} images of {index.folder}: give paths below "
            "the indexed folder, or absolute ones"
        )
    return ImageSet(index.rows, selected, found)


def _leak(leak: Any) -> Leak:
    path, duplicate_of = (Path(os.fsdecode(each)) for each in (leak.path, leak.duplicate_of))
    conflict = None if leak.conflict is None else Path(os.fsdecode(leak.conflict))
    facts = leak.relation, leak.distance, leak.label, leak.label_of
    return Leak(path, duplicate_of, *facts, conflict)
