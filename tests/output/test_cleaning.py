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
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.relations import Verdict
from imgdup.output.cleaning import (
    PICTURE,
    TABLES,
    group_records,
    save_groups,
    summary_json,
    summary_text,
)
from imgdup.system.records import path_from_json

pytestmark = pytest.mark.usefixtures("in_process")


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


def test_each_record_of_a_removed_file_names_the_rule_that_decided(duplicates):
    rules = {record["path"]: record["rule"] for record in group_records(duplicates)}

    assert rules == {
        b"/data/y.jpg": "",
        b"/data/x.jpg": "largest",
        b"/data/a.jpg": "",
        b"/data/c.jpg": "largest",
        b"/data/b\xff.jpg": "largest",
    }


def judged(pairs):
    """Row 2 is edited, row 4 recoloured; all others show the same picture."""
    relations = {2: "edited", 4: "recoloured"}
    return [Verdict(relations.get(b, "same-picture"), 0.0, None) for _, b in pairs]


def test_the_summary_counts_each_relation_each_rule_and_what_lies_beyond():
    files = [File(b"/data/%d" % n, width=900 - max(0, n - 1), size=10 + n) for n in range(8)]
    options = DedupeOptions(policy=Policy(max_candidates=1))

    found = find_duplicates(rows_of(files), options, judge=judged)

    facts = json.loads(summary_json(found))
    assert facts["relations"] == {"same-picture": {"files": 5, "bytes": 72}}
    assert facts["shown"] == {"recoloured": 1, "edited": 1}
    assert facts["rules"] == {"largest": 4, "first": 1}
    assert (facts["compared"], facts["beyond"]) == (7, 2)
    assert summary_text(found).splitlines()[1:] == [
        "  same-picture         5 files  72 bytes",
        "  recoloured           1 file only shown",
        "  edited               1 file only shown",
        "  decided by the keep rules: largest 4 files, first 1 file",
        "  beyond               2 files kept, some of whose candidates were not compared "
        "(--max-candidates 1)",
    ]


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
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="Parquet needs pyarrow: the extra parquet"
    )

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
