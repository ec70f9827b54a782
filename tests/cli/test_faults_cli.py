"""Faults of the command line: every end is one line and the right exit code.

Commands run in this process through `main`; what is about streams, limits and terminals runs
``python -m imgdup`` as a shell would.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from make_sample import encode, photo

from cli_runs import (
    IMGDUP,
    in_process,
    on_a_terminal,
    run,
    shell,
    stream,
    terminal,
    with_a_full_device,
)
from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.output import progress
from imgdup.query.check_index import check_deep
from imgdup.system.records import path_from_json
from imgdup.workers.pool import inline
from printed_lines import tsv_fields, unescape

pytestmark = pytest.mark.usefixtures("in_process")

OLD = (1_600_000_000, 1_600_000_000)
ODD_NAMES = [
    b"\xff\xfe.jpg",  # not UTF-8
    b"tab\there.jpg",
    b"line\nbreak\r.jpg",
    b"-leading dash.jpg",
    b"back\\slash \\n.jpg",
    b"quote\"'$(touch x).jpg",
    b"\xe2\x80\xaegpj.exe.jpg",  # shown from right to left
    b"caf\xc3\xa9.jpg",
    b"cafe\xcc\x81.jpg",  # the same to the eye
    b"\x1b[31mred\x07.jpg",  # commands a terminal
    b" blanks  .jpg",
]
# Python as in a C locale of old: nothing but ASCII.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}

posix = pytest.mark.skipif(os.name != "posix", reason="needs a shell, names and streams of POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Three photos, a half-size copy of the first, and their index; no test changes them."""
    place = tmp_path_factory.mktemp("indexed")
    (place / "photos").mkdir()
    for seed in range(3):
        (place / "photos" / f"p{seed}.jpg").write_bytes(encode(photo(seed, 320, 240), ".jpg"))
    small = photo(0, 320, 240)[::2, ::2]
    (place / "photos" / "small.png").write_bytes(encode(small, ".png"))
    for file in (place / "photos").iterdir():
        os.utime(file, OLD)
    build_index(place)
    return place


def build_index(place):
    """Index the photos in a folder, without another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imgdup.workers.pool.Processes", inline)
        patch.chdir(place)
        patch.delenv("IMGDUP_INDEX", raising=False)
        assert in_process("index", "photos", "--quiet", "--workers", "1") == (0, b"", b"")


@pytest.fixture
def here(indexed, monkeypatch):
    """That folder as the current one."""
    monkeypatch.chdir(indexed)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return indexed


@pytest.fixture
def photos(indexed, tmp_path, monkeypatch):
    """Photos of a test's own, in the current folder, not indexed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    shutil.copytree(indexed / "photos", tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of copies of one photo under names that break lines, and its index."""
    place = tmp_path_factory.mktemp("odd")
    folder = os.fsencode(place / "photos")
    os.mkdir(folder)
    data = encode(photo(1, 320, 240), ".jpg")
    for name in ODD_NAMES:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    build_index(place)
    return place


def odd_paths(place):
    folder = os.fsencode(os.path.realpath(place / "photos"))
    return sorted(os.path.join(folder, name) for name in ODD_NAMES)


def fails(capsys, *args):
    """Run a command that must fail with one line on stderr and nothing on stdout."""
    code = cli.main(args)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("imgdup: ")
    assert err.count("\n") == 1
    return code, err


# ---- options out of range


