"""Content digests of two kinds: an index keeps its kind, and --rehash gives it today's.

The digests that are expected come from hashlib and from the package blake3 itself. An index of the
older kind is made by letting a new index have it.
"""

import hashlib
import json
import os
import shutil
import time

import make_frozen
import pytest
from blake3 import blake3
from make_sample import encode, photo

from cli_runs import run_here
from imgdup.api.index import ImageIndex
from imgdup.build import settings as settings_module, update
from imgdup.build.relocate import relocate
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.errors import ImgdupError, UsageError
from imgdup.index import folder
from imgdup.workers.pool import inline

FROZEN = make_frozen.path().parents[1] / "1"


def blake2b_digest(path):
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def blake3_digest(path):
    return blake3(path.read_bytes()).digest(16)


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(photo(seed, 160, 120), ".jpg"))
    then = time.time() - 3600
    os.utime(path, (then, then))


@pytest.fixture
def photos(tmp_path):
    for seed in range(3):
        paint(tmp_path / "photos" / f"p{seed}.jpg", seed)
    return tmp_path / "photos"


def make_index(place, photos, kind):
    """Index a folder with digests of this kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_module, "NEW_DIGEST_KIND", kind)
        update_index(place, [str(photos)], settings())
    return place


@pytest.fixture
def old(tmp_path, photos):
    return make_index(tmp_path / "old", photos, "blake2b")


@pytest.fixture
def new(tmp_path, photos):
    return make_index(tmp_path / "new", photos, "blake3")


def digests(place):
    """The kind of digests, and the digest of each image by its file's name."""
    index = ImageIndex.open(place).rows
    column = index.column("digest")
    names = (os.path.basename(os.fsdecode(index.path(row))) for row in range(len(index)))
    return index.digest_kind, {name: column[row].tobytes() for row, name in enumerate(names)}


def expected(photos, digest):
    return {path.name: digest(path) for path in photos.iterdir()}


def test_a_new_index_has_blake3_digests(tmp_path, photos):
    update_index(tmp_path / "index", [str(photos)], settings())

    assert digests(tmp_path / "index") == ("blake3", expected(photos, blake3_digest))


def test_an_index_keeps_its_kind_when_it_is_updated(old, photos):
    paint(photos / "later.jpg", 9)

    update_index(old, (), settings())

    assert digests(old) == ("blake2b", expected(photos, blake2b_digest))


@pytest.mark.parametrize("name", ["index", "index-with-identity"])
def test_an_index_that_names_no_kind_has_blake2b(name):
    assert ImageIndex.open(FROZEN / name).info()["digest_kind"] == "blake2b"


def test_a_file_in_doubt_is_compared_by_the_digest_of_its_index(old, photos):
    """Its time is that of the scan, so it is read again, and found to be the same."""
    paint(photos / "now.jpg", 9)
    os.utime(photos / "now.jpg")
    update_index(old, (), settings())

    outcome = update_index(old, (), settings())

    assert (outcome.hashed, outcome.unchanged) == (0, 4)


def test_rehash_gives_an_old_index_the_same_content_as_a_new_one(old, new, photos):
    outcome = update_index(old, (), settings(rehash=True))

    assert (outcome.hashed, outcome.unchanged, outcome.written) == (3, 0, True)
    assert digests(old) == ("blake3", expected(photos, blake3_digest))
    generations = [folder.generation_path(old, 2), folder.generation_path(new, 1)]
    assert generations[0].read_bytes() == generations[1].read_bytes()


def test_a_rehash_of_a_new_index_finds_bytes_that_changed_under_the_same_time(new, photos):
    path = photos / "p1.jpg"
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert update_index(new, (), settings()).unchanged == 3

    update_index(new, (), settings(rehash=True))

    assert digests(new) == ("blake3", expected(photos, blake3_digest))


