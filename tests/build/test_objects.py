"""Pictures on servers: the same rows as those of the loose files, and no reading twice.

The servers are those of `object_servers`, and log what is asked of them. The expected rows are
those of the same pictures in a folder.
"""

import io
import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from encoded import painted
from imgdup import ImageIndex
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import forget, update_index
from imgdup.errors import ImgdupError, UsageError
from imgdup.images.formats import REASONS
from imgdup.index.parts import Part
from imgdup.workers.pool import inline
from object_servers import BUCKET, tarred, zipped

remote = pytest.importorskip("imgdup.containers.remote", reason="needs the extra remote")

FACTS = ("size", "width", "height", "format", "quality", "status", "digest", "match", "hashes")
ROOT = f"s3://{BUCKET}"
ENTERED = OptionChanges(containers=True)


def index(place, *names, **options):
    found = update_index(place, names, Settings(workers=1, engine=inline, **options))
    assert not found.unlisted
    return found


def rows_of(place, start):
    """The facts of each row by the rest of its name."""
    rows = ImageIndex.open(place).rows
    found = {}
    for row in range(len(rows)):
        name = os.fsdecode(rows.path(row))
        assert name.startswith(start)
        facts = tuple(np.array(rows.column(fact)[row]).tobytes() for fact in FACTS)
        found[name.removeprefix(start)] = facts
    return found


def reasons(place):
    rows = ImageIndex.open(place).rows
    return {os.fsdecode(rows.path(i)): REASONS[rows.column("status")[i]] for i in range(len(rows))}


def tabled(contents):
    file = io.BytesIO()
    table = pyarrow.table({"image": pyarrow.array(list(contents.values()), pyarrow.binary())})
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


PACKERS = {
    "a.tar": tarred,
    "a.tar.gz": lambda contents: tarred(contents, "w:gz"),
    "a.zip": zipped,
}


@pytest.fixture
def contents():
    """Pictures below several prefixes, with names that an address must escape; one is broken."""
    names = ("a/1.jpg", "a/b c.jpg", "a-b/ü%41.jpg", "a.b/2.jpg", "top+?#.jpg")
    pictures = {name: painted(seed, 160, 120) for seed, name in enumerate(names)}
    return {**pictures, "a/broken.jpg": pictures["a/1.jpg"][:900]}


@pytest.fixture
def loose(tmp_path, contents):
    for name, content in contents.items():
        (tmp_path / "loose" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "loose" / name).write_bytes(content)
    index(tmp_path / "loose-index", str(tmp_path / "loose"))
    return rows_of(tmp_path / "loose-index", os.path.realpath(tmp_path / "loose") + "/")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


def test_rows_of_a_bucket_equal_those_of_the_loose_files(bucket, contents, loose, place):
    bucket.objects.update(contents)

    index(place, ROOT)

    assert rows_of(place, f"{ROOT}/") == loose
    assert list(rows_of(place, f"{ROOT}/")) == list(loose)


def test_a_prefix_holds_only_what_is_below_it(bucket, contents, place):
    bucket.objects.update(contents)

    index(place, f"{ROOT}/a/")

    assert set(rows_of(place, f"{ROOT}/a/")) == {"1.jpg", "b c.jpg", "broken.jpg"}


def test_objects_can_be_named_one_by_one(bucket, contents, place):
    bucket.objects.update(contents)

    index(place, f"{ROOT}/a/1.jpg", f"S3://{BUCKET}/top+?#.jpg")

    assert set(rows_of(place, f"{ROOT}/")) == {"a/1.jpg", "top+?#.jpg"}


@pytest.mark.parametrize("packed", PACKERS)
def test_rows_of_containers_equal_those_of_the_loose_files(bucket, contents, loose, place, packed):
    bucket.objects[f"set/{packed}"] = PACKERS[packed](contents)

    index(place, f"{ROOT}/set", changes=ENTERED)

    assert rows_of(place, f"{ROOT}/set/{packed}!/") == loose


def test_rows_of_a_table_equal_those_of_the_loose_files(bucket, contents, loose, place):
    bucket.objects["a.parquet"] = tabled(contents)

    index(place, f"{ROOT}/a.parquet")

    found = rows_of(place, f"{ROOT}/a.parquet!/")
    assert list(found.values()) == [loose[name] for name in contents]


def test_only_objects_with_the_extension_of_an_image_count(bucket, contents, place):
    bucket.objects.update({**contents, "x.txt": b"text", "noext": contents["a/1.jpg"]})
    bucket.objects["x.tar"] = tarred(contents)

    found = index(place, ROOT)

    assert found.seen == len(contents)
    assert found.ignored == 3
    assert found.not_entered == [f"{ROOT}/x.tar".encode()]
    assert not {"x.txt", "noext", "x.tar"} & set(bucket.gets())