@pytest.mark.parametrize("value", ["-1", "65", "1.5", "abc", "", "1e3", "0x10"])
@pytest.mark.parametrize("command", [["query", "photos/p0.jpg"], ["pairs", "--by", "search"]])
def test_an_impossible_distance_is_refused_with_the_range(here, capsys, command, value):
    code, err = fails(capsys, *command, f"--max-dist={value}")

    assert code == 2
    assert "0 to 64" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["query", "x", "-k", "0"], "x>=1"),
        (["split", "--ratios", "a=1", "--out", "x", "--seed", "-1"], "x>=0"),
        (["compare", "x", "y", "--max-leaks", "few"], "'few' is not a valid number"),
        (["index", "x", "--workers", "0"], "x>=1"),
        (["index", "x", "--workers", "many"], "'many' is not a valid number"),
        (["index", "x", "--bits", "63"], "not one of '64', '256'"),
        (["index", "x", "--hash", "md5"], "'dhash'"),
        (["index", "x", "--timeout", "0"], "x>=0.1"),
        (["index", "x", "--timeout", "soon"], "'soon' is not a valid number of seconds"),
        (["index", "x", "--max-pixels", "0"], "x>=1"),
        (["index", "x", "--max-file-size", "0"], "as in 500M or 1G"),
        (["index", "x", "--max-file-size", "\u00b2"], "as in 500M or 1G"),
        (["index", "x", "--max-file-size", "9" * 5000], "as in 500M or 1G"),
        (["index", "x", "--worker-memory", "-1G"], "as in 500M or 1G"),
        (["export", "--format", "xml", "-o", "x"], "'pickle'"),
        (["pairs", "--by", "name"], "'match', 'search'"),
        (["index", "x", "--depth", "3"], "No such option"),
        (["\x1b[31m"], "No such command '\\x1b[31m'"),
    ],
)
def test_other_wrong_options_are_refused_with_what_they_may_be(here, capsys, args, words):
    code, err = fails(capsys, *args)

    assert code == 2
    assert words in err
    assert "--help" in err


@pytest.mark.parametrize(
    "args",
    [
        ["apply", "plan.jsonl", "--yes", "--move-to"],
        ["apply", "plan.jsonl", "--write-to"],
        ["apply"],
        ["undo"],
        ["dedupe", "--plan"],
        ["query", "photos/p0.jpg", "--montage"],
        ["split", "--ratios", "a=1", "--out"],
        ["index", "--index"],
    ],
    ids=" ".join,
)
def test_an_empty_path_as_of_a_variable_that_is_not_set_is_not_the_current_folder(
    here, capsys, args
):
    code, err = fails(capsys, *args, "")

    assert code == 2
    assert "the path is empty: give one, or . for the current folder" in err


def test_a_file_is_no_folder_of_checkpoints(here, capsys):
    args = ["pairs", "--shards", "2", "--checkpoints", "photos/p0.jpg"]
    code, err = fails(capsys, *args)

    assert code == 2
    assert "'photos/p0.jpg' is a file" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--hash", "pdq", "--bits", "64"], "pdq of 64 bits does not exist; choose 256 bits"),
        (["--timeout", "nan"], "timeout_s must be above 0 and at most 1,000,000"),
        (["--timeout", "1e300"], "timeout_s must be above 0 and at most 1,000,000"),
        (["--worker-memory", "99999999999T"], "worker_memory_bytes must be above 0 and at most"),
    ],
)
def test_impossible_options_make_no_index(photos, capsys, args, words):
    code, err = fails(capsys, "index", "photos", *args)

    assert code == 2
    assert words in err
    assert not os.path.exists(".imgdup")


# ---- no index

COMMANDS = [
    ["query", "photos/p0.jpg"],
    ["pairs"],
    ["dedupe"],
    ["info"],
    ["check"],
    ["export", "--format", "pickle", "-o", "out"],
    ["forget", "photos"],
    ["index"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_missing_index_is_not_made_and_the_error_names_the_remedy(
    here, tmp_path, capsys, command
):
    (tmp_path / "empty").mkdir()

    places = [str(tmp_path / name) for name in ("nowhere", "empty")]
    answers = [fails(capsys, *command, "--index", place) for place in places]

    assert [code for code, _ in answers] == [1, 1]
    assert all("imgdup index DIR" in err for _, err in answers)
    assert os.listdir(tmp_path) == ["empty"]
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize("place", ["photos/p0.jpg", "photos/p0.jpg/below", os.devnull])
@pytest.mark.parametrize(
    "command", [*COMMANDS, ["index", "photos"]], ids=lambda command: " ".join(command)
)
def test_a_file_is_no_index_folder(here, capsys, command, place):
    code, err = fails(capsys, *command, "--index", place)

    assert code == 1
    assert "is a file, not an index folder; name one with --index FOLDER" in err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda place: (place / "current").write_bytes(b"\xff{"), "current: "),
        (lambda place: (place / "current").write_text('{"generation": 1}'), "expected the keys"),
        (lambda place: (place / "index.1").write_text("text"), "not an imgdup index file"),
        (lambda place: os.truncate(place / "index.1", 5000), "truncated: 5000 of"),
        (lambda place: (place / "index.1").unlink(), "is missing"),
    ],
    ids=["current is garbage", "current is short", "text", "truncated", "no generation"],
)
@pytest.mark.parametrize("command", [["info"], ["index"], ["index", "photos"]], ids=" ".join)
def test_a_damaged_index_is_named_with_the_remedy(
    indexed, photos, tmp_path, capsys, command, damage, words
):
    shutil.copytree(indexed / ".imgdup", tmp_path / ".imgdup")
    damage(tmp_path / ".imgdup")

    code, err = fails(capsys, *command)

    assert code == 1
    assert words in err
    assert "imgdup index again" in err