def test_an_update_does_not_use_what_an_interrupted_rehash_has_read(old, photos, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(update, "_finish", None)
        with pytest.raises(TypeError):
            update_index(old, (), settings(rehash=True))
    assert os.listdir(old / "parts")
    paint(photos / "p1.jpg", 7)

    update_index(old, (), settings())

    assert digests(old) == ("blake2b", expected(photos, blake2b_digest))


def test_an_interrupted_rehash_continues_where_it_stopped(old, photos, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(update, "_finish", None)
        with pytest.raises(TypeError):
            update_index(old, (), settings(rehash=True))
    monkeypatch.setattr("imgdup.build.hash_batch.read_file", None)

    update_index(old, (), settings(rehash=True))

    assert digests(old) == ("blake3", expected(photos, blake3_digest))


def test_a_rehash_that_cannot_read_all_files_changes_nothing(old, photos, tmp_path):
    paint(tmp_path / "more" / "m.jpg", 5)
    update_index(old, [str(tmp_path / "more")], settings())
    before = {path.name: path.read_bytes() for path in old.glob("index.*")}

    with pytest.raises(ImgdupError, match="must be read again, but 3 could not be read"):
        update_index(old, [str(tmp_path / "more")], settings(rehash=True))

    assert {path.name: path.read_bytes() for path in old.glob("index.*")} == before


def test_a_moved_folder_keeps_the_kind_of_its_index(old, photos, tmp_path):
    photos.rename(tmp_path / "moved")

    relocate(old, str(photos), str(tmp_path / "moved"))

    assert digests(old) == ("blake2b", expected(tmp_path / "moved", blake2b_digest))


@pytest.mark.parametrize("kind", ["blake2b", "blake3"])
def test_a_picture_of_equal_bytes_is_found_in_an_index_of_either_kind(tmp_path, photos, kind):
    """A black picture has no structure, so that only equal bytes make it a duplicate."""
    black = encode(photo(0, 64, 64) * 0, ".png")
    for name in ("black.png", "copy.png"):
        (photos / name).write_bytes(black)
    index = ImageIndex.open(make_index(tmp_path / "index", photos, kind))

    matches = index.within(black, 0)

    assert [(match.path.name, match.duplicate) for match in matches] == [
        ("black.png", True),
        ("copy.png", True),
    ]


def test_two_indexes_of_different_kinds_are_not_compared(old, new):
    one, other = ImageIndex.open(old), ImageIndex.open(new)

    with pytest.raises(UsageError, match="run imgdup index --rehash on the index that has blake2b"):
        list(one.pairs(other=other))


def test_info_prints_the_kind_of_digests_and_rehash_changes_it(old, new, capsys):
    compared = run_here(capsys, "compare", old, new)
    before = json.loads(run_here(capsys, "info", "--json", "--index", old)[1])["digest_kind"]
    rehashed = run_here(capsys, "index", "--rehash", "--index", old)
    after = json.loads(run_here(capsys, "info", "--json", "--index", old)[1])["digest_kind"]
    checked = run_here(capsys, "check", "--deep", "--index", old)

    assert (compared[0], compared[1], compared[2].count("\n")) == (2, "", 1)
    assert "imgdup index --rehash" in compared[2]
    assert (before, rehashed[0], after, checked[0]) == ("blake2b", 0, "blake3", 0)


def test_check_compares_files_with_an_index_of_the_older_kind(old, capsys):
    assert run_here(capsys, "check", "--deep", "--index", old)[0] == 0


@pytest.mark.parametrize("kind", ["blake2b", "blake3"])
def test_a_plan_is_applied_and_undone_with_the_digests_of_its_index(tmp_path, photos, kind, capsys):
    shutil.copy2(photos / "p0.jpg", photos / "q0.jpg")
    before = expected(photos, blake3_digest)
    index = make_index(tmp_path / "index", photos, kind)
    plan = tmp_path / "plan.jsonl"

    planned = run_here(capsys, "dedupe", "--index", index, "--plan", plan)
    header = json.loads(plan.read_text().splitlines()[0])
    applied = run_here(
        capsys, "apply", plan, "--index", index, "--move-to", tmp_path / "aside", "--yes"
    )
    journal = tmp_path / "plan.journal-1.jsonl"
    written = json.loads(journal.read_text().splitlines()[0])
    n_left = len(list(photos.iterdir()))
    undone = run_here(capsys, "undo", journal, "--index", index)

    assert (planned[0], applied[0], undone[0], n_left) == (0, 0, 0, 3), (planned, applied, undone)
    assert header.get("digest_kind", "blake2b") == written["digest_kind"] == kind
    assert expected(photos, blake3_digest) == before
