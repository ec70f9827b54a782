"""A folder that was moved: the index follows by itself where it lies in it, else with `relocate`.

Pictures are painted anew in each test and counted as they are read: nothing may be hashed again.
"""

import os
import time

import pytest

from encoded import painted
from imgdup import ImageIndex, cli
from imgdup.build.relocate import drop_rows, relocate
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.paths import resolved_root, stored_root
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

INLINE = Settings(workers=1, engine=inline)


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(painted(seed, 120, 90))
    then = time.time() - 3600
    os.utime(path, (then, then))


@pytest.fixture
def photos(tmp_path):
    for seed, name in enumerate(["a.jpg", "m/b.jpg", "m/c.jpg", "z.jpg"]):
        paint(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


def paths(place):
    index = ImageIndex.open(place).rows
    return [os.fsdecode(index.path(row)) for row in range(len(index))]


def files_below(*folders):
    """Every picture on the disk, in the order of path parts."""
    found = [str(path) for folder in folders for path in folder.rglob("*.jpg")]
    return sorted(found, key=lambda path: path.split("/"))


def opened_again(place):
    """What an update of all roots does: hashed, unchanged, removed, written."""
    outcome = update_index(place, (), INLINE)
    return outcome.hashed, outcome.unchanged, outcome.removed, outcome.written


@pytest.mark.parametrize(
    ("root", "folder", "stored"),
    [
        (b"/photos", b"/photos/.imgdup", b".."),
        (b"/photos", b"/photos/a/b/.imgdup", b"../../.."),
        (b"/", b"/photos/.imgdup", b"../.."),
        (b"C:/", b"C:/photos/.imgdup", b"../.."),
        (b"/photos", b"/photos-2/.imgdup", b"/photos"),
        (b"/photos", b"/photos", b"/photos"),
        (b"", b"/photos/.imgdup", b""),
    ],
)
def test_a_root_is_stored_relative_to_an_index_inside_it(root, folder, stored):
    assert stored_root(root, folder) == stored
    assert resolved_root(stored, folder) == root


def test_a_forged_root_above_the_top_folder_is_refused():
    with pytest.raises(ValueError, match="above the top folder"):
        resolved_root(b"../../..", b"/.imgdup")


def test_an_index_inside_its_folder_follows_when_the_folder_is_renamed(photos, tmp_path):
    update_index(photos / ".imgdup", [str(photos)], INLINE)
    moved = tmp_path / "somewhere" / "else"
    moved.parent.mkdir()
    photos.rename(moved)

    found = ImageIndex.open(moved / ".imgdup").within(moved / "a.jpg", 0)
    again = update_index(moved / ".imgdup", [str(moved)], INLINE)

    assert [os.fsdecode(match.path) for match in found] == [str(moved / "a.jpg")]
    assert paths(moved / ".imgdup") == files_below(moved)
    assert (again.hashed, again.unchanged, again.removed, again.written) == (0, 4, 0, False)


@pytest.mark.parametrize("name", ["a-first", "zz-last"])
def test_a_renamed_folder_may_get_another_position_among_the_roots(photos, tmp_path, name):
    for seed, other in enumerate(["b-other", "y-other"], 10):
        paint(tmp_path / other / "o.jpg", seed)
    others = [tmp_path / "b-other", tmp_path / "y-other"]
    update_index(photos / ".imgdup", [str(each) for each in (photos, *others)], INLINE)
    moved = photos.rename(tmp_path / name)
    place = moved / ".imgdup"
    index = ImageIndex.open(place).rows

    table = index.generation.paths
    before = [table.find(path.encode()) is not None for path in files_below(moved, *others)]
    n_below = [len(index.rows_below(os.fsencode(each))) for each in (moved, *others)]
    first = opened_again(place)

    assert before == [True] * 6
    assert n_below == [4, 1, 1]
    assert first == (0, 6, 0, True)
    assert opened_again(place) == (0, 6, 0, False)
    assert paths(place) == files_below(moved, *others)


def test_a_moved_root_is_relocated_without_hashing(photos, tmp_path):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    moved = photos.rename(tmp_path / "moved")

    n_moved = relocate(place, str(photos), str(moved))

    assert n_moved == 4
    assert paths(place) == files_below(moved)
    assert opened_again(place) == (0, 4, 0, False)


def test_a_relocated_index_equals_one_that_was_made_there(photos, tmp_path):
    paint(tmp_path / "other" / "o.jpg", 9)
    update_index(tmp_path / "index", [str(photos), str(tmp_path / "other")], INLINE)
    moved = photos.rename(tmp_path / "zz-moved")

    relocate(tmp_path / "index", str(photos), str(moved))
    update_index(tmp_path / "fresh", [str(moved), str(tmp_path / "other")], INLINE)

    generations = [tmp_path / "index" / "index.2", tmp_path / "fresh" / "index.1"]
    assert generations[0].read_bytes() == generations[1].read_bytes()


def test_a_folder_that_moved_within_its_root_is_relocated(photos, tmp_path):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    (photos / "m").rename(photos / "b")

    n_moved = relocate(place, str(photos / "m"), str(photos / "b"))

    assert n_moved == 2
    assert paths(place) == files_below(photos)
    assert opened_again(place) == (0, 4, 0, False)


def test_a_folder_that_moved_out_of_its_root_is_a_root_with_the_same_options(photos, tmp_path):
    place = tmp_path / "index"
    changes = OptionChanges(exclude=("*.png",))
    update_index(place, [str(photos)], Settings(workers=1, engine=inline, changes=changes))
    out = (photos / "m").rename(tmp_path / "out")

    relocate(place, str(photos / "m"), str(out))

    roots = ImageIndex.open(place).generation.roots
    assert {root: options.exclude for root, options in roots.items()} == {
        os.fsencode(out): ("*.png",), os.fsencode(photos): ("*.png",),
    }  # fmt: skip
    assert opened_again(place) == (0, 4, 0, False)


def test_all_roots_below_a_moved_folder_are_relocated_with_single_files(tmp_path):
    for seed, name in enumerate(["x/a.jpg", "y/b.jpg", "one.jpg", "y/two.jpg"]):
        paint(tmp_path / "disk" / name, seed)
    disk, place = tmp_path / "disk", tmp_path / "index"
    named = [disk / "x", disk / "y" / "two.jpg", disk / "one.jpg"]
    update_index(place, [str(path) for path in named], INLINE)
    moved = disk.rename(tmp_path / "drive")

    n_moved = relocate(place, str(disk), str(moved))

    assert n_moved == 3
    assert ImageIndex.open(place).rows.roots == [b"", os.fsencode(moved / "x")]
    assert opened_again(place) == (0, 3, 0, False)


def test_ghosts_of_a_folder_that_was_indexed_again_leave(photos, tmp_path):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    moved = photos.rename(tmp_path / "moved")
    paint(moved / "new.jpg", 7)
    update_index(place, [str(moved)], INLINE)

    n_moved = relocate(place, str(photos), str(moved))

    assert n_moved == 0
    assert paths(place) == files_below(moved)
    assert ImageIndex.open(place).rows.roots == [os.fsencode(moved)]


def test_hard_links_remain_one_file_when_they_are_relocated(photos, tmp_path):
    os.link(photos / "a.jpg", photos / "link.jpg")
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    moved = photos.rename(tmp_path / "moved")

    relocate(place, str(photos), str(moved))

    index = ImageIndex.open(place).rows
    first = index.column("same_file").tolist()
    named = {index.path(row): index.path(i) for row, i in enumerate(first) if i >= 0}
    assert named == {os.fsencode(moved / "link.jpg"): os.fsencode(moved / "a.jpg")}


def test_what_is_not_indexed_or_not_there_is_refused(photos, tmp_path):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)

    with pytest.raises(
        UsageError, match=f"'{tmp_path}/other' is not in this index; the indexed folders are:"
    ):
        relocate(place, str(tmp_path / "other"), str(tmp_path))
    with pytest.raises(UsageError, match="NEW must be a folder"):
        relocate(place, str(photos), str(tmp_path / "nowhere"))


