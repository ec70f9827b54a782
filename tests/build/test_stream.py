"""Tar files on servers are read once, from front to back, and give the rows of local ones.

The expected rows are those of the same tar file on the disk; what was sent is counted by the log of
the server.
"""

import io
import os
import tarfile
from collections import Counter
from concurrent.futures import Executor, Future

import numpy as np
import pytest

import imgdup.build.stream as streams
from encoded import painted
from imgdup import ImageIndex
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.images.formats import OK, REASONS
from imgdup.index.columns import LOCATOR
from imgdup.workers.pool import inline
from imgdup.workers.process import Death, WorkerDied
from object_servers import BUCKET, tarred

pytest.importorskip("imgdup.containers.remote", reason="needs the extra remote")

ROOT = f"s3://{BUCKET}"
FACTS = ("size", "width", "height", "format", "quality", "status", "digest", "match", "hashes")
N_PLACE = 5
RAW = np.random.default_rng(7)


def index(place, *names, **options):
    changes = OptionChanges(containers=True, exclude=options.pop("exclude", None))
    return update_index(
        place, names, Settings(workers=1, engine=inline, changes=changes, **options)
    )


def rows_of(place, start):
    """All facts of each row, its place among them, by the rest of its name."""
    rows = ImageIndex.open(place).rows
    found = {}
    for row in range(len(rows)):
        facts = [np.array(rows.column(fact)[row]).tobytes() for fact in FACTS]
        facts.append(tuple(rows.column(LOCATOR)[row][:N_PLACE].tolist()))
        found[os.fsdecode(rows.path(row)).removeprefix(start)] = facts
    return found


def reasons(place):
    rows = ImageIndex.open(place).rows
    return {os.fsdecode(rows.path(i)): REASONS[rows.column("status")[i]] for i in range(len(rows))}


def sent(bucket, key):
    """How often each byte of an object was sent."""
    n_bytes = len(bucket.objects[key])
    counts = np.zeros(n_bytes, int)
    for method, name, span in bucket.log:
        if method == "GET" and name == key:
            start, _, last = span.removeprefix("bytes=").partition("-")
            counts[int(start or 0) : int(last) + 1 if last else n_bytes] += 1
    return counts


def noise(n_bytes):
    return RAW.integers(0, 256, n_bytes, np.uint8).tobytes()


@pytest.fixture
def contents():
    """Pictures with captions between them, some so large that a tar file has several blocks."""
    found = {}
    for number in range(12):
        found[f"{number:02}.jpg"] = painted(number, 160, 120)
        found[f"{number:02}.txt"] = noise(30_000)
    return found


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


