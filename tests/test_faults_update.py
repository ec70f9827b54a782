"""Faults while an index is updated; the numbers are those of the list of faults.

Cases that concern a single file of the index stand in test_faults_index.py, those of single
images in test_faults_files.py.
"""

import os
import shutil
import time

import numpy as np
import pytest
from make_sample import encode, photo

from imgdup import ImageIndex, atomic, folder, indexing, store
from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.executors import inline
from imgdup.indexing import assembly, update_index
from imgdup.indexing.run import Settings
from kill_every_line import kill_at_every_line

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork or file limits of POSIX")

INLINE = Settings(workers=1, engine=inline)
# Lines from kill to kill: an update runs through about 6,000. IMGDUP_FUZZ=1 tries each.
STRIDE = 1 if os.environ.get("IMGDUP_FUZZ") else 61
LONG_AGO = 1_600_000_000


def paint(path, seed):
    path.write_bytes(encode(photo(seed, 120, 90), ".jpg"))
    os.utime(path, (LONG_AGO, LONG_AGO + seed))


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        paint(tmp_path / "photos" / f"p{seed}.jpg", seed)
    return tmp_path / "photos"


@pytest.fixture
def place(photos, tmp_path, monkeypatch):
    """An index of three photos, one of which has changed since."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # what it is for is tested with the store
    update_index(tmp_path / "index", [str(photos)], INLINE)
    paint(photos / "p1.jpg", 10)
    return tmp_path / "index"


def widths_and_hashes(place):
    index = ImageIndex.open(place)
    return [int(value) for value in index.column("hashes")[:, 0]]


def test_case_56_killed_at_every_line_of_an_update_the_index_is_old_or_new(place, tmp_path):
    saved = tmp_path / "saved"
    shutil.copytree(place, saved)
    old = widths_and_hashes(place)
    update_index(place, (), INLINE)
    new = widths_and_hashes(place)
    seen = []

    def restore():
        if place.exists():
            shutil.rmtree(place)
        shutil.copytree(saved, place)

    def after():
        seen.append(widths_and_hashes(place))
        outcome = update_index(place, (), INLINE)
        assert widths_and_hashes(place) == new
        assert outcome.failed == 0
        assert sorted(os.listdir(place / "parts")) == []
        restore()

    restore()
    modules = [assembly, indexing, folder, store, atomic]
    n_deaths = kill_at_every_line(
        lambda: update_index(place, (), INLINE), after, modules, stride=STRIDE
    )

    assert n_deaths > 50
    assert all(hashes in (old, new) for hashes in seen)
    assert seen[0] == old
    assert seen[-1] == new


@pytest.mark.parametrize("limit", [0, 100, 5000, 20_000])
def test_case_58_no_room_leaves_the_old_index_and_names_the_bytes_needed(place, limit):
    import resource
    import signal

    old = widths_and_hashes(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ImgdupError, match="bytes"):
            update_index(place, (), INLINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert widths_and_hashes(place) == old
    assert update_index(place, (), INLINE).hashed == 1


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("class_rows", lambda a: a + 1000),
        ("class_rows", lambda a: a - 1000),
        ("path_offsets", lambda a: a[::-1].copy()),
        ("path_offsets", lambda a: a + np.uint64(2**40)),
        ("run_roots", lambda a: a + 7),
        ("class_offsets", lambda a: a + 1000),
    ],
)
def test_case_69_forged_numbers_give_an_error_or_nothing_at_use(place, photos, name, forge):
    generation = ImageIndex.open(place).generation
    arrays = {key: np.array(value) for key, value in generation.arrays.items()}
    arrays[name] = forge(arrays[name])
    store.save(generation.file, dict(generation.head), arrays)

    try:
        matches = ImageIndex.open(place).within(photos / "p0.jpg", 64)
    except IndexFormatError as error:
        assert "index again" in str(error) or "imgdup index" in str(error)
    else:
        assert all(0 <= match.row < 3 for match in matches)


def test_case_75_changed_added_and_removed_files_are_seen(place, photos):
    paint(photos / "new.jpg", 20)
    (photos / "p2.jpg").unlink()

    outcome = update_index(place, (), INLINE)

    assert (outcome.hashed, outcome.unchanged, outcome.removed) == (2, 1, 1)


def test_case_76_a_moved_data_set_is_said_to_be_gone(place, photos):
    photos.rename(photos.with_name("moved"))

    with pytest.raises(ImgdupError, match="not mounted"):
        update_index(place, (), INLINE)


def test_case_79_an_mtime_in_the_future_is_settled_by_the_content(place, photos):
    future = time.time() + 10_000
    os.utime(photos / "p0.jpg", (future, future))
    update_index(place, (), INLINE)
    facts = (photos / "p0.jpg").stat()
    paint(photos / "p0.jpg", 30)
    data = (photos / "p0.jpg").read_bytes()
    (photos / "p0.jpg").write_bytes(data[: facts.st_size].ljust(facts.st_size, b"\0"))
    os.utime(photos / "p0.jpg", ns=(facts.st_atime_ns, facts.st_mtime_ns))

    outcome = update_index(place, (), INLINE)

    assert outcome.unchanged == 2
    assert outcome.hashed + outcome.failed == 1
