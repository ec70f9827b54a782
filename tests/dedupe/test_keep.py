"""Keep rules: the order in which files are kept, best first.

Oracle: ``oracles_dedupe.keep_order``, one sort by a tuple of keys.
"""

import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracles_dedupe
from array_rows import File, rows_of
from imgdup.api.index import DEFAULT_KEEP
from imgdup.cli.dedupe import KEEP
from imgdup.dedupe.keep import (
    DEFAULT_RULES,
    FACT_RULES,
    RULES,
    Keep,
    deciding_rules,
    keep_order,
    lie_in,
    parse_keep,
)
from imgdup.errors import UsageError
from imgdup.images.facts import COLOURS, ImageFacts
from imgdup.index.columns import images
from imgdup.index.paths import Paths, PathsBuilder

FOLDERS = (b"/data/a", b"/data/a-b", b"/data/a/b", b"/data")
RULE_NAMES = [*RULES, *FACT_RULES, "under:/data/a", "under:/data/a-b"]

files_strategy = st.lists(
    st.builds(
        File,
        st.builds(
            lambda folder, number: b"%s/%d.jpg" % (folder, number),
            st.sampled_from(FOLDERS),
            st.integers(0, 20),
        ),
        size=st.integers(0, 1),
        mtime_ns=st.integers(-1, 1),
        width=st.sampled_from([1, 2, 2**32 - 1]),
        height=st.sampled_from([1, 2, 2**32 - 1]),
        format=st.sampled_from(["jpeg", "png", "webp", "tiff"]),
    ),
    unique_by=lambda file: file.path,
    max_size=20,
)


facts_strategy = st.none() | st.builds(
    ImageFacts,
    n_pages=st.just(1),
    holds=st.just(frozenset()),
    bit_depth=st.just(8),
    colour=st.sampled_from(COLOURS),
    taken_s=st.sampled_from([None, 0]),
    camera=st.sampled_from([None, "NIKON"]),
    jpeg_quality=st.none(),
    lossless=st.booleans(),
    trace_quality=st.sampled_from([None, 70]),
    spectrum=st.just(()),
    detail=st.sampled_from([0.06, 0.25, 0.48, 0.485, 0.5, 0.769, 0.77, 0.85, 1.0]),
    quality=st.sampled_from([60, 70, 72, 75, 78, 100]),
    toned=st.booleans(),
    pixels_digest=st.sampled_from("ab"),
)
rules_strategy = st.lists(st.sampled_from(RULE_NAMES), unique=True, min_size=1)
protect_strategy = st.sampled_from([(), (b"/data/a",), (b"/data/a-b", b"/data/a/b")])


def describe(rows, facts):
    """What a look into the files finds: facts by path."""
    return lambda selected: [facts[rows.path(row)] for row in selected.tolist()]


@given(files=files_strategy, rules=rules_strategy, protect=protect_strategy, data=st.data())
def test_the_order_is_that_of_one_sort_whatever_the_numbering(files, rules, protect, data):
    rows = rows_of(data.draw(st.permutations(files)), in_path_order=False)
    facts = {file.path: data.draw(facts_strategy) for file in files}

    keep = Keep(tuple(rules), protect)
    order = keep_order(rows, np.arange(len(rows)), keep, describe(rows, facts))

    expected = oracles_dedupe.keep_order(files, rules, protect, facts)
    assert [rows.path(row) for row in order.tolist()] == [file.path for file in expected]


@given(files=files_strategy, rules=rules_strategy, protect=protect_strategy, data=st.data())
def test_the_rule_that_decided_is_the_first_by_which_two_files_differ(files, rules, protect, data):
    rows = rows_of(files)
    by_path = {file.path: file for file in files}
    ordered = [by_path[rows.path(row)] for row in range(len(rows))]
    facts = {file.path: data.draw(facts_strategy) for file in files}
    pairs = [(a, b) for a in range(len(rows)) for b in range(a)][:30]

    found = [
        deciding_rules(
            rows, Keep(tuple(rules), protect), *np.array([pair]).T, describe(rows, facts)
        )[0]
        for pair in pairs
    ]

    assert found == [
        oracles_dedupe.deciding_rule(ordered[a], ordered[b], rules, protect, facts)
        for a, b in pairs
    ]


SHARP = ImageFacts(
    n_pages=1,
    holds=frozenset(),
    bit_depth=8,
    colour=COLOURS[0],
    taken_s=None,
    camera=None,
    jpeg_quality=None,
    lossless=True,
    trace_quality=None,
    detail=1.0,
    spectrum=(),
    quality=100,
    toned=False,
    pixels_digest="a",
)


@pytest.mark.parametrize(
    ("detail", "kept"), [(1.0, b"/toned.png"), (0.85, b"/toned.png"), (0.8, b"/half.png")]
)
def test_a_toned_picture_must_be_sharp_to_be_kept_instead_of_its_half_size_copy(detail, kept):
    facts = {b"/toned.png": SHARP._replace(toned=True, detail=detail), b"/half.png": SHARP}
    rows = rows_of(
        [File(b"/toned.png", width=800, height=600), File(b"/half.png", width=400, height=300)]
    )

    order = keep_order(rows, np.arange(2), Keep(("not-upscaled",)), describe(rows, facts))

    assert rows.path(int(order[0])) == kept


