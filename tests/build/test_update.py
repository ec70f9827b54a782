"""Indexing: build, update and resume are one call, and lose nothing.

Most tests work in this process (`inline`), because what they are about is the listing; the pool
has tests of its own. Files get an mtime of an hour ago, so that no clock tick is in doubt.
"""

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from make_sample import encode, photo

from encoded import painted
from imgdup import cli, hash_image
from imgdup.api.index import ImageIndex
from imgdup.build import read as reading
from imgdup.build.checkpoints import Checkpoints
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import forget, update_index
from imgdup.errors import ImageError, ImgdupError, LockedError, UsageError
from imgdup.images import decode as decoding
from imgdup.index import folder
from imgdup.system import files
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, decoding_setup, inline

AN_HOUR = 3600
JUST_NOW = -30  # in the future, so that a slow machine is still in time; see `a_minute_later`

needs_links = pytest.mark.skipif(os.name == "nt", reason="needs links of POSIX")


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def paint(path, seed, suffix=".jpg"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(painted(seed, 160, 120, suffix))
    age(path)


def overwrite(path):
    """Write another picture of equal size and time."""
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def age(path, seconds=AN_HOUR):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def photos(tmp_path):
    for seed in range(6):
        paint(tmp_path / "photos" / f"p{seed}.jpg", seed)
    return tmp_path / "photos"


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def opened(monkeypatch):
    """Counts how often each file is read."""
    counts = Counter()
    real = files.read_file

    def read_file(path, limits):
        counts[os.path.basename(os.fsdecode(path))] += 1
        return real(path, limits)

    monkeypatch.setattr("imgdup.build.hash_batch.read_file", read_file)
    return counts


def counts(outcome):
    return (outcome.seen, outcome.hashed, outcome.unchanged, outcome.failed, outcome.removed)


def close(monkeypatch, name):
    """Let folders of this name be unlistable."""
    real = os.scandir

    def scandir(path):
        if os.fsdecode(path).endswith(name):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def generation_bytes(place):
    current = folder.read_current(place)
    return folder.generation_path(place, current.generation).read_bytes()


def paths(place):
    index = ImageIndex.open(place).rows
    return [os.path.basename(index.path(row)).decode() for row in range(len(index))]


def test_every_image_gets_its_facts(photos, place):
    outcome = update_index(place, [str(photos)], settings())

    index = ImageIndex.open(place).rows
    assert counts(outcome) == (6, 6, 0, 0, 0)
    assert paths(place) == [f"p{seed}.jpg" for seed in range(6)]
    assert index.column("width").tolist() == [160] * 6
    assert index.column("height").tolist() == [120] * 6
    assert index.column("size").tolist() == [p.stat().st_size for p in sorted(photos.iterdir())]
    assert index.column("digest")[0].tobytes() == files.content_digest(
        (photos / "p0.jpg").read_bytes(), "blake3"
    )
    assert (index.column("quality") >= 50).all()


def test_nothing_changed_is_nothing_written(photos, place):
    update_index(place, [str(photos)], settings())
    before = {name: (place / name).stat() for name in ("current", "index.1")}

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (6, 0, 6, 0, 0)
    assert not outcome.written
    assert {name: (place / name).stat().st_mtime_ns for name in before} == {
        name: facts.st_mtime_ns for name, facts in before.items()
    }
    assert sorted(os.listdir(place)) == ["current", "index.1", "lock", "parts"]


def test_an_update_reads_only_what_is_new_or_changed(photos, place, opened):
    update_index(place, [str(photos)], settings())
    opened.clear()
    paint(photos / "new.jpg", 10)
    paint(photos / "p1.jpg", 11, ".png")
    (photos / "p2.jpg").unlink()

    outcome = update_index(place, [str(photos)], settings())

    assert counts(outcome) == (6, 2, 4, 0, 1)
    assert opened == {"new.jpg": 1, "p1.jpg": 1}
    assert paths(place) == ["new.jpg", "p0.jpg", "p1.jpg", "p3.jpg", "p4.jpg", "p5.jpg"]


def test_an_updated_index_equals_a_fresh_one(photos, place, tmp_path):
    update_index(place, [str(photos)], settings())
    paint(photos / "sub" / "new.jpg", 10)
    (photos / "p3.jpg").unlink()
    paint(photos / "p0.jpg", 12)

    update_index(place, (), settings())
    update_index(tmp_path / "fresh", [str(photos)], settings())

    assert generation_bytes(place) == generation_bytes(tmp_path / "fresh")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_generation_does_not_depend_on_the_number_of_workers(photos, place, tmp_path, workers):
    update_index(place, [str(photos)], settings())

    update_index(tmp_path / "other", [str(photos)], Settings(workers=workers))

    assert generation_bytes(tmp_path / "other") == generation_bytes(place)


def test_a_file_that_may_have_changed_within_a_clock_tick_is_read_but_not_decoded(
    photos, place, opened, monkeypatch
):
    age(photos / "p0.jpg", seconds=-AN_HOUR)
    update_index(place, [str(photos)], settings())
    opened.clear()
    monkeypatch.setattr("imgdup.build.hash_batch.decode", None)

    outcome = update_index(place, (), settings())

    assert opened == {"p0.jpg": 1}
    assert counts(outcome) == (6, 0, 6, 0, 0)
    assert not outcome.written


def test_new_bytes_under_an_old_mtime_in_doubt_are_found(photos, place):
    file = photos / "p0.jpg"
    age(file, seconds=-AN_HOUR)
    update_index(place, [str(photos)], settings())
    overwrite(file)

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (6, 1, 5, 0, 0)


@contextlib.contextmanager
def a_minute_later(monkeypatch):
    now = time.time_ns()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now + 60 * 10**9)
        yield


