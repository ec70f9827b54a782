"""Reading in a run of apply: each file once, however many removals name it; again if touched."""

import errno
import os

import pytest

from array_rows import File, rows_of
from imgdup.apply import apply_plan, recheck
from imgdup.apply.options import PlanIndex, make_options
from imgdup.apply.recheck import Recheck, SkipFile, check_content
from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, Removal, sealed
from imgdup.system.files import content_digest
from photo_scene import TIME_NS, tree

N_COPIES = 100
CONTENT = b"the picture"


@pytest.fixture
def copies(tmp_path):
    """Rows over a file and many copies of it, and the plan to remove all copies."""
    root = os.fsencode(os.path.realpath(tmp_path)) + b"/photos"
    os.mkdir(root)
    paths = [root + b"/%03d.jpg" % number for number in range(N_COPIES + 1)]
    for path in paths:
        with open(path, "wb") as file:
            file.write(CONTENT)
        os.utime(path, ns=(TIME_NS, TIME_NS))
    size = len(CONTENT)
    files = [File(p, match=0, content=CONTENT, size=size, mtime_ns=TIME_NS) for p in paths]
    rows = rows_of(files, roots=(root,))
    digest = content_digest(CONTENT, "blake3")
    keep, *others = (
        FileFacts(row, path, size, TIME_NS, digest, "blake3") for row, path in enumerate(paths)
    )
    removals = [Removal(each, keep, 0, "same-bytes") for each in others]
    n_bytes = size * N_COPIES
    header = PlanHeader(
        rows.digest, rows.roots, 31, None, ("first",), (), N_COPIES + 1, 1, N_COPIES, n_bytes,
        digest_kind="blake3",
    )  # fmt: skip
    return rows, Plan(sealed(header), removals)


@pytest.fixture
def n_reads(monkeypatch):
    """Inode -> how often its digest was computed."""
    counts, file_digest = {}, recheck.file_digest

    def counted(descriptor, kind):
        inode = os.fstat(descriptor).st_ino
        counts[inode] = counts.get(inode, 0) + 1
        return file_digest(descriptor, kind)

    monkeypatch.setattr(recheck, "file_digest", counted)
    return counts


def compares_nothing(pairs):
    """Stand for the comparison of pictures, which files of equal bytes do not need."""
    assert list(pairs) == []
    return []


@pytest.mark.parametrize("action", ["move", "delete", "hardlink", "symlink"])
def test_the_content_of_each_file_is_read_once_in_a_run(
    copies, n_reads, tmp_path, monkeypatch, action
):
    rows, plan = copies
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    inodes = {os.stat(rows.path(row)).st_ino for row in range(N_COPIES + 1)}
    (tmp_path / "index").mkdir()
    options = make_options(plan, action, tmp_path / "target" if action == "move" else None)
    index = PlanIndex(tmp_path / "index", rows, compares_nothing)

    result = apply_plan(plan, index, options, journal=tmp_path / "journal")

    assert (result.n_done, result.skipped) == (N_COPIES, [])
    assert n_reads == dict.fromkeys(inodes, 1)
    assert set(tree(tmp_path / "photos").values()) <= {
        CONTENT,
        ("->", str(tmp_path / "photos/000.jpg")),
    }


@pytest.fixture
def two(tmp_path):
    """Two files of equal content as a plan describes them."""
    found = []
    for name in ("removed", "kept"):
        path = tmp_path / name
        path.write_bytes(CONTENT)
        digest, mtime_ns = content_digest(CONTENT, "blake3"), path.stat().st_mtime_ns
        found.append(FileFacts(0, bytes(path), len(CONTENT), mtime_ns, digest, "blake3"))
    return found


def test_a_file_that_was_touched_is_read_again(two, n_reads):
    removed, kept = two
    checked = Recheck()
    checked.check_both(removed, kept)
    os.chmod(removed.path, 0o600)

    checked.check_both(removed, kept)

    assert n_reads == {os.stat(removed.path).st_ino: 2, os.stat(kept.path).st_ino: 1}


