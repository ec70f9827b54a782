"""Export: every file of an index, with all that is known of it, in other programs' forms."""

import csv
import json
import os
import pickle

import pytest
from make_sample import encode, photo

from imgdup import ImageIndex, hash_image
from imgdup.build.settings import Settings
from imgdup.errors import ImgdupError
from imgdup.output.export import COLUMNS, export
from imgdup.query.probe import make_probe
from imgdup.search import to_hex
from imgdup.system.records import path_from_json
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

ODD = b'\xff,"\n.jpg' if os.name == "posix" else b"odd.jpg"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"p{seed}.jpg").write_bytes(encode(photo(seed, 160, 120), ".jpg"))
    (folder / "copy.jpg").write_bytes((folder / "p0.jpg").read_bytes())
    with open(os.path.join(os.fsencode(folder), ODD), "wb") as file:
        file.write(b"nonsense")
    return ImageIndex.build(
        folder, path=folder.parent / "index", settings=Settings(workers=1, engine=inline)
    )


def test_the_pickle_is_the_dictionary_of_the_tutorial(index, tmp_path):
    n_images = export(index.rows, "pickle", tmp_path / "out")

    table = pickle.loads((tmp_path / "out").read_bytes())
    assert n_images == 4
    assert {type(key) for key in table} == {int}
    assert sorted(map(len, table.values())) == [1, 1, 2]
    for number, paths in table.items():
        assert all(int(hash_image(path)[0, 0]) == number for path in paths)


def test_json_lines_hold_every_file_and_its_facts(index, tmp_path):
    export(index.rows, "json", tmp_path / "out")

    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [path_from_json(row) for row in rows] == list(index.generation.paths)
    good = next(row for row in rows if row["path"].endswith("p1.jpg"))
    assert (good["width"], good["height"], good["format"], good["status"]) == (
        160,
        120,
        "jpeg",
        "ok",
    )
    assert good["hash"] == to_hex(hash_image(good["path"]))[0]
    assert (
        good["match"]
        == to_hex(make_probe(good["path"], index.generation.probe_parameters).match)[0]
    )
    assert good["pdq"] == ""
    bad = next(row for row in rows if row["status"] != "ok")
    assert bad["status"] == "not-an-image"


def test_csv_holds_the_same(index, tmp_path):
    export(index.rows, "csv", tmp_path / "out")

    with open(tmp_path / "out", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(index.rows)
    assert [int(row["size"]) for row in rows] == index.column("size").tolist()


def test_parquet_holds_the_same(index, tmp_path):
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="Parquet needs pyarrow: the extra parquet"
    )

    export(index.rows, "parquet", tmp_path / "out")

    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == list(COLUMNS)
    assert table["path"].to_pylist() == list(index.generation.paths)
    assert table["width"].to_pylist() == index.column("width").tolist()


def test_parquet_without_its_package_names_it(index, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ImgdupError, match="pip install pyarrow"):
        export(index.rows, "parquet", tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="needs hard links")
def test_another_name_of_a_file_is_reported_with_the_file(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(encode(photo(0, 160, 120), ".jpg"))
    os.link(tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg")
    settings = Settings(workers=1, engine=inline)
    index = ImageIndex.build(tmp_path / "photos", path=tmp_path / "index", settings=settings)

    export(index.rows, "json", tmp_path / "out")

    a, b = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert (a["same_file_as"], b["same_file_as"]) == ("", a["path"])
