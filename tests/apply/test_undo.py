"""Undoing while others work on the same files, or when undo itself is killed: nothing is lost.

What undo does when nobody disturbs it is tested in test_actions.
"""

import errno
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from imgdup.apply import actions, copying, journal as journals, restore
from imgdup.apply.journal import Journal, locked_journal, read_journal
from imgdup.apply.recheck import check_content
from imgdup.apply.registry import register_journal
from imgdup.apply.steps import Header, Step
from imgdup.apply.undo import undo
from imgdup.dedupe.plan import FileFacts
from imgdup.errors import LockedError
from imgdup.system.files import content_digest
from kill_every_line import kill_at_every_line
from photo_scene import CONTENTS, TIME_NS, make_scene, tree, write_scene

N_FILES = 300
COPY = "b/1.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def moved(scene):
    """A scene whose duplicates were moved away, and its journal."""
    return scene, scene.apply("move", scene.index.parent / "aside").journal


def test_a_second_undo_is_refused(moved):
    scene, journal = moved

    with locked_journal(journal), pytest.raises(LockedError, match="in use by another process"):
        scene.undo(journal)

    assert scene.undo(journal).n_restored == 2
    assert scene.tree() == CONTENTS


def test_a_file_where_another_was_moved_is_not_touched_by_a_second_undo(moved):
    scene, journal = moved
    scene.undo(journal)
    (step, _) = read_journal(journal).steps
    os.makedirs(os.path.dirname(step.to))
    shutil.copy(step.remove.path, step.to)  # the user's own copy, with a name of ours

    again = scene.undo(journal)

    assert (again.n_restored, again.n_in_place, again.skipped) == (0, 2, [])
    assert Path(os.fsdecode(step.to)).exists()


@pytest.mark.parametrize("end", ["denied", None], ids=["refused", "killed"])
def test_a_file_that_another_run_moved_to_the_same_place_is_not_touched(moved, tmp_path, end):
    scene, other = moved
    (step, _) = read_journal(other).steps
    here = scene.root / "here.jpg"
    shutil.copy2(os.fsdecode(step.to), here)
    facts = step.remove._replace(path=bytes(here), mtime_ns=here.stat().st_mtime_ns)
    journal = tmp_path / "journal"
    book, token = scene.journal(journal, target=scene.index.parent / "aside")
    with book:  # it announced the place, and got no further
        book.announce(Step(token, 1, facts, step.keep, step.to))
        if end:
            book.ended(read_journal(journal).steps[0], end)

    undone = scene.undo(journal)

    assert (undone.n_restored, undone.n_in_place, undone.skipped) == (0, 1, [])
    assert scene.undo(other).n_restored == 2


def test_a_refused_step_brings_nothing_back_from_its_place(moved, tmp_path):
    scene, other = moved
    (step, _) = read_journal(other).steps
    facts = step.remove._replace(path=scene.path("gone.jpg"))
    journal = tmp_path / "journal"
    book, token = scene.journal(journal, target=scene.index.parent / "aside")
    with book:
        announced = Step(token, 1, facts, step.keep, step.to)
        book.announce(announced)
        book.ended(announced, "missing")

    undone = scene.undo(journal)

    assert [skip.reason for skip in undone.skipped] == ["missing"]
    assert scene.undo(other).n_restored == 2


def test_what_a_later_run_moved_is_not_undone_by_an_undo_of_the_earlier(moved):
    scene, journal = moved
    scene.undo(journal)
    first = journal.rename(journal.with_name("first"))
    second = scene.apply("move", scene.index.parent / "aside").journal

    again = scene.undo(first)

    assert (again.n_restored, len(again.skipped)) == (0, 2)
    assert scene.undo(second).n_restored == 2
    assert scene.tree() == CONTENTS


def test_what_was_skipped_is_restored_by_the_next_undo(moved):
    scene, journal = moved
    (first, _) = read_journal(journal).steps
    Path(os.fsdecode(first.remove.path)).write_bytes(b"in the way")

    skipped = scene.undo(journal)
    os.unlink(first.remove.path)
    again = scene.undo(journal)

    assert (skipped.n_restored, len(skipped.skipped)) == (1, 1)
    assert (again.n_restored, again.n_in_place, again.skipped) == (1, 1, [])
    assert scene.tree() == CONTENTS


