"""Pairs of which one picture may be a crop of the other, by their match hashes alone.

Oracle: ``oracles_dedupe.may_be_crops`` computes the waves of a part one by one, for one pair at a
time.
"""

import numpy as np
import pytest
from make_sample import photo

from array_rows import words
from imgdup.hashing import fingerprints
from imgdup.images.gray import to_gray
from imgdup.native import hashes as native
from imgdup.query.transformed import CROPS, are_crops, crop_pairs, likely_parts
from oracles_dedupe import guessed_part, may_be_crops


def random_hashes(n, seed, n_flips=(0, 90)):
    """Match hashes around a few, from which they differ in up to so many bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2, (3, 256))[rng.integers(0, 3, n)]
    for each in hashes:
        each[rng.choice(256, rng.integers(*n_flips), replace=False)] ^= 1
    hashes[:, 0] = 0
    return np.packbits(hashes, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def integers(hashes):
    return [int.from_bytes(each.tobytes(), "little") for each in hashes]


def cropped_hashes(hashes, crop):
    """Hashes that parts of these pictures may have."""
    return words(
        [sum(positive << i for i, (positive, _) in enumerate(guessed_part(each, crop)))
         for each in integers(hashes)],
        4,
    )  # fmt: skip


def far_crop(whole):
    """A hash that is like that of a part, and more than 72 bits from that of the whole."""
    guess = guessed_part(whole, (0.05,) * 4)
    part = sum(positive << i for i, (positive, _) in enumerate(guess))
    for i in sorted(range(1, 256), key=lambda i: guess[i][1]):
        if (part ^ whole).bit_count() <= 72 and not (part ^ whole) >> i & 1:
            part ^= 1 << i
    return part


def partly_wrong(whole, crop, thousandths):
    """The hash of a part with so much of the weight of all frequencies wrong, or a little less."""
    guess = guessed_part(whole, crop)
    left = thousandths * sum(weight for _, weight in guess) // 1000
    part = sum(positive << i for i, (positive, _) in enumerate(guess))
    for i, (_, weight) in enumerate(guess[1:], 1):
        if 0 < weight <= left:
            part ^= 1 << i
            left -= weight
    return part


@pytest.mark.parametrize(("crop", "thousandths", "expected"), [
    ((0.05,) * 4, 114, True), ((0.05,) * 4, 129, True), ((0.05,) * 4, 134, False),
    ((0.0,) * 4, 129, False),
], ids=str)  # fmt: skip
def test_more_may_differ_in_a_part_if_twice_as_much_differs_in_the_whole(
    crop, thousandths, expected
):
    wholes = random_hashes(4, 11)
    others = words([partly_wrong(each, crop, thousandths) for each in integers(wholes)], 4)
    every = np.arange(4)

    assert are_crops(wholes, others, every, every).tolist() == [expected] * 4


@pytest.fixture(scope="module")
def hashes():
    """Hashes of three pictures, of some that are near them, and of guessed crops."""
    some = random_hashes(12, 5)
    parts = [cropped_hashes(some[:4], crop) for crop in (CROPS[1], CROPS[3], CROPS[6])]
    far = words([far_crop(each) for each in integers(some[4:7])], 4)
    return np.concatenate([some, *parts, far])


def expected_pairs(left, right):
    one, other = integers(left), integers(right)
    return {
        (i, j): (a ^ b).bit_count()
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if may_be_crops(a, b)
    }


def found_pairs(blocks):
    found = {}
    for block in blocks:
        for i, j, bits in zip(*(column.tolist() for column in block), strict=True):
            assert found.setdefault((i, j), bits) == bits
    return found


def test_pairs_within_one_set_are_those_of_looking_at_every_pair(hashes):
    expected = expected_pairs(hashes, hashes)

    found = found_pairs(crop_pairs(hashes, threads=1))

    assert found == {(i, j): bits for (i, j), bits in expected.items() if i < j}
    assert any(bits > 72 for bits in found.values())  # found by the guessed hash alone


def test_pairs_of_two_sets_are_those_of_looking_at_every_pair(hashes):
    left, right = hashes[::2], hashes[1::2]

    found = found_pairs(crop_pairs(left, other=right, threads=1))

    assert found == expected_pairs(left, right)
    turned_round = found_pairs(crop_pairs(right, other=left, threads=1))
    assert {(j, i): bits for (i, j), bits in turned_round.items()} == found


def test_no_pairs_are_found_without_hashes(hashes):
    empty = hashes[:0]

    assert found_pairs(crop_pairs(empty)) == {}
    assert found_pairs(crop_pairs(hashes, other=empty)) == {}


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_likely_parts_are_those_of_the_twin(crop):
    some = random_hashes(6, 8)

    part = likely_parts(some, crop)

    twins = [guessed_part(each, crop) for each in integers(some)]
    assert part.hashes.tolist() == cropped_hashes(some, crop).tolist()
    assert part.weights.tolist() == [sum(weight for _, weight in twin) for twin in twins]
    for k, plane in enumerate(part.planes):
        bits = [sum((weight >> k & 1) << i for i, (_, weight) in enumerate(t)) for t in twins]
        assert plane.tolist() == words(bits, 4).tolist()


def test_a_part_from_which_nothing_is_cut_off_has_the_hash_of_the_whole():
    some = random_hashes(5, 9)

    assert likely_parts(some, (0, 0, 0, 0)).hashes.tolist() == some.tolist()


def test_hashes_of_another_shape_are_refused():
    square = np.eye(16)
    for match in (np.zeros((2, 3), np.uint64), np.zeros((2, 4), np.int64)):
        with pytest.raises(ValueError, match="expected uint64 of shape"):
            native.likely_parts(match, square, square, square)
    with pytest.raises(ValueError, match="expected shapes"):
        native.likely_parts(np.zeros((2, 4), np.uint64), square, square, np.eye(8))


def gray_of(pixels):
    return to_gray(np.ascontiguousarray(pixels), pixels.shape[:2])


def cut(pixels, top, bottom, left, right):
    height, width = pixels.shape[:2]
    rows = slice(round(height * top), height - round(height * bottom))
    return pixels[rows, round(width * left) : width - round(width * right)]


def test_crops_of_painted_photos_are_recognized_and_other_photos_are_not():
    photos = [photo(seed, 320, 240) for seed in range(12)]
    grays = [gray_of(each) for each in photos]
    every = np.arange(len(photos))
    whole = fingerprints(grays, "dhash", 64).match

    for share in (0.02, 0.035, 0.05):
        crops = [gray_of(cut(each, *[share] * 4)) for each in photos]
        found = are_crops(whole, fingerprints(crops, "dhash", 64).match, every, every)
        assert found.sum() >= 11

    pairs = found_pairs(crop_pairs(whole, threads=1))
    assert pairs == {}
