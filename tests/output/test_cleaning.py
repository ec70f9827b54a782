"""Groups as tables and as a montage: every file of every group once, the kept one first.

Oracle: the groups themselves, walked with plain loops.
"""

import csv
import json

import pytest
from make_sample import encode, photo

from array_rows import File, rows_of, same_picture
from imgdup import cli
from imgdup.cli.options import GROUP_FILES
from imgdup.dedupe import find_duplicates
from imgdup.output.cleaning import PICTURE, TABLES, group_records, save_groups
from imgdup.system.records import path_from_json


@pytest.fixture
def duplicates():
    """Two groups, of three files and of two; one name is no Unicode."""
    return find_duplicates(
        rows_of(
            [
                File(b"/data/a.jpg", match=0, width=500, size=9),
                File(b"/data/b\xff.jpg", match=0b11, size=5),
                File(b"/data/c.jpg", match=0, size=4),
                File(b"/data/x.jpg", match=2**200 - 1, size=3),
                File(b"/data/y.jpg", match=2**200 - 1, width=900, size=7),
            ]
        ),
        judge=same_picture,
    )


# In keep order, the largest picture first; those that go nearest first.
EXPECTED = [
    (1, "keep", b"/data/y.jpg", b"", 0, ""),
    (1, "remove", b"/data/x.jpg", b"/data/y.jpg", 0, "same-picture"),
    (2, "keep", b"/data/a.jpg", b"", 0, ""),
    (2, "remove", b"/data/c.jpg", b"/data/a.jpg", 0, "same-picture"),
    (2, "remove", b"/data/b\xff.jpg", b"/data/a.jpg", 2, "same-picture"),
]


def test_the_records_are_the_groups(duplicates):
    found = list(group_records(duplicates))

    assert [tuple(record.values())[:6] for record in found] == EXPECTED
    assert (found[0]["width"], found[0]["size"]) == (900, 7)


def test_json_lines_hold_them_all(duplicates, tmp_path):
    save_groups(tmp_path / "groups.jsonl", duplicates)

    lines = (tmp_path / "groups.jsonl").read_text().splitlines()
    found = [path_from_json(json.loads(line), "path") for line in lines]
    assert found == [row[2] for row in EXPECTED]


def test_csv_holds_them_all(duplicates, tmp_path):
    save_groups(tmp_path / "groups.csv", duplicates)

    with open(tmp_path / "groups.csv", encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [(int(r["group"]), r["role"]) for r in found] == [r[:2] for r in EXPECTED]
    assert "/data/b\\udcff.jpg" in {r["path"] for r in found}


def test_parquet_holds_them_all(duplicates, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")

    save_groups(tmp_path / "groups.parquet", duplicates)

    table = parquet.read_table(tmp_path / "groups.parquet")
    assert table["path"].to_pylist() == [row[2] for row in EXPECTED]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for seed, name in ((1, "a.jpg"), (1, "b.png"), (2, "c.jpg")):
        data = encode(photo(seed, 120, 90), name[-4:])
        (tmp_path / "photos" / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path


def test_a_montage_shows_the_kept_file_first(photos):
    code = cli.main(["dedupe", "photos", "--groups", "groups.png"])

    assert code == 0
    assert (photos / "groups.png").read_bytes().startswith(b"\x89PNG")


def test_the_endings_offered_are_those_there_are():
    assert sorted(GROUP_FILES) == sorted([*TABLES, PICTURE])


def test_an_ending_that_means_nothing_is_refused_before_the_work(photos, capsys):
    code = cli.main(["dedupe", "photos", "--groups", "groups.xls"])

    assert code == 2
    assert "expected a name that ends in .csv, .jsonl, .parquet, .png" in capsys.readouterr().err
    assert not (photos / ".imgdup").exists()


def test_one_file_is_not_written_twice(photos, capsys):
    code = cli.main(["dedupe", "photos", "--plan", "out", "--keep-list", "photos/../out"])

    assert code == 2
    assert "--plan and --keep-list name one file" in capsys.readouterr().err
    assert not (photos / "out").exists()
