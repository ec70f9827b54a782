"""Which journals an index knows: only these are undone, and no file outside of their runs.

Files that a killed run left are reported with the command that cleans up, or what else to do.
"""

import json
import os

import pytest

from imgdup.apply.options import ApplyOptions, journal_header
from imgdup.apply.registry import describe_leftovers, register_journal, registered_journals
from imgdup.apply.steps import Step
from imgdup.dedupe.plan import FileFacts, sealed, write_plan
from imgdup.errors import PlanError
from imgdup.index.folder import JOURNALS
from imgdup.query.check_index import temporary_files
from imgdup.system.files import content_digest
from photo_scene import CONTENTS, TIME_NS, make_scene, tree

BEST, COPY = "a/1.jpg", "b/1.jpg"
EVIL = b"[Desktop Entry]\nExec=anything\n"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def target(scene):
    return scene.index.parent / "aside"


@pytest.fixture
def moved(scene, target):
    """The journal of a plan that was applied, beside the plan."""
    write_plan(scene.index / "plan.jsonl", scene.plan)
    return scene.apply("move", target, journal="plan.journal-1.jsonl").journal


def facts_of(path, content):
    digest = content_digest(content, "blake3")
    return FileFacts(0, os.fsencode(path), len(content), TIME_NS, digest, "blake3")


def as_of_an_older_imgdup(journal):
    """Write the journal again without what it says about roots and target."""
    first, *lines = journal.read_text().splitlines()
    header = json.loads(first)
    for key in ("roots", "target", "plan"):
        del header[key]
    journal.write_text("\n".join([json.dumps(header), *lines, ""]))


def change_line(journal, number, **changes):
    lines = journal.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    journal.write_text("\n".join([*lines, ""]))


def test_a_journal_that_somebody_made_up_plants_no_file(scene, tmp_path):
    """It describes itself as it likes, and a file of the attacker waits to be moved."""
    evil, planted = tmp_path / "downloads" / "x.desktop", tmp_path / "home" / "x.desktop"
    evil.parent.mkdir()
    evil.write_bytes(EVIL)
    os.utime(evil, ns=(TIME_NS, TIME_NS))
    book, token = scene.journal(tmp_path / "forged.jsonl", target=evil.parent)
    book._register = lambda journal, first_line: None  # it was no run of apply
    with book:
        book.announce(Step(token, 1, facts_of(planted, EVIL), scene.path(BEST), bytes(evil)))

    with pytest.raises(PlanError, match=r"does not know the journal .* --index FOLDER"):
        scene.undo(tmp_path / "forged.jsonl")
    with pytest.raises(PlanError, match="no plan beside it fits both"):
        scene.undo(tmp_path / "forged.jsonl", open_rows=lambda: scene.rows)

    assert evil.read_bytes() == EVIL
    assert not planted.exists()


@pytest.mark.parametrize("place", ["remove", "keep", "to"])
def test_a_step_that_was_added_to_a_true_journal_reaches_no_other_folder(
    scene, target, moved, tmp_path, place
):
    known = tmp_path / "known.txt"
    known.write_bytes(EVIL)
    change_line(moved, 1, **{place: str(known)})
    before = tree(tmp_path)

    with pytest.raises(PlanError, match=r"known\.txt', which is neither in an indexed folder nor"):
        scene.undo(moved)

    assert tree(tmp_path) == before


def test_a_path_with_dots_is_damage(scene, moved):
    change_line(moved, 1, remove=os.fsdecode(scene.path("../x.jpg")))

    result = scene.undo(moved)

    assert [skip.detail for skip in result.skipped] == [
        "line 2 is damaged: its step cannot be undone"
    ]


@pytest.mark.parametrize("key", ["roots", "target", "plan", "token"])
def test_a_first_line_that_was_edited_is_not_known(scene, moved, key):
    value = {"roots": [{"path": "/"}], "token": "0" * 16}.get(key, "/x")
    change_line(moved, 0, **{key: value})

    with pytest.raises(PlanError, match="does not know the journal"):
        scene.undo(moved)


def test_a_journal_that_was_moved_elsewhere_is_known(scene, moved, tmp_path):
    elsewhere = moved.rename(tmp_path / "any name")

    assert scene.undo(elsewhere).n_restored == 2
    assert scene.tree() == CONTENTS


def test_another_index_does_not_know_the_journal(scene, moved, tmp_path):
    other = make_scene(tmp_path / "other")

    with pytest.raises(PlanError, match="does not know the journal"):
        other.undo(moved)


def test_an_old_journal_is_undone_with_its_plan_and_the_named_index(scene, moved):
    as_of_an_older_imgdup(moved)

    with pytest.raises(PlanError, match="--index FOLDER"):
        scene.undo(moved)
    result = scene.undo(moved, open_rows=lambda: scene.rows)

    assert (result.n_restored, result.skipped) == (2, [])
    assert scene.tree() == CONTENTS


