"""A run that was interrupted and is started again goes on with its journal, for one undo."""

import os

import pytest

from imgdup.apply import actions
from imgdup.apply.journal import read_journal
from imgdup.apply.options import journal_header, make_options
from imgdup.apply.registry import journal_to_write
from imgdup.apply.steps import Step
from imgdup.dedupe.plan import write_plan
from imgdup.errors import ImgdupError, PlanError
from imgdup.index.folder import JOURNALS
from photo_scene import CONTENTS, TIME_NS, make_scene, tree

BEST, COPY, NEAR = "a/1.jpg", "b/1.jpg", "c/near.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "aside"


@pytest.fixture
def plan_file(scene):
    write_plan(scene.index / "plan.jsonl", scene.plan)
    return scene.index / "plan.jsonl"


class Killed(BaseException):
    """Ends a run in the middle of a step without a chance to clean up."""


def interrupt_second_step(scene, target, action="move"):
    """Apply, and end the run as its second step begins; return the journal."""
    act, calls = actions.ACTIONS[action], []

    def interrupted(step, keep, recheck):
        calls.append(step)
        if len(calls) == 2:
            raise Killed
        act(step, keep, recheck)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imgdup.apply.ACTIONS", {action: interrupted})
        with pytest.raises(Killed):
            scene.apply(action, target, journal="plan.journal-1.jsonl")
    return scene.index / "plan.journal-1.jsonl"


def next_journal(scene, plan_file, action, target=None):
    header = journal_header(scene.plan, make_options(scene.plan, action, target))
    return journal_to_write(plan_file, header, scene.index).name


def test_an_interrupted_run_continues_and_one_undo_restores_all(scene, target, plan_file):
    journal = interrupt_second_step(scene, target)

    assert next_journal(scene, plan_file, "move", target) == journal.name
    outcome = scene.apply("move", target, journal=journal.name)

    assert (outcome.n_already, outcome.n_done, outcome.exit_code) == (1, 1, 0)
    assert outcome.removed == [scene.path(COPY), scene.path(NEAR)]
    undone = scene.undo(journal)
    assert (undone.n_restored, undone.skipped) == (2, [])
    assert scene.tree() == CONTENTS
    assert not target.exists()
    again = scene.undo(journal)
    assert (again.n_restored, again.n_in_place, again.skipped) == (0, 2, [])


def test_a_deletion_that_was_killed_before_its_end_was_noted_counts_as_done(scene, plan_file):
    journal = scene.apply("delete", journal="plan.journal-1.jsonl").journal
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))

    outcome = scene.apply("delete", journal=journal.name)

    assert (outcome.n_already, outcome.n_done, outcome.exit_code) == (2, 0, 0)
    assert read_journal(journal).unfinished == set()


@pytest.mark.parametrize("length", [1, 20, 60])
def test_a_line_that_was_cut_off_is_replaced(scene, target, length):
    journal = interrupt_second_step(scene, target)
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"end": 2, "result": "changed", "more": "0123456789"}'[:length])

    scene.apply("move", target, journal=journal.name)

    assert read_journal(journal).damaged_lines == []
    assert scene.undo(journal).n_restored == 2
    assert scene.tree() == CONTENTS


def test_a_run_that_did_all_has_nothing_left_to_do_even_in_a_newer_index(scene, target, plan_file):
    journal = scene.apply("move", target, journal="plan.journal-1.jsonl").journal
    before = journal.read_bytes()
    newer = make_scene(scene.index.parent / "newer").rows

    again = type(scene)(scene.root, scene.index, newer, scene.plan)
    outcome = again.apply("move", target, journal=journal.name)

    assert (outcome.n_already, outcome.n_done, outcome.exit_code) == (2, 0, 0)
    assert journal.read_bytes() == before


def test_a_file_that_was_skipped_is_tried_again(scene, target):
    (scene.root / NEAR).rename(scene.root / "hidden")
    journal = scene.apply("move", target).journal
    (scene.root / "hidden").rename(scene.root / NEAR)

    outcome = scene.apply("move", target)

    assert (outcome.n_already, outcome.n_done, outcome.exit_code) == (1, 1, 0)
    assert scene.undo(journal).n_restored == 2


