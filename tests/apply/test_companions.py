"""Files that belong to a picture: moved with it, back with it, and never without the last owner."""

import os

import pytest

from imgdup.apply import attached
from imgdup.apply.attached import Companions, companions_of_all
from photo_scene import CONTENTS, make_scene, tree

COPY, NEAR = "b/1.jpg", "c/near.jpg"


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            (tmp_path / name).write_text(name)
        return os.fsencode(tmp_path)

    return fill


def names(paths):
    return [os.path.basename(path).decode() for path in paths]


def test_companions_have_the_stem_or_the_name_of_the_picture(folder):
    place = folder("photo.jpg", "photo.xmp", "photo.AAE", "photo.mov", "photo.json", "photo.txt",
                   "photo.jpg.xmp", "photo.jpg.json", "photo2.xmp", "photo.jpg2.xmp", "other.txt",
                   "photo.md")  # fmt: skip
    os.unlink(place + b"/photo.md")

    found = names(Companions().of(place + b"/photo.jpg"))

    assert found == [
        "photo.AAE", "photo.jpg.json", "photo.jpg.xmp", "photo.json", "photo.mov", "photo.txt",
        "photo.xmp",
    ]  # fmt: skip


def test_a_companion_that_another_file_shares_is_not_moved(folder):
    place = folder("photo.jpg", "photo.png", "photo.json", "photo.jpg.xmp")

    assert names(Companions().of(place + b"/photo.jpg")) == ["photo.jpg.xmp"]


def test_a_shared_companion_is_moved_with_the_last_of_its_pictures(folder):
    place = folder("photo.jpg", "photo.png", "photo.json")
    companions, first, last = Companions(), place + b"/photo.jpg", place + b"/photo.png"

    os.unlink(first)
    assert companions.of(first) == []
    os.unlink(last)
    assert names(companions.of(last)) == ["photo.json"]


def test_companions_of_pictures_that_are_removed_together_are_each_named_once(folder):
    place = folder("photo.jpg", "photo.png", "photo.json", "x.jpg", "x.gif", "x.txt")
    going = [place + b"/photo.jpg", place + b"/photo.png", place + b"/x.jpg"]

    assert names(companions_of_all(going)) == ["photo.json"]


def test_each_folder_is_listed_once(folder, monkeypatch):
    place = folder(*(f"{i}.jpg" for i in range(50)), *(f"{i}.txt" for i in range(50)))
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))

    assert len(companions_of_all([place + b"/%d.jpg" % i for i in range(50)])) == 50
    assert listed == [place]


def test_a_folder_that_is_not_there_has_no_companions():
    assert Companions().of(b"/not/there/photo.jpg") == []


@pytest.fixture
def scene(tmp_path):
    made = make_scene(tmp_path)
    (made.root / "b" / "1.txt").write_text("caption")
    (made.root / "c" / "near.jpg.xmp").write_text("edits")
    return made


def test_companions_are_moved_with_their_pictures_and_restored_with_them(scene, tmp_path):
    before, target = scene.tree(), tmp_path / "aside"

    outcome = scene.apply("move", target)

    assert (outcome.n_done, outcome.n_companions, outcome.exit_code) == (2, 2, 0)
    assert tree(target) == {
        COPY: CONTENTS[COPY],
        "b/1.txt": b"caption",
        NEAR: CONTENTS[NEAR],
        "c/near.jpg.xmp": b"edits",
    }
    undone = scene.undo(outcome.journal)
    assert (undone.n_restored, undone.skipped) == (4, [])
    assert scene.tree() == before
    assert not target.exists()


def test_a_dry_run_counts_them(scene, tmp_path):
    assert scene.apply("move", tmp_path / "aside", dry_run=True).n_companions == 2
    assert scene.apply("delete", dry_run=True).n_companions == 0


def test_companions_of_a_picture_with_another_name_in_the_target_are_named_like_it(scene, tmp_path):
    target = tmp_path / "aside"
    (target / "b").mkdir(parents=True)
    (target / COPY).write_bytes(b"somebody's")

    scene.apply("move", target)

    assert tree(target)["b/1~1.jpg"] == CONTENTS[COPY]
    assert tree(target)["b/1~1.txt"] == b"caption"


def test_a_companion_never_overwrites_another_file(scene, tmp_path):
    target = tmp_path / "aside"
    (target / "b").mkdir(parents=True)
    (target / "b" / "1.txt").write_bytes(b"somebody's")

    outcome = scene.apply("move", target)

    assert tree(target)["b/1.txt"] == b"somebody's"
    assert tree(target)["b/1~1.txt"] == b"caption"
    scene.undo(outcome.journal)
    assert tree(target) == {"b/1.txt": b"somebody's"}


@pytest.mark.parametrize("action", ["delete", "hardlink", "symlink"])
def test_only_a_move_touches_companions(scene, action):
    scene.apply(action)

    assert scene.tree()["b/1.txt"] == b"caption"
    assert scene.tree()["c/near.jpg.xmp"] == b"edits"


def test_companions_of_a_picture_that_is_skipped_are_kept(scene, tmp_path):
    (scene.root / COPY).write_bytes(b"saved again")

    scene.apply("move", tmp_path / "aside")

    assert scene.tree()["b/1.txt"] == b"caption"


def test_a_link_and_a_folder_are_no_companions(scene, tmp_path):
    (scene.root / "b" / "1.xmp").symlink_to(scene.root / "c" / "other.jpg")
    (scene.root / "b" / "1.json").mkdir()

    outcome = scene.apply("move", tmp_path / "aside")

    assert (outcome.n_companions, outcome.skipped) == (2, [])
    assert (scene.root / "b" / "1.xmp").is_symlink()
    assert (scene.root / "b" / "1.json").is_dir()


def test_a_companion_that_cannot_be_read_is_reported(scene, tmp_path, monkeypatch):
    call = os.open

    def refuse(path, *rest, **options):
        if path == scene.path("b/1.txt"):
            raise PermissionError(13, "Permission denied")
        return call(path, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)

    outcome = scene.apply("move", tmp_path / "aside")

    assert [(skip.path, skip.reason) for skip in outcome.skipped] == [
        (scene.path("b/1.txt"), "denied")
    ]
    assert scene.tree()["b/1.txt"] == b"caption"
    assert outcome.n_done == 2


def test_a_companion_that_is_being_written_is_kept_and_reported(scene, tmp_path, monkeypatch):
    caption = scene.root / "b" / "1.txt"
    caption.write_text("caption of the copy")
    digest = attached.file_digest

    def written_meanwhile(descriptor, kind):
        found = digest(descriptor, kind)
        caption.write_text("a longer caption of the copy")
        return found

    monkeypatch.setattr(attached, "file_digest", written_meanwhile)

    outcome = scene.apply("move", tmp_path / "aside")

    assert [(each.path, each.reason) for each in outcome.skipped] == [
        (os.fsencode(caption), "changed")
    ]
    assert (outcome.n_done, outcome.n_companions) == (2, 1)  # that of the other picture
    assert caption.read_text() == "a longer caption of the copy"
