"""Indexes of format version 1, written once by data/make_frozen.py, are read for ever."""

import os
import shutil

import make_frozen
import numpy as np
import pytest

from imgdup import ImageIndex
from imgdup.index import folder, store
from imgdup.query import check_index as check
from imgdup.query.matches import QueryOptions, look_up
from imgdup.query.probe import Probe

VERSION_1 = make_frozen.path().parents[1] / "1"
FROZEN = [VERSION_1 / "index", VERSION_1 / "index-with-identity"]


@pytest.fixture(scope="module", params=FROZEN, ids=lambda place: place.name)
def frozen(request):
    return request.param


@pytest.fixture(scope="module")
def index(frozen):
    return ImageIndex.open(frozen)


def test_it_holds_what_was_written(index):
    assert [os.path.basename(index.path(row)) for row in range(len(index))] == [
        b"a.jpg", b"c.png", b"link.png", b"broken.jpg", b"odd-\xff.jpg", b"z.webp",
    ]  # fmt: skip
    assert index.column("same_file").tolist() == [-1, -1, 1, -1, -1, -1]
    assert index.generation.detail(3) == "the JPEG file ends within its data"
    assert index.info()["failed"] == {"truncated": 1}


@pytest.mark.parametrize("strategy", ["tree", "bands", "scan"])
def test_it_answers(index, strategy):
    match = np.zeros((1, 4), np.uint64)
    probe = Probe(np.array([[1]], np.uint64), match, 100, b"")

    matches = look_up(index.generation, [probe], QueryOptions(2, strategy=strategy))

    assert [(m.distance, m.row, m.duplicate) for m in matches] == [
        (0, 1, True), (0, 2, True), (1, 0, True), (2, 4, False), (2, 5, True),
    ]  # fmt: skip


def test_it_is_sound(index):
    assert list(check.check_structure(index)) == []
    assert list(check.check_deep(index)) == []


def test_it_is_what_is_written_today(tmp_path):
    if store.FORMAT_VERSION != 1:
        pytest.skip("another version is written today")

    make_frozen.write_index(tmp_path / "index")

    today = folder.generation_path(tmp_path / "index", 1)
    assert today.read_bytes() == folder.generation_path(make_frozen.index_path(), 1).read_bytes()


def test_an_update_of_a_copy_writes_a_new_generation(frozen, tmp_path):
    from imgdup.build.update import update_index

    shutil.copytree(frozen, tmp_path / "index")
    (tmp_path / "photos").mkdir()

    update_index(tmp_path / "index", [str(tmp_path / "photos")])

    assert folder.read_current(tmp_path / "index").generation == 2
    assert len(ImageIndex.open(tmp_path / "index")) == 6
