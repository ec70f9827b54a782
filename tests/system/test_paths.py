"""Absolute paths as bytes, also where the current folder was deleted."""

import os

import pytest

from imgdup.errors import UsageError
from imgdup.system.paths import absolute, current_folder, identity, is_below, join, path_key


@pytest.fixture
def deleted_folder(tmp_path, monkeypatch):
    """The current folder does not exist any more."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    try:
        os.getcwd()
    except FileNotFoundError:
        return
    pytest.skip("the system keeps the folder of a process")


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert absolute("a/../b.jpg") == os.fsencode(os.path.realpath(tmp_path)) + b"/b.jpg"
    assert current_folder() == tmp_path


def test_a_link_to_a_file_keeps_its_name_and_a_link_to_a_folder_does_not(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jpg").touch()
    (tmp_path / "to-folder").symlink_to("folder")
    (tmp_path / "to-file").symlink_to("folder/a.jpg")
    root = os.fsencode(os.path.realpath(tmp_path))

    assert absolute(tmp_path / "to-folder") == root + b"/folder"
    assert absolute(tmp_path / "to-folder" / "a.jpg") == root + b"/folder/a.jpg"
    assert absolute(tmp_path / "to-file") == root + b"/to-file"


def test_an_absolute_path_needs_no_current_folder(deleted_folder, tmp_path):
    assert absolute(tmp_path / "a.jpg") == os.fsencode(os.path.realpath(tmp_path)) + b"/a.jpg"


@pytest.mark.parametrize("path", ["a.jpg", "."])
def test_a_relative_path_in_a_deleted_folder_is_a_usage_error(deleted_folder, path):
    with pytest.raises(UsageError, match=r"^the current folder was deleted: "):
        absolute(path)


def test_an_empty_path_is_refused():
    with pytest.raises(UsageError, match=r"use \. for the current folder"):
        absolute("")


def test_a_folder_contains_itself_and_what_lies_in_it_and_no_sibling():
    assert is_below(b"/a/b", b"/a")
    assert is_below(b"/a", b"/a")
    assert is_below(b"/a", b"/")
    assert is_below(b"/a", b"")
    assert not is_below(b"/ab", b"/a")


def test_paths_sort_part_by_part():
    paths = [b"/a-b", b"/a/c", b"/a"]

    assert sorted(paths, key=path_key) == [b"/a", b"/a/c", b"/a-b"]


def test_a_root_and_a_relative_path_are_joined_by_one_slash():
    assert [join(root, b"x") for root in (b"", b"/", b"/a")] == [b"x", b"/x", b"/a/x"]


def test_two_names_of_one_file_have_one_identity(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").hardlink_to(tmp_path / "a")

    assert identity(bytes(tmp_path / "a")) == identity(bytes(tmp_path / "b")) != (0, 0)
    assert identity(bytes(tmp_path / "missing")) == identity(b"/\0") == (0, 0)
