"""The cleaned set that `imgdup apply --write-to` writes."""

import contextlib
import errno
import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from cleaned_sets import PICTURES, THEN, Set, sample, write_files, zip_of
from encoded import painted
from imgdup import cli
from imgdup.apply import recheck, set_content, set_files, write_set as writing
from imgdup.containers import without
from imgdup.dedupe.relations import Verdict
from imgdup.errors import ImgdupError, LockedError, UsageError
from imgdup.system.lock import locked
from kill_every_line import gets_through
from object_servers import tarred
from photo_scene import tree

MODULES = [recheck, set_content, set_files, without, writing]
N_KILLS = 400 if os.environ.get("IMGDUP_EVERY_LINE") else 20


@pytest.fixture
def shards(tmp_path):
    """Two tar shards, a zip file and loose files; each later copy of a picture goes."""
    contents = {
        "0.tar": tarred([*sample("x/0", "a"), *sample("x/1", "b"), *sample("x/2", "a")]),
        "1.tar": tarred(sample("x/3", "c")),
        "2.zip": zip_of([*sample("y/4", "d"), *sample("y/5", "c")]),
        "loose/p.jpg": PICTURES["b"],
        "loose/p.txt": b"caption of the copy",
        "loose/notes.md": b"notes",
        "zz/q.jpg": painted(9, 160, 120),
    }
    return Set(tmp_path, contents)


def test_whole_samples_and_companions_are_removed_and_all_else_is_unchanged(shards):
    before = tree(shards.root)

    result = shards.write()

    assert (result.n_removed, result.n_companions, result.exit_code) == (3, 5, 0)
    assert tree(shards.root) == before
    written = shards.written()
    assert sorted(written) == ["0.tar", "1.tar", "2.zip", "loose/notes.md", "zz/q.jpg"]
    for name in ("1.tar", "loose/notes.md", "zz/q.jpg"):
        assert written[name] == before[name]
    with tarfile.open(fileobj=io.BytesIO(written["0.tar"])) as file:
        members = [(each.name, file.extractfile(each).read()) for each in file]
    assert members == [*sample("x/0", "a"), *sample("x/1", "b")]
    with zipfile.ZipFile(io.BytesIO(written["2.zip"])) as file:
        assert file.testzip() is None
        assert [(name, file.read(name)) for name in file.namelist()] == sample("y/4", "d")


def test_the_manifest_lists_what_was_removed_and_in_favour_of_what(shards):
    shards.write()

    header, *lines = shards.manifest()

    assert (header["n_removed"], header["n_companions"], header["n_files"]) == (3, 5, 5)
    removed = {each["removed"]: each["kept_for"] for each in lines if "kept_for" in each}
    assert removed == {
        "0.tar!/x/2.jpg": "0.tar!/x/0.jpg",
        "2.zip!/y/5.jpg": "1.tar!/x/3.jpg",
        "loose/p.jpg": "0.tar!/x/1.jpg",
    }
    assert {each["relation"] for each in lines if "kept_for" in each} == {"same-bytes"}
    assert {each["removed"]: each["with"] for each in lines if "with" in each} == {
        "0.tar!/x/2.txt": "0.tar!/x/2.jpg",
        "0.tar!/x/2.json": "0.tar!/x/2.jpg",
        "2.zip!/y/5.txt": "2.zip!/y/5.jpg",
        "2.zip!/y/5.json": "2.zip!/y/5.jpg",
        "loose/p.txt": "loose/p.jpg",
    }


def test_shards_that_were_named_themselves_keep_their_names(tmp_path):
    contents = {"0.tar": tarred(sample("0", "a")), "1.tar": tarred(sample("1", "a"))}
    scene = Set(tmp_path, {**contents, "other.jpg": PICTURES["b"]}, "0.tar", "1.tar")

    scene.write()

    assert sorted(scene.written()) == ["0.tar", "1.tar"]


def test_a_shard_that_is_missing_is_named(tmp_path):
    contents = {"a/0.tar": tarred(sample("0", "a")), "b/1.tar": tarred(sample("1", "b"))}
    scene = Set(tmp_path, contents, "a/0.tar", "b/1.tar")
    (scene.root / "b/1.tar").unlink()

    result = scene.write()

    assert [(each.path, each.reason) for each in result.skipped] == [
        (os.fsencode(scene.root / "b/1.tar!/1.jpg"), "missing")
    ]
    assert sorted(scene.written()) == ["a/0.tar"]
    assert scene.manifest()[1]["stayed"] == "b/1.tar!/1.jpg"


