"""Two sets of images to compare."""

import os

import pytest

from encoded import painted


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """train: cats 0 to 3 and dogs 4 to 7; test: two of them again, one under another label."""
    for name, label, seeds in (
        ("train", "cat", range(4)),
        ("train", "dog", range(4, 8)),
        ("test", "cat", (3, 20)),
        ("test", "dog", (2, 21)),
    ):
        folder = tmp_path / name / label
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            picture = painted(seed, 320, 240, step=2 if name == "test" else 1)
            (folder / f"{seed}.jpg").write_bytes(picture)
            # The next run reads a file again that was written just before this one.
            os.utime(folder / f"{seed}.jpg", (1_600_000_000, 1_600_000_000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path
