"""Acting on a plan when everything goes wrong.

What must always hold: every content that was there is still there, in its place or where the
journal says; the file that stays is untouched; undo brings everything back that was not deleted,
and leaves nothing of ours behind. It is tried by killing the run at every line, by failing every
call of the operating system in turn, and by changing files at the worst moments. What makes a plan
false is also in test_check_plan.
"""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from array_rows import same_picture
from disks import just_before
from imgdup import apply
from imgdup.apply import actions, attached, copying, journal, recheck, restore
from imgdup.apply.options import destination, make_options, reasons_to_ask
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.keep import Keep
from imgdup.dedupe.plan import Removal, sealed, write_plan
from imgdup.errors import ImgdupError, LockedError, PlanError, UsageError
from imgdup.index import folder
from kill_every_line import STRIDE, kill_at_every_line
from photo_scene import (
    CONTENTS,
    TIME_NS,
    add_companions_and_links,
    make_scene,
    tree,
    write_scene,
)

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ACTIONS = ("move", "delete", "hardlink", "symlink")
BEST, COPY, NEAR = "a/1.jpg", "b/1.jpg", "c/near.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def no_sync(monkeypatch):
    """Waiting for the disk is not what these runs are about; it takes most of their time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def target_of(scene, action):
    return scene.index.parent / "aside" if action == "move" else None


def reasons(outcome):
    """Last two parts of each path that was skipped -> the reason."""
    paths = ((Path(os.fsdecode(path)), reason) for path, reason, _ in outcome.skipped)
    return {f"{path.parent.name}/{path.name}": reason for path, reason in paths}


def put(path, content, mtime_ns=TIME_NS):
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_finding_and_planning_change_nothing(scene):
    before = scene.tree()

    write_plan(scene.index / "plan.jsonl", scene.plan)

    assert scene.tree() == before == CONTENTS


@pytest.mark.parametrize("action", ACTIONS)
def test_a_dry_run_verifies_everything_and_changes_nothing(scene, action):
    put(scene.root / NEAR, b"another content")

    outcome = scene.apply(action, target_of(scene, action), dry_run=True)

    assert (outcome.n_done, outcome.n_bytes) == (1, len(CONTENTS[COPY]))
    wrong = "different-bytes" if action in actions.LINKS else "changed"
    assert reasons(outcome) == {NEAR: wrong}
    assert outcome.exit_code == 3
    assert outcome.journal is None
    assert scene.tree() == {**CONTENTS, NEAR: b"another content"}
    assert not (scene.index.parent / "aside").exists()


# what the actions do when nothing is wrong


def test_move_keeps_the_folders_and_undo_brings_all_back(scene):
    target = scene.index.parent / "aside"

    outcome = scene.apply("move", target)

    assert (outcome.n_done, outcome.skipped, outcome.exit_code) == (2, [], 0)
    assert tree(target) == {name: CONTENTS[name] for name in (COPY, NEAR)}
    assert NEAR not in scene.tree() and COPY not in scene.tree()
    undone = scene.undo(outcome.journal)
    assert (undone.n_restored, undone.n_in_place, undone.skipped) == (2, 0, [])
    assert scene.tree() == CONTENTS
    assert tree(target) == {}
    assert (scene.root / COPY).stat().st_mtime_ns == TIME_NS


def test_delete_removes_and_undo_reports_that_it_cannot_restore(scene):
    outcome = scene.apply("delete")

    undone = scene.undo(outcome.journal)

    assert set(scene.tree()) == {BEST, "c/other.jpg"}
    assert reasons(undone) == {COPY: "cannot-undo", NEAR: "cannot-undo"}
    assert undone.exit_code == 3


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_link_replaces_the_file_and_undo_makes_a_file_of_it_again(scene, action):
    outcome = scene.apply(action)

    copy = scene.root / COPY
    assert copy.samefile(scene.root / BEST)
    assert copy.is_symlink() == (action == "symlink")
    assert copy.read_bytes() == CONTENTS[COPY]
    assert outcome.n_done == 1
    undone = scene.undo(outcome.journal)
    assert (undone.n_restored, undone.skipped) == (1, [])
    assert not copy.samefile(scene.root / BEST)
    assert scene.tree() == CONTENTS
    assert copy.stat().st_mtime_ns == TIME_NS


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_name_always_exists_while_its_file_is_replaced_by_a_link_and_restored(scene, action):
    copy, seen = scene.root / COPY, []

    def look(frame, event, _):
        seen.append(os.path.lexists(copy))
        return look

    def trace(frame, event, _):
        return look if frame.f_code.co_filename in (actions.__file__, restore.__file__) else None

    before = sys.gettrace()
    sys.settrace(trace)
    outcome = scene.apply(action)
    scene.undo(outcome.journal)
    sys.settrace(before)

    assert outcome.n_done == 1
    assert len(seen) > 50
    assert all(seen)


def test_trash_gets_the_path_and_undo_reports_where_to_look(scene, monkeypatch, tmp_path):
    trashed = []

    def send2trash(path):
        trashed.append(path)
        os.rename(path, tmp_path / f"trashed-{len(trashed)}")

    monkeypatch.setitem(sys.modules, "send2trash", _module(send2trash=send2trash))

    outcome = scene.apply("trash")

    assert trashed == [str(scene.root / COPY), str(scene.root / NEAR)]
    assert outcome.exit_code == 0
    assert {s.detail for s in scene.undo(outcome.journal).skipped} == {
        "it is in the trash: restore it from there"
    }


def test_a_trash_that_refuses_is_a_reason(scene, monkeypatch):
    def refuses(path):
        raise OSError(errno.EIO, "no trash on this disk")

    monkeypatch.setitem(sys.modules, "send2trash", _module(send2trash=refuses))
    assert reasons(scene.apply("trash")) == {COPY: "failed", NEAR: "failed"}

    monkeypatch.setitem(sys.modules, "send2trash", _module(send2trash=lambda path: None))
    assert reasons(scene.apply("trash", journal="2")) == {
        COPY: "failed",
        NEAR: "failed",
    }
    assert scene.tree() == CONTENTS


def test_a_trash_that_also_removes_the_kept_file_is_reported(scene, monkeypatch):
    def takes_both(path):
        os.unlink(path)
        (scene.root / BEST).unlink(missing_ok=True)

    monkeypatch.setitem(sys.modules, "send2trash", _module(send2trash=takes_both))

    outcome = scene.apply("trash")

    assert "it is in the trash and must be restored from there" in outcome.skipped[0].detail
    assert (scene.root / NEAR).exists()


def test_trash_without_its_package_names_the_command(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "send2trash", None)

    with pytest.raises(UsageError, match="pip install Send2Trash"):
        scene.apply("trash")


def _module(**names):
    module = type(sys)("send2trash")
    module.__dict__.update(names)
    return module


def test_moved_files_never_meet_in_the_target(scene):
    target = scene.index.parent / "aside"
    (target / "b").mkdir(parents=True)
    put(target / COPY, b"somebody's")

    scene.apply("move", target)

    assert tree(target)[COPY] == b"somebody's"
    assert tree(target)["b/1~1.jpg"] == CONTENTS[COPY]


def test_files_of_several_roots_lie_under_the_names_of_these():
    roots = [b"/x/photos", b"/y/photos", b"/z/more", b""]

    paths = (b"/x/photos/a", b"/y/photos/a", b"/z/more/b/c", b"/loose/a")
    places = [destination(roots, path, b"/t") for path in paths]

    assert places == [b"/t/photos-1/a", b"/t/photos-2/a", b"/t/more/b/c", b"/t/loose/a"]
    assert destination([b"/"], b"/a/b", b"/t") == b"/t/a/b"


# errors before anything is done


def test_a_target_inside_a_root_is_refused(scene, tmp_path):
    (tmp_path / "link").symlink_to(scene.root)

    for target in (scene.root, scene.root / "new", scene.root / "a" / ".." / "b"):
        with pytest.raises(UsageError, match="would be indexed again: give a folder outside"):
            make_options(scene.plan, "move", target)
    with pytest.raises(UsageError, match="would be indexed again"):
        make_options(scene.plan, "move", tmp_path / "link" / "new")


def test_a_place_inside_a_root_is_refused_though_the_target_is_outside(scene):
    """The root holds a folder of its own name, or the target has one of the root's parts in it."""
    for name in ("b", "c"):
        (scene.root / "photos" / name).mkdir(parents=True, exist_ok=True)
    removal = scene.plan.removals[0]
    path = scene.path("photos/b/1.jpg")
    removals = [removal._replace(remove=removal.remove._replace(path=path))]

    with pytest.raises(
        UsageError, match=r"photos/b is in the indexed folder .*/photos, so the files"
    ):
        make_options(scene.plan._replace(removals=removals), "move", scene.root.parent)


