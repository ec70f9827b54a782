"""One batch: whatever goes wrong with a file is its own answer, and costs no other file's."""

import numpy as np
import pytest
from make_sample import encode, photo

from imgdup.build import hash_batch as module
from imgdup.build.checkpoints import BatchSettings, Checkpoints, append_block
from imgdup.build.hash_batch import TOGETHER, FileToHash, hash_batch
from imgdup.images.decode import decode
from imgdup.images.formats import REASONS
from imgdup.system.files import read_file
from imgdup.system.limits import Limits
from imgdup.workers.child import Stopped

PARAMETERS = {
    "hash": "dhash", "bits": 64, "parameters": 1, "digest_kind": "blake3", "with_pdq": 0,
    "with_trimmed": 1,
}  # fmt: skip
N_FILES = TOGETHER + 3


@pytest.fixture
def items(tmp_path):
    paths = [tmp_path / f"{i:02}.jpg" for i in range(N_FILES)]
    for i, path in enumerate(paths):
        path.write_bytes(encode(photo(i, 120, 90), ".jpg"))
    return [FileToHash(i, bytes(path), path.stat().st_size, 0, b"") for i, path in enumerate(paths)]


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "parts").mkdir()
    return BatchSettings(tmp_path / "parts", PARAMETERS, Limits())


def rows_of(shared, items, before_item=lambda position: None):
    result = hash_batch(shared, items, before_item)
    numbers = np.arange(result.first_row, result.first_row + len(result.statuses))
    checkpoints = Checkpoints(shared.checkpoints_folder, PARAMETERS)
    columns = checkpoints.columns(result.checkpoint, numbers)
    return result, {name: column[numbers] for name, column in columns.items()}


def test_all_files_have_the_hashes_that_each_has_alone(shared, items):
    _, together = rows_of(shared, items)

    alone = [rows_of(shared, [item])[1] for item in items]

    for name in ("hashes", "match", "quality"):
        assert together[name].tolist() == [arrays[name][0].tolist() for arrays in alone]


def test_a_batch_is_returned_by_value_where_the_folder_cannot_be_read(shared, items, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    items = [*items, FileToHash(N_FILES, bytes(tmp_path / "cut.jpg"), 3, 0, b"")]
    elsewhere = shared._replace(by_value=True, checkpoints_folder=tmp_path / "unseen", began_ns=7)
    expected, there = rows_of(shared, items)

    result = hash_batch(elsewhere, items, lambda position: None)
    name, first_row = append_block(shared, result.block, len(items))

    assert (result.checkpoint, result.statuses) == ("", expected.statuses)
    assert name == expected.checkpoint
    checkpoints = Checkpoints(shared.checkpoints_folder, PARAMETERS)
    here = checkpoints.columns(name, np.arange(first_row, first_row + len(items)))
    for field, column in there.items():
        assert here[field][first_row:][: len(items)].tolist() == column.tolist()
    assert (
        checkpoints.failures(name)[first_row + N_FILES]
        == (checkpoints.failures(name)[expected.first_row + N_FILES])
    )
    assert {row.hashed_ns for _, row in checkpoints.rows() if row.row >= first_row} == {7}


def test_what_goes_wrong_in_hashing_is_the_answer_for_that_file_alone(shared, items, monkeypatch):
    expected = rows_of(shared, items)[1]
    fingerprints = module.fingerprints
    culprit = decode(read_file(items[4].path, Limits()).data, Limits()).gray.pixels.sum()

    def short_of_memory(pictures, name, bits, **options):
        if any(each.pixels.sum() == culprit for each in pictures):
            raise MemoryError
        return fingerprints(pictures, name, bits, **options)

    monkeypatch.setattr(module, "fingerprints", short_of_memory)

    result, found = rows_of(shared, items)

    assert [REASONS[status] for status in result.statuses] == [
        "too-large" if i == 4 else "ok" for i in range(N_FILES)
    ]
    others = [i for i in range(N_FILES) if i != 4]
    assert found["match"][others].tolist() == expected["match"][others].tolist()


def test_pictures_that_cannot_be_hashed_in_one_call_are_hashed_one_by_one(
    shared, items, monkeypatch
):
    expected = rows_of(shared, items)[1]
    fingerprints = module.fingerprints

    def only_one(pictures, name, bits, **options):
        if len(pictures) > 1:
            raise MemoryError
        return fingerprints(pictures, name, bits, **options)

    monkeypatch.setattr(module, "fingerprints", only_one)

    result, found = rows_of(shared, items)

    assert set(result.statuses) == {0}
    assert found["hashes"].tolist() == expected["hashes"].tolist()


@pytest.mark.parametrize("n_done", [1, TOGETHER - 1, TOGETHER, TOGETHER + 1])
def test_what_was_decoded_before_a_stop_has_its_hashes(shared, items, n_done):
    expected = rows_of(shared, items)[1]

    def stop(position):
        if position == n_done:
            raise Stopped

    result, found = rows_of(shared, items, stop)

    assert len(result.statuses) == n_done
    assert found["hashes"].tolist() == expected["hashes"][:n_done].tolist()
    assert found["match"].tolist() == expected["match"][:n_done].tolist()
