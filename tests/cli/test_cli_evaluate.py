"""The command evaluate: what it prints and writes, and its exit codes."""

import json

import pytest

from cli_runs import on_a_terminal
from imgdup import cli
from imgdup.images.edits import EDITS
from patchworks import patchwork, save_patchworks

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    save_patchworks(tmp_path / "photos", range(6))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path / "photos"


def test_evaluate_prints_a_line_for_each_edit_and_writes_only_the_report(photos, capsys):
    code = cli.main(["evaluate", "photos", "--sample", "3", "--compare", "1", "--report", "e.html"])

    out, err = capsys.readouterr()
    assert code == 0
    assert [line.split("\t")[3] for line in out.splitlines()] == list(EDITS)
    assert "6 pictures, 15 pairs" in err
    assert sorted(path.name for path in photos.parent.iterdir()) == ["e.html", "photos"]
    assert "Which distance?" in (photos.parent / "e.html").read_text("utf-8")


def test_evaluate_as_json_prints_one_object(photos, capsys):
    code = cli.main(["evaluate", "photos", "--sample", "2", "--compare", "0", "--json"])

    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (record["images"], record["sampled"]) == (6, 2)
    assert record["edits"][0]["relations"] == {}


def test_evaluate_without_a_folder_uses_the_pictures_and_the_hash_of_the_index(photos, capsys):
    cli.main(["index", "photos", "--hash", "phash", "--bits", "256", "--quiet"])

    code = cli.main(["evaluate", "--sample", "2", "--compare", "0", "--json"])

    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert record["images"] == 6
    assert record["hashes"]["search"]["bits"] == 256


@pytest.mark.parametrize("extra", [["--with", "pdq"], []])
def test_evaluate_of_an_index_evaluates_pdq_hashes_if_it_has_them_or_if_requested(
    photos, capsys, extra
):
    cli.main(["index", "photos", "--quiet"] + ([] if extra else ["--with", "pdq"]))

    code = cli.main(["evaluate", "--sample", "2", "--compare", "0", "--json", *extra])

    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(record["hashes"]) == ["match", "search", "pdq"]
    assert record["hashes"]["pdq"]["different_pairs"] == 15
    assert record["edits"][0]["edit"] == "JPEG quality 80"
    assert record["edits"][0]["pdq"]["within_default"] == 1


def test_evaluate_reads_the_distances_of_different_pictures_from_the_index(
    photos, capsys, monkeypatch
):
    cli.main(["index", "photos", "--quiet"])
    command = ["evaluate", "--compare", "0", "--json", "--sample"]

    cli.main([*command, "6"])
    of_all = json.loads(capsys.readouterr().out)["hashes"]
    monkeypatch.setattr("imgdup.dedupe.evaluate._digest_and_hash", None)  # no file is hashed again
    cli.main([*command, "2"])
    of_two = json.loads(capsys.readouterr().out)["hashes"]

    assert of_two == of_all


def test_evaluate_of_labelled_pairs_alone_needs_no_folder(photos, capsys):
    (photos / "copy.jpg").write_bytes(EDITS["gray"](patchwork(0)))
    (photos / "truth.csv").write_text("label,a,b\nsame,000.png,copy.jpg\n")

    code = cli.main(["evaluate", "--pairs", "photos/truth.csv"])

    assert code == 0
    row = capsys.readouterr().out.rstrip("\n").split("\t")
    assert row[2:] == ["same-picture 100 %", "pairs labelled same"]


def test_evaluate_names_how_many_files_could_not_be_read(photos, capsys):
    (photos / "bad.png").write_bytes(b"nonsense")

    code = cli.main(["evaluate", "photos", "--compare", "0"])

    assert code == 3
    assert "1 picture could not be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "no such file or folder"),
        (["photos", "--sample", "0"], 2, "--sample"),
        (["photos", "--max-false-pairs", "0"], 2, "--max-false-pairs"),
        (["photos", "--pairs", "nowhere.csv"], 2, "nowhere.csv"),
        (["empty"], 1, "no picture could be read"),
        ([], 1, "no index"),
    ],
)
def test_evaluate_refuses_what_it_cannot_do(photos, capsys, arguments, code, message):
    (photos.parent / "empty").mkdir()

    assert cli.main(["evaluate", *arguments]) == code
    assert message in capsys.readouterr().err


def test_evaluate_prints_a_table_on_a_terminal(photos):
    code, written = on_a_terminal("evaluate", "photos", "--sample", "1", "--compare", "1")

    assert code == 0
    assert b"mostly" in written
    assert b"JPEG quality 80" in written
