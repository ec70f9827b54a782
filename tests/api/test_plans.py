"""Plans in Python: review, save, carry out, undo."""

import pytest

from imgdup import ImageIndex, ImgdupError, Plan, undo


@pytest.fixture
def plan(own_collection):
    groups = own_collection.groups(keep="largest,oldest,first", progress=False)
    return groups.plan().save("plan.jsonl")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_plan_lists_what_it_removes(own_collection, plan):
    removed = {each.path.name: each.keeper.name for each in plan}

    assert len(plan) == len(removed) == 6
    assert removed["copy.jpg"] == removed["q0.png"] == "p0.jpg"
    assert all(each.size == each.path.stat().st_size for each in plan)
    assert plan[:2] == list(plan)[:2]
    assert repr(plan).startswith("<imgdup.Plan: removes 6 files, ")


def test_files_are_moved_and_put_back(own_collection, plan):
    folder = own_collection.roots[0]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    applied = plan.apply("move", "removed", yes=True, progress=False)

    assert names(folder) == [f"p{i}.jpg" for i in range(5)]
    assert sorted(path.name for path in applied.removed) == names(folder.parent / "removed")
    assert (applied.skipped, applied.stopped) == ([], "")
    assert len(ImageIndex.open(".imgdup")) == 5

    undone = undo(applied.journal, progress=False)

    assert (undone.n_restored, undone.n_in_place, undone.skipped) == (6, 0, [])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_dry_run_changes_nothing(own_collection, plan):
    folder = own_collection.roots[0]
    before = names(folder)

    applied = plan.apply("move", "removed", dry_run=True, progress=False)

    assert len(applied.removed) == 6
    assert applied.journal is None
    assert names(folder) == before


def test_many_removals_and_deletions_must_be_confirmed(own_collection, plan):
    for action, to, reason in (
        ("move", "removed", "it removes 6 of 11 images"),
        ("delete", None, "it deletes files permanently, and it removes"),
    ):
        with pytest.raises(ValueError, match=f"{reason}.*yes=True"):
            plan.apply(action, to, progress=False)
    assert len(names(own_collection.roots[0])) == 11


def test_a_plan_must_be_saved_first(own_collection):
    with pytest.raises(ValueError, match="save the plan first"):
        own_collection.groups(progress=False).plan().apply("delete", yes=True)


@pytest.mark.parametrize(
    ("action", "to", "words"),
    [
        ("move", None, "moving needs a target folder"),
        ("delete", "removed", "no other action accepts one"),
        ("burn", None, "action must be one of"),
        ("move", "photos/removed", "so the files would be indexed again"),
    ],
)
def test_a_wrong_action_is_a_value_error_without_options_of_the_command_line(
    plan, action, to, words
):
    with pytest.raises(ValueError) as error:
        plan.apply(action, to, progress=False)

    assert words in str(error.value)
    assert "--" not in str(error.value)


def test_a_changed_file_is_skipped_with_a_reason(own_collection, plan):
    changed = own_collection.roots[0] / "q3.png"
    changed.write_bytes(b"other")

    applied = plan.apply("move", "removed", yes=True, progress=False)

    (skipped,) = applied.skipped
    assert (skipped.path, skipped.reason) == (changed, "changed")
    assert len(applied.removed) == 5


def test_a_saved_plan_is_loaded_again(own_collection, plan):
    loaded = Plan.load("plan.jsonl")

    assert list(loaded) == list(plan)
    assert len(loaded.apply("move", "removed", yes=True, progress=False).removed) == 6


def test_without_an_index_a_plan_is_not_loaded(plan, tmp_path):
    (tmp_path / ".imgdup").rename(tmp_path / "elsewhere")

    with pytest.raises(ImgdupError, match="no index in"):
        Plan.load("plan.jsonl")
    assert len(Plan.load("plan.jsonl", "elsewhere")) == 6
