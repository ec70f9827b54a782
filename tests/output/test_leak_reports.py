"""The evidence of a comparison: verdicts, reasons, JUnit, Markdown and the card, without a command.

Oracle of a verdict: `verdict_by_counts`, which counts by itself what the limits are about.
"""

import html
import re
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, strategies as st

from array_rows import File, rows_of
from imgdup.build.settings import Outcome
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import compare
from imgdup.dedupe.labels import ImageSet
from imgdup.dedupe.leaks import (
    Coverage,
    Gate,
    UnreadLimit,
    accepted_leaks,
    coverage,
    read_accepted,
)
from imgdup.errors import UsageError
from imgdup.images.formats import REASONS
from imgdup.output.leaks import (
    MAX_ROWS,
    Evidence,
    card,
    coverage_text,
    details,
    failures,
    finds,
    junit,
    leak_count,
    markdown,
    misses,
)
from imgdup.system import records

READ = Coverage("train", (b"/train",), "0" * 32, 10, 0, 0, 0, 0)


def image_set(files, label=None):
    rows = rows_of(files)
    images = np.flatnonzero(rows.column("status") == 0)
    return ImageSet(rows, images, [label] * len(images))


def leaks_of(n_leaks, label=None):
    """Leaks of equal bytes: A has the pictures of B, with the label x."""
    a, b = (
        [
            File(b"/%s/%03d.jpg" % (name, i), match=i << 40, content=b"%d" % i)
            for i in range(n_leaks)
        ]
        for name in (b"train", b"test")
    )
    return compare(image_set(a, "x"), image_set(b, label), MatchRule(0))


def gate_of(n_leaks=0, *coverages, accepted=(), **limits):
    accepted = [*accepted, *[False] * (n_leaks - len(accepted))]
    read = READ._replace(name="test")
    return Gate(leaks_of(n_leaks), accepted, coverages or (READ, read), **limits)


def evidence_of(gate, rule=None, verified=True):
    rule = rule or MatchRule(31)
    return Evidence(gate, rule, verified, "imgdup compare a b", "2026-11-27T12:00:00+00:00", "1.0")


COUNTS = st.tuples(*[st.integers(0, 3)] * 4)


def verdict_by_counts(new, sets, max_leaks, unread, *, is_percent):
    reasons = []
    if max_leaks is not None and new > max_leaks:
        reasons.append("leaks")
    for images, failed, undecoded, unlisted in sets:
        bad = failed + undecoded
        most = unread if unread is None or not is_percent else unread * (images + bad) / 100
        if unread is not None and (bad > most or unlisted):
            reasons.append("unread")
    return reasons


@given(
    accepted=st.lists(st.booleans(), max_size=4),
    sets=st.tuples(COUNTS, COUNTS),
    max_leaks=st.none() | st.integers(0, 4),
    unread=st.none() | st.sampled_from([0, 1, 25, 50, 100]),
    is_percent=st.booleans(),
)
def test_a_gate_fails_for_each_limit_that_is_exceeded(
    accepted, sets, max_leaks, unread, is_percent
):
    coverages = [
        READ._replace(n_images=images, n_failed=failed, n_undecoded=undecoded, n_unlisted=unlisted)
        for images, failed, undecoded, unlisted in sets
    ]
    limit = None if unread is None else UnreadLimit(Fraction(unread), is_percent)
    gate = gate_of(
        len(accepted), *coverages, accepted=accepted, max_leaks=max_leaks, max_unread=limit
    )

    new = accepted.count(False)
    expected = verdict_by_counts(new, sets, max_leaks, unread, is_percent=is_percent)
    has_limit = max_leaks is not None or unread is not None
    assert gate.verdict == (("FAIL" if expected else "PASS") if has_limit else "")
    assert len(list(failures(gate))) == len(expected)
    suite = ElementTree.fromstring(junit(evidence_of(gate)))
    n_leak_cases = new if "leaks" in expected else 0
    assert len(suite.findall("testcase/failure")) == len(expected) + n_leak_cases
    assert suite.get("failures") == str(len(expected) + n_leak_cases)
    assert suite.get("skipped") == str(accepted.count(True))
    assert suite.get("tests") == str((max_leaks is not None) + 2 + len(accepted))


def test_the_reasons_name_the_set_the_counts_and_the_limit():
    some = READ._replace(n_images=7, n_failed=2, n_undecoded=1)
    closed = READ._replace(name="test", n_unlisted=2)
    limit = UnreadLimit(Fraction(20), is_percent=True)

    reasons = failures(gate_of(3, some, closed, accepted=[True], max_leaks=1, max_unread=limit))

    assert list(reasons) == [
        "2 new leaks, more than --max-leaks 1",
        "3 of 10 files of train (30 %) could not be read, more than --max-unread 20%",
        "2 folders of test could not be scanned",
    ]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "train: 10 files, all compared"),
        ({"n_failed": 2}, "train: 12 files, 2 could not be read"),
        ({"n_undecoded": 3}, "train: 13 files, 3 of formats that are not decoded"),
        ({"n_unlisted": 1}, "train: 10 files, 1 folder not scanned"),
        ({"n_low_quality": 4},
         "train: 10 files, 4 with too little structure (compared by bytes only)"),
    ],
)  # fmt: skip
def test_what_was_not_compared_is_counted(counts, text):
    assert coverage_text(READ._replace(**counts)) == text