# ---- nothing there


def test_an_empty_folder_is_done_with_a_note(photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("no image")

    for folder in ("empty", "texts"):
        assert cli.main(["index", folder, "--index", f"{folder}.index"]) == 0
        assert capsys.readouterr().err == "no images found\n"
        assert cli.main(["query", folder, "--index", f"{folder}.index"]) == 0
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["index", "query", "pairs", "dedupe"])
def test_a_path_that_is_not_there_is_a_usage_error(here, capsys, command):
    code, err = fails(capsys, command, "nowhere")

    assert code == 2
    assert "'nowhere': no such file or folder" in err


# ---- a probe that cannot be read


def test_a_bad_probe_fails_with_the_words_of_indexing(photos, capsys):
    (photos / "text.jpg").write_text("text")
    (photos / "cut.jpg").write_bytes((photos / "p0.jpg").read_bytes()[:2000])
    flipped = bytearray((photos / "small.png").read_bytes())
    flipped[1000] ^= 1
    (photos / "flipped.png").write_bytes(flipped)
    cli.main(["index", "photos", "--quiet", "--workers", "1", "--errors", "errors.jsonl"])
    capsys.readouterr()

    with open("errors.jsonl") as file:
        failures = [json.loads(line) for line in file]
    answers = [fails(capsys, "query", failure["path"]) for failure in failures]

    assert answers == [
        (1, f"imgdup: {failure['path']}: {failure['reason']}: {failure['detail']}\n")
        for failure in failures
    ]
    assert {failure["reason"] for failure in failures} == {"not-an-image", "truncated", "damaged"}


# ---- output that no one takes

OUTPUTS = [
    ["query", "photos", "-k", "4"],
    ["query", "photos", "-k", "4", "--json"],
    ["query", "photos", "-k", "4", "--null"],
    ["pairs"],
    ["pairs", "--json"],
    ["dedupe", "--json"],
    ["info"],
    ["index", "--json"],
]


@needs_full
@pytest.mark.parametrize("args", [*OUTPUTS, ["-h"], ["--version"]], ids=" ".join)
def test_a_full_device_is_an_error(here, args):
    done = with_a_full_device(*args)

    errors = [line for line in done.err.splitlines() if line.startswith(b"imgdup: ")]
    assert done.code == 1
    assert errors == [b"imgdup: cannot write the output: No space left on device"]


@needs_full
def test_a_full_device_ends_the_process_with_one_line(here):
    full = shell("imgdup query photos >/dev/full")

    assert full == (1, b"", b"imgdup: cannot write the output: No space left on device\n")


@needs_full
def test_messages_that_cannot_be_written_change_no_exit_code(here, capsys):
    with open("/dev/full", "wb") as full, stream("stderr", full.fileno()):
        codes = [cli.main(args) for args in (["query", "nowhere"], ["check"], ["nonsense"])]

    assert codes == [2, 0, 2]


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_stop_nothing_and_no_file_gets_their_numbers(photos, closed):
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))  # libpng complains

    done = shell(f"imgdup index photos --workers 1 {closed}")

    assert done.code == 3
    assert b"Traceback" not in done.err
    assert (b"4 hashed" in done.out) == (closed == "<&-")
    assert list(check_deep(ImageIndex.open(".imgdup").rows)) == []


