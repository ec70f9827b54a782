"""A vantage-point tree over hashes: exact search by Hamming distance.

A search bounds the distances of all leaves at once, then compares the hashes of the remaining
leaves; neighbouring leaves are compared in one call.

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

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.errors import IndexFormatError
from imgdup.native.join import MAX_WORDS
from imgdup.native.scan import distances_from, scan
from imgdup.search import (
    WORD_BITS,
    Hash,
    Hashes,
    Integers,
    Matches,
    Near,
    as_matches,
    check_hashes,
    check_max_distance,
    iter_near,
)

Spans: TypeAlias = npt.NDArray[np.uint16]  # (n_points, 2, 2): child near or far; least, greatest
AnyArray: TypeAlias = npt.NDArray[np.generic]

LEAF = 1 << 12  # most hashes in a leaf: comparing them takes as long as one step in Python
N_CANDIDATES = 32  # hashes to try as the vantage point of a node
N_OTHERS = 128  # hashes to compare each candidate with
N_SAMPLES = 64  # hashes to look up to measure how much a search visits

# Fraction of the hashes. A search that visits half of a million 64-bit hashes takes 0.7 times as
# long as a scan; one that visits three quarters takes as long (benchmarks/bench_query.py).
SCAN_ABOVE = 0.65


def arrange(hashes: Hashes, rows: Integers) -> tuple[Hashes, Spans]:
    """Sort hashes, and their row numbers alike, into the order of the tree, in place.

    Returns the vantage points, level by level, and for each the least and greatest distance, in
    bits, to the hashes of its near child and of its far child: shape (2 ** depth - 1, 2, 2).
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
    distances = np.bitwise_count(candidates[:, None] ^ others).sum(axis=2, dtype=np.int64)
    variances = len(others) * (distances**2).sum(axis=1) - distances.sum(axis=1) ** 2
    return np.asarray(candidates[variances.argmax()])


