"""The function main: what it prints of errors, and what it leaves to the program that calls it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from cli_runs import IMGDUP, in_process
from imgdup import cli
from imgdup.api.index import ImageIndex

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and files of POSIX")


def handlers():
    return {name: signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGHUP")}


@posix
@pytest.mark.usefixtures("heeded_hangup")
@pytest.mark.parametrize("args", [["info"], ["nonsense"], ["info", "--index", "nowhere"]], ids=str)
def test_the_signal_handlers_of_the_caller_are_restored(indexed, args):
    before = handlers()

    cli.main(args)

    assert handlers() == before == {"SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}


@posix
def test_a_signal_handler_that_the_caller_set_is_kept(indexed, monkeypatch):
    def ours(number, frame):
        pass

    old = signal.signal(signal.SIGTERM, ours)
    try:
        cli.main(["info"])

        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, old)


def test_commands_run_in_a_thread_that_may_not_set_signal_handlers(indexed, capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["info"])))

    thread.start()
    thread.join()

    assert codes == [0]


@pytest.mark.parametrize(
    ("error", "words", "wrong"),
    [
        (
            ModuleNotFoundError("No module named 'cv2'", name="cv2"),
            "cv2 is not installed",
            "memory",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            "libGL.so.1: cannot open shared object file",
            "memory",
        ),
        (
            ImportError("libopenblas.so: failed to map segment from shared object"),
            "ulimit -v unlimited",
            "pip",
        ),
    ],
    ids=["missing package", "missing system library", "no memory"],
)
def test_memory_is_named_only_if_it_is_short(indexed, monkeypatch, capsys, error, words, wrong):
    def fail(path):
        raise error

    monkeypatch.setattr(ImageIndex, "open", fail)

    code = cli.main(["info"])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert words in err
    assert wrong not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BlockingIOError(11, "Resource temporarily unavailable"), "imgdup: Resource temporarily"),
        (PermissionError(13, "Permission denied", "a.jpg"), "imgdup: a.jpg: Permission denied"),
        (PermissionError(13, "Permission denied", 7), "imgdup: Permission denied"),
        (OSError(28, "No space left on device"), "imgdup: cannot write the output: No space left"),
    ],
    ids=["no process", "a file", "a descriptor", "a full device"],
)
def test_a_system_error_names_its_place_and_nothing_false(
    indexed, monkeypatch, capfd, error, words
):
    def fail(path):
        raise error

    monkeypatch.setattr(ImageIndex, "open", fail)
    kept = os.dup(1)

    code = cli.main(["info"])

    os.dup2(kept, 1)
    os.close(kept)
    assert code == 1
    assert capfd.readouterr().err.startswith(words)


def refuse_thread(text):
    def refuse(thread):
        raise RuntimeError(text)

    return refuse


def test_where_no_thread_can_start_one_line_says_so(indexed, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse_thread(cli.NO_THREAD))

    done = in_process("dedupe")

    assert done.code == 1
    assert done.err.startswith(b"imgdup: no thread can be started; use fewer processes")
    assert done.err.count(b"\n") == 1


def test_another_runtime_error_is_not_hidden(indexed, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse_thread("a mistake"))

    with pytest.raises(RuntimeError, match="a mistake"):
        in_process("dedupe")


@pytest.fixture
def deleted(indexed, tmp_path):
    """The command line of a process whose current folder was deleted before it started."""
    gone = tmp_path / "gone"
    gone.mkdir()
    start = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, sys.argv[1:])"

    def imgdup(*args, **variables):
        return subprocess.run(
            [sys.executable, "-c", start, *IMGDUP, *args],
            cwd=gone, capture_output=True, timeout=250, env={**os.environ, **variables},
        )  # fmt: skip

    return imgdup


COMMANDS = [
    ["index", "{photos}"],
    ["index"],
    ["query", "{photos}/p0.jpg"],
    ["query", "{photos}"],
    ["pairs"],
    ["pairs", "{photos}"],
    ["dedupe", "{photos}"],
    ["info"],
    ["check", "--deep"],
    ["export", "--format", "json"],
    ["export", "--format", "json", "-o", "{place}/out"],
    ["split", "{photos}", "--ratios", "a=1", "--out", "{place}/lists"],
    ["forget", "{photos}"],
]


@pytest.fixture
def nowhere(indexed, tmp_path, monkeypatch):
    """Let the current folder be one that was deleted."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@posix
@pytest.mark.usefixtures("nowhere", "in_process")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_in_a_deleted_folder_absolute_paths_work(indexed, tmp_path, command):
    args = [each.format(photos=indexed, place=tmp_path) for each in command]

    done = in_process(*args, "--index", str(tmp_path / ".imgdup"))

    assert (done.code, b"imgdup:" in done.err) == (0, False), done.err


@posix
@pytest.mark.parametrize("command", [["index", "{photos}"], ["dedupe", "{photos}"]], ids=" ".join)
def test_processes_that_start_in_a_deleted_folder_work(indexed, tmp_path, deleted, command):
    args = [each.format(photos=indexed) for each in command]

    done = deleted(*args, IMGDUP_INDEX=str(tmp_path / "new"))

    assert (done.returncode, b"imgdup:" in done.stderr) == (0, False), done.stderr


@posix
@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["index", "photos"],
        ["query", "p.jpg"],
        ["index", ".", "--index", "{place}/x"],
        ["dedupe", "{place}/photos", "--index", "{place}/.imgdup", "--plan", "p"],
    ],
    ids=" ".join,
)
def test_in_a_deleted_folder_a_relative_path_is_an_error_that_names_the_cause(tmp_path, command):
    done = in_process(*[each.format(place=tmp_path) for each in command])

    assert done.code in (1, 2)
    assert done.err.startswith(b"imgdup: ")
    assert done.err.count(b"\n") == 1
    assert b"current folder was deleted" in done.err or b"no such file" in done.err


@pytest.mark.parametrize("option", ["--max-pixels=0", "--max-file-size=0", "--timeout=nan"])
def test_a_limit_out_of_range_is_a_usage_error(photos, capsys, option):
    code = cli.main(["index", "photos", option])

    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not os.path.exists(".imgdup")


@posix
def test_the_caller_keeps_running_after_a_command_was_terminated(indexed, tmp_path):
    script = (
        "import os, signal, sys\n"
        "from imgdup import cli\n"
        "from imgdup.api.index import ImageIndex\n"
        "ImageIndex.open = lambda place: os.kill(os.getpid(), signal.SIGTERM)\n"
        "try:\n"
        "    cli.main(['info'])\n"
        "except SystemExit as error:\n"
        "    print(error.code, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("143 True\n", "")


def test_no_word_of_the_help_is_broken_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")

    lines = in_process("--help").out.decode().splitlines()

    assert max(map(len, lines)) < 60
