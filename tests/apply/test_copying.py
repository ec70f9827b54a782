"""Copies to and from a folder where others may write: they never get, nor replace, the file.

The attacker of these tests swaps a name for a link or a file of theirs at the worst moment: just
after a call of the operating system. What the link leads to must keep its owner, rights and times.
"""

import errno
import os
from pathlib import Path

import pytest

from imgdup.apply import restore
from imgdup.apply.copying import NO_ATTRIBUTES, copied
from imgdup.apply.recheck import SkipFile
from imgdup.apply.steps import Rights
from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import content_digest
from photo_scene import CONTENTS, make_scene, tree

COPY, NEAR = "b/1.jpg", "c/near.jpg"
CALLS = ("fchown", "fchmod", "utime", "fsync")

pytestmark = pytest.mark.skipif(not hasattr(os, "fchmod"), reason="needs POSIX")


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def secret(tmp_path):
    """A private file that the attacker would like to own."""
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    return path


def state(path):
    facts = path.stat()
    return (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns, path.read_bytes())


def after(monkeypatch, name, happen):
    """Let something happen just after the first call of a function of os for an open file."""
    call = getattr(os, name)

    def patched(*args, **options):
        answer = call(*args, **options)
        if happen():
            monkeypatch.setattr(os, name, call)
        return answer

    monkeypatch.setattr(os, name, patched)


def swap(folder, ending, secret):
    """Replace a temporary file in a folder by a link to the secret; return if there was one."""
    for path in folder.rglob(f".imgdup-*.{ending}"):
        path.unlink()
        path.symlink_to(secret)
        return True
    return False


@pytest.mark.parametrize("call", CALLS)
def test_a_link_in_place_of_the_copy_that_apply_makes_gets_nothing(
    scene, other_device, secret, monkeypatch, call
):
    for name in (COPY, NEAR):
        (scene.root / name).chmod(0o666)
    before = state(secret)
    after(monkeypatch, call, lambda: swap(other_device, "part", secret))

    outcome = scene.apply("move", other_device / "target")

    assert state(secret) == before
    assert outcome.skipped[0].reason == "changed"
    assert "was replaced while the file was copied" in outcome.skipped[0].detail
    assert scene.tree()[COPY] == CONTENTS[COPY]


@pytest.mark.parametrize("call", CALLS)
def test_a_link_in_place_of_the_copy_that_undo_makes_gets_nothing(
    scene, other_device, secret, monkeypatch, call
):
    for name in (COPY, NEAR):
        (scene.root / name).chmod(0o666)
    journal = scene.apply("move", other_device / "target").journal
    before = state(secret)
    with monkeypatch.context() as patch:
        after(patch, call, lambda: swap(scene.root, "link", secret))
        first = scene.undo(journal)

    assert state(secret) == before
    assert [skip.reason for skip in first.skipped] == ["changed"]
    assert scene.undo(journal).n_restored == 1
    assert scene.tree() == CONTENTS
    assert tree(other_device) == {}


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
@pytest.mark.parametrize("call", CALLS)
def test_a_link_in_place_of_the_copy_of_the_kept_file_gets_nothing(
    scene, secret, monkeypatch, action, call
):
    (scene.root / COPY).chmod(0o666)
    journal = scene.apply(action).journal
    before = state(secret)
    with monkeypatch.context() as patch:
        after(patch, call, lambda: swap(scene.root, "link", secret))
        first = scene.undo(journal)

    assert state(secret) == before
    assert [skip.reason for skip in first.skipped] == ["changed"]
    assert scene.undo(journal).n_restored == 1
    assert scene.tree() == CONTENTS


def test_an_original_is_kept_if_its_copy_is_swapped_while_it_is_renamed(
    scene, other_device, secret, monkeypatch
):
    """The copy is whole and checked; then its name leads elsewhere as it gets the final one."""
    link = os.link

    def swapped(source, target, **options):
        if swap(other_device, "part", secret):
            monkeypatch.setattr(os, "link", link)
        return link(source, target, **options)

    monkeypatch.setattr(os, "link", swapped)

    outcome = scene.apply("move", other_device / "target")

    assert outcome.skipped[0].reason == "changed"
    assert scene.tree()[COPY] == CONTENTS[COPY]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_file_of_somebody_else_in_the_target_is_not_moved_back_but_copied(scene, tmp_path):
    """With equal content, it would be theirs to change later."""
    target = tmp_path / "aside"
    (scene.root / COPY).chmod(0o600)
    journal = scene.apply("move", target).journal
    (target / COPY).unlink()
    (target / COPY).write_bytes(CONTENTS[COPY])
    (target / COPY).chmod(0o666)
    os.chown(target / COPY, 65534, 65534)
    theirs = (target / COPY).stat().st_ino

    assert scene.undo(journal).n_restored == 2

    mine = (scene.root / COPY).stat()
    assert (mine.st_uid, mine.st_gid, mine.st_mode & 0o7777) == (0, 0, 0o600)
    assert mine.st_ino != theirs
    assert tree(target) == {}


