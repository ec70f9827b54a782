"""The command import, and the export for the tutorial, on pickles made by the tutorial's code."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest

import oracles_hashing as oracles
from cli_runs import in_process
from imgdup import ImageIndex, cli
from imgdup.cli import printing

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def dictionary(photos):
    """What index_images.py of the tutorial writes about the photos."""
    hashes = {}
    for path in sorted(os.listdir(photos)):
        key = oracles.tutorial_key(oracles.tutorial_dhash_of_file(photos / path))
        hashes.setdefault(key, []).append(f"photos/{path}")
    with open("hashes.pickle", "wb") as file:
        pickle.dump(hashes, file)
    return hashes


def test_import_with_the_hash_of_the_tutorial_changes_nothing(dictionary):
    run = in_process("import", "hashes.pickle", "--hash", "dhash-tutorial")

    assert run.code == 0
    assert run.out.decode().splitlines() == [
        "4 files in the dictionary: 4 hashed",
        "4 hashes as before, 0 changed",
        "the dictionary holds hashes that float64 rounded; the index holds them exactly",
    ]


def test_import_prints_how_many_bits_changed(dictionary):
    run = in_process("import", "hashes.pickle", "--json")
    index = ImageIndex.open(".imgdup")
    keys = {
        os.fsencode(os.path.abspath(p)): key for key, paths in dictionary.items() for p in paths
    }
    bits = [
        (oracles.tutorial_key(int(value)) ^ keys[index.rows.path(row)]).bit_count()
        for row, value in enumerate(index.column("hashes")[:, 0])
    ]

    facts = json.loads(run.out)

    assert facts == {
        "files": 4,
        "missing": 0,
        "hashed": 4,
        "failed": 0,
        "unchanged": bits.count(0),
        "changed": len(bits) - bits.count(0),
        "median_bits": sorted(filter(None, bits))[(len(bits) - bits.count(0)) // 2],
        "max_bits": max(bits),
        "rounded": True,
        "hash": "dhash",
    }


def test_an_old_dictionary_can_be_queried(dictionary, capfdbinary):
    shutil.copy("photos/p0.jpg", "probe.jpg")
    assert cli.main(["import", "hashes.pickle", "--hash", "dhash-tutorial"]) == 0
    capfdbinary.readouterr()

    assert cli.main(["query", "probe.jpg", "--by", "search", "--max-dist", "0"]) == 0

    found = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split("\t")[4].rpartition("/")[2] for line in found] == ["p0.jpg"]


def test_missing_files_are_named_and_the_others_imported(dictionary):
    os.remove("photos/p1.jpg")

    run = in_process("import", "hashes.pickle")

    assert run.code == 3
    assert b"photos/p1.jpg: does not exist" in run.err
    assert run.out.startswith(b"4 files in the dictionary: 3 hashed, 1 missing\n")


def test_of_many_missing_files_the_first_are_named_and_the_others_counted(dictionary, monkeypatch):
    monkeypatch.setattr(printing, "N_LISTED", 1)
    for name in ("p0.jpg", "p1.jpg", "p2.jpg"):
        os.remove(f"photos/{name}")

    run = in_process("import", "hashes.pickle")

    assert run.code == 3
    assert run.err.count(b"does not exist") == 1
    assert b"... and 2 more do not exist" in run.err


def test_a_file_that_fails_is_counted(dictionary):
    with open("photos/p1.jpg", "r+b") as file:
        file.truncate(500)

    run = in_process("import", "hashes.pickle")

    assert run.code == 3
    assert run.out.startswith(b"4 files in the dictionary: 3 hashed, 1 failed\n")


def test_paths_that_start_in_another_folder_are_explained(dictionary, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    run = in_process("import", "../hashes.pickle")

    assert run.code == 1
    assert b"change to the folder in which index_images.py was run" in run.err
    assert not os.path.exists(".imgdup")


def test_a_hostile_pickle_makes_no_index(photos):
    with open("hashes.pickle", "wb") as file:
        pickle.dump({1: [np.dtype]}, file)

    run = in_process("import", "hashes.pickle")

    assert run.code == 1
    assert run.err.decode().count("\n") == 1
    assert not os.path.exists(".imgdup")


def test_the_export_for_the_tutorial_is_the_dictionary_that_it_writes(dictionary):
    cli.main(["index", "photos", "--hash", "dhash-tutorial", "--workers", "1"])

    assert cli.main(["export", "--format", "tutorial-pickle", "-o", "again.pickle"]) == 0

    with open("again.pickle", "rb") as file:
        found = pickle.load(file)
    absolute = {key: [os.path.abspath(p) for p in paths] for key, paths in dictionary.items()}
    assert found == absolute


def test_the_export_for_the_tutorial_needs_its_hash(indexed):
    run = in_process("export", "--format", "tutorial-pickle", "-o", "again.pickle")

    assert run.code == 1
    assert b"imgdup index DIR --hash dhash-tutorial --index NEW" in run.err
    assert not os.path.exists("again.pickle")