def test_what_a_run_did_not_look_at_remains_in_doubt(photos, place, monkeypatch):
    files = [photos / "p0.jpg", photos / "p1.jpg"]
    age(files[0], seconds=JUST_NOW)
    update_index(place, [str(file) for file in files], settings())
    overwrite(files[0])
    with a_minute_later(monkeypatch):
        update_index(place, [str(photos / "p2.jpg")], settings())

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (3, 1, 2, 0, 0)


def test_what_could_not_be_listed_remains_in_doubt(photos, place, monkeypatch):
    closed = photos / "closed" / "c.jpg"
    paint(closed, 80)
    age(closed, seconds=JUST_NOW)
    update_index(place, [str(photos)], settings())
    overwrite(closed)
    paint(photos / "new.jpg", 81)
    with a_minute_later(monkeypatch), monkeypatch.context() as patch:
        close(patch, "closed")
        update_index(place, (), settings())

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (8, 1, 7, 0, 0)


def test_a_doubt_that_was_settled_is_settled_for_good(photos, place, opened, monkeypatch):
    age(photos / "p0.jpg", seconds=JUST_NOW)
    update_index(place, [str(photos)], settings())
    with a_minute_later(monkeypatch):
        update_index(place, (), settings())
    opened.clear()

    outcome = update_index(place, (), settings())

    assert opened == {}
    assert outcome.generation == 1


def test_failures_are_listed_once_and_not_read_again_until_they_change(photos, place, opened):
    (photos / "bad.jpg").write_bytes(b"no image at all")
    age(photos / "bad.jpg")

    first = update_index(place, [str(photos)], settings())
    opened.clear()
    second = update_index(place, (), settings())
    paint(photos / "bad.jpg", 20)
    third = update_index(place, (), settings())

    assert [(f.reason, f.known) for f in first.failures] == [("not-an-image", False)]
    assert [(f.reason, f.known) for f in second.failures] == [("not-an-image", True)]
    assert second.n_new_failures == 0
    assert opened == {"bad.jpg": 1}
    assert counts(first) == (7, 6, 0, 1, 0)
    assert counts(second) == (7, 0, 6, 1, 0)
    assert counts(third) == (7, 1, 6, 0, 0)


def test_known_failures_are_read_again_on_request(photos, place, opened):
    def run(max_pixels, retry_failed):
        opened.clear()
        chosen = settings(limits=Limits(max_pixels), retry_failed=retry_failed)
        outcome = update_index(place, [str(photos)], chosen)
        return outcome.failed, outcome.n_new_failures, sum(opened.values())

    runs = [(1000, False), (9999, False), (9999, True), (160 * 120, False), (160 * 120, True)]
    found = [run(*options) for options in [*runs, (1000, True)]]

    assert found == [
        (6, 6, 6), (6, 0, 0), (6, 0, 6), (6, 0, 0), (0, 0, 6), (0, 0, 0),
    ]  # fmt: skip