def test_a_target_that_is_a_root_under_another_path_is_refused(scene, monkeypatch):
    """As through a mounted folder: another path, and the same device and inode."""
    twin = scene.index.parent / "mounted"
    twin.mkdir()
    call = os.stat

    def stat_of(path, **options):
        return call(scene.root if path == os.fsencode(twin) else path, **options)

    monkeypatch.setattr(os, "stat", stat_of)

    with pytest.raises(UsageError, match="mounted/below is in the indexed folder"):
        make_options(scene.plan, "move", twin / "below")


def test_a_target_inside_the_index_folder_is_refused(scene):
    for target in (scene.index, scene.index / "aside"):
        with pytest.raises(UsageError, match="is in the index folder"):
            make_options(scene.plan, "move", target, index_folder=scene.index)


def test_a_target_that_is_a_file_is_refused(scene):
    (scene.index / "file").touch()

    with pytest.raises(UsageError, match="not a folder; give an existing folder"):
        make_options(scene.plan, "move", scene.index / "file")


def test_a_target_belongs_to_move_and_to_nothing_else(scene):
    with pytest.raises(UsageError, match="moving needs a target folder"):
        make_options(scene.plan, "move")
    with pytest.raises(UsageError, match="moving needs a target folder"):
        make_options(scene.plan, "delete", scene.index)
    with pytest.raises(ValueError, match="action must be one of move, trash, delete"):
        make_options(scene.plan, "shred")