def test_an_old_journal_without_its_plan_is_refused(scene, moved):
    as_of_an_older_imgdup(moved)
    (moved.parent / "plan.jsonl").unlink()

    with pytest.raises(PlanError, match="put the plan that was applied beside the journal"):
        scene.undo(moved, open_rows=lambda: scene.rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generation": "f" * 32}, "no plan beside it fits both"),
        ({"roots": (b"/",)}, "no plan beside it fits both"),
        ({"n_images": 5}, "is not a removal of the plan"),
    ],
    ids=["another generation", "other roots", "fewer removals"],
)
def test_an_old_journal_must_fit_the_plan_beside_it(scene, moved, changes, words):
    as_of_an_older_imgdup(moved)
    header = sealed(scene.plan.header._replace(**changes))
    write_plan(moved.parent / "plan.jsonl", scene.plan._replace(header=header, removals=[]))

    with pytest.raises(PlanError, match=words):
        scene.undo(moved, open_rows=lambda: scene.rows)


@pytest.mark.parametrize(
    "changes", [{"size": 1}, {"digest": "0" * 32}, {"to": "/aside/known.txt"}, {"keep": "/x"}]
)
def test_a_step_of_an_old_journal_must_be_a_removal_of_the_plan(scene, moved, changes):
    as_of_an_older_imgdup(moved)
    change_line(moved, 1, **changes)

    with pytest.raises(PlanError, match="step 1 is not a removal of the plan beside it"):
        scene.undo(moved, open_rows=lambda: scene.rows)


def test_a_file_that_met_another_in_the_target_is_a_removal_of_the_plan(scene, target):
    (target / "b").mkdir(parents=True)
    (target / COPY).write_bytes(b"somebody's")
    write_plan(scene.index / "plan.jsonl", scene.plan)
    journal = scene.apply("move", target, journal="plan.journal-1.jsonl").journal
    as_of_an_older_imgdup(journal)

    assert scene.undo(journal, open_rows=lambda: scene.rows).n_restored == 2
    assert tree(target) == {COPY: b"somebody's"}


def test_a_note_that_was_cut_off_hides_no_other(scene, moved):
    with (scene.index / JOURNALS).open("ab") as file:
        file.write(b'{"journal": "/x')
    register_journal(scene.index, moved.with_name("second"), b"first line\n")

    names = [path.name for _, path in registered_journals(scene.index)]

    assert names == ["plan.journal-1.jsonl", "second"]
    assert scene.undo(moved).n_restored == 2


def test_a_run_that_was_killed_before_its_first_step_has_nothing_to_undo(scene, tmp_path):
    book, _ = scene.journal(tmp_path / "journal")
    with book:
        book._create()
    (scene.index / JOURNALS).unlink()

    result = scene.undo(tmp_path / "journal")

    assert (result.n_restored, result.n_in_place, result.skipped) == (0, 0, [])


def test_of_files_that_were_indexed_one_by_one_only_those_of_the_plan_may_be_changed(scene):
    """Their root is the empty path, which must not stand for every path."""
    loose = scene.plan._replace(header=scene.plan.header._replace(roots=(b"",)))

    header = journal_header(loose, ApplyOptions("delete"))

    assert header.roots == tuple(scene.path(name) for name in (BEST, COPY, "c/near.jpg"))


@pytest.fixture
def killed(tmp_path):
    """A scene, the journal of a run, and a file that looks as if the run had been killed."""
    scene = make_scene(tmp_path)
    journal = scene.apply("move", tmp_path / "aside").journal
    step = scene.steps(journal)[0]
    os.rename(step.to, step.aside)
    return scene, journal, step


def leftovers(scene):
    """The lines about temporary files, as check prints them."""
    return describe_leftovers(temporary_files(scene.rows), scene.index)


def test_a_leftover_is_reported_with_the_command_that_cleans_up(killed):
    scene, journal, step = killed

    (line,) = leftovers(scene)

    assert line == (
        f"{os.fsdecode(step.aside)}: left by an apply or undo that was killed; "
        f"to clean up: imgdup undo {journal} --index {scene.index}"
    )
    scene.undo(journal)
    assert list(leftovers(scene)) == []


def test_a_picture_whose_journal_is_lost_is_reported(killed):
    scene, journal, step = killed
    journal.unlink()

    (line,) = leftovers(scene)

    assert line.startswith(f"{os.fsdecode(step.aside)}: a picture that a killed apply set aside")
    assert "its journal is lost" in line


@pytest.mark.parametrize("ending", ["link", "part"])
def test_other_temporary_files_whose_journal_is_lost_may_be_deleted(killed, ending):
    scene, journal, step = killed
    journal.unlink()
    os.rename(step.aside, step.aside.replace(b".aside", b"." + ending.encode()))

    (line,) = leftovers(scene)

    assert line.endswith("whose journal is lost: you may delete it")


@pytest.mark.parametrize("name", [".imgdup", ".imgdup-0-1.aside", "imgdup-aside", "x.aside"])
def test_other_names_are_not_reported(tmp_path, name):
    scene = make_scene(tmp_path)
    (scene.root / "b" / name).touch()

    assert list(leftovers(scene)) == []


def test_missing_folders_are_passed_over(tmp_path):
    scene = make_scene(tmp_path)
    scene.root.rename(tmp_path / "elsewhere")

    assert list(leftovers(scene)) == []
