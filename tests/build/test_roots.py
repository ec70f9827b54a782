"""Scans: what a command names, and the roots there are, decide what is scanned."""

import os
import re

import pytest

from imgdup.build.roots import (
    OptionChanges,
    Scan,
    UnmountGuard,
    named_paths,
    plan_forgetting,
    plan_scan,
)
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.parts import ScanOptions

PLAIN = ScanOptions()
NO_CHANGES = OptionChanges()


def test_nothing_named_scans_all_roots_and_single_files():
    roots = {b"": PLAIN, b"/a": PLAIN, b"/b": ScanOptions(hidden=True)}

    plan = plan_scan(roots, [], [], NO_CHANGES, single_files=[b"/z.jpg"])

    assert plan.roots == roots
    assert plan.scans == [
        Scan(b"/a", b"/a", PLAIN),
        Scan(b"/b", b"/b", ScanOptions(hidden=True)),
        Scan(b"", b"", PLAIN, frozenset([b"/z.jpg"])),
    ]


def test_a_new_folder_is_a_new_root_in_path_order():
    plan = plan_scan({b"/b": PLAIN}, [b"/a"], [], NO_CHANGES)

    assert list(plan.roots) == [b"/a", b"/b"]
    assert plan.scans == [Scan(b"/a", b"/a", PLAIN)]


def test_a_folder_in_a_root_is_scanned_with_the_options_of_the_root():
    roots = {b"/a": ScanOptions(exclude=("thumbs",))}

    plan = plan_scan(roots, [b"/a/b"], [], NO_CHANGES)

    assert plan.roots == roots
    assert plan.scans == [Scan(b"/a/b", b"/a", ScanOptions(exclude=("thumbs",)))]


def test_a_folder_that_holds_roots_replaces_them():
    plan = plan_scan({b"/a/b": PLAIN, b"/a/c": PLAIN, b"/ab": PLAIN}, [b"/a"], [], NO_CHANGES)

    assert list(plan.roots) == [b"/a", b"/ab"]


def test_nested_and_repeated_folders_are_scanned_once():
    plan = plan_scan({}, [b"/a/b", b"/a", b"/a", b"/a-b"], [], NO_CHANGES)

    assert [scan.folder for scan in plan.scans] == [b"/a", b"/a-b"]


def test_named_options_replace_those_of_the_root_and_are_remembered():
    changes = OptionChanges(exclude=("x",))

    plan = plan_scan({b"/a": ScanOptions(hidden=True)}, [b"/a"], [], changes)

    assert plan.roots == {b"/a": ScanOptions(exclude=("x",), hidden=True)}


def test_a_file_in_a_root_makes_no_root_of_its_own():
    plan = plan_scan({b"/a": PLAIN}, [], [b"/a/x.jpg"], NO_CHANGES)

    assert list(plan.roots) == [b"/a"]
    assert plan.scans[0].files == {b"/a/x.jpg"}


@pytest.mark.parametrize("path", [b"/a/.x.jpg", b"/a/.b/x.jpg", b"/a/thumbs/x.jpg", b"/a/@eaDir/x"])
def test_a_file_that_its_folder_does_not_reach_joins_the_single_files(path):
    roots = {b"/a": ScanOptions(exclude=("thumbs/",))}

    plan = plan_scan(roots, [], [path, b"/a/y.jpg"], NO_CHANGES)

    assert list(plan.roots) == [b"", b"/a"]
    assert [(scan.root, scan.files) for scan in plan.scans] == [
        (b"", {path}), (b"/a", {b"/a/y.jpg"}),
    ]  # fmt: skip


def test_a_folder_that_no_root_reaches_is_a_root_of_its_own():
    plan = plan_scan({b"/a": PLAIN}, [b"/a/.b", b"/a"], [b"/a/.b/x.jpg"], NO_CHANGES)

    assert list(plan.roots) == [b"/a", b"/a/.b"]
    assert [scan.root for scan in plan.scans] == [b"/a", b"/a/.b"]


def test_a_root_that_now_reaches_another_replaces_it():
    changes = OptionChanges(hidden=True)

    plan = plan_scan({b"/a": PLAIN, b"/a/.b": PLAIN}, [b"/a"], [], changes)

    assert plan.roots == {b"/a": ScanOptions(hidden=True)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ScanOptions(hidden=True), "--hidden or --no-hidden"),
        (ScanOptions(follow_symlinks=True), "--follow-symlinks or --no-follow-symlinks"),
        (ScanOptions(exclude=("x",)), "--exclude GLOB"),
    ],
)
def test_options_of_a_root_that_gives_way_are_not_dropped_in_silence(options, words):
    match = f"/a/b was indexed with a different choice of {words} than /a would be: give the option"
    with pytest.raises(UsageError, match=match):
        plan_scan({b"/a/b": options}, [b"/a"], [], NO_CHANGES)


