"""Merging indexes: the parts of a folder give what one run gives, and nothing is lost or guessed.

The answers are those of one run over all files, byte for byte, or of a twin that keeps all rows in
a dictionary.
"""

import io
import os
import random
import shutil
import tarfile
import time
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings as examples, strategies as st

import imgdup.build.merge
import imgdup.build.merge_table
from encoded import painted
from imgdup.build import write as writing
from imgdup.build.merge import merge_indexes, select_rows
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.errors import ImgdupError, UsageError
from imgdup.index import folder, store
from imgdup.index.generation import GenerationRows, open_generation
from imgdup.index.parts import Part
from imgdup.query.check_index import check_structure
from imgdup.workers.pool import inline
from kill_every_line import kill_at_every_line

AN_HOUR = 3600


def settings(part=None, **options):
    changes = options.pop("changes", OptionChanges(part=part))
    return Settings(workers=1, engine=inline, changes=changes, **options)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    then = time.time() - AN_HOUR
    os.utime(path, (then, then))


def opened(place):
    return folder.open_generation(place, open_generation)[1]


def content(place):
    return opened(place).file.read_bytes()


def by_path(place):
    """The facts of each file, in a dictionary."""
    generation = opened(place)
    names = [n for n in ("size", "mtime_ns", "digest", "hashes", "match", "status", "pdq")
             if n in generation.arrays]  # fmt: skip
    return {
        path: (
            [generation.arrays[name][row].tolist() for name in names],
            generation.detail(row),
            generation.paths.root_of(row),
        )
        for row, path in enumerate(generation.paths)
    }


def in_parts(tmp_path, sources, n_parts, **options):
    """Index sources in parts, each in a folder of its own; the index folders."""
    places = [tmp_path / f"part{number}" for number in range(1, n_parts + 1)]
    for number, place in enumerate(places, 1):
        update_index(place, sources, settings(Part((number,), n_parts), **options))
    return places


@pytest.fixture(scope="module")
def pictures():
    """Some encoded pictures, two of them equal, one with a border, and two damaged files."""
    found = [painted(seed, 40, 32) for seed in range(5)]
    inside = cv2.imdecode(np.frombuffer(painted(5, 160, 120), np.uint8), cv2.IMREAD_COLOR)
    bordered = cv2.copyMakeBorder(inside, 20, 20, 20, 20, cv2.BORDER_CONSTANT)
    found.append(cv2.imencode(".png", bordered)[1].tobytes())
    return [*found, found[0], found[1][:-30], b"no picture"]


@pytest.fixture
def photos(tmp_path, pictures):
    """Folders of pictures, files beside them, hard links between folders, and other files."""
    top = tmp_path / "photos"
    for number, data in enumerate(pictures * 3):
        write(top / f"f{number % 11}" / "deep" / f"{number}.jpg", data)
    write(top / "beside.jpg", pictures[2])
    write(top / "text.jpg.txt", b"not an image")
    write(top / "f-1" / "a.png", pictures[3])  # sorted after f by bytes, and after f1/ by parts
    os.link(top / "f1" / "deep" / "1.jpg", top / "f2" / "link.jpg")
    return top


@pytest.mark.parametrize("n_parts", [1, 2, 7, 30])
def test_merged_parts_are_one_run_byte_for_byte(tmp_path, photos, n_parts):
    update_index(tmp_path / "whole", [str(photos)], settings())

    places = in_parts(tmp_path, [str(photos)], n_parts)
    random.Random(n_parts).shuffle(places)
    merged = merge_indexes(places, tmp_path / "merged")

    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    assert merged.n_shared == 0 and merged.incomplete == []


