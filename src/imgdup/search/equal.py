"""Group equal hashes into classes, and expand pairs of classes into pairs of rows."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.search import Chosen, Hash, Hashes, Integers, as_chosen, check_hashes

# Odd numbers without a pattern, used in turn for the words: of the golden ratio and of splitmix64
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
BLOCK = 1 << 16  # rows to process at a time, to use little memory
EXPANDED_PAIRS = 1 << 20  # pairs of rows in one block of `expand`: 90 MB with what they need


class Classes(NamedTuple):
    """Rows grouped by hash: a class holds all rows with the same hash.

    Classes are numbered in the order of their first rows; ``hashes[rows]`` are the distinct hashes.
    """

    offsets: Integers  # where the members of each class begin
    # All rows. The rows of class ``c`` are ``members[offsets[c]:offsets[c + 1]]``, ascending.
    members: Integers

    @property
    def rows(self) -> Integers:
        """First row of each class, ascending: int64 (n_classes,)."""
        return self.members[self.offsets[:-1]]

    @property
    def sizes(self) -> Integers:
        """How many rows each class has: int64 (n_classes,)."""
        return np.diff(self.offsets)

    @property
    def has_shared(self) -> bool:
        """Whether any class has several rows."""
        return len(self.offsets) <= len(self.members)

    def distinct(self, hashes: Hashes) -> Hashes:
        """Return one hash of each class, in their order; not a copy if all are distinct."""
        return hashes[self.rows] if self.has_shared else hashes

    def choose(self, hashes: Chosen) -> Chosen:
        """Choose one hash of each class, in their order, without a copy of the hashes."""
        if not self.has_shared:
            return hashes
        numbers = self.rows if hashes.numbers is None else hashes.numbers[self.rows]
        return Chosen(hashes.hashes, numbers.astype(np.uint32))

    def sizes_of(self, classes: Integers) -> Integers:
        """Return how many rows some classes have."""
        return self.offsets[classes + 1] - self.offsets[classes]


class Pairs(NamedTuple):
    """Pairs of rows within a distance."""

    # Rows. In one set, ``left < right``; across two sets, rows of the first and the second.
    left: Integers
    right: Integers
    distances: npt.NDArray[np.uint16]  # hamming distances, in bits


def group_equal(hashes: Hashes | Chosen) -> Classes:
    """Group rows by hash: one class for each distinct hash.

    Raises ValueError if `hashes` is not a 2-D uint64 array.

    Examples
    --------
    >>> import numpy as np
    >>> group_equal(np.array([[7], [5], [7]], dtype=np.uint64))
    Classes(offsets=array([0, 2, 3]), members=array([0, 2, 1]))
    """
    chosen = as_chosen(hashes)
    check_hashes("hashes", chosen.hashes)
    members, is_new = _shared(*_equals_together(chosen))
    if not len(members):
        numbers = np.arange(len(chosen) + 1)
        return Classes(numbers, numbers[:-1])
    starts = np.flatnonzero(is_new)
    sizes = np.diff(starts, append=len(members))
    is_first = np.ones(len(chosen), np.bool_)
    is_first[members] = False
    is_first[members[starts]] = True
    rows = np.flatnonzero(is_first)
    numbers = np.searchsorted(rows, members[starts])
    offsets = np.ones(len(rows) + 1, np.int64)
    offsets[0] = 0
    offsets[numbers + 1] = sizes
    np.cumsum(offsets, out=offsets)
    everyone = np.empty(len(chosen), np.int64)
    everyone[offsets[:-1]] = rows
    everyone[np.repeat(offsets[numbers] - starts, sizes) + np.arange(len(members))] = members
    return Classes(offsets, everyone)


def _shared(
    order: Integers, is_new: npt.NDArray[np.bool_]
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Keep the rows whose hash several rows have: equal hashes together, their rows ascending."""
    is_shared = ~is_new
    is_shared[:-1] |= ~is_new[1:]
    members, is_new = order[is_shared], is_new[is_shared]
    return members[np.lexsort((members, np.cumsum(is_new)))], is_new


