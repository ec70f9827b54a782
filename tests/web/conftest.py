import shutil

import pytest

from imgdup.api.index import ImageIndex
from painted_collection import paint
from served import client_of


@pytest.fixture(scope="session")
def painted_index(tmp_path_factory):
    """An index of the painted collection and its folder of pictures; copy it to change it."""
    place = tmp_path_factory.mktemp("served")
    paint(place / "photos")
    ImageIndex.build(place / "photos", place / ".imgdup", progress=False)
    return place


@pytest.fixture
def place(painted_index, tmp_path):
    """A copy of the painted collection with an index of its own, which a test may change."""
    shutil.copytree(painted_index / "photos", tmp_path / "served" / "photos")
    ImageIndex.build(tmp_path / "served/photos", tmp_path / "served/.imgdup", progress=False)
    return tmp_path / "served"


@pytest.fixture(scope="module")
def served(painted_index):
    """A client of the painted collection, for tests that write no decisions.

    It has worker processes, which end with the module: other tests count those of their process.
    """
    with client_of(painted_index) as client:
        yield client


@pytest.fixture
def client(place, in_process):
    """A client of a collection of the test's own; no processes are started for it."""
    with client_of(place) as own:
        yield own
