"""No stat fact of any file ends a run: times, sizes, devices and inodes of any value."""

import os
import time

import pytest

from encoded import painted
from imgdup import ImageIndex, cli
from imgdup.build import sources
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.system import files
from imgdup.system.files import stat_size_mtime
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

INLINE = Settings(workers=1, engine=inline)
YEAR_NS = 31_556_952 * 10**9
LARGEST, LEAST = 2**63 - 1, -(2**63)


class Facts:
    """A stat result with some of its facts replaced."""

    def __init__(self, real, **facts):
        self._real = real
        self.__dict__.update(facts)

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.mark.parametrize(
    ("size", "mtime_ns", "expected"),
    [
        (5, 7, (5, 7)),
        (LARGEST, LARGEST, (LARGEST, LARGEST)),
        (LARGEST + 1, LARGEST + 1, (LARGEST, LARGEST)),
        (-1, LEAST - 1, (0, LEAST)),
        (0, -(10**30), (0, LEAST)),
    ],
)
def test_size_and_time_are_brought_into_the_range_of_the_index(size, mtime_ns, expected):
    assert stat_size_mtime(Facts(None, st_size=size, st_mtime_ns=mtime_ns)) == expected


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        path = tmp_path / "photos" / f"p{seed}.jpg"
        path.write_bytes(painted(seed, 120, 90))
        then = time.time() - 3600
        os.utime(path, (then, then))
    return tmp_path / "photos"


@pytest.mark.parametrize("year", [-300, 1, 1600, 2262, 2300, 2400, 9999, 200_000])
def test_a_file_of_any_year_is_indexed_and_known_again(photos, tmp_path, monkeypatch, year):
    odd, mtime_ns = os.fsencode(photos / "p1.jpg"), (year - 1970) * YEAR_NS
    lstat, fstat = os.lstat, os.fstat

    def replaced(facts):
        is_odd = facts.st_ino == lstat(odd).st_ino
        return Facts(facts, st_mtime_ns=mtime_ns) if is_odd else facts

    monkeypatch.setattr(sources.os, "lstat", lambda path: replaced(lstat(path)))
    monkeypatch.setattr(files.os, "fstat", lambda descriptor: replaced(fstat(descriptor)))
    place = tmp_path / "index"

    first = update_index(place, [str(photos)], INLINE)
    second = update_index(place, (), INLINE)

    assert (first.hashed, first.failed) == (3, 0)
    assert (second.hashed, second.unchanged, second.written) == (0, 3, False)
    stored = ImageIndex.open(place).column("mtime_ns")[1]
    assert stored == max(LEAST, min(mtime_ns, LARGEST))


@pytest.mark.parametrize("mtime_ns", [2**63 + 10**9, -(2**63) - 10**9])
def test_commands_work_on_a_file_with_a_time_that_int64_does_not_hold(
    photos, tmp_path, capsys, mtime_ns
):
    os.utime(photos / "p1.jpg", ns=(mtime_ns, mtime_ns))
    place = str(tmp_path / "index")

    codes = [
        cli.main([*command, "--index", place])
        for command in (
            ["index", str(photos)],
            ["index"],
            ["query", str(photos / "p1.jpg")],
            ["dedupe"],
            ["check", "--deep"],
            ["export", "--format", "json"],
        )
    ]

    assert codes == [0] * 6
    assert capsys.readouterr().err.count("Traceback") == 0


@pytest.mark.parametrize(
    "facts",
    [
        {"st_ino": 2**64 - 1},
        {"st_ino": 2**128 - 1},
        {"st_ino": 0, "st_dev": 0},
        {"st_dev": 2**64 - 1},
        {"st_dev": -1},
        {"st_size": 2**63},
        {"st_size": -1},
        {"st_nlink": 0},
    ],
    ids=str,
)
def test_odd_devices_inodes_and_sizes_end_no_run(photos, tmp_path, monkeypatch, facts):
    lstat = os.lstat

    def replaced(path):
        real = lstat(path)
        return Facts(real, **facts) if os.fsdecode(path).endswith("p1.jpg") else real

    monkeypatch.setattr(sources.os, "lstat", replaced)
    place = tmp_path / "index"

    outcome = update_index(place, [str(photos)], INLINE)
    again = update_index(place, (), INLINE)

    assert (outcome.hashed, outcome.failed) == (3, 0)
    assert (again.seen, again.failed) == (3, 0)
    assert ImageIndex.open(place).column("same_file").tolist() == [-1, -1, -1]


@pytest.mark.parametrize("mtime_ns", [2**63 + 10**9, 2**62])
def test_a_duplicate_of_any_year_is_removed_and_put_back(photos, tmp_path, mtime_ns):
    copy = photos / "p1-copy.jpg"
    copy.write_bytes((photos / "p1.jpg").read_bytes())
    os.utime(copy, ns=(mtime_ns, mtime_ns))
    index, plan = str(tmp_path / "index"), tmp_path / "plan.jsonl"
    commands = [
        ["index", str(photos), "--index", index],
        ["dedupe", "--index", index, "--plan", str(plan)],
        ["apply", str(plan), "--index", index, "--move-to", str(tmp_path / "removed"), "--yes"],
    ]

    codes = [cli.main(command) for command in commands]
    n_left = len(list(photos.iterdir()))
    journal = next(tmp_path.glob("*.journal*"))
    codes.append(cli.main(["undo", str(journal), "--index", index]))

    assert (codes, n_left) == ([0] * 4, 3)
    assert len(list(photos.iterdir())) == 4
