"""Hash text, distances and the blocked scan.

Oracles: Python's own big integers (``int(text, 16)``, ``int.bit_count``), which share no code with
NumPy, and ``oracles_vptree.scan_within``, a scan without blocks or buffers.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imgdup import search
from oracles_vptree import as_pairs, hash_sets, scan_within


def as_integers(hashes):
    return [sum(int(word) << 64 * i for i, word in enumerate(row)) for row in hashes]


@given(st.integers(1, 16).flatmap(lambda words: hash_sets(words, bits=64)))
def test_hex_text_is_the_big_integer_with_leading_zeros(hashes):
    digits = 16 * hashes.shape[1]

    texts = search.to_hex(hashes)

    assert texts == [f"{number:0{digits}x}" for number in as_integers(hashes)]


def test_no_hashes_give_no_texts():
    assert search.to_hex(np.zeros((0, 4), np.uint64)) == []


@given(st.integers(1, 16).flatmap(lambda words: hash_sets(words, min_size=1, bits=64)))
def test_distances_equal_those_of_big_integers(hashes):
    numbers = as_integers(hashes)

    one_with_all = search.distances(hashes[:1], hashes)
    row_by_row = search.distances(hashes, hashes[::-1])

    assert one_with_all.tolist() == [(numbers[0] ^ other).bit_count() for other in numbers]
    assert row_by_row.tolist() == [
        (one ^ other).bit_count() for one, other in zip(numbers, numbers[::-1], strict=True)
    ]


@given(data=st.data())
def test_scan_equals_a_scan_without_blocks(data):
    words = data.draw(st.sampled_from([1, 2, 4, 16]))
    hashes = data.draw(hash_sets(words))
    probes = data.draw(hash_sets(words))
    max_distance = data.draw(st.integers(0, 12) | st.integers(0, 64 * words))

    matches = search.scan_within(hashes, probes, max_distance)

    assert as_pairs(matches) == scan_within(hashes, probes, max_distance)


@settings(max_examples=20)
@given(data=st.data())
def test_blocks_do_not_show_in_the_result(data):
    hashes = data.draw(hash_sets(2, min_size=1))
    max_distance = data.draw(st.integers(0, 12))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", data.draw(st.integers(1, 9)))
        matches = search.scan_within(hashes, hashes, max_distance)

    assert as_pairs(matches) == scan_within(hashes, hashes, max_distance)


def test_scan_is_inclusive():
    hashes = np.array([[0b0000], [0b0011]], dtype=np.uint64)

    matches = search.scan_within(hashes, hashes[:1], max_distance=2)

    assert matches.distances.tolist() == [0, 2]


def test_distance_zero_around_a_member_finds_it():
    hashes = np.array([[2**64 - 1], [2**63]], dtype=np.uint64)

    matches = search.scan_within(hashes, hashes, max_distance=0)

    assert matches.indices.tolist() == [0, 1]


def test_a_hash_and_its_complement_of_1024_bits_are_1024_apart():
    hashes = np.array([[0] * 16, [2**64 - 1] * 16], dtype=np.uint64)

    matches = search.scan_within(hashes, hashes[:1], max_distance=1024)

    assert matches.distances.tolist() == [0, 1024]


def test_probes_without_matches_get_empty_slices():
    hashes = np.array([[0], [1]], dtype=np.uint64)
    probes = np.array([[0xFF00], [1], [0xFF00]], dtype=np.uint64)

    matches = search.scan_within(hashes, probes, max_distance=0)

    assert matches.offsets.tolist() == [0, 0, 1, 1]
    assert matches.indices.tolist() == [1]


@pytest.mark.parametrize(("n", "n_probes"), [(0, 0), (0, 2), (2, 0)])
def test_nothing_is_found_in_nothing(n, n_probes):
    matches = search.scan_within(np.zeros((n, 3), np.uint64), np.zeros((n_probes, 3), np.uint64), 5)

    assert matches.offsets.tolist() == [0] * (n_probes + 1)
    assert [a.dtype for a in matches] == [np.int64] * 3


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (np.zeros((2, 1), np.int64), "got int64 of shape (2, 1)"),
        (np.zeros((2, 1), np.float64), "got float64 of shape (2, 1)"),
        (np.zeros(2, np.uint64), "got uint64 of shape (2,)"),
        (np.zeros((2, 0), np.uint64), "got uint64 of shape (2, 0)"),
        (np.zeros((2, 17), np.uint64), "got uint64 of shape (2, 17)"),
    ],
)
def test_arrays_that_are_no_hashes_are_refused(bad, found):
    with pytest.raises(ValueError, match="must be uint64 of shape") as caught:
        search.scan_within(bad, bad, 0)

    assert found in str(caught.value)


def test_probes_of_another_width_are_refused():
    with pytest.raises(
        ValueError, match=r"probes must be uint64 of shape \(n, 1\), got .*\(3, 4\)"
    ):
        search.scan_within(np.zeros((2, 1), np.uint64), np.zeros((3, 4), np.uint64), 0)


def test_rows_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="must pair up, got 2 and 3 rows"):
        search.distances(np.zeros((2, 1), np.uint64), np.zeros((3, 1), np.uint64))


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match="got list"):
        search.to_hex([[1]])


@pytest.mark.parametrize("max_distance", [-1, 65])
def test_a_distance_outside_the_bits_is_refused(max_distance):
    with pytest.raises(ValueError, match=f"from 0 to 64 bits, got {max_distance}"):
        search.check_max_distance(max_distance, words=1)


def test_a_fractional_distance_is_refused():
    with pytest.raises(TypeError):
        search.check_max_distance(0.5, words=1)


def test_distance_may_be_a_numpy_integer():
    assert type(search.check_max_distance(np.uint8(3), words=1)) is int
