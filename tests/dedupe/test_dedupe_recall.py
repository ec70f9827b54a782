"""Labelled pairs of other projects: which are found to be duplicates, each two alone in an index.

By the hash alone, ``same`` pairs are found as often as the reference implementation of PDQ finds
them on full decodes at the same distance, less one (102 of 107 at 31), and no ``different`` pair.
Of the pairs that the pictures are compared of, at least 104 of 107 ``same`` ones are duplicates.
"""

import csv
import functools
import os

import cv2
import numpy as np
import pytest

from array_rows import File, rows_of
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.relations import REMOVABLE
from imgdup.dedupe.sources import File as FileToCompare
from imgdup.dedupe.verify import Verifier
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.system.files import content_digest, read_file
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

pytestmark = needs_data

FOUND_BY_REFERENCE = {31: 102, 40: 106}  # of the `same` pairs, by pdqhash on full decodes


@functools.cache
def pairs():
    with open(DATA / "near-duplicates/pairs.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def hashed(name):
    data = read_file(os.fsencode(DATA / name), Limits()).data
    picture = decode(data, Limits())
    found = fingerprint(picture.gray, "dhash", 64)
    match = sum(int(word) << (64 * i) for i, word in enumerate(found.match))
    return File(
        os.fsencode(DATA / name),
        match=match,
        quality=found.quality,
        content=data,
        size=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
    )


def described(name):
    """Describe a picture as an index does."""
    known = hashed(name)
    digest = content_digest(known.content, "blake3")
    size = known.width, known.height
    return FileToCompare(known.path, digest, "blake3", *size)


def n_found(label, max_distance):
    """Count the pairs of a label that the hashes propose; no picture is compared."""
    options = DedupeOptions(rule=MatchRule(max_distance))
    found = (
        find_duplicates(
            rows_of([hashed(pair["a"]), hashed(pair["b"])], roots=(b"/",)), options
        ).groups
        for pair in pairs()
        if pair["label"] == label
    )
    return sum(len(groups.removed) + len(groups.shown) for groups in found)


@pytest.mark.parametrize("max_distance", FOUND_BY_REFERENCE)
def test_pairs_called_the_same_are_found_as_often_as_by_the_reference(max_distance):
    assert n_found("same", max_distance) >= FOUND_BY_REFERENCE[max_distance] - 1


@pytest.mark.parametrize("max_distance", FOUND_BY_REFERENCE)
def test_no_pair_called_different_is_found(max_distance):
    assert n_found("different", max_distance) == 0


def turned_among(names):
    """Return the turned pairs that are found among some pictures, by their names."""
    rows = rows_of([hashed(name) for name in sorted(names)], roots=(b"/",))
    options = DedupeOptions(rule=MatchRule(orientations=True))
    with Verifier(workers=1) as verifier:
        groups = find_duplicates(rows, options, verifier.judge(rows)).groups
    assert all(each.verdict.orientation == "none" for each in groups.shown
               if each.verdict.relation != "turned")  # fmt: skip
    return [
        {os.path.relpath(os.fsdecode(rows.path(row)), DATA) for row in (each.better, each.row)}
        for each in groups.shown
        if each.verdict.relation == "turned"
    ]


def test_pictures_of_pairs_called_turned_are_turned_copies():
    for pair in pairs():
        if pair["label"] == "dihedral":
            assert turned_among([pair["a"], pair["b"]]) == [{pair["a"], pair["b"]}]


def test_different_pictures_are_no_turned_copies():
    names = {pair[side] for pair in pairs() for side in "ab" if pair["label"] == "different"}

    assert turned_among(names) == []


def test_mirrored_and_rotated_photos_are_turned_copies(tmp_path):
    photos = sorted((DATA / "caltech-101").glob("*/*.jpg"))[::450]
    names = []
    for number, photo in enumerate(photos):
        pixels = cv2.imread(str(photo))
        turned = pixels[:, ::-1] if number % 2 else np.rot90(pixels, 1 + number % 3)
        names.append(str(tmp_path / f"{number}.jpg"))
        cv2.imwrite(names[-1], turned)

    found = turned_among([*(str(photo.relative_to(DATA)) for photo in photos), *names])

    assert len(photos) == 21
    assert len(found) == len(photos)


@functools.cache
def relations_of_same_pairs():
    """Return each pair called the same, with what the comparison of its pictures says."""
    same = [pair for pair in pairs() if pair["label"] == "same"]
    with Verifier(workers=1) as verifier:
        verdicts = verifier.compare([(described(p["a"]), described(p["b"])) for p in same])
    return [(pair, verdict.relation) for pair, verdict in zip(same, verdicts, strict=True)]


def test_the_pictures_of_pairs_called_the_same_are_duplicates():
    relations = [relation for _, relation in relations_of_same_pairs()]

    assert len(relations) == 107
    assert sum(relation not in ("different", "unverified") for relation in relations) >= 104


COPIED = {"random resize, aspect not kept", "squashed to 300x300", "100px", "grey", "lossy"}
COPIED |= {"Base", "Bright", "Dark", "identical bytes", "RGBA png"}
COLOURED = {"Hue", "color-corrected"}


def test_the_relation_of_labelled_pairs_is_that_of_their_note():
    relations = {
        (pair["note"], pair["a"], pair["b"]): relation
        for pair, relation in relations_of_same_pairs()
    }

    copied = [relation for (note, *_), relation in relations.items() if note in COPIED]
    coloured = [relation for (note, *_), relation in relations.items() if note in COLOURED]
    overlaid = [
        relation
        for (_, a, b), relation in relations.items()
        if "copyright" in a and "thumb" not in b  # the text is too small in a thumbnail
    ]
    assert len(copied) == 74 and set(copied) <= set(REMOVABLE)
    assert coloured == ["recoloured", "recoloured"]
    assert overlaid == ["edited"] * 4
