"""Moving one file while others do the same: whoever loses the race, one name of it is left."""

import errno
import os

import pytest

from imgdup.apply import actions, moves
from imgdup.apply.journal import Step
from imgdup.dedupe.plan import FileFacts


@pytest.fixture
def names(tmp_path):
    """A file, and a name that is free."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")
    return os.fsencode(source), os.fsencode(target)


def before(monkeypatch, name, happen):
    """Let something happen just before the next call of a function of os."""
    call = getattr(os, name)

    def patched(*args, **options):
        monkeypatch.setattr(os, name, call)
        happen()
        return call(*args, **options)

    monkeypatch.setattr(os, name, patched)


def refuse(monkeypatch, name, code=errno.EIO):
    def refused(*args, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, refused)


def content(name):
    with open(name, "rb") as file:
        return file.read()


def test_a_new_name_stays_when_somebody_took_the_old_one_away(names, monkeypatch):
    source, target = names
    before(monkeypatch, "unlink", lambda: os.remove(source))

    moves.move(source, target)

    assert content(target) == b"picture"


def test_a_new_name_stays_when_the_old_one_became_another_file(names, monkeypatch):
    source, target = names
    unlink = os.unlink

    def replaced(path):
        unlink(path)
        with open(path, "wb") as file:
            file.write(b"another")
        raise PermissionError(errno.EACCES, "it is not yours")

    monkeypatch.setattr(os, "unlink", replaced)

    moves.move(source, target)

    assert (content(source), content(target)) == (b"another", b"picture")


def test_a_new_name_goes_when_the_old_one_cannot(names, monkeypatch):
    source, target = names
    sync_parent = moves.sync_parent

    def tired(path):
        monkeypatch.setattr(moves, "sync_parent", sync_parent)
        raise OSError(errno.EIO, "the disk is tired")

    monkeypatch.setattr(moves, "sync_parent", tired)

    with pytest.raises(OSError, match="tired"):
        moves.move(source, target)

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
        moves.move(source, target)

    assert content(target) == b"picture"


def test_a_copy_stays_when_somebody_took_the_original_away(tmp_path, monkeypatch):
    facts = FileFacts(0, os.fsencode(tmp_path / "photo"), 7, 0, b"")
    step = Step("0" * 16, 1, facts, b"", os.fsencode(tmp_path / "to"))
    for name in (step.aside, step.part):
        with open(name, "wb") as file:
            file.write(b"picture")
    move = moves.move

    def moved(source, target):
        move(source, target)
        os.remove(step.aside)

    monkeypatch.setattr(moves, "move", moved)

    actions._place(step, step.to)

    assert content(step.to) == b"picture"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs a list of descriptors")
def test_a_copy_of_what_is_gone_leaves_nothing_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(FileNotFoundError):
        moves.copy(bytes(tmp_path / "gone"), bytes(tmp_path / "copy"), b"")

    assert len(os.listdir("/proc/self/fd")) == before
    assert not (tmp_path / "copy").exists()
