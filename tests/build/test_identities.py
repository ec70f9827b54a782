"""Which rows name one file: whatever way leads to it, it is one file in the index.

Oracle: files grouped in a dictionary by what `os.stat` says of each row.
"""

import os
import shutil
import stat
import subprocess
import sys
import time
import tracemalloc
from types import SimpleNamespace

import make_frozen
import numpy as np
import pytest
from hypothesis import given, strategies as st

from encoded import painted
from imgdup import ImageIndex
from imgdup.build import identities, sources
from imgdup.build.identities import (
    identity_blocks,
    row_identities,
    same_file,
    same_files,
    shared_answers,
)
from imgdup.build.known import OldRow
from imgdup.build.listing import OLD, TO_READ, Listing, ListingOptions, list_files
from imgdup.build.roots import OptionChanges, Scan
from imgdup.build.settings import Settings
from imgdup.build.sources import Candidate
from imgdup.build.update import update_index
from imgdup.index import folder, store
from imgdup.index.columns import IDENTITY
from imgdup.index.parts import ScanOptions
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")

INLINE = Settings(workers=1, engine=inline)
MANY_INODES = st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1])

posix = pytest.mark.skipif(os.name == "nt", reason="needs links of POSIX")


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(painted(seed, 120, 90))
    then = time.time() - 3600
    os.utime(path, (then, then))


def listing_of(identities):
    listing = Listing([b"/p"])
    for row, (device, inode) in enumerate(identities):
        listing.add(b"/p", Candidate(b"/p/%06d" % row, 1, 1, device, inode), OLD, row)
    return listing


def first_rows(identities):
    """The slow twin of `same_file`."""
    first = {}
    found = []
    for row, (device, inode) in enumerate(identities):
        leader = first.setdefault((device, inode), row) if inode else row
        found.append(-1 if leader == row else leader)
    return found


@given(st.lists(st.tuples(st.sampled_from([0, 5, 2**64 - 1]), MANY_INODES), max_size=30))
def test_rows_of_equal_device_and_inode_are_one_file(identities):
    listing = listing_of(identities)

    found = row_identities(listing, None)

    assert found.tolist() == [list(pair) for pair in identities]
    assert np.concatenate([found[:0], *identity_blocks(listing, None)]).tolist() == found.tolist()
    assert same_file(listing, None).tolist() == first_rows(identities)


@pytest.mark.parametrize(
    ("on_disk", "expected"), [((0, 0), (8, 9)), ((0, 7), (0, 7)), ((6, 0), (6, 0))]
)
def test_a_row_that_may_be_a_scanned_file_has_the_identity_on_disk_if_there_is_one(
    monkeypatch, on_disk, expected
):
    listing = listing_of([(5, 6)])
    listing.keep(b"/p", b"/p/1", OldRow(0, b"/p", 1, 1, 0, 0))
    old = SimpleNamespace(arrays={IDENTITY: np.array([[8, 9]], np.uint64)})
    monkeypatch.setattr(identities, "identity", lambda path: on_disk)

    assert row_identities(listing, old).tolist() == [[5, 6], list(expected)]


def test_a_reading_is_shared_only_if_size_and_time_agree_too():
    listing = Listing([b"/p"])
    for row, (size, mtime_ns) in enumerate([(1, 1), (1, 2), (2, 1), (1, 1)]):
        listing.add(b"/p", Candidate(b"/p/%d" % row, size, mtime_ns, 1, 7), TO_READ, 0)

    assert shared_answers(listing).tolist() == [-1, -1, -1, 0]


NAMES = st.tuples(MANY_INODES, st.integers(0, 1), st.sampled_from([TO_READ, OLD]))


@given(st.lists(NAMES, max_size=20))
def test_a_file_that_has_an_answer_under_any_name_is_not_read(names):
    listing = Listing([b"/p"])
    for row, (inode, size, origin) in enumerate(names):
        listing.add(b"/p", Candidate(b"/p/%06d" % row, size, 1, 1, inode), origin, row)

    found = shared_answers(listing).tolist()

    for row, name in enumerate(names):
        same = [i for i, other in enumerate(names) if name[0] and other[:2] == name[:2]] or [row]
        chosen = min(same, key=lambda i: (names[i][2] == TO_READ, i))
        assert found[row] == (-1 if chosen == row else chosen)


