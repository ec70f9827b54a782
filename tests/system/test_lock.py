"""The lock: one holder at a time, freed by its death, and a note that says who it is.

Real processes hold, die and contend; the operating system is the judge.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from imgdup.errors import ImgdupError, LockedError
from imgdup.system import lock
from imgdup.system.lock import Holder, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from imgdup.system.lock import locked
with locked(Path(sys.argv[1]), "the index"):
    print("held", flush=True)
    time.sleep(60)
"""

# Takes the lock as soon as it can; two at a time in the guarded part would meet in `inside`.
CONTEND = """
import os, sys, time
from pathlib import Path
from imgdup.errors import LockedError
from imgdup.system.lock import locked
path, inside, n_wins = Path(sys.argv[1]), sys.argv[1] + ".inside", 0
while n_wins < 5:
    try:
        with locked(path, "the index"):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            time.sleep(0.002)
            os.unlink(inside)
            n_wins += 1
    except LockedError:
        time.sleep(0.001)
"""


def start(script, *arguments):
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE)


@contextlib.contextmanager
def another_holder(path):
    """A process that holds the lock until it is killed."""
    process = start(HOLD, str(path))
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_a_second_process_gets_the_pid_host_and_start_of_the_holder(path):
    with another_holder(path) as process:
        since = holder(path).since
        with pytest.raises(LockedError) as caught, locked(path, "the index /data/.imgdup"):
            pass

    assert str(caught.value) == (
        f"the index /data/.imgdup is being written by pid {process.pid} "
        f"on {socket.gethostname()} since {since}; "
        f"wait for it or, if that machine is gone, delete {path}"
    )
    assert since.endswith(" UTC")


def test_a_second_lock_in_the_same_process_is_refused_too(path):
    with locked(path, "the index"), pytest.raises(LockedError, match=f"by pid {os.getpid()} on "):
        locked(path, "the index").__enter__()


def test_a_released_lock_can_be_acquired_again(path):
    for _ in range(2):
        with locked(path, "the index"):
            pass

    assert holder(path) is None


def test_the_lock_is_released_after_an_exception(path):
    with pytest.raises(KeyError), locked(path, "the index"):
        raise KeyError

    with locked(path, "the index"):
        pass


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_the_lock_of_a_dead_process_is_free_at_once(path, name):
    with another_holder(path) as process:
        process.send_signal(getattr(signal, name, signal.SIGTERM))
        process.wait()

        with locked(path, "the index"):
            assert holder(path).pid == os.getpid()


def test_only_one_of_many_waiting_processes_gets_the_lock_of_a_dead_one(path):
    with another_holder(path) as process:
        contenders = [start(CONTEND, str(path)) for _ in range(6)]
        process.kill()
        codes = [contender.wait(60) for contender in contenders]

    for contender in contenders:
        contender.stdout.close()
    assert codes == [0] * 6


def test_a_deleted_lock_file_does_not_lock_anybody_out(path):
    with another_holder(path):
        path.unlink()

        with locked(path, "the index"):
            assert holder(path).pid == os.getpid()


def dead_note():
    """The note of a process of this host that has ended."""
    process = start("pass")
    process.wait()
    process.stdout.close()
    return json.dumps(Holder(socket.gethostname(), process.pid, "once")._asdict())


@pytest.mark.parametrize("before", [str, dead_note])
def test_a_holder_that_has_not_written_its_note_yet_is_waited_for(path, monkeypatch, before):
    monkeypatch.setattr(lock, "NOTE_WAIT_S", 30)
    with another_holder(path) as process:
        note = path.read_text()
        path.write_text(before())
        monkeypatch.setattr(time, "sleep", lambda _: path.write_text(note))

        with pytest.raises(LockedError, match=f"by pid {process.pid} "):
            locked(path, "the index").__enter__()


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_a_holder_that_may_be_alive_is_not_waited_for(path, monkeypatch, host):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    with another_holder(path) as process:
        if host == "elsewhere":
            path.write_text(json.dumps(Holder(host, process.pid, "once")._asdict()))

        with pytest.raises(LockedError, match=f"by pid {process.pid} on "):
            locked(path, "the index").__enter__()


def test_a_lock_file_that_is_deleted_while_it_is_locked_does_not_count(path, monkeypatch):
    taken = []
    take = lock._take

    def take_late(descriptor):
        if not taken:
            path.unlink()
        taken.append(take(descriptor))

    monkeypatch.setattr(lock, "_take", take_late)

    with locked(path, "the index"):
        assert path.exists()
        with pytest.raises(LockedError):
            locked(path, "the index").__enter__()
    assert len(taken) == 2


def test_a_holder_without_a_note_is_called_another_process(path, monkeypatch):
    monkeypatch.setattr(lock, "NOTE_WAIT_S", 0.05)
    with another_holder(path):
        path.write_text("")

        with pytest.raises(LockedError, match="is being written by another process; wait"):
            locked(path, "the index").__enter__()


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xff",
        b"[1]",
        b"[" * 5000,
        b'{"host": "h", "pid": "1", "since": "s"}',
        b'{"host": "h", "pid": -1, "since": "s"}',
        b'{"host": "h", "pid": 1, "since": "s", "more": 1}',
        b'{"host": "\\u001b[31m", "pid": 1, "since": "s"}',
        b'{"host": ["h"], "pid": 1, "since": "s"}',
        b'{"host": "' + b"h" * 5000 + b'", "pid": 1, "since": "s"}',
    ],
)
def test_a_damaged_or_forged_note_names_nobody(path, note):
    path.write_bytes(note)

    assert holder(path) is None


def test_a_note_names_the_holder_of_the_lock(path):
    path.write_text(json.dumps({"since": "2026-01-01 00:00:00 UTC", "pid": 7, "host": "a"}))

    assert holder(path) == Holder("a", 7, "2026-01-01 00:00:00 UTC")


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links can be followed here")
def test_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "precious").write_text("mine")
    path.symlink_to("precious")

    with pytest.raises(ImgdupError, match=r"^cannot lock "):
        locked(path, "the index").__enter__()
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_and_not_waited_for(path):
    os.mkfifo(path)

    with pytest.raises(ImgdupError, match=r"lock: not a regular file$"):
        locked(path, "the index").__enter__()


def test_a_folder_that_does_not_exist_gives_one_line(tmp_path):
    with pytest.raises(ImgdupError, match=r"^cannot lock .*: No such file or directory$"):
        locked(tmp_path / "missing" / "lock", "the index").__enter__()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that knows no locks, such as Lustre mounted without them."""

    def refuse(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_take", refuse)


def test_without_locks_a_file_that_is_created_exclusively_replaces_one(path, no_locks):
    with locked(path, "the index"):
        with pytest.raises(LockedError) as caught:
            locked(path, "the index").__enter__()
        assert holder(path.with_name("lock.held")).pid == os.getpid()

    assert f"by pid {os.getpid()} on " in str(caught.value)
    assert str(caught.value).endswith(f"delete {path}.held")
    assert not path.with_name("lock.held").exists()


def test_without_locks_the_file_of_a_dead_process_must_be_deleted_by_hand(path, no_locks):
    path.with_name("lock.held").write_text('{"host": "a", "pid": 7, "since": "once"}')

    with pytest.raises(LockedError, match="by pid 7 on a since once"):
        locked(path, "the index").__enter__()
