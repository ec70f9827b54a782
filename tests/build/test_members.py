"""Indexing the pictures in zip and tar files.

Twin: the same pictures as loose files. Every row must have the same facts and hashes.
"""

import os
import shutil
import tarfile
import time
import zipfile
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from encoded import painted
from imgdup.api.index import ImageIndex
from imgdup.build import hash_batch as hashing, members
from imgdup.build.merge import merge_indexes
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import forget, update_index
from imgdup.containers.reading import read_content
from imgdup.containers.tar import Unpacked
from imgdup.errors import ImgdupError
from imgdup.images import decode as decoding
from imgdup.index import folder
from imgdup.index.parts import Part
from imgdup.system.limits import Limits
from imgdup.system.paths import outer_file
from imgdup.workers.pool import inline

AN_HOUR = 3600
FACTS = ("size", "width", "height", "format", "quality", "status", "digest", "match", "hashes")
ENTERED = OptionChanges(containers=True)


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def age(path, seconds=AN_HOUR):
    then = time.time() - seconds
    os.utime(path, (then, then))


def write_all(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        age(path)
    return folder


def packed(path, loose, seconds=AN_HOUR):
    """Pack a folder of files, with the standard library."""
    files = sorted(file for file in loose.rglob("*") if file.is_file())
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(loose))
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(loose))
    age(path, seconds)
    return path


@pytest.fixture
def contents():
    """Pictures in folders, one without an extension, one that is broken, and a text."""
    pictures = {f"{'ab'[seed % 2]}/p{seed}.jpg": painted(seed, 160, 120) for seed in range(6)}
    return {
        **pictures,
        "a/noext": painted(7, 160, 120, ".png"),
        "a/broken.jpg": pictures["a/p0.jpg"][:900],
        "a/p0.txt": b"a caption",
    }


@pytest.fixture
def loose(tmp_path, contents):
    return write_all(tmp_path / "loose", contents)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def decoded(monkeypatch):
    """Counts how many pictures are decoded."""
    counts = Counter()
    real = decoding.decode

    def count(data, limits, **options):
        counts["decoded"] += 1
        return real(data, limits, **options)

    monkeypatch.setattr(hashing, "decode", count)
    return counts


def rows_of(place, root):
    """The facts of each row by its path below a root."""
    rows = ImageIndex.open(place).rows
    start = os.fsencode(os.path.realpath(root))
    found = {}
    for row in range(len(rows)):
        name = rows.path(row).removeprefix(start).lstrip(b"!/").decode()
        found[name] = tuple(np.array(rows.column(fact)[row]).tobytes() for fact in FACTS)
    return found


def names_in(place):
    rows = ImageIndex.open(place).rows
    return [os.fsdecode(os.path.basename(rows.path(row))) for row in range(len(rows))]


def generation_bytes(place):
    number = folder.read_current(place).generation
    return folder.generation_path(place, number).read_bytes()


@pytest.mark.parametrize("suffix", [".tar", ".zip", ".tar.gz"])
def test_rows_equal_those_of_the_loose_files(tmp_path, loose, place, suffix):
    shard = packed(tmp_path / f"x{suffix}", loose)

    update_index(tmp_path / "twin", [str(loose)], settings())
    outcome = update_index(place, [str(shard)], settings())

    assert (outcome.seen, outcome.hashed, outcome.failed) == (8, 7, 1)
    assert rows_of(place, shard) == rows_of(tmp_path / "twin", loose)


def test_containers_in_a_folder_are_entered_if_asked_for(tmp_path, loose, place):
    packed(loose / "c.tar", loose)

    plain = update_index(place, [str(loose)], settings())
    entered = update_index(place, [str(loose)], settings(changes=ENTERED))
    again = update_index(place, [], settings())

    assert (plain.seen, plain.not_entered) == (8, [os.fsencode(loose / "c.tar")])
    assert (entered.seen, entered.hashed, entered.not_entered) == (16, 7, [])
    assert (again.seen, again.unchanged, again.written) == (16, 14, False)


def test_an_index_of_files_alone_has_no_trace_of_containers(loose, place):
    update_index(place, [str(loose)], settings())

    head = ImageIndex.open(place).generation.head
    assert "locator" not in ImageIndex.open(place).generation.arrays
    assert list(head["roots"][0]) == ["path", "exclude", "follow_symlinks", "hidden"]


def test_names_of_members_are_in_path_order_among_those_of_files(tmp_path, contents, place):
    """A blank comes before the ! of the members, a digit behind it."""
    picture = contents["a/p0.jpg"]
    root = write_all(tmp_path / "root", {"x.tar .jpg": picture, "x.tar0.jpg": picture})
    inner = write_all(tmp_path / "inner", {"p.jpg": picture})
    packed(root / "x.tar", inner)

    update_index(place, [str(root)], settings(changes=ENTERED))

    rows = ImageIndex.open(place).rows
    paths = [rows.path(row).removeprefix(os.fsencode(root)) for row in range(len(rows))]
    assert paths == [b"/x.tar .jpg", b"/x.tar!/p.jpg", b"/x.tar0.jpg"]


