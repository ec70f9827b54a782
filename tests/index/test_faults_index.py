"""What can go wrong with an index, from a kill to an attack.

A file is old or new, never half; what is damaged is refused in one line; nothing in a file runs.
The cases that need pictures are tested with the index as a whole.
"""

import contextlib
import errno
import importlib
import io
import os
import pickle
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from disks import FullDisk, RecordingDisk, after_power_cut, opening_as, squeezed
from forgeries import (
    ATTACKS,
    HEADS,
    described,
    doubling,
    forged,
    mutated,
    nested_key,
    with_right_checksum,
)
from imgdup.errors import ImgdupError, IndexFormatError, LockedError
from imgdup.index import folder, layout, store
from imgdup.index.folder import Current
from imgdup.system import files as atomic
from imgdup.system.limits import size_text
from kill_every_line import kill_at_every_line

PAGE = layout.PAGE_BYTES
N_FORGED = int(os.environ.get("IMGDUP_FUZZ_HEADS", "10000"))
MAX_CALLS = 500_000  # of functions in one load: 20,000 opcodes, and the checks of each
BUILT = "2026-01-02T03:04:05+00:00"

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def fill(path, value, n_rows=100):
    """An index file all of whose numbers are `value`."""
    rows = np.full((n_rows, 4), value, "<u8")
    store.save(path, {"value": value}, {"rows": rows, "bytes": np.full(5000, value, "u1")})


def value_of(path):
    """The number of a file that ``fill`` wrote, if it is whole."""
    stored = store.load(path, verify=True)
    assert set(stored.arrays["rows"].ravel().tolist()) == {stored.head["value"]}
    return stored.head["value"]


def commit(place, value):
    """A new generation of `place`, as an index writes it."""
    generation = folder.next_generation(place)
    fill(folder.generation_path(place, generation), value, n_rows=10)
    folder.commit(place, Current(generation, BUILT, "0.1.0", {"/photos": value}))


@pytest.fixture
def path(tmp_path):
    """An index file full of ones."""
    path = tmp_path / "index.1"
    fill(path, 1)
    return path


@pytest.fixture
def place(tmp_path):
    """An index folder whose one generation is full of ones."""
    place = tmp_path / ".imgdup"
    folder.prepare(place)
    commit(place, 1)
    return place


@contextlib.contextmanager
def damaged(path, position, byte):
    """The file with one other byte, for a moment."""
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        before = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ before[0]]))
        yield
        file.seek(position)
        file.write(before)


