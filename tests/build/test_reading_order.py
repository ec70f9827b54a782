"""The order in which members of containers are read: by their places where only that is fast.

Twin: runs that are found and sorted in a loop.
"""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.build.read import _in_reading_order
from imgdup.containers import FORWARD, Locator

ANYWHERE = next(kind for kind in range(10) if kind not in FORWARD)  # where any order is as fast
N_NUMBERS = len(Locator._fields)


class ListingOf:
    """What the order uses of a listing: the numbers of the locators, and whether there are any."""

    def __init__(self, locators):
        self._numbers = np.array(locators, np.int64).reshape(-1, N_NUMBERS)
        self.has_members = bool(self._numbers.any())

    def locator_array(self):
        return self._numbers


def place(kind, group, row, container):
    """The locator of a member: its kind and place, and the size and time of its container."""
    middle = [0] * (N_NUMBERS - 5)
    return [kind, group, row, *middle, container, 10 * container]


PLACES = st.builds(
    place,
    st.sampled_from([ANYWHERE, *FORWARD]),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 3),
)


def in_loops(locators, rows):
    def is_forward(row):
        return locators[row][0] in FORWARD

    ordered = []
    for _, run in groupby(rows, key=lambda row: (locators[row][-2:], is_forward(row))):
        members = list(run)
        if is_forward(members[0]):
            members.sort(key=lambda row: tuple(locators[row][1:3]))
        ordered += members
    return ordered


@given(st.lists(PLACES, max_size=25), st.data())
def test_runs_of_members_of_one_container_are_sorted_by_place(locators, data):
    chosen = (
        data.draw(st.lists(st.sampled_from(range(len(locators))), unique=True)) if locators else []
    )
    rows = np.array(sorted(chosen), np.int64)

    found = _in_reading_order(ListingOf(locators), rows)

    assert found.tolist() == in_loops(locators, rows.tolist())


@pytest.mark.parametrize("kind", FORWARD)
def test_row_ten_of_a_table_is_after_row_nine(kind):
    paths = sorted(f"{number}" for number in range(12))  # 0, 1, 10, 11, 2 ...
    locators = [place(kind, 0, int(path), 1) for path in paths]

    found = _in_reading_order(ListingOf(locators), np.arange(12))

    assert [int(paths[row]) for row in found] == list(range(12))


@pytest.mark.parametrize("kind", FORWARD)
def test_row_groups_are_read_one_after_the_other(kind):
    locators = [place(kind, group, row, 1) for row in (1, 0) for group in (1, 0, 2)]

    found = _in_reading_order(ListingOf(locators), np.arange(6))

    assert [tuple(locators[row][1:3]) for row in found] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1),
    ]  # fmt: skip


def test_members_that_can_be_read_anywhere_remain_in_path_order():
    locators = [place(ANYWHERE, 0, row, 1) for row in (3, 1, 2)]

    assert _in_reading_order(ListingOf(locators), np.arange(3)).tolist() == [0, 1, 2]


def test_files_without_containers_remain_in_path_order():
    rows = np.array([4, 7, 9])

    assert _in_reading_order(ListingOf([[0] * N_NUMBERS] * 10), rows).tolist() == [4, 7, 9]