@posix
def test_an_output_file_never_replaces_a_device_or_pipe(here, capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe = str(tmp_path / "pipe")

    for args in (
        ["index", "--errors", pipe],
        ["export", "--format", "pickle", "-o", pipe],
        ["dedupe", "--plan", pipe],
    ):
        code, err = fails(capsys, *args)
        assert code == 1
        assert "it exists and is not a regular file" in err


@posix
def test_a_terminal_that_is_closed_stops_nothing(photos):
    ours, theirs = terminal(80)
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *IMGDUP, "index", "photos"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    os.close(ours)

    out, _ = process.communicate(timeout=250)

    assert process.returncode == 0
    assert out.startswith(b"4 seen: 4 hashed")


# ---- terminals of all kinds

ESCAPE = b"\x1b"


@pytest.fixture
def term(monkeypatch):
    """Sets the environment of a terminal."""
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch.setenv


@posix
def test_without_a_terminal_there_are_plain_lines(photos):
    done = in_process("index", "photos", "--workers", "1")

    assert done.code == 0
    assert re.fullmatch(rb"4 seen: 4 hashed, [ -~]*images/s\n", done.out)
    assert done.err == b""


@posix
def test_a_dumb_terminal_gets_no_control_codes(photos, term):
    term("TERM", "dumb")

    code, written = on_a_terminal("pairs", "photos")  # indexes them, too

    assert code == 0
    assert ESCAPE not in written
    assert b"\r" not in written


@posix
def test_no_colour_is_used_with_or_without_no_color(photos, term):
    code, written = on_a_terminal("index", "photos", "--workers", "1")
    term("NO_COLOR", "1")
    again, rewritten = on_a_terminal("query", "photos")

    assert (code, again) == (0, 0)
    assert b"100%" in written
    assert re.findall(rb"\x1b\[[0-9;]*m", written + rewritten) == []


@posix
def test_on_twenty_columns_no_path_is_cut_or_broken(here, term):
    code, written = on_a_terminal("query", "photos/p0.jpg", "--max-dist", "10", columns=20)

    lines = written.decode().split("\n")
    assert code == 0
    for name in ("photos/p0.jpg", "photos/small.png"):
        assert f"path   {name}" in lines


@posix
@pytest.mark.parametrize(
    "command", [["pairs"], ["compare", "photos", "copy"]], ids=["pairs", "compare"]
)
def test_paths_of_pairs_and_leaks_are_one_piece_on_forty_columns(photos, term, command):
    shutil.copytree(photos, photos.with_name("copy"))
    for folder in ("photos", "copy"):
        in_process("index", folder, "--workers", "1", "--quiet")
    in_process("compare", "photos", "copy")  # says what it indexes

    code, written = on_a_terminal(*command, columns=40)

    table = written.decode().partition("dist  ")[2]
    rows = [line for line in table.split("\n")[1:] if line.startswith("  ")]
    assert code == 0
    assert any(row.endswith("photos/small.png") for row in rows)


def printed_as(monkeypatch, encoding, *args):
    """Run a command whose stdout encodes strictly, as in a UTF-8 locale; return what it prints."""
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert cli.main([*args]) == 0
    return out.buffer.getvalue()


@linux
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_line_about_a_folder_of_an_odd_name_can_be_encoded(photos, monkeypatch, encoding):
    odd, other, cleaned = (f"{name}\udcff\n\x1b[31m" for name in ("index", "other", "cleaned"))
    escaped = b"\\xff\\n\\x1b[31m\n"
    shutil.copy(photos / "p0.jpg", photos / "again.jpg")
    cli.main(["dedupe", "photos", "--index", odd, "--plan", "plan.jsonl"])

    for args, end in [
        (["check", "--index", odd], b"index"),
        (["merge", odd, "-o", other], b"other"),
        (["subtract", odd, other, "-o", other, "--force"], b"other"),
        (["apply", "plan.jsonl", "--index", odd, "--write-to", cleaned], b"cleaned"),
    ]:
        assert printed_as(monkeypatch, encoding, *args).endswith(end + escaped), args

    split = ["split", "--index", odd, "--ratios", "\u00e9=1", "--out", "lists"]
    name = "\u00e9".encode() if encoding == "utf-8" else b"\\xc3\\xa9"
    assert printed_as(monkeypatch, encoding, *split).startswith(name + b" ")


@posix
@pytest.mark.parametrize("columns", [1, 20])
def test_progress_fits_into_the_columns(here, term, columns):
    code, written = on_a_terminal("index", columns=columns)

    shown = re.split(rb"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", written.partition(b"4 seen")[0])
    assert code == 0
    assert b"looking for images ..."[:columns] in shown
    assert max(len(line.decode()) for line in shown) <= columns


@posix
def test_a_terminal_of_no_size_gets_80_columns(here, term):
    code, written = on_a_terminal("query", "photos/p0.jpg", columns=0)

    assert code == 0
    assert b"dist  match  by    dup" in written


@posix
@pytest.mark.parametrize("args", [["query", "photos", "-k", "2"], ["info"], ["check"], ["pairs"]])
def test_in_ascii_everything_is_printed_and_escaped(odd, monkeypatch, term, args):
    monkeypatch.chdir(odd)
    term("PYTHONIOENCODING", "ascii")

    code, written = on_a_terminal(*args)

    assert code == 0
    assert re.fullmatch(rb"[\n\r -~]*", written.replace(b"\x1b[K", b""))


@posix
def test_in_ascii_failures_are_named_and_escaped(photos):
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(b"text")

    done = run("index", "photos", "--workers", "1", env={**os.environ, **ASCII})

    named = [unescape(line.rpartition(b": ")[0]) for line in done.err.splitlines()[:10]]
    folder = os.fsencode(os.path.realpath(photos))
    assert done.code == 3
    assert re.fullmatch(rb"[\n -~]*", done.err)
    assert named == sorted(os.path.join(folder, name) for name in ODD_NAMES)[:10]


def test_a_name_in_an_error_cannot_command_the_terminal(here, capsys):
    code, err = fails(capsys, "query", "\x1b]0;title\x07\u202e\n.jpg")

    assert code == 2
    assert err.replace("\n", "").isprintable()


def test_the_bar_is_not_drawn_on_a_dumb_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    shown = {}
    for kind in ("dumb", "xterm"):
        monkeypatch.setenv("TERM", kind)
        shown[kind] = progress.Bar(quiet=False).shown

    assert shown == {"dumb": False, "xterm": True}


# ---- JSON


def json_records(out):
    """Objects of JSON lines, by a reader that takes nothing but JSON."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    lines = out.split(b"\n")
    assert lines.pop() == b""
    records = [json.loads(line.decode("ascii"), parse_constant=refuse) for line in lines]
    assert all(type(record) is dict for record in records)
    return records


@posix
@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["query", "photos", "--max-dist", "0", "--json"], ["probe", "path"]),
        (["pairs", "--json"], ["a", "b"]),
    ],
    ids=["query", "pairs"],
)
def test_odd_names_are_read_back_from_json(odd, capsysbinary, monkeypatch, args, keys):
    monkeypatch.chdir(odd)

    code = cli.main(args)

    records = json_records(capsysbinary.readouterr().out)
    found = {path_from_json(record, key) for record in records for key in keys}
    assert code == 0
    assert sorted(found) == odd_paths(odd)
    assert not any("\udc80" <= c <= "\udcff" for r in records for c in str(r))


@posix
def test_failures_are_read_back_from_json(photos, capsysbinary):
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(b"text")

    cli.main(["index", "photos", "--quiet", "--workers", "1", "--errors", "errors", "--json"])

    (summary,) = json_records(capsysbinary.readouterr().out)
    with open("errors", "rb") as file:
        records = json_records(file.read())
    folder = os.fsencode(os.path.realpath(photos))
    assert summary["failed"] == len(ODD_NAMES)
    assert [path_from_json(record) for record in records] == sorted(
        os.path.join(folder, name) for name in ODD_NAMES
    )


@posix
def test_an_odd_root_is_read_back_from_json(tmp_path, capsysbinary, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = os.path.join(os.fsencode(os.path.realpath(tmp_path)), b"\xffroot\n")
    os.mkdir(root)
    (tmp_path / "plain").mkdir()
    cli.main(["index", os.fsdecode(root), "plain", "--quiet"])
    capsysbinary.readouterr()

    cli.main(["info", "--json"])

    (facts,) = json_records(capsysbinary.readouterr().out)
    roots = [
        path_from_json({"path": text, "path_b64": lossless})
        for text, lossless in zip(facts["roots"], facts["roots_b64"], strict=True)
    ]
    assert sorted(roots) == sorted([root, os.fsencode(os.path.realpath(tmp_path / "plain"))])


@posix
def test_a_plan_of_odd_names_is_verified(odd, capsysbinary, monkeypatch, tmp_path):
    monkeypatch.chdir(odd)
    plan = str(tmp_path / "plan.jsonl")

    made = cli.main(["dedupe", "--plan", plan, "--json"])
    checked = cli.main(["check", plan])

    with open(plan, "rb") as file:
        _, *removals = json_records(file.read())
    paths = {path_from_json(record, key) for record in removals for key in ("remove", "keep")}
    assert (made, checked) == (0, 0)
    assert sorted(paths) == odd_paths(odd)


@posix
def test_odd_names_are_read_back_from_lines_and_nul_and_accepted_as_input(
    odd, tmp_path, monkeypatch
):
    monkeypatch.chdir(odd)

    lines = in_process("query", "photos/-leading dash.jpg", "--max-dist", "0").out
    raw = in_process("query", "photos/-leading dash.jpg", "--max-dist", "0", "--null").out
    listed(monkeypatch, raw)
    again = in_process("index", "-", "--null", "--index", str(tmp_path / "again"))

    assert sorted(tsv_fields(line)[4] for line in lines.splitlines()) == odd_paths(odd)
    assert sorted(raw.split(b"\0")[:-1]) == odd_paths(odd)
    assert again.code == 0
    assert sorted(paths_of(tmp_path / "again")) == odd_paths(odd)


def paths_of(place):
    index = ImageIndex.open(place).rows
    return [index.path(row) for row in range(len(index))]


# ---- lists on standard input


def listed(monkeypatch, data):
    """Let this process find a list on its standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"photos/p0.jpg\n\n\nphotos/p1.jpg\nphotos/p0.jpg", []),
        (b"photos/p1.jpg\r\nphotos/p0.jpg\r\n\r\n", []),
        (b"./photos/../photos/p0.jpg\nphotos//p1.jpg\nphotos/p0.jpg\n", []),
        (b"\0photos/p0.jpg\0\0photos/p1.jpg\0photos/p1.jpg", ["--null"]),
    ],
    ids=["blank lines and duplicates", "CRLF", "other ways to say it", "NULs"],
)
def test_each_listed_file_counts_once(photos, monkeypatch, capsys, data, options):
    listed(monkeypatch, data)

    code = cli.main(["index", "-", "--workers", "1", "--json", *options])

    folder = os.fsencode(os.path.realpath(photos))
    assert code == 0
    assert json.loads(capsys.readouterr().out)["seen"] == 2
    assert paths_of(".imgdup") == [folder + b"/p0.jpg", folder + b"/p1.jpg"]