def test_a_target_that_cannot_be_made_is_refused_before_anything_is_done(scene):
    (scene.index / "file").touch()

    with pytest.raises(ImgdupError, match="file is not a folder; nothing was changed"):
        scene.apply("move", scene.index / "file" / "below")

    assert scene.tree() == CONTENTS


def test_a_target_without_room_is_refused_before_anything_is_done(scene, other_device, monkeypatch):
    usage = shutil._ntuple_diskusage(1000, 990, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(ImgdupError, match="has room for 10 bytes, and 918 bytes would be moved"):
        scene.apply("move", other_device / "new")

    assert scene.tree() == CONTENTS
    assert not (other_device / "new").exists()


def test_a_journal_that_cannot_be_written_stops_before_the_first_step(scene):
    with pytest.raises(ImgdupError, match="cannot write"):
        scene.apply("delete", journal="not/there")

    (scene.index / "journal").write_text("somebody's\n")
    with pytest.raises(PlanError, match="journal, line 1: not JSON"):
        scene.apply("delete")

    assert scene.tree() == CONTENTS
    assert (scene.index / "journal").read_text() == "somebody's\n"


def test_nothing_to_do_makes_no_journal(scene):
    outcome = scene.apply("delete", plan=scene.plan._replace(removals=[]))

    assert (outcome.n_done, outcome.journal, outcome.exit_code) == (0, None, 0)


# false plans


def test_a_plan_edited_so_that_all_copies_are_removed_is_refused(scene):
    best, copy = scene.plan.removals[0].keep, scene.plan.removals[0].remove
    scene.plan.removals.append(Removal(best, copy, 0, "same-bytes"))

    with pytest.raises(PlanError, match="the file to keep is removed, too"):
        scene.apply("delete")

    assert scene.tree() == CONTENTS


def test_a_plan_of_another_index_is_refused(scene):
    header = scene.plan.header

    for other in (header._replace(generation="f" * 32), header._replace(roots=(b"/elsewhere",))):
        with pytest.raises(PlanError, match="made from another index"):
            scene.apply(
                "move",
                scene.index.parent / "aside",
                plan=scene.plan._replace(header=sealed(other)),
            )

    assert scene.tree() == CONTENTS
    assert not (scene.index / "aside").exists()


def test_protected_folders_that_hold_all_copies_lose_none(scene):
    options = DedupeOptions(Keep(protect=(os.fsencode(scene.root),)))

    plan = find_duplicates(scene.rows, options, same_picture).plan()

    assert plan.removals == []
    assert scene.apply("delete", plan=plan).n_done == 0
    assert scene.tree() == CONTENTS
    header = sealed(scene.plan.header._replace(protect=options.keep.protect))
    with pytest.raises(PlanError, match="the file is protected"):
        scene.apply("delete", plan=scene.plan._replace(header=header))


# files that changed since


def _vanish(path):
    path.unlink()


def _grow(path):
    put(path, path.read_bytes() + b"!")


def _touch(path):
    os.utime(path, ns=(TIME_NS + 1, TIME_NS + 1))


def _rewrite(path):
    """Change the content and nothing that a program can set: size and mtime stay."""
    time.sleep(0.02)  # the clock of ctime ticks every few ms
    put(path, b"X" + path.read_bytes()[1:])


def _edit(path):
    put(path, b"X" + path.read_bytes()[1:], TIME_NS + 1)


def _become_a_folder(path):
    path.unlink()
    path.mkdir()


def _become_a_link(path):
    kept = path.with_name("elsewhere")
    path.rename(kept)
    path.symlink_to(kept)


CHANGES = {
    _vanish: "missing",
    _grow: "changed",
    _touch: "changed",
    _rewrite: "changed",
    _become_a_folder: "not-regular",
    _become_a_link: "not-regular",
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_if_the_kept_file_changed_no_other_is_removed(scene, action, change):
    change(scene.root / BEST)
    before = scene.tree()

    outcome = scene.apply(action, target_of(scene, action))

    assert outcome.n_done == 0
    assert reasons(outcome)[COPY] == CHANGES[change]
    assert "the kept file" in outcome.skipped[0].detail
    assert scene.tree() == before


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_file_that_changed_is_left_alone(scene, action, change):
    change(scene.root / COPY)
    before = scene.tree()

    outcome = scene.apply(action, target_of(scene, action))

    assert reasons(outcome)[COPY] == CHANGES[change]
    after = scene.tree()
    if action in ("move", "delete"):
        assert outcome.n_done == 1
        del before[NEAR]
    assert after == before


def test_a_file_that_cannot_be_read_keeps_all_others(scene, monkeypatch):
    _deny(monkeypatch, "open", lambda path, *rest: path == scene.path(BEST))

    outcome = scene.apply("delete")

    assert set(reasons(outcome).values()) == {"denied"}
    assert scene.tree() == CONTENTS


# changes between the first look and the act


def _replace_by_another(path):
    other = path.with_name("new")
    put(other, b"saved by a program", TIME_NS)
    other.replace(path)


@pytest.mark.parametrize("change", [_grow, _touch, _edit, _replace_by_another])
@pytest.mark.parametrize(
    ("action", "call"),
    [("move", "rename"), ("delete", "rename"), ("hardlink", "link"), ("symlink", "symlink")],
)
def test_a_file_that_changes_at_the_last_moment_is_put_back(
    scene, monkeypatch, action, call, change
):
    copy, changed = scene.root / COPY, []

    def happen():
        change(copy)
        changed.append(copy.read_bytes())

    just_before(monkeypatch, call, happen)

    outcome = scene.apply(action, target_of(scene, action))

    assert reasons(outcome)[COPY] == "changed"
    expected = {**CONTENTS, COPY: changed[0]}
    if action in ("move", "delete"):
        del expected[NEAR]
    assert scene.tree() == expected
    assert stat.S_ISREG(os.lstat(copy).st_mode)


@pytest.mark.parametrize("change", [_vanish, _grow, _rewrite])
@pytest.mark.parametrize(
    ("action", "call"),
    [("move", "rename"), ("delete", "rename"), ("hardlink", "link"), ("symlink", "symlink")],
)
def test_if_the_kept_file_changes_last_the_other_is_not_removed(
    scene, monkeypatch, action, call, change
):
    just_before(monkeypatch, call, lambda: change(scene.root / BEST))

    outcome = scene.apply(action, target_of(scene, action))

    assert COPY in reasons(outcome)
    assert scene.tree()[COPY] == CONTENTS[COPY]
    assert scene.tree()[NEAR] == CONTENTS[NEAR]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_rewrite_that_restores_the_time_is_seen_until_the_step_begins(scene, monkeypatch, action):
    """Such as by a tool that edits metadata, while apply waits for the disk."""
    just_before(monkeypatch, "fsync", lambda: _rewrite(scene.root / COPY))

    outcome = scene.apply(action, target_of(scene, action))

    assert reasons(outcome)[COPY] == "changed"
    assert scene.tree()[COPY] == b"X" + CONTENTS[COPY][1:]


def test_a_link_that_leads_into_nothing_is_undone(scene, monkeypatch):
    just_before(monkeypatch, "replace", lambda: _vanish(scene.root / BEST))

    outcome = scene.apply("symlink")

    assert COPY in reasons(outcome)
    assert scene.tree()[COPY] == CONTENTS[COPY]


def test_a_file_put_back_never_overwrites_the_one_that_took_its_place(scene, monkeypatch):
    copy, rename = scene.root / COPY, os.rename

    def renamed(source, target):
        monkeypatch.setattr(os, "rename", rename)
        _edit(copy)
        rename(source, target)
        put(copy, b"the next one")

    monkeypatch.setattr(os, "rename", renamed)

    outcome = scene.apply("delete")

    skipped = outcome.skipped[0]
    assert skipped.reason == "occupied"
    assert scene.tree()[COPY] == b"the next one"
    aside = Path(skipped.detail.rpartition("is now ")[2])
    assert aside.read_bytes() == b"X" + CONTENTS[COPY][1:]


# one file under two names


def test_a_hard_link_to_the_kept_file_is_left_alone(scene):
    (scene.root / COPY).unlink()
    os.link(scene.root / BEST, scene.root / COPY)

    for number, action in enumerate(ACTIONS):
        outcome = scene.apply(action, target_of(scene, action), journal=str(number))
        assert reasons(outcome)[COPY] == "same-file"

    assert scene.tree()[COPY] == scene.tree()[BEST] == CONTENTS[BEST]


def _lead_to_the_other_folder(scene):
    """Make b/1.jpg another path of a/1.jpg, as a bind mount or a name in other case would."""
    shutil.rmtree(scene.root / "b")
    (scene.root / "b").symlink_to(scene.root / "a")


@pytest.mark.parametrize("action", ACTIONS)
def test_another_path_of_the_kept_file_is_left_alone(scene, action):
    _lead_to_the_other_folder(scene)

    outcome = scene.apply(action, target_of(scene, action))

    assert reasons(outcome)[COPY] == "same-file"
    assert scene.tree()[BEST] == CONTENTS[BEST]


@pytest.mark.parametrize("action", ACTIONS)
def test_an_alias_that_inode_numbers_do_not_show_is_put_back(scene, monkeypatch, action):
    _lead_to_the_other_folder(scene)
    monkeypatch.setattr(recheck, "may_be_one_file", lambda removed, kept: False)

    outcome = scene.apply(action, target_of(scene, action))

    assert COPY in reasons(outcome)
    assert scene.tree()[BEST] == CONTENTS[BEST]
    assert not strays(scene.root)


def test_a_file_system_without_inode_numbers_is_not_trusted():
    nothing, numbered = (5, 0), (6, 7)  # device and inode

    assert recheck.may_be_one_file(nothing, numbered)
    assert recheck.may_be_one_file(numbered, nothing)
    assert recheck.may_be_one_file(numbered, numbered)
    assert not recheck.may_be_one_file(numbered, (6, 8))


def strays(folder):
    """Files of ours that were left behind."""
    return [path for path in folder.rglob(".imgdup-*")]


# what the operating system refuses


def _deny(monkeypatch, name, when, code=errno.EACCES):
    call = getattr(os, name)

    def patched(*args, **options):
        if when(*args):
            raise OSError(code, os.strerror(code))
        return call(*args, **options)

    monkeypatch.setattr(os, name, patched)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EXDEV, "other-device"),
        (errno.EPERM, "denied"),
        (errno.EOPNOTSUPP, "no-links"),
        (errno.EMLINK, "no-links"),
    ],
)
def test_where_links_cannot_be_made_nothing_is_removed(scene, monkeypatch, code, reason):
    for number, (action, call) in enumerate([("hardlink", "link"), ("symlink", "symlink")]):
        with monkeypatch.context() as patch:
            _deny(patch, call, lambda *_: True, code)
            outcome = scene.apply(action, journal=str(number))
        assert reasons(outcome)[COPY] == reason

    assert scene.tree() == CONTENTS


