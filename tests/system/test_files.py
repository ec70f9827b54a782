"""Reading: regular files that stay as they are while they are read; everything else is a reason."""

import errno
import os
import socket
import sys

import pytest

from imgdup.errors import ImageError
from imgdup.system import files
from imgdup.system.files import DIGEST_KINDS, content_digest, file_digest, read_file
from imgdup.system.limits import Limits

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def reason(path, limits=Limits()):  # noqa: B008 - frozen
    with pytest.raises(ImageError) as caught:
        read_file(path, limits)
    return caught.value.reason


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"content")
    return path


def test_a_file_is_read_with_its_facts(file):
    os.utime(file, ns=(5, 1_700_000_000_123_456_700))

    content = read_file(str(file), Limits())

    assert content.data == b"content"
    assert content.size == 7
    assert content.mtime_ns == file.stat().st_mtime_ns


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_any_size_is_read_whole(tmp_path, size):
    path = tmp_path / "a"
    path.write_bytes(bytes(size))

    assert read_file(os.fsencode(path), Limits()).data == bytes(size)


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="APFS admits valid UTF-8 only")
def test_a_name_that_is_not_utf8_is_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\n.jpg"
    with open(path, "wb") as out:
        out.write(b"x")

    assert read_file(path, Limits()).data == read_file(os.fsdecode(path), Limits()).data == b"x"


def test_a_file_that_does_not_exist_is_missing(file):
    assert reason(str(file.parent / "b.jpg")) == "missing"
    assert reason(str(file / "below-a-file")) == "missing"
    assert reason("a\0b") == "missing"


@posix
def test_a_dangling_link_is_missing(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")

    assert reason(str(tmp_path / "link")) == "missing"


@posix
def test_a_loop_of_links_is_unreadable(tmp_path):
    (tmp_path / "link").symlink_to("link")

    assert reason(str(tmp_path / "link")) == "unreadable"


@posix
def test_a_file_that_is_not_regular_is_unreadable_and_does_not_block(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        server.bind("socket.jpg")

        for name in ("fifo.jpg", "socket.jpg", ".", "/dev/zero", "/dev/null"):
            assert reason(name) == "unreadable"


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_unreadable(file):
    file.chmod(0)

    assert reason(str(file)) == "unreadable"


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_error_keeps_the_words_of_the_system(file, monkeypatch, code):
    def fail(descriptor, size):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "read", fail)

    with pytest.raises(ImageError) as caught:
        read_file(str(file), Limits())

    assert (caught.value.reason, caught.value.detail) == ("unreadable", os.strerror(code))


def test_a_file_over_the_limit_is_too_large_and_not_read(file, monkeypatch):
    monkeypatch.setattr(os, "read", None)

    assert reason(str(file), Limits(max_file_bytes=6)) == "too-large"


def test_a_file_at_the_limit_is_read(file):
    assert read_file(str(file), Limits(max_file_bytes=7)).size == 7


@posix
def test_a_sparse_terabyte_is_too_large(tmp_path):
    path = tmp_path / "sparse.jpg"
    path.touch()
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("no sparse files here")

    assert reason(str(path)) == "too-large"


def test_a_file_that_does_not_fit_in_memory_is_too_large(file, monkeypatch):
    def fail(descriptor, size):
        raise MemoryError

    monkeypatch.setattr(os, "read", fail)

    assert reason(str(file)) == "too-large"


@pytest.mark.parametrize("changes", [b"longer content", b"x", b"CONTENT"], ids=len)
def test_a_file_that_changes_once_is_read_again(file, monkeypatch, changes):
    real_read = os.read
    pending = [changes]

    def read(descriptor, size):
        data = real_read(descriptor, size)
        if pending:
            file.write_bytes(pending.pop())
            os.utime(file, ns=(0, 0))
        return data

    monkeypatch.setattr(os, "read", read)

    assert read_file(str(file), Limits()).data == changes


def test_a_file_that_keeps_changing_is_changed(file, monkeypatch):
    real_read = os.read

    def read(descriptor, size):
        with file.open("ab") as grown:
            grown.write(b"x")
        return real_read(descriptor, size)

    monkeypatch.setattr(os, "read", read)

    assert reason(str(file)) == "changed"


def test_short_reads_are_completed(file, monkeypatch):
    real_read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real_read(descriptor, min(size, 3)))

    assert read_file(str(file), Limits()).data == b"content"


def test_no_descriptor_remains_open(file, monkeypatch):
    opened = []
    real_open = os.open

    def record(*arguments):
        opened.append(real_open(*arguments))
        return opened[-1]

    monkeypatch.setattr(files.os, "open", record)
    read_file(str(file), Limits())
    reason(str(file), Limits(max_file_bytes=1))

    for descriptor in opened:
        with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("kind", DIGEST_KINDS)
def test_different_contents_have_different_digests(kind):
    digests = {content_digest(data, kind) for data in (b"", b"a", b"b", b"ab", bytes(1000))}

    assert len(digests) == 5
    assert {len(digest) for digest in digests} == {16}


# Of the bytes 0 to 250 over and over, as the authors of BLAKE3 give them for their test vectors
# (test_vectors.json), the first 16 bytes; and of BLAKE2b with 16 bytes by Python's own module.
FROZEN = [
    ("blake3", 0, "af1349b9f5f9a1a6a0404dea36dcc949"),
    ("blake3", 1, "2d3adedff11b61f14c886e35afa03673"),
    ("blake3", 1024, "42214739f095a406f3fc83deb889744a"),
    ("blake2b", 0, "cae66941d9efbd404e4d88758ea67670"),
]


@pytest.mark.parametrize(("kind", "n_bytes", "expected"), FROZEN)
def test_digests_are_those_that_were_published(kind, n_bytes, expected):
    data = bytes(i % 251 for i in range(n_bytes))

    assert content_digest(data, kind).hex() == expected


@pytest.mark.parametrize("kind", DIGEST_KINDS)
@pytest.mark.parametrize("n_bytes", [0, 1, files.READ_BYTES, 2 * files.READ_BYTES + 7])
def test_an_open_file_has_the_digest_of_its_bytes(tmp_path, kind, n_bytes):
    data = bytes(i % 251 for i in range(n_bytes))
    (tmp_path / "file").write_bytes(data)

    with open(tmp_path / "file", "rb") as file:
        found = file_digest(file.fileno(), kind)

    assert found == content_digest(data, kind)
