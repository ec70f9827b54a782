"""The command line: results on stdout, all else on stderr, one line an error, exit codes.

Commands run in this process through `main`; what is about processes (signals, pipes, start-up)
runs ``python -m imgdup``.
"""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cli_runs import in_process, on_a_terminal, with_a_closed_pipe
from encoded import painted
from imgdup import __main__, cli
from imgdup.cli.index import HASHES
from imgdup.cli.indexes import EXPORTS
from imgdup.hashing import HASHERS
from imgdup.output.export import FORMATS
from imgdup.system.limits import THREAD_VARIABLES
from printed_lines import tsv_fields

pytestmark = pytest.mark.usefixtures("in_process")

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs signals, pipes or names of POSIX")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def imgdup(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "imgdup", *args], capture_output=True, timeout=250, **options
    )


def test_index_prints_the_counts_of_its_run(photos, capsys):
    code = cli.main(["index", "photos", "--workers", "1"])

    out, err = capsys.readouterr()
    assert code == 0
    assert out.startswith("4 seen: 4 hashed, 0 unchanged, 0 failed; 0 removed, 0 ignored; ")
    assert err == ""


def test_index_as_json_is_one_object(photos, capsys):
    cli.main(["index", "photos", "--workers", "1", "--json"])

    summary = json.loads(capsys.readouterr().out)
    assert summary["seen"] == summary["hashed"] == 4
    assert {"unchanged", "failed", "removed", "ignored", "seconds", "images_per_second"} < set(
        summary
    )


def test_index_without_a_folder_updates(indexed, capsys):
    code = cli.main(["index"])

    assert code == 0
    assert capsys.readouterr().out.startswith("4 seen: 0 hashed, 4 unchanged, 0 failed")


def test_failures_are_named_written_and_counted_in_the_exit_code(photos, capsys, tmp_path):
    (photos / "bad.jpg").write_bytes(b"nonsense")
    os.utime(photos / "bad.jpg", (1_600_000_000, 1_600_000_000))

    first = cli.main(["index", "photos", "--workers", "1", "--errors", "errors.jsonl"])
    err = capsys.readouterr().err
    second = cli.main(["index", "photos"])
    strict = cli.main(["index", "photos", "--strict"])

    (line,) = (tmp_path / "errors.jsonl").read_text().splitlines()
    assert (first, second, strict) == (3, 0, 3)
    assert "bad.jpg: not-an-image" in err
    assert json.loads(line)["reason"] == "not-an-image"


@pytest.mark.parametrize("command", ["index", "query"])
def test_a_picture_of_a_format_that_is_not_decoded_is_unsupported(
    indexed, tmp_path, capsys, command
):
    (tmp_path / "lamp.exr").write_bytes(b"v/1\x01" + bytes(100))

    code = cli.main([command, "lamp.exr"])

    err = capsys.readouterr().err
    assert code == (3 if command == "index" else 1)  # a query of nothing that can be read fails
    assert "lamp.exr: unsupported" in err
    assert "OpenEXR is not decoded" in err


