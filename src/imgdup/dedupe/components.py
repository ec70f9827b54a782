"""Divide images into connected components of candidates, and these into parts to decide at a time.

The pairs of candidates that were found meanwhile are kept for the parts as long as they are few.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import (
    NO_CLASS,
    MatchRule,
    byte_classes,
    hash_classes,
    hashes_of,
    near,
)
from imgdup.index.columns import RowNumbers, Rows, file_numbers
from imgdup.search.equal import Pairs

MAX_SIDE = 1024  # pixels of the longer side of a picture that is compared
CHANNELS = 3
PART_BYTES = 256 << 20  # of decoded pictures that are compared with each other
MOST_KEPT = 1 << 20  # pairs; more are found again when they are needed: 18 bytes each


class Components(NamedTuple):
    """The component of each image, numbered from 0 by first appearance, and why.

    ``classes`` are those of equal hashes, from `hash_classes`; ``pairs`` are the pairs of classes
    that `near` found, or None if there are too many to keep.
    """

    labels: RowNumbers
    classes: RowNumbers
    pairs: Pairs | None


class Part(NamedTuple):
    """Rows of some components, and the pairs of candidates among them if they are known.

    ``classes`` has the class of each row; the pairs are pairs of classes.
    """

    rows: RowNumbers
    classes: RowNumbers
    pairs: Pairs | None

    def renumbered(self, some: RowNumbers, classes: RowNumbers) -> Pairs | None:
        """Return the pairs with other numbers of their classes, given those of some rows.

        Each class must have one of these rows.
        """
        if self.pairs is None:
            return None
        order = np.argsort(self.rows)
        old = self.classes[order[np.searchsorted(self.rows, some, sorter=order)]]
        numbers, first = np.unique(old, return_index=True)
        left, right, bits = self.pairs
        new = classes[first]
        return Pairs(
            new[np.searchsorted(numbers, left)], new[np.searchsorted(numbers, right)], bits
        )


def component_labels(
    rows: Rows, selected: RowNumbers, rule: MatchRule | None = None, *, threads: int | None = None
) -> RowNumbers:
    """Return the connected component of each image, numbered from 0 by first appearance.

    Two images are in one component if a chain of duplicates leads from one to the other. The names
    of one file (hard links) have equal bytes, so they always are.
    """
    return components(rows, selected, rule or MatchRule(), threads=threads).labels


def components(
    rows: Rows,
    selected: RowNumbers,
    rule: MatchRule,
    *,
    threads: int | None = None,
    foresee: Callable[[RowNumbers], None] = lambda found: None,
) -> Components:
    """Find the connected components of images, as `component_labels` does.

    `foresee` is called with rows that have equal hashes but other bytes, or are in pairs of
    candidates, while others are looked for.
    """
    hashes = hashes_of(rows, selected, rule)
    by_hash = hash_classes(hashes, rows.column("quality")[selected])
    by_bytes = byte_classes(rows, selected)
    parent = np.arange(len(selected))
    for classes in (by_hash, by_bytes):
        members, first = _members_and_first(classes)
        unite(parent, members, first)
        differ = by_bytes[members] != by_bytes[first]
        foresee(selected[np.concatenate([first, members])[np.tile(differ, 2)]])
    numbers, heads = np.unique(by_hash, return_index=True)
    heads = heads[numbers != NO_CLASS]
    blocks: list[Pairs] | None = []
    n_found = 0
    for block in near(hashes.select(heads), rule, threads=threads):
        unite(parent, heads[block.left], heads[block.right])
        foresee(selected[heads[np.concatenate([block.left, block.right])]])
        n_found += len(block.left)
        if blocks is not None:
            blocks = [*blocks, block] if n_found <= MOST_KEPT else None
    labels = np.unique(parent, return_inverse=True)[1].reshape(-1)
    return Components(labels, by_hash, None if blocks is None else _joined(blocks))


def _joined(blocks: list[Pairs]) -> Pairs:
    """Join blocks of pairs."""
    none = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
    return Pairs(*(np.concatenate(column) for column in zip(none, *blocks, strict=True)))


def _members_and_first(classes: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Pair each member of a class with the first member."""
    _, first, same = np.unique(classes, return_index=True, return_inverse=True)
    members = np.flatnonzero(classes != NO_CLASS)
    return members, first[same.reshape(-1)[members]]


def unite(parent: RowNumbers, left: RowNumbers, right: RowNumbers) -> None:
    """Join the components of each pair; the least member of each becomes the root of all.

    ``parent`` is changed: at first it is ``arange(n)``, in the end each entry is its root.
    """
    while len(left):
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        _flatten(parent)


def _flatten(parent: RowNumbers) -> None:
    """Let each member point at its root; takes as many rounds as the depth has bits."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above


def parts(
    rows: Rows,
    selected: RowNumbers,
    rule: MatchRule,
    *,
    threads: int | None = None,
    foresee: Callable[[RowNumbers], None] = lambda found: None,
) -> list[Part]:
    """Return the rows of components of candidates; components with few pictures share a part."""
    number = file_numbers(rows)[selected]
    _, first, file_of_row = np.unique(number, return_index=True, return_inverse=True)
    file_of_row = file_of_row.reshape(-1)
    found = components(rows, selected[first], rule, threads=threads, foresee=foresee)
    sizes = np.bincount(found.labels, picture_bytes(rows, selected[first]))
    part_of = np.full(len(sizes), -1)
    part, n_bytes = 0, 0.0
    for component in np.flatnonzero(np.bincount(found.labels) > 1).tolist():
        if n_bytes and n_bytes + sizes[component] > PART_BYTES:
            part, n_bytes = part + 1, 0.0
        part_of[component] = part
        n_bytes += sizes[component]
    part_of_file = part_of[found.labels]
    each = _ranges(part_of_file[file_of_row], part + 1)
    pairs = _pairs_of_parts(found, part_of_file, part + 1)
    return [
        Part(selected[places], found.classes[file_of_row[places]], some)
        for places, some in zip(each, pairs, strict=True)
        if len(places)
    ]


def _ranges(part_of: RowNumbers, n_parts: int) -> list[RowNumbers]:
    """Return the places of each part."""
    order = np.argsort(part_of, kind="stable")
    bounds = np.searchsorted(part_of[order], np.arange(n_parts + 1))
    return [order[a:b] for a, b in pairwise(bounds.tolist())]


def _pairs_of_parts(
    found: Components, part_of_file: RowNumbers, n_parts: int
) -> list[Pairs | None]:
    """Return the pairs of each part; both classes of a pair are in one component."""
    pairs = found.pairs
    if pairs is None:
        return [None] * n_parts
    part_of_class = np.empty(int(found.classes.max(initial=NO_CLASS)) + 1, np.int64)
    has_class = found.classes != NO_CLASS
    part_of_class[found.classes[has_class]] = part_of_file[has_class]
    each = _ranges(part_of_class[pairs.left], n_parts)
    left, right, bits = pairs
    return [Pairs(left[places], right[places], bits[places]) for places in each]


def picture_bytes(rows: Rows, selected: RowNumbers) -> npt.NDArray[np.float64]:
    """Return about how much memory the decoded picture of each row takes."""
    width, height = (rows.column(name)[selected].astype(np.float64) for name in ("width", "height"))
    scale = np.minimum(1, MAX_SIDE / np.maximum(np.maximum(width, height), 1))
    return np.asarray(CHANNELS * width * height * scale**2)
