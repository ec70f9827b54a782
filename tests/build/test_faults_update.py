"""Faults while an index is updated.

Those of a single file of the index are in test_faults_index.py, those of single images in
test_faults_files.py.
"""

import os
import shutil
import time

import numpy as np
import pytest

from encoded import painted
from imgdup import ImageIndex, cli
from imgdup.build import identities, update as indexing, write as assembly
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.index import folder, store
from imgdup.system import files as atomic
from imgdup.workers.pool import inline
from kill_every_line import kill_at_every_line

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork or file limits of POSIX")

INLINE = Settings(workers=1, engine=inline)
# Lines from kill to kill: an update runs through about 6,000. IMGDUP_EVERY_LINE=1 tries each.
STRIDE = 1 if os.environ.get("IMGDUP_EVERY_LINE") else 61
LONG_AGO = 1_600_000_000


def paint(path, seed):
    path.write_bytes(painted(seed, 120, 90))
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
    index = ImageIndex.open(place).rows
    return [int(value) for value in index.column("hashes")[:, 0]]


def test_killed_at_every_line_of_an_update_the_index_is_old_or_new(place, tmp_path):
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
    modules = [assembly, identities, indexing, folder, store, atomic]
    n_lines = kill_at_every_line(
        lambda: update_index(place, (), INLINE), after, modules, stride=STRIDE
    )

    assert n_lines > 3000
    assert all(hashes in (old, new) for hashes in seen)
    assert seen[0] == old
    assert seen[-1] == new


@pytest.mark.parametrize("limit", [0, 100, 5000, 20_000])
def test_no_room_leaves_the_old_index_and_names_the_bytes_needed(place, limit):
    import resource
    import signal

    old = widths_and_hashes(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ImgdupError, match=r"which needs [\d.,]+ (bytes|kB)"):
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
def test_forged_numbers_give_an_error_or_nothing_at_use(place, photos, name, forge):
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


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """An index of three photos, one under two names, one no image at all."""
    place = tmp_path_factory.mktemp("linked")
    (place / "photos").mkdir()
    for seed in range(3):
        paint(place / "photos" / f"p{seed}.jpg", seed)
    os.link(place / "photos" / "p0.jpg", place / "photos" / "p9.jpg")
    (place / "photos" / "bad.jpg").write_bytes(b"nonsense")
    os.utime(place / "photos" / "bad.jpg", (LONG_AGO, LONG_AGO))
    update_index(place / ".imgdup", [str(place / "photos")], INLINE)
    return place


def number(value):
    """A column full of one number."""
    return lambda a: np.full_like(a, value)


def as_float(a):
    return a.astype(np.float64)


FORGED_COLUMNS = [
    ("format", number(200)),
    ("status", number(200)),
    ("class_offsets", as_float),
    ("class_offsets", number(1 << 40)),
    ("class_offsets", lambda a: a[::-1].copy()),
    ("class_offsets", number(0)),
    ("class_rows", as_float),
    ("class_rows", number(1 << 40)),
    ("class_rows", number(-5)),
    ("same_file", as_float),
    ("same_file", number(1 << 40)),
    ("same_file", number(-7)),
    ("run_roots", as_float),
    ("run_rows", as_float),
    ("run_roots", number(1)),
    ("path_offsets", as_float),
    ("path_offsets", number(1 << 63)),
    ("path_blob", number(0)),
    ("failed_rows", as_float),
    ("failed_rows", number(1 << 40)),
    ("identity", as_float),
    ("identity", lambda a: a[:, :1].copy()),
    ("identity", number(0)),
    ("run_rows", number(1 << 40)),
    ("detail_offsets", as_float),
    ("detail_offsets", number(1 << 63)),
    ("tree_visited_fractions", number(float("nan"))),
    ("tree_visited_fractions", number(-1.0)),
    ("tree_rows", number(1 << 40)),
]
ROOT = {"path": "/photos", "exclude": [], "follow_symlinks": 0, "hidden": 0}
FORGED_HEADS = [
    ("hash", "nope"),
    ("hash", 7),
    ("bits", "64"),
    ("bits", 256),
    ("bits", 63),
    ("parameters", "1"),
    ("digest_kind", "md5"),
    ("digest_kind", ["blake3"]),
    ("band_skew_thousandths", "x"),
    ("roots", [{**ROOT, "exclude": [7]}]),
    ("roots", [{**ROOT, "exclude": {"a": 1}}]),
    ("roots", [{**ROOT, "exclude": 7}]),
    ("roots", [{**ROOT, "path": 7}]),
    ("roots", [{**ROOT, "path": "/pho\0tos"}]),
    ("roots", [{**ROOT, "hidden": [1]}]),
    ("roots", ["/photos"]),
    ("roots", 7),
]
READERS = [
    ["info"],
    ["query", "photos/p1.jpg"],
    ["query", "photos/p1.jpg", "-k", "2"],
    ["pairs", "--by", "search"],
    ["dedupe"],
    ["check"],
    ["check", "--deep"],
    *(["export", "-o", "out", "--format", form] for form in ("pickle", "json", "csv")),
    ["index", "--allow-removals"],
]


