"""Checkpoints: what the workers of a run found, kept until a generation holds it.

Oracle: the rows that were appended, sorted; a cut file holds the blocks that end before the cut.
"""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.build.checkpoints import BatchSettings, Checkpoints, append_rows
from imgdup.build.known import COARSE_TICK_NS, FINE_TICK_NS, is_settled
from imgdup.errors import ImgdupError
from imgdup.index.columns import fields
from imgdup.system.limits import Limits
from imgdup.system.paths import path_key

PARAMETERS = {
    "hash": "dhash", "bits": 64, "parameters": 1, "digest_kind": "blake3", "with_pdq": 0,
    "with_trimmed": 0,
}  # fmt: skip
SECOND = 1_000_000_000


def settings_of(folder, run="run", **parameters):
    return BatchSettings(folder, {**PARAMETERS, **parameters}, Limits(), run)


def add_rows(folder, paths, *, hashed_ns=5, sizes=None, failures=None, run="run", **parameters):
    settings = settings_of(folder, run, **parameters)
    columns = settings.empty_columns(len(paths))
    columns["size"][:] = range(len(paths)) if sizes is None else sizes
    return append_rows(settings, hashed_ns, paths, columns, failures or {})


def keys_in(folder):
    return [key for key, _ in Checkpoints(folder, PARAMETERS).rows()]


def test_rows_of_all_blocks_and_files_are_yielded_in_path_order(tmp_path):
    add_rows(tmp_path, [b"/b", b"/d", b"/e"])
    add_rows(tmp_path, [b"/a", b"/c", b"/f"])
    add_rows(tmp_path, [b"/g"], run="another run")

    done = list(Checkpoints(tmp_path, PARAMETERS).rows())

    assert len(os.listdir(tmp_path)) == 2
    assert [key for key, _ in done] == [path_key(b"/%c" % c) for c in b"abcdefg"]
    assert [row.size for _, row in done] == [0, 0, 1, 1, 2, 2, 0]


PATHS = st.binary(min_size=1, max_size=2).filter(lambda path: b"\0" not in path)


@given(st.lists(st.lists(PATHS, unique=True), max_size=4))
def test_rows_are_yielded_as_if_all_were_sorted(tmp_path_factory, groups):
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, paths in enumerate(groups):
        if paths:
            add_rows(folder, sorted(paths, key=path_key), run=str(number // 2))

    assert keys_in(folder) == sorted(path_key(path) for paths in groups for path in paths)


def test_rows_are_found_by_their_numbers(tmp_path):
    rng = np.random.default_rng(1)
    settings = settings_of(tmp_path)
    for n_rows in (1, 13, 200):
        columns = {
            name: rng.integers(0, 200, (n_rows, *shape)).astype(dtype)
            for name, (dtype, shape) in fields(1).items()
        }
        paths = [b"/%d/%d" % (n_rows, i) for i in range(n_rows)]

        name, first_row = append_rows(settings, 5, paths, columns, {})

        numbers = np.arange(first_row, first_row + n_rows)[::-1]
        found = Checkpoints(tmp_path, PARAMETERS).columns(name, numbers)
        for field, column in columns.items():
            assert np.array_equal(found[field][numbers], column[::-1])


def test_what_went_wrong_is_found_by_the_number_of_the_row(tmp_path):
    name, _ = add_rows(tmp_path, [b"/a", b"/b"])
    _, first_row = add_rows(tmp_path, [b"/c", b"/d", b"/e"], failures={0: "cut", 2: "\udcff\n"})

    failures = Checkpoints(tmp_path, PARAMETERS).failures(name)

    assert failures == {first_row: "cut", first_row + 2: "\udcff\n"}


def test_a_file_cut_anywhere_holds_the_blocks_before_the_cut(tmp_path, caplog):
    ends = {}
    for paths in ([b"/a", b"/b"], [b"/c"], [b"/d", b"/e", b"/f"]):
        name, _ = add_rows(tmp_path, paths)
        ends[(tmp_path / name).stat().st_size] = paths
    data = (tmp_path / name).read_bytes()

    for n_bytes in range(len(data) + 1):
        (tmp_path / name).write_bytes(data[:n_bytes])

        whole = [path for end, paths in ends.items() if end <= n_bytes for path in paths]
        assert keys_in(tmp_path) == [path_key(path) for path in whole]
    assert caplog.text == ""


def test_a_changed_byte_anywhere_loses_its_block_and_what_follows(tmp_path):
    name, _ = add_rows(tmp_path, [b"/a"])
    first = (tmp_path / name).stat().st_size
    add_rows(tmp_path, [b"/b", b"/c"])
    data = (tmp_path / name).read_bytes()

    for at in range(len(data)):
        (tmp_path / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])

        assert keys_in(tmp_path) == ([path_key(b"/a")] if at >= first else [])


def test_checkpoints_of_other_parameters_or_damaged_are_left_out(tmp_path, caplog):
    add_rows(tmp_path, [b"/a"], run="wide", bits=256)
    add_rows(tmp_path, [b"/c"], run="old digests", digest_kind="blake2b")
    add_rows(tmp_path, [b"/b"])
    (tmp_path / "0123456789abcdef").write_bytes(b"no checkpoint" * 9)
    (tmp_path / "0123456789abcdee").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"none of ours")

    assert keys_in(tmp_path) == [path_key(b"/b")]
    assert caplog.text.count("is damaged") == 1


