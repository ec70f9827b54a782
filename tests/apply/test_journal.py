"""Journals: what is announced is read back, and what anyone may have made of one never crashes."""

import json
import os

import pytest
from hypothesis import given, strategies as st

from file_facts import facts, paths
from imgdup.apply import actions, restore
from imgdup.apply.journal import Journal, append_line, read_journal
from imgdup.apply.registry import free_journal_path
from imgdup.apply.steps import ACTIONS, Header, Rights, Step, continues
from imgdup.dedupe.plan import FileFacts
from imgdup.errors import ImgdupError, PlanError, UsageError

TOKEN = "0123456789abcdef"
HEADER = Header("move", "f" * 32, TOKEN, (b"/a", b"/caf\xe9"), b"/t/\xff", "e" * 32, "blake3")


def forget(journal, first_line):
    """In place of noting the journal in an index."""


def written(file, steps):
    """Write the journal of a run that did all its steps."""
    with Journal(file, HEADER, forget) as book:
        for step in steps:
            book.announce(step)
            book.ended(step, "done")


number = st.integers(0, 2**32 - 1)
rights = st.none() | st.builds(Rights, number, number, number)
links = st.lists(st.tuples(paths, paths, paths), max_size=2).map(tuple)
any_step = st.builds(
    Step,
    st.just(TOKEN),
    st.integers(1, 2**40),
    facts,
    paths,
    paths,
    rights,
    st.none() | paths,
    links,
)


@given(st.lists(any_step, max_size=4))
def test_what_is_announced_is_read_back(tmp_path_factory, steps):
    file = tmp_path_factory.mktemp("journal") / "journal"

    written(file, steps)

    if not steps:
        assert not file.exists()
        return
    run = read_journal(file)
    assert run.header == HEADER
    assert run.damaged_lines == []
    assert run.steps == [step._replace(remove=step.remove._replace(row=0)) for step in steps]


@pytest.fixture
def lines(tmp_path):
    """The lines of a journal of one step, as records."""
    step = Step(TOKEN, 1, FileFacts(0, b"/a/\xff", 5, 6, b"d" * 16, "blake3"), b"/a/k", b"/t/\xff")
    written(tmp_path / "journal", [step])
    return [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]


def read(tmp_path, lines):
    (tmp_path / "journal").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_journal(tmp_path / "journal")


def test_each_member_of_a_step_is_checked(tmp_path, lines):
    wrong = [None, True, -(2**63), 1.5, "\ud800", "a", "/a/../b", [1], {}]

    for key in ("step", "remove", "keep", "to", "size", "mtime_ns", "digest"):
        for value in wrong:
            damaged = [dict(line) for line in lines]
            damaged[1].pop(f"{key}_b64", None)
            damaged[1][key] = value
            assert read(tmp_path, damaged).damaged_lines == [2], (key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"journal": "x"}, "not a journal; imgdup apply prints the path of its journal"),
        ({"version": 2}, "a journal of version 2, but this imgdup reads version 1"),
        ({"action": "shred"}, "no action 'shred'; there are move, trash, delete"),
        ({"token": "../../../../etc"}, "line 1"),
        ({"token": "01 23 45 67 89 ab cd ef"}, "'token' is damaged"),
        ({"token": 5}, "'token' must be a text"),
        ({"target_b64": None, "target": "/a/../b"}, "'target' must be an absolute path"),
        ({"roots": "/"}, "'roots' must be a list"),
        ({"plan": None}, "'plan' must be a text"),
        ({"digest_kind": "md5"}, "'digest_kind' must be one of blake2b, blake3"),
        ({"digest_kind": ["blake3"]}, "'digest_kind' must be one of blake2b, blake3"),
    ],
)
def test_each_member_of_the_first_line_is_checked(tmp_path, lines, change, message):
    with pytest.raises(PlanError, match=message):
        read(tmp_path, [{**lines[0], **change}, *lines[1:]])


