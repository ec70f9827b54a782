"""From an index to a plan and lists: what a caller gets from one call."""

import numpy as np
import pytest

from array_rows import File, rows_of, same_picture
from imgdup.dedupe import DedupeOptions, Saving, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.keep import Keep, parse_keep
from imgdup.dedupe.relations import Verdict

FILES = [
    File(b"/data/a/best.jpg", match=0, width=300, height=300, size=90),
    File(b"/data/a/small.jpg", match=0b111, width=150, height=150, size=40),
    File(b"/data/b/copy.jpg", match=0, width=300, height=300, size=90, content=b"/data/a/best.jpg"),
    File(b"/data/b/linked.jpg", match=0b11, width=10, height=10, size=5, inode=1),
    File(b"/data/b/linked2.jpg", match=0b11, width=10, height=10, size=5, inode=1),
    File(b"/data/b/other.jpg", match=2**200 - 1),
    File(b"/data/b/broken.jpg", status=1),
]


def paths(rows, selected):
    return [rows.path(row) for row in selected.tolist()]


def test_a_plan_names_each_removed_file_and_the_kept_one():
    found = find_duplicates(rows_of(FILES), judge=same_picture)

    plan = found.plan()

    assert [(r.remove.path, r.keep.path, r.distance, r.relation) for r in plan.removals] == [
        (b"/data/b/copy.jpg", b"/data/a/best.jpg", 0, "same-bytes"),
        (b"/data/a/small.jpg", b"/data/a/best.jpg", 3, "same-picture"),
    ]
    assert plan.header[5:10] == ((), 6, 1, 2, 130)
    assert plan.header.digest_kind == "blake3"
    assert plan.header.keep == Keep().rules


def test_savings_are_counted_by_relation():
    found = find_duplicates(rows_of(FILES), judge=same_picture)

    assert found.savings() == {"same-bytes": Saving(1, 90), "same-picture": Saving(1, 40)}


def test_lists_leave_out_all_names_of_a_removed_file_and_a_plan_none():
    rows = rows_of(FILES)
    found = find_duplicates(rows, judge=same_picture)

    removed = paths(rows, found.groups.removed)

    assert removed[1:3] == [b"/data/b/linked.jpg", b"/data/b/linked2.jpg"]
    assert found.removable().tolist() == [True, False, False, True]
    assert not {r.remove.path for r in found.plan().removals} & set(removed[1:3])


def test_kept_files_are_listed_relative_to_the_only_root():
    found = find_duplicates(rows_of(FILES), judge=same_picture)

    assert list(found.listed(found.kept())) == [b"a/best.jpg", b"b/other.jpg"]


@pytest.mark.parametrize("roots", [(b"/data/a", b"/data/b"), (b"",)], ids=["two", "single files"])
def test_kept_files_are_listed_by_absolute_paths_otherwise(roots):
    found = find_duplicates(rows_of(FILES, roots=roots), judge=same_picture)

    assert list(found.listed(found.kept())) == [b"/data/a/best.jpg", b"/data/b/other.jpg"]


def test_only_the_named_folders_are_compared():
    rows = rows_of(FILES)

    found = find_duplicates(rows, DedupeOptions(folders=(b"/data/b",)), same_picture)

    assert paths(rows, found.images) == [f.path for f in FILES[2:6]]
    assert [r.keep.path for r in found.plan().removals] == []
    assert paths(rows, found.groups.removed) == [b"/data/b/linked.jpg", b"/data/b/linked2.jpg"]


def test_protected_folders_that_hold_all_copies_lose_none():
    rows = rows_of(FILES)

    found = find_duplicates(rows, DedupeOptions(parse_keep(rows, protect=["/data"])), same_picture)

    assert found.plan().removals == []
    assert len(found.groups.removed) == 0


def test_a_protected_file_wins_against_every_rule():
    rows = rows_of(FILES)

    found = find_duplicates(
        rows, DedupeOptions(parse_keep(rows, "largest", ["/data/b"]), MatchRule(2)), same_picture
    )

    assert paths(rows, found.groups.removed) == [b"/data/a/best.jpg", b"/data/a/small.jpg"]


def test_an_empty_index_has_an_empty_plan():
    found = find_duplicates(rows_of([]))

    assert found.plan().removals == []
    assert found.savings() == {}
    assert found.kept().tolist() == []


def test_relations_and_groups_go_together():
    found = find_duplicates(rows_of(FILES), judge=same_picture)

    assert len(found.relations) == len(found.groups.removed) == found.groups.offsets[-1]


SPELLINGS = [
    File(b"/data/a/1.jpg", size=9, inode=1),
    File(b"/data/a/2.jpg", match=2**200 - 1, size=9, inode=2),
    File(b"/data/mirror/1.jpg", size=9, inode=1),
    File(b"/data/mirror/2.jpg", match=2**200 - 1, size=9, inode=2),
]


def test_two_names_of_one_file_are_no_duplicates_in_any_group_list_plan_or_count():
    rows = rows_of(SPELLINGS)

    found = find_duplicates(rows, judge=same_picture)

    assert found.groups.keepers.tolist() == []
    assert found.removed().tolist() == []
    assert found.kept().tolist() == [0, 1, 2, 3]
    assert found.plan().removals == []
    assert found.savings() == {}


def test_no_list_names_all_rows_of_a_file_as_removable_in_favour_of_each_other():
    copy = File(b"/data/other/1.jpg", size=9, width=50)
    rows = rows_of([*SPELLINGS, copy])

    found = find_duplicates(rows, judge=same_picture)

    assert paths(rows, found.removed()) == [b"/data/other/1.jpg"]
    number = {file.path: file.inode for file in SPELLINGS}
    keepers = paths(rows, found.groups.keeper_of_each())
    assert [number[path] for path in keepers] == [1]


def test_look_alikes_cost_few_comparisons_each_and_those_left_out_are_counted():
    """Hashes of 400 pictures of one scene, all within 20 bits of each other, all different."""
    rng = np.random.default_rng(3)
    files = [
        File(b"/data/%04d" % n, match=sum(1 << int(bit) for bit in rng.choice(60, 10, False)))
        for n in range(400)
    ]

    found = find_duplicates(
        rows_of(files), judge=lambda pairs: [Verdict("different", 90.0, None)] * len(pairs)
    )

    assert len(found.groups.removed) == 0
    assert found.groups.n_compared <= 20 * len(files)
    assert found.groups.n_beyond > len(files) - 100