def test_a_file_that_is_back_in_its_place_is_removed_again(scene, target):
    journal = scene.apply("move", target).journal
    os.rename(target / COPY, scene.root / COPY)

    outcome = scene.apply("move", target)

    assert (outcome.n_already, outcome.n_done) == (1, 1)
    assert scene.undo(journal).n_restored == 2
    assert scene.tree() == CONTENTS


def test_companions_that_a_killed_run_left_follow_their_picture(scene, target):
    (scene.root / "b" / "1.txt").write_text("caption")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imgdup.apply._move_companion", lambda *_: None)
        journal = scene.apply("move", target).journal

    outcome = scene.apply("move", target)

    assert (outcome.n_already, outcome.n_companions) == (2, 1)
    assert tree(target)["b/1.txt"] == b"caption"
    scene.undo(journal)
    assert scene.tree() == {**CONTENTS, "b/1.txt": b"caption"}


def test_another_action_or_target_begins_a_journal_of_its_own(scene, target, plan_file, tmp_path):
    interrupt_second_step(scene, target)

    others = [("delete", None), ("move", tmp_path / "elsewhere"), ("symlink", None)]
    names = [next_journal(scene, plan_file, *other) for other in others]

    assert names == ["plan.journal-2.jsonl"] * 3


def test_a_journal_that_was_undone_is_not_continued(scene, target, plan_file):
    journal = interrupt_second_step(scene, target)
    scene.undo(journal)

    assert next_journal(scene, plan_file, "move", target) == "plan.journal-2.jsonl"


def test_a_journal_that_the_index_does_not_know_is_not_continued(scene, target, plan_file):
    """Its unfinished steps would be undone, and anyone may have written it."""
    interrupt_second_step(scene, target)
    (scene.index / JOURNALS).unlink()

    assert next_journal(scene, plan_file, "move", target) == "plan.journal-2.jsonl"


def test_the_journal_of_another_run_is_never_written(scene, target):
    journal = scene.apply("move", target).journal
    before = journal.read_bytes()

    with pytest.raises(PlanError, match="is the journal of another run"):
        scene.apply("delete")

    assert journal.read_bytes() == before


def test_a_dry_run_counts_what_was_done_and_changes_nothing(scene, target):
    journal = interrupt_second_step(scene, target)
    before, files = journal.read_bytes(), (scene.tree(), tree(target))

    outcome = scene.apply("move", target, journal=journal.name, dry_run=True)

    assert (outcome.n_already, outcome.n_done) == (1, 1)
    assert (journal.read_bytes(), (scene.tree(), tree(target))) == (before, files)


def test_a_picture_that_another_program_saved_in_the_place_of_one_set_aside_stops_the_run(
    scene, plan_file
):
    journal = scene.index / "plan.journal-1.jsonl"
    header = journal_header(scene.plan, make_options(scene.plan, "delete"))
    with scene.journal(journal, "delete")[0] as book:
        step = Step(header.token, 1, scene.plan.removals[0].remove, scene.path(BEST), None)
        book.announce(step)
    os.rename(scene.root / COPY, step.aside)  # here the run was killed
    (scene.root / COPY).write_bytes(b"a new picture")

    with pytest.raises(ImgdupError, match=r"b/1\.jpg, which cannot be undone: a different file"):
        scene.apply("delete", journal=journal.name)

    with open(step.aside, "rb") as aside:
        assert aside.read() == CONTENTS[COPY]
    assert (scene.root / COPY).read_bytes() == b"a new picture"
    assert (scene.root / NEAR).read_bytes() == CONTENTS[NEAR]


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_file_that_is_a_link_already_is_not_linked_again(scene, plan_file, action):
    journal = scene.apply(action, journal="plan.journal-1.jsonl").journal
    before = scene.tree()

    outcome = scene.apply(action, journal=journal.name)

    assert (outcome.n_already, outcome.n_done) == (1, 0)
    assert scene.tree() == before


def test_a_link_that_was_replaced_by_a_file_again_is_made_again(scene, plan_file):
    journal = scene.apply("hardlink", journal="plan.journal-1.jsonl").journal
    copy = scene.root / COPY
    copy.unlink()
    copy.write_bytes(CONTENTS[COPY])
    os.utime(copy, ns=(TIME_NS, TIME_NS))

    outcome = scene.apply("hardlink", journal=journal.name)

    assert (outcome.n_already, outcome.n_done) == (0, 1)
    assert copy.samefile(scene.root / BEST)
