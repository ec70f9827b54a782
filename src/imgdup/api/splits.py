"""Divide images into sets for training and testing; the result is an object."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from imgdup.api.groups import match_rule
from imgdup.api.sets import Images, Labels, image_set, open_sets
from imgdup.dedupe.split import Share, Split, check_ratios, split as split_set
from imgdup.errors import UsageError
from imgdup.index.generation import GenerationRows
from imgdup.index.pack import check_has_pictures
from imgdup.index.paths import Unknown, rows_of_paths
from imgdup.output.cleaning import save_split
from imgdup.output.codecs import counted
from imgdup.system.paths import as_path


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
