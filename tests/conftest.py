"""What holds for all tests, and the photos that those of the command line share.

No test asserts a time, so no example of Hypothesis has a deadline.

Continuous integration draws the same examples at every run; on a desk each run draws others.
"""

import os

import pytest
from hypothesis import settings
from make_sample import encode, photo

from imgdup import cli

settings.register_profile("imgdup", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("imgdup")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photos, a half-size copy of the first, and the folder they are in as the current."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"p{seed}.jpg").write_bytes(encode(photo(seed, 320, 240), ".jpg"))
    (folder / "small.png").write_bytes(encode(photo(0, 320, 240)[::2, ::2], ".png"))
    for file in folder.iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return folder


@pytest.fixture
def indexed(photos):
    assert cli.main(["index", "photos", "--workers", "1", "--quiet"]) == 0
    return photos