def test_a_file_that_is_no_picture_is_ignored_and_no_failure(photos, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no picture")

    code = cli.main(["index", "notes.txt"])

    out, err = capsys.readouterr()
    assert (code, err) == (0, "no images found\n")
    assert "1 ignored" in out


def test_known_failures_are_read_again_on_demand(photos, capsys):
    def hashed(*options):
        cli.main(["index", "photos", "--workers", "1", "--json", *options])
        return json.loads(capsys.readouterr().out)["hashed"]

    counts = [hashed("--max-pixels", "20000"), hashed(), hashed("--retry-failed"), hashed()]

    assert counts == [1, 0, 3, 0]


def test_a_list_of_files_is_read_from_stdin(photos):
    names = b"photos/p1.jpg\r\n\nphotos/p0.jpg\nphotos/p1.jpg\n"

    result = imgdup("index", "-", "--workers", "1", "--json", input=names)

    assert json.loads(result.stdout)["seen"] == 2


def test_an_empty_list_is_done_with_a_note(photos):
    result = imgdup("index", "-", "--null", input=b"\0\0")

    assert result.returncode == 0
    assert b"the list on stdin is empty" in result.stderr


@pytest.mark.parametrize("value", ["-1", "65", "1.5", "abc", ""])
def test_a_distance_outside_the_range_is_a_usage_error(indexed, capsys, value):
    code = cli.main(["query", "photos/p0.jpg", f"--max-dist={value}"])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("imgdup: ")
    assert err.count("\n") == 1


def test_info_prints_what_the_index_holds(indexed, capsys):
    cli.main(["info", "--json"])

    facts = json.loads(capsys.readouterr().out)
    assert (facts["images"], facts["hash"], facts["bits"]) == (4, "dhash", 64)
    assert facts["failed"] == {}
    assert facts["roots"] == [os.path.realpath(indexed)]


def test_info_for_people_names_the_same(indexed, capsys):
    cli.main(["info"])

    out = capsys.readouterr().out
    assert ["images", "4"] in map(str.split, out.splitlines())
    assert os.path.realpath(indexed) in out


def test_forget_removes_a_folder(indexed, capsys):
    code = cli.main(["forget", "photos"])

    assert code == 0
    assert capsys.readouterr().out == "removed 4 images from the index\n"


def test_export_writes_the_dictionary_of_the_tutorial(indexed, tmp_path, capsys):
    cli.main(["export", "--format", "pickle", "-o", "hashes.pickle"])

    table = pickle.loads((tmp_path / "hashes.pickle").read_bytes())
    assert sorted(os.path.basename(p) for paths in table.values() for p in paths) == [
        "p0.jpg", "p1.jpg", "p2.jpg", "small.png",
    ]  # fmt: skip
    assert all(type(key) is int for key in table)


@pytest.fixture
def indexed_as_the_tutorial_does(photos, in_process):
    cli.main(["index", "photos", "--hash", "dhash-tutorial", "--workers", "1", "--quiet"])


@pytest.mark.usefixtures("indexed_as_the_tutorial_does")
@pytest.mark.parametrize("form", EXPORTS)
def test_export_writes_to_stdout_what_it_writes_to_a_file(tmp_path, capsysbinary, form):
    cli.main(["export", "--format", form, "-o", "out"])
    capsysbinary.readouterr()

    code = cli.main(["export", "--format", form])

    assert code == 0
    assert capsysbinary.readouterr().out == (tmp_path / "out").read_bytes()


@needs_posix
def test_export_fills_no_terminal_with_bytes(indexed):
    code, written = on_a_terminal("export", "--format", "pickle")

    assert code == 2
    assert b"name a file, as in -o hashes.pickle" in written


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["query", "x.jpg"], 1, "imgdup index DIR"),
        (["index"], 1, "imgdup index DIR"),
        (["index", "nowhere"], 2, "no such file or folder"),
        (["index", "--workers", "0"], 2, "--workers"),
        (["index", "--max-file-size", "big"], 2, "500M"),
        (["nonsense"], 2, "No such command"),
        (["query"], 2, "PROBE"),
        (["info", "--index", "nowhere"], 1, "no index"),
    ],
)
def test_errors_are_one_line_with_the_remedy(photos, capsys, args, code, words):
    assert cli.main(args) == code

    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("imgdup: ")
    assert err.count("\n") == 1


def test_a_file_that_is_no_index_is_refused(photos, tmp_path, capsys):
    (tmp_path / ".imgdup").mkdir()
    (tmp_path / ".imgdup" / "current").write_text('{"generation": 1}')

    assert cli.main(["query", "photos/p0.jpg"]) == 1

    err = capsys.readouterr().err
    assert "current" in err
    assert err.count("\n") == 1


