"""Labelled pairs of other projects: which are found to be duplicates, each two alone in an index.

The bar: ``same`` pairs as often as the reference implementation of PDQ finds them on full decodes
at the same distance, less one (102 of 107 at 31), and no ``different`` pair.
"""

import csv
import functools
import os

import pytest

from array_rows import File, rows_of
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.system.files import read_file
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
        b"/data/" + os.fsencode(name),
        match=match,
        quality=found.quality,
        content=data,
        size=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
    )


def n_found(label, max_distance):
    options = DedupeOptions(rule=MatchRule(max_distance))
    return sum(
        len(
            find_duplicates(rows_of([hashed(pair["a"]), hashed(pair["b"])]), options).groups.removed
        )
        for pair in pairs()
        if pair["label"] == label
    )


@pytest.mark.parametrize("max_distance", FOUND_BY_REFERENCE)
def test_pairs_called_the_same_are_found_as_often_as_by_the_reference(max_distance):
    assert n_found("same", max_distance) >= FOUND_BY_REFERENCE[max_distance] - 1


@pytest.mark.parametrize("max_distance", FOUND_BY_REFERENCE)
def test_no_pair_called_different_is_found(max_distance):
    assert n_found("different", max_distance) == 0