def test_parts_of_a_bucket_hold_each_object_once(bucket, contents, tmp_path):
    bucket.objects.update(contents)

    found = []
    for number in (1, 2):
        place = tmp_path / str(number)
        index(place, ROOT, changes=OptionChanges(part=Part((number,), 2)))
        found += rows_of(place, f"{ROOT}/")

    assert sorted(found) == sorted(contents)


def test_exclude_and_hidden_hold_for_keys(bucket, contents, place):
    bucket.objects.update({**contents, ".h/1.jpg": contents["a/1.jpg"]})

    index(place, ROOT, changes=OptionChanges(exclude=("a-b", "top*")))

    assert set(rows_of(place, f"{ROOT}/")) == {"a/1.jpg", "a/b c.jpg", "a/broken.jpg", "a.b/2.jpg"}


@pytest.mark.parametrize("packed", [None, *PACKERS])
def test_a_second_run_reads_nothing(bucket, contents, place, packed):
    bucket.objects.update({f"set/{packed}": PACKERS[packed](contents)} if packed else contents)
    first = index(place, ROOT, changes=ENTERED)
    bucket.log.clear()

    second = index(place)

    assert bucket.gets() == []
    assert (first.hashed, second.hashed, second.unchanged) == (5, 0, 5)
    assert not second.written


def test_only_objects_that_changed_are_read_again(bucket, contents, place):
    bucket.objects.update({**contents, "x.tar": tarred(contents)})
    index(place, ROOT, changes=ENTERED)
    bucket.log.clear()
    bucket.objects["a/1.jpg"] = painted(9, 160, 120)
    bucket.objects["new.jpg"] = painted(10, 160, 120)
    del bucket.objects["a.b/2.jpg"]

    found = index(place)

    assert sorted(bucket.gets()) == ["a/1.jpg", "new.jpg"]
    assert (found.hashed, found.removed) == (2, 1)


def test_another_content_of_the_same_size_and_time_is_noticed_by_its_etag(bucket, place):
    pictures = [painted(seed, 160, 120, ".png") for seed in (1, 2)]
    size = max(map(len, pictures))
    bucket.objects["a.png"] = pictures[0].ljust(size, b"\0")
    index(place, ROOT)
    before = rows_of(place, ROOT)
    bucket.objects["a.png"] = pictures[1].ljust(size, b"\0")

    index(place)

    assert rows_of(place, ROOT) != before


def test_without_etags_a_new_time_is_noticed(bucket, place):
    bucket.has_etags = False
    address = f"{bucket.url}/a.jpg"
    bucket.objects["a.jpg"] = painted(1, 160, 120)
    index(place, address)
    bucket.log.clear()

    index(place)
    assert bucket.gets() == []

    bucket.times["a.jpg"] = 1_710_000_000
    index(place)
    assert bucket.gets() == ["a.jpg"]


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("packed", PACKERS)
def test_a_web_server_gives_the_same_rows(bucket, contents, loose, place, packed, has_ranges):
    bucket.has_ranges = has_ranges
    bucket.objects[f"my sets/{packed}"] = PACKERS[packed](contents)
    address = f"{bucket.url}/my%20sets/{packed}"

    index(place, address)

    assert rows_of(place, f"{address}!/") == loose


def test_a_server_with_weak_etags_is_read_in_ranges(bucket, contents, loose, place):
    bucket.weak = "W/"
    bucket.objects["a.zip"] = zipped(contents)

    index(place, f"{bucket.url}/a.zip")

    assert rows_of(place, f"{bucket.url}/a.zip!/") == loose


def test_a_bucket_can_be_forgotten(bucket, contents, place):
    bucket.objects.update({**contents, "x.tar": tarred(contents)})
    index(place, f"{ROOT}/a", f"{ROOT}/x.tar")

    forget(place, f"{ROOT}/a/")
    assert set(rows_of(place, f"{ROOT}/x.tar!/")) == set(contents)

    bucket.log.clear()
    index(place)
    assert bucket.gets() == []


def test_members_of_a_large_archive_are_read_in_ranges(bucket, place):
    pictures = {f"{seed}.jpg": painted(seed, 160, 120) for seed in range(4)}
    bucket.objects["a.zip"] = zipped({**pictures, "film.bin": os.urandom(3 << 20)})

    index(place, f"{ROOT}/a.zip")

    spans = [span.removeprefix("bytes=").split("-") for method, key, span in bucket.log if span]
    n_bytes = sum(int(stop) - int(start) + 1 for start, stop in spans)
    assert spans, bucket.log
    assert n_bytes < 1 << 20


