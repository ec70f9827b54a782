"""A vantage-point tree over hashes: exact search by Hamming distance.

`imgdup.search.tree_arrays` makes its arrays. A search bounds the distances of all leaves at once,
then compares the hashes of the remaining leaves; neighbouring leaves are compared in one call.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from imgdup.errors import IndexFormatError
from imgdup.native.scan import scan
from imgdup.search.hamming import (
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
from imgdup.search.tree_arrays import (
    Spans,
    arrange,
    check_forms,
    leaf_bounds,
    leaf_edges,
    visited_fractions,
)

# Fraction of the hashes. A search that visits half of a million 64-bit hashes takes 0.7 times as
# long as a scan; one that visits three quarters takes as long (benchmarks/bench_query.py).
SCAN_ABOVE = 0.65


@dataclass(frozen=True, eq=False)
class VPTree:
    """A vantage-point tree, made by `build` or `from_arrays`, searched by `within` and `nearest`.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes in the order of the tree.
    rows : ndarray of int64, shape (n,)
        The row of each hash in the array that the tree was built from.
    points : ndarray of uint64, shape (2 ** depth - 1, words)
        Vantage points, level by level.
    spans : ndarray of uint16, shape (2 ** depth - 1, 2, 2)
        Least and greatest distance, in bits, from the vantage point to the hashes of the near and
        of the far child.
    visited_fractions : ndarray of float64, shape (64 * words + 1,)
        Fraction of the hashes that a search of the tree visits, for each ``max_distance``: the
        mean over up to 64 indexed hashes, measured by `build`.
    """

    hashes: Hashes
    rows: Integers
    points: Hashes
    spans: Spans
    visited_fractions: npt.NDArray[np.float64]

    @classmethod
    def build(cls, hashes: Hashes) -> Self:
        """Build the tree of some hashes.

        Vantage points are not chosen at random: the same hashes in the same order give the same
        tree on any machine.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n, words)
            The hashes, of 64 to 1,024 bits (1 to 16 words). Any number of them may be equal. The
            array may be empty. It is copied.

        Returns
        -------
        VPTree
            The tree. The indices of matches are rows of `hashes`.

        Raises
        ------
        ValueError
            If `hashes` is not such an array.

        Notes
        -----
        Needs 20 bytes per hash in addition to the input and the tree itself.
        """
        check_hashes("hashes", hashes)
        ordered = np.array(hashes, order="C")
        rows = np.arange(len(hashes), dtype=np.int64)
        points, spans = arrange(ordered, rows)
        fractions = visited_fractions(ordered, points, spans)
        return cls(ordered, rows, points, spans, fractions)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Make a tree from stored arrays, which need not be trusted.

        Only dtypes and shapes are checked, so the cost does not depend on the number of hashes.
        Forged contents can give wrong matches, but cause no access outside the arrays.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            The result of `arrays`. They may be read-only memory maps. They are not copied.

        Returns
        -------
        VPTree
            The same tree.

        Raises
        ------
        IndexFormatError
            If an array is missing or unknown, or if its dtype or shape does not fit the others.
        """
        names = sorted(field.name for field in fields(cls))
        found = sorted(name for name, array in arrays.items() if isinstance(array, np.ndarray))
        if found != names or len(arrays) != len(names):
            raise IndexFormatError(f"a tree has the arrays {names}, found {found}")
        check_forms(arrays)
        return cls(**arrays)  # type: ignore[arg-type]  # checked in the line above

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays for `from_arrays` by name, without copying them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def by_row(self) -> Hashes:
        """Return the hashes in the order of the array that the tree was built from.

        Raises
        ------
        IndexFormatError
            If a stored row number is forged.
        """
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
        A subtree is skipped when the triangle inequality excludes it [1]_. The gain fades as
        `max_distance` grows. Among a million 64-bit hashes distributed like those of photos, a
        search visits 4 % at 2 bits, 12 % at 4, 23 % at 6 and half at 10; among ten million it
        visits 1, 5, 13 and 39 %.

        References
        ----------
        .. [1] P. N. Yianilos, "Data structures and algorithms for nearest neighbor search in
           general metric spaces", SODA 1993.

        Examples
        --------
        >>> import numpy as np
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
        """Find the `k` indexed hashes nearest to each probe.

        The search is exact: the result equals the first `k` matches of a linear scan.

        Parameters
        ----------
        probes : ndarray of uint64, shape (n_probes, words)
            Hashes to look up; ``words`` is that of the tree (bits / 64).
        k : int
            The number of hashes to find, at least 1; all hashes are found if there are fewer.
        max_distance : int, optional
            Largest accepted distance, in bits, inclusive. By default there is no limit.

        Returns
        -------
        Matches
            At most `k` matches for each probe, nearest first, ties by index.

        Raises
        ------
        ValueError
            If `probes` is not a 2-D uint64 array as wide as the tree, `k` is less than 1, or
            `max_distance` lies outside ``0..64 * words``.
        IndexFormatError
            If a stored row number is forged.

        Examples
        --------
        >>> import numpy as np
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
        """Count the hashes that the tree compares with the probes at `max_distance`.

        This is the cost of ``within(..., strategy="tree")``, computed without the search. A scan
        compares ``len(tree) * n_probes`` hashes.

        Parameters
        ----------
        probes : ndarray of uint64, shape (n_probes, words)
            Hashes to look up.
        max_distance : int
            Largest accepted distance, in bits, inclusive.

        Returns
        -------
        int
            Hashes visited, vantage points included, over all probes.

        Raises
        ------
        ValueError
            As `within`.
        """
        check_hashes("probes", probes, self.hashes.shape[1])
        max_distance = check_max_distance(max_distance, self.hashes.shape[1])
        sizes = np.diff(leaf_edges(len(self), len(self.points) + 1))
        probes = np.ascontiguousarray(probes)
        reached = (leaf_bounds(self.points, self.spans, p) <= max_distance for p in probes)
        return sum(len(self.points) + int(sizes[leaves].sum()) for leaves in reached)


def _descend(tree: VPTree, probes: Hashes, max_distance: int) -> Iterator[Near]:
    """Compare the hashes of the leaves that may hold a match."""
    for number, probe in enumerate(np.ascontiguousarray(probes)):
        reached = leaf_bounds(tree.points, tree.spans, probe) <= max_distance
        yield Near(number, *_in_leaves(tree, reached, probe, max_distance))


def _scan(tree: VPTree, probes: Hashes, max_distance: int) -> Iterator[Near]:
    """Compare all hashes."""
    for near in iter_near(tree.hashes, probes, max_distance):
        yield near._replace(indices=_rows(tree, near.indices))


STRATEGIES: dict[str, Callable[[VPTree, Hashes, int], Iterator[Near]]] = {
    "tree": _descend,
    "scan": _scan,
}


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
