"""The match hash of what flat borders enclose, in an index: stored, kept, copied, or not there.

That the hash is the right one, ``tests/native/test_hashes.py`` shows by a twin. Here the expected
hash is the match hash of the same picture without its border, in the same index.
"""

import os
import time

import make_sample
import numpy as np
import pytest

from encoded import save
from imgdup.api.index import ImageIndex
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.index import folder, store
from imgdup.index.columns import TRIMMED, TRIMMED_ROWS, has_trimmed, trimmed_hashes
from imgdup.workers.pool import inline

BORDERS = {"letterbox": ((30, 30), (0, 0), (0, 0)), "frame": ((12, 12), (12, 12), (0, 0))}


def settings(**options):
    return Settings(workers=1, engine=inline, **options)


def place_picture(path, pixels):
    path.write_bytes(save(np.ascontiguousarray(pixels), "png"))
    then = time.time() - 3600
    os.utime(path, (then, then))


@pytest.fixture
def photos(tmp_path):
    """Two pictures without a border, and each with one."""
    (tmp_path / "photos").mkdir()
    for seed, (name, widths) in enumerate(BORDERS.items()):
        photo = make_sample.photo(seed, 240, 180)
        place_picture(tmp_path / "photos" / f"{name}-0.png", photo)
        place_picture(tmp_path / "photos" / f"{name}-1.png", np.pad(photo, widths))
    return tmp_path / "photos"


@pytest.fixture
def place(tmp_path, photos):
    update_index(tmp_path / "index", [str(photos)], settings())
    return tmp_path / "index"


def rows_of(place):
    return ImageIndex.open(place).rows


def assert_hashes_without_borders(rows):
    """Of each pair of rows, the second has a trimmed hash: the match hash of the first."""
    every = np.arange(len(rows))
    trimmed, match = trimmed_hashes(rows, every), rows.column("match")
    assert not trimmed[::2].any()
    assert trimmed[1::2].tolist() == match[::2].tolist()
    assert rows.column(TRIMMED_ROWS).tolist() == every[1::2].tolist()


def without_trimmed(place):
    """Write the current generation again as it was before borders were looked for."""
    file = folder.generation_path(place, 1)
    stored = store.load(file)
    arrays = {k: np.array(a) for k, a in stored.arrays.items() if k not in (TRIMMED, TRIMMED_ROWS)}
    store.save(file, stored.head, arrays)


def test_an_index_holds_the_hash_of_what_a_border_encloses(place):
    assert_hashes_without_borders(rows_of(place))
    assert ImageIndex.open(place).info()["with_trimmed"] is True


def test_an_update_keeps_the_hashes_of_files_that_it_does_not_read(place, photos):
    place_picture(photos / "another.png", make_sample.photo(9, 240, 180))
    place_picture(photos / "another2.png", np.pad(make_sample.photo(9, 240, 180), BORDERS["frame"]))

    outcome = update_index(place, [], settings())

    assert (outcome.hashed, outcome.unchanged) == (2, 4)
    assert_hashes_without_borders(rows_of(place))


def test_rows_that_are_copied_from_another_index_bring_their_hashes(place, photos, tmp_path):
    outcome = update_index(tmp_path / "other", [str(photos)], settings(reuse=place))

    assert outcome.hashed == 0
    assert_hashes_without_borders(rows_of(tmp_path / "other"))


def test_rows_of_an_index_without_these_hashes_are_not_copied(place, photos, tmp_path):
    without_trimmed(place)

    outcome = update_index(tmp_path / "other", [str(photos)], settings(reuse=place))

    assert outcome.hashed == 4
    assert_hashes_without_borders(rows_of(tmp_path / "other"))


def test_an_older_index_has_none_until_all_its_files_are_read_again(place, photos):
    without_trimmed(place)
    place_picture(photos / "z.png", np.pad(make_sample.photo(9, 240, 180), BORDERS["frame"]))

    updated = update_index(place, [], settings())

    assert (updated.hashed, updated.unchanged) == (1, 4)
    assert not has_trimmed(rows_of(place))
    assert ImageIndex.open(place).info()["with_trimmed"] is False

    (photos / "z.png").unlink()
    update_index(place, [], settings(rehash=True))

    assert_hashes_without_borders(rows_of(place))


def test_an_index_without_bordered_pictures_is_not_larger(place, photos):
    for path in photos.glob("*-1.png"):
        path.unlink()
    update_index(place, [], settings(allow_removals=True))
    file = folder.generation_path(place, folder.read_current(place).generation)
    size = file.stat().st_size
    stored = store.load(file)
    assert len(stored.arrays[TRIMMED_ROWS]) == 0

    arrays = {k: np.array(a) for k, a in stored.arrays.items() if k not in (TRIMMED, TRIMMED_ROWS)}
    store.save(file, stored.head, arrays)

    assert file.stat().st_size == size
