"""Open the sets of images that a caller names, with their labels, and divide one into several."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from imgdup.api.groups import match_rule
from imgdup.api.index import ImageIndex
from imgdup.build.settings import Outcome, Settings, covering_index
from imgdup.build.update import update_index
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.dedupe.leaks import Coverage, coverage
from imgdup.dedupe.split import Share, Split, check_ratios, split as split_set
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import look_for, place_of_set
from imgdup.index.generation import GenerationRows
from imgdup.index.pack import check_has_pictures, is_index_or_pack
from imgdup.index.paths import Unknown, rows_of_paths
from imgdup.output import counted
from imgdup.output.cleaning import save_split
from imgdup.output.progress import showing
from imgdup.system.paths import as_path, check_exists

Images: TypeAlias = ImageIndex | str | os.PathLike[str]
"""A set: an opened index, an index folder, a hash pack, or a folder of images, which is indexed."""

Labels: TypeAlias = Mapping[str, str] | str | os.PathLike[str]
"""Labels by path, or a CSV file of paths and labels."""


class OpenedSet(NamedTuple):
    """A set: its name, its index, and the result of the run that scanned it, if there was one."""

    name: str
    images: ImageIndex
    outcome: Outcome | None

    @property
    def coverage(self) -> Coverage:
        """How much of the set could be compared."""
        return coverage(self.name, self.images.rows, (), self.outcome)

    @property
    def unread(self) -> list[Path]:
        """The files without a hash; undecoded formats are known only of a set that was scanned."""
        undecoded = self.outcome.undecoded if self.outcome else ()
        return [
            *(failure.path for failure in self.images.failures),
            *(as_path(path) for path in undecoded),
        ]

    @property
    def unscanned(self) -> list[Path]:
        """The folders that could not be scanned."""
        unlisted = self.outcome.unlisted if self.outcome else ()
        return [as_path(folder) for folder, _ in unlisted]


def open_sets(sets: Sequence[Images], *, progress: bool) -> list[OpenedSet]:
    """Open the indexes of some sets; folders of images are indexed first.

    No folder is indexed if one of the sets does not exist.
    """
    for each in sets:
        if not isinstance(each, ImageIndex):
            check_exists(each)
    return [_open_set(each, progress=progress) for each in sets]


def _open_set(images: Images, *, progress: bool) -> OpenedSet:
    if isinstance(images, ImageIndex):
        return OpenedSet(str(images.folder), images.check_before_decision(), None)
    path, outcome = Path(images), None
    place = path
    if not is_index_or_pack(path):
        place = place_of_set(path)
        settings = Settings(reuse=covering_index(path, look_for(Path())))
        with showing(progress) as bar:
            outcome = update_index(place, [os.fspath(path)], settings, bar if progress else None)
    return OpenedSet(str(path), ImageIndex.open(place).check_before_decision(), outcome)


def image_set(index: ImageIndex, labels: Labels | None) -> ImageSet:
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
        return [as_path(self._rows.path(row)) for row in rows.tolist()]

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
        for i, row in enumerate(rows_of_paths(self._rows.generation.paths, named, unknown=unknown)):
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
    [opened] = open_sets([images], progress=progress)
    index = opened.images
    check_has_pictures(index.generation)
    part = image_set(index, labels)
    sides = [(part.rows, part.images)]
    rule = match_rule(max_distance, sides, orientations=orientations, wide=True)
    return Splits(index.rows, split_set(part, checked, stratify=stratify, seed=seed, rule=rule))
