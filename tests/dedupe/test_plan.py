"""Plans as data: what is written is read back, and nothing else is.

Damage is tried at every place of a small plan: every line cut at every byte, every member left out,
and of every type that JSON has; all must raise one line that names the file and the place.
"""

import hashlib
import json
import os

import pytest
from hypothesis import given, strategies as st

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
from imgdup.images.gray import ORIENTATIONS


def digest(record, key=""):
    data = json.dumps(record).encode() + b"\n"
    return hashlib.blake2b(data, key=key.encode(), digest_size=16).hexdigest()


def resealed(lines):
    """Give edited lines the seals that fit them, as somebody could who knows how."""
    seal = digest(lines[0] | {"seal": ""})
    yield lines[0] | {"seal": seal}
    for line in lines[1:]:
        rest = {key: value for key, value in line.items() if key != "seal"}
        yield rest | {"seal": digest(rest, seal)}


sides = st.integers(0, 1000)
removals = st.builds(
    Removal,
    facts,
    facts,
    st.integers(0, 256),
    st.sampled_from(RELATIONS),
    st.floats(0, 255),
    st.none() | st.tuples(sides, sides, sides, sides),
    st.sampled_from(ORIENTATIONS),
)


def plan_of(each, roots=(b"/data",), protect=(), kind="blake3"):
    header = PlanHeader(
        "ab" * 16, roots, 31, None, ("largest",), protect, 9, 2, len(each), 7, digest_kind=kind
    )
    return Plan(sealed(header), each)


OTHERS = (("search_distance", None), ("box", None), ("peak", 1.5))  # are right, too
FREE = ("generation", "roots", "protect", "rule")  # checked by check_plan, if at all

