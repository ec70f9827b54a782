"""Fixtures of tests that carry out plans."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def other_device(tmp_path):
    """A folder on another device than the scene."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second device at /dev/shm")
    place = Path(tempfile.mkdtemp(dir=shared))
    yield place
    shutil.rmtree(place)
