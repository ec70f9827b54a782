"""Indexes of each format version, written once by data/make_frozen.py, are read for ever."""

import os
import shutil

import make_frozen
import numpy as np
import pytest

from encoded import photo, save
from imgdup import ImageIndex, ImgdupError, cli
from imgdup.build.update import update_index
from imgdup.index import folder, layout, store
from imgdup.index.columns import has_trimmed, trimmed_hashes
from imgdup.query import check_index as check
from imgdup.query.check_index import check_structure
from imgdup.query.matches import QueryOptions
from imgdup.query.probe import Probe
from made_generation import look_up_probes

pytestmark = pytest.mark.usefixtures("in_process")

VERSION_1 = make_frozen.path().parents[1] / "1"
OLD = [VERSION_1 / "index", VERSION_1 / "index-with-identity"]
NEW = VERSION_1.with_name("2") / "index"
TRIMMED = VERSION_1.with_name("2") / "index-with-trimmed"
FROZEN = [*OLD, NEW, TRIMMED]


@pytest.fixture(
    scope="module", params=FROZEN, ids=lambda place: f"{place.parent.name}-{place.name}"
)
def frozen(request):
    return request.param


@pytest.fixture(scope="module")
def index(frozen):
    return ImageIndex.open(frozen)


def test_it_holds_what_was_written(index):
    assert [os.path.basename(index.rows.path(row)) for row in range(len(index.rows))] == [
        b"a.jpg", b"c.png", b"link.png", b"broken.jpg", b"odd-\xff.jpg", b"z.webp",
    ]  # fmt: skip
    assert index.column("same_file").tolist() == [-1, -1, 1, -1, -1, -1]
    assert index.generation.detail(3) == "the JPEG file ends within its data"
    assert index.info()["failed"] == {"truncated": 1}


@pytest.mark.parametrize("strategy", ["tree", "bands", "scan"])
def test_the_frozen_index_answers(index, strategy):
    other = np.zeros((1, 4), np.uint64)
    probe = Probe(np.array([[1]], np.uint64), other, 100, b"", pdq=other)

    matches = look_up_probes(index.generation, [probe], QueryOptions(2, strategy=strategy))

    assert [(m.distance, m.row, m.duplicate) for m in matches] == [
        (0, 1, True), (0, 2, True), (1, 0, True), (2, 4, False), (2, 5, True),
    ]  # fmt: skip


def test_the_frozen_index_is_intact(index):
    assert list(check_structure(index.rows)) == []
    assert list(check.check_deep(index.rows)) == []


def test_it_prints_how_far_the_other_hashes_are(index):
    other = np.zeros((1, 4), np.uint64)
    probe = Probe(np.array([[1]], np.uint64), other, 100, b"", pdq=other)

    matches = look_up_probes(index.generation, [probe], QueryOptions(1, by="search"))

    found = [(m.match_distance, m.pdq_distance) for m in matches]
    expected = {1: [(None, 2), (None, 2), (None, 0)], 2: [(2, 2), (2, 2), (0, 0)]}
    assert found == expected[index.generation.version]


@pytest.mark.parametrize("place", [NEW, TRIMMED], ids=lambda place: place.name)
def test_it_is_what_is_written_today(place, tmp_path):
    with_trimmed = place == TRIMMED
    assert place == make_frozen.index_path(with_trimmed=with_trimmed)

    make_frozen.write_index(tmp_path / "index", with_trimmed=with_trimmed)

    today = folder.generation_path(tmp_path / "index", 1)
    assert today.read_bytes() == folder.generation_path(place, 1).read_bytes()


def test_hashes_of_what_borders_enclose_are_read_where_there_are_any():
    rows = ImageIndex.open(TRIMMED).rows

    assert has_trimmed(rows)
    assert trimmed_hashes(rows, np.arange(6)).tolist() == [*[[0] * 4] * 4, [2, 0, 0, 1], [0] * 4]


@pytest.mark.parametrize(
    "place", [*OLD, NEW], ids=lambda place: f"{place.parent.name}-{place.name}"
)
def test_an_index_of_before_has_no_hashes_of_what_borders_enclose(place):
    rows = ImageIndex.open(place).rows

    assert not has_trimmed(rows)
    assert not trimmed_hashes(rows, np.arange(6)).any()


def test_an_update_of_a_copy_writes_a_new_generation(tmp_path):
    shutil.copytree(NEW, tmp_path / "index")
    (tmp_path / "photos").mkdir()

    update_index(tmp_path / "index", [str(tmp_path / "photos")])

    assert folder.read_current(tmp_path / "index").generation == 2
    assert len(ImageIndex.open(tmp_path / "index").rows) == 6


REMEDY = r"index\.1 is of format version 1, which has no match hashes: run imgdup index to bring it"


@pytest.mark.parametrize("place", OLD, ids=lambda place: place.name)
def test_an_index_of_version_1_decides_nothing(place):
    index = ImageIndex.open(place)

    for decide in (index.groups, index.pairs, index.check_before_decision):
        with pytest.raises(ImgdupError, match=REMEDY):
            decide()


@pytest.mark.parametrize(
    "command",
    [
        "dedupe", "pairs", "split --ratios a=0.5,b=0.5 --out lists", "compare INDEX INDEX",
        "index --moved / .",
    ],
)  # fmt: skip
def test_commands_that_need_match_hashes_name_the_remedy(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD[1], "INDEX")

    code = cli.main([*command.split(), *([] if "compare" in command else ["--index", "INDEX"])])

    assert code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "run imgdup index to bring it up to date" in last


def test_an_update_brings_an_index_of_version_1_up_to_date(tmp_path, caplog):
    place, photos = tmp_path / "index", tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(save(photo(), "png"))
    (photos / "broken.jpg").write_bytes(save(photo(), "jpeg")[:900])
    update_index(place, [str(photos)])
    expected = ImageIndex.open(place)
    make_version_1(place)
    assert ImageIndex.open(place).generation.version == 1

    outcome = update_index(place)

    found = ImageIndex.open(place)
    assert (outcome.hashed, outcome.failed, outcome.written) == (1, 1, True)
    assert "is of format version 1: all files are read again" in caplog.text
    assert found.generation.version == 2
    for name in expected.generation.arrays:
        assert found.column(name).tolist() == expected.column(name).tolist(), name
    assert found.check_before_decision() is found


def test_an_index_of_version_1_is_kept_if_not_all_its_files_can_be_read(tmp_path):
    shutil.copytree(OLD[1], tmp_path / "index")
    (tmp_path / "photos").mkdir()

    with pytest.raises(ImgdupError, match="all files of the index must be read again, but 6"):
        update_index(tmp_path / "index", [str(tmp_path / "photos")])

    assert ImageIndex.open(tmp_path / "index").generation.version == 1


def make_version_1(place):
    """Write the current generation of an index as format version 1 had it, with PDQ hashes."""
    file = folder.generation_path(place, 1)
    stored = store.load(file)
    arrays = {"pdq" if n == "match" else n: np.array(a) for n, a in stored.arrays.items()}
    head = {key: value for key, value in stored.head.items() if key != "with_pdq"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "FORMAT_VERSION", 1)
        store.save(file, head, arrays)
