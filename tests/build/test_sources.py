"""Sources: which files count, in which order, and what is only counted.

The pictures are files with the first bytes of an image: nothing is decoded here.
"""

import errno
import os
import sys

import pytest

from imgdup.build import sources
from imgdup.build.sources import reaches, stat_files, walk
from imgdup.build.tally import Tally
from imgdup.errors import UsageError
from imgdup.index.parts import ScanOptions
from imgdup.system.paths import absolute, check_exists
from real_pictures import DATA, needs_data

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs names, links or modes of POSIX")


def make(folder, *names, content=PNG):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def scan(folder, skip=b"", **options):
    """Relative paths of the candidates, and the tally."""
    root, tally = absolute(folder), Tally()
    found = list(walk(root, root, ScanOptions(**options), skip, tally))
    return [os.path.relpath(c.path, root).decode() for c in found], tally


def test_candidates_are_yielded_in_the_order_of_their_parts(tmp_path):
    make(tmp_path, "a-b.png", "a/z.png", "a/b/c.png", "b.png")

    assert scan(tmp_path)[0] == ["a/b/c.png", "a/z.png", "a-b.png", "b.png"]


def test_a_file_counts_by_extension_or_by_content(tmp_path):
    make(tmp_path, "no-extension", "upper.JPG", "text.jpg")
    make(tmp_path, "notes.txt", "empty", content=b"")

    found, tally = scan(tmp_path)

    assert found == ["no-extension", "text.jpg", "upper.JPG"]
    assert tally.ignored == 2


def test_version_control_thumbnails_and_hidden_files_are_skipped(tmp_path):
    make(tmp_path, ".git/a.png", "@eaDir/b.png", "._c.png", ".hidden/d.png", ".e.png", "f.png")

    assert scan(tmp_path)[0] == ["f.png"]
    assert scan(tmp_path, hidden=True)[0] == [".e.png", ".hidden/d.png", "f.png"]


@pytest.mark.parametrize(
    "name",
    [
        *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "#recycle", "@Recycle", ".Trashes", ".Trash"),
        *(".Trash-1000", "@Recently-Snapshot", "#snapshot", ".snapshots", ".snapshot", ".zfs"),
        *("@GMT-2026.11.27-10.00.00", "System Volume Information"),
    ],
)
def test_recycle_bins_and_snapshots_are_skipped_unless_they_are_named(tmp_path, name):
    make(tmp_path, f"a/{name}/b.png", "a/c.png")

    assert scan(tmp_path, hidden=True)[0] == ["a/c.png"]
    assert scan(tmp_path / "a" / name, hidden=True)[0] == ["b.png"]


def test_folders_whose_names_only_resemble_those_of_recycle_bins_are_read(tmp_path):
    make(tmp_path, "recycle/a.png", "my #recycle/a.png", "Recycler 2/a.png", "snapshots/a.png")

    assert len(scan(tmp_path)[0]) == 4


@needs_data
def test_the_copy_in_the_recycle_bin_of_the_odd_files_is_not_found():
    assert scan(DATA / "odd-files/bin")[0] == ["holiday/IMG_1.jpg"]


def test_a_raw_photo_is_listed_as_a_picture_that_is_not_decoded(tmp_path):
    make(tmp_path, "DSC_1.NEF", "b.CR2", content=b"II*\0" + bytes(40))
    make(tmp_path, "a.tif", content=b"II*\0" + bytes(40))

    found, tally = scan(tmp_path)

    assert found == ["a.tif"]
    assert [path.rpartition(b"/")[2] for path in tally.undecoded] == [b"DSC_1.NEF", b"b.CR2"]


def test_the_index_folder_is_skipped(tmp_path):
    make(tmp_path, "index/a.png", "b.png")

    assert scan(tmp_path, skip=absolute(tmp_path / "index"))[0] == ["b.png"]


def test_exclude_holds_names_or_whole_paths(tmp_path):
    make(tmp_path, "thumbs/a.png", "b-small.png", "c.png", "d/c.png")

    found, _ = scan(tmp_path, exclude=("thumbs", "*-small.*", "d/*"))

    assert found == ["c.png"]


def test_a_slash_at_the_end_of_an_exclude_pattern_has_no_effect(tmp_path):
    make(tmp_path, "thumbs/a.png", "d/thumbs/a.png", "d/e/a.png", "d/a.png")

    found, _ = scan(tmp_path, exclude=("thumbs/", "d/e/"))

    assert found == ["d/a.png"]


