"""Two sets of images -> what of the second is in the first already, and whose labels disagree."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.candidates import (
    NO_CLASS,
    MatchRule,
    class_numbers,
    hash_classes,
    hashes_of,
    near,
)
from imgdup.dedupe.relations import RELATIONS, relate
from imgdup.index.columns import RowNumbers, Rows, byte_keys, check_apart

PLACE_BITS = 40  # a match is one number: its distance above, its place in A below
FAR = np.int64(1 << 62)  # no match
NO_LABEL = -1


class ImageSet(NamedTuple):
    """A set of images: rows of an index, ascending, and the label of each, if it has one."""

    rows: Rows
    images: RowNumbers
    labels: Sequence[str | None]


class Leak(NamedTuple):
    """An image of B that has a duplicate in A.

    Attributes
    ----------
    path : bytes
        In B.
    duplicate_of : bytes
        The nearest in A, the first of equally near ones; one of equal bytes before all others.
    distance : int
        PDQ distance of the two, in bits; 0 where the bytes are equal.
    relation : str
    label, label_of : str or None
        Of the image, and of its nearest duplicate.
    conflict : bytes or None
        The nearest duplicate in A whose label is another, if there is one.
    conflict_label : str or None
        The label of that one.
    """

    path: bytes
    duplicate_of: bytes
    distance: int
    relation: str
    label: str | None
    label_of: str | None
    conflict: bytes | None
    conflict_label: str | None


class Leaks(NamedTuple):
    """All images of B that have a duplicate in A, nearest first, then in path order.

    Attributes
    ----------
    a, b : ImageSet
    places_b, places_a : ndarray of int64, shape (n,)
        Places in ``b.images`` and, of the nearest duplicate, in ``a.images``.
    distances : ndarray of uint16, shape (n,)
    relations : ndarray of uint8, shape (n,)
        Positions in ``RELATIONS``.
    conflicts : ndarray of int64, shape (n,)
        Place in ``a.images`` of the nearest duplicate with another label, or -1.
    """

    a: ImageSet
    b: ImageSet
    places_b: RowNumbers
    places_a: RowNumbers
    distances: npt.NDArray[np.uint16]
    relations: npt.NDArray[np.uint8]
    conflicts: RowNumbers

    @property
    def n_conflicts(self) -> int:
        """How many images have a duplicate whose label is another."""
        return int((self.conflicts >= 0).sum())

    def each(self) -> Iterator[Leak]:
        """Yield what is known of each leak, in order."""
        (a, images_a, labels_a), (b, images_b, labels_b) = self.a, self.b
        columns = (self.places_b, self.places_a, self.distances, self.relations, self.conflicts)
        for here, there, distance, relation, conflict in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            yield Leak(
                b.path(int(images_b[here])),
                a.path(int(images_a[there])),
                distance,
                RELATIONS[relation],
                labels_b[here],
                labels_a[there],
                a.path(int(images_a[conflict])) if conflict >= 0 else None,
                labels_a[conflict] if conflict >= 0 else None,
            )


class _Best(NamedTuple):
    """For each of some images, the best match of all and the best with each of two labels."""

    nearest: RowNumbers
    labelled: RowNumbers
    otherwise: RowNumbers


def compare(
    a: ImageSet, b: ImageSet, rule: MatchRule | None = None, *, threads: int | None = None
) -> Leaks:
    """Find the images of one set that have a duplicate in another.

    Parameters
    ----------
    a, b : ImageSet
        What is there already, and what should not be in it: training set, test set.
    rule : MatchRule, optional
    threads : int, optional
        For the join; all cores by default.

    Raises
    ------
    UsageError
        If the two have images in common.
    """
    check_apart(a.rows, a.images, b.rows, b.images)
    rule = rule or MatchRule()
    codes_a, codes_b = _label_codes(a, b)
    by_hash, by_bytes = _by_hash(a, b, codes_a, rule, threads), _by_bytes(a, b, codes_a)
    nearest = np.where(by_bytes.nearest < FAR, by_bytes.nearest, by_hash.nearest)
    found = np.flatnonzero(nearest < FAR)
    places, distances = nearest & ((1 << PLACE_BITS) - 1), nearest >> PLACE_BITS
    found = found[np.lexsort((found, distances[found]))]
    conflict = np.minimum(
        _other_label(by_hash, codes_a, codes_b), _other_label(by_bytes, codes_a, codes_b)
    )[found]
    near_bits = distances[found].astype(np.uint16)
    relations = relate(a.rows, a.images[places[found]], b.rows, b.images[found], near_bits)
    conflicts = np.where(conflict < FAR, conflict & ((1 << PLACE_BITS) - 1), -1)
    return Leaks(a, b, found, places[found], near_bits, relations, conflicts)


def _label_codes(a: ImageSet, b: ImageSet) -> tuple[RowNumbers, RowNumbers]:
    """Write the labels of both sets as numbers, alike; -1 for none."""
    numbers: dict[str | None, int] = {None: NO_LABEL}
    codes = [
        np.array([numbers.setdefault(label, len(numbers) - 1) for label in part.labels], np.int64)
        for part in (a, b)
    ]
    return codes[0], codes[1]


def _by_hash(
    a: ImageSet, b: ImageSet, labels: RowNumbers, rule: MatchRule, threads: int | None
) -> _Best:
    """Match by hash: classes of equal ones first, then these across the sets."""
    sides = [hashes_of(part.rows, part.images, rule) for part in (a, b)]
    numbers = [
        hash_classes(hashes, part.rows.column("quality")[part.images])
        for hashes, part in zip(sides, (a, b), strict=True)
    ]
    in_class = _first_of_classes(numbers[0], labels)
    heads = [_heads(each) for each in numbers]
    best = _Best(*(np.full(len(heads[1]) + 1, FAR) for _ in range(3)))
    left, right = sides[1].take(heads[1]), sides[0].take(heads[0])
    for block in near(left, rule, other=right, threads=threads):
        distance = block.distances.astype(np.int64) << PLACE_BITS
        candidates = _Best(*(_keys(each[block.right], distance) for each in in_class))
        _settle(best, block.left, candidates, labels)
    return _Best(*(each[numbers[1]] for each in best))  # class -1 is the one at the end


def _heads(classes: RowNumbers) -> RowNumbers:
    """Return the first place of each class, -1 left out."""
    numbers, first = np.unique(classes, return_index=True)
    return np.compress(numbers != NO_CLASS, first)


def _keys(places: RowNumbers, distance: RowNumbers | int = 0) -> RowNumbers:
    keys: RowNumbers = np.where(places >= 0, distance | places, FAR)
    return keys


def _by_bytes(a: ImageSet, b: ImageSet, labels: RowNumbers) -> _Best:
    keys = [byte_keys(part.rows, part.images) for part in (a, b)]
    numbers = class_numbers(np.concatenate(keys))
    n_classes = int(numbers.max(initial=-1)) + 1
    in_class = _first_of_classes(numbers[: len(a.images)], labels, n_classes)
    return _Best(*(_keys(each[numbers[len(a.images) :]]) for each in in_class))


def _first_of_classes(
    classes: RowNumbers, labels: RowNumbers, n_classes: int | None = None
) -> tuple[RowNumbers, RowNumbers, RowNumbers]:
    """Return of each class the first place, the first with a label, and with another label."""
    n_classes = int(classes.max(initial=NO_CLASS)) + 1 if n_classes is None else n_classes
    in_class = classes != NO_CLASS
    first = _first(classes, in_class, n_classes)
    labelled = _first(classes, in_class & (labels != NO_LABEL), n_classes)
    theirs = np.where(labelled[classes] >= 0, labels[labelled[classes]], NO_LABEL)
    other = in_class & (labels != NO_LABEL) & (labels != theirs)
    return first, labelled, _first(classes, other, n_classes)


def _first(classes: RowNumbers, which: npt.NDArray[np.bool_], n_classes: int) -> RowNumbers:
    """Return the first place of each class among some, or -1."""
    first = np.full(n_classes + 1, -1)
    places = np.flatnonzero(which)[::-1]
    first[classes[places]] = places  # the last write is the first place
    return first


def _settle(best: _Best, owners: RowNumbers, candidates: _Best, labels: RowNumbers) -> None:
    """Keep the best of all candidates for each owner, whose candidates are all here."""
    np.minimum.at(best.nearest, owners, candidates.nearest)
    np.minimum.at(best.labelled, owners, candidates.labelled)
    theirs = _labels_of(best.labelled, labels)
    for keys in (candidates.labelled, candidates.otherwise):
        another = _labels_of(keys, labels) != theirs[owners]
        np.minimum.at(best.otherwise, owners[another], keys[another])


def _labels_of(keys: RowNumbers, labels: RowNumbers) -> RowNumbers:
    places = np.where(keys < FAR, keys & ((1 << PLACE_BITS) - 1), len(labels))
    return np.append(labels, NO_LABEL)[places]


def _other_label(best: _Best, labels: RowNumbers, own: RowNumbers) -> RowNumbers:
    """Return for each image the nearest match whose label is not its own; FAR if it has none."""
    differs = _labels_of(best.labelled, labels) != own
    other = np.where(differs, best.labelled, best.otherwise)
    return np.where(own == NO_LABEL, FAR, other)
