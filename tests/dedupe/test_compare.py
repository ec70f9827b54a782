"""Leaks of one set into another. Oracle: ``oracles_dedupe.leaks``, every pair one by one."""

import zlib
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, strategies as st
from test_groups import files_strategy, spread_files, turned_files

import oracles_dedupe
from array_rows import File, rows_of
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import compare
from imgdup.dedupe.labels import ImageSet, folder_labels
from imgdup.dedupe.leaks import verified
from imgdup.dedupe.relations import Verdict
from imgdup.errors import UsageError
from imgdup.index.columns import images


def part(files, labels=None, root=b"/data", rows=None, folders=()):
    rows = rows or rows_of(files, roots=(root,))
    selected = images(rows, folders)
    named = [(labels or {}).get(rows.path(row)) for row in selected.tolist()]
    return ImageSet(rows, selected, named)


def found(leaks):
    return {leak.path: (leak.duplicate_of, leak.distance, leak.conflict) for leak in leaks.each()}


@pytest.mark.parametrize("consistent", [True, False], ids=["consistent", "drifted"])
@given(data=st.data(), max_distance=st.integers(0, 4))
def test_leaks_equal_looking_at_every_pair(consistent, data, max_distance):
    strategy = files_strategy(10, consistent=consistent).map(
        lambda files: [file for file in files if file.status == 0]
    )
    a, b = data.draw(strategy), data.draw(strategy)
    names = st.sampled_from([None, "x", "y", "z"])
    labels = {file.path: data.draw(names) for file in {f.path: f for f in [*a, *b]}.values()}

    leaks = compare(part(a, labels), part(b, labels), MatchRule(max_distance))

    expected = oracles_dedupe.leaks(a, b, max_distance, labels)
    assert found(leaks) == expected
    assert list(found(leaks)) == list(expected)
    assert leaks.n_conflicts == sum(conflict is not None for _, _, conflict in expected.values())


@given(data=st.data(), max_distance=st.integers(0, 4))
def test_leaks_of_turned_pictures_equal_looking_at_every_pair(data, max_distance):
    strategy = files_strategy(8).map(lambda files: [file for file in files if file.status == 0])
    a, b = (data.draw(strategy.flatmap(turned_files)) for _ in range(2))
    names = st.sampled_from([None, "x", "y", "z"])
    labels = {file.path: data.draw(names) for file in {f.path: f for f in [*a, *b]}.values()}

    leaks = compare(part(a, labels), part(b, labels), MatchRule(max_distance, orientations=True))

    assert found(leaks) == oracles_dedupe.leaks(a, b, max_distance, labels, orientations=True)


@given(data=st.data(), max_distance=st.integers(0, 40))
def test_leaks_of_a_wide_rule_equal_looking_at_every_pair(data, max_distance):
    strategy = files_strategy(8).map(lambda files: [file for file in files if file.status == 0])
    a, b = (data.draw(strategy.map(spread_files)) for _ in range(2))
    names = st.sampled_from([None, "x", "y", "z"])
    labels = {file.path: data.draw(names) for file in {f.path: f for f in [*a, *b]}.values()}

    leaks = compare(part(a, labels), part(b, labels), MatchRule(max_distance, wide=True))

    assert found(leaks) == oracles_dedupe.leaks(a, b, max_distance, labels, wide=True)


def test_a_leak_has_its_orientation():
    match = (1 << 200) - 2
    test = File(b"/test/1.jpg", match=oracles_dedupe.turned_match(match)[1])

    [leak] = compare(
        part([File(b"/train/1.jpg", match=match)], root=b"/train"),
        part([test], root=b"/test"),
        MatchRule(orientations=True),
    ).each()

    assert (leak.distance, leak.orientation) == (0, "mirror")


TRAIN = [
    File(b"/train/cat/1.jpg", match=0, width=100),
    File(b"/train/dog/2.jpg", match=0b1, width=100),
    File(b"/train/cat/3.jpg", match=2**200 - 1, content=b"same"),
]
TEST = [
    File(b"/test/dog/1.jpg", match=0, width=200, height=200),
    File(b"/test/cat/2.jpg", match=2**200 - 1, content=b"same"),
    File(b"/test/cat/new.jpg", match=2**100 - 1),
]


def digest(rows, path):
    """The digest of a file, in hex."""
    return next(
        rows.column("digest")[i].tobytes().hex() for i in range(len(rows)) if rows.path(i) == path
    )


def test_a_leak_has_its_duplicate_distance_and_labels():
    a, b = rows_of(TRAIN, roots=(b"/train",)), rows_of(TEST, roots=(b"/test",))
    parts = [ImageSet(rows, images(rows), folder_labels(rows, images(rows))) for rows in (a, b)]

    leaks = list(compare(*parts).each())

    assert [tuple(leak) for leak in leaks] == [
        (
            b"/test/cat/2.jpg",
            b"/train/cat/3.jpg",
            0,
            "same-bytes",
            "cat",
            "cat",
            None,
            None,
            "none",
            digest(b, b"/test/cat/2.jpg"),
            digest(a, b"/train/cat/3.jpg"),
        ),
        (
            b"/test/dog/1.jpg",
            b"/train/cat/1.jpg",
            0,
            "unverified",
            "dog",
            "cat",
            b"/train/cat/1.jpg",
            "cat",
            "none",
            digest(b, b"/test/dog/1.jpg"),
            digest(a, b"/train/cat/1.jpg"),
        ),
    ]


