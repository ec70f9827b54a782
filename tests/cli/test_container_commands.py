"""Every command on pictures that are in containers."""

import csv
import dataclasses
import importlib
import json
import os
import shutil
import tarfile
import zipfile

import pytest

from cli_runs import run_here
from encoded import painted
from imgdup import cli
from imgdup.system.limits import Limits

indexing = importlib.import_module("imgdup.cli.index")

AN_HOUR_AGO = 1.7e9


@pytest.fixture
def shards(tmp_path, monkeypatch, in_process):
    """A tar and a zip file of four pictures each, two of which are in both; in `shards`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "shards"
    folder.mkdir()
    pictures = {name: painted(seed, 160, 120) for seed, name in enumerate("abcdef")}
    with tarfile.open(folder / "x.tar", "w") as file:
        for name in "abcd":
            (tmp_path / "one").write_bytes(pictures[name])
            file.add(tmp_path / "one", f"{name}.jpg")
    with zipfile.ZipFile(folder / "y.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in "cdef":
            file.writestr(f"in/{name}.jpg", pictures[name])
    (tmp_path / "probe.jpg").write_bytes(pictures["a"])
    for path in folder.iterdir():
        os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))
    assert cli.main(["index", "--containers", "shards", "--quiet"]) == 0
    return folder


def records(capsys, *args):
    code, out, _ = run_here(capsys, *args, "--json")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def member(shards, container, name):
    return f"{os.path.realpath(shards / container)}!/{name}"


def test_query_finds_members_of_containers(shards, capsys):
    found = records(capsys, "query", "probe.jpg", "--verify")

    assert [(each["path"], each["relation"]) for each in found] == [
        (member(shards, "x.tar", "a.jpg"), "same-bytes")
    ]


@pytest.mark.parametrize("form", ["shards/x.tar!/c.jpg", "tar://c.jpg::shards/x.tar"])
def test_a_probe_can_be_a_member(shards, capsys, form):
    found = records(capsys, "query", form, "--verify")

    assert {each["path"] for each in found} == {
        member(shards, "x.tar", "c.jpg"),
        member(shards, "y.zip", "in/c.jpg"),
    }


def test_a_container_as_probe_means_its_pictures(shards, capsys):
    found = records(capsys, "query", "shards/y.zip")

    assert {each["probe"] for each in found} == {
        member(shards, "y.zip", f"in/{name}.jpg") for name in "cdef"
    }


def test_a_probe_in_a_container_that_is_not_there_is_named(shards, capsys):
    code, _, err = run_here(capsys, "query", "shards/z.tar!/a.jpg")
    missing, _, missing_err = run_here(capsys, "query", "shards/x.tar!/z.jpg")

    assert (code, err.count("\n")) == (2, 1)
    assert missing == 1
    assert "missing: the container has no member of this name" in missing_err


def test_pairs_and_check_work_on_members(shards, capsys):
    found = records(capsys, "pairs", "--verify")
    code, _, err = run_here(capsys, "check", "--deep")

    assert [(each["a"], each["b"]) for each in found] == [
        (member(shards, "x.tar", f"{name}.jpg"), member(shards, "y.zip", f"in/{name}.jpg"))
        for name in "cd"
    ]
    assert code == 0, err


def test_compare_accepts_a_container_as_a_set(shards, capsys):
    code, out, _ = run_here(capsys, "compare", "shards/x.tar", "shards/y.zip", "--json")

    assert code in (0, 4)
    leaks = [json.loads(line) for line in out.splitlines()]
    assert {each["path"] for each in leaks if "path" in each} == {
        member(shards, "y.zip", "in/c.jpg"),
        member(shards, "y.zip", "in/d.jpg"),
    }


def test_dedupe_lists_members_and_prints_that_apply_cannot_remove_them(shards, capsys):
    lists = ("--plan", "plan.jsonl", "--remove-list", "remove.txt", "--report", "page.html")

    code, _, err = run_here(capsys, "dedupe", *lists)

    removed = (shards.parent / "remove.txt").read_text().splitlines()
    assert code == 0
    assert len(removed) == 2
    assert "to write the set without these, run: imgdup apply plan.jsonl --write-to" in err
    assert (shards.parent / "page.html").read_text().count("/9j/") == 4  # JPEG in base 64


@pytest.mark.parametrize("action", ["--delete", "--move-to=away", "--hardlink"])
def test_apply_refuses_members_in_one_line_and_changes_nothing(shards, capsys, action):
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    run_here(capsys, "dedupe", "--plan", "plan.jsonl")

    code, _, err = run_here(capsys, "apply", "plan.jsonl", action, "--yes")

    assert code == 1
    assert "imgdup apply changes none of these" in err
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_apply_keeps_a_loose_file_whose_copy_is_in_a_container(shards, capsys):
    """The kept file cannot be checked, so nothing goes."""
    shutil.copy(shards.parent / "probe.jpg", shards / "z.jpg")
    run_here(capsys, "index")
    run_here(capsys, "dedupe", "--keep", "under:shards/x.tar", "--plan", "plan.jsonl")

    run_here(capsys, "apply", "plan.jsonl", "--delete", "--yes")

    assert (shards / "z.jpg").exists()


def test_split_and_export_name_members(shards, capsys):
    code, out, _ = run_here(capsys, "export", "--format", "csv")
    rows = out.splitlines()

    assert code == 0
    assert len(rows) == 9
    assert sum("x.tar!/" in row for row in rows) == 4


def test_a_montage_shows_members(shards, capsys):
    code, _, _ = run_here(capsys, "query", "probe.jpg", "--montage", "montage.png")

    assert code == 0
    assert (shards.parent / "montage.png").stat().st_size > 1000


def test_forget_names_a_container_of_its_own(shards, capsys):
    run_here(capsys, "index", "--index", "other", "shards/x.tar", "shards/y.zip")

    code, _, _ = run_here(capsys, "forget", "--index", "other", "shards/x.tar")
    info = records(capsys, "info", "--index", "other")

    assert code == 0
    assert info[0]["images"] == 4


def test_containers_in_a_folder_are_counted_with_the_option_that_enters_them(shards, capsys):
    shutil.copy("probe.jpg", shards / "z.jpg")

    code, _, err = run_here(capsys, "index", "--index", "other", "shards")

    assert code == 0
    assert "2 containers not read (zip, tar, Parquet): add --containers" in err


def test_a_damaged_container_is_one_failure(shards, capsys):
    os.truncate(shards / "y.zip", 300)

    code, _, err = run_here(capsys, "index", "--allow-removals")

    assert code == 3
    assert err.count("y.zip: damaged (the directory of the zip file") == 1


@pytest.mark.parametrize("name", ["x.tar", "x.zip", "x.tgz"])
def test_groups_equal_those_of_the_loose_files(tmp_path, monkeypatch, in_process, capsys, name):
    monkeypatch.chdir(tmp_path)
    loose = tmp_path / "loose"
    loose.mkdir()
    for seed in range(3):
        (loose / f"p{seed}.jpg").write_bytes(painted(seed, 320, 240))
        (loose / f"p{seed}-small.png").write_bytes(painted(seed, 320, 240, ".png", step=2))
        shutil.copy(loose / f"p{seed}.jpg", loose / f"copy{seed}.jpg")
    if name == "x.zip":
        with zipfile.ZipFile(name, "w") as file:
            for each in loose.iterdir():
                file.write(each, each.name)
    else:
        with tarfile.open(name, "w:gz" if name == "x.tgz" else "w") as file:
            for each in loose.iterdir():
                file.add(each, each.name)
    for path in (*loose.iterdir(), tmp_path / name):
        os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))

    def groups_of(source):
        file = tmp_path / f"{source}.jsonl"
        run_here(capsys, "index", "--index", f"index-{source}", source)
        assert (
            run_here(capsys, "dedupe", "--index", f"index-{source}", "--groups", str(file))[0] == 0
        )
        above = (f"{os.path.realpath(source)}/", f"{os.path.realpath(source)}!/")
        text = file.read_text().replace(above[0], "").replace(above[1], "")
        return [json.loads(line) for line in text.splitlines()]

    assert len(groups_of("loose")) > 3
    assert groups_of(name) == groups_of("loose")


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_list_of_what_to_remove_has_shards_keys_and_rows(shards, capsys, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    shutil.copy(shards.parent / "probe.jpg", shards / "z.jpg")
    run_here(capsys, "index")

    code, _, _ = run_here(capsys, "dedupe", "--remove-list", f"list.{ending}", "--keep", "first")

    x, y = member(shards, "x.tar", ""), member(shards, "y.zip", "")
    shard = os.path.realpath(shards / "y.zip")
    loose = os.path.realpath(shards / "z.jpg")
    assert code == 0
    assert read_table(f"list.{ending}") == [
        (f"{y}in/c.jpg", shard, "in/c", None, f"{x}c.jpg", "same-bytes"),
        (f"{y}in/d.jpg", shard, "in/d", None, f"{x}d.jpg", "same-bytes"),
        (loose, "", "", None, f"{x}a.jpg", "same-bytes"),
    ]


def test_the_list_of_what_to_remove_has_the_rows_of_tables(
    tmp_path, capsys, monkeypatch, in_process
):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    monkeypatch.chdir(tmp_path)
    pictures = [painted(seed, 160, 120) for seed in (0, 1, 0)]
    pq.write_table(pa.table({"image": pictures}), "x.parquet")
    run_here(capsys, "index", "x.parquet")

    run_here(capsys, "dedupe", "--remove-list", "list.jsonl", "--keep", "first")

    assert [(row[1], row[2], row[3]) for row in read_table("list.jsonl")] == [
        (os.path.realpath("x.parquet"), "", 2)
    ]


def test_the_list_of_what_is_kept_selects_the_rows_of_a_table(
    tmp_path, capsys, monkeypatch, in_process
):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    monkeypatch.chdir(tmp_path)
    table = pa.table({"image": [painted(seed, 160, 120) for seed in (0, 1, 0, 2)]})
    pq.write_table(table, "x.parquet")
    run_here(capsys, "index", "x.parquet")

    run_here(capsys, "dedupe", "--keep-list", "keep.parquet", "--keep", "first")

    found = pq.read_table("keep.parquet")
    assert found.column_names == ["id", "shard", "key", "row"]
    assert found["row"].to_pylist() == [0, 1, 3]
    assert table.take(found["row"]).equals(table.take([0, 1, 3]))


def test_apply_adds_a_column_of_tags(tmp_path, capsys, monkeypatch, in_process):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    monkeypatch.chdir(tmp_path)
    pq.write_table(
        pa.table({"image": [painted(seed, 160, 120) for seed in (0, 1, 0)]}), "x.parquet"
    )
    run_here(capsys, "index", "x.parquet")
    run_here(capsys, "dedupe", "--plan", "plan.jsonl", "--keep", "first")

    code, _, err = run_here(
        capsys, "apply", "plan.jsonl", "--write-to", "out", "--tag-column", "of"
    )
    refused, _, why = run_here(capsys, "apply", "plan.jsonl", "--delete", "--tag-column", "of")

    assert code == 0, err
    assert "1 row tagged in the column of" in err
    assert pq.read_table("out/x.parquet")["of"].to_pylist() == [None, None, "x.parquet!/0/image"]
    assert refused == 2
    assert "--tag-column works only with --write-to" in why


def test_split_divides_pictures_in_containers_and_keeps_copies_together(shards, capsys):
    code, _, err = run_here(capsys, "split", "--ratios", "train=0.5,test=0.5", "--out", "lists")

    lists = [
        (shards.parent / f"lists/{name}.txt").read_text().splitlines() for name in ("train", "test")
    ]
    assert code == 0, err
    assert all(lists)
    together = [{name for name in lines if name.endswith(("/c.jpg", "/d.jpg"))} for lines in lists]
    for name in ("c.jpg", "d.jpg"):
        of_name = [sum(line.endswith(name) for line in lines) for lines in together]
        assert sorted(of_name) == [0, 2]
    in_zip = {f"y.zip!/in/{name}.jpg" for name in "cdef"}
    assert {*lists[0], *lists[1]} == {f"x.tar!/{name}.jpg" for name in "abcd"} | in_zip


def test_workers_that_will_read_tables_import_what_they_need(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("imgdup.workers.pool.Pool.start", lambda pool: started.append(pool.setup))
    (tmp_path / "set").mkdir()
    parameters = dict.fromkeys(field.name for field in dataclasses.fields(indexing.Chosen))
    chosen = indexing.Chosen(**parameters | {"containers": True, "limits": Limits()})

    def imported(*named):
        with chosen.pool(named, is_needed=True):
            return indexing.TABLE_MODULE in started[-1].preload

    assert [imported("a.parquet"), imported("a.tar"), imported(str(tmp_path / "set"))] == [1, 0, 0]
    (tmp_path / "set/x.arrow").touch()
    assert imported(str(tmp_path / "set"))


def read_table(name):
    """The rows of a table with texts, and None where there is no number."""
    if name.endswith(".jsonl"):
        with open(name) as file:
            found = [json.loads(line) for line in file]
    elif name.endswith(".csv"):
        with open(name, newline="") as file:
            found = [{**each, "row": each["row"] or None} for each in csv.DictReader(file)]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(name)
        found = table.to_pylist()
    columns = ["id", "shard", "key", "row", "kept_for", "relation"]
    assert all(list(each) == columns for each in found)
    return [
        tuple(os.fsdecode(v) if isinstance(v, bytes) else v for v in each.values())
        for each in found
    ]