SMALL = plan_of(
    [
        Removal(
            FileFacts(1, b"/data/caf\xe9.jpg", 10, 11, b"r" * 16, "blake3"),
            FileFacts(0, b"/data/a.jpg", 20, 21, b"k" * 16, "blake3"),
            3,
            "same-picture",
            7.25,
            (1, 2, 30, 40),
            "mirror",
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
        "relation": "same-picture",
        "peak": 7.25,
        "rule": "",
        "box": [1, 2, 30, 40],
        "orientation": "mirror",
        "remove_row": 1,
        "remove_size": 10,
        "remove_mtime_ns": 11,
        "remove_digest": "72" * 16,
        "keep_row": 0,
        "keep_size": 20,
        "keep_mtime_ns": 21,
        "keep_digest": "6b" * 16,
        "seal": line["seal"],
    }
    assert len(bytes.fromhex(line["seal"])) == 16


def test_lines_may_be_deleted(tmp_path):
    file = tmp_path / "plan.jsonl"
    file.write_text(next(plan_lines(SMALL)))

    assert read_plan(file) == Plan(SMALL.header, [])


THREE = plan_of(
    [
        Removal(
            FileFacts(row, b"/data/%d.jpg" % row, row, 0, b"r" * 16, "blake3"),
            FileFacts(0, b"/data/a.jpg", 20, 21, b"k" * 16, "blake3"),
            row,
            "same-bytes",
        )
        for row in (1, 2, 3)
    ]
)


def test_any_lines_may_be_deleted_and_the_others_put_in_another_order(tmp_path):
    header, *lines = plan_lines(THREE)
    file = tmp_path / "plan.jsonl"

    file.write_text(header + lines[2] + lines[0])

    assert read_plan(file) == Plan(THREE.header, [THREE.removals[2], THREE.removals[0]])


def swap(line):
    """Exchange the file to remove and the kept file, with all that is known of them."""
    other = {"remove": "keep", "keep": "remove"}
    return {
        (other[word] + rest if (word := key.partition("_")[0]) in other else key): value
        for key, value in line.items()
        for rest in [key[len(key.partition("_")[0]) :]]
    }


EDITS = {
    "kept and removed files swapped": swap,
    "a smaller distance": lambda line: line | {"distance": 0},
    "another relation": lambda line: line | {"relation": "same-pixels"},
    "another file to remove": lambda line: line | {"remove": "/data/9.jpg"},
    "another member": lambda line: line | {"note": "checked by hand"},
    "the seal of another line": lambda line: (
        line | {"seal": json.loads(list(plan_lines(THREE))[1])["seal"]}
    ),
    "no seal": lambda line: {key: line[key] for key in line if key != "seal"},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_line_that_was_edited_is_refused(tmp_path, edit):
    lines = list(plan_lines(THREE))
    lines[2] = json.dumps(edit(json.loads(lines[2]))) + "\n"
    file = tmp_path / "plan.jsonl"
    file.write_text("".join(lines))

    with pytest.raises(PlanError, match=r"line 3: (this line was edited|'seal' must be a text)"):
        read_plan(file)


def test_a_line_of_another_plan_is_refused(tmp_path):
    other = plan_of(THREE.removals, protect=(b"/data/best",))
    header, line = next(plan_lines(THREE)), list(plan_lines(other))[1]
    file = tmp_path / "plan.jsonl"
    file.write_text(header + line)

    with pytest.raises(PlanError, match="line 2: this line was edited"):
        read_plan(file)


@pytest.mark.parametrize(
    "change",
    [{"protect": []}, {"max_distance": 200}, {"n_removals": 99}, {"seal": "0" * 32}],
    ids=lambda change: next(iter(change)),
)
def test_a_first_line_that_was_edited_is_refused(tmp_path, change):
    header, line = plan_lines(SMALL)
    file = tmp_path / "plan.jsonl"
    file.write_text(json.dumps(json.loads(header) | change) + "\n" + line)

    with pytest.raises(PlanError, match="line 1: this line was edited"):
        read_plan(file)


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
            if allowed or (key, value) in OTHERS:
                continue
            damaged = [dict(line) for line in lines]
            damaged[number].pop(f"{key}_b64", None)
            damaged[number][key] = value
            edited = damaged if key == "seal" else resealed(damaged)
            file.write_text("".join(json.dumps(line) + "\n" for line in edited))
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
    file.write_text("".join(json.dumps(line) + "\n" for line in resealed(lines)))

    with pytest.raises(PlanError, match=r"line 2: ('keep' must be an absolute path|.*surrog)"):
        read_plan(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: not JSON: the line is empty"),
        (b"\x00\xff\xfe", "line 1: not JSON: some bytes are not text in UTF-8"),
        (b"[" * 100_000, "line 1: not JSON: it is nested too deeply"),
        (b'{"plan": "img', "line 1: not JSON: it is damaged or cut off at character 10"),
        (b"[]", "line 1: not a JSON object"),
        (b"{}", 'line 1: not a removal plan: the first line has no "plan": "imgdup"'),
        (b'{"plan": "imgdup", "plan": "imgdup"}', "an object has the same key twice"),
        (b'{"plan": "imgdup", "version": 2' + b"0" * 5000 + b"}", "line 1: not JSON"),
        (
            b'{"plan": "imgdup", "version": 3}',
            "line 1: this is a plan of version 3, but this imgdup reads version 2: use the",
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
    """The seal was computed by the version that knew one kind of digest and no other seals."""
    older = plan_of(SMALL.removals, protect=(b"/data/\xff",), kind="blake2b")
    older = older._replace(header=sealed(older.header._replace(version=1)))
    lines = [json.loads(line) for line in plan_lines(older)]
    del lines[1]["seal"]
    text = "".join(json.dumps(line) + "\n" for line in lines)

    (tmp_path / "plan.jsonl").write_text(text)

    assert "digest_kind" not in text
    assert older.header.seal == "67bf409dbf0656dae5994aaaef92d22e"
    read = read_plan(tmp_path / "plan.jsonl")
    assert read.header == sealed(read.header) == older.header
    assert {removal.remove.digest_kind for removal in read.removals} == {"blake2b"}