def test_files_of_several_folders_are_kept_apart(tmp_path):
    scene = Set(tmp_path, {"a/x.jpg": PICTURES["a"], "b/x.jpg": PICTURES["b"]}, "a", "b")

    scene.write()

    assert scene.written() == {"a/x.jpg": PICTURES["a"], "b/x.jpg": PICTURES["b"]}


@pytest.mark.parametrize("ending", ["gz", "xz", "bz2"])
def test_compressed_shards_are_compressed_again_and_alike_each_time(tmp_path, ending):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{ending}") as file:
        for name, content in [*sample("0", "a"), *sample("1", "a")]:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            file.addfile(header, io.BytesIO(content))
    scene = Set(tmp_path, {f"0.tar.{ending}": data.getvalue()})

    scene.write()
    first = scene.written()
    shutil.rmtree(scene.out)
    scene.write()

    assert scene.written() == first
    with tarfile.open(fileobj=io.BytesIO(first[f"0.tar.{ending}"])) as file:
        assert file.getnames() == ["0.jpg", "0.txt", "0.json"]


def test_modes_and_times_of_files_are_kept(shards):
    notes = shards.root / "loose" / "notes.md"
    notes.chmod(0o640)

    shards.write()

    for name in ("loose/notes.md", "0.tar"):
        new, old = (shards.out / name).stat(), (shards.root / name).stat()
        assert (new.st_mode, new.st_mtime_ns) == (old.st_mode, old.st_mtime_ns)


def test_a_dry_run_checks_all_and_writes_nothing(shards):
    result = shards.write(dry_run=True)

    assert (result.n_removed, result.n_files) == (3, 5)
    assert not shards.out.exists()


def test_a_picture_that_changed_since_the_plan_is_kept_and_named(shards):
    (shards.root / "loose/p.jpg").write_bytes(painted(20, 160, 120))

    result = shards.write()

    assert [(Path(os.fsdecode(each.path)).name, each.reason) for each in result.skipped] == [
        ("p.jpg", "changed")
    ]
    assert result.exit_code == 3
    assert {"loose/p.jpg", "loose/p.txt"} <= set(shards.written())
    assert {each.get("stayed") for each in shards.manifest()} == {None, "loose/p.jpg"}


def test_nothing_is_removed_in_favour_of_a_shard_that_changed(shards):
    os.utime(shards.root / "0.tar", (THEN + 5, THEN + 5))

    result = shards.write()

    assert sorted(each.reason for each in result.skipped) == ["changed", "changed"]
    assert shards.written()["0.tar"] == (shards.root / "0.tar").read_bytes()
    assert "loose/p.jpg" in shards.written()


def test_pictures_that_turn_out_different_are_kept(tmp_path):
    """Compared again are only files whose bytes differ."""
    contents = {"a.jpg": PICTURES["a"], "b.png": painted(0, 160, 120, ".png")}
    scene = Set(tmp_path, contents)
    assert len(scene.plan.removals) == 1

    plan = scene.plan
    removal = plan.removals[0]._replace(relation="same-picture")
    verdict = [Verdict("different", 99.0, None)]
    good, skipped = recheck.checked_removals(
        plan._replace(removals=[removal]), scene.rows, lambda pairs: verdict[: len(pairs)]
    )

    assert (good, [each.reason for each in skipped]) == ([], ["different-picture"])


def test_a_damaged_shard_is_copied_unchanged(tmp_path):
    whole = tarred([*sample("0", "a"), *sample("1", "a"), *sample("2", "b")])
    scene = Set(tmp_path, {"0.tar": whole[: len(whole) - 9000]})
    assert len(scene.plan.removals) == 1

    result = scene.write()

    assert "ends within" in result.skipped[0].detail
    assert scene.written()["0.tar"] == whole[: len(whole) - 9000]


def test_symbolic_links_and_hidden_files_are_left_out(shards):
    (shards.root / "link.jpg").symlink_to("zz/q.jpg")
    (shards.root / ".hidden").write_bytes(b"")

    result = shards.write()

    assert result.n_links == 1
    assert not {"link.jpg", ".hidden"} & set(shards.written())