def test_merged_parts_with_pdq_are_one_run_byte_for_byte(tmp_path, photos):
    update_index(tmp_path / "whole", [str(photos)], settings(with_pdq=True))

    merge_indexes(in_parts(tmp_path, [str(photos)], 3, with_pdq=True), tmp_path / "merged")

    assert len(opened(tmp_path / "merged").arrays["trimmed_rows"]) == 3
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_merged_parts_of_containers_are_one_run_byte_for_byte(tmp_path, photos, pictures):
    for shard in range(8):
        with tarfile.open(photos / f"{shard:05d}.tar", "w") as shards:
            for number, data in enumerate(pictures):
                member = tarfile.TarInfo(f"{number}.jpg")
                member.size = len(data)
                shards.addfile(member, io.BytesIO(data))
    inside = photos / "f1" / "deep" / "more.zip"
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("1.jpg", pictures[4])
    for file in [inside, *photos.glob("*.tar")]:
        os.utime(file, (1_600_000_000, 1_600_000_000))
    changes = OptionChanges(containers=True)
    update_index(tmp_path / "whole", [str(photos)], settings(changes=changes))

    places = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, place in enumerate(places, 1):
        part = replace(changes, part=Part((number,), 3))
        update_index(place, [str(photos)], settings(changes=part))
    merge_indexes(places, tmp_path / "merged")

    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    names = {path.partition(b"!")[0] for path in opened(tmp_path / "whole").paths if b"!" in path}
    assert len(names) == 9
    again = update_index(tmp_path / "merged", (), settings())
    assert (again.hashed, again.written) == (0, False)


def test_parts_of_several_folders_and_files_do_not_depend_on_the_order_of_the_sources(
    tmp_path, photos, pictures
):
    other = tmp_path / "other"
    for number, data in enumerate(pictures):
        write(other / f"{number}.jpg", data)
        write(tmp_path / "files" / f"{number}.jpg", data)
    sources = [str(photos), str(other), str(photos / "f1")]
    sources += [str(tmp_path / "files" / f"{number}.jpg") for number in range(9)]
    sources += [str(photos / "f1" / "deep" / "1.jpg")]
    update_index(tmp_path / "whole", sources, settings())

    places = []
    for number in range(1, 6):
        random.Random(number).shuffle(sources)
        places.append(tmp_path / f"part{number}")
        update_index(places[-1], sources, settings(Part((number,), 5)))
    merge_indexes(places, tmp_path / "merged")

    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    assert sum(len(opened(place)) for place in places) == len(opened(tmp_path / "whole"))


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.lists(st.sampled_from(["a", "a-b", "a.b", "é"]), min_size=1, max_size=3).map("/".join),
        min_size=1, max_size=12, unique=True,
    ),
    n_parts=st.integers(2, 4),
)  # fmt: skip
def test_any_tree_in_parts_is_one_run(tmp_path_factory, pictures, names, n_parts):
    tmp_path = tmp_path_factory.mktemp("tree")
    for number, name in enumerate(names):
        write(tmp_path / "photos" / f"{name}.d" / "x.jpg", pictures[6 + number % 3])
        write(tmp_path / "photos" / f"{name}.jpg", pictures[8])
    update_index(tmp_path / "whole", [str(tmp_path / "photos")], settings())

    places = in_parts(tmp_path, [str(tmp_path / "photos")], n_parts)
    merge_indexes(places, tmp_path / "merged")

    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    shutil.rmtree(tmp_path)


def test_a_part_lists_no_folder_of_another_part(tmp_path, photos, monkeypatch):
    listed = []
    real = os.scandir
    monkeypatch.setattr(
        "os.scandir", lambda path: (listed.append(os.fsencode(path)), real(path))[1]
    )

    update_index(tmp_path / "part", [str(photos)], settings(Part((1,), 3)))

    inside = [path for path in listed if path.startswith(os.fsencode(photos) + b"/")]
    prefix = len(os.fsencode(photos)) + 1
    assert inside and all(Part((1,), 3).holds_path(path[prefix:]) for path in inside)


