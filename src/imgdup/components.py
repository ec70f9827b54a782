"""Duplicates -> connected components: chains A~B~C, for information only; nothing rests on them."""

from collections import Counter

import numpy as np

from imgdup.dedupe import Duplicates
from imgdup.duplicates import byte_classes, hash_classes, hashes_of, near
from imgdup.rows import RowNumbers

Labels = RowNumbers


def chains(duplicates: Duplicates) -> Counter[int]:
    """Count the connected components by their number of files, those of one file left out."""
    labels = component_labels(duplicates)
    sizes = np.bincount(labels)
    return Counter(sizes[sizes > 1].tolist())


def component_labels(duplicates: Duplicates) -> Labels:
    """Give each file that was looked at the number of its connected component.

    Two files are in one component if a chain of duplicates leads from one to the other.

    Returns
    -------
    ndarray of int64, shape (n_images,)
        The number of each of ``duplicates.images``, by first appearance from 0.
    """
    rows, selected, rule = duplicates.rows, duplicates.images, duplicates.wishes.rule
    hashes = hashes_of(rows, selected, rule)
    by_hash = hash_classes(hashes, rows.column("quality")[selected])
    parent = np.arange(len(selected))
    for classes in (by_hash, byte_classes(rows, selected)):
        _unite_classes(parent, classes)
    matched = np.flatnonzero(by_hash >= 0)
    _, first = np.unique(by_hash[matched], return_index=True)
    heads = matched[first]
    for block in near(hashes.take(heads), rule, threads=duplicates.wishes.threads):
        for i, j in zip(heads[block.left].tolist(), heads[block.right].tolist(), strict=True):
            _unite(parent, i, j)
    roots = np.array([_root(parent, i) for i in range(len(parent))], np.int64)
    return _by_appearance(roots)


def _unite_classes(parent: Labels, classes: Labels) -> None:
    """Unite the files of each class; -1 stands for none."""
    members = np.flatnonzero(classes >= 0)
    members = members[np.argsort(classes[members], kind="stable")]
    same = classes[members[1:]] == classes[members[:-1]]
    for i, j in zip(members[:-1][same].tolist(), members[1:][same].tolist(), strict=True):
        _unite(parent, i, j)


def _unite(parent: Labels, i: int, j: int) -> None:
    a, b = _root(parent, i), _root(parent, j)
    parent[max(a, b)] = min(a, b)


def _root(parent: Labels, i: int) -> int:
    """Find the first file of a component, halving the way for the next time."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return i


def _by_appearance(labels: Labels) -> Labels:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers: Labels = rank[inverse]
    return numbers
