"""What the listing of an update takes from earlier runs, and which files it reads again.

Each test states what is known of a file and what the scan finds; the files are empty but for their
first bytes, as nothing is decoded here.
"""

import os

import pytest
from hypothesis import given, strategies as st

from imgdup.build.checkpoints import SAME_BYTES, CheckpointRow
from imgdup.build.known import COARSE_TICK_NS, FINE_TICK_NS, OldRow
from imgdup.build.listing import OLD, TO_READ, Listing, ListingOptions, list_files
from imgdup.build.members import Candidate
from imgdup.build.roots import Scan
from imgdup.containers import Fault, Locator
from imgdup.errors import ImgdupError
from imgdup.images.formats import OK, REASONS
from imgdup.index.parts import ScanOptions
from imgdup.system.paths import absolute, path_key

SECOND = 1_000_000_000
WRITTEN = 1_600_000_000 * SECOND + 5  # not a whole second, so that the fine tick counts
SCANNED = WRITTEN + 3600 * SECOND
SIZE = 40
DAMAGED, UNREADABLE = (REASONS.index(reason) for reason in ("damaged", "unreadable"))


@pytest.fixture
def root(tmp_path):
    """A folder with one file, ``a.png``."""
    place = tmp_path / "photos"
    place.mkdir()
    write(place / "a.png")
    return absolute(place)


def write(path, mtime_ns=WRITTEN):
    path.write_bytes(b"\x89PNG\r\n\x1a\n".ljust(SIZE, b"\0"))
    os.utime(path, ns=(mtime_ns, mtime_ns))


def old(root, row=7, size=SIZE, mtime_ns=WRITTEN, status=OK, scanned_ns=SCANNED, locator=None):
    return OldRow(row, root, size, mtime_ns, status, scanned_ns, locator)


def done(row=3, size=SIZE, mtime_ns=WRITTEN, hashed_ns=SCANNED, status=OK, checkpoint="c1"):
    return CheckpointRow(checkpoint, row, size, mtime_ns, hashed_ns, status)


def listed(root, *known, roots=None, scans=None, **options):
    """The listing of a folder, and the rows that must be read.

    Each of `known` maps names in the folder, or absolute paths, to what is known of them.
    """
    listing = Listing(roots or [root])
    streams = [
        sorted((path_key(os.path.join(root, name)), row) for name, row in each.items())
        for each in known
    ]
    scans = [Scan(root, root, ScanOptions())] if scans is None else scans
    to_read = list(list_files(scans, listing, b"", streams, ListingOptions(**options)))
    return listing, [row for row, _ in to_read]


def sources(listing):
    return list(zip(listing.origin, listing.origin_row, strict=True))


def test_a_file_that_nothing_is_known_of_is_read(root):
    listing, to_read = listed(root)

    assert to_read == [0]
    assert sources(listing) == [(TO_READ, 0)]
    assert list(listing.paths) == [root + b"/a.png"]


@pytest.mark.parametrize(
    ("facts", "is_read", "is_checked"),
    [
        ({}, False, False),
        ({"size": SIZE + 1}, True, False),
        ({"mtime_ns": WRITTEN - 1}, True, False),
        ({"status": DAMAGED}, False, False),
        ({"scanned_ns": WRITTEN + FINE_TICK_NS + 1}, False, False),
        ({"scanned_ns": WRITTEN + FINE_TICK_NS}, True, True),
        ({"scanned_ns": 0}, True, True),
        ({"status": DAMAGED, "scanned_ns": WRITTEN}, True, False),
        ({"status": UNREADABLE}, True, False),
    ],
    ids=[
        "the same", "another size", "another time", "damaged as before", "settled", "within a tick",
        "never scanned", "damaged within a tick", "a failure that may pass",
    ],
)  # fmt: skip
def test_an_old_row_answers_for_a_file_that_is_what_it_was(root, facts, is_read, is_checked):
    row = old(root, **facts)

    listing, to_read = listed(root, {b"a.png": row})

    assert to_read == ([0] if is_read else [])
    assert sources(listing) == [(TO_READ, 0) if is_read else (OLD, 7)]
    assert listing.recheck == ({0: 7} if is_checked else {})
    is_failure = is_read and row.status != OK
    assert listing.failed_before == ({0: row} if is_failure else {})


@pytest.mark.parametrize("late_ns", [COARSE_TICK_NS, COARSE_TICK_NS + 1])
def test_a_file_with_a_time_in_whole_seconds_is_checked_for_two_seconds(tmp_path, root, late_ns):
    mtime_ns = WRITTEN - WRITTEN % SECOND
    write(tmp_path / "photos" / "a.png", mtime_ns)

    row = old(root, mtime_ns=mtime_ns, scanned_ns=mtime_ns + late_ns)
    listing, _ = listed(root, {b"a.png": row})

    assert listing.recheck == ({0: 7} if late_ns == COARSE_TICK_NS else {})


def test_failures_are_tried_again_on_request_and_files_with_a_hash_are_not(tmp_path, root):
    write(tmp_path / "photos" / "b.png")
    rows = {b"a.png": old(root, status=DAMAGED), b"b.png": old(root, row=8)}

    listing, to_read = listed(root, rows, retry_failed=True)

    assert to_read == [0]
    assert sources(listing) == [(TO_READ, 0), (OLD, 8)]
    assert listing.failed_before == {0: rows[b"a.png"]}


def test_with_rehash_an_old_row_answers_for_nothing_and_is_not_lost(root):
    listing, to_read = listed(root, {b"a.png": old(root)}, rehash=True)

    assert to_read == [0]
    assert (listing.recheck, listing.n_removed, listing.n_seen) == ({}, 0, 1)