def test_an_update_of_a_part_remembers_the_part(tmp_path, photos, pictures):
    places = in_parts(tmp_path, [str(photos)], 3)
    for number in range(30):
        write(photos / f"new{number}" / "1.jpg", pictures[number % 6])

    seen = [update_index(place, (), settings()).seen for place in places]
    update_index(tmp_path / "whole", [str(photos)], settings())
    merge_indexes(places, tmp_path / "merged")

    assert sum(seen) == len(opened(tmp_path / "whole"))
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


@pytest.mark.parametrize("first", [None, Part((2,), 3), Part((1,), 4)])
def test_an_index_of_another_part_is_not_changed(tmp_path, photos, first):
    update_index(tmp_path / "index", [str(photos)], settings(first))
    before = content(tmp_path / "index")

    with pytest.raises(UsageError, match="give each part an index folder of its own"):
        update_index(tmp_path / "index", [str(photos)], settings(Part((1,), 3)))

    assert content(tmp_path / "index") == before


def test_a_merged_index_is_updated_like_any_other(tmp_path, photos, pictures):
    merge_indexes(in_parts(tmp_path, [str(photos)], 4), tmp_path / "merged")
    unchanged = update_index(tmp_path / "merged", (), settings())
    write(photos / "f1" / "new.jpg", pictures[5])
    (photos / "f3" / "deep" / "3.jpg").unlink()

    changed = update_index(tmp_path / "merged", (), settings())

    assert (unchanged.hashed, unchanged.written) == (0, False)
    assert (changed.hashed, changed.removed) == (1, 1)
    update_index(tmp_path / "whole", [str(photos)], settings())
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_files_that_are_no_images_are_not_opened_again_after_a_merge(tmp_path, photos, monkeypatch):
    merge_indexes(in_parts(tmp_path, [str(photos)], 4), tmp_path / "merged")
    monkeypatch.setattr("imgdup.build.tally.sniff", lambda data: pytest.fail("it was opened"))

    update_index(tmp_path / "merged", (), settings())


def test_a_merge_without_some_parts_is_a_part(tmp_path, photos, pictures):
    places = in_parts(tmp_path, [str(photos)], 5)
    merged = merge_indexes(places[:2] + places[3:], tmp_path / "merged")

    assert merged.incomplete == [(os.fsencode(photos), "1-2,4-5/5")]
    assert update_index(tmp_path / "merged", (), settings()).written is False
    update_index(tmp_path / "whole", [str(photos)], settings())
    merge_indexes([tmp_path / "merged", places[2]], tmp_path / "all")
    assert content(tmp_path / "all") == content(tmp_path / "whole")


def test_indexes_of_different_folders_have_the_rows_of_a_dictionary_of_both(
    tmp_path, photos, pictures
):
    write(tmp_path / "other" / "1.jpg", pictures[4])
    write(tmp_path / "single.jpg", pictures[5])
    update_index(tmp_path / "a", [str(photos)], settings())
    update_index(
        tmp_path / "b", [str(tmp_path / "other"), str(tmp_path / "single.jpg")], settings()
    )

    merge_indexes([tmp_path / "b", tmp_path / "a"], tmp_path / "c")

    assert by_path(tmp_path / "c") == by_path(tmp_path / "a") | by_path(tmp_path / "b")
    assert check_structure_of(tmp_path / "c") == []


def check_structure_of(place):
    return list(check_structure(GenerationRows(opened(place))))


