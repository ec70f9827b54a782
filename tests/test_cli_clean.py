"""Cleaning by commands: dedupe changes nothing, apply removes what is proved, undo restores."""

import json
import os
from pathlib import Path

import pytest
from make_sample import encode, photo

from imgdup import cli
from imgdup.jsonl import path_from_json


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photos, a half-size copy of each, an equal copy of the first."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        picture = photo(seed, 320, 240)
        (folder / f"p{seed}.jpg").write_bytes(encode(picture, ".jpg"))
        (folder / f"small{seed}.jpg").write_bytes(encode(picture[::2, ::2], ".jpg"))
    (folder / "p0-copy.jpg").write_bytes((folder / "p0.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return folder


@pytest.fixture
def plan(photos, tmp_path, capsys):
    cli.main(["dedupe", "photos", "--plan", "plan.jsonl"])
    capsys.readouterr()
    return tmp_path / "plan.jsonl"


def removals(plan):
    return [json.loads(line) for line in plan.read_text().splitlines()[1:]]


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_dedupe_changes_nothing_and_tells_what_could_go(photos, capsys):
    before = contents(photos)

    code = cli.main(["dedupe", "photos", "--json", "--chains"])

    summary = json.loads(capsys.readouterr().out)
    assert code == 0
    assert contents(photos) == before
    assert (summary["images"], summary["groups"], summary["removable"]) == (7, 3, 4)
    assert set(summary["relations"]) == {"same-bytes", "resized"}
    assert summary["chains"] == {"2": 2, "3": 1}


def test_the_summary_for_people_says_the_same(photos, capsys):
    cli.main(["dedupe", "photos", "--chains"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("7 images, 3 groups, 4 removable files, ")
    assert lines[1].split()[:2] == ["same-bytes", "1"]
    assert lines[-1] == "  chains: 7 files in 3, the longest of 3"


def test_lists_of_what_stays_and_goes_are_relative_to_the_root(photos, tmp_path):
    cli.main(["dedupe", "photos", "--keep-list", "kept", "--remove-list", "gone", "--null"])

    kept = (tmp_path / "kept").read_bytes().split(b"\0")[:-1]
    gone = (tmp_path / "gone").read_bytes().split(b"\0")[:-1]
    assert sorted(kept + gone) == sorted(os.fsencode(name) for name in contents(photos))
    assert all(name.startswith(b"p") for name in kept)


def test_keep_rules_and_protection_decide_what_stays(photos, tmp_path):
    cli.main(["dedupe", "photos", "--keep", "smallest", "--keep-list", "kept"])

    assert (tmp_path / "kept").read_text().split() == ["small0.jpg", "small1.jpg", "small2.jpg"]


def test_the_report_is_one_page_with_pictures(photos, tmp_path):
    cli.main(["dedupe", "photos", "--report", "report.html"])

    page = (tmp_path / "report.html").read_text()
    assert page.count("/9j/") >= 7  # how a JPEG begins in base64
    assert "small1.jpg" in page


def test_check_proves_the_plan(plan, capsys):
    assert cli.main(["check", str(plan)]) == 0

    assert capsys.readouterr().out.endswith("plan.jsonl: proved, 4 removals\n")


def test_an_edited_plan_is_refused(plan, photos, capsys):
    text = plan.read_text().splitlines()
    record = json.loads(text[1])
    record["distance"] += 1
    plan.write_text("\n".join([text[0], json.dumps(record), *text[2:]]) + "\n")
    before = contents(photos)

    assert cli.main(["check", str(plan)]) == 1
    assert cli.main(["apply", str(plan), "--delete"]) == 1

    assert contents(photos) == before
    assert "nothing was changed" in capsys.readouterr().err


def test_a_plan_of_another_generation_is_refused(plan, photos, capsys):
    (photos / "new.jpg").write_bytes(encode(photo(9, 320, 240), ".jpg"))
    cli.main(["index", "--quiet"])

    assert cli.main(["apply", str(plan), "--delete"]) == 1

    assert "imgdup dedupe" in capsys.readouterr().err


def test_apply_moves_and_undo_brings_back(plan, photos, tmp_path, capsys):
    before = contents(photos)
    kept = sorted({os.path.basename(path_from_json(r, "keep")).decode() for r in removals(plan)})

    applied = cli.main(["apply", str(plan), "--move-to", "gone"])
    left = contents(photos)
    undone = cli.main(["undo", str(tmp_path / "plan.journal-1.jsonl")])

    out = capsys.readouterr().out.splitlines()
    assert (applied, undone) == (0, 0)
    assert sorted(left) == kept
    assert contents(photos) == before
    assert out[0].startswith("4 files removed, ")
    assert out[1] == "4 files restored, 0 in place already"


def test_a_dry_run_verifies_and_changes_nothing(plan, photos, tmp_path, capsys):
    before = contents(photos)

    code = cli.main(["apply", str(plan), "--delete", "--dry-run"])

    assert code == 0
    assert contents(photos) == before
    assert capsys.readouterr().out.startswith("4 files would be removed, ")
    assert not (tmp_path / "plan.journal-1.jsonl").exists()


def test_a_file_that_changed_since_is_skipped_and_told(plan, photos, capsys):
    changed = path_from_json(removals(plan)[0], "remove")
    with open(changed, "ab") as file:
        file.write(b"more")

    code = cli.main(["apply", str(plan), "--delete"])

    out, err = capsys.readouterr()
    assert code == 3
    assert out.startswith("3 files removed, ")
    assert "skipped" in err
    assert os.path.exists(changed)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["apply", "plan.jsonl"], "--move-to FOLDER, --trash"),
        (["apply", "plan.jsonl", "--trash", "--move-to", "x"], "say one of"),
        (["apply", "plan.jsonl", "--move-to", "photos/in"], "lies in the indexed folder"),
        (["dedupe", "--keep", "prettiest"], "largest"),
        (["dedupe", "--max-dist", "300"], "--max-dist 300"),
        (["dedupe", "--protect", "nowhere"], "nowhere"),
        (["undo", "nowhere.jsonl"], "nowhere.jsonl"),
        (["check", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_errors_are_one_line(plan, capsys, args, words):
    code = cli.main(args)

    err = capsys.readouterr().err
    assert code in (1, 2)
    assert words in err
    assert err.count("\n") == 1


def test_check_of_an_index(photos, capsys):
    cli.main(["index", "photos", "--quiet"])

    assert cli.main(["check", "--deep"]) == 0

    assert capsys.readouterr().out.endswith("sound, 7 files\n")


def test_check_names_the_damage_and_fails(photos, tmp_path, capsys):
    cli.main(["index", "photos", "--quiet"])
    file = tmp_path / ".imgdup" / "index.1"
    data = bytearray(file.read_bytes())
    data[-8] ^= 1
    file.write_bytes(data)

    assert cli.main(["check"]) == 0
    assert cli.main(["check", "--deep"]) == 1

    assert "checksum" in capsys.readouterr().err
