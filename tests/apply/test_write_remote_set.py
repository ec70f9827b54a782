"""The cleaned set of pictures on a server: the same as that of the same files on the disk."""

import os

import pyarrow
import pyarrow.parquet
import pytest

from cleaned_sets import PICTURES, RemoteSet, Set, sample, zip_of
from encoded import painted
from imgdup.apply.write_set import STAGING
from imgdup.errors import ImgdupError, PlanError
from object_servers import tarred

pytest.importorskip("imgdup.containers.remote", reason="needs the extra remote")


def parquet_of(names):
    table = pyarrow.table({"image": [PICTURES[name] for name in names], "label": list(names)})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def contents():
    return {
        "0.tar": tarred([*sample("x/0", "a"), *sample("x/1", "b"), *sample("x/2", "a")]),
        "1.tar": tarred(sample("x/3", "c")),
        "2.zip": zip_of([*sample("y/4", "d"), *sample("y/5", "c")]),
        "3.tar.gz": tarred(dict([*sample("z/6", "d"), *sample("z/7", "b")]), "w:gz"),
        "4.parquet": parquet_of("abcd"),
        "loose/p.jpg": PICTURES["b"],
        "loose/p.txt": b"caption of the copy",
        "loose/q.jpg": PICTURES["c"],
        "loose/q.json": b"caption of both",
        "loose/q.png": painted(7, 160, 120, ".png"),
        "loose/notes.md": b"notes",
        "loose/.hidden": b"not of the set",
        "zz/q.jpg": painted(9, 160, 120),
    }


def test_it_equals_that_of_the_same_files_on_the_disk(bucket, contents, tmp_path):
    local, remote = Set(tmp_path / "local", contents), RemoteSet(tmp_path, contents, bucket)
    before = dict(bucket.objects)

    expected, result = local.write(), remote.write()

    assert remote.written() == local.written()
    assert remote.manifest()[1:] == local.manifest()[1:]
    assert (result.n_removed, result.n_companions) == (expected.n_removed, expected.n_companions)
    assert result.n_removed > 5
    assert result.skipped == []
    assert bucket.objects == before


def test_objects_that_were_named_one_by_one_lie_below_the_prefix_that_they_share(
    bucket, contents, tmp_path
):
    remote = RemoteSet(tmp_path, contents, bucket, "0.tar", "loose/p.jpg", "zz/q.jpg")

    remote.write()

    assert sorted(remote.written()) == ["0.tar", "zz/q.jpg"]


def test_a_run_that_broke_off_continues_and_reads_nothing_again(bucket, contents, tmp_path):
    whole = RemoteSet(tmp_path / "whole", contents, bucket)
    whole.write()
    broken = RemoteSet(tmp_path / "broken", contents, bucket)
    bucket.before_get = lambda key: setattr(bucket, "status", 403 * (key == "set/zz/q.jpg"))

    with pytest.raises(
        ImgdupError, match=r"zz/q\.jpg cannot be read: .*renew the credentials"
    ) as error:
        broken.write()
    bucket.before_get, bucket.status = lambda key: None, 0
    bucket.log.clear()
    broken.write()

    assert "\n" not in str(error.value)
    assert "set/loose/notes.md" not in bucket.gets()
    assert broken.written() == whole.written()
    assert not (broken.out / STAGING).exists()


def test_an_object_that_changes_while_it_is_copied_is_named(bucket, contents, tmp_path):
    remote = RemoteSet(tmp_path, contents, bucket)

    def change(key):
        if key == "set/zz/q.jpg":
            bucket.objects[key] += b"x"

    bucket.before_get = change

    with pytest.raises(ImgdupError, match=r"zz/q\.jpg cannot be read: .* changed"):
        remote.write()


def test_an_object_that_differs_from_the_plan_is_kept_and_named(bucket, contents, tmp_path):
    remote = RemoteSet(tmp_path, contents, bucket)
    bucket.objects["set/loose/p.jpg"] = painted(50, 160, 120)

    result = remote.write()

    assert [(skip.path, skip.reason) for skip in result.skipped] == [
        (b"s3://pictures/set/loose/p.jpg", "changed")
    ]
    assert remote.written()["loose/p.jpg"] == bucket.objects["set/loose/p.jpg"]


def test_an_object_that_is_a_folder_too_is_left_out_if_empty_and_else_refused(
    bucket, contents, tmp_path
):
    remote = RemoteSet(tmp_path, contents, bucket)
    bucket.objects["set/loose"] = b""
    remote.write()
    assert "loose/notes.md" in remote.written()

    bucket.objects["set/loose"] = b"more"
    with pytest.raises(PlanError, match="cannot be written as a file"):
        remote.write()


def test_a_server_that_refuses_is_one_line_and_nothing_is_written(bucket, contents, tmp_path):
    remote = RemoteSet(tmp_path, contents, bucket)
    bucket.status = 401

    with pytest.raises(ImgdupError, match="renew the credentials") as error:
        remote.write()

    assert "\n" not in str(error.value)
    assert not os.path.exists(remote.out)
