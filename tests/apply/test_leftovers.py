"""Files that a killed run left: reported with the command that cleans up, or what else to do."""

import os

import pytest

from imgdup.apply.leftovers import find_leftovers
from photo_scene import make_scene

COPY = "b/1.jpg"


@pytest.fixture
def killed(tmp_path):
    """A scene, the journal of a run, and a file that looks as if the run had been killed."""
    scene = make_scene(tmp_path)
    journal = scene.apply("move", tmp_path / "aside").journal
    step = scene.steps(journal)[0]
    os.rename(step.to, step.aside)
    return scene, journal, step


def test_a_leftover_is_reported_with_the_command_that_cleans_up(killed):
    scene, journal, step = killed

    (line,) = find_leftovers(scene.rows, scene.index)

    assert line == (
        f"{os.fsdecode(step.aside)}: left by an apply or undo that was killed; "
        f"to clean up: imgdup undo {journal}"
    )
    scene.undo(journal)
    assert list(find_leftovers(scene.rows, scene.index)) == []


def test_a_picture_whose_journal_is_lost_is_reported(killed):
    scene, journal, step = killed
    journal.unlink()

    (line,) = find_leftovers(scene.rows, scene.index)

    assert line.startswith(f"{os.fsdecode(step.aside)}: a picture that a killed apply set aside")
    assert "its journal is lost" in line


@pytest.mark.parametrize("ending", ["link", "part"])
def test_other_temporary_files_whose_journal_is_lost_may_be_deleted(killed, ending):
    scene, journal, step = killed
    journal.unlink()
    os.rename(step.aside, step.aside.replace(b".aside", b"." + ending.encode()))

    (line,) = find_leftovers(scene.rows, scene.index)

    assert line.endswith("whose journal is lost: you may delete it")


@pytest.mark.parametrize("name", [".imgdup", ".imgdup-0-1.aside", "imgdup-aside", "x.aside"])
def test_other_names_are_not_reported(tmp_path, name):
    scene = make_scene(tmp_path)
    (scene.root / "b" / name).touch()

    assert list(find_leftovers(scene.rows, scene.index)) == []


def test_folders_that_are_gone_are_passed_over(tmp_path):
    scene = make_scene(tmp_path)
    scene.root.rename(tmp_path / "elsewhere")

    assert list(find_leftovers(scene.rows, scene.index)) == []