@pytest.mark.parametrize("heeds", [True, False])
def test_members_of_a_container_that_changes_while_it_is_read_are_changed(bucket, place, heeds):
    noise = {f"{i}.txt": os.urandom(200_000) for i in range(3)}
    pictures = {f"{i}.jpg": painted(i, 160, 120) for i in range(3)}
    pairs = zip(noise.items(), pictures.items(), strict=True)
    mixed = {name: data for pair in pairs for name, data in pair}
    bucket.heeds_if_match = heeds
    bucket.objects["a.zip"] = zipped(mixed)

    def change(key):
        if len(bucket.gets()) == 3:  # behind the list of the members, and a picture
            bucket.objects["a.zip"] = bucket.objects["a.zip"] + b"\1"

    bucket.before_get = change
    index(place, f"{ROOT}/a.zip")
    found = reasons(place)
    bucket.before_get = lambda key: None
    bucket.objects["a.zip"] = zipped(mixed)
    again = index(place)

    assert "changed" in found.values()
    assert set(found.values()) <= {"ok", "changed"}
    assert (again.seen, again.failed) == (3, 0)


def test_a_zip_file_that_changes_while_it_is_listed_keeps_its_rows(bucket, contents, place):
    bucket.objects["a.zip"] = zipped(contents)
    index(place, f"{ROOT}/a.zip")
    before = rows_of(place, ROOT)
    bucket.objects["a.zip"] = zipped({**contents, "z.txt": b"z"})
    bucket.before_get = lambda key: bucket.objects.update({key: bucket.objects[key] + b"\1"})

    found = update_index(place, [], Settings(workers=1, engine=inline))

    assert [path for path, _ in found.unlisted] == [f"{ROOT}/a.zip!".encode()]
    assert rows_of(place, ROOT) == before


def test_an_object_that_vanishes_after_the_list_is_missing_and_leaves(bucket, contents, place):
    bucket.objects.update(contents)
    bucket.before_get = lambda key: bucket.objects.pop("a.b/2.jpg", None)

    index(place, ROOT)

    assert set(rows_of(place, f"{ROOT}/")) == set(contents) - {"a.b/2.jpg"}


@pytest.mark.parametrize("status", [401, 403, 404, 400])
def test_rows_are_kept_where_a_bucket_cannot_be_listed(bucket, contents, place, status):
    bucket.objects.update(contents)
    index(place, ROOT)
    before = rows_of(place, ROOT)
    bucket.status = status

    found = update_index(place, [], Settings(workers=1, engine=inline))

    ((path, reason),) = found.unlisted
    assert path == ROOT.encode()
    assert str(status) in reason
    assert "\n" not in reason
    assert rows_of(place, ROOT) == before


def test_a_run_continues_where_access_ended_half_way(bucket, contents, place):
    bucket.objects.update(contents)
    bucket.before_get = lambda key: setattr(bucket, "status", 403 if "a-b" in key else 0)

    first = index(place, ROOT)
    found = reasons(place)
    bucket.before_get = lambda key: None
    bucket.status = 0
    bucket.log.clear()
    second = index(place)

    assert first.failed > 1
    assert f"{ROOT}/a-b/ü%41.jpg" in {name for name in found if found[name] == "unreadable"}
    assert second.failed == 1  # the broken one
    unread = {name.removeprefix(f"{ROOT}/") for name in found if found[name] == "unreadable"}
    assert set(bucket.gets()) == unread


def test_a_name_without_an_object_is_refused(bucket, contents, place):
    bucket.objects.update(contents)

    for name in (f"{ROOT}/nothing", f"{ROOT}/a/1.png", f"{bucket.url}/a", f"{bucket.url}"):
        with pytest.raises(UsageError, match="no such object"):
            index(place, name)


def test_a_server_that_refuses_is_named_in_one_line(bucket, contents, place):
    bucket.status = 403

    with pytest.raises(ImgdupError, match=rf"^{ROOT}/a: .*credentials.*$") as caught:
        index(place, f"{ROOT}/a")

    assert "\n" not in str(caught.value)


def test_a_list_with_a_key_that_cannot_be_read_is_no_empty_list(bucket, contents, place):
    bucket.objects.update(contents)
    index(place, ROOT)
    bucket.objects["a//b.jpg"] = painted(9, 160, 120)

    found = update_index(place, [], Settings(workers=1, engine=inline))

    assert [path for path, _ in found.unlisted] == [ROOT.encode()]
    assert len(rows_of(place, ROOT)) == len(contents)
