"""Decisions of people: the file that holds them, and which files are kept because of them.

Contents of the tests are told apart by their digests, as in an index. Hypothesis draws decisions
about clustered pictures; what must hold for each is checked without the code that decides.
"""

import errno
import itertools
import json
import os

import pytest
from hypothesis import given, settings, strategies as st

from array_rows import DIGESTS, File, rows_of, same_picture
from imgdup import cli
from imgdup.dedupe import DedupeOptions, decisions as deciding, find_duplicates
from imgdup.dedupe.decisions import (
    HEADER,
    Decision,
    DecisionFile,
    decided,
    decided_in,
    latest,
    read_decisions,
)
from imgdup.dedupe.keep import Keep
from imgdup.errors import ImgdupError, LockedError, PlanError, UsageError
from imgdup.system.lock import locked

FILES = [
    File(b"/data/a.jpg", width=900),
    File(b"/data/b.jpg", width=500),
    File(b"/data/c.jpg", width=100),
]


def digest(content):
    return DIGESTS["blake3"](content)


def found(files, decisions, judge=same_picture):
    keep = Keep(("largest", "first"), decided=decided(decisions, "blake3"))
    return find_duplicates(rows_of(files), DedupeOptions(keep), judge=judge)


def removals(duplicates):
    return {each.remove.path: (each.keep.path, each.rule) for each in duplicates.plan().removals}


def test_without_a_decision_the_largest_file_is_kept():
    assert removals(found(FILES, [])) == {
        b"/data/b.jpg": (b"/data/a.jpg", "largest"),
        b"/data/c.jpg": (b"/data/a.jpg", "largest"),
    }


def test_a_preferred_file_is_kept_and_its_duplicates_are_removed_for_it():
    duplicates = found(FILES, [Decision("prefer", digest(b"/data/c.jpg"))])

    assert removals(duplicates) == {
        b"/data/a.jpg": (b"/data/c.jpg", "decision"),
        b"/data/b.jpg": (b"/data/c.jpg", "decision"),
    }


def test_two_preferred_duplicates_are_both_kept():
    preferred = [Decision("prefer", digest(path)) for path in (b"/data/b.jpg", b"/data/c.jpg")]

    assert removals(found(FILES, preferred)).keys() == {b"/data/a.jpg"}


def test_a_file_that_is_kept_is_not_removed_and_changes_nothing_for_others():
    duplicates = found(FILES, [Decision("keep", digest(b"/data/c.jpg"))])

    assert removals(duplicates) == {b"/data/b.jpg": (b"/data/a.jpg", "largest")}


def test_different_contents_are_neither_compared_nor_removed_nor_shown():
    asked = []

    def judge(pairs):
        asked.extend(pairs)
        return same_picture(pairs)

    pair = digest(b"/data/c.jpg"), digest(b"/data/a.jpg")
    duplicates = found(FILES, [Decision("different", *pair)], judge)

    assert (0, 2) not in asked
    assert removals(duplicates) == {b"/data/b.jpg": (b"/data/a.jpg", "largest")}
    assert duplicates.groups.shown == []


def test_of_files_of_equal_bytes_the_preferred_path_is_kept():
    files = [File(b"/data/%d.jpg" % n, content=b"same") for n in range(3)]
    preferred = Decision("prefer", digest(b"same"), path=b"/data/2.jpg")

    assert removals(found(files, [])).keys() == {b"/data/1.jpg", b"/data/2.jpg"}
    assert removals(found(files, [preferred])) == {
        b"/data/0.jpg": (b"/data/2.jpg", "decision"),
        b"/data/1.jpg": (b"/data/2.jpg", "decision"),
    }


def test_a_preferred_path_that_is_missing_leaves_the_choice_to_the_rules():
    files = [File(b"/data/%d.jpg" % n, content=b"same") for n in range(2)]
    preferred = Decision("prefer", digest(b"same"), path=b"/data/gone.jpg")

    assert removals(found(files, [preferred])).keys() == {b"/data/1.jpg"}


def test_all_files_of_a_kept_content_are_kept():
    files = [File(b"/data/%d.jpg" % n, content=b"same") for n in range(3)]

    assert removals(found(files, [Decision("keep", digest(b"same"))])) == {}


def test_decisions_by_digests_of_another_kind_have_no_effect():
    other = Decision("keep", digest(b"/data/c.jpg"), digest_kind="blake2b")

    assert removals(found(FILES, [other])) == removals(found(FILES, []))