def assert_refused(path, match):
    """One line, the name of the file first, with little work."""
    with pytest.raises(IndexFormatError, match=match) as caught, little_work():
        store.load(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 300


@contextlib.contextmanager
def little_work():
    """Bound the calls of functions, which do not depend on the machine."""
    n_calls = 0

    def count(frame, event, argument):
        nonlocal n_calls
        n_calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
        assert n_calls < MAX_CALLS


def assert_harmless(stored, size):
    """Plain data and arrays that lie within the file; all of it can be touched."""
    layout._check_plain(stored.head, "head", [])
    assert sum(array.nbytes for array in stored.arrays.values()) <= size
    for array in stored.arrays.values():
        assert array.dtype.str in store.DTYPES
        array.sum()


# Kill -9


@pytest.fixture
def no_sync(monkeypatch):
    """Do not wait for the disk: only a power cut shows a difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@posix
def test_killed_at_every_line_of_save_the_file_is_old_or_new(path, no_sync):
    found = []

    def after():
        found.append(value_of(path))
        fill(path, 1)

    n_lines = kill_at_every_line(lambda: fill(path, 2), after, [store, layout, atomic])

    assert n_lines > 100
    assert found[0] == 1 and found[-1] == 2
    assert found == sorted(found)


@posix
def test_killed_at_every_line_of_commit_the_index_is_old_or_new(place, no_sync):
    found = []

    def after():
        _, value = folder.open_generation(place, value_of)
        found.append(value)
        folder.sweep(place)
        assert len(list(place.glob("index.*"))) == 1
        commit(place, 1)

    n_lines = kill_at_every_line(lambda: commit(place, 2), after, [folder, store, atomic])

    assert n_lines > 100
    assert found[0] == 1 and found[-1] == 2
    assert found == sorted(found)


# Order of the calls


linux = pytest.mark.skipif(sys.platform != "linux", reason="names descriptors by /proc")


@linux
def test_write_flush_fsync_replace_fsync_folder_in_this_order(place, monkeypatch):
    disk = RecordingDisk(monkeypatch)

    commit(place, 2)

    assert squeezed(disk.calls, place) == [
        ("write", "index.2 (temporary)"),
        ("flush", "index.2 (temporary)"),
        ("fsync", "index.2 (temporary)"),
        ("replace", "index.2 (temporary)", "index.2"),
        ("fsync", "FOLDER"),
        ("write", "current (temporary)"),
        ("flush", "current (temporary)"),
        ("fsync", "current (temporary)"),
        ("replace", "current (temporary)", "current"),
        ("fsync", "FOLDER"),
        ("unlink", "index.1"),
    ]


def states_after_power_cuts(calls, place):
    """What power cuts after each of these calls may leave."""
    return [state for n in range(len(calls) + 1) for state in after_power_cut(calls[:n], place)]


@linux
def test_a_power_cut_after_any_call_leaves_a_whole_generation(place, monkeypatch):
    disk = RecordingDisk(monkeypatch)
    commit(place, 2)

    states = states_after_power_cuts(disk.calls, place)

    assert {state["current"] for state in states} == {"index.1", "index.2"}
    assert all(state[state["current"]] == "rows" for state in states)


@linux
@pytest.mark.parametrize("nth", range(4))
def test_without_any_of_its_fsyncs_a_power_cut_could_lose_the_index(place, monkeypatch, nth):
    disk = RecordingDisk(monkeypatch)
    commit(place, 2)
    positions = [i for i, call in enumerate(disk.calls) if call[0] == "fsync"]

    calls = [call for i, call in enumerate(disk.calls) if i != positions[nth]]

    states = states_after_power_cuts(calls, place)
    assert not all(state.get(state["current"]) == "rows" for state in states)


# No room


@pytest.mark.skipif(os.name == "nt", reason="no limits on file sizes here")
def test_no_room_at_any_size_leaves_the_old_file_and_names_the_bytes_needed(path):
    resource = importlib.import_module("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    total = path.stat().st_size
    sizes = sorted({*range(0, total, 997), *range(PAGE - 1, total, PAGE), total - 1})

    for size in sizes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(ImgdupError, match=f"^no room to write .* needs {size_text(total)}"):
                fill(path, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (value_of(path), os.listdir(path.parent)) == (1, ["index.1"])


@pytest.mark.parametrize("code", sorted(set(atomic.NO_ROOM)), ids=errno.errorcode.get)
@pytest.mark.parametrize("room", [0, 1, 3200, 8200, 8192 + 4999])
def test_full_disk_and_quota_leave_the_old_file(path, monkeypatch, room, code):
    opening_as(monkeypatch, lambda file, path: FullDisk(file, room, code))

    with pytest.raises(ImgdupError, match=r"^no room to write .* needs 16 kB \(.*\): free "):
        fill(path, 2)

    monkeypatch.undo()
    assert (value_of(path), os.listdir(path.parent)) == (1, ["index.1"])


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_no_room_found_out_late_leaves_the_old_file(path, monkeypatch, call):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)

    with pytest.raises(ImgdupError, match=r"^no room to write .*\(No space left on device\)"):
        fill(path, 2)

    monkeypatch.undo()
    assert (value_of(path), os.listdir(path.parent)) == (1, ["index.1"])


def test_no_room_for_current_leaves_the_old_generation(place, monkeypatch):
    replace = os.replace

    def fail(source, target):
        if target.name == "current":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)

    with pytest.raises(ImgdupError, match=r"^no room to write .*current, which needs"):
        commit(place, 2)

    assert folder.open_generation(place, value_of)[1] == 1


# Places that cannot be written

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from imgdup.index import folder
from imgdup.errors import ImgdupError
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)
try:
    folder.prepare(Path(sys.argv[1]))
except ImgdupError as error:
    sys.exit(str(error))
"""


def prepare_unprivileged(place):
    """What preparing says to a user who is not root."""
    command = [sys.executable, "-c", UNPRIVILEGED, str(place)]
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


@pytest.fixture
def open_way(tmp_path):
    """Lets another user come as far as the folder of the test."""
    modes = [(above, above.stat().st_mode) for above in (tmp_path, *tmp_path.parents)]
    owned = [(above, mode) for above, mode in modes if os.access(above, os.W_OK)]
    for above, mode in owned:
        above.chmod(mode | 0o011)
    yield tmp_path
    for above, mode in owned:
        above.chmod(mode)


@posix
@pytest.mark.parametrize("protected", ["", "index", "index/parts"])
def test_a_folder_that_cannot_be_written_is_found_out_at_once(open_way, protected):
    place = open_way / "index"
    (place / "parts").mkdir(parents=True)
    for each in ("", "index", "index/parts"):
        (open_way / each).chmod(0o777)
    (open_way / protected).chmod(0o555)
    if not protected:
        shutil.rmtree(place)

    message = prepare_unprivileged(place)

    assert message == (
        f"cannot write in the index folder {place}: Permission denied; "
        "choose another place with --index FOLDER"
    )


def test_a_file_in_the_way_is_found_out_at_once(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        for use in (folder.prepare, folder.read_current):
            with pytest.raises(ImgdupError, match=r"file is a file, .* --index FOLDER$"):
                use(place)


def test_a_read_only_file_system_is_found_out_at_once(place, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)

    with pytest.raises(ImgdupError, match=r": Read-only file system; choose another place"):
        folder.prepare(place)


# Damaged files


def test_every_flipped_byte_of_the_head_is_refused(path):
    for position in range(PAGE):
        for mask in (0x01, 0x80, 0xFF):
            with damaged(path, position, mask), pytest.raises(IndexFormatError):
                store.load(path)


def test_every_flipped_byte_of_an_array_or_its_padding_is_found_and_named(path):
    names = ["rows"] + ["bytes"] * 2

    for position in range(PAGE, path.stat().st_size, 17):
        name = names[position // PAGE - 1]
        with damaged(path, position, 0x10):
            with pytest.raises(IndexFormatError, match=rf"index.1: array '{name}' is damaged"):
                store.load(path, verify=True)
            assert store.load(path).head == {"value": 1}


def test_a_file_truncated_at_any_length_is_refused_as_truncated(path):
    total = path.stat().st_size

    for size in range(total - 1, -1, -1):
        os.truncate(path, size)
        expected = total if size >= layout.PREAMBLE.size else f"at least {PAGE}"
        with pytest.raises(IndexFormatError, match=f": truncated: {size} of {expected} bytes; "):
            store.load(path)


def test_one_byte_more_is_refused(path):
    with path.open("ab") as file:
        file.write(b"\0")

    assert_refused(path, "too long: 16385 instead of 16384 bytes")


@posix
def test_a_reader_finishes_on_the_generation_that_it_opened(place):
    _, old = folder.open_generation(place, store.load)
    rows = old.arrays["rows"]

    for value in range(2, 6):
        commit(place, value)

    assert len(list(place.glob("index.*"))) == 1
    assert set(rows.ravel().tolist()) == {1}


@posix
def test_a_reader_finishes_on_a_file_that_is_replaced(path):
    rows = store.load(path).arrays["rows"]

    fill(path, 2, n_rows=1)

    assert set(rows.ravel().tolist()) == {1}
    assert value_of(path) == 2


@posix
def test_saving_never_changes_a_file_in_place(path):
    inode, whole = path.stat().st_ino, path.read_bytes()
    os.link(path, path.with_name("old"))

    fill(path, 2)

    assert path.stat().st_ino != inode
    assert path.with_name("old").read_bytes() == whole


# Other versions, other machines


def with_version(path, version):
    data = path.read_bytes()
    path.write_bytes(data[:8] + version + data[12:])


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (struct.pack("<I", 3), "format version 3, this imgdup reads 1 and 2: upgrade imgdup"),
        (
            struct.pack("<I", 0),
            "format version 0, this imgdup reads 1 and 2: run imgdup index again",
        ),
        (
            struct.pack(">I", 1),
            "format version 16777216, this imgdup reads 1 and 2: upgrade imgdup",
        ),
    ],
    ids=["newer", "older", "big-endian"],
)
def test_another_version_is_refused_with_both_and_the_remedy(path, version, message):
    with_version(path, version)

    assert_refused(path, rf"index\.1: {message}$")


def test_arrays_of_a_big_endian_machine_are_converted(path):
    store.save(path, {}, {"rows": np.array([1, 2], ">u8"), "times": np.array([-1], ">i8")})

    arrays = store.load(path).arrays

    assert [array.dtype.str for array in arrays.values()] == ["<u8", "<i8"]
    assert (arrays["rows"].tolist(), arrays["times"].tolist()) == ([1, 2], [-1])


def test_a_big_endian_preamble_is_refused(path):
    fields = layout.PREAMBLE.unpack(path.read_bytes()[: layout.PREAMBLE.size])
    swapped = struct.pack(layout.PREAMBLE.format.replace("<", ">"), *fields)

    path.write_bytes(swapped + path.read_bytes()[len(swapped) :])

    assert_refused(path, "format version 33554432")


# Attacks


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, monkeypatch, attack):
    monkeypatch.chdir(tmp_path)
    said, make = ATTACKS[attack]
    pickled = make(tmp_path)
    sys.modules.pop("antigravity", None)

    (tmp_path / "index.1").write_bytes(forged(pickled, bytes(16)))

    assert_refused(tmp_path / "index.1", rf"index\.1: damaged head .*{re.escape(said)}")
    assert os.listdir(tmp_path) == ["index.1"]
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("attack", ["os.system, protocol 0", "os.system, protocol 5", "eval"])
def test_a_malicious_pickle_as_the_file_is_refused(tmp_path, attack):
    (tmp_path / "index.1").write_bytes(ATTACKS[attack][1](tmp_path))

    assert_refused(tmp_path / "index.1", "not an imgdup index file")
    assert os.listdir(tmp_path) == ["index.1"]