def _spaced(hashes: Hashes, count: int) -> Hashes:
    """Copy `count` evenly spaced hashes, or all if there are fewer."""
    count = min(count, len(hashes))
    middles = 2 * np.arange(count) + 1
    return hashes[middles * len(hashes) // max(2 * count, 1)]


def leaf_edges(n: int, n_leaves: int) -> Integers:
    """Return where each leaf begins and where the last one ends."""
    return np.arange(n_leaves + 1) * n // n_leaves


def leaf_bounds(points: Hashes, spans: Spans, probe: Hash) -> npt.NDArray[np.int32]:
    """Return a lower bound of the distance between a probe and the hashes of each leaf, in bits.

    It follows from the triangle inequality at the vantage points above the leaf.
    """
    to_points = distances_from(points, probe).astype(np.int32)[:, None]
    gaps = np.maximum(spans[:, :, 0] - to_points, to_points - spans[:, :, 1]).ravel()
    bounds = np.zeros(1, np.int32)
    while len(bounds) <= len(points):  # level by level: a child inherits its parent's bound
        children = slice(2 * len(bounds) - 2, 4 * len(bounds) - 2)
        bounds = np.maximum(bounds.repeat(2), gaps[children])
    return bounds


def visited_fractions(hashes: Hashes, points: Hashes, spans: Spans) -> npt.NDArray[np.float64]:
    """Return which fraction of the hashes a search compares, for each ``max_distance``.

    It is the mean over up to 64 indexed hashes, vantage points included; 1 if there are no hashes.
    """
    n, words = hashes.shape
    probes = _spaced(hashes, N_SAMPLES)
    sizes = np.diff(leaf_edges(n, len(points) + 1))
    visited = np.full(WORD_BITS * words + 1, len(points) * len(probes), np.int64)
    for probe in probes:  # a leaf is compared from its bound on
        bounds = leaf_bounds(points, spans, probe)
        visited += np.bincount(bounds, sizes, len(visited)).cumsum().astype(np.int64)
    return visited / (n * len(probes)) if n else np.ones(len(visited))


def check_forms(arrays: Mapping[str, AnyArray]) -> None:
    """Raise IndexFormatError unless the dtypes and shapes of the arrays fit one tree."""
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


def _sizes(hashes: AnyArray, points: AnyArray) -> tuple[int, int, int]:
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


@dataclass(frozen=True, eq=False)
class VPTree:
    """A vantage-point tree, made by `build` or `from_arrays`; `within` and `nearest` search it."""

    hashes: Hashes  # in the order of the tree, shape (n, words)
    rows: Integers  # the row of each hash in the array that the tree was built from
    points: Hashes  # vantage points, level by level, shape (2 ** depth - 1, words)
    # Least and greatest distance, in bits, from each vantage point to the hashes of its near and of
    # its far child, shape (2 ** depth - 1, 2, 2).
    spans: Spans
    # Fraction of the hashes that a search of the tree visits, for each ``max_distance``: the mean
    # over up to 64 indexed hashes, measured by `build`.
    visited_fractions: npt.NDArray[np.float64]

    @classmethod
    def build(cls, hashes: Hashes) -> Self:
        """Build the tree of some hashes of 1 to 16 words; any number of them may be equal.

        Vantage points are not chosen at random: the same hashes in the same order give the same
        tree on any machine. The hashes are copied, and 20 bytes per hash are needed meanwhile. The
        indices of matches are rows of `hashes`.
        """
        check_hashes("hashes", hashes)
        ordered = np.array(hashes, order="C")
        rows = np.arange(len(hashes), dtype=np.int64)
        points, spans = arrange(ordered, rows)
        fractions = visited_fractions(ordered, points, spans)
        return cls(ordered, rows, points, spans, fractions)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> Self:
        """Make a tree from the arrays that `arrays` returned; they need not be trusted.

        They are not copied. Only names, dtypes and shapes are checked, so the cost does not depend
        on the number of hashes. Forged contents can give wrong matches, but cause no access outside
        the arrays. Raises IndexFormatError if an array does not fit.
        """
        names = sorted(field.name for field in fields(cls))
        found = sorted(name for name, array in arrays.items() if isinstance(array, np.ndarray))
        if found != names or len(arrays) != len(names):
            raise IndexFormatError(f"a tree has the arrays {names}, found {found}")
        check_forms(arrays)
        return cls(**arrays)  # type: ignore[arg-type]  # checked in the line above

    def arrays(self) -> dict[str, AnyArray]:
        """Return the arrays for `from_arrays` by name, without copying them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def by_row(self) -> Hashes:
        """Return the hashes in the order of the array that the tree was built from."""
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(self):
            raise IndexFormatError("the tree holds row numbers out of range; index again")
        hashes = np.zeros_like(self.hashes)
        hashes[self.rows] = self.hashes
        return hashes

    def __len__(self) -> int:
        return len(self.hashes)

    def within(self, probes: Hashes, max_distance: int, *, strategy: str | None = None) -> Matches:
        """Find every indexed hash within a Hamming distance of each probe.

        The search is exact: the result equals that of a linear scan.

        Parameters
        ----------
        probes : ndarray of uint64, shape (n_probes, words)
            Hashes to look up; ``words`` is that of the tree (bits / 64).
        max_distance : int
            Largest accepted distance, in bits, **inclusive**; 0 finds exact matches only,
            ``64 * words`` finds everything.
        strategy : {"tree", "scan"}, optional
            Search the tree, or compare every hash. By default the tree is used unless it is known
            to visit more than 65 % of the hashes at this distance. The result is the same.

        Returns
        -------
        Matches
            ``offsets`` of shape (n_probes + 1,), ``indices`` and ``distances`` of shape
            (n_matches,). The matches of probe ``i`` are the slice ``offsets[i]:offsets[i + 1]``,
            nearest first, ties by index.

        Raises
        ------
        ValueError
            If `probes` is not a 2-D uint64 array as wide as the tree, `max_distance` is outside
            ``0..64 * words``, or `strategy` is unknown.
        IndexFormatError
            If a stored row number is forged.

        Notes
        -----
        A subtree is skipped when the triangle inequality excludes it (Yianilos, SODA 1993). The
        gain fades as `max_distance` grows. Among a million 64-bit hashes distributed like those of
        photos, a search visits 4 % at 2 bits, 12 % at 4, 23 % at 6 and half at 10; among ten
        million it visits 1, 5, 13 and 39 %.

        Examples
        --------
        >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
        >>> VPTree.build(hashes).within(hashes[:1], max_distance=1)
        Matches(offsets=array([0, 2]), indices=array([0, 1]), distances=array([0, 1]))
        """
        check_hashes("probes", probes, self.hashes.shape[1])
        max_distance = check_max_distance(max_distance, self.hashes.shape[1])
        if strategy is None:
            strategy = "scan" if self.visited_fractions[max_distance] > SCAN_ABOVE else "tree"
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {sorted(STRATEGIES)}, got {strategy!r}")
        found = STRATEGIES[strategy](self, probes, max_distance)
        return as_matches(found, len(probes))

    def nearest(self, probes: Hashes, k: int, *, max_distance: int | None = None) -> Matches:
        """Find the `k` indexed hashes nearest to each probe, or all if there are fewer.

        The search is exact: the result equals the first `k` matches of a linear scan. Arguments are
        checked as by `within`; without `max_distance` there is no limit.

        Examples
        --------
        >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], dtype=np.uint64)
        >>> VPTree.build(hashes).nearest(hashes[2:], k=2)
        Matches(offsets=array([0, 2]), indices=array([2, 1]), distances=array([0, 2]))
        """
        words = self.hashes.shape[1]
        check_hashes("probes", probes, words)
        limit = WORD_BITS * words if max_distance is None else max_distance
        limit = check_max_distance(limit, words)
        if operator.index(k) < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        best = (_nearest(self, probe, k, limit) for probe in np.ascontiguousarray(probes))
        return as_matches([Near(i, *near) for i, near in enumerate(best)], len(probes))

    def n_visited(self, probes: Hashes, max_distance: int) -> int:
        """Count the hashes that ``within(..., strategy="tree")`` compares, without the search.

        Vantage points count, too. A scan compares ``len(tree) * n_probes`` hashes.
        """
        check_hashes("probes", probes, self.hashes.shape[1])
        max_distance = check_max_distance(max_distance, self.hashes.shape[1])
        sizes = np.diff(leaf_edges(len(self), len(self.points) + 1))
        bounds = (leaf_bounds(self.points, self.spans, p) for p in np.ascontiguousarray(probes))
        return sum(len(self.points) + int(sizes[each <= max_distance].sum()) for each in bounds)


def _descend(tree: VPTree, probes: Hashes, max_distance: int) -> Iterator[Near]:
    """Compare the hashes of the leaves that may hold a match."""
    for number, probe in enumerate(np.ascontiguousarray(probes)):
        reached = leaf_bounds(tree.points, tree.spans, probe) <= max_distance
        yield Near(number, *_in_leaves(tree, reached, probe, max_distance))


def _scan(tree: VPTree, probes: Hashes, max_distance: int) -> Iterator[Near]:
    for near in iter_near(tree.hashes, probes, max_distance):
        yield near._replace(indices=_rows(tree, near.indices))


Search: TypeAlias = Callable[[VPTree, Hashes, int], Iterator[Near]]
STRATEGIES: dict[str, Search] = {"tree": _descend, "scan": _scan}


def _in_leaves(
    tree: VPTree, reached: npt.NDArray[np.bool_], probe: Hash, max_distance: int
) -> tuple[Integers, Integers]:
    """Return the rows and distances of the matches in some leaves; join neighbouring leaves."""
    fenced = np.zeros(len(reached) + 2, np.bool_)
    fenced[1:-1] = reached
    edges = (fenced[1:] != fenced[:-1]).nonzero()[0] * len(tree) // len(reached)
    positions, distances = scan(tree.hashes, edges.reshape(-1, 2), probe, max_distance)
    return _rows(tree, positions), distances


def _rows(tree: VPTree, positions: Integers) -> Integers:
    """Return the rows of some hashes; check them, because they are from a file."""
    rows = tree.rows[positions]
    if len(rows) and (rows.min() < 0 or rows.max() >= len(tree)):
        raise IndexFormatError(f"the tree is damaged: rows outside 0..{len(tree) - 1}")
    return rows


def _nearest(tree: VPTree, probe: Hash, k: int, max_distance: int) -> tuple[Integers, Integers]:
    """Find the `k` nearest: search leaves in the order of their bounds, ever more at a time."""
    bounds = leaf_bounds(tree.points, tree.spans, probe)
    order = bounds.argsort(kind="stable")
    rows = distances = np.empty(0, np.int64)
    start, count = 0, 1 + k * len(order) // max(len(tree), 1)
    while start < len(order) and bounds[order[start]] <= max_distance:
        reached = np.zeros(len(order), np.bool_)
        reached[order[start : start + count]] = True
        reached &= bounds <= max_distance
        found = [(rows, distances), _in_leaves(tree, reached, probe, max_distance)]
        rows, distances = _best(found, k)
        if len(rows) == k:
            max_distance = int(distances[-1])
        start, count = start + count, 2 * count
    return rows, distances


def _best(found: list[tuple[Integers, Integers]], k: int) -> tuple[Integers, Integers]:
    """Merge rows and distances and keep the first `k` by distance, then row."""
    rows, distances = (np.concatenate(column) for column in zip(*found, strict=True))
    if len(rows) > k:  # most are farther than the k-th and need not be sorted
        near = distances <= np.partition(distances, k - 1)[k - 1]
        rows, distances = rows[near], distances[near]
    order = np.lexsort((rows, distances))[:k]
    return rows[order], distances[order]
