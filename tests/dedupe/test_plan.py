"""Plans as data: what is written is read back, and nothing else is.

Damage is tried at every place of a small plan: every line cut at every byte, every member left out,
and of every type that JSON has; all must raise one line that names the file and the place.
"""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_facts import facts, paths
from imgdup.dedupe.plan import (
    FileFacts,
    Plan,
    PlanHeader,
    Removal,
    plan_lines,
    read_plan,
    sealed,
    write_plan,
)
from imgdup.dedupe.relations import RELATIONS
from imgdup.errors import ImgdupError, PlanError, UsageError

removals = st.builds(Removal, facts, facts, st.integers(0, 256), st.sampled_from(RELATIONS))


def plan_of(each, roots=(b"/data",), protect=(), kind="blake3"):
    header = PlanHeader(
        "ab" * 16, roots, 31, None, ("largest",), protect, 9, 2, len(each), 7, digest_kind=kind
    )
    return Plan(sealed(header), each)


FREE = ("generation", "roots", "protect", "seal")  # checked by check_plan

SMALL = plan_of(
    [
        Removal(
            FileFacts(1, b"/data/caf\xe9.jpg", 10, 11, b"r" * 16, "blake3"),
            FileFacts(0, b"/data/a.jpg", 20, 21, b"k" * 16, "blake3"),
            3,
            "resized",
        )
    ],
    protect=(b"/data/\xff",),
)


@given(st.lists(removals, max_size=4), st.lists(paths, max_size=2), st.lists(paths, max_size=2))
def test_what_is_written_is_read_back(tmp_path_factory, each, roots, protect):
    file = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    plan = plan_of(each, tuple(roots), tuple(protect))

    write_plan(file, plan)

    assert read_plan(file) == plan


def test_a_line_names_the_file_to_remove_and_the_kept_one():
    line = json.loads(list(plan_lines(SMALL))[1])

    assert line == {
        "remove": "/data/caf\ufffd.jpg",
        "remove_b64": "L2RhdGEvY2Fm6S5qcGc=",
        "keep": "/data/a.jpg",
        "distance": 3,
        "relation": "resized",
        "remove_row": 1,
        "remove_size": 10,
        "remove_mtime_ns": 11,
        "remove_digest": "72" * 16,
        "keep_row": 0,
        "keep_size": 20,
        "keep_mtime_ns": 21,
        "keep_digest": "6b" * 16,
    }


def test_lines_may_be_deleted(tmp_path):
    file = tmp_path / "plan.jsonl"
    file.write_text(next(plan_lines(SMALL)))

    assert read_plan(file) == Plan(SMALL.header, [])


def test_lines_may_not_be_added(tmp_path):
    header, line = plan_lines(SMALL)
    file = tmp_path / "plan.jsonl"
    file.write_text(header + line + line)

    with pytest.raises(PlanError, match="has 2 removals, its first line states 1"):
        read_plan(file)


def test_a_plan_cut_anywhere_is_refused_or_has_fewer_removals(tmp_path):
    header, line = plan_lines(SMALL)
    text = (header + line).encode()
    file = tmp_path / "plan.jsonl"

    for length in range(len(text) - 1):
        file.write_bytes(text[:length])
        if length in (len(header) - 1, len(header)):
            assert read_plan(file).removals == []
            continue
        with pytest.raises(PlanError, match=rf"plan\.jsonl, line {1 + (length > len(header))}: "):
            read_plan(file)


@pytest.mark.parametrize("number", [0, 1], ids=["header", "removal"])
def test_each_member_is_checked(tmp_path, number):
    lines = [json.loads(line) for line in plan_lines(SMALL)]
    file = tmp_path / "plan.jsonl"
    wrong = [None, True, -(2**63), 2**63, 1.5, "\ud800", "a", [1], {"path": "a"}, [{}], [[]]]

    for key, right in list(lines[number].items()):
        if key.endswith("_b64"):
            continue
        for value in wrong:
            allowed = type(value) is type(right) and key in FREE
            if allowed or (key, value) == ("search_distance", None):
                continue
            damaged = [dict(line) for line in lines]
            damaged[number].pop(f"{key}_b64", None)
            damaged[number][key] = value
            file.write_text("".join(json.dumps(line) + "\n" for line in damaged))
            with pytest.raises(PlanError, match=rf"line {number + 1}: "):
                read_plan(file)


@pytest.mark.parametrize(
    "path",
    ["a.jpg", "", "/", "/a/../b", "/./a", "/a//b", "/a/", "/a\0b", "/a\ud800"],
)
def test_paths_that_could_mean_another_file_are_refused(tmp_path, path):
    lines = [json.loads(line) for line in plan_lines(SMALL)]
    lines[1]["keep"] = path
    file = tmp_path / "plan.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with pytest.raises(PlanError, match="line 2: "):
        read_plan(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: not JSON"),
        (b"\x00\xff\xfe", "line 1: not JSON"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b"[]", "line 1: not a JSON object"),
        (b"{}", 'line 1: not a removal plan: the first line has no "plan": "imgdup"'),
        (b'{"plan": "imgdup", "plan": "imgdup"}', "an object has the same key twice"),
        (b'{"plan": "imgdup", "version": 1' + b"0" * 5000 + b"}", "line 1: not JSON"),
        (
            b'{"plan": "imgdup", "version": 2}',
            "line 1: this is a plan of version 2, but this imgdup reads version 1: use the",
        ),
        (b" " * (1 << 21), "has a line of more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / "plan.jsonl"
    file.write_bytes(text)

    with pytest.raises(PlanError) as caught:
        read_plan(file)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(
        UsageError, match=r"no plan at .*; make one with: imgdup dedupe --plan FILE"
    ):
        read_plan(tmp_path / "plan.jsonl")


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(ImgdupError, match="not a regular file"):
        read_plan(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "plan.jsonl")

    with pytest.raises(ImgdupError, match="not a regular file"):
        read_plan(tmp_path / "plan.jsonl")


@given(st.binary(max_size=200))
def test_random_bytes_are_never_a_plan(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    file.write_bytes(data)

    with pytest.raises(PlanError):
        read_plan(file)


def test_a_plan_of_an_older_index_is_written_and_sealed_as_it_always_was(tmp_path):
    """The seal was computed by the version that knew only one kind of digest."""
    older = plan_of(SMALL.removals, protect=(b"/data/\xff",), kind="blake2b")

    write_plan(tmp_path / "plan.jsonl", older)

    assert "digest_kind" not in (tmp_path / "plan.jsonl").read_text()
    assert older.header.seal == "67bf409dbf0656dae5994aaaef92d22e"
    read = read_plan(tmp_path / "plan.jsonl")
    assert read.header == sealed(read.header) == older.header
    assert {removal.remove.digest_kind for removal in read.removals} == {"blake2b"}
