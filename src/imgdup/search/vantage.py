"""Hashes in, their order in a vantage-point tree out, and from it how near each leaf can be.

A tree over ``n`` hashes has no pointers. Node ``j`` of level ``l`` is the range
``j * n >> l`` to ``(j + 1) * n >> l`` of the ordered hashes, and its children are the two halves
of that range, the hashes nearer to its vantage point first. Nodes are numbered level by level, so
the ``2 ** depth - 1`` vantage points, and the distances that each child spans, are all there is to
store. Halves are cut by rank: a thousand equal hashes are cut like any others.

References
----------
P. N. Yianilos, "Data structures and algorithms for nearest neighbor search in general metric
spaces", SODA 1993: the tree (section 3) and the choice of the vantage point (``Select_vp``).
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.errors import IndexFormatError
from imgdup.native.join import distances_from
from imgdup.search.hamming import MAX_WORDS, WORD_BITS, Hash, Hashes, Integers

Spans: TypeAlias = npt.NDArray[np.uint16]  # (n_points, 2, 2): child near or far; least, greatest

LEAF = 1 << 12  # hashes in a leaf at most: comparing them takes as long as one step in Python
N_CANDIDATES = 32  # hashes tried as vantage point of a node
N_OTHERS = 128  # hashes that each of these is tried on
N_SAMPLES = 64  # members looked up to measure what a search visits


def arrange(hashes: Hashes, rows: Integers) -> tuple[Hashes, Spans]:
    """Sort hashes into the order of the tree, in place.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes, C-contiguous; reordered.
    rows : ndarray of int64, shape (n,)
        Reordered alike.

    Returns
    -------
    points : ndarray of uint64, shape (2 ** depth - 1, words)
        The vantage points, level by level.
    spans : ndarray of uint16, shape (2 ** depth - 1, 2, 2)
        Least and greatest distance from the vantage point to the hashes of its near child, and of
        its far child, in bits.
    """
    n, words = hashes.shape
    n_points = (1 << (max(n - 1, 0) // LEAF).bit_length()) - 1
    points = np.empty((n_points, words), np.uint64)
    spans = np.empty((n_points, 2, 2), np.uint16)
    for node in range(n_points):
        n_children = 1 << (node + 1).bit_length()  # of the whole level
        child = 2 * (node + 1) - n_children
        start, middle, stop = ((child + i) * n // n_children for i in range(3))
        part = slice(start, stop)
        points[node], spans[node] = _split(hashes[part], rows[part], middle - start)
    return points, spans


def _split(hashes: Hashes, rows: Integers, half: int) -> tuple[Hash, npt.NDArray[np.uint16]]:
    """Sort one node by the distance from its vantage point, and span its two children."""
    point = _vantage_point(hashes)
    distances = distances_from(hashes, point)
    order = distances.argsort(kind="stable")  # a radix sort; ties stay in the order of rows
    for column in (rows, *hashes.T):  # one column at a time takes less memory
        column[:] = column[order]
    return point, distances[order[[0, half - 1, half, -1]]].reshape(2, 2)


def _vantage_point(hashes: Hashes) -> Hash:
    """Choose the candidate whose distances from other hashes vary most."""
    candidates, others = _spaced(hashes, N_CANDIDATES), _spaced(hashes, N_OTHERS)
    differing = np.bitwise_count(candidates[:, None] ^ others[None])
    distances = differing.sum(axis=2, dtype=np.int64)
    variances = len(others) * (distances**2).sum(axis=1) - distances.sum(axis=1) ** 2
    chosen: Hash = candidates[variances.argmax()]
    return chosen


def _spaced(hashes: Hashes, count: int) -> Hashes:
    """Copy `count` hashes, evenly spaced; all, if there are fewer."""
    count = min(count, len(hashes))
    middles = 2 * np.arange(count) + 1
    return hashes[middles * len(hashes) // max(2 * count, 1)]


def leaf_edges(n: int, n_leaves: int) -> Integers:
    """Where each leaf begins, and where the last one ends."""
    return np.arange(n_leaves + 1) * n // n_leaves


def leaf_bounds(points: Hashes, spans: Spans, probe: Hash) -> npt.NDArray[np.int32]:
    """Bound the distance of each leaf's hashes from a probe.

    Parameters
    ----------
    points, spans : ndarray
        As `arrange` returned them.
    probe : ndarray of uint64, shape (words,)
        The hash that is looked up.

    Returns
    -------
    ndarray of int32, shape (2 ** depth,)
        No hash of the leaf is nearer to the probe than this, in bits: 0 or more, by the triangle
        inequality over the vantage points above it.
    """
    to_points = distances_from(points, probe).astype(np.int32)[:, None]
    gaps = np.maximum(spans[:, :, 0] - to_points, to_points - spans[:, :, 1]).ravel()
    bounds = np.zeros(1, np.int32)
    while len(bounds) <= len(points):  # level by level: a child inherits its parent's bound
        children = slice(2 * len(bounds) - 2, 4 * len(bounds) - 2)
        bounds = np.maximum(bounds.repeat(2), gaps[children])
    return bounds


def visited_fractions(hashes: Hashes, points: Hashes, spans: Spans) -> npt.NDArray[np.float64]:
    """Measure how much of the tree a search visits.

    Parameters
    ----------
    hashes, points, spans : ndarray
        As `arrange` left and returned them.

    Returns
    -------
    ndarray of float64, shape (64 * words + 1,)
        For each ``max_distance`` the fraction of the hashes that are compared, vantage points
        included: the mean over up to 64 members. 1 where there are no hashes.
    """
    n, words = hashes.shape
    probes = _spaced(hashes, N_SAMPLES)
    sizes = np.diff(leaf_edges(n, len(points) + 1))
    visited = np.full(WORD_BITS * words + 1, len(points) * len(probes), np.int64)
    for probe in probes:  # a leaf is compared from its bound on
        bounds = leaf_bounds(points, spans, probe)
        visited += np.bincount(bounds, sizes, len(visited)).cumsum().astype(np.int64)
    return visited / (n * len(probes)) if n else np.ones(len(visited))


def check_forms(arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Refuse arrays whose dtypes and shapes are not those of one tree.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The fields of `imgdup.search.vptree.VPTree`, by name.

    Raises
    ------
    IndexFormatError
        If one does not fit; the message names it, what it must be and what was found.
    """
    n, words, n_points = _sizes(arrays["hashes"], arrays["points"])
    forms = {
        "hashes": (np.uint64, (n, words)),
        "rows": (np.int64, (n,)),
        "points": (np.uint64, (n_points, words)),
        "spans": (np.uint16, (n_points, 2, 2)),
        "visited_fractions": (np.float64, (WORD_BITS * words + 1,)),
    }
    for name, (dtype, shape) in forms.items():
        found = arrays[name]
        if found.dtype != dtype or found.shape != shape:
            raise IndexFormatError(
                f"{name} must be {np.dtype(dtype)} of shape {shape}, "
                f"found {found.dtype} of shape {found.shape}"
            )


def _sizes(
    hashes: npt.NDArray[np.generic], points: npt.NDArray[np.generic]
) -> tuple[int, int, int]:
    """Numbers of hashes, words and vantage points, where these can be a tree's."""
    if hashes.ndim != 2 or points.ndim != 2 or not 1 <= hashes.shape[1] <= MAX_WORDS:
        raise IndexFormatError(
            f"hashes and points must have shape (n, 1 to {MAX_WORDS}), "
            f"found {hashes.shape} and {points.shape}"
        )
    n, words = hashes.shape
    n_leaves = len(points) + 1
    if n_leaves.bit_count() != 1 or n_leaves > max(n, 1):
        raise IndexFormatError(f"{n:,} hashes cannot be halved by {len(points):,} vantage points")
    return n, words, len(points)