@needs_posix
@pytest.mark.parametrize("follow_symlinks", [True, False])
def test_reaches_is_true_for_what_a_walk_finds(tmp_path, follow_symlinks):
    names = ["a.png", ".b.png", "c/.d/e.png", "c/x.png", "thumbs/a.png", ".git/a.png", "c/._a.png"]
    make(tmp_path, *names, "real/a.png")
    (tmp_path / "link").symlink_to("real")
    root, options = absolute(tmp_path), ScanOptions(("thumbs", "c/x*"), follow_symlinks, False)
    paths = [root + b"/" + name.encode() for name in (*names, "real/a.png", "link/a.png")]

    reached = [path for path in paths if reaches(root, options, path)]

    assert sorted(reached) == sorted(c.path for c in walk(root, root, options, b"", Tally()))
    assert reaches(root, options, root)
    assert not reaches(root, options, root + b"-2")


@needs_posix
def test_links_are_ignored_unless_followed(tmp_path):
    make(tmp_path, "real/a.png")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "b.png").symlink_to("real/a.png")
    (tmp_path / "dangling.png").symlink_to("nowhere")

    found, tally = scan(tmp_path)
    followed, tally_followed = scan(tmp_path, follow_symlinks=True)

    assert (found, tally.ignored) == (["real/a.png"], 3)
    assert tally_followed.ignored == 1
    assert followed == ["b.png", "linked/a.png", "real/a.png"]


@needs_posix
def test_a_loop_of_links_ends(tmp_path):
    make(tmp_path, "a/b.png")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "self.png").symlink_to("self.png")

    found, tally = scan(tmp_path, follow_symlinks=True)

    assert found == ["a/b.png", "self.png"]
    assert tally.ignored == 1


