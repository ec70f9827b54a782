"""Which duplicates decode to the same picture: real files, written here, decoded in workers."""

import hashlib
import os

import numpy as np
import pytest
from blake3 import blake3
from imgdup.dedupe.pixels import look_at_pixels, may_be_same, pixel_digests
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from array_rows import File, rows_of
from imgdup.dedupe import find_duplicates
from imgdup.dedupe.relations import RE_ENCODED, RELATIONS, SAME_BYTES
from imgdup.images.decode import decode_rgb
from imgdup.system.limits import Limits

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def written(folder, name, pixels=PIXELS, **options):
    path = folder / name
    Image.fromarray(pixels).save(path, **options)
    return path


def noted(folder, name):
    """The picture with its name written into the file."""
    note = PngInfo()
    note.add_text("name", name)
    return written(folder, name, pnginfo=note)


def row_of(path, **facts):
    data = path.read_bytes()
    kind = {".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
    return File(
        os.fsencode(path), content=data, size=len(data), width=32, height=24, format=kind, **facts
    )


def relations(files, **options):
    rows = rows_of(files)
    found = look_at_pixels(find_duplicates(rows), **options)
    return {
        os.path.basename(rows.path(row)).decode(): RELATIONS[relation]
        for row, relation in zip(found.groups.removed.tolist(), found.relations, strict=True)
    }


def test_a_picture_saved_anew_without_loss_has_the_same_pixels(tmp_path):
    files = [
        written(tmp_path, "1.bmp"),
        written(tmp_path, "2.png"),
        written(tmp_path, "3.png", compress_level=0),
        written(tmp_path, "4.tiff"),
        written(tmp_path, "5.png", PIXELS ^ 1),
    ]

    found = relations([row_of(path) for path in files])

    assert found["5.png"] == "re-encoded"
    same = {name for name, relation in found.items() if relation == "same-pixels"}
    assert len(same) == 3 and "5.png" not in same


def test_a_png_of_a_jpeg_has_its_pixels_even_if_its_hash_is_a_little_off(tmp_path):
    jpeg = written(tmp_path, "1.jpg", quality=100)
    png = written(tmp_path, "2.png", decode_rgb(jpeg.read_bytes(), Limits(), 32))

    found = relations([row_of(jpeg), row_of(png, match=0b11)])

    assert list(found.values()) == ["same-pixels"]


def test_files_that_changed_or_went_stay_re_encoded(tmp_path):
    files = [row_of(noted(tmp_path, f"{i}.png")) for i in range(3)]
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "2.png").unlink()

    found = relations(files)

    assert set(found.values()) == {"re-encoded"}


def test_files_that_all_went_have_not_the_same_pixels(tmp_path):
    files = [row_of(noted(tmp_path, f"{i}.png")) for i in range(2)]
    for path in tmp_path.iterdir():
        path.unlink()

    assert relations(files) == {"1.png": "re-encoded"}


def test_files_beyond_the_budget_remain_re_encoded(tmp_path):
    files = [row_of(noted(tmp_path, f"{i}.png")) for i in range(3)]

    found = relations(files, budget=2 * 32 * 24)

    assert sorted(found.values()) == ["re-encoded", "same-pixels"]


def test_no_process_starts_where_there_is_nothing_to_look_at(monkeypatch):
    monkeypatch.setattr("imgdup.workers.pool.Processes", None)
    files = [File(b"/data/1.jpg", content=b"x"), File(b"/data/2.jpg", content=b"x")]

    assert relations(files) == {"2.jpg": "same-bytes"}
    assert pixel_digests([], "blake3", Limits()) == {}


@pytest.mark.parametrize(
    ("one", "other", "relation", "expected"),
    [
        ({}, {}, RE_ENCODED, True),
        ({}, {}, SAME_BYTES, False),
        ({}, {"match": 1}, RE_ENCODED, False),
        ({}, {"search": 1}, RE_ENCODED, False),
        ({}, {"match": 1, "format": "png"}, RE_ENCODED, True),
        ({"format": "bmp"}, {"match": 1}, RE_ENCODED, True),
        ({}, {"format": "webp"}, RE_ENCODED, False),
        ({"format": "webp"}, {"format": "png"}, RE_ENCODED, True),
        ({"format": "webp"}, {"format": "png", "match": 1}, RE_ENCODED, False),
    ],
)
def test_only_pairs_that_may_be_the_same_are_looked_at(one, other, relation, expected):
    rows = rows_of([File(b"/data/1", **one), File(b"/data/2", **other)])

    found = may_be_same(rows, np.array([0]), np.array([1]), np.array([relation], np.uint8))

    assert found.tolist() == [expected]


@pytest.mark.parametrize("kind", ["blake2b", "blake3"])
def test_a_digest_is_that_of_shape_and_pixels(tmp_path, kind):
    path = written(tmp_path, "a.png")
    data = path.read_bytes()
    content = {
        "blake2b": hashlib.blake2b(data, digest_size=16).digest(),
        "blake3": blake3(data).digest(16),
    }[kind]

    found = pixel_digests([(os.fsencode(path), content)], kind, Limits())

    shown = repr(PIXELS.shape).encode() + PIXELS.tobytes()
    assert found == {os.fsencode(path): hashlib.blake2b(shown, digest_size=16).digest()}