def test_a_folder_in_a_folder_and_a_file_in_it_join_its_rows(tmp_path, photos):
    update_index(tmp_path / "whole", [str(photos)], settings())
    update_index(tmp_path / "a", [str(photos)], settings())
    update_index(tmp_path / "b", [str(photos / "f1")], settings())
    update_index(tmp_path / "c", [str(photos / "f2" / "link.jpg")], settings())

    merged = merge_indexes([tmp_path / "c", tmp_path / "b", tmp_path / "a"], tmp_path / "d")

    assert merged.n_shared == len(opened(tmp_path / "b")) + 1
    assert by_path(tmp_path / "d") == by_path(tmp_path / "whole")
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_a_listed_file_outside_of_a_part_remains_a_listed_file(tmp_path, photos):
    here = next(p for p in (Part((1,), 2), Part((2,), 2)) if not p.holds(b"f2"))
    update_index(tmp_path / "a", [str(photos)], settings(here))
    update_index(tmp_path / "b", [str(photos / "f2" / "link.jpg")], settings())

    merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")

    assert by_path(tmp_path / "c") == by_path(tmp_path / "a") | by_path(tmp_path / "b")
    assert update_index(tmp_path / "c", (), settings()).removed == 0
    assert os.fsencode(photos / "f2" / "link.jpg") in by_path(tmp_path / "c")


def test_a_file_that_changed_between_two_indexes_is_named_and_nothing_is_written(
    tmp_path, photos, pictures
):
    update_index(tmp_path / "a", [str(photos)], settings())
    write(photos / "f3" / "deep" / "3.jpg", pictures[4])
    write(photos / "f-1" / "a.png", pictures[5])
    update_index(tmp_path / "b", [str(photos)], settings())

    with pytest.raises(ImgdupError) as caught:
        merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")

    assert str(caught.value) == (
        f"the content of {photos}/f-1/a.png (and 1 more) differs between {tmp_path}/b and "
        f"{tmp_path}/a: update both with imgdup index"
    )
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_content_the_row_of_the_latest_mtime_is_kept(tmp_path, photos, order):
    update_index(tmp_path / "a", [str(photos)], settings())
    file = photos / "f1" / "deep" / "12.jpg"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    update_index(tmp_path / "b", [str(photos)], settings())
    os.utime(file, (1_600_000_000, 1_600_000_000))
    update_index(tmp_path / "c", [str(photos)], settings())

    merge_indexes([tmp_path / name for name in "abc"[::order]], tmp_path / "merged")

    latest = max(by_path(tmp_path / name)[os.fsencode(file)][0][1] for name in "abc")
    assert by_path(tmp_path / "merged")[os.fsencode(file)][0][1] == latest


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_that_only_one_index_could_read_has_its_hash(tmp_path, photos, order, monkeypatch):
    update_index(tmp_path / "a", [str(photos)], settings())
    monkeypatch.setattr("imgdup.build.hash_batch.read_file", _unreadable)
    update_index(tmp_path / "b", [str(photos)], settings())

    merge_indexes([tmp_path / name for name in "ab"[::order]], tmp_path / "merged")

    assert by_path(tmp_path / "merged") == by_path(tmp_path / "a")


def _unreadable(path, limits):
    raise OSError(5, "Input/output error")


def test_indexes_of_different_hashes_are_refused(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings())
    update_index(tmp_path / "b", [str(photos)], settings(hasher="phash"))

    with pytest.raises(
        ImgdupError, match=r"a holds dhash 64 hashes, .*b phash 64: only indexes of"
    ):
        merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")

    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (OptionChanges(exclude=("f1",)), "--exclude GLOB"),
        (OptionChanges(hidden=True), "--hidden or --no-hidden"),
        (OptionChanges(follow_symlinks=True), "--follow-symlinks or --no-follow-symlinks"),
        (OptionChanges(part=Part((1,), 3)), "--part I/N"),
    ],
)
def test_a_folder_that_was_scanned_with_other_options_is_refused(tmp_path, photos, changes, words):
    update_index(tmp_path / "a", [str(photos)], settings())
    update_index(tmp_path / "b", [str(photos)], settings(changes=changes))

    with pytest.raises(
        ImgdupError, match=f"a different choice of {words} in .*b than in .*a: index it"
    ):
        merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_parts_of_two_divisions_are_refused(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings(Part((1,), 2)))
    update_index(tmp_path / "b", [str(photos)], settings(Part((2,), 3)))

    with pytest.raises(ImgdupError, match="a different choice of --part I/N"):
        merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_without_pdq_hashes_in_one_index_the_merged_one_has_none(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings(with_pdq=True))
    update_index(tmp_path / "b", [str(photos)], settings())

    merged = merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")

    assert merged.lacking == [(tmp_path / "b", "with_pdq")]
    assert content(tmp_path / "c") == content(tmp_path / "b")