def test_a_hard_link_to_another_device_is_not_made(tmp_path, other_device):
    scene = make_scene(tmp_path)
    elsewhere = other_device / "b"
    shutil.move(scene.root / "b", elsewhere)
    (scene.root / "b").symlink_to(elsewhere)

    outcome = scene.apply("hardlink")

    assert reasons(outcome)[COPY] == "other-device"
    assert (elsewhere / "1.jpg").read_bytes() == CONTENTS[COPY]
    assert not strays(elsewhere)


@pytest.mark.parametrize("action", ["move", "delete"])
def test_a_disk_without_hard_links_is_moved_and_deleted_from(scene, monkeypatch, action):
    _deny(monkeypatch, "link", lambda *_: True, errno.EPERM)

    outcome = scene.apply(action, target_of(scene, action))

    assert outcome.n_done == 2
    if action == "move":
        assert scene.undo(outcome.journal).n_restored == 2
        assert scene.tree() == CONTENTS


CALLS = ("link", "symlink", "rename", "replace", "unlink", "open", "mkdir", "lstat", "fsync")


@pytest.mark.parametrize("target", ["same device", "other device"])
@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_call_fails_the_file_is_there(
    scene, no_sync, monkeypatch, action, target, request
):
    """Fail each call of the operating system in turn, the n-th for every n."""
    if target == "other device" and action != "move":
        pytest.skip("only move has a target")
    aside = target_of(scene, action)
    if target == "other device":
        aside = request.getfixturevalue("other_device") / "aside"
    removed = scene.plan.removals[0].remove.path
    n_failures = 0
    for name in CALLS:
        for nth in range(1, 100):
            log = f"{name}-{nth}"
            write_scene(scene.root)
            shutil.rmtree(aside or scene.index / "none", ignore_errors=True)
            skipped = ()
            with monkeypatch.context() as patch, contextlib.suppress(ImgdupError):
                failed = _fail_nth(patch, name, nth)
                skipped = scene.apply(action, aside, journal=log).skipped
            if not failed:
                break
            n_failures += 1
            found = [tree(scene.root), tree(aside) if aside and aside.exists() else {}]
            _check_nothing_lost(found, action)
            if any(skip.path == removed for skip in skipped):
                assert found[0][COPY] == CONTENTS[COPY], log
                assert COPY not in found[1], log
    assert n_failures > 20


