"""Moving one file while others do the same: whoever loses the race, one name of it is left."""

import errno
import os

import pytest

from disks import just_before
from imgdup.apply import actions
from imgdup.apply.copying import copied
from imgdup.apply.steps import Step
from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import content_digest


@pytest.fixture
def names(tmp_path):
    """A file, and a name that is free."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")
    return os.fsencode(source), os.fsencode(target)


def refuse(monkeypatch, name, code=errno.EIO):
    def refused(*args, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, refused)


def content(name):
    with open(name, "rb") as file:
        return file.read()


def test_a_new_name_is_kept_when_somebody_removed_the_old_one(names, monkeypatch):
    source, target = names
    just_before(monkeypatch, "unlink", lambda: os.remove(source))

    actions.move(source, target)

    assert content(target) == b"picture"


def test_a_new_name_is_kept_when_the_old_one_became_another_file(names, monkeypatch):
    source, target = names
    unlink = os.unlink

    def replaced(path):
        unlink(path)
        with open(path, "wb") as file:
            file.write(b"another")
        raise PermissionError(errno.EACCES, "it is not yours")

    monkeypatch.setattr(os, "unlink", replaced)

    actions.move(source, target)

    assert (content(source), content(target)) == (b"another", b"picture")


def test_a_new_name_is_removed_when_the_old_one_cannot_be(names, monkeypatch):
    source, target = names
    sync_parent = actions.sync_parent

    def tired(path):
        monkeypatch.setattr(actions, "sync_parent", sync_parent)
        raise OSError(errno.EIO, "the disk is tired")

    monkeypatch.setattr(actions, "sync_parent", tired)

    with pytest.raises(OSError, match="tired"):
        actions.move(source, target)

    assert content(source) == b"picture"
    assert not os.path.lexists(target)


def test_without_hard_links_an_interruption_after_the_move_loses_nothing(names, monkeypatch):
    source, target = names
    replace = os.replace
    refuse(monkeypatch, "link", errno.EPERM)

    def interrupted(*args):
        replace(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)

    with pytest.raises(KeyboardInterrupt):
        actions.move(source, target)

    assert content(target) == b"picture"


def test_a_copy_is_kept_when_somebody_removed_the_original(tmp_path, monkeypatch):
    digest = content_digest(b"picture", "blake3")
    facts = FileFacts(0, os.fsencode(tmp_path / "photo"), 7, 0, digest, "blake3")
    step = Step("0" * 16, 1, facts, b"", os.fsencode(tmp_path / "to"))
    with open(step.aside, "wb") as file:
        file.write(b"picture")
    move = actions.move

    def moved(source, target):
        move(source, target)
        os.remove(step.aside)

    monkeypatch.setattr(actions, "move", moved)

    with copied(step.aside, step.part, facts) as copy:
        actions._move_copy(step, step.to, copy)

    assert content(step.to) == b"picture"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs a list of descriptors")
def test_a_copy_of_a_missing_file_leaves_nothing_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))

    gone = bytes(tmp_path / "gone")
    facts = FileFacts(0, gone, 7, 0, b"", "blake3")

    with pytest.raises(FileNotFoundError), copied(gone, bytes(tmp_path), facts):
        pass

    assert len(os.listdir("/proc/self/fd")) == before