def test_a_list_of_probes_is_read_alike(here, monkeypatch, capsysbinary):
    listed(monkeypatch, b"photos/p0.jpg\r\n\nphotos/p1.jpg")

    code = cli.main(["query", "-", "-k", "1", "--json"])

    records = json_records(capsysbinary.readouterr().out)
    assert code == 0
    assert [os.path.basename(record["probe"]) for record in records] == ["p0.jpg", "p1.jpg"]


@pytest.mark.parametrize("command", ["index", "query"])
def test_a_list_separated_by_nul_needs_the_option_null(here, monkeypatch, capsys, command):
    listed(monkeypatch, b"photos/p0.jpg\0photos/p1.jpg\0")

    code, err = fails(capsys, command, "-")

    assert code == 2
    assert "--null" in err


@pytest.mark.parametrize("command", ["index", "query"])
@pytest.mark.parametrize("data", [b"", b"\n\r\n\n"])
def test_an_empty_list_is_done_with_a_note(here, monkeypatch, capsys, command, data):
    listed(monkeypatch, data)

    code = cli.main([command, "-"])

    assert code == 0
    assert "the list on stdin is empty" in capsys.readouterr().err


# ---- the same folder by several names


@pytest.mark.parametrize(
    "names",
    [
        ["photos", "photos/", "./photos/../photos"],
        ["photos/sub", "photos"],
        [".", "photos", "photos/sub", "photos/p0.jpg"],
    ],
    ids=" ".join,
)
def test_each_file_counts_once(photos, capsys, names):
    (photos / "sub").mkdir()
    (photos / "p2.jpg").rename(photos / "sub" / "p2.jpg")

    code = cli.main(["index", *names, "--workers", "1", "--json"])
    cli.main(["index", *reversed(names), "--json"])

    first, again = map(json.loads, capsys.readouterr().out.splitlines())
    assert code == 0
    assert (first["seen"], first["hashed"]) == (4, 4)
    assert (again["seen"], again["hashed"], again["written"]) == (4, 0, False)
    assert len(paths_of(".imgdup")) == 4