def test_rows_of_a_file_that_was_damaged_meanwhile_are_refused(tmp_path):
    name, first_row = add_rows(tmp_path, [b"/a", b"/b"])
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-1])
    numbers = np.array([first_row, first_row + 1])

    with pytest.raises(ImgdupError, match="run the same command again"):
        Checkpoints(tmp_path, PARAMETERS).columns(name, numbers)


def test_every_file_is_opened_once(tmp_path, monkeypatch):
    from imgdup.build import checkpoints as module

    names = [add_rows(tmp_path, [b"/%d" % i], run=str(i // 10))[0] for i in range(30)]
    opened = []
    real = module.open_regular
    monkeypatch.setattr(module, "open_regular", lambda path: opened.append(path) or real(path))
    checkpoints = Checkpoints(tmp_path, PARAMETERS)

    rows = list(checkpoints.rows())
    for name in names:
        checkpoints.columns(name, np.array([1]))
        checkpoints.failures(name)

    assert len(rows) == 30
    assert len(opened) == len(set(names)) == 3


def test_every_thread_and_process_has_a_file_of_its_own(tmp_path):
    script = (
        "import sys, test_checkpoints as t, pathlib;"
        "print(t.add_rows(pathlib.Path(sys.argv[1]), [b'/process'])[0])"
    )
    names = [add_rows(tmp_path, [b"/here"])[0], add_rows(tmp_path, [b"/here too"])[0]]
    thread = threading.Thread(target=lambda: names.append(add_rows(tmp_path, [b"/thread"])[0]))
    thread.start()
    thread.join()
    order = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(order, capture_output=True, text=True, cwd=os.path.dirname(__file__))
    names.append(result.stdout.strip())

    assert names[0] == names[1]
    assert len(set(names)) == len(os.listdir(tmp_path)) == 3
    assert sorted(keys_in(tmp_path)) == [b"\0here", b"\0here too", b"\0process", b"\0thread"]


def test_a_failed_write_is_followed_by_a_new_file(tmp_path, monkeypatch):
    first, _ = add_rows(tmp_path, [b"/a"])
    real = os.write

    def half_then_full_disk(descriptor, data):
        real(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ImgdupError, match="no room to write"):
        patch.setattr(os, "write", half_then_full_disk)
        add_rows(tmp_path, [b"/b"])
    second, _ = add_rows(tmp_path, [b"/c"])

    assert first != second
    assert keys_in(tmp_path) == [path_key(b"/a"), path_key(b"/c")]


def test_a_write_in_pieces_gives_the_same_file(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))

    add_rows(tmp_path, [b"/a", b"/b"])

    assert keys_in(tmp_path) == [path_key(b"/a"), path_key(b"/b")]


def test_batches_of_thirteen_files_take_at_most_200_bytes_per_file(tmp_path):
    paths = [b"/home/somebody/pictures/2024-07 holidays/IMG_%04d.JPG" % i for i in range(6000)]

    for start in range(0, len(paths), 13):
        name, _ = add_rows(tmp_path, paths[start : start + 13])

    assert (tmp_path / name).stat().st_size / len(paths) <= 200


@pytest.mark.parametrize(
    ("mtime_ns", "seen_ns", "settled"),
    [
        (10 * SECOND + 1, 10 * SECOND + 1 + FINE_TICK_NS, False),
        (10 * SECOND + 1, 10 * SECOND + 2 + FINE_TICK_NS, True),
        (10 * SECOND, 10 * SECOND + COARSE_TICK_NS, False),
        (10 * SECOND, 10 * SECOND + COARSE_TICK_NS + 1, True),
        (11 * SECOND + 1, 10 * SECOND, False),
    ],
)
def test_a_file_is_settled_when_its_clock_has_ticked_since(mtime_ns, seen_ns, settled):
    assert is_settled(mtime_ns, seen_ns) is settled


def test_sweep_deletes_checkpoints_and_nothing_else(tmp_path):
    add_rows(tmp_path, [b"/a"])
    (tmp_path / "notes.txt").write_bytes(b"none of ours")
    checkpoints = Checkpoints(tmp_path, PARAMETERS)
    assert len(list(checkpoints.rows())) == 1

    checkpoints.sweep()

    assert os.listdir(tmp_path) == ["notes.txt"]