def test_temporary_names_lie_beside_the_file_and_hold_the_token():
    step = Step(TOKEN, 7, FileFacts(0, b"/a/b.jpg", 0, 0, b"", "blake3"), b"/k", b"/t/b.jpg")

    assert step.aside == b"/a/.imgdup-0123456789abcdef-7.aside"
    assert step.link == b"/a/.imgdup-0123456789abcdef-7.link"
    assert step.part == b"/t/.imgdup-0123456789abcdef-7.part"


def test_a_journal_of_an_older_version_is_read(tmp_path, lines):
    for key in ("roots", "target", "target_b64", "plan", "digest_kind"):
        del lines[0][key]

    run = read(tmp_path, lines)

    assert run.header == Header("move", "f" * 32, TOKEN)
    assert [step.remove.digest_kind for step in run.steps] == ["blake2b"]


def test_a_line_is_never_appended_to_one_that_was_cut_off(tmp_path):
    file = tmp_path / "lines"
    for before, after in ((b"", b"new\n"), (b"a\n", b"a\nnew\n"), (b"a\ncut", b"a\nnew\n")):
        file.write_bytes(before)
        append_line(file, b"new\n")
        assert file.read_bytes() == after
    file.unlink()
    append_line(file, b"new\n")
    assert file.read_bytes() == b"new\n"


def test_a_journal_cut_before_its_first_step_has_none(tmp_path, lines):
    file = tmp_path / "journal"
    first = file.read_bytes().splitlines(keepends=True)[0]

    for length in range(len(first)):
        file.write_bytes(first[:length])
        assert read_journal(file).steps == []


@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_are_never_a_journal(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("journal") / "journal"
    file.write_bytes(data + b"\n")

    with pytest.raises(PlanError, match="line 1: "):
        read_journal(file)


def test_a_journal_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no journal at"):
        read_journal(tmp_path / "journal")
    with pytest.raises(ImgdupError, match="not a regular file"):
        read_journal(tmp_path)


def test_a_new_journal_never_gets_the_name_of_another(tmp_path):
    plan = tmp_path / "plan.jsonl"

    first = free_journal_path(plan)
    first.touch()
    second = free_journal_path(plan)

    assert [first.name, second.name] == ["plan.journal-1.jsonl", "plan.journal-2.jsonl"]


def test_a_run_is_not_continued_through_a_link(tmp_path, lines):
    journal, link = tmp_path / "journal", tmp_path / "link"
    before = journal.read_bytes()
    link.symlink_to(journal)

    with pytest.raises(ImgdupError, match="link"), Journal(link, HEADER, forget):
        pass

    assert journal.read_bytes() == before


def test_there_is_a_way_to_do_and_to_undo_each_action():
    assert set(ACTIONS) == set(actions.ACTIONS) == set(restore.UNDOING)


def test_a_full_disk_stops_before_the_step(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)

    with (
        Journal(tmp_path / "journal", HEADER, forget) as book,
        pytest.raises(ImgdupError, match="no room to write"),
    ):
        book.announce(Step(TOKEN, 1, FileFacts(0, b"/a", 0, 0, b"d" * 16, "blake3"), b"/k", None))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"roots": (b"/p",)}, True),
        ({"roots": (b"/p", b"/r")}, False),
        ({"roots": None}, True),
        ({"action": "hardlink"}, False),
        ({"target": b"/u"}, False),
        ({"generation": "ff"}, False),
        ({"digest_kind": "blake2b"}, False),
        ({"plan": "dd"}, False),
    ],
)
def test_a_run_continues_another_of_the_same_plan_action_and_target(changes, expected):
    past = Header("move", "aa", "bb", (b"/p", b"/q"), b"/t", "cc", "blake3")

    assert continues(past._replace(token="ee", **changes), past) is expected


def test_no_run_continues_one_whose_plan_is_not_known():
    old = Header("move", "aa", "bb", (b"/p",), b"/t")

    assert not continues(old, old)
