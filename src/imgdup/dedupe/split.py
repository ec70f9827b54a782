"""Divide images into splits for training, validation and test that share no picture.

A chain A~B~C of duplicates (a connected component) never justifies a removal, but a split must not
divide it. Each chain, the largest first, is assigned to the split that lacks most images of its
labels. Images without a duplicate then fill each label up to its ratios.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe import Duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.components import component_labels
from imgdup.dedupe.labels import ImageSet
from imgdup.errors import UsageError
from imgdup.index.columns import RowNumbers, Rows, file_numbers

ROUNDING = 1e-6  # the largest accepted difference of the sum of ratios from 1

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def chains(duplicates: Duplicates) -> Counter[int]:
    """Count the connected components of two or more files by their number of files."""
    rows, options = duplicates.rows, duplicates.options
    labels = component_labels(rows, duplicates.images, options.rule, threads=options.threads)
    sizes = files_per_component(rows, duplicates.images, labels)
    return Counter(sizes[sizes > 1].tolist())


def files_per_component(rows: Rows, selected: RowNumbers, labels: RowNumbers) -> RowNumbers:
    """Count the files of each component; several names of one file (hard links) count once."""
    _, first = np.unique(file_numbers(rows)[selected], return_index=True)
    return np.bincount(labels[first], minlength=int(labels.max(initial=-1)) + 1)


class Share(NamedTuple):
    """The part of all images, or of those with one label, that a split contains."""

    name: str
    label: str | None
    n_images: int
    share: float
    ratio: float

    @property
    def deviation(self) -> float:
        """How far the share is from the requested ratio."""
        return abs(self.share - self.ratio)


class Split(NamedTuple):
    """Images assigned to splits, by `split`."""

    names: tuple[str, ...]  # of the splits
    images: RowNumbers  # rows
    places: RowNumbers  # position in `names` of the split of each image
    shares: list[Share]  # of all images, and of each label if there are several
    # Chains of two or more files, and the files in them; several names of one file count once.
    n_chains: int
    n_chained: int


def parse_ratios(text: str) -> dict[str, float]:
    """Read ratios as the user writes them: ``train=0.8,val=0.1,test=0.1``.

    Raises UsageError for anything else, for names that cannot be file names, and unless they add up
    to 1.

    Examples
    --------
    >>> parse_ratios("train=0.75, test=0.25")
    {'train': 0.75, 'test': 0.25}
    """
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (each.strip() for each in part.partition("="))
        if not equals or not name:
            raise UsageError(f"ratios: cannot read {part.strip()!r}; write train=0.8,test=0.2")
        _check_name(name, ratios)
        ratios[name] = _ratio(name, number)
    return check_ratios(ratios)


def check_ratios(ratios: Mapping[str, float]) -> dict[str, float]:
    """Return ratios by name if they can be used.

    Raises UsageError unless they are numbers that add up to 1, and the names can be file names and
    differ by more than upper and lower case.

    Examples
    --------
    >>> check_ratios({"train": 0.75, "test": 0.25})
    {'train': 0.75, 'test': 0.25}
    """
    checked: dict[str, float] = {}
    for name, ratio in ratios.items():
        _check_name(name, checked)
        checked[name] = _ratio(name, ratio)
    total = sum(checked.values())
    if abs(total - 1) > ROUNDING:
        raise UsageError(f"ratios add up to {total:g}: they must add up to 1")
    return checked


def _check_name(name: str, others: Mapping[str, float]) -> None:
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(
            f"ratios: {name!r} cannot be the name of a list: use letters, digits, _ and -"
        )
    if name.casefold() in map(str.casefold, others):
        raise UsageError(f"ratios: {name!r} is given twice; upper and lower case are the same")


def _ratio(name: str, number: str | float) -> float:
    try:
        ratio = float(number)
    except (TypeError, ValueError):
        ratio = math.nan
    if not 0 < ratio <= 1:
        raise UsageError(f"ratios: {name}={number} must be a number above 0, at most 1")
    return ratio


def split(
    images: ImageSet,
    ratios: Mapping[str, float],
    *,
    stratify: bool = False,
    seed: int = 0,
    rule: MatchRule | None = None,
) -> Split:
    """Divide images by ratios so that no chain of duplicates is divided.

    The same images, ratios, labels and seed give the same splits. With `stratify`, the ratios are
    met for each label; otherwise labels are ignored.
    """
    rng = np.random.default_rng(seed)
    rows, selected, labels = images
    names, codes = _numbered(labels if stratify else None, len(selected))
    chains = component_labels(rows, selected, rule)
    sizes = files_per_component(rows, selected, chains)
    wanted_shares = np.array(list(ratios.values()))
    wanted = np.outer(wanted_shares, np.bincount(codes, minlength=len(names)))
    places = np.full(len(selected), -1)
    _place_chains(places, wanted, chains, codes, rng)
    _fill_up(places, wanted, codes, wanted_shares, rng)
    shares = _shares(tuple(ratios), wanted_shares, names, codes, places)
    n_chained = int(sizes[sizes > 1].sum())
    return Split(tuple(ratios), selected, places, shares, int((sizes > 1).sum()), n_chained)


def _numbered(labels: Sequence[str | None] | None, n: int) -> tuple[list[str | None], Counts]:
    """Return the distinct labels, sorted, and the position in them of each image's label."""
    if labels is None:
        return [None], np.zeros(n, np.int64)
    names = sorted(set(labels), key=lambda name: (name is None, name or ""))
    number = {name: i for i, name in enumerate(names)}
    return names or [None], np.array([number[label] for label in labels], np.int64)