@needs_posix
def test_a_followed_link_has_the_identity_of_its_target(tmp_path):
    make(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    root = absolute(tmp_path)

    a, b = walk(root, root, ScanOptions(follow_symlinks=True), b"", Tally())

    assert (a.device, a.inode) == (b.device, b.inode) != (0, 0)


@needs_posix
def test_every_file_has_an_identity(tmp_path):
    make(tmp_path, "a.png", "b.png")
    os.link(tmp_path / "a.png", tmp_path / "c.png")
    root = absolute(tmp_path)

    found = list(walk(root, root, ScanOptions(), b"", Tally()))

    facts = [os.stat(file.path) for file in found]
    assert [(f.device, f.inode) for f in found] == [(s.st_dev, s.st_ino) for s in facts]
    assert found[0].inode == found[2].inode != found[1].inode


def test_pictures_of_other_formats_are_ignored_and_listed_unless_they_are_named(tmp_path):
    make(tmp_path, "a.EXR", "notes.txt", "sub/b.cr3", content=b"\x76\x2f\x31\x01" + bytes(60))
    (tmp_path / "folder.exr").mkdir()
    names = [absolute(tmp_path / name) for name in ("a.EXR", "notes.txt", "sub/b.cr3")]

    found, tally = scan(tmp_path)
    named = [file.path for file in stat_files(names, Tally())]

    assert (found, tally.ignored) == ([], 3)
    assert tally.undecoded == [names[0], names[2]]
    assert named == [names[0], names[2]]


@needs_posix
def test_pipes_and_devices_are_ignored_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")

    found, tally = scan(tmp_path)

    assert (found, tally.ignored) == ([], 1)


@needs_posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_noted(tmp_path):
    make(tmp_path, "closed/a.png", "b.png")
    (tmp_path / "closed").chmod(0)

    try:
        found, tally = scan(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)

    assert found == ["b.png"]
    assert [path for path, _ in tally.unlisted] == [absolute(tmp_path / "closed")]


def test_a_folder_that_fails_to_list_is_noted(tmp_path, monkeypatch):
    make(tmp_path, "broken/a.png", "b.png")
    real = os.scandir

    def scandir(path):
        if os.fsdecode(path).endswith("broken"):
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    found, tally = scan(tmp_path)

    assert found == ["b.png"]
    assert tally.unlisted == [(absolute(tmp_path / "broken"), "Input/output error")]


@pytest.fixture
def closed_folder(tmp_path, monkeypatch):
    """A folder that may be listed and not entered, of 4,000 files; and how often stat was asked."""
    (tmp_path / "closed").mkdir()
    closed, asked, lstat = absolute(tmp_path / "closed"), [], os.lstat
    names = [b"%04d.png" % i for i in range(4000)]
    real = sources._names
    monkeypatch.setattr(
        sources, "_names", lambda f, tally: sorted(names) if f == closed else real(f, tally)
    )

    def refuse(path):
        if os.path.dirname(path) == closed:
            asked.append(path)
            raise PermissionError(errno.EACCES, "Permission denied")
        return lstat(path)

    monkeypatch.setattr(os, "lstat", refuse)
    return closed, asked


def test_a_folder_that_may_be_listed_and_not_entered_is_noted_once(tmp_path, closed_folder):
    make(tmp_path, "b.png")
    closed, asked = closed_folder

    found, tally = scan(tmp_path)

    assert found == ["b.png"]
    assert tally.unlisted == [(closed, "Permission denied")]
    assert len(asked) == 4000
    assert tally.is_unlisted(closed + b"/0001.png")
    assert tally.is_unlisted(closed + b"/sub/x.png")
    assert not tally.is_unlisted(closed + b"-2/x.png")


def test_many_unlisted_folders_are_looked_up_by_the_folders_above_a_path():
    class Counting(dict):
        n_asked = 0

        def __contains__(self, key):
            Counting.n_asked += 1
            return super().__contains__(key)

    tally = Tally()
    for i in range(4000):
        tally.add_unlisted(b"/r/%04d" % i, PermissionError(13, "Permission denied"))
    tally._unlisted = Counting(tally._unlisted)

    found = [tally.is_unlisted(b"/r/%04d/x.jpg" % i) for i in range(3999, 4001)]

    assert found == [True, False]
    assert Counting.n_asked <= 6


@pytest.mark.parametrize("hidden", [True, False])
def test_what_an_interrupted_removal_set_aside_is_named_and_no_image(tmp_path, hidden):
    make(tmp_path, "a/.imgdup-0123abcd-7.aside", "a/.imgdup-0123abcd-8.link", "b.png")
    make(tmp_path, ".imgdup-0123abcd-9.part")

    found, tally = scan(tmp_path, hidden=hidden)

    assert found == ["b.png"]
    assert tally.set_aside == [absolute(tmp_path / "a" / ".imgdup-0123abcd-7.aside")]


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A file below a thousand folders; taken away one by one, since rmtree would recurse."""
    depth = 1000
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    with open("a.png", "wb") as file:
        file.write(PNG)
    yield tmp_path
    os.remove("a.png")
    for _ in range(depth):
        os.chdir("..")
        os.rmdir("d")


def test_a_tree_a_thousand_folders_deep_is_walked(deep):
    found, tally = scan(deep)

    assert len(found) == 1
    assert tally.unlisted == []


@needs_posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows UTF-8 names only")
def test_names_that_are_no_text_are_read_back_byte_for_byte(tmp_path):
    name = b"\xff\n\t'\".png"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(PNG)
    root = absolute(tmp_path)

    (found,) = walk(root, root, ScanOptions(), b"", Tally())

    assert found.path == root + b"/" + name


def test_single_files_are_yielded_once_and_in_order(tmp_path):
    make(tmp_path, "b.png", "a.png")
    paths = [absolute(tmp_path / name) for name in ("b.png", "a.png", "b.png")]

    found = [c.path for c in stat_files(paths, Tally())]

    assert found == [paths[1], paths[0]]


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        check_exists(tmp_path / "nowhere")


def test_absolute_resolves_dots_and_links_of_folders(tmp_path):
    make(tmp_path, "a/b.png")

    assert absolute(tmp_path / "a" / ".." / "a") == absolute(tmp_path / "a")
    assert absolute(tmp_path / "a" / ".." / "a" / "b.png") == absolute(tmp_path / "a") + b"/b.png"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.zip!/b.png", {"containers": True}, True),
        ("a.zip!/b.png", {}, False),
        ("in/a.tar!/deep/b.png", {"containers": True}, True),
        ("in/a.tar!/deep/b.png", {"containers": True, "exclude": ("in/a.tar",)}, False),
        ("in/a.tar!/deep/b.png", {"containers": True, "exclude": ("*.tar",)}, False),
        ("in/a.tar!/deep/b.png", {"containers": True, "exclude": ("*.zip",)}, True),
        ("in/a.tar!/.deep/b.png", {"containers": True}, False),
        ("in/a.tar!/.deep/b.png", {"containers": True, "hidden": True}, True),
        ("in/a.tar!/.git/b.png", {"containers": True, "hidden": True}, False),
    ],
)
def test_a_member_is_reached_only_through_a_container_that_is_entered(
    tmp_path, name, options, expected
):
    root = absolute(tmp_path)

    assert reaches(root, ScanOptions(**options), root + b"/" + name.encode()) == expected