def test_a_line_that_a_kill_cut_off_does_not_damage_the_next_one(moved):
    scene, journal = moved
    with journal.open("ab") as file:
        file.write(b'{"step": 3, "rem')

    scene.undo(journal)

    again = read_journal(journal)
    assert again.damaged_lines == []
    assert again.undone == {1, 2}


def test_a_journal_that_cannot_be_written_is_reported_once(moved, monkeypatch):
    scene, journal = moved

    def refuse(path, number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imgdup.apply.undo.note_undone", refuse)

    undone = scene.undo(journal)

    assert undone.n_restored == 2
    assert [skip.reason for skip in undone.skipped] == ["failed"]
    assert "No space left" in undone.skipped[0].detail


def test_undo_is_refused_while_apply_writes_the_journal(scene):
    refused = []

    def meanwhile(n_seen, n_removals):
        with pytest.raises(LockedError, match="in use by another process"):
            scene.undo(scene.index / "journal")
        refused.append(n_seen)

    scene.apply("move", scene.index.parent / "aside", progress=meanwhile)

    assert refused == [1, 2]
    assert scene.undo(scene.index / "journal").n_restored == 2


def many_moved(folder):
    """A journal of many small files that were moved away, and the folder of its index."""
    journal, index = folder / "journal", folder / "index"
    for name in ("there", "here", "index"):
        (folder / name).mkdir()
    here, there = (os.fsencode(os.path.realpath(folder / name)) for name in ("here", "there"))
    header = Header("move", "", "0" * 16, (here,), there, "", "blake3")
    with Journal(journal, header, partial(register_journal, index)) as book:
        for number in range(1, N_FILES + 1):
            name, content = b"%d.jpg" % number, b"picture %d" % number
            to = os.path.join(there, name)
            with open(to, "wb") as file:
                file.write(content)
            mtime_ns, path = os.stat(to).st_mtime_ns, os.path.join(here, name)
            digest = content_digest(content, "blake3")
            facts = FileFacts(0, path, len(content), mtime_ns, digest, "blake3")
            book.announce(Step(header.token, number, facts, here + b"/keep", to))
    return journal, index


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_two_undos_at_once_lose_no_picture(tmp_path, locks):
    journal, index = many_moved(tmp_path)
    script = "from imgdup.index.folder import lock; from pathlib import Path; import sys;"
    script += "" if locks else "lock._take = lambda descriptor: None;"
    script += "from imgdup.apply.undo import undo; undo(*map(Path, sys.argv[1:]))"
    runs = [
        subprocess.Popen([sys.executable, "-c", script, journal, index], stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]

    for run in runs:
        run.wait(60)

    contents = {b"picture %d" % number for number in range(1, N_FILES + 1)}
    found = {*tree(tmp_path / "here").values(), *tree(tmp_path / "there").values()}
    assert found == contents
    result = undo(journal, index)
    assert result.n_restored + result.n_in_place == N_FILES
    assert set(tree(tmp_path / "here").values()) == contents


def test_a_file_that_apply_sets_aside_meanwhile_is_left_aside(moved, monkeypatch):
    scene, journal = moved
    monkeypatch.setattr("imgdup.apply.undo.note_undone", lambda path, number: None)
    scene.undo(journal)
    step = read_journal(journal).steps[0]

    def checked(facts, *rest):
        status = check_content(facts, *rest)
        if facts.path == step.remove.path:
            os.rename(facts.path, step.aside)
        return status

    monkeypatch.setattr(restore, "check_content", checked)

    undone = scene.undo(journal)

    assert [skip.reason for skip in undone.skipped] == ["missing"]
    with open(step.aside, "rb") as file:
        assert file.read() == CONTENTS[COPY]


def test_a_file_that_is_swapped_while_it_is_moved_back_is_returned(moved, monkeypatch):
    """Somebody may write into the target, and puts another file there after the check."""
    scene, journal = moved
    (_, step) = read_journal(journal).steps  # the last step is undone first
    put_in_place = restore._put_in_place

    def swapped(step, source):
        monkeypatch.setattr(restore, "_put_in_place", put_in_place)
        os.unlink(source)
        Path(os.fsdecode(source)).write_bytes(b"theirs")
        put_in_place(step, source)

    monkeypatch.setattr(restore, "_put_in_place", swapped)

    result = scene.undo(journal)

    assert [skip.reason for skip in result.skipped] == ["changed"]
    assert "c/near.jpg" not in scene.tree()
    with open(step.to, "rb") as file:
        assert file.read() == b"theirs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("action", ["move", "hardlink", "symlink"])
def test_undo_killed_at_every_line_is_finished_by_the_next(
    scene, other_device, monkeypatch, action
):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(shutil, "copyfileobj", _slowly)
    target = other_device / "aside" if action == "move" else None
    plan = scene.plan._replace(removals=scene.plan.removals[:1])
    journal = scene.apply(action, target, plan=plan).journal

    def after():
        undone = scene.undo(journal)
        assert undone.skipped == []
        assert scene.tree() == CONTENTS
        assert (scene.root / COPY).stat().st_mtime_ns == TIME_NS
        assert tree(other_device) == {}
        journal.unlink()
        write_scene(scene.root)
        scene.apply(action, target, plan=plan)

    n_lines = kill_at_every_line(
        lambda: scene.undo(journal),
        after,
        [restore, sys.modules[undo.__module__], actions, copying, journals, sys.modules[__name__]],
    )

    assert n_lines > 30


def _slowly(source, target):
    """Copy in two pieces, so that a kill can meet half a copy."""
    whole = source.read()
    target.write(whole[:5])
    target.flush()
    target.write(whole[5:])


def test_a_file_that_cannot_be_copied_back_keeps_its_name_in_the_target(
    scene, other_device, monkeypatch
):
    target = other_device / "aside"
    journal = scene.apply("move", target).journal
    moved, there = scene.tree(), tree(target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", partial(_open_on_a_full_disk, os.open))
        skipped = scene.undo(journal).skipped

    assert {skip.reason for skip in skipped} == {"no-room"}
    assert (scene.tree(), tree(target)) == (moved, there)
    assert scene.undo(journal).n_restored == 2
    assert scene.tree() == CONTENTS
    assert not target.exists()


def _open_on_a_full_disk(call, path, flags, *args, **options):
    """Open a file, unless it is to be created."""
    if flags & os.O_CREAT:
        raise OSError(errno.ENOSPC, "No space left on device")
    return call(path, flags, *args, **options)


def test_a_copy_from_another_device_has_the_time_and_owner_of_the_file(scene, other_device):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(scene.root / COPY, 65534, 65534)
    journal = scene.apply("move", other_device / "aside").journal
    os.utime(other_device / "aside" / COPY, (7, 7))  # as a device that keeps whole seconds

    scene.undo(journal)

    status = (scene.root / COPY).stat()
    assert (status.st_mtime_ns, status.st_uid, status.st_gid) == (TIME_NS, 65534, 65534)


@pytest.mark.skipif(os.name == "nt", reason="needs permissions of POSIX")
@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_file_that_a_link_replaced_gets_its_rights_back(scene, action):
    path = scene.root / COPY
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    plan = scene.plan._replace(removals=scene.plan.removals[:1])
    journal = scene.apply(action, plan=plan).journal

    scene.undo(journal)

    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert not path.is_symlink()


def test_undo_removes_the_folders_that_apply_made_and_no_others(scene):
    target = scene.index.parent / "aside"
    mine = target / "mine"
    mine.mkdir(parents=True)

    journal = scene.apply("move", target).journal
    made = sorted(path for path in target.rglob("*") if path.is_dir() and path != mine)
    scene.undo(journal)

    assert made
    assert not any(folder.exists() for folder in made)
    assert list(target.iterdir()) == [mine]
