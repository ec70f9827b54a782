"""Repeated scans: the same matches with the folded copy and without it.

Oracle: ``oracles_vptree.scan_within``, a linear scan with ``np.bitwise_count``.
"""

import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imgdup import search
from imgdup.native import scan as native
from imgdup.search import AFTER_PROBES, RepeatedScan
from oracles_vptree import as_pairs, hash_sets, scan_within


def with_copy(hashes):
    """A scan that has made its folded copy."""
    scan = RepeatedScan(hashes)
    scan.within(np.zeros((AFTER_PROBES + 1, hashes.shape[1]), np.uint64), 0)
    return scan


@given(data=st.data())
def test_scans_with_and_without_the_copy_equal_a_plain_scan(data):
    words = data.draw(st.sampled_from([2, 4, 6, 16]))
    hashes = data.draw(hash_sets(words, bits=data.draw(st.sampled_from([8, 64]))))
    probes = data.draw(hash_sets(words))
    max_distance = data.draw(st.integers(0, 20) | st.integers(0, 64 * words))
    expected = scan_within(hashes, probes, max_distance)

    for scan in (RepeatedScan(hashes), with_copy(hashes)):
        assert as_pairs(scan.within(probes, max_distance)) == expected


@settings(max_examples=20)
@given(data=st.data())
def test_blocks_do_not_show_in_the_result(data):
    hashes, probes = data.draw(hash_sets(4, min_size=1)), data.draw(hash_sets(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", data.draw(st.integers(1, 40)))

        matches = with_copy(hashes).within(probes, 9)

    assert as_pairs(matches) == scan_within(hashes, probes, 9)


def test_a_hash_that_differs_in_both_halves_at_one_place_is_compared_in_full():
    """The folded forms are equal then."""
    hashes = np.zeros((40, 4), np.uint64)
    hashes[7, [0, 2]] = 1

    matches = with_copy(hashes).within(hashes[:1], 1)

    assert matches.indices.tolist() == [i for i in range(40) if i != 7]


def test_more_matches_than_there_is_room_for_at_first_are_all_found():
    hashes = np.full((native.FOUND + 5, 4), 3, np.uint64)

    matches = with_copy(hashes).within(hashes[:1], 0)

    assert matches.indices.tolist() == list(range(native.FOUND + 5))


def test_threads_that_scan_at_once_find_the_same():
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << 12, (5000, 4), dtype=np.uint64)
    scan, expected = RepeatedScan(hashes), scan_within(hashes, hashes[:3], 6)
    found = []

    def look():
        found.extend(as_pairs(scan.within(hashes[:3], 6)) for _ in range(9))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == [expected] * 36


def test_no_hashes_have_no_matches():
    assert (
        len(with_copy(np.zeros((0, 4), np.uint64)).within(np.zeros((2, 4), np.uint64), 3)[1]) == 0
    )


def test_hashes_of_an_odd_number_of_words_are_refused():
    with pytest.raises(ValueError, match="must be even, got 3"):
        RepeatedScan(np.zeros((2, 3), np.uint64))


@pytest.mark.parametrize(
    ("positions", "columns", "words"),
    [
        (range(0, 6), 21, 4),
        (range(-1, 5), 21, 4),
        (range(4, 3), 21, 4),
        (range(5), 20, 4),
        (range(5), 21, 3),
    ],
)
def test_the_library_is_not_called_with_what_is_outside_of_its_arrays(positions, columns, words):
    hashes, copy = np.zeros((5, words), np.uint64), np.zeros((2, columns), np.uint64)

    with pytest.raises(ValueError, match=r"must be from|expected|even number of words"):
        native.scan_folded(hashes, copy, positions, np.zeros(words, np.uint64), 3)