def test_another_index_is_replaced_only_if_this_is_requested(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings())
    update_index(tmp_path / "c", [str(photos / "f1")], settings())
    before = content(tmp_path / "c")

    with pytest.raises(ImgdupError, match="c already holds an index: give another"):
        merge_indexes([tmp_path / "a"], tmp_path / "c")
    assert content(tmp_path / "c") == before

    merge_indexes([tmp_path / "a"], tmp_path / "c", replace=True)
    assert content(tmp_path / "c") == content(tmp_path / "a")


def test_an_index_may_be_merged_into_another_one(tmp_path, photos):
    update_index(tmp_path / "whole", [str(photos)], settings())
    one, other = in_parts(tmp_path, [str(photos)], 2)

    merge_indexes([one, other], one)

    assert content(one) == content(tmp_path / "whole")


def test_an_index_that_was_updated_during_the_merge_is_not_replaced(
    tmp_path, photos, pictures, monkeypatch
):
    one, other = in_parts(tmp_path, [str(photos)], 2)

    def update_and_fill(*args):
        monkeypatch.undo()
        for number in range(11):
            write(photos / f"f{number}" / "late.jpg", pictures[5])
        update_index(one, (), settings())
        return fill(*args)

    fill = imgdup.build.merge._fill
    monkeypatch.setattr(imgdup.build.merge, "_fill", update_and_fill)

    with pytest.raises(ImgdupError, match="was changed by another process in the meantime"):
        merge_indexes([one, other], one)

    assert any(path.endswith(b"late.jpg") for path in opened(one).paths)


def test_a_damaged_index_is_not_merged(tmp_path, photos):
    one, other = in_parts(tmp_path, [str(photos)], 2)
    file = opened(other).file
    start = file.read_bytes().rindex(opened(other).arrays["match"].tobytes()[:64])
    with file.open("r+b") as damaged:
        damaged.seek(start)
        damaged.write(b"\x99")

    with pytest.raises(ImgdupError, match="array 'match' is damaged"):
        merge_indexes([one, other], tmp_path / "c")


def test_files_of_two_machines_with_one_inode_number_remain_two_files(
    tmp_path, photos, monkeypatch
):
    places = in_parts(tmp_path, [str(photos)], 2)
    for place in places:
        _with_arrays(place, identity=np.full((len(opened(place)), 2), 7, np.uint64))

    merge_indexes(places, tmp_path / "merged")

    generation = opened(tmp_path / "merged")
    first = generation.arrays["same_file"]
    rows = np.flatnonzero(first >= 0)
    digest = generation.arrays["digest"]
    assert np.array_equal(digest[rows], digest[first[rows]])
    assert len(np.unique(digest, axis=0)) > 5


def test_hard_links_of_unknown_identity_remain_together(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings())
    _with_arrays(tmp_path / "a", identity=np.zeros((len(opened(tmp_path / "a")), 2), np.uint64))

    merge_indexes([tmp_path / "a"], tmp_path / "b")

    expected = opened(tmp_path / "a").arrays["same_file"]
    assert np.array_equal(opened(tmp_path / "b").arrays["same_file"], expected)
    assert (expected >= 0).sum() == 1


def _with_arrays(place, **changed):
    generation = opened(place)
    arrays = {name: np.array(array) for name, array in generation.arrays.items()} | changed
    store.save(generation.file, dict(generation.head), arrays)


