"""The painted sample set: its truth is what both hashes say of its files.

The set is what a newcomer sees first and what other tests rely on, so its promises are tested:
the stated copies are found by both hashes, nothing else is a duplicate, and paint is repeatable.
"""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from make_sample import paint_sample, photo

from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.query.probe import picture_in_memory
from imgdup.system.limits import Limits

MAX_DHASH = 10  # bits, the default of `imgdup query`
MATCH_MAX_DISTANCE = 31  # bits
MIN_QUALITY = 50


@pytest.fixture(scope="module")
def truth(painted_sample):
    """Lines of truth.csv as dicts."""
    with (painted_sample / "truth.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fingerprints(painted_sample):
    """Fingerprint of each picture by its name."""
    paths = sorted(
        path for path in painted_sample.rglob("*") if path.suffix in {".jpg", ".png", ".webp"}
    )
    pictures = {path.relative_to(painted_sample).as_posix(): path.read_bytes() for path in paths}
    return {
        name: fingerprint(decode(data, Limits()).gray, "dhash", 64)
        for name, data in pictures.items()
    }


def distance(a, b):
    return int(np.bitwise_count(a ^ b).sum())


def is_duplicate(a, b):
    return (
        min(a.quality, b.quality) >= MIN_QUALITY
        and distance(a.match, b.match) <= MATCH_MAX_DISTANCE
    )


def pairs_expected(truth, expected):
    return {(line["a"], line["b"]) for line in truth if line["expected"] == expected}


def test_copies_are_found_by_both_hashes(truth, fingerprints):
    same = [(fingerprints[a], fingerprints[b]) for a, b in pairs_expected(truth, "same")]

    far = [distance(a.hashes, b.hashes) for a, b in same]

    assert max(far) <= MAX_DHASH
    assert all(is_duplicate(a, b) for a, b in same)


def test_nothing_else_is_a_duplicate(truth, fingerprints):
    original = {b: a for a, b in pairs_expected(truth, "same")}
    unrelated = [
        (a, b)
        for a, b in itertools.combinations(fingerprints, 2)
        if original.get(a, a) != original.get(b, b)
    ]

    found = [(a, b) for a, b in unrelated if is_duplicate(fingerprints[a], fingerprints[b])]

    assert found == []


def test_look_alikes_deceive_the_search_hash(truth, fingerprints):
    goods = [
        (fingerprints[line["a"]], fingerprints[line["b"]])
        for line in truth
        if line["relation"] == "look-alike: goods"
    ]

    deceived = [distance(a.hashes, b.hashes) <= MAX_DHASH for a, b in goods]

    assert any(deceived)


def test_truth_names_every_picture(truth, fingerprints):
    named = {line[side] for line in truth for side in ("a", "b")}

    assert named == set(fingerprints)
    assert {line["expected"] for line in truth} == {"same", "different", "rotated"}


def test_an_exact_copy_and_a_rotation_are_among_them(painted_sample, truth):
    copied = next(line for line in truth if line["relation"] == "copied")

    assert (painted_sample / copied["a"]).read_bytes() == (
        painted_sample / copied["b"]
    ).read_bytes()
    assert len(pairs_expected(truth, "rotated")) == 1


def test_paint_is_repeatable(painted_sample, tmp_path):
    paint_sample(tmp_path)

    assert all_bytes(tmp_path) == all_bytes(painted_sample)


def all_bytes(folder: Path):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_photos_have_the_size_asked_for():
    picture = photo(seed=3, width=64, height=96)

    assert picture.shape == (96, 64, 3)
    assert picture.dtype == np.uint8


def test_photos_of_different_seeds_are_far_apart_and_rich():
    prints = [
        fingerprint(picture_in_memory(photo(seed, 160, 120)).gray, "dhash", 64)
        for seed in range(90)
    ]
    apart = [
        (distance(a.hashes, b.hashes), distance(a.match, b.match))
        for a, b in itertools.combinations(prints, 2)
    ]

    assert min(near for near, _ in apart) > MAX_DHASH
    assert min(near for _, near in apart) > 2 * MATCH_MAX_DISTANCE
    assert min(each.quality for each in prints) >= MIN_QUALITY
