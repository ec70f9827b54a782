"""compare as a gate: what passes, what fails, and what its reports say about it."""

import html
import json
import os
import re
import shutil
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from make_sample import encode

from encoded import painted
from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.dedupe.leaks import UnreadLimit

pytestmark = pytest.mark.usefixtures("in_process")

HOSTILE = "@a|b`*_[x](www.c)<img src=x onerror=alert(1)>&amp;]]>\x1b\uffff.jpg"


def compare(*options):
    return cli.main(["compare", "train", "test", *options])


def old_file(path, content):
    path.write_bytes(content)
    os.utime(path, (1_600_000_000, 1_600_000_000))


@pytest.fixture
def damaged(sets):
    """test has a file that cannot be read, and a picture of a format that is not decoded."""
    old_file(sets / "test" / "cat" / "bad.jpg", b"no picture")
    old_file(sets / "test" / "cat" / "light.exr", b"no picture either")
    return sets


def test_a_set_of_which_too_much_could_not_be_read_does_not_pass(damaged, capsys):
    compare()  # from now on the failures are known
    expected = {
        "--max-leaks 2": 4,
        "--max-leaks 2 --max-unread 1": 4,
        "--max-leaks 2 --max-unread 2": 0,
        "--max-leaks 2 --max-unread 33%": 4,
        "--max-leaks 2 --max-unread 33.4%": 0,
        "--max-leaks 1 --max-unread 100%": 4,
        "--max-unread 0": 4,
        "": 0,
    }

    assert {options: compare(*options.split()) for options in expected} == expected


def test_a_share_is_exact():
    limit = UnreadLimit(Fraction("0.57"), is_percent=True)

    allowed = [n for n in range(100) if limit.allows(n, 10_000)]

    assert allowed == list(range(58))
    assert str(limit) == "0.57%"


def test_the_reason_why_a_gate_fails_is_printed(damaged, capsys):
    assert compare("--max-leaks", "1") == 4

    err = capsys.readouterr().err
    assert "train: 8 files, all compared\n" in err
    assert "test: 6 files, 1 could not be read, 1 of formats that are not decoded\n" in err
    assert "looked for: files of equal bytes; " in err
    assert "can miss: copies that are cropped more, " in err
    assert err.endswith(
        "2 of 4 images leak, 1 label conflict\n"
        "imgdup: FAIL: 2 leaks, more than --max-leaks 1\n"
        "imgdup: FAIL: 2 of 6 files of test (33.3 %) could not be read, more than --max-unread 0\n"
    )


def test_a_gate_that_passes_prints_that(sets, capsys):
    assert compare("--max-leaks", "2") == 0

    assert capsys.readouterr().err.endswith("2 of 4 images leak, 1 label conflict\nPASS\n")


def test_pictures_with_too_little_structure_are_counted(sets, capsys):
    old_file(sets / "test" / "white.png", encode(np.full((64, 64, 3), 255, np.uint8), ".png"))

    compare("--max-leaks", "9")

    assert "test: 5 files, 1 with too little structure (compared by bytes only)\n" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("text", ["", "5.5", "-1", "101%", "5 %x", "nan"])
def test_a_limit_that_is_no_number_is_refused(capsys, text):
    assert compare("--max-unread", text) == 2

    assert "--max-unread" in capsys.readouterr().err


def test_accepted_leaks_do_not_count_but_new_ones_do(sets, capsys):
    compare("--json")
    (sets / "known.jsonl").write_text(capsys.readouterr().out)

    accepted = compare("--max-leaks", "0", "--accept", "known.jsonl", "--json")
    out, err = capsys.readouterr()
    old_file(sets / "test" / "new.jpg", painted(0, 320, 240, step=2))
    with_new = compare("--max-leaks", "0", "--accept", "known.jsonl", "--json")
    second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert (accepted, with_new) == (0, 4)
    assert [json.loads(line)["accepted"] for line in out.splitlines()] == [True, True]
    assert "2 of 4 images leak, 1 label conflict, 2 accepted\n" in err
    assert {os.path.basename(leak["path"]): leak["accepted"] for leak in second} == {
        "2.jpg": True,
        "3.jpg": True,
        "new.jpg": False,
    }