def test_a_file_that_is_replaced_while_undo_checks_it_is_not_moved_back(
    scene, tmp_path, monkeypatch
):
    journal = scene.apply("move", tmp_path / "aside").journal
    check = restore._check_any_time

    def check_another(step, path):
        Path(tmp_path / "new").write_bytes(Path(os.fsdecode(path)).read_bytes())
        os.replace(tmp_path / "new", path)
        return check(step, path)

    with monkeypatch.context() as patch:
        patch.setattr(restore, "_check_any_time", check_another)
        first = scene.undo(journal)

    assert {skip.reason for skip in first.skipped} == {"changed"}
    assert all("was replaced while it was checked" in skip.detail for skip in first.skipped)
    assert first.n_restored == 0


def facts_of(content):
    return FileFacts(0, b"", len(content), 0, content_digest(content, "blake3"), "blake3")


def test_a_copy_has_rights_times_and_tags_of_its_source(tmp_path, other_device):
    source, target = tmp_path / "source", other_device / "target"
    source.write_bytes(b"picture")
    source.chmod(0o640)
    os.utime(source, ns=(5, 7))
    tagged = _tag(source) and _tag(other_device)

    with copied(bytes(source), bytes(target), facts_of(b"picture")) as copy:
        assert copy.is_at(bytes(target))

    status = target.stat()
    assert target.read_bytes() == b"picture"
    assert (status.st_mode & 0o7777, status.st_atime_ns, status.st_mtime_ns) == (0o640, 5, 7)
    if tagged:
        assert os.getxattr(target, "user.tag") == b"holiday"


def _tag(path):
    try:
        os.setxattr(path, "user.tag", b"holiday")
    except (OSError, AttributeError):
        return False
    return True


@pytest.fixture
def tags_fail_with(monkeypatch):
    """Let a file have a tag, which cannot be written to its copy because of an error."""

    def fail(number):
        def setxattr(descriptor, name, value):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "listxattr", lambda descriptor: ["user.tag"], raising=False)
        monkeypatch.setattr(os, "getxattr", lambda descriptor, name: b"holiday", raising=False)
        monkeypatch.setattr(os, "setxattr", setxattr, raising=False)

    return fail


@pytest.mark.parametrize("number", NO_ATTRIBUTES, ids=lambda number: errno.errorcode[number])
def test_a_file_is_copied_without_its_tags_where_none_can_be_kept(tmp_path, tags_fail_with, number):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")
    tags_fail_with(number)

    with copied(bytes(source), bytes(target), facts_of(b"picture")):
        pass

    assert target.read_bytes() == b"picture"


def test_no_copy_is_made_if_its_tags_are_lost_for_another_reason(tmp_path, tags_fail_with):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")
    tags_fail_with(errno.ENOSPC)

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        with copied(bytes(source), bytes(target), facts_of(b"picture")):
            pass

    assert not target.exists()


def test_bits_that_change_who_a_program_runs_as_are_not_copied(tmp_path):
    source, target = bytes(tmp_path / "source"), bytes(tmp_path / "target")
    Path(os.fsdecode(source)).write_bytes(b"picture")
    rights = Rights(0o6755, os.getuid(), os.getgid())

    with copied(source, target, facts_of(b"picture"), rights=rights, mtime_ns=7):
        pass

    assert os.stat(target).st_mode & 0o7777 == 0o755
    assert os.stat(target).st_mtime_ns == 7


@pytest.mark.parametrize("end", ["source", "target"])
def test_no_link_is_followed_at_either_end(tmp_path, secret, end):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"secret")
    if end == "source":
        source.unlink()
        source.symlink_to(secret)
    else:
        target.symlink_to(tmp_path / "made")

    with pytest.raises(OSError), copied(bytes(source), bytes(target), facts_of(b"secret")):
        pass

    assert not (tmp_path / "made").exists()


def test_what_is_at_the_target_is_not_overwritten(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")
    target.write_bytes(b"theirs")

    with (
        pytest.raises(FileExistsError),
        copied(bytes(source), bytes(target), facts_of(b"picture")),
    ):
        pass

    assert target.read_bytes() == b"theirs"


def test_a_name_that_others_took_is_not_removed(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"picture")

    with (
        pytest.raises(SkipFile),
        copied(bytes(source), bytes(target), facts_of(b"picture")) as copy,
    ):
        target.rename(tmp_path / "elsewhere")
        target.write_bytes(b"theirs")
        copy.check_at(bytes(target))

    assert target.read_bytes() == b"theirs"