@pytest.mark.parametrize("hidden", [True, False])
def test_the_command_chooses_the_options_when_a_root_is_replaced(hidden):
    changes = OptionChanges(hidden=hidden)

    plan = plan_scan({b"/a/b": ScanOptions(hidden=True)}, [b"/a"], [], changes)

    assert plan.roots == {b"/a": ScanOptions(hidden=hidden)}


def test_a_file_elsewhere_joins_the_single_files():
    plan = plan_scan({b"/a": PLAIN}, [], [b"/z.jpg"], NO_CHANGES)

    assert list(plan.roots) == [b"", b"/a"]


def test_forgetting_refuses_what_is_neither_root_nor_single_file():
    with pytest.raises(
        UsageError, match="'/b' is not an indexed folder; the indexed folders are: /a"
    ):
        plan_forgetting({b"": PLAIN, b"/a": PLAIN}, [b"/z.jpg"], b"/b")


def test_forgetting_the_last_single_file_removes_their_root():
    roots = {b"": PLAIN, b"/a": PLAIN}

    first = plan_forgetting(roots, [b"/y.jpg", b"/z.jpg"], b"/y.jpg")
    last = plan_forgetting(roots, [b"/z.jpg"], b"/z.jpg")

    assert (list(first.roots), first.forgotten) == ([b"", b"/a"], {b"/y.jpg"})
    assert (list(last.roots), last.forgotten) == ([b"/a"], {b"/z.jpg"})


def test_named_paths_parts_folders_from_files(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")

    folders, files = named_paths([str(tmp_path), str(tmp_path / "x.jpg")])

    real = os.fsencode(os.path.realpath(tmp_path))
    assert folders == [real]
    assert files == [real + b"/x.jpg"]


def counted(n_in_folders, lost, folder=b"/r"):
    """A guard that counted rows: how many there are in each first-level folder, and lost ones."""
    guard = UnmountGuard(Scan(folder, folder, PLAIN))
    for name, n_rows in n_in_folders.items():
        for i in range(n_rows):
            guard.count(b"/r/%s%06d.jpg" % (name, i), is_kept=i >= lost.get(name, 0))
    return guard


@pytest.mark.parametrize(
    ("n_in_folders", "lost", "words"),
    [
        ({b"": 3}, {b"": 3}, "/r: 3 of 3 indexed files are gone"),
        ({b"a/": 60}, {b"a/": 60}, "/r: 60 of 60 indexed files are gone"),
        ({b"": 101}, {b"": 51}, "/r: 51 of 101 indexed files are gone"),
        ({b"a/": 100, b"b/": 60}, {b"b/": 60}, "/r/b: 60 of 60 indexed files are gone"),
        ({b"a/x/": 11, b"b/": 60}, {b"a/x/": 11}, "/r/a: 11 of 11 indexed files are gone"),
        ({b"a/": 300, b"b/": 101}, {b"b/": 51}, "/r/b: 51 of 101 indexed files are gone"),
        ({b"a/x/": 6, b"a/y/": 6, b"b/": 60}, {b"a/x/": 6, b"a/y/": 6}, "/r/a: 12 of 12"),
    ],
)
def test_a_scan_that_lost_a_drive_is_refused_with_its_place(n_in_folders, lost, words):
    guard = counted(n_in_folders, lost)

    with pytest.raises(ImgdupError, match=re.escape(words)):
        guard.check()


@pytest.mark.parametrize(
    ("n_in_folders", "lost"),
    [
        ({b"a/": 100}, {}),
        ({b"": 100}, {b"": 99}),
        ({b"a/": 100, b"b/": 10}, {b"b/": 10}),
        ({b"a/": 100, b"b/": 100}, {b"b/": 99}),
        ({b"a/": 300, b"b/": 101}, {b"b/": 50}),
        ({b"": 60, b"a/": 60}, {b"": 60}),
    ],
)
def test_a_scan_that_lost_few_files_is_believed(n_in_folders, lost):
    counted(n_in_folders, lost).check()
