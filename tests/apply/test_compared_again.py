"""Pictures are compared again before a file is removed, since an index may be damaged or forged."""

import os

import pytest

from imgdup.dedupe.plan import sealed
from imgdup.dedupe.relations import Verdict
from photo_scene import CONTENTS, alike, make_scene

BEST, COPY, NEAR = "a/1.jpg", "b/1.jpg", "c/near.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


def judge_that_finds(relation, asked):
    def judge(pairs):
        asked.extend(pairs)
        return [Verdict(relation, 99.0, None) for _ in pairs]

    return judge


def names(scene, pairs):
    return [
        tuple(os.path.relpath(scene.rows.path(row), scene.path("")).decode() for row in pair)
        for pair in pairs
    ]


@pytest.mark.parametrize("relation", ["different", "edited", "unverified"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_whose_picture_differs_is_kept(scene, relation, dry_run):
    asked = []

    outcome = scene.apply("delete", judge=judge_that_finds(relation, asked), dry_run=dry_run)

    assert names(scene, asked) == [(BEST, NEAR)]  # files of equal bytes need no comparison
    assert [(skip.path, skip.reason) for skip in outcome.skipped] == [
        (scene.path(NEAR), "different-picture")
    ]
    assert outcome.skipped[0].detail.endswith(f"with the result: {relation}")
    assert (outcome.n_done, outcome.exit_code) == (1, 3)
    assert scene.tree()[NEAR] == CONTENTS[NEAR]


def test_a_relation_that_the_plan_names_may_be_removed(scene):
    header = sealed(scene.plan.header._replace(removable=("same-bytes", "edited")))
    removals = [removal._replace() for removal in scene.plan.removals]
    removals[1] = removals[1]._replace(relation="edited")
    plan = scene.plan._replace(header=header, removals=removals)

    outcome = scene.apply("delete", plan=plan, judge=judge_that_finds("edited", []))

    assert (outcome.n_done, outcome.skipped) == (2, [])


def test_a_plan_that_was_made_without_comparing_is_carried_out_without_comparing(scene):
    header = sealed(scene.plan.header._replace(removable=("same-bytes", "unverified")))
    near = scene.plan.removals[1]._replace(relation="unverified")
    asked = []

    outcome = scene.apply(
        "delete",
        plan=scene.plan._replace(header=header, removals=[near]),
        judge=judge_that_finds("different", asked),
    )

    assert (outcome.n_done, asked) == (1, [])


def test_a_file_that_changed_is_reported_as_changed(scene):
    (scene.root / NEAR).write_bytes(b"saved again")

    outcome = scene.apply("delete", judge=judge_that_finds("unverified", []))

    assert [skip.reason for skip in outcome.skipped] == ["changed"]


def test_what_an_earlier_run_did_is_not_compared_again(scene, tmp_path):
    scene.apply("move", tmp_path / "aside")
    asked = []

    outcome = scene.apply("move", tmp_path / "aside", judge=judge_that_finds("different", asked))

    assert (outcome.n_already, asked) == (2, [])


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_links_are_made_of_equal_bytes_only_and_compare_nothing(scene, action):
    asked = []

    scene.apply(action, judge=judge_that_finds("different", asked))

    assert asked == []


def test_many_pairs_are_compared_some_at_a_time(scene, monkeypatch):
    monkeypatch.setattr("imgdup.apply.COMPARED_AT_ONCE", 1)
    calls = []

    scene.apply("delete", judge=lambda pairs: calls.append(len(pairs)) or alike(pairs))

    assert calls == [0, 1]