def test_a_leak_whose_content_changed_is_not_accepted(sets, capsys):
    compare("--json")
    (sets / "known.jsonl").write_text(capsys.readouterr().out)
    old_file(sets / "test" / "cat" / "3.jpg", painted(3, 320, 240, ".png", step=2))

    assert compare("--max-leaks", "0", "--accept", "known.jsonl") == 4

    assert "FAIL: 1 new leak, more than --max-leaks 0\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{}\n", "known.jsonl, line 1: 'digest' must be a text"),
        ("nonsense\n", "known.jsonl, line 1: not JSON"),
        ('{"digest": "00", "duplicate_digest": "00"}\n', "32 hex digits"),
    ],
)
def test_a_list_of_accepted_leaks_that_is_none_is_refused(sets, capsys, content, words):
    if content is not None:
        (sets / "known.jsonl").write_text(content)

    assert compare("--accept", "known.jsonl") == 2

    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_what_is_looked_for_depends_on_the_options(sets, capsys):
    compare("--max-leaks", "9")
    default = capsys.readouterr().err
    compare("--max-leaks", "9", "--no-orientations", "--no-verify", "--max-dist", "20")
    narrow = capsys.readouterr().err

    for words in (
        "at most 31 of 256 bits",
        "up to 2 %",
        "quarter turns",
        "small logo",
        "other angles",
    ):
        assert words in default
        assert words not in narrow
    assert "at most 20 of 256 bits. The pictures themselves were not compared.\n" in narrow
    assert "rotated or mirrored, distorted, or have a text" in narrow


def test_the_json_lines_do_not_depend_on_the_time(sets, capsys):
    printed = []
    for _ in range(2):
        compare("--json", "--max-leaks", "0", "--report", "leaks.html")
        printed.append(capsys.readouterr().out)

    assert printed[0] == printed[1]


def test_the_page_describes_what_was_compared_and_how(damaged, capsys):
    compare("--max-leaks", "2", "--report", "leaks.html")

    page = html.unescape((damaged / "leaks.html").read_text())
    digests = [ImageIndex.open(each).digest for each in (damaged / ".imgdup" / "sets").iterdir()]
    assert 'class="verdict FAIL"' in page
    for words in (
        *digests,
        str(damaged / "train"),
        str(damaged / "test"),
        "imgdup compare train test --max-leaks 2 --report leaks.html",
        "test: 6 files, 1 could not be read, 1 of formats that are not decoded",
        "2 of 6 files of test (33.3 %) could not be read, more than --max-unread 0",
        "--max-leaks 2, --max-unread 0",
        "cropped by up to 2 %",
    ):
        assert words in page
    assert re.search(r"<dt>date</dt><dd>20\d\d-\d\d-\d\dT", page)


def test_captions_of_the_page_begin_with_the_name_of_the_set(sets, capsys):
    compare("--report", "leaks.html")

    page = (sets / "leaks.html").read_text()
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    entries = [entry for group in json.loads(text)["groups"] for entry in (group[0], *group[1])]
    captions = {entry[0][entry[7] :] for entry in entries}
    assert captions == {"train/cat/3.jpg", "test/cat/3.jpg", "train/cat/2.jpg", "test/dog/2.jpg"}


@pytest.fixture
def hostile(sets):
    """A leak whose name, and whose label, mean something in Markdown, XML and HTML."""
    folder = sets / "test" / HOSTILE
    folder.mkdir()
    old_file(folder / HOSTILE, painted(0, 320, 240, step=2))
    return sets


def shown_name():
    return HOSTILE.replace("\x1b", "\\x1b").replace("\uffff", "\\uffff")


def test_junit_fails_the_new_leaks_and_skips_the_accepted(sets, capsys):
    compare("--json")
    first = capsys.readouterr().out.splitlines()[0]
    (sets / "known.jsonl").write_text(first + "\n")

    compare("--max-leaks", "0", "--accept", "known.jsonl", "--junit", "leaks.xml")

    suite = ElementTree.parse(sets / "leaks.xml").getroot()
    accepted = json.loads(first)["path"]
    by_name = {case.get("name"): case for case in suite.iter("testcase")}
    failed = [name for name, case in by_name.items() if case.find("failure") is not None]
    skipped = [name for name, case in by_name.items() if case.find("skipped") is not None]
    assert skipped == [accepted]
    assert len(failed) == 2
    assert failed[0] == "leaks"
    counts = {key: suite.get(key) for key in ("tests", "failures", "skipped")}
    assert counts == {"tests": "5", "failures": "2", "skipped": "1"}


@pytest.mark.parametrize(("limit", "n_failed"), [(["--max-leaks", "2"], 0), ([], 0)])
def test_junit_fails_nothing_where_the_gate_passes(sets, capsys, limit, n_failed):
    assert compare(*limit, "--junit", "leaks.xml") == 0

    suite = ElementTree.parse(sets / "leaks.xml").getroot()
    assert suite.get("failures") == "0"
    assert not suite.findall(".//failure")