def odd_tar(mode):
    """A tar file with all that names can be: repeated, linked, without extension, leading out."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        names = ["a.jpg", "b.txt", "a.jpg", "noext", "../c.jpg", "notes", "deep/x.jpg", ".h/x.jpg"]
        for seed, name in enumerate(names):
            content = noise(900) if name in ("b.txt", "notes") else painted(seed, 160, 120)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "deep/x.jpg"
        archive.addfile(link)
        broken = tarfile.TarInfo("broken.jpg")
        broken.size = 700
        archive.addfile(broken, io.BytesIO(painted(1, 160, 120)[:700]))
    return file.getvalue()


@pytest.mark.parametrize("name, mode", [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")])
def test_rows_and_places_equal_those_of_the_same_file_on_the_disk(
    bucket, tmp_path, place, name, mode
):
    bucket.objects[name] = odd_tar(mode)
    (tmp_path / name).write_bytes(bucket.objects[name])
    index(tmp_path / "local", str(tmp_path / name), exclude=("deep/*",))

    index(place, f"{ROOT}/{name}", exclude=("deep/*",))

    local = rows_of(tmp_path / "local", f"{os.path.realpath(tmp_path)}/{name}!/")
    assert rows_of(place, f"{ROOT}/{name}!/") == local
    assert {"a.jpg", "a.jpg#2", "noext", "link.jpg", "c.jpg"} <= set(local)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_each_byte_is_sent_once(bucket, contents, place, mode):
    key = "a.tar" + mode[1:].replace(":", ".")
    bucket.objects[key] = tarred(contents, mode)

    found = index(place, f"{ROOT}/{key}")

    assert found.hashed == 12
    counts = sent(bucket, key)
    assert counts.max() == 1
    assert counts.mean() > 0.9  # behind the last header nothing is needed


def test_large_members_that_are_no_pictures_are_not_sent(bucket, contents, place):
    bucket.objects["a.tar"] = tarred({"film.bin": noise(1 << 20), **contents})

    index(place, f"{ROOT}/a.tar")

    assert sent(bucket, "a.tar").sum() < 600_000


def test_a_picture_that_is_too_large_to_be_sent_on_is_read_by_the_worker(
    bucket, contents, tmp_path, place, monkeypatch
):
    bucket.objects["a.tar"] = tarred(contents)
    index(tmp_path / "whole", f"{ROOT}/a.tar")
    monkeypatch.setattr(streams, "MOST_BYTES", len(contents["03.jpg"]))

    index(place, f"{ROOT}/a.tar")

    assert rows_of(place, ROOT) == rows_of(tmp_path / "whole", ROOT)


def test_of_a_tar_file_that_changed_only_new_contents_are_decoded(
    bucket, contents, tmp_path, place
):
    bucket.objects["a.tar"] = tarred(contents)
    index(place, f"{ROOT}/a.tar")
    bucket.log.clear()
    contents = {"0.txt": b"shifts all", **contents, "05.jpg": painted(50, 160, 120)}
    bucket.objects["a.tar"] = tarred(contents)

    found = index(place)

    index(tmp_path / "fresh", f"{ROOT}/a.tar")
    assert (found.hashed, found.unchanged) == (1, 11)
    assert rows_of(place, ROOT) == rows_of(tmp_path / "fresh", ROOT)


@pytest.mark.parametrize("heeds", [True, False])
def test_a_tar_file_that_changes_while_it_is_read_is_changed_and_keeps_its_old_rows(
    bucket, contents, tmp_path, place, heeds
):
    bucket.heeds_if_match = heeds
    old = {f"old/{number}.jpg": painted(20 + number, 160, 120) for number in range(3)}
    bucket.objects["a.tar"] = tarred({**contents, **old})
    index(place, f"{ROOT}/a.tar")
    new = tarred({**contents, "00.jpg": painted(40, 160, 120), **old, "z.txt": b"z"})
    bucket.objects["a.tar"] = new
    bucket.log.clear()

    def change(key):
        if len(bucket.gets()) == 3:
            bucket.objects[key] = new[:-1] + b"\1"

    bucket.before_get = change
    first = index(place)
    found = reasons(place)
    bucket.before_get = lambda key: None
    second = index(place)

    index(tmp_path / "fresh", f"{ROOT}/a.tar")
    assert (first.removed, first.unlisted) == (0, [])
    assert found.pop(f"{ROOT}/a.tar") == "changed"
    assert set(found.values()) == {"ok"}
    assert len(found) == 15
    assert (second.failed, second.hashed) == (0, 0)
    assert rows_of(place, ROOT) == rows_of(tmp_path / "fresh", ROOT)


def test_a_stream_that_broke_is_one_line_and_the_next_run_reads_only_the_rest(
    bucket, contents, tmp_path, place
):
    bucket.objects["a.tar"] = tarred(contents)
    bucket.before_get = lambda key: setattr(bucket, "status", 403 * (len(bucket.gets()) > 2))

    first = index(place, f"{ROOT}/a.tar")
    bucket.before_get, bucket.status = lambda key: None, 0
    index(tmp_path / "whole", f"{ROOT}/a.tar")
    bucket.log.clear()
    second = index(place)

    ((path, reason, detail, _),) = first.failures
    assert (path, reason) == (f"{ROOT}/a.tar".encode(), "unreadable")
    assert "run it again" in detail
    assert "\n" not in detail
    assert 0 < first.hashed < 12
    assert first.hashed + second.hashed == 12
    assert sent(bucket, "a.tar").sum() < len(bucket.objects["a.tar"])
    assert rows_of(place, ROOT) == rows_of(tmp_path / "whole", ROOT)


def test_a_killed_run_reads_no_finished_tar_file_again(
    bucket, contents, tmp_path, place, monkeypatch
):
    monkeypatch.setattr(streams, "BATCH_FILES", 3)
    for name in "abc":
        pictures = {f"{name}{key}": content for key, content in contents.items()}
        bucket.objects[f"set/{name}.tar"] = tarred(pictures)

    def kill(key):
        if Counter(bucket.gets())["set/c.tar"] == 3:
            raise KeyboardInterrupt

    index(tmp_path / "whole", f"{ROOT}/set")
    bucket.log.clear()
    monkeypatch.setattr(streams.TarStreams, "_picture", _calling(kill, streams.TarStreams._picture))
    with pytest.raises(KeyboardInterrupt):
        index(place, f"{ROOT}/set")
    bucket.log.clear()
    monkeypatch.undo()
    found = index(place, f"{ROOT}/set")

    assert found.hashed == 36
    assert set(bucket.gets()) <= {"set/c.tar"}
    assert [path.read_bytes() for path in place.glob("index.*")] == [
        path.read_bytes() for path in (tmp_path / "whole").glob("index.*")
    ]
    assert os.listdir(place / "parts") == []


def _calling(first, function):
    """A function that calls another one before."""

    def both(*args):
        first(args[1].file.path)
        return function(*args)

    return both


def test_what_was_stored_of_a_finished_tar_file_is_not_trusted_if_damaged(
    bucket, contents, place, monkeypatch
):
    bucket.objects["a.tar"] = tarred(contents)
    monkeypatch.setattr(streams.Checkpoints, "sweep", lambda self: None)
    index(place, f"{ROOT}/a.tar")
    (stored,) = (place / "parts").glob("*.members")
    assert os.name == "nt" or stored.stat().st_mode & 0o077 == 0  # names in a bucket are private
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    bucket.log.clear()

    index(place, f"{ROOT}/a.tar", rehash=True)

    assert bucket.gets()
    assert set(reasons(place).values()) == {REASONS[OK]}


class DyingWorkers(Executor):
    """Works in this process, but for a picture that ends the worker each time."""

    def submit(self, function, task, items):
        future = Future()
        position = next((i for i, item in enumerate(items) if b"05.jpg" in item.path), None)
        if position is None:
            future.set_result(function(task, items))
        else:
            future.set_exception(WorkerDied(Death(position, -11)))
        return future

    def shutdown(self, *, cancel_futures=False):
        pass


def test_a_picture_that_ends_its_worker_is_named_and_all_others_have_their_rows(
    bucket, contents, tmp_path, place
):
    bucket.objects["a.tar"] = tarred(contents)
    index(tmp_path / "whole", f"{ROOT}/a.tar")
    bucket.log.clear()

    settings = Settings(workers=1, engine=lambda setup: DyingWorkers())
    found = update_index(place, [f"{ROOT}/a.tar"], settings)

    ((path, reason, _, _),) = found.failures
    assert (path, reason) == (f"{ROOT}/a.tar!/05.jpg".encode(), "crashed")
    expected = rows_of(tmp_path / "whole", ROOT)
    rows = rows_of(place, ROOT)
    del expected["/a.tar!/05.jpg"], rows["/a.tar!/05.jpg"]
    assert rows == expected
    assert sent(bucket, "a.tar").max() == 1


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_file_without_a_picture_has_no_rows_and_its_members_are_counted(bucket, place, mode):
    key = "a.tar" + mode[1:].replace(":", ".")
    bucket.objects["set/" + key] = tarred({f"{i}.txt": noise(300) for i in range(4)}, mode)
    bucket.objects["set/b.jpg"] = painted(1, 160, 120)

    first = index(place, f"{ROOT}/set")
    second = index(place, f"{ROOT}/set")

    assert (first.hashed, first.failed, first.ignored) == (1, 0, 4)
    assert (second.hashed, second.unchanged, second.ignored) == (0, 1, 4)
    assert set(reasons(place)) == {f"{ROOT}/set/b.jpg"}