@posix
def test_a_link_to_a_folder_is_that_folder(photos, tmp_path, capsys):
    (tmp_path / "link").symlink_to("photos")

    cli.main(["index", "photos", "link", "--workers", "1", "--json"])

    assert json.loads(capsys.readouterr().out)["seen"] == 4
    assert len(ImageIndex.open(".imgdup").rows.roots) == 1


def test_the_index_in_the_folder_is_not_indexed(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    cli.main(["index", ".", "--hidden", "--quiet", "--workers", "1"])
    (photos / ".imgdup" / "trap.jpg").write_bytes((photos / "p0.jpg").read_bytes())

    cli.main(["index", ".", "--json"])

    assert json.loads(capsys.readouterr().out)["seen"] == 4


# ---- a process at its limits


@posix
def test_few_open_files_are_enough(photos):
    done = shell("ulimit -n 64; imgdup index photos --workers 2")

    assert done.code == 0
    assert b"4 hashed" in done.out


@linux
def test_too_few_open_files_are_an_error_with_the_remedy(photos):
    done = shell("ulimit -n 7; imgdup index photos --workers 2 --index other")

    *_, error = done.err.splitlines()
    assert done.code == 1
    assert re.fullmatch(rb"imgdup: .*Too many open files.*ulimit -n 1024", error)
    assert not os.path.exists("other/current")


@linux
@pytest.mark.parametrize("kilobytes", [60_000, 150_000, 320_000])
def test_with_too_little_memory_nothing_is_written_and_no_file_is_blamed(photos, kilobytes):
    done = shell(f"ulimit -v {kilobytes}; imgdup index photos --workers 1")

    assert done.code == 1
    assert b"Traceback" not in done.err
    assert not os.path.exists(".imgdup/current")


@linux
def test_a_query_with_too_little_memory_gives_one_line(here):
    done = shell("ulimit -v 150000; imgdup query photos/p0.jpg")

    assert done.code == 1
    assert done.out == b""
    assert re.fullmatch(rb"imgdup: [^\n]*(memory|ulimit)[^\n]*\n", done.err)


@linux
def test_a_worker_without_memory_is_an_error_and_no_file_is_blamed(photos):
    done = run("index", "photos", "--workers", "1", "--worker-memory", "10M")

    assert done.code == 1
    assert done.err.startswith(b"imgdup: a decoding process cannot get 64 MB of memory")
    assert done.err.count(b"\n") == 1


# ---- what needs no decoder waits for none


def test_help_and_usage_need_neither_numpy_nor_decoders(here):
    commands = [
        ["-h"],
        ["--version"],
        ["index", "-h"],
        ["query"],
        ["nonsense"],
        ["index", "--workers", "x"],
        ["query", "x", "--max-dist", "x"],
    ]

    assert imported(commands, "numpy cv2 PIL rich multiprocessing") == {}


def test_other_errors_and_unchanged_updates_need_no_decoder(here):
    commands = [
        ["index", "nowhere"],
        ["index", "--index", "nowhere"],
        ["query", "nowhere"],
        ["query", "photos/p0.jpg", "--max-dist", "65"],
        ["query", "photos/p0.jpg", "--index", "nowhere"],
        ["info"],
        ["index"],
        ["forget", "nowhere"],
    ]

    assert imported(commands, "cv2 PIL") == {}


def imported(commands, packages):
    """Which of some packages are imported by the commands, run one after the other."""
    script = (
        "import json, sys\n"
        "from imgdup.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    main(command)\n"
        f"    found = [name for name in {packages.split()} if name in sys.modules]\n"
        "    if found:\n"
        "        raise SystemExit(json.dumps({' '.join(command): found}))\n"
        "raise SystemExit('{}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    return json.loads(done.stderr.splitlines()[-1])