def test_a_file_called_as_the_manifest_keeps_its_name(tmp_path):
    scene = Set(tmp_path, {"a.jpg": PICTURES["a"], "manifest.jsonl": b"mine"})

    scene.write()

    assert (scene.out / "manifest.jsonl").read_bytes() == b"mine"
    assert json.loads((scene.out / "manifest~1.jsonl").read_text())["manifest"] == "imgdup"


def test_a_folder_that_is_not_empty_is_refused(shards):
    write_files(shards.out, {"mine.txt": b"mine"})

    with pytest.raises(UsageError, match="not empty: give a new one"):
        shards.write()

    assert tree(shards.out) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("inside", ["set/out", "set", "index/out", "link/out"])
def test_a_folder_in_the_input_is_refused(shards, inside):
    (shards.folder / "link").symlink_to("set")
    shards.out = shards.folder / inside
    before = tree(shards.root)

    with pytest.raises(UsageError, match="give a folder outside it"):
        shards.write()

    assert tree(shards.root) == before


def test_a_disk_without_room_is_refused_before_anything_is_written(shards, monkeypatch):
    usage = type(shutil.disk_usage("."))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6, 10))

    with pytest.raises(ImgdupError, match="room for 10 bytes"):
        shards.write()

    assert tree(shards.out) == {}


