"""Chains of duplicates. Oracle: ``oracles_dedupe.chains`` joins sets of paths, pair by pair."""

import numpy as np
from hypothesis import given, strategies as st
from test_groups import files_strategy, spread_files, turned_files

import oracles_dedupe
from array_rows import File, rows_of
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.components import component_labels
from imgdup.dedupe.split import chains
from imgdup.index.columns import images


def members(rows, labels):
    """Return the components of two or more paths."""
    found = {}
    for row, label in zip(images(rows).tolist(), labels.tolist(), strict=True):
        found.setdefault(label, set()).add(rows.path(row))
    return {frozenset(each) for each in found.values() if len(each) > 1}


@given(
    files=files_strategy(),
    max_distance=st.integers(0, 3),
    search_distance=st.sampled_from([None, 0]),
)
def test_components_equal_joining_pair_by_pair(files, max_distance, search_distance):
    rows = rows_of(files)
    selected = images(rows)

    labels = component_labels(rows, selected, MatchRule(max_distance, search_distance))

    assert members(rows, labels) == oracles_dedupe.chains(files, max_distance, search_distance)


@given(files=files_strategy().flatmap(turned_files), max_distance=st.integers(0, 3))
def test_components_of_turned_pictures_equal_joining_pair_by_pair(files, max_distance):
    rows = rows_of(files)

    labels = component_labels(rows, images(rows), MatchRule(max_distance, orientations=True))

    expected = oracles_dedupe.chains(files, max_distance, orientations=True)
    assert members(rows, labels) == expected


@given(files=files_strategy().map(spread_files), max_distance=st.integers(0, 40))
def test_components_of_a_wide_rule_equal_joining_pair_by_pair(files, max_distance):
    rows = rows_of(files)

    labels = component_labels(rows, images(rows), MatchRule(max_distance, wide=True))

    assert members(rows, labels) == oracles_dedupe.chains(files, max_distance, wide=True)


def test_numbers_are_by_first_appearance():
    pictures = [5, 9, 5, 7, 9]
    rows = rows_of([File(b"/data/%d" % i, match=p << p * 8) for i, p in enumerate(pictures)])

    labels = component_labels(rows, images(rows), MatchRule(0))

    assert labels.tolist() == [0, 1, 0, 2, 1]


def test_two_components_that_a_later_image_joins_are_one():
    files = [
        File(b"/data/1", match=0b00),
        File(b"/data/2", match=0b11),
        File(b"/data/3", match=0b01),
    ]
    rows = rows_of(files)

    labels = component_labels(rows, images(rows), MatchRule(1))

    assert labels.tolist() == [0, 0, 0]


def test_a_long_chain_is_one_component():
    n = 3000
    rows = rows_of([File(b"/data/%04d" % i, match=(1 << i % 257) - 1) for i in range(n)])

    labels = component_labels(rows, images(rows), MatchRule(1))

    assert set(labels.tolist()) == {0}


def test_chains_are_counted_by_size():
    files = [
        File(b"/data/%d" % i, match=match)
        for i, match in enumerate([0, 1, 3, 2**99 - 1, 2**250 - 2**150])
    ]

    found = chains(find_duplicates(rows_of(files), DedupeOptions(rule=MatchRule(1))))

    assert dict(found) == {3: 1}


def test_several_names_of_one_file_count_once():
    files = [
        File(b"/data/1", match=0, inode=1),
        File(b"/data/2", match=0, inode=1),
        File(b"/data/3", match=1),
        File(b"/data/4", match=2**99 - 1, inode=2),
        File(b"/data/5", match=2**99 - 1, inode=2),
    ]

    found = chains(find_duplicates(rows_of(files), DedupeOptions(rule=MatchRule(1))))

    assert dict(found) == {2: 1}


def test_without_images_there_are_no_chains():
    rows = rows_of([])

    assert component_labels(rows, images(rows)).tolist() == []
    assert chains(find_duplicates(rows)).total() == 0
    assert component_labels(rows, np.zeros(0, np.int64)).dtype == np.int64