def _place_chains(
    places: Counts, wanted: Reals, chains: Counts, codes: Counts, rng: "np.random.Generator"
) -> None:
    """Assign each chain, the largest first, to the split that lacks most of its labels."""
    sizes = np.bincount(chains, minlength=1)
    order = np.lexsort((rng.permutation(len(sizes)), -sizes))
    members = np.argsort(chains, kind="stable")
    starts = np.append(0, np.cumsum(sizes))
    for chain in order[: int((sizes > 1).sum())].tolist():
        images = members[starts[chain] : starts[chain + 1]]
        kinds, counts = np.unique(codes[images], return_counts=True)
        place = int(np.argmax(wanted[:, kinds] @ counts))
        places[images] = place
        wanted[place, kinds] -= counts


def _fill_up(
    places: Counts, wanted: Reals, codes: Counts, ratios: Reals, rng: "np.random.Generator"
) -> None:
    """Divide the single images of each label; rounding errors carry over to the next label."""
    single = np.flatnonzero(places < 0)
    single = single[np.argsort(codes[single], kind="stable")]
    bounds = np.searchsorted(codes[single], np.arange(wanted.shape[1] + 1))
    carried = np.zeros(len(ratios))
    for label in range(wanted.shape[1]):
        images = rng.permutation(single[bounds[label] : bounds[label + 1]])
        counts = _whole(wanted[:, label] + carried, len(images), ratios)
        places[images] = np.repeat(np.arange(len(ratios)), counts)
        carried += wanted[:, label] - counts


def _whole(wanted: Reals, n: int, ratios: Reals) -> Counts:
    """Round to whole numbers that add up to `n`, by the largest remainders."""
    wanted = np.maximum(wanted, 0)
    total = wanted.sum()
    exact = (wanted / total if total > ROUNDING else ratios / ratios.sum()) * n
    counts: Counts = np.floor(exact + ROUNDING).astype(np.int64)
    rest = np.argsort(counts - exact, kind="stable")[: n - int(counts.sum())]
    counts[rest] += 1
    return counts


def _shares(
    names: tuple[str, ...],
    ratios: Reals,
    labels: list[str | None],
    codes: Counts,
    places: Counts,
) -> list[Share]:
    """Count the images of each split: all and, if there are several labels, those of each."""
    table = np.bincount(places * len(labels) + codes, minlength=len(names) * len(labels))
    table = table.reshape(len(names), len(labels))
    shares = []
    for label, counts in [(None, table.sum(axis=1)), *zip(labels, table.T, strict=True)]:
        total = max(int(counts.sum()), 1)
        shares += [
            Share(name, label, int(count), int(count) / total, float(ratio))
            for name, count, ratio in zip(names, counts, ratios, strict=True)
        ]
    return shares if len(labels) > 1 else shares[: len(names)]