CLUSTERED = [
    File(b"/data/%d.jpg" % n, match=n % 3 << 40, width=100 + n, content=b"%d" % (n // 2))
    for n in range(8)
]
CONTENTS = sorted({file.content for file in CLUSTERED})


@st.composite
def some_decisions(draw):
    content = st.sampled_from(CONTENTS).map(digest)
    path = st.sampled_from([b"", *(file.path for file in CLUSTERED)])
    of_file = st.builds(
        lambda name, one, path: Decision(name, one, path=path),
        st.sampled_from(["prefer", "keep"]),
        content,
        path,
    )
    pair = st.sampled_from(list(itertools.permutations(map(digest, CONTENTS), 2)))
    of_pair = st.builds(
        lambda name, both: Decision(name, *both), st.sampled_from(["different", "undecided"]), pair
    )
    return draw(st.lists(of_file | of_pair, max_size=6))


@settings(max_examples=40)
@given(decisions=some_decisions())
def test_whatever_is_decided_no_kept_content_is_lost_and_no_different_one_is_a_reason(decisions):
    counts = {tuple(sorted((each.digest, each.other))): each for each in decisions}
    by_path = {file.path: digest(file.content) for file in CLUSTERED}

    gone = removals(found(CLUSTERED, decisions))

    left = [path for path in by_path if path not in gone]
    for decision in counts.values():
        if decision.decision == "keep":
            assert all(by_path[path] != decision.digest for path in gone)
        if decision.decision == "prefer":
            assert decision.digest in {by_path[path] for path in left}
            if by_path.get(decision.path) == decision.digest:
                assert decision.path in left
        if decision.decision == "different":
            for path, (keeper, _) in gone.items():
                assert {by_path[path], by_path[keeper]} != {decision.digest, decision.other}
    assert all(keeper in left for keeper, _ in gone.values())


A, B, C = (digest(name) for name in (b"a", b"b", b"c"))
SOME = [
    Decision("different", A, B),
    Decision("prefer", A, path=b"/caf\xe9.jpg"),
    Decision("duplicate", C, A),
    Decision("keep", B, digest_kind="blake2b"),
]


def test_what_is_added_is_read(tmp_path):
    file = DecisionFile(tmp_path / "decisions")

    file.append(SOME[:2])
    file.append(SOME[2:])

    assert read_decisions(tmp_path / "decisions") == SOME
    assert list(file.latest().values()) == SOME


def test_a_later_decision_replaces_an_earlier_one_and_undecided_undoes_it():
    again = [*SOME, Decision("duplicate", B, A), Decision("undecided", A)]

    assert list(latest(again).values()) == [SOME[2], SOME[3], Decision("duplicate", B, A)]


def test_a_decision_that_replaces_what_no_longer_counts_is_left_out(tmp_path):
    a, b = digest(b"a"), digest(b"b")
    file = DecisionFile(tmp_path / "decisions.jsonl")
    one, other = Decision("keep", a), Decision("different", a, b)
    file.append([one, other])
    DecisionFile(file.path).append([Decision("duplicate", a, b)])  # somebody else

    back = [one._replace(decision="undecided"), other._replace(decision="undecided")]
    assert file.append(back, ["keep", "different"]) == back[:1]

    assert [each.decision for each in file.latest().values()] == ["duplicate"]
    assert file.append(back[:1], ["keep"]) == []
    assert file.append([one], ["undecided"]) == file.append([one], [None]) == [one]


def test_a_reader_sees_what_another_one_adds(tmp_path):
    one, other = (DecisionFile(tmp_path / "decisions") for _ in range(2))
    one.append(SOME[:1])
    assert list(other.latest().values()) == SOME[:1]

    one.append(SOME[1:2])

    assert list(other.latest().values()) == SOME[:2]


@pytest.mark.parametrize("n_lost", [1, 5, 40])
def test_a_part_of_a_line_does_not_count_and_is_removed_by_the_next_decision(tmp_path, n_lost):
    path = tmp_path / "decisions"
    DecisionFile(path).append(SOME[:3])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = lines[-1][: -n_lost - 1]
    path.write_bytes(b"".join(lines[:-1]) + torn)

    assert read_decisions(path) == SOME[:2]
    DecisionFile(path).append(SOME[2:3])

    assert path.read_bytes() == whole


def test_a_last_line_without_its_newline_counts_if_it_is_whole(tmp_path):
    path = tmp_path / "decisions"
    DecisionFile(path).append(SOME[:2])
    path.write_bytes(path.read_bytes()[:-1])

    assert read_decisions(path) == SOME[:2]
    DecisionFile(path).append(SOME[2:])

    assert read_decisions(path) == SOME


def test_a_crash_before_the_first_line_was_whole_does_no_harm(tmp_path):
    path = tmp_path / "decisions"
    path.write_bytes(HEADER[:9])

    DecisionFile(path).append(SOME[:1])

    assert read_decisions(path) == SOME[:1]


def test_joined_files_are_one(tmp_path):
    for name, some in zip("xy", (SOME[:2], SOME[2:]), strict=True):
        DecisionFile(tmp_path / name).append(some)
    joined = tmp_path / "joined"
    joined.write_bytes((tmp_path / "x").read_bytes() + (tmp_path / "y").read_bytes())

    assert read_decisions(joined) == SOME


@pytest.mark.parametrize("content", [b"GIF89a", b"{}\n", b'{"plan": "imgdup"}\n', b"a\nb"])
def test_another_file_is_refused_and_not_changed(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)

    with pytest.raises(PlanError, match=r"decisions|not JSON"):
        DecisionFile(path).append(SOME)

    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"decision": "maybe", "digest": A.hex()}, "must be one of prefer, keep, duplicate"),
        ({"decision": "prefer", "digest": A.hex(), "other": B.hex()}, "must be one of different"),
        ({"decision": "keep", "digest": "00"}, "32 hex digits"),
        ({"decision": "different", "digest": A.hex(), "other": A.hex()}, "the same content"),
        ({"decision": "keep", "digest": A.hex(), "digest_kind": "crc"}, "must be one of blake2b"),
        ({"decisions": "imgdup", "version": 2}, "version 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = tmp_path / "decisions"
    path.write_bytes(HEADER + json.dumps(line).encode() + b"\n")

    with pytest.raises(PlanError, match=f"line 2: .*{message}"):
        read_decisions(path)


def test_decisions_that_are_all_about_other_digests_are_refused(tmp_path):
    DecisionFile(tmp_path / "decisions").append(SOME[3:])

    with pytest.raises(UsageError, match="none of the decisions is about it"):
        decided_in(tmp_path / "decisions", rows_of(FILES))


def test_dedupe_respects_decisions_and_its_plan_is_checked(indexed, tmp_path, capsys):
    assert cli.main(["dedupe", "--plan", "plain.jsonl"]) == 0
    removal = json.loads((tmp_path / "plain.jsonl").read_text().splitlines()[1])
    small = os.path.realpath(indexed / "small.png")
    assert removal["remove"] == small
    preferred = Decision("prefer", bytes.fromhex(removal["remove_digest"]))
    DecisionFile(tmp_path / "decisions").append([preferred])

    assert cli.main(["dedupe", "--plan", "plan.jsonl", "--decisions", "decisions"]) == 0

    removal = json.loads((tmp_path / "plan.jsonl").read_text().splitlines()[1])
    assert (removal["keep"], removal["rule"]) == (small, "decision")
    assert cli.main(["check", "plan.jsonl"]) == 0


def test_dedupe_names_a_file_of_decisions_that_is_not_there(indexed, capsys):
    assert cli.main(["dedupe", "--decisions", "nowhere"]) == 2

    assert "no decisions at nowhere" in capsys.readouterr().err


def test_a_writer_waits_until_another_one_is_done(tmp_path, monkeypatch):
    path = tmp_path / "decisions"
    held = locked(tmp_path / "decisions.lock", "another writer")
    held.__enter__()
    monkeypatch.setattr(deciding.time, "sleep", lambda seconds: held.__exit__(None, None, None))

    DecisionFile(path).append(SOME[:1])

    assert read_decisions(path) == SOME[:1]


def test_a_writer_does_not_wait_forever(tmp_path, monkeypatch):
    path = tmp_path / "decisions"
    monkeypatch.setattr(deciding, "LOCK_WAIT_S", -1)

    with locked(tmp_path / "decisions.lock", "another writer"), pytest.raises(LockedError):
        DecisionFile(path).append(SOME[:1])

    assert not path.exists()


@pytest.mark.parametrize("n_before", [0, 2])
def test_decisions_that_do_not_fit_on_the_disk_leave_the_file_as_it_was(
    tmp_path, monkeypatch, n_before
):
    path = tmp_path / "decisions"
    DecisionFile(path).append(SOME[:n_before])
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(deciding.os, "fsync", fail)

    with pytest.raises(ImgdupError, match="No space left on device"):
        DecisionFile(path).append(SOME[2:])
    assert path.read_bytes() == before


def test_a_first_decision_that_cannot_be_written_does_not_count(tmp_path, monkeypatch):
    file = DecisionFile(tmp_path / "decisions")

    def fail(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "sync_folder", fail)
        with pytest.raises(ImgdupError, match="decisions"):
            file.append(SOME[:1])

    assert file.latest() == {}
    assert file.append(SOME[1:2]) == SOME[1:2]
    assert read_decisions(file.path) == SOME[1:2]


def test_decisions_in_a_missing_folder_cannot_be_written(tmp_path):
    with pytest.raises(ImgdupError, match="decisions"):
        DecisionFile(tmp_path / "gone" / "decisions").append(SOME[:1])
