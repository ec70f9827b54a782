"""Tar and zip files that are written again without some of their members.

Twin: `tarfile` and `zipfile` of the standard library read both and must find the same members.
"""

import contextlib
import io
import os
import tarfile
import zipfile

import pytest
from hypothesis import given, strategies as st

from imgdup.containers import PlainFile
from imgdup.containers.without import open_shard, stored_members
from imgdup.errors import ImageError
from imgdup.system.paths import kind_of

CONTENTS = st.lists(
    st.tuples(
        st.sampled_from(["a.jpg", "a.txt", "b/c.png", "x" * 120 + "/y.jpg", "ä.jpg"]),
        st.binary(max_size=1200),
    ),
    max_size=9,
)
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}


def write_tar(path, contents, tar_format=tarfile.PAX_FORMAT):
    ending = next(each for each in TAR_MODES if path.name.endswith(each))
    with tarfile.open(path, TAR_MODES[ending], format=tar_format) as file:
        for name, data in contents:
            header = tarfile.TarInfo(name)
            header.size, header.mtime = len(data), 1_600_000_000
            file.addfile(header, io.BytesIO(data))
    return path


def without(path, numbers):
    """The file without the members of some numbers."""
    name, out = os.fsencode(path), io.BytesIO()
    with contextlib.closing(PlainFile(name)) as file:
        members = stored_members(file, kind_of(name))
    with contextlib.closing(PlainFile(name)) as file:
        places = {members[i].place for i in numbers if i < len(members)}
        open_shard(file, kind_of(name)).write_without(places, out)
    return out.getvalue()


def tar_members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        return [
            (each.name, each.mode, file.extractfile(each).read() if each.isfile() else each.type)
            for each in file
        ]


def zip_members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return [
            (each.filename, each.compress_type, each.comment, file.read(each))
            for each in file.infolist()
        ]


def others(members, gone):
    return [each for i, each in enumerate(members) if i not in gone]


@given(
    contents=CONTENTS,
    gone=st.sets(st.integers(0, 8)),
    ending=st.sampled_from(list(TAR_MODES)),
    tar_format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_a_tar_file_holds_all_other_members_as_they_were(
    tmp_path_factory, contents, gone, ending, tar_format
):
    path = write_tar(tmp_path_factory.mktemp("tar") / f"x{ending}", contents, tar_format)

    new = without(path, gone)

    assert tar_members(new) == others(tar_members(path.read_bytes()), gone)
    assert without(path, gone) == new


@given(
    contents=CONTENTS,
    gone=st.sets(st.integers(0, 8)),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    before=st.sampled_from([b"", b"#!/bin/sh\n"]),
    comment=st.sampled_from([b"", b"a comment"]),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_file_holds_all_other_members_as_they_were(
    tmp_path_factory, contents, gone, method, before, comment
):
    path = tmp_path_factory.mktemp("zip") / "x.zip"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for i, (name, content) in enumerate(contents):
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.comment = method, b"c%d" % i
            file.writestr(entry, content)
        file.comment = comment
    path.write_bytes(before + data.getvalue())

    new = without(path, gone)

    assert zip_members(new) == others(zip_members(path.read_bytes()), gone)
    assert new.startswith(before)


def test_a_zip_file_in_the_long_form_keeps_it(tmp_path, monkeypatch):
    """With the limit lowered, `zipfile` writes the records of files beyond 4 GB."""
    path = tmp_path / "x.zip"
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(5):
            file.writestr(f"{i}.jpg", os.urandom(90))
    before = zip_members(path.read_bytes())

    new = without(path, {0, 3})

    assert b"PK\6\6" in new
    assert zip_members(new) == others(before, {0, 3})


def test_a_tar_file_that_loses_nothing_is_the_same_to_the_byte(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("a.jpg", b"1"), ("x" * 200, b"2" * 600)])

    assert without(path, set()) == path.read_bytes()


def test_headers_that_concern_all_members_are_kept(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", pax_headers={"comment": "for all"}) as file:
        for name in ("a.jpg", "b.jpg"):
            file.addfile(tarfile.TarInfo(name))

    with tarfile.open(fileobj=io.BytesIO(without(path, {0}))) as file:
        assert (file.getnames(), file.pax_headers) == (["b.jpg"], {"comment": "for all"})


def test_a_truncated_tar_file_is_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("a.jpg", b"1" * 2000)])
    path.write_bytes(path.read_bytes()[:1500])

    with pytest.raises(ImageError, match="ends within"):
        without(path, {0})


def test_a_zip_file_whose_members_overlap_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.jpg", b"1" * 100)
        file.writestr("b.jpg", b"2" * 100)
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\1\2")
    data[entry + 20 : entry + 24] = (150).to_bytes(4, "little")  # of a.jpg, as it is stored
    path.write_bytes(data)

    with pytest.raises(ImageError, match="overlap"):
        without(path, {0})
