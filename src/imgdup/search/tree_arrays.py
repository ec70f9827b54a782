"""Make, check and search the flat arrays of a vantage-point tree over hashes.

A tree over ``n`` hashes has no pointers. Node ``j`` of level ``l`` is the range ``j * n >> l`` to
``(j + 1) * n >> l`` of the ordered hashes, and its children are the two halves of that range, the
hashes nearer to its vantage point first. Nodes are numbered level by level, so only the ``2 **
depth - 1`` vantage points and the range of distances of each child are stored. Nodes are halved by
rank, so a thousand equal hashes are halved like any others.

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
from imgdup.native.join import MAX_WORDS
from imgdup.native.scan import distances_from
from imgdup.search.hamming import WORD_BITS, Hash, Hashes, Integers

Spans: TypeAlias = npt.NDArray[np.uint16]  # (n_points, 2, 2): child near or far; least, greatest

LEAF = 1 << 12  # most hashes in a leaf: comparing them takes as long as one step in Python
N_CANDIDATES = 32  # hashes to try as the vantage point of a node
N_OTHERS = 128  # hashes to compare each candidate with
N_SAMPLES = 64  # hashes to look up to measure how much a search visits


def arrange(hashes: Hashes, rows: Integers) -> tuple[Hashes, Spans]:
    """Sort hashes into the order of the tree, in place.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes, C-contiguous; reordered.
    rows : ndarray of int64, shape (n,)
        Reordered in the same way.

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
    """Sort one node by distance from its vantage point; return the point and the two ranges."""
    point = _vantage_point(hashes)
    distances = distances_from(hashes, point)
    order = distances.argsort(kind="stable")  # a radix sort; ties keep the order of the rows
    for column in (rows, *hashes.T):  # one column at a time needs less memory
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
    """Copy `count` evenly spaced hashes, or all if there are fewer."""
    count = min(count, len(hashes))
    middles = 2 * np.arange(count) + 1
    return hashes[middles * len(hashes) // max(2 * count, 1)]


def leaf_edges(n: int, n_leaves: int) -> Integers:
    """Return where each leaf begins and where the last one ends."""
    return np.arange(n_leaves + 1) * n // n_leaves


def leaf_bounds(points: Hashes, spans: Spans, probe: Hash) -> npt.NDArray[np.int32]:
    """Return a lower bound of the distance between a probe and the hashes of each leaf.

    Parameters
    ----------
    points, spans : ndarray
        As `arrange` returned them.
    probe : ndarray of uint64, shape (words,)
        The hash that is looked up.

    Returns
    -------
    ndarray of int32, shape (2 ** depth,)
        The bounds in bits, 0 or more, from the triangle inequality at the vantage points above
        each leaf.
    """
    to_points = distances_from(points, probe).astype(np.int32)[:, None]
    gaps = np.maximum(spans[:, :, 0] - to_points, to_points - spans[:, :, 1]).ravel()
    bounds = np.zeros(1, np.int32)
    while len(bounds) <= len(points):  # level by level: a child inherits its parent's bound
        children = slice(2 * len(bounds) - 2, 4 * len(bounds) - 2)
        bounds = np.maximum(bounds.repeat(2), gaps[children])
    return bounds


def visited_fractions(hashes: Hashes, points: Hashes, spans: Spans) -> npt.NDArray[np.float64]:
    """Measure the fraction of the tree that a search visits.

    Parameters
    ----------
    hashes, points, spans : ndarray
        As `arrange` left and returned them.

    Returns
    -------
    ndarray of float64, shape (64 * words + 1,)
        For each ``max_distance``, the fraction of the hashes that are compared, including the
        vantage points: the mean over up to 64 indexed hashes. 1 if there are no hashes.
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
    """Refuse arrays whose dtypes and shapes do not fit one tree.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The fields of `imgdup.search.vptree.VPTree`, by name.

    Raises
    ------
    IndexFormatError
        If one does not fit; the message names it, the expected form and the actual one.
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
    """Return the numbers of hashes, words and vantage points; refuse impossible ones."""
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