@pytest.mark.parametrize("attack", ["os.system, protocol 0", "os.system, protocol 5", "eval"])
def test_the_attacks_would_work_on_a_plain_pickle_load(tmp_path, attack):
    pickle.loads(ATTACKS[attack][1](tmp_path))

    assert (tmp_path / "ran").exists()


def test_the_bombs_would_work_on_a_plain_pickle_load():
    assert pickle.loads(doubling(2)) == [[[1, 1]] * 2] * 2
    assert pickle.loads(nested_key(2)) == {(((), ()), ((), ())): 1}


@pytest.mark.parametrize("name", HEADS)
def test_arrays_that_claim_what_they_are_not_are_refused(tmp_path, name):
    (tmp_path / "index.1").write_bytes(forged(layout.dumps(HEADS[name]), bytes(16)))

    assert_refused(tmp_path / "index.1", "damaged head")


def test_the_forgery_is_what_it_would_be_without_the_lie(tmp_path):
    (tmp_path / "index.1").write_bytes(forged(layout.dumps(described()), bytes(16)))

    assert store.load(tmp_path / "index.1", verify=True).arrays["rows"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "spans",
    [
        [(1 << 62, 0)],
        [((1 << 64) - 1, 0)],
        [(PAGE + 1, 0)],
        [(16, 0), (16, 0)],
        [(16, 0), (PAGE, 0)],
        [],
        [(16, 0)] * 257,
        [(0, 0)],
    ],
    ids=str,
)
def test_arrays_that_do_not_fill_the_file_are_refused(tmp_path, spans):
    pickled = layout.dumps(described())
    total = layout.padded(layout.front_bytes(len(spans), len(pickled))) + PAGE
    front = layout.pack(total, [layout.Span(*span) for span in spans], pickled)

    (tmp_path / "index.1").write_bytes(front + bytes(PAGE))

    assert_refused(tmp_path / "index.1", "damaged head")