@pytest.mark.parametrize(
    ("action", "target"),
    [
        ("move", "same device"),
        ("move", "other device"),
        ("hardlink", "same device"),
        ("symlink", "same device"),
    ],
)
def test_what_calls_leave_that_fail_from_any_moment_on_is_undone(
    scene, no_sync, monkeypatch, action, target, request
):
    """The n-th call of a function of the operating system and all later ones fail, for every n."""
    aside = target_of(scene, action)
    if target == "other device":
        aside = request.getfixturevalue("other_device") / "aside"
    n_undone = 0
    for name in ("link", "rename", "replace", "unlink", "rmdir", "fsync"):
        for nth in range(1, 100):
            log = f"{name}-{nth}"
            write_scene(scene.root)
            shutil.rmtree(aside or scene.index / "none", ignore_errors=True)
            with monkeypatch.context() as patch, contextlib.suppress(ImgdupError):
                failed = _fail_nth(patch, name, nth, last=10**9)
                scene.apply(action, aside, journal=log)
            if not failed:
                break
            if (scene.index / log).exists():
                n_undone += 1
                assert not scene.undo(scene.index / log).skipped, log
            assert scene.tree() == CONTENTS, log
            assert not strays(scene.root), log
            assert aside is None or not aside.exists(), log
    assert n_undone > 3


