"""Rows of pictures that are in memory: those of files on disk, without any index.

Twin: the index of the same pictures as files, and each function of hashing called alone.
"""

import os

import numpy as np
import pytest

from encoded import painted, photo, save
from imgdup import ImageIndex
from imgdup.build import in_memory
from imgdup.build.hash_batch import STATUS_BYTES
from imgdup.build.in_memory import Content, hash_contents
from imgdup.build.settings import Settings
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.index.columns import MATCH_WORDS
from imgdup.index.generation import GenerationRows
from imgdup.system.files import content_digest
from imgdup.system.limits import Limits
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

PICTURES = {
    "a.jpg": painted(1, 320, 240),
    "b.png": painted(2, 200, 150, ".png"),
    "c.webp": save(photo(), "webp"),
    "d.png": save(np.pad(photo(), ((40, 40), (30, 30), (0, 0))), "png"),  # with a border
    "e.png": save(np.full((30, 40), 7, np.uint8), "png"),  # nothing to see
}
BY_VALUE = ("size", "width", "height", "format", "quality", "digest", "match", "hashes")


@pytest.fixture
def folder(tmp_path):
    for name, data in PICTURES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def rows_of(contents, **options):
    return hash_contents(contents, len(contents), **options)


def test_bytes_get_the_row_that_their_file_has_in_an_index(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("index")
    ImageIndex.build(folder, place, Settings(workers=1, engine=inline), progress=False)
    indexed = ImageIndex.open(place)

    rows = rows_of([Content(data) for data in PICTURES.values()])

    assert [path.name for path in indexed.paths] == list(PICTURES)
    assert len(rows) == len(indexed.paths)
    in_files = GenerationRows(indexed.generation)
    for name in (*BY_VALUE, "status", in_memory.TRIMMED, in_memory.TRIMMED_ROWS):
        assert rows.column(name).tolist() == in_files.column(name).tolist(), name


def test_each_column_is_what_its_function_computes_of_the_picture():
    rows = rows_of([Content(data) for data in PICTURES.values()])

    for row, data in enumerate(PICTURES.values()):
        picture = decode(data, Limits())
        hashes, match, quality = fingerprint(picture.gray, "dhash", 64)
        assert rows.column("size")[row] == len(data)
        assert (rows.column("width")[row], rows.column("height")[row]) == (
            picture.width,
            picture.height,
        )
        assert rows.column("hashes")[row].tolist() == hashes.tolist()
        assert rows.column("match")[row].tolist() == match.tolist()
        assert rows.column("quality")[row] == quality
        digest = content_digest(data, rows.digest_kind)
        assert rows.column("digest")[row].tobytes() == digest


def test_a_file_that_is_named_has_the_row_of_its_bytes(folder):
    named = rows_of([Content(None, str(folder / name)) for name in PICTURES])

    given = rows_of([Content(data) for data in PICTURES.values()])

    assert named.failures == given.failures == []
    for name in BY_VALUE:
        assert named.column(name).tolist() == given.column(name).tolist(), name


def test_only_the_pictures_with_borders_have_a_hash_of_what_these_enclose():
    rows = rows_of([Content(data) for data in PICTURES.values()])

    assert rows.column(in_memory.TRIMMED_ROWS).tolist() == [list(PICTURES).index("d.png")]
    assert rows.column(in_memory.TRIMMED).shape == (1, MATCH_WORDS)
    assert rows.column(in_memory.TRIMMED).any()


def test_pictures_that_cannot_be_read_are_named_by_number_and_the_others_are_hashed(tmp_path):
    good = PICTURES["a.jpg"]
    contents = [
        Content(good),
        Content(b"no picture"),
        Content(None),
        Content(None, str(tmp_path / "missing.jpg")),
        Content(good[: len(good) // 2]),
        Content(good),
    ]

    rows = rows_of(contents)

    reasons = {number: error.reason for number, error in rows.failures}
    assert list(reasons) == [1, 2, 3, 4]
    assert reasons[1] == "not-an-image"
    assert reasons[2] == reasons[3] == "missing"
    assert rows.column("status").tolist() == [
        0, *(STATUS_BYTES[reason] for reason in reasons.values()), 0,
    ]  # fmt: skip
    assert rows.column("hashes")[0].tolist() == rows.column("hashes")[5].tolist() != [0]
    assert not rows.column("hashes")[1:5].any()
    assert not rows.column("digest")[1:5].any()


def test_limits_hold_for_pictures_in_memory():
    rows = rows_of([Content(PICTURES["a.jpg"])], limits=Limits(max_pixels=1000))

    ((number, error),) = rows.failures
    assert (number, error.reason) == (0, "too-large")


def test_no_pictures_are_no_rows():
    rows = rows_of([])

    assert len(rows) == 0
    assert rows.column("hashes").shape == (0, 1)
    assert rows.column(in_memory.TRIMMED_ROWS).tolist() == []


def test_pictures_in_memory_lie_in_no_folder_and_their_names_are_in_order():
    rows = rows_of([Content(PICTURES["e.png"])] * 3)

    names = [rows.path(row) for row in (0, 1, 2, 10**11)]
    assert names == sorted(names)
    assert len({len(name) for name in names}) == 1
    assert rows.rows_below(b"/").tolist() == []
    assert (list(rows.roots), rows.digest) == ([], "")
    assert rows.column("same_file").tolist() == [-1] * 3


def test_a_name_that_is_not_text_is_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    try:
        with open(path, "wb") as file:
            file.write(PICTURES["b.png"])
    except OSError:
        pytest.skip("this file system takes no such names")

    rows = rows_of([Content(None, path.decode("utf-8", "surrogateescape"))])

    assert rows.failures == []
    assert rows.column("width").tolist() == [200]