def test_a_disk_that_becomes_full_gives_one_line_and_the_run_continues_later(shards, monkeypatch):
    expected = _expected(shards)
    write = set_content.Content.write

    def write_until_full(content, out):
        if content.source.endswith(b"2.zip"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(content, out)

    with monkeypatch.context() as patch:
        patch.setattr(set_content.Content, "write", write_until_full)
        with pytest.raises(ImgdupError, match=r"no room to write .*2\.zip.* run the same command"):
            shards.write()

    assert shards.write().n_already == 2
    assert tree(shards.out) == expected


def test_a_file_that_changes_while_it_is_copied_ends_the_run(shards, monkeypatch):
    copy = shutil.copyfileobj

    def copy_and_change(source, *args):
        copy(source, *args)
        os.utime(shards.root / "1.tar", (THEN + 9, THEN + 9))

    monkeypatch.setattr(shutil, "copyfileobj", copy_and_change)

    with pytest.raises(ImgdupError, match=r"1\.tar changed while it was read"):
        shards.write()

    assert not (shards.out / "1.tar").exists()


def test_two_runs_do_not_write_to_one_folder_at_once(shards):
    (shards.out / writing.STAGING).mkdir(parents=True)

    with locked(shards.out / writing.STAGING / "lock", "it"), pytest.raises(LockedError):
        shards.write()


def test_a_set_that_is_complete_is_not_written_again(shards):
    shards.write()
    before = tree(shards.out)

    result = shards.write()

    assert (result.n_already, result.n_bytes) == (5, 0)
    assert tree(shards.out) == before


def test_a_copy_that_lost_its_end_is_written_again_by_the_run_that_continues(shards):
    expected = _expected(shards)
    with _stopped_before(b"q.jpg"), contextlib.suppress(KeyboardInterrupt):
        shards.write()
    [copy] = shards.out.rglob("notes.md")
    mtime_ns = copy.stat().st_mtime_ns
    os.truncate(copy, 3)
    os.utime(copy, ns=(mtime_ns, mtime_ns))

    shards.write()

    assert tree(shards.out) == expected


def test_a_run_does_not_continue_with_a_part_of_another_set(shards):
    with _stopped_before(b"2.zip"), contextlib.suppress(KeyboardInterrupt):
        shards.write()
    (shards.root / "loose/notes.md").write_bytes(b"other notes")

    with pytest.raises(
        UsageError, match="part of another set, or the plan or the files have changed"
    ):
        shards.write()


@contextlib.contextmanager
def _stopped_before(ending):
    write = set_content.Content.write

    def write_until(content, out):
        if content.source.endswith(ending):
            raise KeyboardInterrupt
        write(content, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_content.Content, "write", write_until)
        yield


def _expected(scene):
    scene.write()
    expected = tree(scene.out)
    shutil.rmtree(scene.out)
    return expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_any_kill_series_the_next_run_writes_the_same_bytes(shards, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    expected = _expected(shards)
    n_killed = 0
    for seed in range(N_KILLS):
        rng = random.Random(seed)
        shutil.rmtree(shards.out, ignore_errors=True)
        for _ in range(rng.randint(1, 3)):
            n_killed += not gets_through(shards.write, rng.randint(1, 1500), MODULES)

        shards.write()

        assert tree(shards.out) == expected, seed
    assert n_killed >= N_KILLS


def test_the_command_writes_the_set_and_prints_that(shards, capsys, monkeypatch, in_process):
    monkeypatch.chdir(shards.folder)
    arguments = ["apply", "plan.jsonl", "--index", "index", "--write-to", "out"]

    assert cli.main([*arguments, "--dry-run"]) == 0
    assert "5 files would be written without 3 pictures" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "5 files written without 3 pictures" in capsys.readouterr().out
    assert sorted(shards.written())[:3] == ["0.tar", "1.tar", "2.zip"]


def test_samples_with_masks_are_removed_when_whole_samples_are_wanted(tmp_path):
    mask = ("1.mask.png", painted(33, 160, 120, ".png"))
    scene = Set(tmp_path, {"0.tar": tarred([*sample("0", "a"), *sample("1", "a"), mask])})

    kept = scene.write()
    scene.out = scene.folder / "whole"
    went = scene.write(whole_samples=True)

    assert [each.reason for each in kept.skipped] == ["in-sample"]
    assert (went.n_removed, went.n_companions, went.skipped) == (1, 3, [])


def test_whole_samples_needs_write_to(capsys, in_process):
    assert cli.main(["apply", "plan.jsonl", "--delete", "--whole-samples"]) == 2
    assert "--whole-samples works only with --write-to" in capsys.readouterr().err


def test_rows_of_tables_are_removed(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    cells = [PICTURES[name] for name in "abcab"]
    table = pa.table({"image": cells, "label": [0, 1, 2, 3, 4]})
    data = io.BytesIO()
    pq.write_table(table, data, row_group_size=2)
    scene = Set(tmp_path, {"x.parquet": data.getvalue(), "y.parquet": b"", "z.jpg": PICTURES["c"]})

    result = scene.write()

    assert (result.n_removed, result.n_companions) == (3, 0)
    new = pq.ParquetFile(scene.out / "x.parquet")
    assert new.read().to_pylist() == table.to_pylist()[:3]
    assert {each["removed"]: each["kept_for"] for each in scene.manifest()[1:]} == {
        "x.parquet!/3/image": "x.parquet!/0/image",
        "x.parquet!/4/image": "x.parquet!/1/image",
        "z.jpg": "x.parquet!/2/image",
    }
    assert sorted(scene.written()) == ["x.parquet", "y.parquet"]


def test_tables_keep_all_rows_where_a_column_of_tags_is_wanted(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    data, captions = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table({"image": [PICTURES[name] for name in "abcab"]}), data)
    pq.write_table(pa.table({"text": ["no", "picture"]}), captions)
    contents = {"x.parquet": data.getvalue(), "y.parquet": captions.getvalue()}
    scene = Set(tmp_path, {**contents, "z.jpg": PICTURES["c"], "z2.jpg": PICTURES["d"]})

    result = scene.write(tag_column="duplicate_of")
    again = scene.write(tag_column="duplicate_of")

    kept = [None, None, None, "x.parquet!/0/image", "x.parquet!/1/image"]
    table = pq.read_table(scene.out / "x.parquet")
    assert table["duplicate_of"].to_pylist() == kept
    assert table["image"].to_pylist() == [PICTURES[name] for name in "abcab"]
    assert scene.written()["y.parquet"] == contents["y.parquet"]
    assert sorted(scene.written()) == ["x.parquet", "y.parquet", "z2.jpg"]
    assert (result.n_removed, result.n_tagged, again.n_already) == (1, 2, 3)
    tagged = [line["tagged"] for line in scene.manifest() if "tagged" in line]
    assert tagged == ["x.parquet!/3/image", "x.parquet!/4/image"]


def test_a_set_with_tags_is_another_set_than_one_without(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    data = io.BytesIO()
    pq.write_table(pa.table({"image": [PICTURES[name] for name in "aa"]}), data)
    scene = Set(tmp_path, {"x.parquet": data.getvalue()})
    scene.write()

    with pytest.raises(UsageError, match="not empty"):
        scene.write(tag_column="tag")