def _fail_nth(monkeypatch, name, nth, last=None):
    """Make the n-th call of a function of os fail; return a list that then is not empty.

    The calls up to the one of number `last` fail as well.
    """
    call, failed, n_calls = getattr(os, name), [], 0

    def patched(*args, **options):
        nonlocal n_calls
        n_calls += 1
        if nth <= n_calls <= (last or nth):
            failed.append(name)
            raise OSError(errno.EIO, "the disk is tired")
        return call(*args, **options)

    monkeypatch.setattr(os, name, patched)
    return failed


def _check_nothing_lost(trees, action):
    """Every content is somewhere, the file that stays in its place and whole."""
    assert trees[0][BEST] == CONTENTS[BEST]
    assert trees[0]["c/other.jpg"] == CONTENTS["c/other.jpg"]
    contents = {content for each in trees for content in each.values()}
    if action != "delete":
        assert CONTENTS[NEAR] in contents


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY])
@pytest.mark.parametrize("action", ["move", "delete"])
def test_what_may_not_be_changed_is_skipped_and_the_rest_done(scene, monkeypatch, action, code):
    _deny(monkeypatch, "rename", lambda source, target: source == scene.path(COPY), code)

    outcome = scene.apply(action, target_of(scene, action))

    assert reasons(outcome) == {COPY: "denied"}
    assert (outcome.n_done, outcome.exit_code) == (1, 3)
    assert scene.tree() == {name: CONTENTS[name] for name in CONTENTS if name != NEAR}


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_folder_that_is_read_only_is_skipped_and_the_rest_done():
    """As nobody, in a process of its own: root may write anywhere."""
    place = Path(tempfile.mkdtemp())
    try:
        scene = make_scene(place)
        for path in [place, *place.rglob("*")]:
            os.chown(path, 65534, 65534)
        (scene.root / "b").chmod(0o555)
        pid = os.fork()
        if pid == 0:
            os.setgid(65534)
            os.setuid(65534)
            outcome = scene.apply("delete")
            os._exit(reasons(outcome) == {COPY: "denied"} and outcome.n_done == 1)

        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert scene.tree() == {name: CONTENTS[name] for name in CONTENTS if name != NEAR}
    finally:
        shutil.rmtree(place)


def test_an_immutable_file_is_skipped_and_the_rest_done(scene):
    made = shutil.which("chattr") and subprocess.run(
        ["chattr", "+i", scene.root / COPY], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("needs chattr, root and a file system that knows it")
    try:
        outcome = scene.apply("delete")
    finally:
        subprocess.run(["chattr", "-i", scene.root / COPY], check=True)

    assert reasons(outcome) == {COPY: "denied"}
    assert outcome.n_done == 1


def test_a_target_that_gets_full_stops_the_run_before_removing(scene, other_device, monkeypatch):
    def full(source, target):
        target.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)

    outcome = scene.apply("move", other_device / "aside")

    assert reasons(outcome) == {COPY: "no-room", NEAR: "not-reached"}
    assert scene.tree() == CONTENTS
    assert tree(other_device) == {}


