"""Table: paths of rows kept relative to their roots, in the order of their parts.

Oracle: sorting tuples of parts, and plain lists of absolute paths.
"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.index.columns import (
    TextBuilder,
    empty_columns,
    failure_arrays,
    failure_detail,
)
from imgdup.index.paths import PathsBuilder, merge_sorted
from imgdup.system.paths import is_below, join, path_key

NAMES = st.binary(min_size=1, max_size=3).filter(
    lambda name: b"/" not in name and b"\0" not in name
)
RELATIVE = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)


@given(st.lists(RELATIVE, unique=True))
def test_path_key_orders_as_tuples_of_parts_do(paths):
    by_key = sorted(paths, key=path_key)

    assert by_key == sorted(paths, key=lambda path: path.split(b"/"))


@given(st.lists(st.binary()))
def test_texts_are_read_back_byte_for_byte(texts):
    builder = TextBuilder()
    for text in texts:
        builder.append(text)

    column = builder.column()

    assert [column[i] for i in range(len(column))] == texts


@given(st.lists(RELATIVE, unique=True, max_size=20), st.data())
def test_paths_of_several_roots_are_read_back_and_found(relative, data):
    roots = [b"", b"/photos", b"/photos-2", b"/z"]
    prefixes = [b"/single/", b"/photos/", b"/photos-2/", b"/z/"]
    paths = sorted({data.draw(st.sampled_from(prefixes)) + r for r in relative}, key=path_key)
    builder = PathsBuilder(roots)
    for path in paths:
        builder.append(next(root for root in reversed(roots) if is_below(path, root)), path)

    table = builder.paths()

    assert list(table) == paths
    assert [table[row] for row in range(len(table))] == paths
    some = sorted(data.draw(st.sets(st.sampled_from(range(len(table))))) if paths else ())
    assert list(table.of_rows(some)) == [paths[row] for row in some]
    assert [table.find(path) for path in paths] == list(range(len(paths)))
    assert table.find(b"/not/there") is None
    assert not table.holds(b"/not/there")


@given(st.lists(RELATIVE, unique=True, max_size=20), st.data())
def test_rows_below_a_folder_are_found_whatever_the_order_of_the_roots(relative, data):
    prefixes = [b"/photos/", b"/photos-2/", b"/z/"]
    paths = sorted({data.draw(st.sampled_from(prefixes)) + r for r in relative}, key=path_key)
    roots = [b"/photos", b"/photos-2", b"/z"]
    builder = PathsBuilder(roots)
    for path in paths:
        builder.append(next(root for root in reversed(roots) if is_below(path, root)), path)
    table = builder.paths()
    table.roots = data.draw(st.permutations([b"/y", b"/photos", b"/a/b"]))  # renamed since
    renamed = list(table)
    folders = [*renamed, *(path.rpartition(b"/")[0] for path in renamed), b"/a", b"/no", b"", b"/"]

    found = {folder: table.rows_below(folder).tolist() for folder in folders}

    assert found == {
        folder: [row for row, path in enumerate(renamed) if is_below(path, folder)]
        for folder in folders
    }
    assert [table.find(path) for path in renamed] == list(range(len(renamed)))
    assert sorted(row for spans in table.sorted_spans for a, b in spans for row in range(a, b)) == (
        list(range(len(renamed)))
    )


def test_holds_knows_the_folders_of_rows_and_no_namesakes():
    builder = PathsBuilder([b"/p"])
    for path in (b"/p/a/b.jpg", b"/p/a-b/c.jpg"):
        builder.append(b"/p", path)

    table = builder.paths()

    assert [table.holds(b"/p/" + name) for name in (b"a", b"a-b", b"a/b.jpg", b"a-", b"z")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert table.holds(b"/") and table.holds(b"/p")


def test_a_row_outside_the_table_raises():
    builder = PathsBuilder([b"/photos"])
    builder.append(b"/photos", b"/photos/a.jpg")

    with pytest.raises(IndexError, match="row 1 of a table of 1"):
        builder.paths()[1]


def test_a_path_is_relative_to_its_own_root_not_to_a_namesake():
    builder = PathsBuilder([b"/p", b"/p-2"])
    builder.append(b"/p", b"/p/a.jpg")
    builder.append(b"/p-2", b"/p-2/a.jpg")

    paths = builder.paths()

    assert [paths.root_of(0), paths.root_of(1)] == [b"/p", b"/p-2"]
    assert paths.relative[1] == b"a.jpg"


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        (b"/a/b", b"/a", True),
        (b"/a", b"/a", True),
        (b"/ab", b"/a", False),
        (b"/a", b"/", True),
        (b"/a", b"", True),
    ],
)
def test_is_below_compares_whole_parts(path, folder, below):
    assert is_below(path, folder) is below


def test_join_knows_the_top_folder_and_the_list_of_single_files():
    assert [join(b"/", b"a"), join(b"", b"/a"), join(b"/b", b"a")] == [b"/a", b"/a", b"/b/a"]


def test_merge_sorted_keeps_the_order_of_keys():
    left = iter([(b"a", 1), (b"c", 2)])
    right = iter([(b"b", 3), (b"c", 4)])

    assert list(merge_sorted([left, right])) == [(b"a", 1), (b"b", 3), (b"c", 2), (b"c", 4)]


def test_empty_columns_have_the_width_of_the_hash():
    columns = empty_columns(3, words=4)

    assert columns["hashes"].shape == (3, 4)
    assert columns["hashes"].dtype == np.uint64
    assert columns["digest"].shape == (3, 16)


def test_failures_are_read_back_by_row():
    details = {7: "ends early", 2: "über \udcff"}

    arrays = failure_arrays(details)

    assert [failure_detail(arrays, row) for row in (2, 7, 5)] == [details[2], details[7], ""]
