"""A small collection of painted photos and their copies, indexed once for the tests of the library.

Each of five photos is a JPEG file and a half-size PNG file; of the first there is a copy of equal
bytes, too.
"""

import os

import pytest
from make_sample import encode, photo

from imgdup import ImageIndex, Settings
from imgdup.workers.pool import inline

N_PHOTOS = 5
SETTINGS = Settings(workers=1, engine=inline)


def paint(folder):
    folder.mkdir(parents=True)
    for seed in range(N_PHOTOS):
        picture = photo(seed, 320, 240)
        (folder / f"p{seed}.jpg").write_bytes(encode(picture, ".jpg"))
        (folder / f"q{seed}.png").write_bytes(encode(picture[::2, ::2], ".png"))
    (folder / "copy.jpg").write_bytes((folder / "p0.jpg").read_bytes())
    os.utime(folder / "p0.jpg", (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """An index of the painted photos; read it, do not write in it."""
    folder = paint(tmp_path_factory.mktemp("collection") / "photos")
    return ImageIndex.build(folder, folder.parent / ".imgdup", SETTINGS, progress=False)


@pytest.fixture(scope="session")
def groups(collection):
    return collection.groups(keep="largest,oldest,first", progress=False)


@pytest.fixture
def own_collection(tmp_path, monkeypatch):
    """The same in a folder of its own, which is the current one: files may be removed."""
    folder = paint(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return ImageIndex.build(folder, ".imgdup", SETTINGS, progress=False)