def test_pages_that_belong_to_no_array_are_refused(tmp_path):
    pickled = layout.dumps(described())
    front = layout.pack(3 * PAGE, [layout.Span(16, 0)], pickled)

    (tmp_path / "index.1").write_bytes(front + bytes(2 * PAGE))

    assert_refused(tmp_path / "index.1", "the arrays do not fill the file")


def test_more_arrays_than_are_ever_written_are_refused(tmp_path):
    fields = described()["arrays"]["rows"]
    pickled = layout.dumps({"head": {}, "arrays": {f"rows {n}": fields for n in range(257)}})

    (tmp_path / "index.1").write_bytes(forged(pickled, *[bytes(16)] * 257))

    assert_refused(tmp_path / "index.1", "damaged head .sizes")


@posix
def test_a_head_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    fields = (layout.MAGIC, layout.FORMAT_VERSION, 1 << 32, (1 << 32) - PAGE, 1, 0)
    (tmp_path / "index.1").write_bytes(layout.PREAMBLE.pack(*fields))
    os.truncate(tmp_path / "index.1", 1 << 32)

    assert_refused(tmp_path / "index.1", "damaged head .sizes")


def test_forged_heads_with_right_checksums_are_refused_or_harmless(tmp_path):
    rng = random.Random(68)
    path = tmp_path / "index.1"
    head = {"bits": 64, "roots": [{"path": "/photos", "exclude": ["*.gif"]}], "n": 1 << 40}
    store.save(path, head, {"rows": np.zeros((9, 4), "<u8"), "none": np.zeros((0, 2), "<i4")})
    whole = path.read_bytes()
    fields = layout.PREAMBLE.unpack(whole[: layout.PREAMBLE.size])
    end = layout.front_bytes(fields[4], fields[3])
    n_harmless = 0

    for _ in range(N_FORGED):
        data = mutated(rng, whole, rng.choice([12, 32, 56]), end)[: len(whole)]
        with path.open("r+b") as file:
            file.write(with_right_checksum(data.ljust(len(whole), b"\0")))
        with contextlib.suppress(IndexFormatError), little_work():
            assert_harmless(store.load(path), len(whole))
            n_harmless += 1

    assert 0 < n_harmless < 0.1 * N_FORGED


