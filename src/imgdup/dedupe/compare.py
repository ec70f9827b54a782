"""Find the images of one set that have a duplicate in another set, and conflicts of labels."""

from collections.abc import Iterator
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
from imgdup.dedupe.groups import with_orientations
from imgdup.dedupe.labels import ImageSet
from imgdup.dedupe.relations import SAME_BYTES, SAME_FILE, UNVERIFIED, Verdict
from imgdup.index.columns import (
    RowNumbers,
    Rows,
    byte_keys,
    check_apart,
    file_numbers,
    identities,
    one_file_test,
)
from imgdup.query.transformed import nearest_orientations

PLACE_BITS = 40  # a match is one number: its distance in the high bits, its place in A in the low
FAR = np.int64(1 << 62)  # no match
NO_LABEL = -1


class Leak(NamedTuple):
    """An image of B that has a duplicate in A."""

    path: bytes  # in B
    # The nearest in A: the same file under another name, else the first of equal bytes, else the
    # first of the nearest.
    duplicate_of: bytes
    distance: int  # match distance of the two, in bits; 0 where the bytes are equal
    relation: str
    # Of the image, and of its nearest duplicate.
    label: str | None
    label_of: str | None
    conflict: bytes | None  # the nearest duplicate in A with a different label, if there is one
    conflict_label: str | None  # the label of that duplicate
    # How the image must be turned to lie as its nearest duplicate, one of
    # `imgdup.images.gray.ORIENTATIONS`.
    orientation: str
    # Of the contents of the image and of its nearest duplicate, in hex.
    digest: str
    duplicate_digest: str


class Leaks(NamedTuple):
    """All images of B that have a duplicate in A, nearest first, then in path order."""

    a: ImageSet
    b: ImageSet
    # Positions in ``b.images`` and, of the nearest duplicate, in ``a.images``.
    places_b: RowNumbers
    places_a: RowNumbers
    distances: npt.NDArray[np.uint16]
    verdicts: list[Verdict]  # what the comparison of the two pictures found
    # Position in ``a.images`` of the nearest duplicate with a different label, or -1.
    conflicts: RowNumbers

    @property
    def n_conflicts(self) -> int:
        """The number of images that have a duplicate with a different label."""
        return int((self.conflicts >= 0).sum())

    def each(self) -> Iterator[Leak]:
        """Yield the leaks, in order."""
        (a, images_a, labels_a), (b, images_b, labels_b) = self.a, self.b
        columns = (self.places_b, self.places_a, self.distances, self.conflicts)
        for here, there, distance, conflict, verdict in zip(
            *(column.tolist() for column in columns), self.verdicts, strict=True
        ):
            yield Leak(
                b.path(int(images_b[here])),
                a.path(int(images_a[there])),
                distance,
                verdict.relation,
                labels_b[here],
                labels_a[there],
                a.path(int(images_a[conflict])) if conflict >= 0 else None,
                labels_a[conflict] if conflict >= 0 else None,
                verdict.orientation,
                _hex_digest(b, int(images_b[here])),
                _hex_digest(a, int(images_a[there])),
            )


def _hex_digest(rows: Rows, row: int) -> str:
    return bytes(rows.column("digest")[row]).hex()


class _Best(NamedTuple):
    """Of each image the best match, the best with a label, and the best with another label."""

    nearest: RowNumbers
    labelled: RowNumbers
    otherwise: RowNumbers