def test_another_file_under_the_name_is_read_before_it_counts(two, tmp_path):
    removed, kept = two
    checked = Recheck()
    checked.check_both(removed, kept)
    (tmp_path / "new").write_bytes(b"the picturE")
    os.utime(tmp_path / "new", ns=(kept.mtime_ns, kept.mtime_ns))
    os.replace(tmp_path / "new", kept.path)

    with pytest.raises(SkipFile, match=r"the kept file, .*: its content is different"):
        checked.check_both(removed, kept)


def test_a_renamed_file_must_be_the_same_file_of_the_same_size_and_time(two, tmp_path):
    removed, kept = two
    checked = Recheck()
    checked.check_both(removed, kept)
    aside = bytes(tmp_path / "aside")
    os.rename(removed.path, aside)

    checked.check_renamed(removed, aside)
    with pytest.raises(SkipFile, match="another file now has its name"):
        checked.check_renamed(removed, kept.path)
    os.utime(aside, ns=(0, 0))
    with pytest.raises(SkipFile, match="its size or time is different"):
        checked.check_renamed(removed, aside)


def test_a_link_must_lead_to_the_kept_file(two, tmp_path):
    removed, kept = two
    checked = Recheck()
    checked.check_both(removed, kept)
    os.symlink(removed.path, tmp_path / "link")

    with pytest.raises(SkipFile, match="the kept file was replaced"):
        checked.check_link(kept, bytes(tmp_path / "link"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_that_took_the_name_after_it_was_looked_at_is_not_read(tmp_path, monkeypatch):
    path = bytes(tmp_path / "empty")
    open(path, "wb").close()
    os.utime(path, ns=(TIME_NS, TIME_NS))
    facts = FileFacts(0, path, 0, TIME_NS, content_digest(b"", "blake3"), "blake3")
    before = os.lstat(path)
    os.unlink(path)
    os.mkfifo(path)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    seen = iter([before])
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: next(seen, None) or lstat(path))

    with pytest.raises(SkipFile, match="not a regular file"):
        check_content(facts)


def test_a_file_that_changes_while_it_is_read_is_not_trusted(two, monkeypatch):
    removed, _ = two
    file_digest = recheck.file_digest

    def meanwhile(descriptor, kind):
        digest = file_digest(descriptor, kind)
        os.utime(removed.path, ns=(0, 0))
        return digest

    monkeypatch.setattr(recheck, "file_digest", meanwhile)

    with pytest.raises(SkipFile, match="its size or time is different"):
        check_content(removed)


def test_a_name_that_another_file_took_while_the_first_was_read_is_not_trusted(
    two, tmp_path, monkeypatch
):
    facts = two[0]
    digest = recheck.file_digest

    def swapping(descriptor, kind):
        found = digest(descriptor, kind)
        other = tmp_path / "saved-meanwhile"
        other.write_bytes(CONTENT)
        os.utime(other, ns=(TIME_NS, TIME_NS))
        os.replace(other, facts.path)
        return found

    monkeypatch.setattr(recheck, "file_digest", swapping)

    with pytest.raises(SkipFile, match="another file now has its name"):
        check_content(facts)


ERRORS = [
    (reason, code)
    for reason, codes in recheck.SKIP_REASONS.items()
    for code in dict.fromkeys(codes)
]


@pytest.mark.parametrize(("reason", "code"), ERRORS, ids=str)
def test_each_error_of_the_system_has_a_reason_and_its_own_words(reason, code):
    error = OSError(code, os.strerror(code), "/photos/a.jpg")

    found = SkipFile.of(error)

    assert (found.reason, found.detail) == (reason, os.strerror(code))


def test_an_error_without_words_of_its_own_is_printed_whole():
    assert SkipFile.of(OSError("the drive is asleep")).detail == "the drive is asleep"
    bare = OSError()
    bare.errno = errno.ENOENT
    assert SkipFile.of(bare).reason == "missing"
    assert SkipFile.of(bare).detail == str(bare)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM, errno.ESTALE])
def test_an_error_that_is_not_about_the_file_is_a_failure(code):
    found = SkipFile.of(OSError(code, os.strerror(code)))

    assert (found.reason, found.detail) == ("failed", os.strerror(code))


def test_what_was_skipped_already_keeps_its_reason():
    skipped = SkipFile("changed", "its size is different")

    assert SkipFile.of(skipped) is skipped
