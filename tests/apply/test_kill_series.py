"""Runs of apply and undo that are killed again and again: the last undo leaves nothing behind.

Each seed is one series: apply and undo in any order, most of them killed at a random line. apply
continues the journal of a killed run, and refuses to start over what a killed undo left, as the
command does. In the end every journal is undone once, undisturbed; then every file, companion and
link must be in its place, and nothing else anywhere.
"""

import contextlib
import errno
import os
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest

from imgdup import apply
from imgdup.apply import actions, attached, copying, journal, restore, undo
from imgdup.apply.options import journal_header, make_options
from imgdup.apply.registry import check_earlier_runs, earlier_journals, journal_to_write
from imgdup.errors import ImgdupError
from kill_every_line import gets_through
from photo_scene import CONTENTS, add_companions_and_links, make_scene, tree

N_SERIES = 100 if os.environ.get("IMGDUP_EVERY_LINE") else 4
WAYS = ("move", "move to another device", "move without hard links", "hardlink", "symlink")
N_LINES = 700  # an apply or undo of two files, two companions and a link has about as many
MODULES = [apply, actions, attached, copying, journal, restore, undo]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def target(tmp_path, way, monkeypatch):
    """Where files are moved to, on a disk of the kind that is wanted."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    if way == "move without hard links":
        monkeypatch.setattr(os, "link", _refuse)
    if way != "move to another device":
        yield tmp_path / "target" if way.startswith("move") else None
        return
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second device at /dev/shm")
    place = Path(tempfile.mkdtemp(dir=shared))
    yield place / "target"
    shutil.rmtree(place)


def _refuse(*args, **options):
    raise OSError(errno.EPERM, "no hard links on this disk")


@pytest.mark.parametrize("way", WAYS)
def test_after_any_kill_series_the_last_undo_leaves_nothing_behind(tmp_path, way, target):
    for seed in range(N_SERIES):
        scene = make_scene(tmp_path / str(seed))
        add_companions_and_links(scene.root)
        before = scene.tree()
        plan = scene.index / "plan.jsonl"
        rng = random.Random(seed)

        _kill_series(scene, way.partition(" ")[0], target, plan, rng)
        for each in rng.sample(found := earlier_journals(plan), len(found)):
            scene.undo(each)

        assert scene.tree() == before, seed
        assert target is None or not target.exists(), seed
        assert list(tmp_path.rglob(".imgdup-*")) == [], seed


def _kill_series(scene, action, target, plan, rng):
    """Apply and undo some times, and kill most of these runs."""
    for _ in range(rng.randint(3, 7)):
        journals = earlier_journals(plan)
        if journals and rng.random() < 0.6:
            gets_through(partial(scene.undo, rng.choice(journals)), _line(rng), MODULES)
        else:
            gets_through(partial(_apply, scene, action, target, plan), _line(rng), MODULES)


def _line(rng):
    """The line to die at; one run in five is left alone."""
    return rng.choice([10**9, *(rng.randint(1, N_LINES) for _ in range(4))])


def _apply(scene, action, target, plan):
    """Apply as the command does."""
    header = journal_header(scene.plan, make_options(scene.plan, action, target))
    path = journal_to_write(plan, header, scene.index)
    with contextlib.suppress(ImgdupError):
        check_earlier_runs(plan, scene.index, path)
        scene.apply(action, target, journal=path.name)


@pytest.mark.parametrize("way", ["move", "move without hard links"])
def test_the_next_undo_finishes_one_that_was_killed_between_link_and_unlink(
    tmp_path, target, monkeypatch, way
):
    scene = make_scene(tmp_path)
    plan = scene.plan._replace(removals=scene.plan.removals[:1])
    path = scene.apply("move", target, plan=plan).journal
    calls = ("unlink", "replace")
    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, lambda *_: os._exit(9))
        pid = os.fork()
        if pid == 0:
            scene.undo(path)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert "b/1.jpg" in scene.tree() and "b/1.jpg" in tree(target)

    scene.undo(path)

    assert scene.tree() == CONTENTS
    assert tree(target) == {}
    again = scene.undo(path)
    assert (again.n_restored, again.n_in_place, again.skipped) == (0, 1, [])


@pytest.mark.parametrize("way", ["move"])
def test_an_undo_that_is_killed_after_its_last_note_leaves_no_folder(tmp_path, target, monkeypatch):
    scene = make_scene(tmp_path)
    path = scene.apply("move", target).journal
    assert target.exists()

    def note_and_die(journal_path, number):
        journal.note_undone(journal_path, number)
        if number == 1:  # the last one: undo begins with the last step
            os._exit(9)

    with monkeypatch.context() as patch:
        patch.setattr(undo, "note_undone", note_and_die)
        pid = os.fork()
        if pid == 0:
            scene.undo(path)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

    assert scene.tree() == CONTENTS
    assert not target.exists()
