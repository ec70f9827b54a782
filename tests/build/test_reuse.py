"""Rows of another index are copied for files that did not change, as if they had been hashed."""

import logging
import os

import pytest

from encoded import painted
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.index import folder
from imgdup.index.columns import PDQ
from imgdup.index.generation import open_generation
from imgdup.workers.pool import inline


@pytest.fixture
def photos(tmp_path):
    """Four old pictures in two folders, and a file that is none."""
    place = tmp_path / "photos"
    for name, seed in (("a/0.jpg", 0), ("a/1.png", 1), ("b/2.jpg", 2), ("b-c.jpg", 3)):
        write(place / name, painted(seed, 160, 120, name[-4:]))
    write(place / "a" / "bad.jpg", b"no picture")
    return place


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (1_600_000_000, 1_600_000_000))


def index(place, *folders, **options):
    return update_index(place, [os.fspath(each) for each in folders], settings(**options))


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def content(place):
    generation = folder.open_generation(place, open_generation)[1]
    return generation.file.read_bytes()


def counts(outcome):
    return outcome.hashed, outcome.unchanged, outcome.failed


@pytest.mark.parametrize("part", ["", "a", "b"])
def test_the_copied_rows_give_the_same_index_as_hashing(tmp_path, photos, part):
    index(tmp_path / "whole", photos)
    hashed = index(tmp_path / "hashed", photos / part)
    copied = index(tmp_path / "copied", photos / part, reuse=tmp_path / "whole")

    n_images, _, n_failed = counts(hashed)
    assert counts(copied) == (0, n_images, n_failed)
    assert content(tmp_path / "copied") == content(tmp_path / "hashed")


def test_files_that_are_new_or_changed_are_hashed(tmp_path, photos):
    index(tmp_path / "whole", photos)
    write(photos / "a" / "0.jpg", painted(7, 160, 120))
    write(photos / "new.jpg", painted(8, 160, 120))
    index(tmp_path / "hashed", photos)

    copied = index(tmp_path / "copied", photos, reuse=tmp_path / "whole")

    assert counts(copied) == (2, 3, 1)
    assert content(tmp_path / "copied") == content(tmp_path / "hashed")


def test_a_file_that_was_indexed_in_the_tick_in_which_it_was_written_is_hashed(tmp_path, photos):
    (photos / "a" / "0.jpg").touch()
    index(tmp_path / "whole", photos)

    copied = index(tmp_path / "copied", photos, reuse=tmp_path / "whole")

    assert counts(copied) == (1, 3, 1)


def test_an_index_of_its_own_is_brought_up_to_date_from_the_other(tmp_path, photos):
    index(tmp_path / "own", photos)
    write(photos / "new.jpg", painted(8, 160, 120))
    index(tmp_path / "whole", photos)

    assert counts(index(tmp_path / "own", photos, reuse=tmp_path / "whole")) == (0, 5, 1)


@pytest.mark.parametrize("options", [{"bits": 256}, {"with_pdq": True}], ids=str)
def test_rows_with_other_hashes_are_not_copied(tmp_path, photos, options):
    index(tmp_path / "whole", photos)

    copied = index(tmp_path / "copied", photos, reuse=tmp_path / "whole", **options)

    assert counts(copied) == (4, 0, 1)


def test_an_index_that_has_more_hashes_serves_as_well(tmp_path, photos):
    index(tmp_path / "whole", photos, with_pdq=True)
    index(tmp_path / "hashed", photos)

    copied = index(tmp_path / "copied", photos, reuse=tmp_path / "whole")

    assert counts(copied) == (0, 4, 1)
    assert content(tmp_path / "copied") == content(tmp_path / "hashed")
    assert PDQ not in folder.open_generation(tmp_path / "copied", open_generation)[1].arrays


def test_nothing_is_copied_from_a_damaged_index(tmp_path, photos, caplog):
    index(tmp_path / "whole", photos)
    file = tmp_path / "whole" / "index.1"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with caplog.at_level(logging.WARNING):
        copied = index(tmp_path / "copied", photos, reuse=tmp_path / "whole")

    assert counts(copied) == (4, 0, 1)
    assert "the files are read again" in caplog.text
