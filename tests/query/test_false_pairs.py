"""The distance that --max-false-pairs stands for, on indexes of random hashes.

Oracle: the binomial distribution, in exact arithmetic.
"""

import math
import os
import random
from fractions import Fraction

import numpy as np
import pytest

from array_rows import File, rows_of
from imgdup.errors import UsageError
from imgdup.query.chance import Pictures, known_duplicates, pairs_distance, query_distance
from imgdup.query.row_pairs import Side


def side(n, seed=0, quality=100, **columns):
    chance = random.Random(seed)
    files = [
        File(
            os.fsencode(f"/data/{seed}-{i:05}"),
            match=chance.getrandbits(256),
            search=chance.getrandbits(64),
            quality=quality,
            **columns,
        )
        for i in range(n)
    ]
    return Side(rows_of(files), np.arange(n))


def binomial_distance(bits, n_pairs, max_false_pairs):
    within, distance = Fraction(0), -1
    while within * n_pairs <= max_false_pairs:
        distance += 1
        within += Fraction(math.comb(bits, distance), 2**bits)
    return distance - 1


@pytest.mark.parametrize(("by", "bits"), [("match", 256), ("search", 64)])
def test_the_distance_for_one_set_is_that_of_the_binomial_or_one_less(by, bits):
    found = pairs_distance(1, side(1000), by=by)

    assert binomial_distance(bits, 1000 * 999 // 2, 1) - found in (0, 1)


def test_two_sides_have_as_many_pairs_as_the_product_of_their_sizes():
    found = pairs_distance(10, side(900), side(300, seed=1), by="match")

    assert binomial_distance(256, 900 * 300, 10) - found in (0, 1)


def test_a_query_has_as_many_pairs_as_probes_times_images():
    found = [query_distance(side(1000).index, 1, n) for n in (1, 10**6)]

    expected = [binomial_distance(64, 1000 * n, 1) for n in (1, 10**6)]
    assert [e - f in (0, 1) for e, f in zip(expected, found, strict=True)] == [True, True]


def test_copies_in_the_collection_do_not_count_as_pairs_by_chance():
    """Each picture is there twice: once as it is, once with 20 bits of both hashes changed."""
    chance = random.Random(5)
    numbers = [(chance.getrandbits(256), chance.getrandbits(64)) for _ in range(500)]
    flips = sum(1 << i for i in range(0, 40, 2))
    files = [
        File(os.fsencode(f"/data/{i}-{again}"), match=m ^ flips * again, search=s ^ flips * again)
        for i, (m, s) in enumerate(numbers)
        for again in (0, 1)
    ]

    for by, bits in (("match", 256), ("search", 64)):
        found = pairs_distance(1, Side(rows_of(files), np.arange(1000)), by=by)
        assert binomial_distance(bits, 1000 * 999 // 2, 1) - found in (0, 1, 2)


def test_pictures_without_structure_are_no_sample_for_the_match_hash():
    with pytest.raises(UsageError, match="too few different images"):
        pairs_distance(1, side(1000, quality=10), by="match")


def test_equal_search_hashes_of_blank_pictures_leave_no_distance():
    with pytest.raises(UsageError, match="even at distance 0"):
        blank = [File(os.fsencode(f"/data/blank-{i:04}"), quality=0) for i in range(100)]
        others = [
            File(os.fsencode(f"/data/{i:04}"), search=random.Random(i).getrandbits(64), quality=0)
            for i in range(900)
        ]
        pairs_distance(1, Side(rows_of([*others, *blank]), np.arange(1000)), by="search")


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_too_few_images_are_refused(n):
    with pytest.raises(UsageError, match="too few different images"):
        pairs_distance(1, side(n), by="match")


def test_known_duplicates_are_near_with_structure_or_have_equal_bytes():
    def picture(match, quality, content):
        return [match, 0, 0, 0], quality, [content] * 16

    rows = [
        picture(0, 100, 1),
        picture(2**31 - 1, 50, 2),  # 31 bits
        picture(2**32 - 1, 100, 3),  # 32 bits of the first, 1 of the second
        picture(0, 49, 4),
        picture(2**60 - 1, 0, 1),  # the bytes of the first
    ]
    match, quality, digest = zip(*rows, strict=True)
    pictures = Pictures(
        np.zeros((5, 1), np.uint64),
        np.array(match, np.uint64),
        np.array(quality, np.uint8),
        np.array(digest, np.uint8),
    )

    found = known_duplicates(pictures)

    pairs = {(i, j) for i, j in np.argwhere(found).tolist() if i < j}
    assert pairs == {(0, 1), (1, 2), (0, 4)}
    assert np.array_equal(found, found.T)