def test_hostile_names_are_only_text_in_junit(hostile, capsys):
    compare("--max-leaks", "0", "--junit", "leaks.xml")

    suite = ElementTree.parse(hostile / "leaks.xml").getroot()
    names = [case.get("name") for case in suite.iter("testcase")]
    assert any(name.endswith(shown_name()) for name in names)
    assert {element.tag for element in suite.iter()} == {
        "testsuite", "properties", "property", "testcase", "failure", "system-out",
    }  # fmt: skip


def test_hostile_names_are_only_text_in_markdown(hostile, capsys):
    compare("--max-leaks", "0", "--markdown", "leaks.md")

    text = (hostile / "leaks.md").read_text()
    row = next(line for line in text.splitlines() if "onerror" in line and "code" in line)
    cells = row.split(" | ")
    assert len(cells) == 6
    name = re.fullmatch(r"\| <code>(.*)</code>", cells[0])[1]
    assert not re.search(r"[<>|`*_\[\]@:!$~\\]", name)
    assert html.unescape(name).endswith(f"/test/{shown_name()}/{shown_name()}")


def test_hostile_names_are_only_text_in_the_page(hostile, capsys):
    compare("--max-leaks", "0", "--report", "leaks.html")

    page = (hostile / "leaks.html").read_text()
    assert "<img src=x" not in page
    assert page.count("<script") == 2


def test_markdown_replaces_a_file_but_is_appended_to_the_summary_of_a_job(
    sets, capsys, monkeypatch
):
    (sets / "old.md").write_text("old\n")
    (sets / "summary.md").write_text("# The first step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")

    compare("--max-leaks", "0", "--markdown", "old.md")
    compare("--max-leaks", "0", "--markdown", "summary.md")

    alone, summary = (sets / "old.md").read_text(), (sets / "summary.md").read_text()
    assert alone.startswith("## imgdup compare: FAIL\n")
    assert summary.startswith("# The first step\n## imgdup compare: FAIL\n")
    assert "train/cat/2.jpg" in summary


def test_a_card_is_a_paragraph_about_the_sets(sets, capsys):
    assert compare("--card") == 0

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    for words in (
        "4 images of <code>test</code> were compared with 8 images of <code>train</code>",
        "2 images (50 %) of <code>test</code> have a duplicate in <code>train</code>",
        "(same-picture 2), 1 of them with another label",
        "Can miss: ",
    ):
        assert words in out


def test_a_card_of_sets_without_leaks_states_that_there_are_none(sets, capsys):
    cli.main(["compare", "train/dog", "test/cat", "--card"])

    assert "No image of <code>test/cat</code> has a duplicate in" in capsys.readouterr().out


def test_a_card_and_json_exclude_each_other(sets, capsys):
    assert compare("--card", "--json") == 2


@pytest.mark.parametrize("place", [".", "train"])
def test_what_an_index_holds_already_is_not_hashed_again(sets, capsys, files_read, place):
    compare("--no-verify", "--json")
    hashed = capsys.readouterr().out
    by_hashing = {file.name: file.read_bytes() for file in indexes(sets)}
    shutil.rmtree(sets / ".imgdup")
    cli.main(["index", place, "--quiet", "--index", f"{place}/.imgdup"])
    files_read.clear()

    compare("--no-verify", "--json")

    assert capsys.readouterr().out == hashed
    names = {os.path.relpath(os.fsdecode(path)).split(os.sep)[0] for path in files_read}
    assert names == ({"test"} if place == "train" else set())
    assert {file.name: file.read_bytes() for file in indexes(sets)} == by_hashing


def indexes(sets):
    files = (sets / ".imgdup" / "sets").glob("*/index.1")
    return [file.rename(file.with_name(f"{file.parent.name}.1")) for file in files]


def test_a_file_that_changed_after_it_was_indexed_is_hashed(sets, capsys, files_read):
    cli.main(["index", ".", "--quiet"])
    old_file(sets / "test" / "cat" / "3.jpg", painted(5, 320, 240, ".png"))
    files_read.clear()

    compare("--no-verify", "--json")

    assert [os.path.basename(path) for path in files_read] == [b"3.jpg"]
    leaks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    pairs = {tuple(os.path.basename(leak[k]) for k in ("path", "duplicate_of")) for leak in leaks}
    assert pairs == {("2.jpg", "2.jpg"), ("3.jpg", "5.jpg")}
