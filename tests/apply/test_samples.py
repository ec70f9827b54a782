"""Which members of a shard go together with a picture."""

from imgdup.apply.set_content import (
    KEEPER,
    LINKED,
    OTHER_PICTURES,
    ShardPictures,
    decide,
    sample_keys,
)
from imgdup.containers.without import Stored


def members(text, links=None):
    """Members of these names; the place of each is its number."""
    links = links or {}
    return [
        Stored(name.encode(), i, links.get(name, "").encode())
        for i, name in enumerate(text.split())
    ]


def pictures(removed, kept=(), keepers=()):
    return ShardPictures(dict(removed), frozenset(kept), frozenset(keepers))


def test_captions_and_labels_are_removed_with_their_picture():
    listed = members("a.jpg a.txt a.json b.jpg b.txt")

    decision = decide(listed, pictures({0: None}, kept={3}), whole=False)

    assert (decision.removed, decision.kept) == ({0: 0, 1: 0, 2: 0}, {})


def test_folders_keep_samples_of_one_name_apart():
    listed = members("x/a.jpg y/a.jpg y/a.txt")

    assert decide(listed, pictures({0: None}, {1}), whole=False).removed == {0: 0}


def test_a_sample_with_another_picture_is_kept_unless_whole_samples_are_wanted():
    listed = members("a.jpg a.mask.png a.txt")
    mask = pictures({0: None}, kept={1})

    assert decide(listed, mask, whole=False).kept == {0: OTHER_PICTURES}
    assert decide(listed, mask, whole=False).removed == {}
    assert decide(listed, mask, whole=True).removed == {0: 0, 1: 0, 2: 0}


def test_a_sample_that_holds_a_kept_picture_is_kept_in_any_case():
    listed = members("a.left.jpg a.right.jpg")
    keeper = pictures({0: None}, kept={1}, keepers={1})

    assert decide(listed, keeper, whole=True).kept == {0: KEEPER}
    assert decide(listed, keeper, whole=True).removed == {}


def test_a_picture_that_is_kept_for_another_of_its_sample_loses_only_that():
    listed = members("a.jpg a.png a.txt")

    decision = decide(listed, pictures({1: 0}, kept={0}, keepers={0}), whole=False)

    assert decision.removed == {1: 1}


def test_of_two_samples_of_one_name_only_that_of_the_picture_is_removed():
    listed = members("a.jpg a.txt a.jpg a.txt")

    assert decide(listed, pictures({2: None}, {0}), whole=False).removed == {2: 2, 3: 2}


def test_a_sample_whose_content_a_link_needs_is_kept():
    listed = members("a.jpg a.txt b.jpg b.txt", links={"b.txt": "a.txt"})

    decision = decide(listed, pictures({0: None}, {2}), whole=False)

    assert (decision.removed, decision.kept) == ({}, {0: LINKED})


def test_names_are_divided_as_webdataset_does():
    names = "a.jpg a.seg.png d.x/a.jpg d.x/README .hidden ./a.jpg"

    keys = [key for key, _ in sample_keys(members(names))]

    assert keys == [b"a", b"a", b"d.x/a", b"d.x/README", b".hidden", b"./a"]