def test_followed_links_take_the_stated_memory(monkeypatch):
    """Each of the files has two names: one of them may be a link that is followed."""
    n_rows = 20_000
    names = [b"photo-%05d.jpg" % row for row in range(n_rows)]
    file = {
        "st_mode": stat.S_IFREG | 0o644,
        "st_dev": 5,
        "st_size": 1000,
        "st_mtime_ns": 10**18,
        "st_gid": 0,
    }

    def stat_of(path, options, tally):
        return SimpleNamespace(**file, st_ino=1 + int(path[-9:-4]) % (n_rows // 2))

    monkeypatch.setattr(sources, "_names", lambda folder, tally: list(names))
    monkeypatch.setattr(sources, "facts_of", stat_of)
    listing, scan = Listing([b"/p"]), Scan(b"/p", b"/p", ScanOptions(follow_symlinks=True))
    tracemalloc.start()

    n_read = sum(1 for _ in list_files([scan], listing, b"", [], ListingOptions()))
    shared = shared_answers(listing)
    first = same_file(listing, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (len(listing), n_read) == (n_rows, n_rows)
    assert first.tolist() == shared.tolist() == [-1] * (n_rows // 2) + list(range(n_rows // 2))
    assert peak < 150 * n_rows


@pytest.mark.parametrize(
    ("before", "same"),
    [
        ([[1, 5], [2, 6]], True),
        ([[8, 5], [9, 6]], True),
        ([[8, 5], [8, 6]], False),
        ([[1, 6], [2, 5]], False),
    ],
)
def test_devices_may_have_other_numbers_one_for_one(before, same):
    now = np.array([[1, 5], [2, 6]], np.uint64)

    assert same_files(now, np.array(before, np.uint64)) is same


def stated(index):
    """For each row the first row of the same file, as `os.stat` has it."""
    facts = [os.stat(index.path(row)) for row in range(len(index))]
    return first_rows([(each.st_dev, each.st_ino) for each in facts])


@posix
def test_every_row_keeps_which_file_it_names(tmp_path):
    for seed, name in enumerate(["a.jpg", "b/c.jpg"]):
        paint(tmp_path / "photos" / name, seed)
    update_index(tmp_path / "index", [str(tmp_path / "photos")], INLINE)

    index = ImageIndex.open(tmp_path / "index").rows

    facts = [os.stat(index.path(row)) for row in range(len(index))]
    assert index.column("identity").tolist() == [[each.st_dev, each.st_ino] for each in facts]


@pytest.fixture
def bind_mount(tmp_path):
    """A folder, and another path that leads to the same folder."""
    for seed in range(3):
        paint(tmp_path / "photos" / f"p{seed}.jpg", seed)
    (tmp_path / "mounted").mkdir()
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("needs bind mounts of Linux")
    command = ["mount", "--bind", str(tmp_path / "photos"), str(tmp_path / "mounted")]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this process may not mount")
    yield tmp_path / "photos", tmp_path / "mounted"
    subprocess.run(["umount", str(tmp_path / "mounted")], check=True)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_and_a_bind_mount_of_it_hold_the_same_files(bind_mount, tmp_path, at_once):
    photos, mounted = map(str, bind_mount)
    for named in [[photos, mounted]] if at_once else [[photos], [mounted]]:
        update_index(tmp_path / "index", named, INLINE)

    index = ImageIndex.open(tmp_path / "index").rows

    assert len(index) == 6
    assert index.column("same_file").tolist() == [-1, -1, -1, 0, 1, 2] == stated(index)


@posix
@pytest.mark.parametrize("at_once", [True, False])
def test_a_second_spelling_of_a_folder_holds_the_same_files(tmp_path, at_once, monkeypatch):
    """As a file system without case has it; here links stand for the second spelling."""
    for seed in range(3):
        paint(tmp_path / "Photos" / f"p{seed}.jpg", seed)
    (tmp_path / "photos").symlink_to("Photos")
    monkeypatch.setattr(os.path, "realpath", os.path.abspath)
    spellings = [str(tmp_path / "Photos"), str(tmp_path / "photos")]
    for named in [spellings] if at_once else [[each] for each in spellings]:
        update_index(tmp_path / "index", named, INLINE)

    index = ImageIndex.open(tmp_path / "index").rows

    assert len(index) == 6
    assert index.column("same_file").tolist() == [-1, -1, -1, 0, 1, 2] == stated(index)


@posix
def test_links_that_are_followed_name_the_file_that_they_lead_to(tmp_path):
    paint(tmp_path / "photos" / "real" / "a.jpg", 1)
    (tmp_path / "photos" / "link.jpg").symlink_to("real/a.jpg")
    (tmp_path / "photos" / "folder").symlink_to("real")
    changes = OptionChanges(follow_symlinks=True)
    chosen = Settings(workers=1, engine=inline, changes=changes)

    outcome = update_index(tmp_path / "index", [str(tmp_path / "photos")], chosen)

    index = ImageIndex.open(tmp_path / "index").rows
    assert outcome.hashed == 3
    assert index.column("same_file").tolist() == [-1, 0, 0] == stated(index)


def without_identity(place):
    """Make the index one of those that were written before identities were kept."""
    generation = ImageIndex.open(place).generation
    arrays = {name: np.array(a) for name, a in generation.arrays.items() if name != "identity"}
    arrays["failed_terms"] = np.zeros((len(arrays["failed_rows"]), 5), np.int64)
    store.save(generation.file, dict(generation.head), arrays)


@posix
def test_an_index_without_identities_gets_them_at_its_next_update(tmp_path):
    for seed in range(2):
        paint(tmp_path / "photos" / f"p{seed}.jpg", seed)
    os.link(tmp_path / "photos" / "p0.jpg", tmp_path / "photos" / "p9.jpg")
    place = tmp_path / "index"
    update_index(place, [str(tmp_path / "photos")], INLINE)
    whole = folder.generation_path(place, 1).read_bytes()
    without_identity(place)

    outcome = update_index(place, (), INLINE)

    assert (outcome.hashed, outcome.written) == (0, True)
    assert folder.generation_path(place, 2).read_bytes() == whole


@posix
def test_rows_without_identity_that_are_not_scanned_are_asked_on_the_disk(tmp_path):
    for seed, name in enumerate(["x/a.jpg", "y/b.jpg", "z/c.jpg"]):
        paint(tmp_path / name, seed)
    os.link(tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg")
    place = tmp_path / "index"
    update_index(place, [str(tmp_path / name) for name in "xy"], INLINE)
    without_identity(place)

    update_index(place, [str(tmp_path / "z")], INLINE)

    index = ImageIndex.open(place).rows
    assert index.column("same_file").tolist() == [-1, 0, -1, -1] == stated(index)


@posix
def test_rows_of_an_unmounted_drive_remain_in_their_groups(tmp_path):
    for seed, name in enumerate(["x/a.jpg", "z/c.jpg"]):
        paint(tmp_path / name, seed)
    os.link(tmp_path / "x" / "a.jpg", tmp_path / "x" / "b.jpg")
    place = tmp_path / "index"
    update_index(place, [str(tmp_path / "x")], INLINE)
    without_identity(place)
    (tmp_path / "x").rename(tmp_path / "unplugged")

    update_index(place, [str(tmp_path / "z")], INLINE)

    index = ImageIndex.open(place).rows
    assert index.column("same_file").tolist() == [-1, 0, -1]
    assert index.column("identity")[:2].tolist() == [[0, 0], [0, 0]]


def test_the_frozen_index_of_before_has_no_identities():
    index = ImageIndex.open(make_frozen.path().parents[1] / "1" / "index").rows

    assert "identity" not in index.generation.arrays
    assert index.column("same_file").tolist() == [-1, -1, 1, -1, -1, -1]


@posix
def test_an_index_is_not_written_again_when_a_device_has_another_number(tmp_path):
    paint(tmp_path / "photos" / "a.jpg", 1)
    place = tmp_path / "index"
    update_index(place, [str(tmp_path / "photos")], INLINE)
    generation = ImageIndex.open(place).generation
    arrays = {name: np.array(a) for name, a in generation.arrays.items()}
    arrays["identity"][:, 0] += np.uint64(1)
    store.save(generation.file, dict(generation.head), arrays)

    outcome = update_index(place, (), INLINE)

    assert not outcome.written