def test_the_command_relocates_and_prints_how_many(photos, tmp_path, capsys):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    moved = photos.rename(tmp_path / "moved")

    code = cli.main(["index", "--index", str(place), "--moved", str(photos), str(moved)])

    assert code == 0
    assert capsys.readouterr().out == "4 images have new paths\n"
    assert paths(place) == files_below(moved)


def test_a_query_and_an_update_name_a_missing_root_and_the_remedy(photos, tmp_path, capsys):
    place = tmp_path / "index"
    update_index(place, [str(photos)], INLINE)
    moved = photos.rename(tmp_path / "moved")

    cli.main(["query", str(moved / "a.jpg"), "--index", str(place)])
    err = capsys.readouterr().err
    with pytest.raises(ImgdupError) as raised:
        update_index(place, (), INLINE)

    for text in (err, str(raised.value)):
        assert str(photos) in text
        for remedy in ("--moved OLD NEW", "imgdup index NEW", "imgdup forget OLD"):
            assert remedy in text


def generation_bytes(place):
    (file,) = place.glob("index.*")
    return file.read_bytes()


def test_an_index_without_some_rows_equals_one_that_was_made_without_their_files(photos, tmp_path):
    os.link(photos / "a.jpg", photos / "link.jpg")
    update_index(tmp_path / "index", [str(photos)], INLINE)
    gone = [photos / "m" / "b.jpg", photos / "z.jpg"]
    for path in gone:
        path.unlink()

    n_dropped = drop_rows(tmp_path / "index", {*map(os.fsencode, gone), b"/not/indexed"})

    assert n_dropped == 2
    assert paths(tmp_path / "index") == files_below(photos)
    update_index(tmp_path / "new", [str(photos)], INLINE)
    assert generation_bytes(tmp_path / "index") == generation_bytes(tmp_path / "new")
    outcome = update_index(tmp_path / "index", (), INLINE)
    assert (outcome.removed, outcome.hashed, outcome.written) == (0, 0, False)


def test_an_index_that_has_none_of_the_rows_is_not_written_again(photos, tmp_path):
    update_index(tmp_path / "index", [str(photos)], INLINE)

    assert drop_rows(tmp_path / "index", {b"/not/indexed"}) == 0

    assert [file.name for file in (tmp_path / "index").glob("index.*")] == ["index.1"]