def compare(
    a: ImageSet, b: ImageSet, rule: MatchRule | None = None, *, threads: int | None = None
) -> Leaks:
    """Find the images of `b`, such as a test set, that have a duplicate in `a`, a training set.

    A file that is in both sets under two names (hard links, a second mount) is a leak as well; its
    relation is ``same-file``. Raises UsageError if the two have images in common.
    """
    check_apart(a.rows, a.images, b.rows, b.images)
    rule = rule or MatchRule()
    codes_a, codes_b = _label_codes(a, b)
    by_hash, by_bytes = _by_hash(a, b, codes_a, rule, threads), _by_bytes(a, b, codes_a)
    nearest = np.where(by_bytes.nearest < FAR, by_bytes.nearest, by_hash.nearest)
    same_file = _same_file(a, b)
    nearest = np.where(same_file >= 0, same_file, nearest)
    found = np.flatnonzero(nearest < FAR)
    places, distances = nearest & ((1 << PLACE_BITS) - 1), nearest >> PLACE_BITS
    found = found[np.lexsort((found, distances[found]))]
    conflict = np.minimum(
        _other_label(by_hash, codes_a, codes_b), _other_label(by_bytes, codes_a, codes_b)
    )[found]
    near_bits = distances[found].astype(np.uint16)
    verdicts = _verdicts(a, b, places[found], found)
    conflicts = np.where(conflict < FAR, conflict & ((1 << PLACE_BITS) - 1), -1)
    if rule.orientations:
        hashes = [each.rows.column("match")[each.images] for each in (a, b)]
        turns = nearest_orientations(hashes[0], hashes[1], places[found], found)[1]
        verdicts = with_orientations(verdicts, turns)
    return Leaks(a, b, found, places[found], near_bits, verdicts, conflicts)


def _verdicts(a: ImageSet, b: ImageSet, in_a: RowNumbers, in_b: RowNumbers) -> list[Verdict]:
    """Return what the index knows about pairs of images without comparing their pictures."""
    rows_a, rows_b = a.images[in_a], b.images[in_b]
    one_file = one_file_test(a.rows, b.rows)(rows_a, rows_b)
    same_bytes = (byte_keys(a.rows, rows_a) == byte_keys(b.rows, rows_b)).all(axis=1)
    relations = [
        SAME_FILE if is_one else SAME_BYTES if is_equal else UNVERIFIED
        for is_one, is_equal in zip(one_file.tolist(), same_bytes.tolist(), strict=True)
    ]
    return [Verdict(relation, 0.0, None) for relation in relations]


def _label_codes(a: ImageSet, b: ImageSet) -> tuple[RowNumbers, RowNumbers]:
    """Replace the labels of both sets by numbers; -1 for none."""
    numbers: dict[str | None, int] = {None: NO_LABEL}
    codes = [
        np.array([numbers.setdefault(label, len(numbers) - 1) for label in each.labels], np.int64)
        for each in (a, b)
    ]
    return codes[0], codes[1]


def _by_hash(
    a: ImageSet, b: ImageSet, labels: RowNumbers, rule: MatchRule, threads: int | None
) -> _Best:
    """Match the images of B by hash: classes of equal hashes, compared across the sets."""
    hashes = [hashes_of(each.rows, each.images, rule) for each in (a, b)]
    numbers = [
        hash_classes(own, each.rows.column("quality")[each.images])
        for own, each in zip(hashes, (a, b), strict=True)
    ]
    in_class = _first_of_classes(numbers[0], labels)
    heads = [_heads(each) for each in numbers]
    best = _Best(*(np.full(len(heads[1]) + 1, FAR) for _ in range(3)))
    left, right = hashes[1].select(heads[1]), hashes[0].select(heads[0])
    for block in near(left, rule, other=right, threads=threads):
        distance = block.distances.astype(np.int64) << PLACE_BITS
        candidates = _Best(*(_keys(each[block.right], distance) for each in in_class))
        _choose(best, block.left, candidates, labels)
    return _Best(*(each[numbers[1]] for each in best))  # class -1 is the last entry


def _heads(classes: RowNumbers) -> RowNumbers:
    """Return the first position of each class, without class -1."""
    numbers, first = np.unique(classes, return_index=True)
    return np.compress(numbers != NO_CLASS, first)


