"""The painted collection, indexed once for the tests of the library."""

import pytest

from imgdup import ImageIndex, Settings
from imgdup.workers.pool import inline
from painted_collection import paint

SETTINGS = Settings(workers=1, engine=inline)


@pytest.fixture(autouse=True)
def done_here(in_process):
    """Start no processes, unless a test asks for `processes`."""


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