def test_a_plain_pickle_load_of_the_file_is_inert(path):
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="invalid load key"):
        pickle.load(file)


def test_a_plain_pickle_load_of_the_head_is_inert(path):
    with path.open("rb") as file:
        head = layout.read(path, file).pickled

    with pytest.raises(pickle.UnpicklingError, match="out-of-band"):
        pickle.load(io.BytesIO(head))


# Several at once

WRITER = """
import sys, time
from pathlib import Path
from imgdup.index import folder
with folder.locked(Path(sys.argv[1])):
    print("writing", flush=True)
    time.sleep(60)
"""


def test_the_second_writer_gets_the_name_of_the_first_and_follows_when_it_dies(place):
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        with pytest.raises(LockedError, match=f"being written by pid {writer.pid} on .* since "):
            folder.locked(place).__enter__()

        writer.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        writer.wait()

        with folder.locked(place):
            commit(place, 2)
    assert folder.open_generation(place, value_of)[1] == 2


def test_a_hundred_readers_during_writes_always_see_a_whole_generation(place, no_sync):
    seen, failures, done = [], [], threading.Event()

    def read():
        last = 0
        while not done.is_set() or last == 0:
            try:
                current, value = folder.open_generation(place, value_of)
                assert current.scanned_ns == {"/photos": value}
                assert value >= last
                last = value
            except BaseException as failure:
                failures.append(failure)
                return
        seen.append(last)

    readers = [threading.Thread(target=read) for _ in range(100)]
    for reader in readers:
        reader.start()
    for value in range(2, 20):
        commit(place, value)
    done.set()
    for reader in readers:
        reader.join()

    assert failures == []
    assert len(seen) == 100 and max(seen) == 19


def test_stray_files_of_a_crash_are_not_read_and_swept(place):
    for stray in ["index.2.0badcafe.tmp", "current.0badcafe.tmp", "parts/a.0badcafe.tmp"]:
        (place / stray).write_bytes(b"half")
    fill(place / "index.2", 2)

    before = folder.open_generation(place, value_of)[1]
    n_swept = folder.sweep(place)

    assert (before, n_swept) == (1, 4)
    assert sorted(p.name for p in place.rglob("*")) == ["current", "index.1", "parts"]


# What changed meanwhile


def test_a_copied_and_moved_index_opens_and_nothing_is_written(place, tmp_path):
    shutil.copytree(place, tmp_path / "elsewhere")
    shutil.rmtree(place)
    for each in [*(tmp_path / "elsewhere").iterdir(), tmp_path / "elsewhere"]:
        each.chmod(0o555 if each.is_dir() else 0o444)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "elsewhere").rglob("*")}

    value = folder.open_generation(tmp_path / "elsewhere", value_of)[1]

    (tmp_path / "elsewhere").chmod(0o755)
    assert value == 1
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "elsewhere").rglob("*")} == before


@pytest.mark.parametrize("n_rows", [0, 1])
def test_an_index_of_none_or_one_opens(path, n_rows):
    store.save(path, {"bits": 64}, {"hashes": np.zeros((n_rows, 1), "<u8"), "blob": b_of(0)})

    stored = store.load(path, verify=True)

    assert stored.arrays["hashes"].shape == (n_rows, 1)
    assert stored.arrays["blob"].shape == (0,)


def b_of(n_bytes):
    return np.zeros(n_bytes, "u1")


def test_an_index_of_no_arrays_opens(path):
    store.save(path, {}, {})

    assert store.load(path, verify=True)[:2] == ({}, {})


def test_a_clock_that_jumps_back_changes_nothing(place):
    fill(place / "index.2", 2)

    folder.commit(place, Current(2, "1970-01-01T00:00:00+00:00", "0.1.0", {"/photos": -1}))

    assert folder.open_generation(place, value_of)[1] == 2
    assert folder.next_generation(place) == 3