def test_the_generation_does_not_depend_on_the_workers(tmp_path, loose):
    shard = packed(tmp_path / "x.tar", loose)

    for name, workers in (("one", 1), ("two", 2)):
        update_index(tmp_path / name, [str(shard)], Settings(workers=workers))

    assert generation_bytes(tmp_path / "one") == generation_bytes(tmp_path / "two")


def test_a_container_that_did_not_change_is_not_opened(tmp_path, loose, place, monkeypatch):
    shard = packed(tmp_path / "x.tar", loose)
    update_index(place, [str(shard)], settings())
    monkeypatch.setattr(members, "open_container", None)

    outcome = update_index(place, [], settings())

    assert (outcome.seen, outcome.unchanged, outcome.written) == (8, 7, False)


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "in a folder"])
def test_a_damaged_container_that_did_not_change_is_not_opened(
    tmp_path, loose, place, monkeypatch, is_named
):
    shard = packed(loose / "x.tar", loose)
    os.truncate(shard, shard.stat().st_size // 2)
    age(shard)
    first = update_index(place, [str(shard if is_named else loose)], settings(changes=ENTERED))
    monkeypatch.setattr(members, "open_container", None)

    again = update_index(place, [], settings())

    assert first.failed == again.failed
    assert first.n_new_failures == first.failed
    assert (again.n_new_failures, again.written) == (0, False)


def test_equal_members_of_a_container_that_changed_are_not_decoded(tmp_path, loose, place, decoded):
    shard = packed(tmp_path / "x.tar", loose, seconds=2 * AN_HOUR)
    update_index(place, [str(shard)], settings())
    write_all(loose, {"a/added.jpg": painted(20, 160, 120), "b/p1.jpg": painted(21, 160, 120)})
    packed(shard, loose)
    decoded.clear()

    outcome = update_index(place, [], settings())
    again = update_index(place, [], settings())

    assert (outcome.seen, outcome.hashed, outcome.unchanged) == (9, 2, 6)
    assert decoded["decoded"] == 3  # these two, and the broken one
    assert (again.unchanged, again.written) == (8, False)
    update_index(tmp_path / "twin", [str(shard)], settings())
    assert generation_bytes(place) == generation_bytes(tmp_path / "twin")


def test_members_that_left_a_container_leave_the_index(tmp_path, loose, place):
    shard = packed(tmp_path / "x.zip", loose, seconds=2 * AN_HOUR)
    update_index(place, [str(shard)], settings())
    (loose / "a" / "p0.jpg").unlink()
    packed(shard, loose)

    outcome = update_index(place, [], settings())

    assert (outcome.seen, outcome.removed) == (7, 1)
    assert "p0.jpg" not in names_in(place)


def test_a_container_that_was_repaired_is_not_counted_as_removed(tmp_path, loose, place):
    shard = tmp_path / "x.zip"
    shard.write_bytes(b"PK\3\4" + bytes(100))
    age(shard, 2 * AN_HOUR)
    assert update_index(place, [str(shard)], settings()).n_new_failures == 1
    packed(shard, loose)

    outcome = update_index(place, [], settings())

    assert (outcome.seen, outcome.removed) == (8, 0)


def test_a_container_that_vanished_is_not_forgotten_in_silence(tmp_path, loose, place):
    shard = packed(tmp_path / "x.tar", loose)
    update_index(place, [str(shard)], settings())
    shard.unlink()

    with pytest.raises(ImgdupError, match="8 of 8 indexed files are gone"):
        update_index(place, [], settings())
    outcome = update_index(place, [str(shard)], settings(allow_removals=True))

    assert outcome.removed == 8


def test_forget_removes_a_container_by_its_name(tmp_path, loose, place):
    shards = [packed(tmp_path / name, loose) for name in ("x.tar", "y.tar")]
    update_index(place, [str(shard) for shard in shards], settings())

    outcome = forget(place, str(shards[0]))

    assert outcome.removed == 8
    rows = ImageIndex.open(place).rows
    assert {outer_file(rows.path(row)) for row in range(len(rows))} == {os.fsencode(shards[1])}


def test_a_container_in_an_indexed_folder_can_be_updated_alone(tmp_path, loose, place):
    packed(loose / "c.tar", loose, seconds=2 * AN_HOUR)
    update_index(place, [str(loose)], settings(changes=ENTERED))
    (loose / "a" / "p2.jpg").unlink()
    packed(loose / "c.tar", write_all(tmp_path / "new", {"n.jpg": painted(30, 160, 120)}))

    outcome = update_index(place, [str(loose / "c.tar")], settings(allow_removals=True))

    assert (outcome.seen, outcome.removed) == (1, 8)
    assert ImageIndex.open(place).roots == [loose]
    assert names_in(place).count("n.jpg") == 1


def test_exclude_and_hidden_hold_inside_containers(tmp_path, loose, place):
    write_all(loose, {".hid/h.jpg": painted(40, 160, 120), "b/thumbs/t.jpg": painted(41, 160, 120)})
    packed(loose / "c.tar", loose)
    changes = OptionChanges(exclude=("thumbs", "c.tar!/a/*"), containers=True)

    update_index(place, [str(loose)], settings(changes=changes))
    rows = ImageIndex.open(place).rows
    inside = [rows.path(row) for row in range(len(rows)) if b"c.tar!" in rows.path(row)]
    update_index(place, [], settings(changes=OptionChanges(exclude=())))

    assert [os.path.basename(path) for path in inside] == [b"p1.jpg", b"p3.jpg", b"p5.jpg"]
    assert len(ImageIndex.open(place).rows) == 18


def test_an_excluded_container_is_not_entered(loose, place):
    packed(loose / "c.tar", loose)
    changes = OptionChanges(exclude=("*.tar",), containers=True)

    assert update_index(place, [str(loose)], settings(changes=changes)).seen == 8


def test_containers_in_containers_are_named_and_not_entered(tmp_path, loose, place):
    packed(loose / "inner.zip", loose)
    shard = packed(tmp_path / "outer.tar", loose)

    outcome = update_index(place, [str(shard)], settings())

    assert outcome.seen == 8
    name = os.fsencode(shard) + b"!/inner.zip"
    assert outcome.notes == [(name, "a container inside a container is not read")]


def test_a_container_beside_a_folder_of_that_name_is_one_failure(tmp_path, loose, place):
    packed(loose / "c.tar", loose)
    write_all(loose / "c.tar!", {"p.jpg": painted(50, 160, 120)})

    outcome = update_index(place, [str(loose)], settings(changes=ENTERED))

    failed = {os.path.basename(failure.path): failure.reason for failure in outcome.failures}
    assert failed == {b"broken.jpg": "truncated", b"c.tar": "unreadable"}
    assert outcome.hashed == 8


def test_members_of_a_container_that_changes_while_it_is_read_are_changed(
    tmp_path, loose, place, monkeypatch
):
    shard = packed(tmp_path / "x.tar", loose, seconds=2 * AN_HOUR)
    real = read_content
    names = []

    def read(name, limits, locator=None):
        names.append(name)
        if len(names) == 4:
            age(shard)
        return real(name, limits, locator)

    monkeypatch.setattr(hashing, "read_content", read)
    first = update_index(place, [str(shard)], settings())
    monkeypatch.setattr(hashing, "read_content", real)
    second = update_index(place, [], settings())

    assert Counter(f.reason for f in first.failures)["changed"] == 5
    assert (second.seen, second.failed) == (8, 1)
    update_index(tmp_path / "twin", [str(shard)], settings())
    assert generation_bytes(place) == generation_bytes(tmp_path / "twin")


def test_a_container_under_two_names_is_read_once(tmp_path, loose, place, decoded):
    shard = packed(tmp_path / "x.tar", loose)
    os.link(shard, tmp_path / "y.tar")

    outcome = update_index(place, [str(shard), str(tmp_path / "y.tar")], settings())

    rows = ImageIndex.open(place).rows
    assert (outcome.seen, decoded["decoded"]) == (16, 8)
    assert rows.column("same_file")[8:].tolist() == [
        -1 if status else row
        for row, status in enumerate(np.minimum(rows.column("status")[:8], 0).tolist())
    ]


def test_an_interrupted_run_is_resumed_member_by_member(tmp_path, loose, place, monkeypatch):
    shard = packed(tmp_path / "x.tar", loose)
    real = hashing.read_content

    def stop(name, limits, locator=None):
        if name.endswith(b"p3.jpg"):
            raise KeyboardInterrupt
        return real(name, limits, locator)

    monkeypatch.setattr("imgdup.build.read.MAX_BATCH_FILES", 2)
    monkeypatch.setattr(hashing, "read_content", stop)
    with pytest.raises(KeyboardInterrupt):
        update_index(place, [str(shard)], settings())
    read = []
    monkeypatch.setattr(hashing, "read_content", lambda *a: read.append(a[0]) or real(*a))
    outcome = update_index(place, [str(shard)], settings())

    assert 0 < len(read) < 8
    assert outcome.seen == 8
    update_index(tmp_path / "twin", [str(shard)], settings())
    assert generation_bytes(place) == generation_bytes(tmp_path / "twin")


def test_a_renamed_folder_of_containers_keeps_its_rows(tmp_path, loose, place):
    from imgdup.build.relocate import relocate

    packed(tmp_path / "before" / "c.tar", loose)
    update_index(place, [str(tmp_path / "before")], settings(changes=ENTERED))
    shutil.move(tmp_path / "before", tmp_path / "after")

    n_moved = relocate(place, str(tmp_path / "before"), str(tmp_path / "after"))
    outcome = update_index(place, [], settings())

    assert (n_moved, outcome.unchanged, outcome.hashed) == (8, 7, 0)


def test_limits_hold_for_each_member(tmp_path, loose, place):
    shard = packed(tmp_path / "x.zip", write_all(loose, {"big.png": bytes(100_000)}))

    outcome = update_index(place, [str(shard)], settings(limits=Limits(max_file_bytes=50_000)))

    failed = {os.path.basename(failure.path): failure.reason for failure in outcome.failures}
    assert failed == {b"big.png": "too-large", b"broken.jpg": "truncated"}


def test_parts_of_containers_merged_are_one_run(tmp_path, loose):
    for name in ("u.zip", "x.tar", "y.zip"):
        packed(tmp_path / "root" / name, loose)
    paint = {f"{i}.jpg": painted(60 + i, 160, 120) for i in range(3)}
    root = write_all(tmp_path / "root", paint)
    for i in (1, 2):
        changes = OptionChanges(containers=True, part=Part((i,), 2))
        update_index(tmp_path / str(i), [str(root)], settings(changes=changes))
    update_index(tmp_path / "whole", [str(root)], settings(changes=ENTERED))

    merge_indexes([tmp_path / "1", tmp_path / "2"], tmp_path / "merged")

    assert len(ImageIndex.open(tmp_path / "1").rows) not in (0, 27)
    assert generation_bytes(tmp_path / "merged") == generation_bytes(tmp_path / "whole")


def test_a_compressed_tar_file_is_unpacked_once_whatever_its_order(
    tmp_path, loose, place, monkeypatch
):
    """Its members are neither in path order, nor do all have an extension."""
    shard = tmp_path / "x.tar.gz"
    with tarfile.open(shard, "w:gz") as archive:
        for file in sorted((f for f in loose.rglob("*") if f.is_file()), reverse=True):
            archive.add(file, file.relative_to(loose))
    age(shard)
    offsets = []
    real = Unpacked.read
    monkeypatch.setattr(
        Unpacked, "read", lambda self, at, n: offsets.append(at) or real(self, at, n)
    )

    update_index(place, [str(shard)], settings())
    update_index(tmp_path / "twin", [str(loose)], settings())

    n_backwards = sum(after < before for before, after in pairwise(offsets))
    assert n_backwards <= 2  # to look at what has no extension, and to read
    assert rows_of(place, shard) == rows_of(tmp_path / "twin", loose)


MIXED = {
    "a.jpg": painted(1, 160, 120),
    "a.txt": b"a caption",
    "in/b.json": b"{}",
    "in/c": b"neither picture nor extension",
    "in/d": painted(2, 160, 120),
    "in/raw.nef": b"raw",
}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
def test_members_that_are_no_pictures_are_counted_like_files(tmp_path, name):
    loose = write_all(tmp_path / "loose", MIXED)
    packed(tmp_path / "set" / name, loose)
    counts = {}
    for place in ("loose", "set"):
        index = tmp_path / f"{place}.index"
        runs = [update_index(index, [str(tmp_path / place)], settings(changes=ENTERED))]
        runs.append(update_index(index, [], settings()))
        (tmp_path / "other").mkdir(exist_ok=True)
        runs.append(update_index(index, [str(tmp_path / "other")], settings()))
        runs.append(update_index(index, [], settings()))
        counts[place] = [run.ignored for run in runs]

    assert counts["set"] == counts["loose"] == [4, 4, 0, 4]


def test_members_that_are_no_pictures_are_listed_if_this_is_requested(tmp_path):
    loose = write_all(tmp_path / "loose", MIXED)
    path = packed(tmp_path / "x.zip", loose)

    found = update_index(tmp_path / "index", [str(path)], settings(list_ignored=True))

    start = os.path.realpath(path) + "!/"
    reasons = {os.fsdecode(name).removeprefix(start): why for name, why in found.ignored_files}
    assert reasons.pop("in/raw.nef") == "raw is not decoded"
    assert reasons == dict.fromkeys(["a.txt", "in/b.json", "in/c"], "not an image")


def test_counts_that_are_damaged_are_none(tmp_path):
    packed(tmp_path / "set/x.tar", write_all(tmp_path / "loose", MIXED))
    index = tmp_path / "index"
    update_index(index, [str(tmp_path / "set")], settings(changes=ENTERED))
    (index / folder.IGNORED).write_bytes(b"damaged")

    found = update_index(index, [], settings())

    assert (found.ignored, found.unchanged) == (0, 2)
