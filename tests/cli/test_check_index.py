"""Check: an intact index passes, each kind of damage is named."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_sample import encode, photo

from imgdup import ImageIndex
from imgdup.build.settings import Settings
from imgdup.query import check_index as check
from imgdup.query.check_index import check_structure
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(8):
        (folder / f"p{seed}.jpg").write_bytes(encode(photo(seed, 160, 120), ".jpg"))
    (folder / "bad.jpg").write_bytes(b"nonsense")
    settings = Settings(workers=1, engine=inline)
    return ImageIndex.build(folder, path=tmp_path / "index", settings=settings)


def forged(index, **arrays):
    """The same index with other arrays."""
    generation = replace(index.generation, arrays={**index.generation.arrays, **arrays})
    return ImageIndex(index.folder, index.current, generation)


def test_an_intact_index_passes(index):
    assert list(check_structure(index.rows)) == []
    assert list(check.check_deep(index.rows)) == []


def test_an_empty_index_passes(tmp_path):
    (tmp_path / "empty").mkdir()
    settings = Settings(workers=1, engine=inline)
    index = ImageIndex.build(tmp_path / "empty", path=tmp_path / "index", settings=settings)

    assert list(check_structure(index.rows)) == []
    assert list(check.check_deep(index.rows)) == []


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("class_offsets", lambda a: a[::-1].copy(), "do not ascend"),
        ("class_rows", lambda a: np.full_like(a, a[0]), "each image once"),
        ("same_file", lambda a: np.arange(len(a)), "names itself"),
        ("status", lambda a: np.full_like(a, 99), "unknown number"),
    ],
)
def test_what_does_not_fit_together_is_named(index, name, change, words):
    findings = list(check_structure(forged(index, **{name: change(index.column(name))}).rows))

    assert any(words in finding for finding in findings)


def test_a_flipped_byte_in_the_body_is_found_and_its_array_named(index):
    file = index.generation.file
    data = bytearray(file.read_bytes())
    data[-8] ^= 1
    file.write_bytes(data)

    (finding,) = check_structure(ImageIndex.open(index.folder).rows)

    assert "checksum" in finding
    assert "'" in finding


def test_a_file_with_other_bytes_under_its_old_facts_is_found(index):
    path = os.fsdecode(index.rows.path(1))
    facts = os.stat(path)
    data = bytearray(Path(path).read_bytes())
    data[-30] ^= 1
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    findings = list(check.check_deep(index.rows))

    assert any("its content changed" in finding for finding in findings)


def test_a_tree_that_misses_matches_is_found(index, monkeypatch):
    real = type(index.generation.tree).within

    def within(self, probes, max_distance, *, strategy=None):
        return real(self, probes, max_distance - (strategy == "tree"), strategy=strategy)

    monkeypatch.setattr(check, "DISTANCES", (30,))
    monkeypatch.setattr(type(index.generation.tree), "within", within)

    findings = list(check.check_deep(index.rows))

    assert findings == ["the tree misses matches at distance 30; index again"]
