"""ImageIndex: what library users hold.

Oracle: `scan_rows`, a loop over all rows that compares whole integers.
"""

import os
import pickle
import re

import cv2
import numpy as np
import pytest
from make_sample import encode, photo
from PIL import Image

from imgdup import ImageIndex, Pair, hash_image
from imgdup.build.settings import Settings
from imgdup.errors import ImageError, ImgdupError, IndexFormatError
from imgdup.query.probe import make_probe
from imgdup.search import vptree
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

N_PHOTOS = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "photos"
    folder.mkdir()
    for seed in range(N_PHOTOS):
        picture = photo(seed, 320, 240)
        (folder / f"p{seed:02}.jpg").write_bytes(encode(picture, ".jpg"))
        (folder / f"q{seed:02}.png").write_bytes(encode(picture[::2, ::2], ".png"))
    (folder / "copy.jpg").write_bytes((folder / "p00.jpg").read_bytes())
    (folder / "flat.png").write_bytes(encode(np.full((60, 80, 3), 90, np.uint8), ".png"))
    (folder / "flat-copy.png").write_bytes((folder / "flat.png").read_bytes())
    (folder / "broken.jpg").write_bytes((folder / "p00.jpg").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def index(photos):
    return ImageIndex.build(
        photos, path=photos.parent / "index", settings=Settings(workers=1, engine=inline)
    )


def test_an_index_whose_tree_has_several_leaves_opens_again(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(vptree, "LEAF", 2)

    built = ImageIndex.build(
        photos, path=tmp_path / "index", settings=Settings(workers=1, engine=inline)
    )

    assert built.generation.tree.visited_fractions.max() > 1
    assert len(ImageIndex.open(tmp_path / "index")) == len(built)


def scan_rows(index, probe, max_distance):
    """Every row within the distance, nearest first, ties by row."""
    value = int.from_bytes(probe.tobytes(), "little")
    found = []
    for row, words in enumerate(index.column("hashes")):
        distance = (int.from_bytes(words.tobytes(), "little") ^ value).bit_count()
        if distance <= max_distance and index.column("status")[row] == 0:
            found.append((distance, row))
    return sorted(found)


@pytest.mark.parametrize("max_distance", [0, 4, 10, 25, 64])
def test_within_equals_a_scan_of_all_rows(index, photos, max_distance):
    for name in ("p00.jpg", "q03.png", "flat.png"):
        matches = index.within(photos / name, max_distance, by="search")

        assert [(m.distance, m.row) for m in matches] == scan_rows(
            index, hash_image(photos / name), max_distance
        )


@pytest.mark.parametrize("k", [1, 2, 5, 1000])
def test_nearest_equals_the_first_rows_of_a_scan(index, photos, k):
    matches = index.nearest(photos / "p00.jpg", k)

    everything = scan_rows(index, hash_image(photos / "p00.jpg"), 64)
    assert [(m.distance, m.row) for m in matches] == everything[:k]


def test_within_finds_by_match_hash_what_a_scan_finds(index, photos):
    for name in ("p00.jpg", "q03.png"):
        probe = make_probe(photos / name, index.generation.probe_parameters)
        value = int.from_bytes(probe.match.tobytes(), "little")
        expected = sorted(
            (distance, row)
            for row, words in enumerate(index.column("match"))
            for distance in [(int.from_bytes(words.tobytes(), "little") ^ value).bit_count()]
            if distance <= 90 and index.column("quality")[row] >= 50
        )

        matches = index.within(photos / name, 90, by="match")

        assert probe.quality >= 50
        assert [(m.match_distance, m.row) for m in matches] == expected
        assert index.nearest(photos / name, 2, by="match") == matches[:2]


def test_a_flat_picture_finds_only_its_own_bytes_by_match_hash(index, photos):
    copies = index.within(photos / "flat.png", by="match")

    assert [match.path.name for match in copies] == ["flat-copy.png", "flat.png"]
    assert index.within(np.full((60, 80), 90, np.uint8), by="match") == []


def test_by_default_the_matches_of_both_hashes_are_joined(index, photos):
    both = index.within(photos / "p00.jpg", 2)

    expected = {}
    for by, distance in (("search", 2), ("match", 31)):
        for match in index.within(photos / "p00.jpg", distance, by=by):
            found_by = expected[match.row].found_by if match.row in expected else ()
            expected[match.row] = match._replace(found_by=(*found_by, by))
    assert both == sorted(expected.values(), key=lambda match: (match.distance, match.row))


def test_path_bytes_and_text_find_the_same(index, photos):
    file = photos / "p05.jpg"

    assert index.within(file) == index.within(str(file)) == index.within(file.read_bytes())


def test_an_array_finds_the_lossless_file_with_its_pixels(index, photos):
    pixels = cv2.imread(str(photos / "q04.png"))[..., ::-1]

    matches = index.within(np.ascontiguousarray(pixels), 0)

    assert photos / "q04.png" in [m.path for m in matches]


def test_a_match_has_the_facts_of_its_file(index, photos):
    small = next(m for m in index.within(photos / "p01.jpg") if m.path.name == "q01.png")

    assert (small.width, small.height) == (160, 120)
    assert small.duplicate
    assert small.match_distance <= 31
    assert os.fsencode(small.path) == index.rows.path(small.row)


def test_flat_pictures_are_duplicates_only_by_their_bytes(index, photos):
    flat = {m.path.name: m.duplicate for m in index.within(photos / "flat.png", 0)}
    other = index.within(np.full((50, 50, 3), 90, np.uint8), 0)

    assert flat["flat-copy.png"]
    assert not any(m.duplicate for m in other)


def test_a_broken_image_raises_with_its_reason(index):
    with pytest.raises(ImageError, match="not-an-image"):
        index.within(b"nonsense")


@pytest.mark.parametrize("name", ["broken.jpg", "nowhere.jpg"])
def test_an_error_names_the_file(index, photos, name):
    for look_up in (index.within, hash_image):
        with pytest.raises(ImageError, match=f"^{re.escape(str(photos / name))}: "):
            look_up(photos / name)


@pytest.mark.parametrize("max_distance", [-1, 65])
def test_a_distance_outside_the_hash_raises(index, photos, max_distance):
    with pytest.raises(ValueError, match="64"):
        index.within(photos / "p00.jpg", max_distance)


def test_without_an_index_the_error_names_the_remedy(tmp_path):
    with pytest.raises(ImgdupError, match="imgdup index DIR"):
        ImageIndex.open(tmp_path / "nowhere")


def test_a_damaged_index_is_refused(photos, index, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in index.folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    data = bytearray((copy / "index.1").read_bytes())
    data[100] ^= 255
    (copy / "index.1").write_bytes(data)

    with pytest.raises(IndexFormatError, match="index"):
        ImageIndex.open(copy)


def test_an_index_can_be_copied_and_used_elsewhere(photos, index, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("current", "index.1"):
        (copy / name).write_bytes((index.folder / name).read_bytes())

    assert ImageIndex.open(copy).within(photos / "p00.jpg") == index.within(photos / "p00.jpg")


def test_hash_image_refuses_an_unknown_hash():
    with pytest.raises(ValueError, match="dhash"):
        hash_image(np.zeros((9, 9), np.uint8), "md5")


@pytest.mark.parametrize(("name", "bits"), [("dhash", 256), ("phash", 64), ("pdq", 256)])
def test_other_hashes_are_indexed_and_found(photos, tmp_path, name, bits):
    settings = Settings(hasher=name, bits=bits, workers=1, engine=inline)

    index = ImageIndex.build([photos], path=tmp_path / "index", settings=settings)

    names = [m.path.name for m in index.within(photos / "p02.jpg", 40)]
    assert names[0] == "p02.jpg"
    assert "q02.png" in names
    assert index.column("hashes").shape[1] == bits // 64


@pytest.mark.parametrize("turn", range(1, 8))
def test_a_rotated_picture_is_found_and_its_orientation_is_given(index, photos, turn):
    pixels = cv2.imread(str(photos / "q07.png"))[..., ::-1]
    rotated = np.rot90(pixels, turn % 4)
    rotated = np.ascontiguousarray(rotated[:, ::-1] if turn >= 4 else rotated)

    plain = index.within(rotated, 4)
    matches = index.within(rotated, 4, orientations=True)

    assert "q07.png" not in [m.path.name for m in plain]
    match = next(m for m in matches if m.path.name == "q07.png")
    expected = ["none", "rotate-90", "rotate-180", "rotate-270"]
    if turn < 4:
        assert match.orientation == expected[turn]
    assert match.orientation != "none"
    assert match.duplicate
    assert len({m.row for m in matches}) == len(matches)


def test_pairs_are_those_of_two_loops(index):
    match = [int.from_bytes(row.tobytes(), "little") for row in index.column("match")]
    structure = index.column("quality") >= 50
    expected = {
        (i, j)
        for i in range(len(index.rows))
        for j in range(i)
        if structure[i] and structure[j] and (match[i] ^ match[j]).bit_count() <= 31
    }

    blocks = list(index.pairs_arrays())

    found = [{int(i), int(j)} for b in blocks for i, j in zip(b.left, b.right, strict=True)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_pairs_are_the_paths_and_distances_of_the_arrays(index):
    expected = [
        Pair(index.path(i), index.path(j), *facts, "none")
        for block in index.pairs_arrays(128)
        for i, j, *facts in zip(*(column.tolist() for column in block[:5]), strict=True)
    ]

    assert list(index.pairs(128)) == expected
    assert any(pair.duplicate for pair in expected)
    assert not all(pair.duplicate for pair in expected)


def test_pairs_across_two_indexes_have_one_path_of_each(index, photos, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "half.png").write_bytes((photos / "q04.png").read_bytes())
    settings = Settings(workers=1, engine=inline)
    other = ImageIndex.build(tmp_path / "other", path=tmp_path / "index", settings=settings)

    pairs = list(index.pairs(other=other))

    assert {pair.b.name for pair in pairs} == {"half.png"}
    assert sorted(pair.a.name for pair in pairs) == ["p04.jpg", "q04.png"]


def test_an_index_is_the_collection_of_its_images(index, photos):
    readable = sorted(path for path in photos.iterdir() if path.name != "broken.jpg")

    assert len(index) == len(readable)
    assert index.paths == [image.path for image in index] == readable
    assert index.roots == [photos]
    for image in index:
        with Image.open(image.path) as opened:
            assert (image.width, image.height) == opened.size
        assert image.size == image.path.stat().st_size
        assert index.path(image.row) == image.path


def test_a_file_that_could_not_be_read_is_no_image_but_a_failure(index, photos):
    (failure,) = index.failures

    assert failure.path == photos / "broken.jpg"
    assert failure.reason == "truncated"
    assert "1 failed" in repr(index)


def test_a_copy_of_the_object_made_by_pickle_opens_the_same_index(index, photos):
    copy = pickle.loads(pickle.dumps(index))

    assert copy.digest == index.digest
    assert copy.within(photos / "p00.jpg") == index.within(photos / "p00.jpg")