def test_files_move_to_another_device_and_back(scene, other_device):
    target = other_device / "aside"

    outcome = scene.apply("move", target)

    assert outcome.exit_code == 0
    assert tree(target) == {name: CONTENTS[name] for name in (COPY, NEAR)}
    assert (target / NEAR).stat().st_mtime_ns == TIME_NS
    assert scene.undo(outcome.journal).n_restored == 2
    assert scene.tree() == CONTENTS
    assert (scene.root / NEAR).stat().st_mtime_ns == TIME_NS
    assert tree(target) == {}


def test_a_copy_that_differs_from_its_file_is_thrown_away(scene, other_device, monkeypatch):
    monkeypatch.setattr(shutil, "copyfileobj", lambda source, target: target.write(b"noise"))

    outcome = scene.apply("move", other_device / "aside")

    assert set(reasons(outcome).values()) == {"changed"}
    assert scene.tree() == CONTENTS
    assert tree(other_device) == {}


# killed


@posix
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_every_line_nothing_is_lost_and_undo_finds_all(scene, no_sync, action):
    _kill_and_undo(scene, action, target_of(scene, action), scene.plan.removals[:1])


@posix
def test_killed_at_every_line_of_a_move_to_another_device(scene, no_sync, other_device):
    _kill_and_undo(scene, "move", other_device / "aside", scene.plan.removals[:1])


@posix
def test_killed_at_every_line_of_a_move_without_hard_links(scene, no_sync, monkeypatch):
    _deny(monkeypatch, "link", lambda *_: True, errno.EPERM)

    _kill_and_undo(scene, "move", target_of(scene, "move"), scene.plan.removals[:1])


@posix
def test_killed_at_every_line_of_a_removal_with_companions_and_links(scene, no_sync):
    target = target_of(scene, "move")
    removals = scene.plan.removals[:1]

    def scenery():
        add_companions_and_links(scene.root)
        return scene.tree()

    _kill_and_undo(scene, "move", target, removals, scenery=scenery)


@posix
def test_killed_at_every_line_of_two_steps(scene, no_sync):
    _kill_and_undo(scene, "move", target_of(scene, "move"), scene.plan.removals, 2 * STRIDE - 1)


def _kill_and_undo(scene, action, target, removals, stride=STRIDE, scenery=lambda: CONTENTS):
    plan = scene.plan._replace(removals=removals)
    log = scene.index / "journal"
    before = scenery()

    def after():
        found = [tree(scene.root), tree(target) if target and target.exists() else {}]
        _check_nothing_lost(found, action)
        undone = scene.undo(log) if log.exists() else None
        found = scene.tree()
        if action == "delete" and COPY not in found:
            assert reasons(undone) == {COPY: "cannot-undo"}
            found[COPY] = CONTENTS[COPY]
        else:
            assert not undone or undone.skipped == []
        assert found == before
        assert not target or not target.exists()
        log.unlink(missing_ok=True)
        shutil.rmtree(scene.root)
        write_scene(scene.root)
        scenery()

    modules = [apply, actions, attached, copying, journal]  # recheck only looks
    n_lines = kill_at_every_line(
        lambda: scene.apply(action, target, plan=plan), after, modules, stride=stride
    )

    assert n_lines > 100


# the journal


def test_each_step_is_on_the_disk_before_it_begins(scene, monkeypatch):
    events, fsync, rename = [], os.fsync, os.rename
    log = scene.index / "journal"

    def synced(descriptor):
        if log.exists() and os.path.samestat(os.fstat(descriptor), os.stat(log)):
            events.append(log.read_bytes().count(b'"step"'))
        return fsync(descriptor)

    def renamed(source, target):
        events.append("rename")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)

    scene.apply("delete")

    assert events == [1, "rename", 2, "rename"]


def test_a_new_name_is_on_the_disk_before_the_old_one_is_removed(scene, monkeypatch):
    events, fsync, unlink = [], os.fsync, os.unlink
    target = scene.index.parent / "aside"
    (target / "b").mkdir(parents=True)
    place = (target / "b").stat().st_ino

    def synced(descriptor):
        events.append("sync" if os.fstat(descriptor).st_ino == place else None)
        return fsync(descriptor)

    def unlinked(path):
        events.append("unlink")
        return unlink(path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "unlink", unlinked)

    scene.apply("move", target, plan=scene.plan._replace(removals=scene.plan.removals[:1]))

    assert [event for event in events if event][:2] == ["sync", "unlink"]


def test_a_last_line_that_is_cut_anywhere_is_ignored(scene):
    outcome = scene.apply("move", scene.index.parent / "aside")
    whole = outcome.journal.read_bytes()
    announced = whole.index(b'{"step": 2')
    next_line = whole.index(b"\n", announced)

    for length in range(announced, next_line):
        outcome.journal.write_bytes(whole[:length])
        assert journal.read_journal(outcome.journal).damaged_lines == []
        assert len(journal.read_journal(outcome.journal).steps) == 1


