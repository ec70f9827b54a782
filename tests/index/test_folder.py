"""An index folder: one generation counts, whole, whoever writes and whatever was left behind."""

import datetime
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from imgdup.errors import ImgdupError, IndexFormatError, LockedError
from imgdup.index import folder
from imgdup.index.folder import Current, find

CURRENT = Current(1, "2026-01-02T03:04:05+00:00", "0.1.0", {"/photos": 1_767_323_045_000_000_000})


def put(place, generation, content=b"whole"):
    """Write a generation and make it count."""
    folder.generation_path(place, generation).write_bytes(content)
    folder.commit(place, CURRENT._replace(generation=generation))


def names(place):
    return sorted(path.name for path in place.iterdir())


@pytest.fixture
def place(tmp_path):
    """A prepared index folder with generation 1."""
    place = tmp_path / ".imgdup"
    folder.prepare(place)
    put(place, 1)
    return place


# find


def test_the_index_is_in_the_nearest_folder_above(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".imgdup").mkdir()
    (tmp_path / "a" / ".imgdup").mkdir()

    assert find(below) == tmp_path / "a" / ".imgdup"


def test_what_is_named_counts_before_the_environment_and_that_before_the_search(
    tmp_path, monkeypatch
):
    (tmp_path / ".imgdup").mkdir()
    monkeypatch.setenv("IMGDUP_INDEX", str(tmp_path / "environment"))

    assert find(tmp_path, tmp_path / "named") == tmp_path / "named"
    assert find(tmp_path) == tmp_path / "environment"


def test_without_an_index_anywhere_the_error_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)

    with pytest.raises(ImgdupError, match=r"^no index in .* or above it; .*: imgdup index DIR$"):
        find(tmp_path)


def test_a_folder_above_that_must_not_be_looked_at_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)

    with pytest.raises(ImgdupError, match=r"^no index in "):
        find(tmp_path)


# current


def test_what_is_committed_is_read(place):
    current = CURRENT._replace(scanned_ns={"/not utf-8: \udcff": -5, "": 1 << 62})

    folder.commit(place, current)

    assert folder.read_current(place) == current


def test_the_times_of_the_standard_library_are_admitted(place):
    built = datetime.datetime.now(datetime.UTC).isoformat()

    folder.commit(place, CURRENT._replace(built=built))

    assert folder.read_current(place).built == built


def test_without_current_there_is_none(tmp_path):
    assert folder.read_current(tmp_path) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 0},
        {"generation": -1},
        {"generation": True},
        {"generation": 1.0},
        {"generation": "1"},
        {"generation": "../../etc/passwd"},
        {"generation": 10**18},
        {"generation": 10**4000},
        {"built": None},
        {"built": "yesterday"},
        {"built": "2026-01-02T03:04:05"},
        {"built": "2026-01-02T03:04:05+01:00"},
        {"built": "2026-01-02\x1b03:04:05+00:00"},
        {"version": ""},
        {"version": "\x1b[31m"},
        {"version": "9" * 65},
        {"version": ["0.1.0"]},
        {"scanned_ns": []},
        {"scanned_ns": {"/photos": 1.5}},
        {"scanned_ns": {"/photos": 1 << 63}},
        {"scanned_ns": {"/photos": -(1 << 63) - 1}},
        {"scanned_ns": {"/photos": None}},
        {"more": 1},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_forged_current_is_refused_with_the_remedy(place, changes):
    (place / "current").write_text(json.dumps({**CURRENT._asdict(), **changes}))

    with pytest.raises(IndexFormatError, match=r"current: .*run imgdup index again$"):
        folder.read_current(place)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(CURRENT._asdict()).encode().ljust((1 << 20) + 1),
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b"[]",
        b'{"generation": 1}',
        b" " * (1 << 20),
    ],
    ids=lambda content: str(content[:20]),
)
def test_what_is_no_current_at_all_is_refused(place, content):
    (place / "current").write_bytes(content)

    with pytest.raises(IndexFormatError):
        folder.read_current(place)


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda t: json.dumps(t).encode()))
def test_random_bytes_are_refused(content):
    with pytest.raises((ValueError, RecursionError)):
        folder._parsed(content)


# generations


def test_the_generation_that_counts_is_opened(place):
    assert folder.open_generation(place, lambda path: path.name) == (CURRENT, "index.1")


def test_the_next_generation_is_one_that_never_was(place):
    (place / "index.7").write_bytes(b"not committed")
    (place / "index.08").write_bytes(b"no generation")
    (place / "index.9999999999999999999").write_bytes(b"no generation")

    assert folder.next_generation(place) == 8


def test_the_first_generation_is_1(tmp_path):
    assert folder.next_generation(tmp_path) == 1


def test_committing_deletes_the_others_and_nothing_else(place):
    (place / "index.3").write_bytes(b"never committed")
    (place / "index.txt").write_bytes(b"a user's")

    put(place, 2)

    assert names(place) == ["current", "index.2", "index.txt", "parts"]


