"""Atomic files: the new content or the old one, whatever fails, and no stray file left."""

import errno
import os

import pytest

from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.system import files as atomic
from imgdup.system.files import open_regular, replacing


def write(path, content=b"new", **options):
    with replacing(path, needed_bytes=len(content), **options) as file:
        file.write(content)


@pytest.fixture
def path(tmp_path):
    """A file with old content, alone in its folder."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def state(path):
    """The content, and the names in the folder."""
    return path.read_bytes(), sorted(os.listdir(path.parent))


def test_the_new_content_replaces_the_old(path):
    write(path)

    assert state(path) == (b"new", ["file"])


def test_a_new_file_has_the_mode_that_the_umask_allows(tmp_path):
    (tmp_path / "plain").write_bytes(b"")

    write(tmp_path / "file")

    assert os.stat(tmp_path / "file").st_mode == os.stat(tmp_path / "plain").st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ImgdupError])
def test_an_exception_while_writing_leaves_the_old_content_and_is_raised(path, error):
    with pytest.raises(error), replacing(path, needed_bytes=3) as file:
        file.write(b"new")
        raise error

    assert state(path) == (b"old", ["file"])


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_call_leaves_the_old_content_and_names_the_file(path, monkeypatch, call):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)

    with pytest.raises(ImgdupError, match=r"^cannot write .*file: Input/output error$"):
        write(path)
    assert state(path) == (b"old", ["file"])


def test_a_folder_that_does_not_exist_gives_one_line(tmp_path):
    with pytest.raises(ImgdupError, match=r"^cannot write .*: No such file or directory$"):
        write(tmp_path / "missing" / "file")


def test_without_sync_nothing_waits_for_the_disk(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("fsync was called"))

    write(path, sync=False)

    assert state(path) == (b"new", ["file"])


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders cannot be synced here")
def test_a_file_system_that_cannot_sync_folders_is_no_error(path, monkeypatch):
    def fail(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)

    atomic.sync_folder(path.parent)


def test_a_file_that_a_reader_has_open_for_a_moment_is_waited_for(path, monkeypatch):
    refusals = [PermissionError(errno.EACCES, "held"), PermissionError(errno.EACCES, "held")]
    replace = os.replace

    def sometimes(source, target):
        if refusals:
            raise refusals.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", sometimes)
    monkeypatch.setattr(atomic, "REPLACE_PAUSES_S", (0, 0, 0))

    write(path)

    assert state(path) == (b"new", ["file"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(IndexFormatError, match=r"pipe: not a regular file$"):
        open_regular(tmp_path / "pipe")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ImgdupError, match=r"^cannot read "):
        open_regular(tmp_path)


def test_a_missing_file_raises_for_the_caller_to_handle(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("other"), os.mkdir])
def test_what_is_not_a_regular_file_is_never_replaced(tmp_path, make):
    make(tmp_path / "place")
    before = os.lstat(tmp_path / "place")

    with pytest.raises(ImgdupError, match="place: it exists and is not a regular file"):
        write(tmp_path / "place")

    assert os.lstat(tmp_path / "place") == before
    assert os.listdir(tmp_path) == ["place"]
