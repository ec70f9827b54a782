"""Splits that no chain of duplicates crosses, and how well they meet their ratios."""

import collections

import numpy as np
import pytest
from hypothesis import given, strategies as st

from array_rows import File, rows_of
from imgdup.dedupe.components import component_labels
from imgdup.dedupe.labels import ImageSet
from imgdup.dedupe.split import check_ratios, parse_ratios, split
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import images
from imgdup.output.cleaning import save_split

RATIOS = {"train": 0.7, "val": 0.2, "test": 0.1}


def pictures(counts):
    """Files in chains of so many equal pictures each."""
    return [
        File(b"/data/%03d-%03d.jpg" % (chain, i), match=_far(chain))
        for chain, n in enumerate(counts)
        for i in range(n)
    ]


def all_of(rows, labels=()):
    """All images of an index, with their labels."""
    return ImageSet(rows, images(rows), labels)


def _far(number):
    """A hash far from that of every other number."""
    return int.from_bytes(np.random.default_rng(number).bytes(32), "little")


@given(
    counts=st.lists(st.integers(1, 9), max_size=12),
    labels=st.integers(1, 4),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_no_chain_is_divided_and_ratios_miss_by_no_more_than_a_chain(counts, labels, seed, data):
    rows = rows_of(pictures(counts))
    selected = images(rows)
    drawn = [data.draw(st.sampled_from("abcd"[:labels])) for _ in selected]

    result = split(ImageSet(rows, selected, drawn), RATIOS, stratify=True, seed=seed)

    chains = component_labels(rows, selected)
    assert all(len(set(result.places[chains == c].tolist())) == 1 for c in chains)
    assert set(result.places.tolist()) <= {0, 1, 2}
    n = len(selected)
    for share in result.shares[:3]:
        assert abs(share.n_images - share.ratio * n) <= max(counts, default=0) + labels


@given(
    n_by_label=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    seed=st.integers(0, 3),
)
def test_without_duplicates_each_label_and_the_whole_are_met_to_the_image(n_by_label, seed):
    labels = [f"{label:02}" for label, n in enumerate(n_by_label) for _ in range(n)]
    rows = rows_of(pictures([1] * len(labels)))

    result = split(all_of(rows, labels), RATIOS, stratify=True, seed=seed)

    for share in result.shares:
        n = len(labels) if share.label is None else labels.count(share.label)
        slack = 1 if share.label is None else 2
        assert abs(share.n_images - share.ratio * n) <= slack


def test_many_small_labels_still_add_up_to_the_ratios():
    labels = [f"{i // 3:03}" for i in range(300)]
    rows = rows_of(pictures([1] * 300))
    ratios = {"train": 0.8, "val": 0.1, "test": 0.1}

    result = split(all_of(rows, labels), ratios, stratify=True)

    assert [share.n_images for share in result.shares[:3]] == [240, 30, 30]


def test_the_same_seed_gives_the_same_split_and_another_seed_another_one():
    rows = rows_of(pictures([3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]))

    first, again, other = (split(all_of(rows), RATIOS, seed=s).places for s in (1, 1, 2))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_chains_are_counted():
    rows = rows_of(pictures([3, 2, 1]))

    result = split(all_of(rows), RATIOS)

    assert (result.n_chains, result.n_chained) == (2, 5)
    assert len(result.shares) == 3


def test_the_names_of_one_file_are_no_chain_and_are_not_divided():
    files = [
        File(b"/data/%d-%d.jpg" % (number, name), match=_far(number), inode=number + 1)
        for number in range(40)
        for name in range(2)
    ]
    rows = rows_of(files)

    result = split(all_of(rows), {"a": 0.5, "b": 0.5})

    assert (result.n_chains, result.n_chained) == (0, 0)
    assert (result.places[0::2] == result.places[1::2]).all()
    assert [share.n_images for share in result.shares] == [40, 40]


def test_one_chain_is_assigned_to_the_split_that_lacks_most():
    rows = rows_of(pictures([7]))

    result = split(all_of(rows), RATIOS)

    assert result.places.tolist() == [0] * 7


def test_images_without_a_label_are_a_kind_of_their_own():
    rows = rows_of(pictures([1] * 4))
    labels = ["x", None, "x", None]

    result = split(all_of(rows, labels), {"a": 0.5, "b": 0.5}, stratify=True)

    counts = collections.Counter(zip(result.places.tolist(), labels, strict=True))
    assert set(counts.values()) == {1}


def test_no_image_is_split_into_empty_lists(tmp_path):
    rows = rows_of([])

    result = split(all_of(rows), RATIOS)
    written = save_split(tmp_path / "out", rows, result)

    assert [path.name for path in written] == ["train.txt", "val.txt", "test.txt"]
    assert {path.read_bytes() for path in written} == {b""}


def test_lists_hold_the_paths_below_the_root(tmp_path):
    rows = rows_of(pictures([1, 1, 1, 1]))

    written = save_split(tmp_path, rows, split(all_of(rows), {"a": 0.5, "b": 0.5}))

    lines = [path.read_bytes().splitlines() for path in written]
    assert [len(each) for each in lines] == [2, 2]
    assert sorted(lines[0] + lines[1]) == [b"%03d-000.jpg" % i for i in range(4)]
    assert all(each == sorted(each) for each in lines)


def test_a_newline_in_a_name_asks_for_null(tmp_path):
    rows = rows_of([File(b"/data/a\nb.jpg")])
    result = split(all_of(rows), {"a": 1.0})

    with pytest.raises(ImgdupError, match="use --null to end paths with NUL"):
        save_split(tmp_path, rows, result)
    assert save_split(tmp_path, rows, result, b"\0")[0].read_bytes() == b"a\nb.jpg\0"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    rows = rows_of([])

    with pytest.raises(ImgdupError, match=r"out: .*; nothing was written"):
        save_split(tmp_path / "file" / "out", rows, split(all_of(rows), RATIOS))


def test_ratios_are_read():
    assert parse_ratios("train=0.8, val = .1,test=1e-1") == {"train": 0.8, "val": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read ''; write train=0.8,test=0.2"),
        ("train", "cannot read 'train'"),
        ("train=0.5,train=0.5", "'train' is given twice"),
        ("../x=1", r"'../x' cannot be the name of a list: use letters, digits, _ and -"),
        ("a=x", "a=x must be a number above 0"),
        ("a=nan", "a=nan must be a number above 0"),
        ("a=0,b=1", "a=0 must be a number above 0"),
        ("a=1.5", "a=1.5 must be a number above 0, at most 1"),
        ("a=0.5,b=0.4", "add up to 0.9: they must add up to 1"),
    ],
)
def test_ratios_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_ratios(text)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"../train": 0.5, "test": 0.5}, "'../train' cannot be the name of a list"),
        ({"": 1.0}, "'' cannot be the name of a list"),
        ({"train": 0.5, "Train": 0.5}, "'Train' is given twice; upper and lower case are the same"),
        ({"train": 0.5, "test": 0.4}, "ratios add up to 0.9: they must add up to 1"),
    ],
)
def test_names_that_cannot_be_files_beside_each_other_are_refused(ratios, message):
    with pytest.raises(UsageError) as caught:
        check_ratios(ratios)

    assert message in str(caught.value)


def test_the_deviation_is_how_far_a_share_is_from_its_ratio():
    rows = rows_of([File(b"/data/%d" % i, match=i << 40 * i) for i in range(4)])

    result = split(all_of(rows), {"train": 0.9, "test": 0.1})

    deviations = {share.name: round(share.deviation, 6) for share in result.shares}
    assert deviations == {"train": 0.1, "test": 0.1}