def test_a_line_that_is_damaged_in_the_middle_is_reported_and_the_rest_undone(scene):
    outcome = scene.apply("move", scene.index.parent / "aside")
    lines = outcome.journal.read_bytes().splitlines(keepends=True)
    lines[1] = b"\0" * 10 + lines[1][10:]
    outcome.journal.write_bytes(b"".join(lines))

    undone = scene.undo(outcome.journal)

    assert undone.n_restored == 1
    assert "line 2 is damaged" in undone.skipped[0].detail
    assert scene.tree() == {name: CONTENTS[name] for name in CONTENTS if name != COPY}


def test_undoing_twice_does_nothing_the_second_time(scene):
    outcome = scene.apply("move", scene.index.parent / "aside")
    scene.undo(outcome.journal)

    undone = scene.undo(outcome.journal)

    assert (undone.n_restored, undone.n_in_place, undone.skipped) == (0, 2, [])


@pytest.mark.parametrize("action", ["move", "hardlink", "symlink"])
def test_undo_never_overwrites_what_took_the_place(scene, action):
    target = target_of(scene, action)
    outcome = scene.apply(action, target)
    (scene.root / COPY).unlink(missing_ok=True)
    put(scene.root / COPY, b"somebody's")

    undone = scene.undo(outcome.journal)

    assert reasons(undone) == {COPY: "occupied"}
    assert undone.exit_code == 3
    assert scene.tree()[COPY] == b"somebody's"
    if action == "move":
        assert tree(target) == {COPY: CONTENTS[COPY]}
        assert scene.tree()[NEAR] == CONTENTS[NEAR]


def test_what_changed_in_the_target_is_left_there(scene):
    target = scene.index.parent / "aside"
    outcome = scene.apply("move", target)
    put(target / COPY, b"touched up")

    undone = scene.undo(outcome.journal)

    assert reasons(undone) == {COPY: "changed"}
    assert tree(target) == {COPY: b"touched up"}


def test_a_folder_that_went_meanwhile_is_made_again(scene):
    outcome = scene.apply("move", scene.index.parent / "aside")
    (scene.root / "b").rmdir()

    assert scene.undo(outcome.journal).n_restored == 2
    assert scene.tree() == CONTENTS


def test_a_missing_link_is_reported(scene):
    outcome = scene.apply("hardlink")
    (scene.root / COPY).unlink()

    assert reasons(scene.undo(outcome.journal)) == {COPY: "missing"}


@pytest.mark.parametrize("action", ACTIONS)
def test_applied_twice_the_second_run_does_nothing(scene, action):
    scene.apply(action, target_of(scene, action))
    before = scene.tree()

    outcome = scene.apply(action, target_of(scene, action), journal="second")

    assert outcome.n_done == 0
    assert scene.tree() == before
    assert set(reasons(outcome).values()) <= {
        "missing",
        "same-file",
        "not-regular",
        "different-bytes",
    }


def test_two_runs_at_once_are_refused(scene):
    with folder.locked(scene.index), pytest.raises(LockedError, match="is being written by"):
        scene.apply("delete")

    assert scene.tree() == CONTENTS


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_near_duplicate_is_never_replaced_by_a_link(scene, action):
    outcome = scene.apply(action)

    assert reasons(outcome) == {NEAR: "different-bytes"}
    assert scene.tree()[NEAR] == CONTENTS[NEAR]


@pytest.mark.parametrize(
    ("action", "n_files", "distance", "reasons"),
    [
        ("move", 2, 64, []),
        ("move", 3, 0, ["it removes 3 of 10 images"]),
        ("move", 1, 65, ["it removes files that differ by 65 bits from the kept file"]),
        ("trash", 3, 65, ["it removes 3 of 10 images", "it removes files that differ by 65 bits"]),
        ("delete", 1, 0, ["it deletes files permanently"]),
        ("delete", 3, 0, ["it deletes files permanently", "it removes 3 of 10 images"]),
        ("symlink", 3, 65, []),
        ("hardlink", 3, 65, []),
        ("delete", 0, 0, []),
    ],
)
def test_over_20_percent_or_64_bits_or_a_deletion_must_be_confirmed(
    scene, action, n_files, distance, reasons
):
    removals = [scene.plan.removals[0]._replace(distance=d) for d in (distance, 0, 0)][:n_files]
    plan = scene.plan._replace(header=scene.plan.header._replace(n_images=10), removals=removals)

    found = reasons_to_ask(plan, action)

    assert len(found) == len(reasons)
    assert all(text.startswith(start) for text, start in zip(found, reasons, strict=True))