def answers(capsys):
    """What each command says to the index here: its exit code; one line where it is 1."""
    for command in READERS:
        code = cli.main(command)
        err = capsys.readouterr().err
        yield command[0], code, err.startswith("imgdup: ") and err.count("\n") == 1


def use_forged(linked, tmp_path, monkeypatch, capsys, forge):
    """Let every command read an index that `forge` has changed, under right checksums."""
    shutil.copytree(linked, tmp_path / "here", copy_function=os.link)
    shutil.rmtree(tmp_path / "here" / ".imgdup")
    shutil.copytree(linked / ".imgdup", tmp_path / "here" / ".imgdup")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    stored = store.load(folder.generation_path(tmp_path / "here" / ".imgdup", 1))
    head, arrays = dict(stored.head), {key: np.array(a) for key, a in stored.arrays.items()}
    forge(head, arrays)
    store.save(folder.generation_path(tmp_path / "here" / ".imgdup", 1), head, arrays)
    return list(answers(capsys))


@pytest.mark.parametrize(("name", "forge"), FORGED_COLUMNS)
def test_a_forged_column_gives_every_command_an_error_or_nothing(
    linked, tmp_path, monkeypatch, capsys, name, forge
):
    found = use_forged(
        linked, tmp_path, monkeypatch, capsys, lambda _, a: a.update({name: forge(a[name])})
    )

    assert [(c, code) for c, code, _ in found if code not in (0, 1, 3)] == []
    assert [c for c, code, is_line in found if code == 1 and c != "check" and not is_line] == []


@pytest.mark.parametrize(("key", "value"), FORGED_HEADS)
def test_a_forged_head_is_refused_by_every_command(
    linked, tmp_path, monkeypatch, capsys, key, value
):
    found = use_forged(linked, tmp_path, monkeypatch, capsys, lambda h, _: h.update({key: value}))

    assert [answer for answer in found if answer[1:] != (1, True)] == []


def test_hashes_of_another_version_are_not_compared(linked, tmp_path, monkeypatch, capsys):
    found = use_forged(linked, tmp_path, monkeypatch, capsys, lambda h, _: h.update(parameters=7))

    assert {(c, code) for c, code, _ in found if code} == {("query", 1), ("check", 1), ("index", 1)}


def test_hashes_of_another_version_are_refused_with_both_versions_and_a_remedy(
    linked, tmp_path, monkeypatch, capsys
):
    use_forged(linked, tmp_path, monkeypatch, capsys, lambda h, _: h.update(parameters=7))

    for command in (["query", "photos/p1.jpg"], ["index"]):
        assert cli.main(command) == 1
        err = capsys.readouterr().err
        assert "holds hashes of version 7, this imgdup makes version 1" in err
        assert "another --index FOLDER" in err
        assert "omit --hash" not in err


def test_changed_added_and_removed_files_are_seen(place, photos):
    paint(photos / "new.jpg", 20)
    (photos / "p2.jpg").unlink()

    outcome = update_index(place, (), INLINE)

    assert (outcome.hashed, outcome.unchanged, outcome.removed) == (2, 1, 1)


def test_a_moved_data_set_is_reported_as_missing(place, photos):
    photos.rename(photos.with_name("moved"))

    with pytest.raises(ImgdupError, match="not mounted"):
        update_index(place, (), INLINE)


def test_an_mtime_in_the_future_is_settled_by_the_content(place, photos):
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