def test_blocks_that_end_within_runs_give_the_same_file(tmp_path, photos, monkeypatch):
    update_index(tmp_path / "whole", [str(photos)], settings())
    places = in_parts(tmp_path, [str(photos)], 3)
    for module in (writing, imgdup.build.merge_table):
        monkeypatch.setattr(module, "BLOCK_ROWS", 3)

    merge_indexes([*places, places[0]], tmp_path / "merged")

    assert content(tmp_path / "merged") == content(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "replaced"])
def test_a_merge_killed_anywhere_leaves_the_old_index_or_none(tmp_path, photos, is_there):
    places = in_parts(tmp_path, [str(photos / "f1")], 2)
    target = tmp_path / "c"
    if is_there:
        update_index(target, [str(photos / "f2")], settings())
    old = content(target) if is_there else None
    merge_indexes(places, tmp_path / "right")
    new = content(tmp_path / "right")
    if is_there:
        shutil.copytree(target, tmp_path / "before")

    def action():
        merge_indexes(places, target, replace=True)

    def after():
        found = content(target) if folder.is_index(target) else None
        assert found in (old, new)
        shutil.rmtree(target, ignore_errors=True)
        if is_there:
            shutil.copytree(tmp_path / "before", target)

    modules = [imgdup.build.merge, imgdup.build.merge_table, writing, store, folder]
    assert kill_at_every_line(action, after, modules, stride=41) > 100


def test_a_merge_after_a_killed_one_removes_what_that_left(tmp_path, photos):
    places = in_parts(tmp_path, [str(photos)], 2)
    (tmp_path / "c" / "parts").mkdir(parents=True)
    (tmp_path / "c" / "index.1.01234567.tmp").write_bytes(b"half")

    merge_indexes(places, tmp_path / "c")

    assert sorted(path.name for path in (tmp_path / "c").glob("index*")) == ["index.1"]


def test_chosen_rows_are_an_index_with_the_same_roots(tmp_path, photos):
    update_index(tmp_path / "a", [str(photos)], settings())
    rows = np.arange(0, len(opened(tmp_path / "a")), 3)
    paths = [opened(tmp_path / "a").paths[row] for row in rows]

    select_rows(tmp_path / "a", rows, tmp_path / "b")

    facts = by_path(tmp_path / "a")
    assert by_path(tmp_path / "b") == {path: facts[path] for path in paths}
    assert opened(tmp_path / "b").roots == opened(tmp_path / "a").roots
    assert check_structure_of(tmp_path / "b") == []


@pytest.fixture
def archives(tmp_path, pictures):
    """Two folders, each with a zip file of one picture and some texts."""
    for number, name in enumerate(["first", "second"], 2):
        texts = {f"{i}.txt": b"no picture" for i in range(number)}
        place = tmp_path / name / "a.zip"
        place.parent.mkdir()
        with zipfile.ZipFile(place, "w") as archive:
            for member, data in {"1.jpg": pictures[0], **texts}.items():
                archive.writestr(member, data)
        os.utime(place, (1_600_000_000, 1_600_000_000))
    return [tmp_path / "first", tmp_path / "second"]


def test_members_that_are_no_pictures_are_still_counted_after_a_merge(tmp_path, archives):
    changes = OptionChanges(containers=True)
    places = [tmp_path / "a", tmp_path / "b"]
    for place, source in zip(places, archives, strict=True):
        update_index(place, [str(source)], settings(changes=changes))

    merge_indexes(places, tmp_path / "merged")
    found = update_index(tmp_path / "merged", (), settings())

    assert (found.hashed, found.unchanged, found.ignored) == (0, 2, 5)


def test_members_that_are_no_pictures_are_still_counted_of_chosen_rows(tmp_path, archives):
    names = [str(source) for source in archives]
    update_index(tmp_path / "a", names, settings(changes=OptionChanges(containers=True)))

    select_rows(tmp_path / "a", np.arange(2), tmp_path / "b")
    found = update_index(tmp_path / "b", (), settings())

    assert (found.hashed, found.unchanged, found.ignored) == (0, 2, 5)