def _equals_together(hashes: Chosen) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Order rows so that equal hashes are neighbours; mark each row with a new hash.

    All words are sorted only if two hashes have one number: that takes several times as long.
    """
    mixed = _mixed(hashes)
    order: Integers = np.argsort(mixed)
    is_new = np.ones(len(hashes), np.bool_)
    _mark_changes(mixed[:, None], order, is_new)
    below = np.flatnonzero(~is_new)
    if not np.array_equal(hashes[order[below - 1]], hashes[order[below]]):
        order = np.lexsort(hashes[:].T)
        _mark_changes(hashes, order, is_new)
    return order, is_new


def _mixed(hashes: Chosen) -> Hash:
    """Compute one number from all words of each hash."""
    mixed = np.zeros(len(hashes), np.uint64)
    for start in range(0, len(hashes), BLOCK):
        part, words = mixed[start : start + BLOCK], hashes[start : start + BLOCK]
        for word in range(hashes.words):
            part ^= part >> np.uint64(29)
            part += words[:, word]
            part *= np.uint64(MULTIPLIERS[word % len(MULTIPLIERS)])
    return mixed


def _mark_changes(numbers: Hashes | Chosen, order: Integers, is_new: npt.NDArray[np.bool_]) -> None:
    """Mark where a row of numbers, in this order, differs from the previous row."""
    for start in range(1, len(order), BLOCK):
        rows = numbers[order[start - 1 : start + BLOCK]]
        is_new[start : start + BLOCK] = (rows[1:] != rows[:-1]).any(axis=1)


def expand(
    classes: Classes, pairs: Iterable[Pairs], *, other: Classes | None = None
) -> Iterator[Pairs]:
    """Turn pairs of classes, from `iter_pairs`, into pairs of rows, block by block.

    The left rows of `pairs` number `classes`, the right rows those of `other`, if it is given. At
    most ``EXPANDED_PAIRS`` are yielded at a time, in the order of the classes. In one set, the
    pairs inside a class precede its pairs with later classes, and ``left < right`` in each pair;
    `left` need not ascend if a class has several rows.

    Examples
    --------
    >>> import numpy as np
    >>> classes = group_equal(np.array([[7], [5], [7]], dtype=np.uint64))
    >>> list(expand(classes, []))  # doctest: +NORMALIZE_WHITESPACE
    [Pairs(left=array([0]), right=array([2]), distances=array([0], dtype=uint16))]
    """
    for block in pairs if other is not None else _with_insides(classes, pairs):
        yield from _expanded(classes, block, other)


def _with_insides(classes: Classes, blocks: Iterable[Pairs]) -> Iterator[Pairs]:
    """Pair each class of several rows with itself, before its pairs with others."""
    shared = np.flatnonzero(classes.sizes > 1)
    start = 0
    for block in blocks:
        stop = int(np.searchsorted(shared, block.left[-1], side="right"))
        inside = shared[start:stop]
        start = stop
        left = np.concatenate([inside, block.left])
        order = np.argsort(left, kind="stable")
        right = np.concatenate([inside, block.right])[order]
        distances = np.concatenate([np.zeros(len(inside), np.uint16), block.distances])[order]
        yield Pairs(left[order], right, distances)
    inside = shared[start:]
    yield Pairs(inside, inside, np.zeros(len(inside), np.uint16))


def _expanded(classes: Classes, block: Pairs, other: Classes | None) -> Iterator[Pairs]:
    """Make all pairs of members; each is computed from its number in the block."""
    others = classes if other is None else other
    widths = others.sizes_of(block.right)
    n_members = classes.sizes_of(block.left) * widths
    ends = np.cumsum(n_members)
    for start in range(0, int(ends[-1]) if len(ends) else 0, EXPANDED_PAIRS):
        numbers = np.arange(start, min(start + EXPANDED_PAIRS, int(ends[-1])))
        pair = np.searchsorted(ends, numbers, side="right")
        i, j = np.divmod(numbers - (ends - n_members)[pair], widths[pair])
        left = classes.members[classes.offsets[block.left[pair]] + i]
        right = others.members[others.offsets[block.right[pair]] + j]
        found = Pairs(left, right, block.distances[pair])
        if other is None:
            is_once = (block.left != block.right)[pair] | (i < j)
            smaller, larger = np.minimum(left, right), np.maximum(left, right)
            found = Pairs(smaller[is_once], larger[is_once], found.distances[is_once])
        yield found