def test_only_paths_of_tied_rows_are_read():
    read = []
    rows = rows_of([File(b"/data/%d" % n, size=n // 2, width=n // 4) for n in range(8)])
    object.__setattr__(rows, "paths", _Spied(rows.paths, read))

    keep_order(rows, np.arange(8), parse_keep(rows, "largest,first"))

    assert sorted(read) == list(range(8))
    read.clear()

    keep_order(rows, np.arange(4), parse_keep(rows, "most-bytes,largest,first"))

    assert sorted(read) == [0, 1, 2, 3]


class _Spied(tuple):
    def __new__(cls, paths, read):
        self = super().__new__(cls, paths)
        self.read = read
        return self

    def __getitem__(self, row):
        self.read.append(row)
        return super().__getitem__(row)


def test_protected_folders_and_folder_rules_read_no_path(monkeypatch):
    rows = rows_of([File(b"/data/%d/%d" % (n // 4, n), size=n) for n in range(8)])
    keep = Keep(("under:/data/1", "most-bytes"), (b"/data/1",))
    monkeypatch.setattr(type(rows), "path", lambda rows, row: pytest.fail("a path was read"))

    order = keep_order(rows, np.arange(8), keep)

    assert order.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_rules_are_read_in_order_and_folders_as_the_index_writes_them(tmp_path):
    (tmp_path / "best").mkdir()
    root = os.fsencode(os.path.realpath(tmp_path))
    rows = rows_of([File(root + b"/best/1.jpg")], roots=(root,))

    keep = parse_keep(rows, f"smallest, under:{tmp_path}/best/../best", [tmp_path / "best"])

    best = os.path.realpath(tmp_path / "best")
    assert keep == Keep(("smallest", f"under:{best}"), (os.fsencode(best),))


FOLDERS = rows_of([File(b"/data/a/b/1.jpg"), File(b"/data/b/2.jpg")])


def test_the_default_rules_are_those_of_the_manual():
    assert parse_keep(rows_of([])).rules == DEFAULT_RULES


def test_the_library_and_the_command_line_have_the_same_default_rules():
    assert DEFAULT_KEEP == KEEP == ",".join(DEFAULT_RULES)
    assert (
        ",".join(DEFAULT_RULES)
        == "colour,not-upscaled,metadata,quality,largest,oldest,shortest-path,first"
    )


@pytest.mark.parametrize(
    ("rules", "protect", "message"),
    [
        ("bigest", (), "there is no keep rule 'bigest': did you mean 'largest'? the rules are"),
        ("", (), "there is no keep rule '': the rules are largest, smallest"),
        ("first,first", (), "the keep rule 'first' is named twice"),
        (
            "under:/elsewhere",
            (),
            "keep rule under: /elsewhere has no indexed file; the indexed folders are: /data",
        ),
        (
            "first",
            ("/elsewhere",),
            "protected folder /elsewhere has no indexed file; the indexed folders are: /data",
        ),
        ("under:/data/bb", (), "keep rule under: /data/bb has no indexed file"),
        ("first", ("/data/a/typo",), "protected folder /data/a/typo has no indexed file"),
        (
            "under:/data/a",
            ("/data/b",),
            "the keep rule under:/data/a contradicts the protected folder /data/b, whose files "
            "always win: protect /data/a, too, or leave one of the two out",
        ),
    ],
)
def test_a_wrong_rule_or_folder_is_refused_in_one_line_with_a_remedy(rules, protect, message):
    with pytest.raises(UsageError) as caught:
        parse_keep(FOLDERS, rules, protect)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_rule_inside_a_protected_folder_does_not_contradict_it():
    assert parse_keep(FOLDERS, "under:/data/a/b", ["/data/a"]).protect == (b"/data/a",)
    assert parse_keep(FOLDERS, "under:/data", ["/data/a"]).protect == (b"/data/a",)


def test_a_root_without_files_may_be_protected():
    assert parse_keep(rows_of([]), "first", ["/data"]).protect == (b"/data",)


def test_a_folder_of_files_named_one_by_one_is_known():
    rows = rows_of([File(b"/loose/a.jpg")], roots=(b"",))

    assert parse_keep(rows, "first", ["/loose"]).protect == (b"/loose",)
    with pytest.raises(UsageError, match="single files only"):
        parse_keep(rows, "first", ["/other"])


def test_a_folder_protects_what_lies_in_it_and_no_longer_name():
    rows = rows_of([File(b"/data/a"), File(b"/data/a/1.jpg"), File(b"/data/ab/1.jpg")])

    inside = lie_in(rows, np.arange(3), [b"/data/a"])

    assert [rows.path(row) for row in np.flatnonzero(inside)] == [b"/data/a", b"/data/a/1.jpg"]


class LargeRows:
    """What an index of 131,072 rows gives: real paths in 512 folders, and only their status."""

    roots = (b"/data",)
    digest = "0" * 32

    def __init__(self):
        builder = PathsBuilder(self.roots)
        for row in range(len(self)):
            builder.append(b"/data", b"/data/%03d/%03d.jpg" % divmod(row, 256))
        self.paths = builder.paths()
        self.rows_below = self.paths.rows_below

    def __len__(self):
        return 512 * 256

    def path(self, row):
        return self.paths[row]

    def column(self, name):
        return np.zeros(len(self), np.uint8)


def test_folders_of_a_large_index_are_found_by_reading_a_few_paths(monkeypatch):
    rows, n_read = LargeRows(), 0
    read = Paths.__getitem__

    def counted(paths, row):
        nonlocal n_read
        n_read += 1
        return read(paths, row)

    monkeypatch.setattr(Paths, "__getitem__", counted)

    keep = parse_keep(rows, "under:/data/300", ["/data/300", "/data/301"])
    selected = images(rows, [b"/data/300", b"/data/400/255.jpg"])
    inside = lie_in(rows, np.arange(len(rows)), keep.protect)

    assert selected.tolist() == [*range(300 * 256, 301 * 256), 400 * 256 + 255]
    assert np.flatnonzero(inside).tolist() == list(range(300 * 256, 302 * 256))
    assert n_read < 500
