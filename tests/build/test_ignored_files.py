"""Files that are no images are opened once, and again only when they changed."""

import builtins
import os
import time

import numpy as np
import pytest
from hypothesis import given, strategies as st
from make_sample import encode, photo

from imgdup.build.known import IgnoredFiles, load_known
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

INLINE = Settings(workers=1, engine=inline)
NOW = 2_000_000_000 * 10**9
FILES = st.tuples(
    st.sampled_from([b"/a", b"/b"]), st.binary(max_size=2), st.integers(0, 3), st.integers(0, 3)
)


@given(st.sets(FILES, max_size=8), st.sets(FILES, max_size=8))
def test_files_are_known_by_root_name_size_and_time(known, asked):
    first = IgnoredFiles(scanned_ns=NOW)
    for file in known:
        first.add(*file)
    keys = np.unique(np.array(first._found, np.uint64))

    second = IgnoredFiles(keys, scanned_ns=NOW)

    assert {file for file in asked if second.holds(*file)} == known & asked


def make(folder, names):
    """Labels beside a picture, an hour old."""
    folder.mkdir(exist_ok=True)
    (folder / "p.jpg").write_bytes(encode(photo(1, 120, 90), ".jpg"))
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"label of {name}")
    then = time.time() - 3600
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


@pytest.fixture
def labels(tmp_path):
    make(tmp_path / "data", [*(f"{i:03}.txt" for i in range(30)), "sub/x.txt", "sub/y.txt"])
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that the walk opens."""
    names = []
    real = builtins.open

    def spy(path, *arguments, **options):
        names.append(os.path.basename(os.fsdecode(path)))
        return real(path, *arguments, **options)

    monkeypatch.setattr("imgdup.build.tally.open", spy, raising=False)
    return names


def run(place, named, opened):
    opened.clear()
    outcome = update_index(place, [str(path) for path in named], INLINE)
    return len(opened), outcome.ignored, outcome.written


def test_an_unchanged_update_opens_nothing(labels, tmp_path, opened):
    place = tmp_path / "index"

    runs = [run(place, [labels], opened), run(place, [], opened), run(place, [labels], opened)]

    assert runs == [(32, 32, True), (0, 32, False), (0, 32, False)]
    assert (place / "ignored").stat().st_size < 10_000


def test_only_what_changed_is_opened_and_an_image_is_found(labels, tmp_path, opened):
    place = tmp_path / "index"
    update_index(place, [str(labels)], INLINE)
    (labels / "000.txt").write_text("a longer label than before")
    (labels / "001.txt").write_bytes(encode(photo(2, 120, 90), ".png"))
    (labels / "new.txt").write_text("new")
    opened.clear()

    outcome = update_index(place, (), INLINE)

    assert sorted(opened) == ["000.txt", "001.txt", "new.txt"]
    assert (outcome.hashed, outcome.ignored) == (1, 32)


def test_what_changed_just_now_is_not_remembered(labels, tmp_path, opened):
    place = tmp_path / "index"
    os.utime(labels / "000.txt")
    update_index(place, [str(labels)], INLINE)

    assert run(place, [], opened)[0] == 1


def test_a_scan_of_a_part_forgets_nothing_and_a_whole_one_what_is_missing(labels, tmp_path, opened):
    place = tmp_path / "index"
    update_index(place, [str(labels)], INLINE)

    assert run(place, [labels / "sub"], opened)[0] == 0
    assert run(place, [], opened)[0] == 0
    for path in labels.glob("0*.txt"):
        path.unlink()
    run(place, [], opened)
    assert len(load_known(place)[0]) == 2


def test_a_renamed_folder_with_its_index_opens_nothing(labels, tmp_path, opened):
    update_index(labels / ".imgdup", [str(labels)], INLINE)
    moved = labels.rename(tmp_path / "moved")

    assert run(moved / ".imgdup", [], opened)[0] == 0


@pytest.mark.parametrize("damage", [lambda data: b"nonsense", lambda data: data[:-1] + b"\1"])
def test_a_damaged_list_is_made_again(labels, tmp_path, opened, caplog, damage):
    place = tmp_path / "index"
    update_index(place, [str(labels)], INLINE)
    (place / "ignored").write_bytes(damage((place / "ignored").read_bytes()))

    first, second = run(place, [], opened), run(place, [], opened)

    assert (first[0], second[0]) == (32, 0)
    assert "opened again" in caplog.text


def test_a_file_that_could_not_be_opened_is_tried_again(labels, tmp_path, opened, monkeypatch):
    place = tmp_path / "index"
    real = builtins.open

    def refuse(path, *arguments, **options):
        if os.fsdecode(path).endswith("000.txt"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("imgdup.build.tally.open", refuse, raising=False)
        update_index(place, [str(labels)], INLINE)

    assert run(place, [], opened)[0] == 1