def test_a_conflict_may_be_farther_than_the_nearest_duplicate():
    train = [File(b"/data/1", match=0), File(b"/data/2", match=0b11), File(b"/data/3", match=0b1)]
    test = [File(b"/data/4", match=0)]
    labels = {b"/data/1": "x", b"/data/2": "y", b"/data/3": "z", b"/data/4": "x"}

    result = found(compare(part(train, labels), part(test, labels)))

    assert result == {b"/data/4": (b"/data/1", 0, b"/data/3")}


def test_two_folders_of_one_index_are_compared_and_a_hard_link_is_the_same_file():
    files = [File(b"/data/a/1.jpg", inode=1), File(b"/data/b/1.jpg", inode=1)]
    rows = rows_of(files)

    leaks = list(
        compare(
            part(files, rows=rows, folders=(b"/data/a",)),
            part(files, rows=rows, folders=(b"/data/b",)),
        ).each()
    )

    assert [(leak.path, leak.relation) for leak in leaks] == [(b"/data/b/1.jpg", "same-file")]


def test_the_same_file_is_listed_before_a_copy_with_an_earlier_name():
    files = [
        File(b"/data/a/0-copy.jpg", content=b"same"),
        File(b"/data/a/1.jpg", content=b"same", inode=1),
        File(b"/data/b/1.jpg", content=b"same", inode=1),
    ]
    rows = rows_of(files)
    sets = [part(files, rows=rows, folders=(folder,)) for folder in (b"/data/a", b"/data/b")]

    [leak] = compare(*sets).each()

    assert (leak.duplicate_of, leak.relation, leak.distance) == (b"/data/a/1.jpg", "same-file", 0)


def test_one_file_in_two_indexes_is_the_same_file_whatever_its_path():
    a = [File(b"/data/0-copy.jpg", content=b"same"), File(b"/data/1.jpg", content=b"same", inode=1)]
    b = [File(b"/mnt/1.jpg", content=b"same", inode=1), File(b"/mnt/2.jpg", content=b"same")]

    leaks = list(compare(part(a), part(b, root=b"/mnt")).each())

    assert [(leak.path, leak.duplicate_of, leak.relation) for leak in leaks] == [
        (b"/mnt/1.jpg", b"/data/1.jpg", "same-file"),
        (b"/mnt/2.jpg", b"/data/0-copy.jpg", "same-bytes"),
    ]


def test_an_inode_that_was_used_again_is_another_file():
    a, b = [File(b"/data/1.jpg", inode=1)], [File(b"/mnt/2.jpg", inode=1)]

    [leak] = compare(part(a), part(b, root=b"/mnt")).each()

    assert leak.relation == "unverified"


def test_indexes_without_identities_are_compared_by_path():
    sets = [part([File(b"/data/1.jpg"), File(b"/data/2.jpg", match=2**200 - 1)]) for _ in range(2)]
    for each in sets:
        del each.rows.columns["identity"]

    leaks = list(compare(*sets).each())

    assert [leak.relation for leak in leaks] == ["same-file", "same-file"]


def test_sets_that_overlap_are_refused():
    rows = rows_of(TRAIN, roots=(b"/train",))
    whole = part(TRAIN, rows=rows)

    with pytest.raises(UsageError, match="files in common: name folders that do not overlap"):
        compare(whole, part(TRAIN, rows=rows, folders=(b"/train/cat",)))


@pytest.mark.parametrize("empty", [0, 1, (0, 1)])
def test_an_empty_set_leaks_nothing(empty):
    parts = [
        part([] if side in (empty if isinstance(empty, tuple) else (empty,)) else TRAIN)
        for side in (0, 1)
    ]

    leaks = compare(*parts)

    assert list(leaks.each()) == []
    assert leaks.n_conflicts == 0


@given(threads=st.sampled_from([1, 2, 7]))
def test_threads_do_not_matter(threads):
    assert found(compare(part(TRAIN), part(TEST), threads=threads)) == found(
        compare(part(TRAIN), part(TEST))
    )


def is_different(a, b):
    """Whether the pictures of two contents differ; by chance, but always the same."""
    return a.content != b.content and zlib.crc32(a.content + b"/" + b.content) % 3 == 0


@given(data=st.data(), max_distance=st.integers(0, 4))
def test_verified_leaks_equal_looking_at_the_pictures_of_every_pair(data, max_distance):
    strategy = files_strategy(10, consistent=True).map(
        lambda files: [file for file in files if file.status == 0]
    )
    a, b = data.draw(strategy), data.draw(strategy)
    known = {(f.size, f.content): {"match": f.match, "quality": f.quality} for f in a}
    b = [replace(f, **known.get((f.size, f.content), {})) for f in b]  # equal bytes hash alike
    names = st.sampled_from([None, "x", "y", "z"])
    labels = {file.path: data.draw(names) for file in {f.path: f for f in [*a, *b]}.values()}
    rule = MatchRule(max_distance)
    parts = part(a, labels), part(b, labels)

    def judge(pairs):
        by_path = [{file.path: file for file in files} for files in (a, b)]
        files = [[by_path[i][parts[i].rows.path(pair[i])] for i in (0, 1)] for pair in pairs]
        words = {True: "different", False: "edited"}
        return [Verdict(words[is_different(*pair)], 9.0, None) for pair in files]

    reports = []
    with patch("imgdup.dedupe.leaks.PAIRS_TOGETHER", 2):
        leaks = verified(
            compare(*parts, rule), rule, judge, progress=lambda *numbers: reports.append(numbers)
        )

    assert reports == sorted(reports)
    assert all(n_decided == n_images for n_decided, n_images in reports[-1:])
    expected = oracles_dedupe.leaks(a, b, max_distance, labels, is_different)
    assert found(leaks) == expected
    assert list(found(leaks)) == list(expected)
