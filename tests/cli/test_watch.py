"""The command watch: an index follows its folder, quietly, and Ctrl-C ends it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli_runs import IMGDUP, TIMEOUT_S, in_process
from imgdup import ImageIndex
from imgdup.build.settings import Settings
from imgdup.cli import indexing as watching_command
from imgdup.errors import ImgdupError
from imgdup.index.folder import locked

pytest.importorskip("watchfiles", reason="imgdup watch needs watchfiles: the extra watch")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Watch:
    """A running ``imgdup watch``, whose lines are read one by one."""

    def __init__(self, *arguments):
        command = [*IMGDUP, "watch", "--debounce", "0.1", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.timer = threading.Timer(TIMEOUT_S, self.process.kill)
        self.timer.start()

    def line(self):
        return self.process.stdout.readline()

    def wait_until_ready(self):
        while "watching" not in (line := self.process.stderr.readline()):
            assert line, "it ended"
        return line

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err


@contextlib.contextmanager
def watching(*arguments):
    watch = Watch(*arguments)
    try:
        yield watch
    finally:
        watch.timer.cancel()
        watch.process.kill()
        watch.process.communicate()


def names():
    index = ImageIndex.open(".imgdup").rows
    return sorted(os.path.basename(os.fsdecode(path)) for path in index.generation.paths)


def test_an_index_follows_its_folder_with_one_line_for_each_update(photos):
    with watching("photos") as watch:
        first = watch.line()
        assert str(photos) in watch.wait_until_ready()
        shutil.copy(photos / "p0.jpg", photos / "new.jpg")
        second = watch.line()
        os.remove(photos / "p1.jpg")
        third = watch.line()
        code, rest, err = watch.stop()

    assert first.startswith("4 seen: 4 hashed")
    assert second.startswith("5 seen: 1 hashed, 4 unchanged")
    assert third.startswith("4 seen: 0 hashed, 4 unchanged, 0 failed; 1 removed")
    assert (code, rest, err) == (0, "", "")
    assert names() == ["new.jpg", "p0.jpg", "p2.jpg", "small.png"]


def test_without_a_folder_the_indexed_ones_are_watched(indexed):
    with watching("--json") as watch:
        watch.line()
        watch.wait_until_ready()
        (indexed / "notes.txt").write_text("no image, so nothing is printed")
        shutil.copy(indexed / "p0.jpg", indexed / "new.jpg")
        second = watch.line()

    assert '"hashed": 1' in second


def test_an_update_waits_while_another_command_writes_the_index(indexed, tmp_path):
    with watching() as watch:
        watch.line()
        watch.wait_until_ready()
        with locked(tmp_path / ".imgdup"):
            shutil.copy(indexed / "p0.jpg", indexed / "new.jpg")
        second = watch.line()

    assert second.startswith("5 seen: 1 hashed")


@pytest.mark.usefixtures("in_process")
def test_an_update_that_fails_gives_one_line_and_the_watch_continues(indexed, capsys):
    updates = watching_command._Updates(Path(".imgdup"), ["photos"], Settings(workers=1))
    os.rename("photos", "elsewhere")

    assert updates.next(as_json=False)

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("imgdup: ")


@pytest.mark.usefixtures("in_process")
def test_an_update_is_put_off_while_the_index_is_locked_and_prints_only_what_changed(
    indexed, capsys
):
    updates = watching_command._Updates(Path(".imgdup"), ["photos"], Settings(workers=1))
    shutil.copy(indexed / "p0.jpg", indexed / "new.jpg")

    with locked(Path(".imgdup")):
        assert not updates.next(as_json=False)
    assert capsys.readouterr().out == ""
    assert updates.next(as_json=True)
    assert '"hashed":1' in capsys.readouterr().out.replace(" ", "")
    assert updates.next(as_json=True)
    assert capsys.readouterr().out == ""


def test_changes_of_the_index_itself_are_no_changes(photos, monkeypatch):
    given = {}

    def watch(*folders, **options):
        given.update(options, folders=folders)
        return iter([{"a change"}, set()])

    monkeypatch.setitem(sys.modules, "watchfiles", SimpleNamespace(watch=watch))

    signals = watching_command._signals(["photos"], photos / ".imgdup", 0.5)

    assert list(signals) == [True, False]
    counts = given["watch_filter"]
    assert not counts(1, str(photos / ".imgdup" / "current"))
    assert counts(1, str(photos / "new.jpg"))
    assert (given["folders"], given["step"], given["debounce"]) == (("photos",), 500, 10_000)


@pytest.mark.usefixtures("in_process")
def test_indexed_folders_that_are_missing_are_not_watched(indexed, tmp_path):
    assert watching_command._watched(Path(".imgdup"), []) == [os.path.realpath(indexed)]
    os.rename("photos", "elsewhere")

    with pytest.raises(ImgdupError, match="has no folder that exists"):
        watching_command._watched(Path(".imgdup"), [])


def test_what_cannot_be_watched_is_one_line(photos):
    assert b"'nowhere' is not a folder" in in_process("watch", "nowhere").err
    assert b"no index in" in in_process("watch").err


def test_without_the_package_the_remedy_is_named(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)

    done = in_process("watch", "photos")

    assert done.code == 1
    assert done.err == b"imgdup: watching needs watchfiles: pip install watchfiles\n"
    assert not os.path.exists(".imgdup")
