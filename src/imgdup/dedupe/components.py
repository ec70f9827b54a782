"""Find the connected components of duplicates: chains A~B~C, which never justify a removal.

A split of a data set uses them, because it must not divide a chain.
"""

from collections import Counter

import numpy as np

from imgdup.dedupe import Duplicates
from imgdup.dedupe.candidates import (
    NO_CLASS,
    MatchRule,
    byte_classes,
    hash_classes,
    hashes_of,
    near,
)
from imgdup.index.columns import RowNumbers, Rows, file_numbers


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


def component_labels(
    rows: Rows, selected: RowNumbers, rule: MatchRule | None = None, *, threads: int | None = None
) -> RowNumbers:
    """Find the connected component of each image.

    Two images are in one component if a chain of duplicates leads from one to the other. The
    names of one file (hard links) have equal bytes, so they always are.

    Parameters
    ----------
    rows : Rows
    selected : ndarray of int64
        Rows of images.
    rule : MatchRule, optional
    threads : int, optional
        For the join; all cores by default.

    Returns
    -------
    ndarray of int64, shape of `selected`
        The component of each image, numbered from 0 by first appearance.
    """
    rule = rule or MatchRule()
    hashes = hashes_of(rows, selected, rule)
    by_hash = hash_classes(hashes, rows.column("quality")[selected])
    parent = np.arange(len(selected))
    for classes in (by_hash, byte_classes(rows, selected)):
        _unite(parent, *_members_and_first(classes))
    classes, heads = np.unique(by_hash, return_index=True)
    heads = heads[classes != NO_CLASS]
    for block in near(hashes.select(heads), rule, threads=threads):
        _unite(parent, heads[block.left], heads[block.right])
    return np.unique(parent, return_inverse=True)[1].reshape(-1)


def _members_and_first(classes: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Pair each member of a class with the first member."""
    _, first, same = np.unique(classes, return_index=True, return_inverse=True)
    members = np.flatnonzero(classes != NO_CLASS)
    return members, first[same.reshape(-1)[members]]


def _unite(parent: RowNumbers, left: RowNumbers, right: RowNumbers) -> None:
    """Join the components of each pair; the least member of each becomes the root of all."""
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