def test_a_generation_that_is_not_there_cannot_be_committed(place):
    with pytest.raises(ValueError, match="generation 2 is not in"):
        folder.commit(place, CURRENT._replace(generation=2))

    assert folder.open_generation(place, lambda path: path.read_bytes()) == (CURRENT, b"whole")


def test_what_cannot_be_read_again_cannot_be_committed(place):
    with pytest.raises(ValueError, match="built is damaged"):
        folder.commit(place, CURRENT._replace(built="2026-01-02T03:04:05"))


def test_one_that_is_mapped_on_windows_is_deleted_the_next_time(place, monkeypatch):
    unlink = type(place).unlink

    def refuse(path):
        raise PermissionError(13, "held")

    monkeypatch.setattr(type(place), "unlink", refuse)
    put(place, 2)
    monkeypatch.setattr(type(place), "unlink", unlink)

    assert "index.1" in names(place)
    assert folder.sweep(place) == 1
    assert "index.1" not in names(place)


def test_a_generation_replaced_between_is_tried_again(place):
    def load(path):
        if path.name == "index.1":
            put(place, 2, b"newer")
        return path.read_bytes()

    current, content = folder.open_generation(place, load)

    assert (current.generation, content) == (2, b"newer")


def test_a_generation_that_is_missing_for_good_is_one_line_with_the_remedy(place):
    (place / "index.1").unlink()

    with pytest.raises(IndexFormatError, match=r"index\.1 is missing; .*imgdup index again$"):
        folder.open_generation(place, lambda path: path.read_bytes())


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_an_index_is_an_error_that_names_the_remedy(tmp_path, exists):
    place = tmp_path if exists else tmp_path / "missing"

    with pytest.raises(ImgdupError, match=r"^no index in .*: imgdup index DIR$"):
        folder.open_generation(place, lambda path: path.read_bytes())


def test_a_file_is_no_index_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(
        ImgdupError, match=r"file is a file, not an index folder; name one with --index FOLDER$"
    ):
        folder.open_generation(tmp_path / "file", lambda path: path.read_bytes())


# prepare, sweep, locked


def test_preparing_makes_the_folder_and_its_parts_and_nothing_else(tmp_path):
    place = tmp_path / "new" / ".imgdup"

    folder.prepare(place)
    folder.prepare(place)

    assert names(place) == ["parts"]
    assert names(place / "parts") == []


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    (tmp_path / "parts").mkdir()

    with pytest.raises(ImgdupError, match=r"holds other files, such as photo\.jpg: name an empty"):
        folder.prepare(tmp_path)
    assert names(tmp_path) == ["parts", "photo.jpg"]


def test_parts_that_lead_elsewhere_are_refused(place, tmp_path):
    (tmp_path / "photos").mkdir()
    (place / "parts").rmdir()
    (place / "parts").symlink_to("../photos")

    with pytest.raises(ImgdupError, match="parts is a link"):
        folder.prepare(place)


def test_sweeping_deletes_temporary_files_and_generations_that_do_not_count(place):
    for stray in [
        "index.2",
        "index.2.0123abcd.tmp",
        "current.0123abcd.tmp",
        "parts/x.0123abcd.tmp",
    ]:
        (place / stray).write_bytes(b"half")
    for kept in ["lock", "notes.tmp", "parts/part", "index.2.tmp"]:
        (place / kept).write_bytes(b"kept")

    n_deleted = folder.sweep(place)

    assert n_deleted == 4
    assert names(place) == ["current", "index.1", "index.2.tmp", "lock", "notes.tmp", "parts"]
    assert names(place / "parts") == ["part"]


def test_sweeping_keeps_every_generation_when_it_is_not_known_which_counts(place):
    (place / "index.2").write_bytes(b"whole")
    (place / "current").unlink()

    folder.sweep(place)

    assert names(place) == ["index.1", "index.2", "parts"]


def test_sweeping_keeps_every_generation_when_the_one_that_counts_is_missing(place):
    (place / "index.1").rename(place / "index.2")

    folder.sweep(place)

    assert names(place) == ["current", "index.2", "parts"]


def test_sweeping_does_not_follow_parts_that_lead_elsewhere(place, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.0123abcd.tmp").write_bytes(b"mine")
    (place / "parts").rmdir()
    (place / "parts").symlink_to("../elsewhere")

    assert folder.sweep(place) == 0


def test_sweeping_an_empty_or_missing_folder_is_nothing(tmp_path):
    assert folder.sweep(tmp_path) == 0
    assert folder.sweep(tmp_path / "missing") == 0


def test_one_writer_at_a_time(place):
    with folder.locked(place), pytest.raises(LockedError, match=r"^the index .*\.imgdup is being"):
        folder.locked(place).__enter__()


def test_the_folder_needs_neither_numpy_nor_cv2():
    code = (
        "import imgdup.index.folder, sys; sys.exit('numpy' in sys.modules or 'cv2' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
