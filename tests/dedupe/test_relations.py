"""The relation of two duplicates, by table: what differs, and the word for it."""

import numpy as np
import pytest

from array_rows import File, rows_of
from imgdup.dedupe.relations import RELATIONS, relate

A = File(b"/data/a", content=b"1", size=9, width=300, height=200, inode=1)

CASES = [
    ("same-file", File(b"/data/b", content=b"1", size=9, width=300, height=200, inode=1), 0),
    ("same-bytes", File(b"/data/b", content=b"1", size=9, width=300, height=200), 0),
    ("re-encoded", File(b"/data/b", content=b"1", size=8, width=300, height=200), 0),
    ("re-encoded", File(b"/data/b", width=300, height=200), 12),
    ("edited", File(b"/data/b", width=300, height=200), 13),
    ("resized", File(b"/data/b", width=150, height=100), 31),
    ("resized", File(b"/data/b", width=100, height=67), 0),
    ("resized", File(b"/data/b", width=100, height=66), 0),
    ("edited", File(b"/data/b", width=100, height=70), 0),
    ("edited", File(b"/data/b", width=200, height=300), 0),
]


@pytest.mark.parametrize(("word", "b", "distance"), CASES)
def test_the_relation_says_what_differs(word, b, distance):
    rows = rows_of([A, b])

    found = relate(rows, np.array([0]), rows, np.array([1]), np.array([distance], np.uint16))

    assert [RELATIONS[number] for number in found] == [word]


def test_across_two_indexes_one_path_is_one_file():
    a, b = rows_of([A]), rows_of([A, File(b"/data/b", content=b"1", size=9)])

    found = relate(a, np.array([0, 0]), b, np.array([0, 1]), np.zeros(2, np.uint16))

    assert [RELATIONS[number] for number in found] == ["same-file", "same-bytes"]


def test_no_pair_no_relation():
    rows, none = rows_of([]), np.zeros(0, np.int64)

    assert relate(rows, none, rows, none, np.zeros(0, np.uint16)).tolist() == []
