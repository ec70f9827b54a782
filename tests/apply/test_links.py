"""Symbolic links to removed files: pointed to the kept file, restored by undo, and never lost."""

import os

import pytest

from imgdup.apply.attached import _finish_exchange, links_to
from imgdup.apply.recheck import SkipFile
from photo_scene import CONTENTS, make_scene

BEST, COPY, NEAR = "a/1.jpg", "b/1.jpg", "c/near.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def link(scene):
    """A relative link to the copy, which a run removes."""
    path = scene.root / "d" / "link.jpg"
    path.parent.mkdir()
    path.symlink_to("../b/1.jpg")
    return path


def target_of(scene, action):
    return scene.index.parent / "aside" if action == "move" else None


@pytest.mark.parametrize("action", ["move", "delete"])
def test_a_link_to_a_removed_file_leads_to_the_kept_one(scene, link, action):
    outcome = scene.apply(action, target_of(scene, action))

    assert (outcome.n_done, outcome.n_links, outcome.skipped) == (2, 1, [])
    assert os.readlink(link) == "../a/1.jpg"
    assert link.read_bytes() == CONTENTS[BEST]


def test_an_absolute_link_remains_absolute(scene, link):
    link.unlink()
    link.symlink_to(scene.root / COPY)

    scene.apply("delete")

    assert os.readlink(link) == str(scene.root / BEST)


def test_undo_points_the_link_back_with_the_file(scene, link):
    before = scene.tree()
    outcome = scene.apply("move", target_of(scene, "move"))

    undone = scene.undo(outcome.journal)

    assert (undone.n_restored, undone.skipped) == (2, [])
    assert scene.tree() == before


def test_after_a_deletion_undo_leaves_the_link_with_the_kept_file(scene, link):
    outcome = scene.apply("delete")

    scene.undo(outcome.journal)

    assert link.read_bytes() == CONTENTS[BEST]


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_file_that_a_link_replaces_keeps_its_links(scene, link, action):
    outcome = scene.apply(action)

    assert (outcome.n_done, outcome.n_links) == (1, 0)
    assert os.readlink(link) == "../b/1.jpg"
    assert link.read_bytes() == CONTENTS[BEST]


def test_the_links_that_an_earlier_run_made_are_found(scene):
    """The file that one plan keeps may be removed by the next."""
    scene.apply("symlink")

    found = links_to([scene.path(BEST)], [os.fsencode(scene.root)])

    assert found == {scene.path(BEST): [scene.path(COPY)]}


def test_a_link_of_a_file_that_is_skipped_is_not_changed(scene, link):
    (scene.root / COPY).write_bytes(b"saved again")

    outcome = scene.apply("delete")

    assert [skip.reason for skip in outcome.skipped] == ["changed"]
    assert os.readlink(link) == "../b/1.jpg"


def test_a_link_is_pointed_back_if_the_removal_fails(scene, link, monkeypatch):
    rename = os.rename

    def refuse(source, target):
        if source == scene.path(COPY):
            raise PermissionError(13, "Permission denied")
        return rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)

    outcome = scene.apply("delete")

    assert [skip.reason for skip in outcome.skipped] == ["denied"]
    assert os.readlink(link) == "../b/1.jpg"
    assert list(scene.root.rglob(".imgdup-*")) == []


def test_where_a_link_cannot_be_changed_its_file_is_not_removed(scene, link, monkeypatch):
    def refuse(content, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "symlink", refuse)

    outcome = scene.apply("delete")

    assert [skip.path for skip in outcome.skipped] == [scene.path(COPY)]
    assert scene.tree()[COPY] == CONTENTS[COPY]


def test_what_replaces_a_link_at_the_last_moment_is_put_back(scene, link, monkeypatch):
    symlink = os.symlink

    def swapped(content, path):
        symlink(content, path)
        link.unlink()
        link.write_bytes(b"somebody's")

    monkeypatch.setattr(os, "symlink", swapped)

    outcome = scene.apply("delete")

    assert "a link to it, was changed" in outcome.skipped[0].detail
    assert link.read_bytes() == b"somebody's"
    assert scene.tree()[COPY] == CONTENTS[COPY]


def test_a_link_that_the_user_changed_since_is_left_by_undo(scene, link):
    outcome = scene.apply("move", target_of(scene, "move"))
    link.unlink()
    link.symlink_to("../c/other.jpg")

    undone = scene.undo(outcome.journal)

    assert undone.n_restored == 2
    assert os.readlink(link) == "../c/other.jpg"


def test_a_link_in_an_edited_journal_is_never_pointed_elsewhere(scene, link, tmp_path):
    outcome = scene.apply("move", target_of(scene, "move"))
    text = outcome.journal.read_text()
    outcome.journal.write_text(text.replace('"old": "../b/1.jpg"', '"old": "/etc/passwd"'))

    scene.undo(outcome.journal)

    assert os.readlink(link) == "../a/1.jpg"


def test_links_are_found_by_the_file_that_they_lead_to(tmp_path):
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "file").write_bytes(b"1")
    (root / "other").write_bytes(b"2")
    direct = root / "deep" / "direct"
    direct.symlink_to("../file")
    (root / "deep" / "er" / "through").symlink_to("../direct")
    (root / "folder").symlink_to(root / "deep")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "to other").symlink_to(root / "other")
    by_folder = root / "by folder"
    by_folder.symlink_to(root / "folder" / ".." / "file")
    (tmp_path / "outside").symlink_to(root / "file")

    roots = [os.fsencode(root), os.fsencode(root / "deep"), b"", b"/not/there"]
    found = links_to([os.fsencode(root / "file"), b"/not/there/either"], roots)

    assert {path: sorted(each) for path, each in found.items()} == {
        os.fsencode(root / "file"): sorted(map(os.fsencode, [by_folder, direct]))
    }


def test_folders_without_links_cost_one_listing_and_no_look_at_the_files(tmp_path, monkeypatch):
    scene = make_scene(tmp_path)
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(os, "lstat", lambda path: pytest.fail("looked at a file"))

    assert links_to([scene.path(COPY)] * 3, [os.fsencode(scene.root)]) == {}

    assert len(listed) == len(set(listed)) == 4


def test_an_exchange_that_was_killed_between_two_renames_is_finished(scene, link, monkeypatch):
    outcome = scene.apply("move", target_of(scene, "move"))
    (changed,) = scene.steps(outcome.journal)[0].changed_links
    for state in ("both", "waiting only", "a file of no bytes", "a file of somebody"):
        if os.path.lexists(link):
            link.unlink()
        os.symlink(changed.new, changed.waiting)
        if state == "both":
            os.symlink(changed.old, link)
        elif state != "waiting only":
            link.write_bytes(b"" if "no bytes" in state else b"x")
        if state == "a file of somebody":
            with pytest.raises(SkipFile, match="was replaced"):
                _finish_exchange(changed)
            assert link.read_bytes() == b"x"
            continue
        _finish_exchange(changed)
        assert os.readlink(link) == os.fsdecode(changed.old if state == "both" else changed.new)
        assert not os.path.lexists(changed.waiting)