@pytest.mark.parametrize(
    ("answers", "taken"),
    [
        ([done()], ("c1", 3)),
        ([done(size=SIZE - 1)], None),
        ([done(mtime_ns=WRITTEN + 1)], None),
        ([done(status=SAME_BYTES)], None),
        ([done(status=UNREADABLE)], None),
        ([done(status=DAMAGED)], ("c1", 3)),
        ([done(hashed_ns=WRITTEN)], None),
        ([done()._replace(container_bytes=9)], None),
        ([done(), done(row=5, checkpoint="c2")], ("c1", 3)),
        ([done(size=1), done(row=5, checkpoint="c2")], ("c2", 5)),
    ],
    ids=[
        "an answer", "of another size", "of another time", "only that bytes are the same",
        "a failure that may pass", "a failure", "within a tick", "of a member", "two answers",
        "one of two",
    ],
)  # fmt: skip
def test_the_first_answer_of_an_interrupted_run_that_agrees_is_used(root, answers, taken):
    listing, to_read = listed(root, *({b"a.png": each} for each in answers))

    assert to_read == ([] if taken else [0])
    if taken:
        assert (listing.checkpoint_names[listing.origin[0]], listing.origin_row[0]) == taken


def test_an_old_row_is_preferred_to_an_answer_and_an_answer_to_reading(tmp_path, root):
    write(tmp_path / "photos" / "b.png")
    before = {b"a.png": old(root), b"b.png": old(root, row=8, scanned_ns=WRITTEN)}

    listing, to_read = listed(root, before, {b"a.png": done(row=1), b"b.png": done(row=2)})

    assert to_read == []
    assert sources(listing) == [(OLD, 7), (1, 2)]
    assert listing.checkpoint_names == ["", "c1"]


def test_a_missing_file_is_removed_and_one_that_was_not_looked_at_is_kept(root):
    elsewhere = os.path.dirname(root) + b"/other"
    rows = {b"b.png": old(root, row=1), elsewhere + b"/c.png": old(elsewhere, row=2)}
    rows[b"a.png"] = old(root)

    listing, _ = listed(root, rows, roots=[elsewhere, root])

    assert list(listing.paths) == [elsewhere + b"/c.png", root + b"/a.png"]
    assert sources(listing) == [(OLD, 2), (OLD, 7)]
    assert (listing.n_removed, list(listing.kept)) == (1, [0])
    assert listing.kept_ns == {elsewhere: SCANNED}


def test_of_kept_rows_the_oldest_scan_counts(root):
    rows = {b"b%d.png" % i: old(root, row=i, scanned_ns=SCANNED + each)
            for i, each in enumerate([5, -5, 0])}  # fmt: skip

    listing, _ = listed(root, rows, scans=[])

    assert listing.kept_ns == {root: SCANNED - 5}
    assert list(listing.kept) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a root", "a file"])
def test_what_is_forgotten_is_removed_although_it_was_not_looked_at(root, name):
    elsewhere = os.path.dirname(root) + b"/other"
    rows = {elsewhere + b"/c.png": old(elsewhere, row=1), b"a.png": old(root)}
    forgotten = {elsewhere if name == "a root" else elsewhere + b"/c.png"}

    listing, _ = listed(root, rows, roots=[elsewhere, root], forgotten=forgotten)

    assert list(listing.paths) == [root + b"/a.png"]
    assert listing.n_removed == 1


def test_rows_of_a_root_that_joined_another_one_have_the_deepest_root_above(root):
    inner, gone = root + b"/in", root + b"/in/gone"
    rows = {gone + b"/c.png": old(gone, row=1)}

    listing, _ = listed(root, rows, roots=[root, inner], scans=[])

    assert listing.paths.root_of(0) == inner


def test_a_scan_that_lost_all_its_files_is_refused_unless_this_is_allowed(root):
    rows = {b"gone%02d.png" % i: old(root, row=i) for i in range(30)}

    with pytest.raises(ImgdupError, match="30 of 30 indexed files are gone"):
        listed(root, rows)
    assert listed(root, rows, allow_removals=True)[0].n_removed == 30


@given(st.lists(st.sampled_from(["file", "member", "fault"]), max_size=12), st.data())
def test_a_listing_without_some_rows_has_all_facts_of_the_others(kinds, data):
    listing, twin = Listing([b"/p"]), []
    for i, kind in enumerate(kinds):
        place = Locator(1, i, 2, 3, 4, 5, 6) if kind == "member" else None
        fault = Fault("damaged", "why") if kind == "fault" else None
        file = Candidate(b"/p/%06d" % i, i, 10 + i, i % 3, 20 + i, place, fault)
        if data.draw(st.booleans()):
            listing.keep(b"/p", file.path, old(b"/p", i, i, 10 + i, locator=place))
            file = file._replace(device=0, inode=0)
        else:
            listing.add(b"/p", file, OLD, i)
        twin.append((file, i in listing.kept))
    gone = data.draw(st.sets(st.integers(0, 12)))

    rest = listing.without(gone)

    left = [(i, *each) for i, each in enumerate(twin) if i not in gone]
    assert list(rest.paths) == [file.path for _, file, _ in left]
    assert list(rest.origin_row) == [i for i, _, _ in left]
    assert [rest.locator(row) for row in range(len(rest))] == [file.locator for _, file, _ in left]
    assert [rest.devices[each] for each in rest.device] == [file.device for _, file, _ in left]
    assert list(rest.inode) == [file.inode for _, file, _ in left]
    assert list(rest.size) == [file.size for _, file, _ in left]
    assert list(rest.mtime_ns) == [file.mtime_ns for _, file, _ in left]
    assert list(rest.kept) == [row for row, (_, _, is_kept) in enumerate(left) if is_kept]
    assert rest.has_members == any(file.locator for _, file, _ in left)
    assert rest.locator_array().shape == (len(rest), 7)