def _keys(places: RowNumbers, distance: RowNumbers | int = 0) -> RowNumbers:
    keys: RowNumbers = np.where(places >= 0, distance | places, FAR)
    return keys


def _by_bytes(a: ImageSet, b: ImageSet, labels: RowNumbers) -> _Best:
    """Match the images of B with those of equal bytes."""
    keys = [byte_keys(each.rows, each.images) for each in (a, b)]
    numbers = class_numbers(np.concatenate(keys))
    n_classes = int(numbers.max(initial=-1)) + 1
    in_class = _first_of_classes(numbers[: len(a.images)], labels, n_classes)
    return _Best(*(_keys(each[numbers[len(a.images) :]]) for each in in_class))


def _same_file(a: ImageSet, b: ImageSet) -> RowNumbers:
    """Return of each image of B the first position in A of the same file, or -1."""
    if a.rows.digest == b.rows.digest:
        number = file_numbers(a.rows)
        numbers = number[np.concatenate([a.images, b.images])]
        known = np.ones(len(numbers), bool)
    else:
        ids = np.concatenate([identities(each.rows)[each.images] for each in (a, b)])
        keys = np.concatenate([byte_keys(each.rows, each.images) for each in (a, b)])
        numbers, known = class_numbers(np.hstack([keys, ids])), (ids != 0).any(axis=1)
    n_a, n_files = len(a.images), int(numbers.max(initial=-1)) + 1
    first = _first(numbers[:n_a], known[:n_a], n_files)
    return np.where(known[n_a:], first[numbers[n_a:]], -1)


def _first_of_classes(
    classes: RowNumbers, labels: RowNumbers, n_classes: int | None = None
) -> tuple[RowNumbers, RowNumbers, RowNumbers]:
    """Return the first position of each class, the first with a label, and with another label."""
    n_classes = int(classes.max(initial=NO_CLASS)) + 1 if n_classes is None else n_classes
    in_class = classes != NO_CLASS
    first = _first(classes, in_class, n_classes)
    labelled = _first(classes, in_class & (labels != NO_LABEL), n_classes)
    theirs = np.where(labelled[classes] >= 0, labels[labelled[classes]], NO_LABEL)
    other = in_class & (labels != NO_LABEL) & (labels != theirs)
    return first, labelled, _first(classes, other, n_classes)


def _first(classes: RowNumbers, which: npt.NDArray[np.bool_], n_classes: int) -> RowNumbers:
    """Return the first position of each class under a mask, or -1."""
    first = np.full(n_classes + 1, -1)
    places = np.flatnonzero(which)[::-1]
    first[classes[places]] = places  # the last one written is the first
    return first


def _choose(best: _Best, owners: RowNumbers, candidates: _Best, labels: RowNumbers) -> None:
    """Choose the best candidate of each owner, those of earlier calls included."""
    changed = np.unique(owners)
    earlier = _Best(*(each[changed] for each in best))
    np.minimum.at(best.nearest, owners, candidates.nearest)
    np.minimum.at(best.labelled, owners, candidates.labelled)
    theirs = _labels_of(best.labelled, labels)
    best.otherwise[changed] = FAR
    for whose, some in ((changed, earlier), (owners, candidates)):
        for keys in (some.labelled, some.otherwise):
            another = _labels_of(keys, labels) != theirs[whose]
            np.minimum.at(best.otherwise, whose[another], keys[another])


def _labels_of(keys: RowNumbers, labels: RowNumbers) -> RowNumbers:
    places = np.where(keys < FAR, keys & ((1 << PLACE_BITS) - 1), len(labels))
    return np.append(labels, NO_LABEL)[places]


def _other_label(best: _Best, labels: RowNumbers, own: RowNumbers) -> RowNumbers:
    """Return the nearest match with a different label of each image; FAR without one."""
    differs = _labels_of(best.labelled, labels) != own
    other = np.where(differs, best.labelled, best.otherwise)
    return np.where(own == NO_LABEL, FAR, other)
