"""Checkpoints: what a batch found, kept until a generation holds it."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdup.build.checkpoints import Checkpoints, sweep_checkpoints, write_checkpoint
from imgdup.build.sources import COARSE_TICK_NS, FINE_TICK_NS, is_settled
from imgdup.index import store
from imgdup.index.columns import empty_columns
from imgdup.system.paths import path_key

PARAMETERS = {"hash": "dhash", "bits": 64, "parameters": 1, "digest_kind": "blake3", "with_pdq": 0}
SECOND = 1_000_000_000


def add_checkpoint(folder, paths, *, hashed_ns=5, sizes=None, **parameters):
    columns = empty_columns(len(paths), 1)
    columns["size"][:] = range(len(paths)) if sizes is None else sizes
    head = {**PARAMETERS, **parameters, "hashed_ns": hashed_ns}
    return write_checkpoint(folder, head, paths, columns, {})


def test_rows_of_all_checkpoints_come_in_path_order(tmp_path):
    add_checkpoint(tmp_path, [b"/b", b"/d", b"/e"])
    add_checkpoint(tmp_path, [b"/a", b"/c", b"/f"])
    add_checkpoint(tmp_path, [b"/g"])

    done = list(Checkpoints(tmp_path, PARAMETERS).rows())

    assert [key for key, _ in done] == [path_key(b"/%c" % c) for c in b"abcdefg"]
    assert [row.row for _, row in done] == [0, 0, 1, 1, 2, 2, 0]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=2), unique=True), max_size=4))
def test_rows_come_as_if_all_were_sorted(tmp_path_factory, groups):
    folder = tmp_path_factory.mktemp("checkpoints")
    for paths in groups:
        if paths:
            add_checkpoint(folder, sorted(paths, key=path_key))

    keys = [key for key, _ in Checkpoints(folder, PARAMETERS).rows()]

    assert keys == sorted(path_key(path) for paths in groups for path in paths)


def test_checkpoints_of_other_parameters_or_damaged_are_left_out(tmp_path, caplog):
    add_checkpoint(tmp_path, [b"/a"], bits=256)
    add_checkpoint(tmp_path, [b"/b"])
    (tmp_path / "0123456789abcdef").write_bytes(b"no checkpoint")
    (tmp_path / "notes.txt").write_bytes(b"none of ours")

    found = Checkpoints(tmp_path, PARAMETERS)

    assert [key for key, _ in found.rows()] == [path_key(b"/b")]
    assert caplog.text.count("a checkpoint is damaged") == 1


def test_a_flipped_byte_anywhere_in_the_data_is_found(tmp_path, caplog):
    name = add_checkpoint(tmp_path, [b"/a"], sizes=[77])
    data = bytearray((tmp_path / name).read_bytes())
    data[-10] ^= 1
    (tmp_path / name).write_bytes(data)

    assert len(Checkpoints(tmp_path, PARAMETERS)) == 0


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
    add_checkpoint(tmp_path, [b"/a"])
    (tmp_path / "notes.txt").write_bytes(b"none of ours")

    sweep_checkpoints(tmp_path)

    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_checkpoint_holds_its_columns(tmp_path):
    name = add_checkpoint(tmp_path, [b"/a", b"/b"], sizes=[3, 4])

    found = store.load(tmp_path / name, verify=True)

    assert found.arrays["size"].tolist() == [3, 4]
    assert found.arrays["hashes"].shape == (2, 1)
    assert np.all(found.arrays["status"] == 0)