def test_an_index_folder_that_cannot_be_written_is_found_out_first(photos, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")

    assert cli.main(["index", "photos", "--index", "file"]) == 1

    err = capsys.readouterr().err
    assert "--index" in err
    assert err.count("\n") == 1


def test_an_empty_folder_is_done_with_a_note(photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()

    code = cli.main(["index", "empty", "--index", "other"])

    assert code == 0
    assert "no images found" in capsys.readouterr().err


def test_the_index_is_found_from_a_folder_below(indexed, monkeypatch, capsysbinary):
    monkeypatch.chdir(indexed)

    assert cli.main(["query", "p1.jpg"]) == 0


def test_the_index_may_be_named_by_the_environment(photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("IMGDUP_INDEX", str(tmp_path / "elsewhere"))

    cli.main(["index", "photos", "--workers", "1"])

    assert (tmp_path / "elsewhere" / "current").exists()
    assert cli.main(["info"]) == 0


def test_the_words_offered_are_those_there_are():
    assert sorted(HASHES) == sorted(HASHERS)
    assert sorted(EXPORTS) == sorted(FORMATS)


def test_help_and_usage_errors_import_nothing_heavy(photos):
    heavy = "cv2 numpy PIL".split()
    script = (
        "import sys; from imgdup.cli import main; main(sys.argv[1:]);"
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )

    for args in (["-h"], ["index", "-h"], ["query"], ["index", "--workers", "x"]):
        result = subprocess.run(
            [sys.executable, "-c", script, *args], capture_output=True, text=True
        )
        assert result.stderr.splitlines()[-1] == "[]", args


def test_other_errors_are_raised_without_opencv(photos):
    script = (
        "import sys; from imgdup.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('cv2',) if m in sys.modules], file=sys.stderr)"
    )

    for args in (["query", "x.jpg"], ["info"], ["index"], ["index", "nowhere"]):
        result = subprocess.run(
            [sys.executable, "-c", script, *args], capture_output=True, text=True
        )
        assert result.stderr.splitlines()[-1] == "[]", args


@needs_posix
def test_a_closed_pipe_ends_quietly(indexed):
    command = f"{sys.executable} -m imgdup query photos photos photos -k 4 | head -1"

    result = subprocess.run(command, shell=True, capture_output=True, timeout=250)

    assert result.stdout.count(b"\n") == 1
    assert result.stderr == b""


@needs_posix
@pytest.mark.usefixtures("indexed_as_the_tutorial_does")
@pytest.mark.parametrize("form", EXPORTS)
def test_an_export_that_no_one_reads_is_no_failure(form):
    done = with_a_closed_pipe("export", "--format", form)

    assert (done.code, done.err) == (0, b"")


@pytest.mark.parametrize("command", ["index", "forget"])
def test_an_empty_name_is_not_the_current_folder(indexed, capsys, command):
    code = cli.main([command, ""])

    assert code == 2
    assert "a path is empty: use ." in capsys.readouterr().err


@needs_full
def test_a_full_device_is_an_error(indexed):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "imgdup", "query", "photos/p0.jpg"],
            stdout=full, stderr=subprocess.PIPE, timeout=250,
        )  # fmt: skip

    assert result.returncode == 1
    assert result.stderr.startswith(b"imgdup: cannot write the output: No space left")
    assert result.stderr.count(b"\n") == 1


@needs_posix
def test_odd_names_are_read_back_from_json_lines_and_null(photos, tmp_path):
    name = os.fsencode(photos) + b"/\xff\n\t\xe2\x80\xae'\".jpg"
    with open(name, "wb") as file:
        file.write((photos / "p0.jpg").read_bytes())
    in_process("index", "photos", "--workers", "1")

    as_json = in_process("query", "photos/p0.jpg", "--json").out
    as_lines = in_process("query", "photos/p0.jpg").out
    raw = in_process("query", "photos/p0.jpg", "--null").out
    back = imgdup("query", "-", "--null", "-k", "1", input=raw, cwd=tmp_path)

    real = os.fsencode(os.path.realpath(photos)) + b"/" + os.path.basename(name)
    from imgdup.system.records import path_from_json

    assert real in [path_from_json(json.loads(line)) for line in as_json.splitlines()]
    assert real in [tsv_fields(line)[4] for line in as_lines.splitlines()]
    assert real in raw.split(b"\0")
    assert back.returncode == 0
    assert len(back.stdout.split(b"\0")) - 1 == len(raw.split(b"\0")) - 1


@needs_posix
def test_plain_ascii_output_breaks_nothing(photos, tmp_path):
    (photos / "\u00fcber.jpg").write_bytes(b"bad")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}

    result = imgdup("index", "photos", "--workers", "1", cwd=tmp_path, env=environment)

    assert result.returncode == 3
    assert b"ber.jpg: not-an-image" in result.stderr
    assert b"Traceback" not in result.stderr


@needs_posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_soon_and_keeps_its_parts(tmp_path, number, code):
    many = tmp_path / "many"
    many.mkdir()
    data = painted(1, 1600, 1200, ".png")
    for i in range(200):
        (many / f"{i:03}.png").write_bytes(data)
    process = subprocess.Popen(
        [sys.executable, "-m", "imgdup", "index", "many", "--workers", "2"],
        cwd=tmp_path, stderr=subprocess.PIPE,
    )  # fmt: skip
    parts = tmp_path / ".imgdup" / "parts"
    deadline = time.monotonic() + 250  # a busy machine may need long
    while time.monotonic() < deadline and not (parts.is_dir() and any(parts.iterdir())):
        time.sleep(0.05)

    process.send_signal(number)
    _, err = process.communicate(timeout=250)

    assert process.returncode == code
    assert b"Traceback" not in err
    assert err.strip().count(b"\n") == 0
    assert any(parts.iterdir())
    assert not (tmp_path / ".imgdup" / "current").exists()


class Interrupts:
    """Finds one module, and is interrupted at it as by Ctrl-C."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["imgdup.cli", "imgdup.build.roots"])
def test_an_interruption_while_modules_load_is_one_line(photos, monkeypatch, capsys, name):
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(sys, "argv", ["imgdup", "index", "photos"])
    monkeypatch.setattr(sys, "meta_path", [Interrupts(name), *sys.meta_path])
    for loaded in [each for each in sys.modules if each.startswith(name)]:
        monkeypatch.delitem(sys.modules, loaded)
    package, _, module = name.rpartition(".")
    monkeypatch.delattr(sys.modules[package], module, raising=False)

    code = __main__.run()

    (line,) = capsys.readouterr().err.split("\n")[-2:-1]
    assert code == 130
    assert line.startswith("imgdup: interrupted")


def test_remembered_scan_options_can_be_switched_off(photos, tmp_path, capsys):
    for name in (".hidden.png", "thumb.png"):
        shutil.copy2(photos / "small.png", photos / name)
    (photos / "link.png").symlink_to("small.png")

    def seen(*options):
        assert cli.main(["index", "photos", "--json", "--allow-removals", *options]) == 0
        return json.loads(capsys.readouterr().out)["seen"]

    taken = ["--hidden", "--follow-symlinks", "--exclude", "thumb*"]
    found = [
        seen(*taken), seen(), seen("--no-hidden"), seen("--no-follow-symlinks"),
        seen("--exclude", ""), seen(),
    ]  # fmt: skip

    assert found == [6, 6, 5, 4, 5, 5]
