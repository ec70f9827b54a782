"""The list of groups: its order and its filters, compared with a look at every group."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from array_rows import File, rows_of, same_picture
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.keep import Keep
from imgdup.web.answers import MAX_FILES, Shown, group_record
from imgdup.web.groups import GroupList, Wanted


class ArrayIndex:
    """What the list uses of an index, made of arrays."""

    def __init__(self, rows):
        self.rows = rows
        self.digest = rows.digest

    def column(self, name):
        return self.rows.column(name)


def group_list(files):
    rows = rows_of(files)
    duplicates = find_duplicates(
        rows, DedupeOptions(Keep(("largest", "first"))), judge=same_picture
    )
    return GroupList(ArrayIndex(rows), duplicates)


N_CLUSTERS = 12
FILES = [
    File(
        b"/data/%s/%d-%d.jpg" % (b"Day" if cluster % 2 else b"night", cluster, n),
        match=(cluster + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**250 ^ n,
        content=b"%d" % cluster if cluster % 3 == 0 else b"%d %d" % (cluster, n),
        width=100 + n,
        size=(cluster * 7 + n) % 5 * 1000,
    )
    for cluster in range(N_CLUSTERS)
    for n in range(2 + cluster % 3)
]


@pytest.fixture(scope="module")
def found():
    return group_list(FILES)


def test_the_groups_that_save_most_are_the_first(found):
    sizes = found.index.column("size")

    savings = [sum(int(sizes[each.row]) for each in group.removed) for group in found.groups]

    assert len(found.groups) == N_CLUSTERS
    assert savings == found.savings == sorted(savings, reverse=True)


@settings(max_examples=60)
@given(
    relation=st.sampled_from(["", "same-bytes", "same-picture", "edited"]),
    min_distance=st.integers(0, 4),
    text=st.sampled_from(["", "day", "NIGHT", "/3-1.", "nowhere", "\n", "1-0.jpg"]),
)
def test_filters_choose_what_a_look_at_every_group_chooses(found, relation, min_distance, text):
    expected = []
    for place, group in enumerate(found.groups):
        rows = [group.keeper, *(each.row for each in group.members)]
        names = [found.index.rows.path(row).decode().lower() for row in rows]
        if (
            (not relation or relation in [each.verdict.relation for each in group.members])
            and max(each.distance for each in group.members) >= min_distance
            and (text == "\n" or any(text.lower() in name for name in names))
        ):
            expected.append(place)

    assert found.places(Wanted(relation, min_distance, text)) == expected


def test_a_large_group_is_counted_whole_and_listed_in_part():
    found = group_list([File(b"/data/%04d.jpg" % n, content=b"same") for n in range(700)])

    (group,) = found.groups
    record = group_record(Shown(found.index, True, {}), group, place=0, saving=0)

    assert record["n_files"] == 699
    assert len(record["files"]) == MAX_FILES
    assert np.unique([each["id"] for each in record["files"]]).size == MAX_FILES
