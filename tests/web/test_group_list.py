"""The list of groups: its order and its filters, compared with a look at every group."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from array_rows import File, rows_of, same_picture
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.keep import Keep
from imgdup.web.groups import MAX_FOLDERS, GroupList, Wanted
from imgdup.web.service import MAX_FILES, Shown, group_record


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


def hash_of(cluster):
    """A match hash that is far from those of other clusters."""
    return int.from_bytes(hashlib.blake2b(b"%d" % cluster, digest_size=31).digest())


N_CLUSTERS = 12
FILES = [
    File(
        b"/data/%s/%d-%d.jpg" % (b"Day" if cluster % 2 else b"night", cluster, n),
        match=hash_of(cluster) ^ n,
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
    folder=st.sampled_from(["", "/data", "/data/Day", "/data/night", "/data/nigh", "/", "day"]),
)
def test_filters_choose_what_a_look_at_every_group_chooses(
    found, relation, min_distance, text, folder
):
    expected = []
    for place, group in enumerate(found.groups):
        rows = [group.keeper, *(each.row for each in group.members)]
        names = [found.index.rows.path(row).decode().lower() for row in rows]
        if (
            (not relation or relation in [each.verdict.relation for each in group.members])
            and max(each.distance for each in group.members) >= min_distance
            and (text == "\n" or any(text.lower() in name for name in names))
            and (not folder or is_in(found, rows, folder))
        ):
            expected.append(place)

    assert found.places(Wanted(relation, min_distance, text, folder)) == expected


def is_in(found, rows, folder):
    """Whether a file is in a folder, which must be the indexed one or below it."""
    paths = [found.index.rows.path(row).decode() for row in rows]
    return folder.startswith("/data") and any(path.startswith(f"{folder}/") for path in paths)


def test_relations_and_folders_are_counted_by_the_groups_that_they_choose(found):
    n = N_CLUSTERS

    assert found.folders() == [("/data", n), ("/data/Day", n // 2), ("/data/night", n // 2)]
    assert found.relations() == [("same-picture", n)]
    for name, count in found.folders():
        assert len(found.places(Wanted(folder=name))) == count


def test_of_many_folders_those_with_most_groups_are_offered():
    folders = [b"/data/two-%d" % (group // 2) for group in range(40)]
    folders += [b"/data/one-%04d" % group for group in range(MAX_FOLDERS)]
    files = [
        File(b"%s/%d-%d.jpg" % (folder, group, n), match=hash_of(group), content=b"%d" % group)
        for group, folder in enumerate(folders)
        for n in range(2)
    ]

    offered = dict(group_list(files).folders())

    assert len(offered) == MAX_FOLDERS
    assert {name: count for name, count in offered.items() if count > 1} == {
        "/data": len(folders),
        **{f"/data/two-{n}": 2 for n in range(20)},
    }


def test_a_large_group_is_counted_whole_and_listed_in_part():
    found = group_list([File(b"/data/%04d.jpg" % n, content=b"same") for n in range(700)])

    (group,) = found.groups
    record = group_record(Shown(found.index, True, {}), group, place=0, saving=0)

    assert record["n_files"] == 699
    assert len(record["files"]) == MAX_FILES
    assert np.unique([each["id"] for each in record["files"]]).size == MAX_FILES
