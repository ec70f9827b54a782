"""A damaged index decides nothing: each array is compared with its checksum before it is used."""

import shutil

import numpy as np
import pytest

from encoded import save
from imgdup import ImageIndex, cli
from imgdup.errors import IndexFormatError
from imgdup.index import folder, layout

pytestmark = pytest.mark.usefixtures("in_process")

N_BYTES = 2048


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Ten pictures, five of them twice, with their index and a plan to remove one of each two."""
    place = tmp_path_factory.mktemp("damaged")
    (place / "photos").mkdir()
    rng = np.random.default_rng(1)
    for i in range(5):
        pixels = rng.integers(0, 256, (9, 12), dtype=np.uint8).repeat(12, axis=0).repeat(12, axis=1)
        for name, quality in (("a", 95), ("b", 80)):
            data = save(pixels, "jpeg", quality=quality)
            (place / "photos" / f"{name}{i}.jpg").write_bytes(data)
    (place / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert cli.main(["index", "photos", "--quiet"]) == 3
        assert cli.main(["dedupe", "--plan", "plan.jsonl"]) == 0
    return place


def damage(place, name):
    """Flip the bits of up to 2 kB of an array of the current generation."""
    file = folder.generation_path(place / ".imgdup", 1)
    with file.open("rb") as opened:
        front = layout.read(file, opened)
    number = list(ImageIndex.open(place / ".imgdup").generation.arrays).index(name)
    start = list(layout.starts(front))[number]
    data = bytearray(file.read_bytes())
    stop = start + min(N_BYTES, front.spans[number].n_bytes)
    data[start:stop] = bytes(255 - value for value in data[start:stop])
    file.write_bytes(data)


def test_an_intact_index_passes(indexed):
    index = ImageIndex.open(indexed / ".imgdup")

    assert index.check_before_decision() is index


def test_every_damaged_array_is_refused_with_the_remedy(indexed, tmp_path):
    arrays = ImageIndex.open(indexed / ".imgdup").generation.arrays
    names = [name for name, array in arrays.items() if array.size]
    assert len(names) > 15

    for name in names:
        place = shutil.copytree(indexed, tmp_path / name)
        damage(place, name)

        with pytest.raises(IndexFormatError, match=r"index\.1: .*index again"):
            ImageIndex.open(place / ".imgdup").check_before_decision()


@pytest.mark.parametrize("name", ["match", "quality", "digest", "size", "hashes"])
@pytest.mark.parametrize(
    "command",
    [
        "dedupe", "pairs", "compare .imgdup .imgdup", "split --ratios a=0.5,b=0.5 --out lists",
        "check", "check --deep", "check plan.jsonl", "apply plan.jsonl --delete --yes",
    ],
)  # fmt: skip
def test_no_command_decides_by_a_damaged_array(
    name, command, indexed, tmp_path, monkeypatch, capsys
):
    place = shutil.copytree(indexed, tmp_path / "copy")
    damage(place, name)
    monkeypatch.chdir(place)

    code = cli.main(command.split())

    lines = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert code == 1
    assert len(lines) == 1
    assert f"index.1: array {name!r} is damaged (checksum); restore this file from" in lines[0]
    assert len(list((place / "photos").iterdir())) == 11


def test_the_library_decides_nothing_either(indexed, tmp_path):
    place = shutil.copytree(indexed, tmp_path / "copy")
    damage(place, "match")
    index = ImageIndex.open(place / ".imgdup")

    for decide in (index.groups, index.pairs):
        with pytest.raises(IndexFormatError, match="array 'match' is damaged"):
            decide()


def test_an_opened_index_is_checked_once(indexed, monkeypatch):
    index = ImageIndex.open(indexed / ".imgdup").check_before_decision()
    monkeypatch.setattr("imgdup.index.store.zlib.crc32", None)

    assert index.check_before_decision() is index