def test_coverage_counts_only_what_is_in_the_folders_of_the_set():
    files = [
        File(b"/data/a/1.jpg"),
        File(b"/data/a/2.jpg", quality=3),
        File(b"/data/a/3.jpg", status=REASONS.index("damaged")),
        File(b"/data/b/4.jpg"),
        File(b"/data/b/5.jpg", status=REASONS.index("damaged"), quality=0),
    ]
    outcome = Outcome(
        undecoded=[b"/data/a/x.exr", b"/data/b/y.exr", b"/data/b/z.exr"],
        unlisted=[(b"/data/b/closed", "Permission denied")],
        **dict.fromkeys(("seen", "hashed", "unchanged", "failed", "removed", "ignored"), 0),
        seconds=0.0, generation=1, written=True, failures=[], set_aside=[], ignored_files=[],
    )  # fmt: skip

    in_a, in_b, everywhere = (
        coverage("set", rows_of(files), folders, outcome)[3:]
        for folders in ([b"/data/a"], [b"/data/b"], [])
    )

    assert (in_a, in_b, everywhere) == ((2, 1, 1, 1, 0), (1, 0, 1, 2, 1), (3, 1, 2, 3, 1))
    assert coverage("set", rows_of(files), [], None)[3:] == (3, 1, 2, 0, 0)


def test_leaks_are_accepted_by_both_contents():
    leaks = leaks_of(3)
    pairs = [(bytes.fromhex(e.digest), bytes.fromhex(e.duplicate_digest)) for e in leaks.each()]

    swapped = {pairs[0], (pairs[1][0], pairs[2][1])}

    assert accepted_leaks(leaks, swapped) == [True, False, False]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{}\n", "accepted"), (b"no json\n", "accepted"), (b'{"digest": 3}\n', "accepted")],
)
def test_a_list_of_accepted_leaks_is_checked_line_by_line(tmp_path, content, words):
    (tmp_path / "accepted.jsonl").write_bytes(content)

    with pytest.raises(UsageError, match=words):
        read_accepted(tmp_path / "accepted.jsonl")
    with pytest.raises(UsageError, match="no such file"):
        read_accepted(tmp_path / "gone.jsonl")


def test_a_list_of_accepted_leaks_with_an_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100)
    (tmp_path / "accepted.jsonl").write_bytes(b"x" * 101)

    with pytest.raises(
        UsageError, match=r"accepted.jsonl has a line of more than 100 bytes"
    ) as error:
        read_accepted(tmp_path / "accepted.jsonl")
    assert str(error.value).count("accepted.jsonl") == 1


def test_markdown_lists_the_first_leaks_and_counts_the_others():
    text = markdown(evidence_of(gate_of(MAX_ROWS + 3, max_leaks=0)))

    assert text.startswith("## imgdup compare: FAIL\n")
    assert text.endswith("\n\n... and 3 more\n")
    assert text.count("same-bytes") == MAX_ROWS


def test_markdown_without_leaks_or_limits_has_no_table_of_leaks():
    text = markdown(evidence_of(gate_of(0)))

    assert text.startswith("## imgdup compare\n")
    assert "same-bytes" not in text
    assert "| limits | none |" in text


def test_a_label_that_differs_is_in_each_form():
    gate = Gate(leaks_of(1, label="y"), [False], (READ, READ), 0)

    text, suite = markdown(evidence_of(gate)), junit(evidence_of(gate))

    assert re.search(r"\by\b.* but .*\bx\b", html.unescape(text))
    assert "label y, but x: /train/000.jpg" in suite


def test_what_is_found_and_missed_depends_on_the_rule_and_the_pictures():
    unread = READ._replace(n_failed=2, n_low_quality=1)
    turned = MatchRule(31, orientations=True)
    shown = evidence_of(gate_of(0, READ, unread), turned, verified=False)

    assert "rotated by quarter turns, or mirrored" in finds(turned, verified=False)
    assert "such as pictures that were saved again" not in finds(MatchRule(30), verified=True)
    assert "pairs that are different were left out" in finds(MatchRule(30), verified=True)
    assert "rotated by other angles" in misses(shown)
    assert "1 picture with too little structure can only match equal bytes" in misses(shown)
    assert "2 files could not be read and may hold more leaks" in misses(shown)
    assert "nearest ones at most" not in misses(shown)
    assert "rotated or mirrored" in misses(evidence_of(gate_of(0)))


def test_the_count_names_the_sets_and_what_was_accepted():
    assert leak_count(gate_of(1)).startswith("1 of 10 images of test has a duplicate in train")
    assert leak_count(gate_of(2, accepted=[True])).endswith("have a duplicate in train; 1 accepted")
    limits = (
        dict(details(evidence_of(gate_of(0, max_leaks=2)))),
        dict(details(evidence_of(gate_of()))),
    )
    assert [each["limits"] for each in limits] == ["--max-leaks 2", "none"]


def test_a_card_states_whether_there_are_leaks():
    with_leaks, without = (card(evidence_of(gate_of(n))) for n in (2, 0))

    assert "2 images (20 %) of <code>test</code> have a duplicate" in with_leaks
    assert "No image of <code>test</code> has a duplicate" in without