def test_failures_of_an_interrupted_run_are_read_again_on_request(photos, place, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt_after(patch, 3)
        update_index(place, [str(photos)], settings(limits=Limits(1000)))

    outcome = update_index(place, [str(photos)], settings(retry_failed=True))

    assert counts(outcome) == (6, 6, 0, 0, 0)


def test_an_unreadable_file_is_tried_again_but_fails_only_once(photos, place, monkeypatch):
    real = files.read_file

    def read_file(path, limits):
        if path.endswith(b"p0.jpg"):
            raise ImageError("unreadable", "Permission denied")
        return real(path, limits)

    monkeypatch.setattr("imgdup.build.hash_batch.read_file", read_file)
    first = update_index(place, [str(photos)], settings())
    second = update_index(place, (), settings())
    monkeypatch.setattr("imgdup.build.hash_batch.read_file", real)
    third = update_index(place, (), settings())

    assert (first.n_new_failures, second.n_new_failures) == (1, 0)
    assert not second.written
    assert counts(third) == (6, 1, 5, 0, 0)


def test_a_file_that_vanishes_before_it_is_read_is_no_row(photos, place, monkeypatch):
    real = files.read_file

    def read_file(path, limits):
        if path.endswith(b"p0.jpg"):
            (photos / "p0.jpg").unlink(missing_ok=True)
        return real(path, limits)

    monkeypatch.setattr("imgdup.build.hash_batch.read_file", read_file)

    outcome = update_index(place, [str(photos)], settings())

    assert [(f.path.rpartition(b"/")[2], f.reason) for f in outcome.failures] == [
        (b"p0.jpg", "missing")
    ]
    assert paths(place) == [f"p{seed}.jpg" for seed in range(1, 6)]


def test_a_fault_nobody_foresaw_is_the_answer_of_that_file_alone(photos, place, monkeypatch):
    real = decoding.decode

    def decode(data, limits, **options):
        if data == (photos / "p3.jpg").read_bytes():
            raise ZeroDivisionError("of the decoder")
        return real(data, limits, **options)

    monkeypatch.setattr("imgdup.build.hash_batch.decode", decode)

    outcome = update_index(place, [str(photos)], settings())

    assert counts(outcome) == (6, 5, 0, 1, 0)
    assert outcome.failures[0].detail == "ZeroDivisionError: of the decoder"


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def interrupt_after(monkeypatch, n_noted):
    """Let the run end abruptly when so many batches have been noted."""
    from imgdup.build import read as reading

    real, noted = reading._note, []

    def note(*args):
        real(*args)
        noted.append(1)
        if len(noted) == n_noted:
            raise Killed

    monkeypatch.setattr(reading, "_note", note)
    monkeypatch.setattr(reading, "MAX_BATCH_FILES", 1)


def n_checkpointed(place):
    kinds = {"digest_kind": "blake3", "with_pdq": 0, "with_trimmed": 1}
    parameters = {"hash": "dhash", "bits": 64, "parameters": 1, **kinds}
    n_rows = len(list(Checkpoints(place / "parts", parameters).rows()))
    assert n_rows > 0
    return n_rows


@pytest.mark.parametrize("n_noted", [1, 3, 6])
def test_an_interrupted_run_resumes_with_other_workers_and_new_files(
    photos, place, tmp_path, opened, monkeypatch, n_noted
):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt_after(patch, n_noted)
        update_index(place, [str(photos)], settings())
    n_kept = n_checkpointed(place)
    opened.clear()
    paint(photos / "a-new.jpg", 30)

    outcome = update_index(place, [str(photos)], settings())
    update_index(tmp_path / "undisturbed", [str(photos)], Settings(workers=2))

    assert sum(opened.values()) == 7 - n_kept
    assert counts(outcome) == (7, 7, 0, 0, 0)
    assert generation_bytes(place) == generation_bytes(tmp_path / "undisturbed")
    assert list((place / "parts").iterdir()) == []


def test_files_whose_checkpoint_is_damaged_are_read_again(photos, place, opened, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt_after(patch, 3)
        update_index(place, [str(photos)], settings())
    n_kept = n_checkpointed(place) - 1
    (part,) = (place / "parts").iterdir()
    data = bytearray(part.read_bytes())
    data[-1] ^= 255
    part.write_bytes(data)
    opened.clear()

    outcome = update_index(place, [str(photos)], settings())

    assert sum(opened.values()) == 6 - n_kept
    assert outcome.hashed == 6


def test_checkpoints_of_another_hash_do_not_count(photos, place, opened, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt_after(patch, 3)
        update_index(place, [str(photos)], settings())
    opened.clear()

    update_index(place, [str(photos)], settings(hasher="phash"))

    assert sum(opened.values()) == 6


def test_other_hash_parameters_are_refused_with_both_named(photos, place):
    update_index(place, [str(photos)], settings())

    with pytest.raises(ImgdupError, match=r"dhash 64 .* not phash 64"):
        update_index(place, (), settings(hasher="phash"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hasher": "nope"}, "no hash 'nope'; there are: dhash, ahash, phash, pdq"),
        ({"bits": 128}, "dhash of 128 bits does not exist; choose 64 or 256 bits"),
        ({"hasher": "pdq", "bits": 64}, "pdq of 64 bits does not exist; choose 256 bits"),
    ],
)
def test_a_hash_that_is_not_made_is_refused_before_anything_is(photos, place, options, words):
    with pytest.raises(UsageError, match=words):
        update_index(place, [str(photos)], settings(**options))

    assert not place.exists()


def test_no_workers_are_refused():
    with pytest.raises(UsageError, match="workers must be at least 1, or None for all, got 0"):
        Settings(workers=0)


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan"), 1 << 63])
def test_limits_that_cannot_be_are_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} must be above 0 and at most .* got {value}"):
        Limits(**{name: value})


def test_a_folder_in_a_root_means_that_part_only(photos, place):
    paint(photos / "sub" / "s.jpg", 40)
    update_index(place, [str(photos)], settings())
    (photos / "p0.jpg").unlink()
    paint(photos / "sub" / "t.jpg", 41)

    outcome = update_index(place, [str(photos / "sub")], settings())

    assert counts(outcome) == (2, 1, 1, 0, 0)
    assert "p0.jpg" in paths(place)
    assert ImageIndex.open(place).rows.roots == [os.fsencode(os.path.realpath(photos))]


def test_a_folder_that_holds_a_root_replaces_it(photos, place, opened):
    update_index(place, [str(photos)], settings())
    opened.clear()

    outcome = update_index(place, [str(photos.parent)], settings())

    assert counts(outcome) == (6, 0, 6, 0, 0)
    assert opened == {}
    assert ImageIndex.open(place).rows.roots == [os.fsencode(os.path.realpath(photos.parent))]


def test_several_roots_nested_and_named_twice_give_each_file_once(photos, place, tmp_path):
    paint(tmp_path / "more" / "m.jpg", 50)

    outcome = update_index(
        place,
        [str(photos), str(photos / ".." / "photos"), str(tmp_path / "more"), str(photos)],
        settings(),
    )

    assert outcome.seen == 7
    assert len(ImageIndex.open(place).rows.roots) == 2


def test_single_files_are_remembered_and_rescanned(photos, place, tmp_path):
    files = [str(photos / "p1.jpg"), str(photos / "p0.jpg")]
    update_index(place, files, settings())
    paint(photos / "p0.jpg", 60)

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (2, 1, 1, 0, 0)
    assert paths(place) == ["p0.jpg", "p1.jpg"]


def test_single_files_and_folders_live_together(photos, place, tmp_path):
    paint(tmp_path / "a-file.jpg", 70)
    paint(tmp_path / "z-file.jpg", 71)
    update_index(place, [str(tmp_path / "z-file.jpg"), str(tmp_path / "a-file.jpg")], settings())

    update_index(place, [str(photos)], settings())
    outcome = update_index(place, (), settings())

    assert paths(place) == ["a-file.jpg", *(f"p{i}.jpg" for i in range(6)), "z-file.jpg"]
    assert counts(outcome) == (8, 0, 8, 0, 0)


def test_forget_removes_one_root(photos, place, tmp_path):
    paint(tmp_path / "more" / "m.jpg", 50)
    update_index(place, [str(photos), str(tmp_path / "more")], settings())

    outcome = forget(place, str(photos))

    assert outcome.removed == 6
    assert paths(place) == ["m.jpg"]


def test_forget_removes_a_root_beside_single_files(photos, place, tmp_path):
    paint(tmp_path / "one.jpg", 50)
    update_index(place, [str(tmp_path / "one.jpg"), str(photos)], settings())

    outcome = forget(place, str(photos))

    assert outcome.removed == 6
    assert paths(place) == ["one.jpg"]


def test_forget_removes_a_single_file(photos, place, tmp_path):
    for name in ("one.jpg", "two.jpg"):
        paint(tmp_path / name, 50)
    update_index(place, [str(tmp_path / "one.jpg"), str(tmp_path / "two.jpg")], settings())

    outcome = forget(place, str(tmp_path / "one.jpg"))

    assert outcome.removed == 1
    assert paths(place) == ["two.jpg"]


def test_an_index_without_folders_is_an_error_that_names_the_remedy(photos, place):
    update_index(place, [str(photos)], settings())
    forget(place, str(photos))

    with pytest.raises(ImgdupError, match="has no folders: name one"):
        update_index(place, (), settings())


def test_a_row_of_an_inner_root_is_kept_where_the_outer_one_cannot_be_listed(
    photos, place, monkeypatch
):
    paint(photos / "closed" / "c.jpg", 80)
    update_index(place, [str(photos / "closed")], settings())
    close(monkeypatch, "closed")

    outcome = update_index(place, [str(photos)], settings())

    assert outcome.removed == 0
    assert "c.jpg" in paths(place)


def test_forget_of_no_root_names_the_roots(photos, place):
    update_index(place, [str(photos)], settings())

    with pytest.raises(
        UsageError, match=r"not an indexed folder; the indexed folders are: .*photos"
    ):
        forget(place, str(photos / "p0.jpg"))


def test_a_missing_root_changes_nothing(photos, place):
    update_index(place, [str(photos)], settings())
    before = generation_bytes(place)
    photos.rename(photos.with_name("unplugged"))

    with pytest.raises(ImgdupError, match="is a drive not mounted"):
        update_index(place, (), settings())

    assert generation_bytes(place) == before


@pytest.mark.parametrize("name", ["photos", "photos/sub", "photos/sub/s.jpg", "one.jpg"])
def test_a_named_path_that_is_missing_but_indexed_is_a_loss_that_can_be_allowed(
    photos, place, tmp_path, name
):
    paint(photos / "sub" / "s.jpg", 40)
    paint(tmp_path / "one.jpg", 41)
    update_index(place, [str(photos), str(tmp_path / "one.jpg")], settings())
    (tmp_path / name).rename(tmp_path / "elsewhere")
    n_gone = {"photos": 7}.get(name, 1)

    with pytest.raises(ImgdupError, match="is a drive not mounted") as raised:
        update_index(place, [str(tmp_path / name)], settings())
    outcome = update_index(place, [str(tmp_path / name)], settings(allow_removals=True))

    assert raised.value.exit_code == 1
    assert outcome.removed == n_gone
    assert len(ImageIndex.open(place)) == 8 - n_gone


def test_a_listed_file_that_is_missing_is_removed_from_the_index(photos, place):
    listed = [str(file) for file in sorted(photos.iterdir())]
    update_index(place, listed, settings())
    (photos / "p3.jpg").unlink()

    outcome = update_index(place, listed, settings())

    assert counts(outcome) == (5, 0, 5, 0, 1)


def test_a_path_that_never_was_is_a_usage_error_also_in_a_root(photos, place):
    update_index(place, [str(photos)], settings())

    with pytest.raises(UsageError, match="no such file or folder"):
        update_index(place, [str(photos / "typo")], settings())


def test_a_root_that_lost_everything_changes_nothing_unless_it_may(photos, place):
    update_index(place, [str(photos)], settings())
    for file in photos.iterdir():
        file.unlink()

    with pytest.raises(ImgdupError, match="--allow-removals"):
        update_index(place, (), settings())
    outcome = update_index(place, (), settings(allow_removals=True))

    assert outcome.removed == 6
    assert paths(place) == []


@pytest.mark.parametrize("n_new", [1, 200])
def test_new_files_do_not_make_up_for_the_loss_of_all_old_ones(photos, place, n_new):
    update_index(place, [str(photos)], settings())
    for file in photos.iterdir():
        file.unlink()
    for seed in range(n_new):
        paint(photos / f"new{seed}.jpg", 50)

    with pytest.raises(ImgdupError, match="6 of 6 indexed files are gone"):
        update_index(place, (), settings())


def mode_of(place):
    current = folder.read_current(place)
    return folder.generation_path(place, current.generation).stat().st_mode & 0o777


@pytest.mark.skipif(os.name == "nt", reason="needs permissions of POSIX")
def test_the_index_gets_the_permissions_of_the_most_private_picture(photos, place):
    paint(photos / "sub" / "s.jpg", 41)
    umask = os.umask(0o022)
    try:
        for picture in photos.rglob("*.jpg"):
            picture.chmod(0o644)
        update_index(place, [str(photos)], settings())
        modes = [mode_of(place)]
        (photos / "p3.jpg").chmod(0o600)
        outcome = update_index(place, (), settings())
        modes.append(mode_of(place))
        paint(photos / "sub" / "new.jpg", 42)
        update_index(place, [str(photos / "sub")], settings())
        modes.append(mode_of(place))
    finally:
        os.umask(umask)

    assert not outcome.written
    assert modes == [0o644, 0o600, 0o600]


def test_half_of_two_drives_below_one_root_is_missed(tmp_path, place):
    data = encode(photo(1, 160, 120), ".jpg")
    for i in range(32):
        path = tmp_path / "drives" / ("first" if i < 20 else "second") / f"{i:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    update_index(place, [str(tmp_path / "drives")], settings())
    for file in (tmp_path / "drives" / "second").iterdir():
        file.unlink()

    with pytest.raises(ImgdupError, match=r"drives/second: 12 of 12 indexed files are gone"):
        update_index(place, (), settings())
    outcome = update_index(place, (), settings(allow_removals=True))

    assert counts(outcome) == (20, 0, 20, 0, 12)


def test_a_picture_of_another_format_is_listed_as_unsupported_and_fails_if_it_is_named(
    photos, place, tmp_path, capsys
):
    picture, errors = photos / "lamp.exr", tmp_path / "errors.jsonl"
    picture.write_bytes(b"\x76\x2f\x31\x01" + bytes(60))
    chosen = ["--index", str(place), "--workers", "1", "--errors", str(errors)]

    in_folder = cli.main(["index", str(photos), *chosen])
    listed = json.loads(errors.read_text())
    by_itself = cli.main(["index", str(picture), "--index", str(tmp_path / "other"), *chosen[2:]])
    named = json.loads(errors.read_text())

    assert (in_folder, by_itself) == (0, 3)
    assert listed == {
        "path": str(picture), "reason": "unsupported", "detail": "OpenEXR is not decoded; ignored",
    }  # fmt: skip
    assert (named["path"], named["reason"]) == (str(picture), "unsupported")


def test_files_that_an_interrupted_removal_set_aside_are_named(photos, place, capsys):
    aside = photos / ".imgdup-00ff-3.aside"
    (photos / "p0.jpg").rename(aside)

    outcome = update_index(place, [str(photos)], settings())
    cli.main(["index", "--index", str(place)])

    assert list(outcome.set_aside) == [os.fsencode(aside)]
    assert f"{aside}: left by an interrupted imgdup apply" in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_keeps_its_entries(photos, place, monkeypatch):
    paint(photos / "closed" / "c.jpg", 80)
    update_index(place, [str(photos)], settings())
    close(monkeypatch, "closed")

    outcome = update_index(place, (), settings())

    assert [reason for _, reason in outcome.unlisted] == ["Permission denied"]
    assert "c.jpg" in paths(place)
    assert outcome.removed == 0


def test_a_folder_that_cannot_be_listed_is_written_with_the_failures(photos, place, monkeypatch):
    (photos / "closed").mkdir()
    close(monkeypatch, "closed")
    errors = place.with_name("errors.jsonl")
    chosen = ["--index", str(place), "--workers", "1", "--errors", str(errors)]

    code = cli.main(["index", str(photos), *chosen])

    (line,) = errors.read_text().splitlines()
    assert code == 3
    assert json.loads(line) == {
        "path": str(photos / "closed"),
        "reason": "unreadable",
        "detail": "not scanned: Permission denied",
    }


@needs_links
def test_hard_links_are_decoded_once_and_every_path_is_a_row(photos, place, opened):
    os.link(photos / "p0.jpg", photos / "a-link.jpg")
    os.link(photos / "p0.jpg", photos / "z-link.jpg")

    outcome = update_index(place, [str(photos)], settings())

    index = ImageIndex.open(place).rows
    names = paths(place)
    rows = [names.index(n) for n in ("a-link.jpg", "p0.jpg", "z-link.jpg")]
    assert outcome.hashed == 8
    assert opened["a-link.jpg"] + opened["p0.jpg"] + opened["z-link.jpg"] == 1
    assert index.column("same_file")[rows].tolist() == [-1, rows[0], rows[0]]
    assert len(np.unique(index.column("hashes")[rows])) == 1


@needs_links
def test_hard_links_survive_an_update_of_another_part(photos, place, opened):
    paint(photos / "sub" / "s.jpg", 90)
    os.link(photos / "p0.jpg", photos / "p9.jpg")
    update_index(place, [str(photos)], settings())
    paint(photos / "sub" / "a.jpg", 91)

    update_index(place, [str(photos / "sub")], settings())

    names = paths(place)
    same_file = ImageIndex.open(place).column("same_file")
    assert same_file[names.index("p9.jpg")] == names.index("p0.jpg")


def same_file(place):
    """Each name that is not the first of its file -> that first one."""
    names = paths(place)
    column = ImageIndex.open(place).column("same_file").tolist()
    return {names[row]: names[first] for row, first in enumerate(column) if first >= 0}


@needs_links
def test_hard_links_across_an_updated_part_remain_one_file(photos, place):
    paint(photos / "x" / "a.jpg", 90)
    (photos / "y").mkdir()
    os.link(photos / "x" / "a.jpg", photos / "y" / "b.jpg")
    update_index(place, [str(photos)], settings())
    paint(photos / "x" / "new.jpg", 91)

    update_index(place, [str(photos / "x")], settings())

    assert same_file(place) == {"b.jpg": "a.jpg"}


@needs_links
def test_hard_links_across_roots_that_were_indexed_one_by_one_are_one_file(tmp_path, place):
    paint(tmp_path / "x" / "a.jpg", 90)
    (tmp_path / "y").mkdir()
    os.link(tmp_path / "x" / "a.jpg", tmp_path / "y" / "b.jpg")

    for name in "xy":
        update_index(place, [str(tmp_path / name)], settings())

    assert same_file(place) == {"b.jpg": "a.jpg"}


@needs_links
def test_a_kept_file_of_equal_size_and_time_is_not_mistaken_for_a_link(tmp_path, place):
    for name in ("x/a.jpg", "y/b.jpg"):
        paint(tmp_path / name, 90)
        os.utime(tmp_path / name, (1, 1))
    os.link(tmp_path / "y" / "b.jpg", tmp_path / "y" / "c.jpg")

    for name in "xy":
        update_index(place, [str(tmp_path / name)], settings())

    assert same_file(place) == {"c.jpg": "b.jpg"}


@needs_links
def test_files_that_became_links_or_ceased_to_be_are_seen_though_nothing_else_changed(
    photos, place
):
    first, second = photos / "p0.jpg", photos / "p1.jpg"
    shutil.copy2(first, second)
    update_index(place, [str(photos)], settings())
    second.unlink()
    os.link(first, second)

    linked = update_index(place, (), settings())
    marks = same_file(place)
    again = update_index(place, (), settings())
    second.unlink()
    shutil.copy2(first, second)
    update_index(place, (), settings())

    assert (linked.hashed, linked.written, again.written) == (0, True, False)
    assert marks == {"p1.jpg": "p0.jpg"}
    assert same_file(place) == {}


@needs_links
def test_a_link_in_place_of_an_older_copy_gets_its_time(photos, place):
    first, second = photos / "p0.jpg", photos / "p1.jpg"
    shutil.copy2(first, second)
    age(second, 2 * AN_HOUR)
    update_index(place, [str(photos)], settings())
    second.unlink()
    os.link(first, second)

    update_index(place, (), settings())

    mtime_ns = ImageIndex.open(place).column("mtime_ns")
    assert mtime_ns[0] == mtime_ns[1] == first.stat().st_mtime_ns
    assert same_file(place) == {"p1.jpg": "p0.jpg"}


@needs_links
def test_links_in_doubt_are_read_once_and_nothing_is_written(photos, place, opened):
    os.link(photos / "p0.jpg", photos / "p9.jpg")
    age(photos / "p0.jpg", seconds=-AN_HOUR)
    update_index(place, [str(photos)], settings())
    opened.clear()

    outcome = update_index(place, (), settings())

    assert sum(opened.values()) == 1
    assert not outcome.written


@needs_links
def test_a_new_link_to_a_known_file_is_not_decoded(photos, place, opened):
    update_index(place, [str(photos)], settings())
    os.link(photos / "p0.jpg", photos / "link.jpg")
    opened.clear()

    outcome = update_index(place, (), settings())

    assert opened == {}
    assert len(ImageIndex.open(place)) == 7
    assert outcome.seen == 7


def test_scan_options_are_remembered(photos, place):
    paint(photos / "thumbs" / "t.jpg", 95)
    changes = OptionChanges(exclude=("thumbs",))
    update_index(place, [str(photos)], settings(changes=changes))

    outcome = update_index(place, (), settings())

    assert outcome.seen == 6
    assert "t.jpg" not in paths(place)


def test_what_is_named_is_kept_though_its_folder_does_not_reach_it(photos, place):
    paint(photos / ".hidden.jpg", 95)
    paint(photos / ".folder" / "in.jpg", 96)
    update_index(place, [str(photos)], settings())
    update_index(place, [str(photos / ".hidden.jpg"), str(photos / ".folder")], settings())

    found = [update_index(place, named, settings()) for named in ((), [str(photos)], ())]

    assert [outcome.removed for outcome in found] == [0, 0, 0]
    assert paths(place)[:2] == ["in.jpg", ".hidden.jpg"]
    assert forget(place, str(photos)).removed == 6
    assert paths(place) == ["in.jpg", ".hidden.jpg"]
    assert forget(place, str(photos / ".folder")).removed == 1


def test_a_nested_root_can_be_forgotten_alone(photos, place):
    paint(photos / ".folder" / "in.jpg", 96)
    for folder_named in (photos, photos / ".folder"):
        update_index(place, [str(folder_named)], settings())

    outcome = forget(place, str(photos / ".folder"))

    assert outcome.removed == 1
    assert paths(place) == [f"p{seed}.jpg" for seed in range(6)]


def test_a_single_file_that_its_folder_reaches_later_is_one_row_of_the_folder(photos, place):
    paint(photos / ".hidden.jpg", 95)
    update_index(place, [str(photos / ".hidden.jpg")], settings())
    update_index(place, [str(photos)], settings(changes=OptionChanges(hidden=True)))

    outcome = update_index(place, (), settings())

    assert counts(outcome) == (7, 0, 7, 0, 0)
    assert forget(place, str(photos)).removed == 7


def test_a_single_file_that_is_missing_is_removed_when_its_folder_is_scanned(photos, place):
    update_index(place, [str(photos / "p0.jpg"), str(photos / "p1.jpg")], settings())
    (photos / "p0.jpg").unlink()

    outcome = update_index(place, [str(photos)], settings())

    assert counts(outcome) == (5, 4, 1, 0, 1)


def test_an_empty_folder_is_done(tmp_path, place):
    (tmp_path / "empty").mkdir()

    outcome = update_index(place, [str(tmp_path / "empty")], settings())

    assert counts(outcome) == (0, 0, 0, 0, 0)
    assert len(ImageIndex.open(place)) == 0


def test_two_thousand_equal_images_are_one_hash(tmp_path, place):
    data = encode(photo(1, 160, 120), ".jpg")
    (tmp_path / "same").mkdir()
    for i in range(2000):
        (tmp_path / "same" / f"{i:04}.jpg").write_bytes(data)

    update_index(place, [str(tmp_path / "same")], settings())

    index = ImageIndex.open(place)
    assert len(index.generation.tree) == 1
    assert len(index.within(data, 0)) == 2000


def test_a_missing_folder_is_a_usage_error(tmp_path, place):
    with pytest.raises(UsageError, match="no such file or folder"):
        update_index(place, [str(tmp_path / "nowhere")], settings())

    assert not place.exists()


def test_without_folder_and_index_the_error_names_the_command(place):
    with pytest.raises(ImgdupError, match="imgdup index DIR"):
        update_index(place, (), settings())


def test_a_second_writer_gets_the_name_of_the_holder(photos, place):
    folder.prepare(place)

    with folder.locked(place), pytest.raises(LockedError, match=str(os.getpid())):
        update_index(place, [str(photos)], settings())


def test_an_open_index_continues_to_read_its_generation(photos, place):
    update_index(place, [str(photos)], settings())
    index = ImageIndex.open(place)
    paint(photos / "new.jpg", 97)

    update_index(place, (), settings())

    assert len(index) == 6
    assert len(index.within(photos / "p0.jpg", 0)) == 1
    assert len(ImageIndex.open(place)) == 7


def test_a_checkpoint_damaged_during_the_run_gives_an_error_that_names_the_remedy(
    photos, place, monkeypatch
):
    from imgdup.build import update as indexing

    real = indexing.read_files

    def read_files(facts, *rest):
        real(facts, *rest)
        for part in facts.checkpoints.folder.iterdir():
            part.write_bytes(b"damaged")

    with monkeypatch.context() as patch, pytest.raises(ImgdupError, match="run the same command"):
        patch.setattr(indexing, "read_files", read_files)
        update_index(place, [str(photos)], settings())

    assert update_index(place, [str(photos)], settings()).hashed == 6


@needs_links
def test_a_dangling_link_that_is_followed_is_ignored_at_every_run(photos, place):
    (photos / "dangling.jpg").symlink_to("nowhere")
    changes = OptionChanges(follow_symlinks=True)

    first = update_index(place, [str(photos)], settings(changes=changes))
    second = update_index(place, (), settings())

    assert [(o.seen, o.failed, o.ignored) for o in (first, second)] == [(6, 0, 1), (6, 0, 1)]


def pdq_hashes(place):
    index = ImageIndex.open(place).rows
    expected = [
        hash_image(os.fsdecode(index.path(row)), "pdq", 256)[0] for row in range(len(index))
    ]
    return index.column("pdq").tolist(), np.array(expected).tolist()


def test_pdq_hashes_are_stored_only_if_they_are_requested(photos, place):
    update_index(place, [str(photos)], settings())

    assert not ImageIndex.open(place).generation.has_pdq


def test_requested_pdq_hashes_are_those_of_the_files(photos, place):
    update_index(place, [str(photos)], settings(with_pdq=True))

    found, expected = pdq_hashes(place)
    assert found == expected
    assert len(found) == 6


def test_an_index_gets_pdq_hashes_by_reading_all_files_and_keeps_them(photos, place, opened):
    update_index(place, [str(photos)], settings())
    opened.clear()

    update_index(place, [str(photos)], settings(with_pdq=True))
    assert sum(opened.values()) == 6
    opened.clear()
    outcome = update_index(place, [str(photos)], settings())

    assert sum(opened.values()) == 0
    assert not outcome.written
    found, expected = pdq_hashes(place)
    assert found == expected


@needs_links
@pytest.mark.parametrize("n_early", [1, 4, 5, 100])
def test_files_hashed_before_the_listing_is_complete_give_the_same_index(
    photos, tmp_path, opened, monkeypatch, n_early
):
    os.link(photos / "p0.jpg", photos / "again.jpg")
    os.link(photos / "p1.jpg", photos / "p1b.jpg")
    os.link(photos / "p5.jpg", photos / "z.jpg")
    monkeypatch.setattr(reading, "EARLY_FILES", 1000)
    update_index(tmp_path / "listed first", [str(photos)], settings())
    opened.clear()
    monkeypatch.setattr(reading, "EARLY_FILES", n_early)

    outcome = update_index(tmp_path / "early", [str(photos)], settings())

    assert generation_bytes(tmp_path / "early") == generation_bytes(tmp_path / "listed first")
    assert outcome.hashed == 9
    assert sorted(opened.values()) == [1] * 6


class Elsewhere:
    """Workers on another machine, as far as a run knows; it keeps what they were asked to see."""

    n_workers = 1

    def __init__(self):
        self.asked = []

    def require_seen(self, paths):
        self.asked += paths


def fails_for(ending, read_file):
    """A function that reads files, except those whose path ends so."""

    def read(path, limits):
        if path.endswith(ending):
            raise ImageError("unreadable", "no")
        return read_file(path, limits)

    return read


def test_a_file_that_only_other_machines_cannot_read_ends_the_run_which_can_continue(
    tmp_path, monkeypatch
):
    pictures, place = tmp_path / "pictures", tmp_path / "index"
    for number in range(5):
        paint(pictures / f"{number}.jpg", number)
    monkeypatch.setattr("imgdup.build.hash_batch.read_file", fails_for(b"3.jpg", files.read_file))
    elsewhere = Elsewhere()
    pool = Pool(decoding_setup(Limits(), 1, ()), inline, remote=elsewhere)

    with pytest.raises(ImgdupError, match=r"3\.jpg: a worker of the cluster cannot read it"):
        update_index(place, [str(pictures)], settings(), pool=pool)

    assert elsewhere.asked == [bytes(pictures), bytes(pictures / "0.jpg")]
    monkeypatch.undo()
    outcome = update_index(place, [str(pictures)], settings(), pool=pool)
    assert (outcome.hashed, outcome.failed) == (5, 0)


def test_a_file_that_no_machine_can_read_does_not_end_a_run_on_a_cluster(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    paint(pictures / "0.jpg", 0)
    paint(pictures / "1.jpg", 1)
    for module in ("hash_batch", "read"):
        failing = fails_for(b"1.jpg", files.read_file)
        monkeypatch.setattr(f"imgdup.build.{module}.read_file", failing)
    pool = Pool(decoding_setup(Limits(), 1, ()), inline, remote=Elsewhere())

    outcome = update_index(tmp_path / "index", [str(pictures)], settings(), pool=pool)

    assert [(each.reason, each.detail) for each in outcome.failures] == [("unreadable", "no")]
