"""Duplicates -> connected components, the chains A~B~C: no removal rests on them."""

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
from imgdup.index.columns import RowNumbers, Rows


def chains(duplicates: Duplicates) -> Counter[int]:
    """Count the connected components by their number of paths, those of one path left out."""
    rows, options = duplicates.rows, duplicates.options
    labels = component_labels(rows, duplicates.images, options.rule, threads=options.threads)
    sizes = np.bincount(labels)
    return Counter(sizes[sizes > 1].tolist())


def component_labels(
    rows: Rows, selected: RowNumbers, rule: MatchRule | None = None, *, threads: int | None = None
) -> RowNumbers:
    """Give each image the number of its connected component.

    Two images are in one component if a chain of duplicates leads from one to the other; so the
    names of one file (hard links), whose bytes are equal, always are.

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
        The number of each one's component, by first appearance from 0.
    """
    rule = rule or MatchRule()
    hashes = hashes_of(rows, selected, rule)
    by_hash = hash_classes(hashes, rows.column("quality")[selected])
    parent = np.arange(len(selected))
    for classes in (by_hash, byte_classes(rows, selected)):
        _unite(parent, *_members_and_first(classes))
    classes, heads = np.unique(by_hash, return_index=True)
    heads = heads[classes != NO_CLASS]
    for block in near(hashes.take(heads), rule, threads=threads):
        _unite(parent, heads[block.left], heads[block.right])
    return np.unique(parent, return_inverse=True)[1].reshape(-1)


def _members_and_first(classes: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
    """Pair each member of a class with its first one."""
    _, first, same = np.unique(classes, return_index=True, return_inverse=True)
    members = np.flatnonzero(classes != NO_CLASS)
    return members, first[same.reshape(-1)[members]]


def _unite(parent: RowNumbers, left: RowNumbers, right: RowNumbers) -> None:
    """Join the components of each pair; each ends up with its least member as the root of all."""
    while len(left):
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        _flatten(parent)


def _flatten(parent: RowNumbers) -> None:
    """Let each member point at its root, in as many rounds as the depth has bits."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above
