"""The directories of zip and tar files: names, order, places, and what is wrong.

Twin: `zipfile` and `tarfile` of the standard library, which share no code with ours. They read the
same members to the same bytes.
"""

import io
import os
import random
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest
from hypothesis import given, strategies as st

from imgdup import containers
from imgdup.containers import Directory, reading
from imgdup.containers.reading import open_container, read_content
from imgdup.errors import ImageError
from imgdup.system.limits import Limits
from imgdup.system.paths import inside, kind_of, split
from opened_containers import LIMITS, listed, read, reason_of

TAR_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
SUFFIXES = [".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2"]

NAMES = st.text("ab./é", min_size=1, max_size=8).filter(
    lambda name: name.strip("/.") and not name.endswith("/")
)
CONTENTS = st.binary(max_size=1500)


def pack(path, members, *, tar_format=tarfile.PAX_FORMAT, packed=zipfile.ZIP_DEFLATED):
    """Write names and contents, in this order, with the standard library."""
    if kind_of(os.fsencode(path)) == "zip":
        with zipfile.ZipFile(path, "w", packed) as file:
            for name, content in members:
                file.writestr(zipfile.ZipInfo(name), content, packed)
        return path
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2"}
    with tarfile.open(path, mode[kind_of(os.fsencode(path))], format=tar_format) as file:
        for name, content in members:
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            file.addfile(facts, io.BytesIO(content))
    return path


def plain(name):
    """What a member is called: the parts of its name that lead into the container."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", "..")).encode()


@given(
    members=st.lists(st.tuples(NAMES, CONTENTS), max_size=6, unique_by=lambda m: plain(m[0])),
    suffix=st.sampled_from(SUFFIXES),
    tar_format=st.sampled_from(sorted(TAR_FORMATS)),
)
def test_every_member_is_listed_in_path_order_and_read(
    tmp_path_factory, suffix, tar_format, members
):
    path = tmp_path_factory.mktemp("packed") / f"x{suffix}"
    pack(path, members, tar_format=TAR_FORMATS[tar_format])

    found = listed(path)

    expected = {plain(name): content for name, content in members}
    names = [member.name for member in found]
    assert found.fault is None
    assert names == sorted(expected, key=lambda name: name.split(b"/"))
    assert {name: read(path, name) for name in names} == expected


@given(st.lists(st.sampled_from([b"a", b"a#2", b"b", b"a#3"]), max_size=8))
def test_members_of_one_name_get_numbers_that_are_free(names):
    directory = Directory()
    for i, name in enumerate(names):
        directory.add(name, (1, i, 0, 0, 0))

    found = {member.place[1]: member.name for member in directory}

    assert len(set(found.values())) == len(names)
    for name in set(names):
        assert found[names.index(name)] == name
    for i, name in enumerate(names):
        assert found[i] == name or found[i].startswith(name + b"#")


def test_the_second_member_of_one_name_is_number_two(tmp_path):
    path = pack(tmp_path / "x.tar", [("a.jpg", b"first"), ("b.jpg", b"b"), ("a.jpg", b"second")])

    assert [member.name for member in listed(path)] == [b"a.jpg", b"a.jpg#2", b"b.jpg"]
    assert read(path, b"a.jpg") == b"first"
    assert read(path, b"a.jpg#2") == b"second"


def test_names_that_lead_out_of_a_container_are_kept_in_it(tmp_path):
    path = pack(tmp_path / "x.tar", [("/etc/a.jpg", b"1"), ("../../b.jpg", b"2"), ("./c", b"3")])

    assert [member.name for member in listed(path)] == [b"b.jpg", b"c", b"etc/a.jpg"]


def test_a_folder_called_like_the_members_of_a_container_is_a_folder(tmp_path):
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a.jpg").write_bytes(b"a file")
    pack(tmp_path / "x.zip", [("a.jpg", b"a member"), ("b.jpg", b"another")])

    assert split(os.fsencode(tmp_path / "x.zip!" / "a.jpg")) is None
    assert read(tmp_path / "x.zip", b"a.jpg") == b"a file"
    assert read(tmp_path / "x.zip", b"b.jpg") == b"another"


def test_a_container_in_such_a_folder_is_found(tmp_path):
    (tmp_path / "x.zip!").mkdir()
    pack(tmp_path / "x.zip!" / "y.tar", [("a.jpg", b"inside")])

    assert read(tmp_path / "x.zip!" / "y.tar", b"a.jpg") == b"inside"


def test_the_chained_form_of_fsspec_reads_the_member(tmp_path):
    path = os.fsencode(pack(tmp_path / "x.zip", [("b/a.jpg", b"content")]))

    assert read_content(b"zip://b/a.jpg::" + path, LIMITS).data == b"content"
    assert read_content(b"zip:///b/a.jpg::file://" + path, LIMITS).data == b"content"


def test_a_missing_member_and_a_missing_container_are_missing(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", b"1")])

    assert reason_of(path, b"b.jpg") == "missing"
    assert reason_of(tmp_path / "y.zip", b"a.jpg") == "missing"


def test_zip_members_beyond_four_gigabytes_are_found(tmp_path):
    """In a file with a hole, written by the standard library with zip64 numbers."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.jpg", b"before")
        file.fp.seek((1 << 32) + 10)
        file.start_dir = file.fp.tell()
        file.writestr("b.jpg", b"behind")

    assert [member.name for member in listed(path)] == [b"a.jpg", b"b.jpg"]
    assert read(path, b"b.jpg") == b"behind"


def test_a_zip_file_behind_a_program_is_read(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", b"content")])
    path.write_bytes(b"#!/bin/sh\nexit\n" + path.read_bytes())

    assert read(path, b"a.jpg") == b"content"


def test_links_are_not_followed_and_hard_links_are_the_file(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as file:
        facts = tarfile.TarInfo("a.jpg")
        facts.size = 3
        file.addfile(facts, io.BytesIO(b"abc"))
        for name, kind, target in [
            ("hard.jpg", tarfile.LNKTYPE, "a.jpg"),
            ("lost.jpg", tarfile.LNKTYPE, "nothing.jpg"),
            ("soft.jpg", tarfile.SYMTYPE, "a.jpg"),
        ]:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            file.addfile(link)

    found = listed(path)

    one, other = found
    assert (one.name, other.name) == (b"a.jpg", b"hard.jpg")
    assert one.place == other.place
    assert sorted(found.ignored) == [
        (b"lost.jpg", "a broken link"),
        (b"soft.jpg", "a link that is not followed"),
    ]


def test_folders_and_devices_are_no_members(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as file:
        for kind in (tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            facts = tarfile.TarInfo(f"a{kind.decode()}.jpg")
            facts.type = kind
            file.addfile(facts)

    assert list(listed(path)) == []


# -- faults


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_of_a_truncated_tar_file_all_before_the_cut_is_read(tmp_path, suffix):
    noise = {b"%d.jpg" % i: random.Random(i).randbytes(20_000) for i in range(9)}
    path = pack(tmp_path / f"x{suffix}", [(os.fsdecode(name), noise[name]) for name in noise])
    os.truncate(path, path.stat().st_size // 2)

    found = listed(path)

    assert found.fault is not None and found.fault.reason in ("truncated", "damaged")
    names = [member.name for member in found]
    assert names == [*noise][: len(names)]
    assert len(names) < 9
    assert all(read(path, name) == noise[name] for name in names[:-1])
    if suffix in (".tar", ".tar.gz"):  # the others are unpacked in larger blocks
        assert len(names) > 3
        assert reason_of(path, names[-1]) == "truncated"


def test_a_tar_file_with_a_damaged_header_is_read_up_to_it(tmp_path):
    path = pack(tmp_path / "x.tar", [(f"{i}.jpg", b"content") for i in range(3)])
    data = bytearray(path.read_bytes())
    data[1024 + 5] ^= 1
    path.write_bytes(data)

    found = listed(path)

    assert [member.name for member in found] == [b"0.jpg"]
    assert found.fault == ("damaged", "no header at byte 1,024")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"text" * 1000], ids=["empty", "text"])
def test_a_container_that_is_none_has_one_fault_and_no_members(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)

    found = listed(path)

    assert list(found) == []
    assert found.fault is not None


def test_a_zip_file_without_its_end_is_damaged(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", b"content")])
    os.truncate(path, path.stat().st_size - 30)

    assert listed(path).fault.reason == "damaged"


def test_a_damaged_zip_directory_is_read_up_to_the_damage(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", b"content"), ("b.jpg", b"content")])
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\1\2")] = 0
    path.write_bytes(data)

    found = listed(path)

    assert [member.name for member in found] == [b"a.jpg"]
    assert found.fault == ("damaged", "1 of 2 members can be found")


def flip_flag(path, offset_in_entry, value):
    """Change two bytes of the first entry of a zip directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.find(b"PK\1\2") + offset_in_entry, value)
    path.write_bytes(data)


def test_encrypted_members_and_unknown_methods_are_unsupported(tmp_path):
    for offset, value in ((8, 1), (10, 97)):
        path = pack(tmp_path / f"{offset}.zip", [("a.jpg", b"1"), ("b.jpg", b"2")])
        flip_flag(path, offset, value)

        assert reason_of(path, b"a.jpg") == "unsupported"
        assert read(path, b"b.jpg") == b"2"


def test_a_bomb_is_unpacked_up_to_the_limit_only(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", bytes(3_000_000)), ("b.jpg", b"small")])
    limits = Limits(max_file_bytes=1_000_000)

    assert reason_of(path, b"a.jpg", limits) == "too-large"
    assert read_content(inside(os.fsencode(path), b"b.jpg"), limits).data == b"small"


def test_a_bomb_that_declares_to_be_small_is_damaged_and_takes_no_memory(tmp_path, monkeypatch):
    path = pack(tmp_path / "x.zip", [("a.jpg", bytes(50_000_000))])
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.find(b"PK\1\2") + 24, 100)
    path.write_bytes(data)
    taken = []
    real = reading.ZipFile.read
    monkeypatch.setattr(
        "imgdup.containers.zip._inflated",
        lambda file, start, packed, n_bytes: taken.append(n_bytes) or bytes(n_bytes),
    )

    assert reason_of(path, b"a.jpg") == "damaged"
    assert taken == [101]
    assert reading.ZipFile.read is real


def test_damage_of_a_zip_member_is_noticed_by_its_checksum(tmp_path):
    path = pack(tmp_path / "x.zip", [("a.jpg", b"content" * 9)], packed=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(b"content") + 3] ^= 1
    path.write_bytes(data)

    assert reason_of(path, b"a.jpg") == "damaged"


def test_behind_a_member_that_is_too_large_a_compressed_tar_file_is_not_unpacked(tmp_path):
    members = [("a.jpg", b"1"), ("b.jpg", bytes(5000)), ("c.jpg", b"3")]
    path = pack(tmp_path / "x.tar.gz", members)
    container = open_container(os.fsencode(path))

    found = container.directory(Limits(max_file_bytes=1000))

    assert [member.name for member in found] == [b"a.jpg", b"b.jpg"]
    assert found.fault.reason == "too-large"
    container.file.close()


@given(data=st.binary(max_size=3000), suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_give_a_directory(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("any") / f"x{suffix}"
    path.write_bytes(data)

    for member in listed(path):
        try:
            read(path, member.name)
        except ImageError:
            continue


@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_one_changed_byte_gives_a_directory_and_members_or_errors(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("changed") / f"x{suffix}"
    pack(path, [("a.jpg", b"one" * 100), ("folder/b.jpg", b"two" * 50)])
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    for member in listed(path):
        try:
            read(path, member.name)
        except ImageError:
            continue


def test_a_container_that_was_replaced_is_opened_again(tmp_path):
    path = pack(tmp_path / "x.tar", [("a.jpg", b"before")])
    before = read(path, b"a.jpg")
    os.replace(pack(tmp_path / "y.tar", [("a.jpg", b"afterwards")]), path)

    assert (before, read(path, b"a.jpg")) == (b"before", b"afterwards")


def test_a_process_that_ends_closes_the_containers_it_kept_open(tmp_path):
    names = [
        inside(os.fsencode(pack(tmp_path / f"x{suffix}", [("a.jpg", b"content")])), b"a.jpg")
        for suffix in (".zip", ".tar")
    ]
    script = (
        "import os, sys\n"
        "from imgdup.containers.reading import read_content\n"
        "from imgdup.system.limits import Limits\n"
        "for name in sys.argv[1:]:\n"
        "    print(read_content(os.fsencode(name), Limits()).data.decode())\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, *names],
        capture_output=True,
    )

    assert (done.stdout.split(), done.stderr) == ([b"content"] * 2, b"")


def tar_header(name, size=b"00000000000\0", type=b"0", link=b"", prefix=b""):
    """A header block of a tar file, with its checksum."""
    block = bytearray(512)
    block[:100], block[124:136], block[156:157] = name.ljust(100, b"\0"), size, type
    block[157:257], block[257:265] = link.ljust(100, b"\0"), b"ustar\00000"
    block[345:500] = prefix.ljust(155, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(number):
    return b"%011o\0" % number


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(*records, type=b"x"):
    """A pax header with these records as they are, and what follows it."""
    data = b"".join(records)
    return tar_header(b"pax", octal(len(data)), type) + padded(data)


FILE = tar_header(b"a.jpg", octal(3)) + padded(b"abc")
END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", ("damaged", "the tar file is empty")),
        (bytes(1024), None),
        (FILE + FILE[:100], ("truncated", "the tar file ends within a header, at byte 1,024")),
        (FILE + b"x" * 512, ("damaged", "no header at byte 1,024")),
        (b"x" * 512, ("damaged", "not a tar file")),
        (tar_header(b"a", b"\xff" + bytes(10) + b"\1"), ("damaged", "a member of impossible size")),
        (tar_header(b"L", octal(2 << 20), b"L"), ("damaged", "a header of 2.1 MB at byte 0")),
        (tar_header(b"L", octal(600), b"L") + b"n", ("truncated", "within a header, at byte 0")),
        (tar_header(b"L", octal(2), b"L") + padded(b"n") + END, ("truncated", "before a member")),
        (pax(b"19 path=a.jpg\n"), ("damaged", "a damaged pax header at byte 0")),
        (pax(b"path=a.jpg\n"), ("damaged", "a damaged pax header at byte 0")),
        (pax(b"11 size=x1\n"), ("damaged", "a damaged pax header at byte 0")),
        (tar_header(b"a.jpg", octal(3)) + b"abc", ("truncated", "ends within 'a.jpg'")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_tar_file_is_named_with_its_place(tmp_path, content, fault):
    path = tmp_path / "a.tar"
    path.write_bytes(content)

    found = listed(path).fault

    assert (found and found.reason) == (fault and fault[0])
    if fault:
        assert fault[1] in found.detail


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (tar_header(b"a.jpg", octal(3), prefix=b"folder"), b"folder/a.jpg"),
        (tar_header(b"a.jpg", b"\x80" + bytes(10) + b"\3"), b"a.jpg"),
        (tar_header(b"L", octal(9), b"L") + padded(b"long.jpg\0") + tar_header(b"l", octal(3)),
         b"long.jpg"),
        (pax(b"17 path=long.jpg\n") + tar_header(b"l", octal(3)), b"long.jpg"),
        (pax(b"10 size=3\n") + tar_header(b"a.jpg"), b"a.jpg"),
        (pax(b"17 path=long.jpg\n", type=b"g") + tar_header(b"a.jpg", octal(3)), b"a.jpg"),
        (tar_header(b"a.jpg", octal(3), b"\0"), b"a.jpg"),
    ],
    ids=["prefix", "base 256", "GNU name", "pax name", "pax size", "global", "old type"],
)  # fmt: skip
def test_each_form_of_a_name_and_a_size_is_read(tmp_path, content, name):
    path = tmp_path / "a.tar"
    path.write_bytes(content + padded(b"abc") + END)

    assert [member.name for member in listed(path)] == [name]
    assert read(path, name) == b"abc"
    with tarfile.open(path) as twin:
        assert [os.fsencode(each.name) for each in twin] == [name] or content[156:157] == b"g"


def test_a_sparse_member_of_either_form_is_unsupported(tmp_path):
    path = tmp_path / "a.tar"
    sparse = pax(b"22 GNU.sparse.major=1\n") + tar_header(b"b.jpg", octal(3)) + padded(b"abc")
    path.write_bytes(tar_header(b"a.jpg", octal(3), b"S") + padded(b"abc") + sparse + FILE + END)

    found = [member.fault and member.fault.reason for member in listed(path)]

    assert found == ["unsupported", None, "unsupported"]  # FILE is called a.jpg, too
    assert reason_of(path, b"b.jpg") == "unsupported"


def test_a_hard_link_with_a_long_name_is_the_file_and_one_to_nothing_is_ignored(tmp_path):
    path = tmp_path / "a.tar"
    to_file = (
        tar_header(b"K", octal(6), b"K") + padded(b"a.jpg\0") + tar_header(b"b.jpg", type=b"1")
    )
    path.write_bytes(FILE + to_file + tar_header(b"c.jpg", type=b"1", link=b"gone") + END)

    found = listed(path)

    assert [member.name for member in found] == [b"a.jpg", b"b.jpg"]
    assert read(path, b"b.jpg") == b"abc"
    assert found.ignored == [(b"c.jpg", "a broken link")]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2"])
def test_a_member_behind_the_end_of_a_compressed_file_is_truncated(tmp_path, suffix):
    path = pack(tmp_path / f"a{suffix}", [("a.jpg", random.Random(3).randbytes(400_000))])
    (member,) = listed(path)
    path.write_bytes(path.read_bytes()[:150_000])
    container = open_container(os.fsencode(path))

    with pytest.raises(ImageError) as caught:
        container.read(member.place, LIMITS)
    kind, _, *sizes = member.place
    head = container.head((kind, 350_000, *sizes), 10)
    container.file.close()

    assert caught.value.reason == "truncated"
    assert head == b""


def test_a_member_that_cannot_be_unpacked_is_damaged(tmp_path):
    path = pack(tmp_path / "a.tar.bz2", [("a.jpg", random.Random(3).randbytes(400_000))])
    (member,) = listed(path)
    data = bytearray(path.read_bytes())
    data[200_000:200_100] = bytes(100)
    path.write_bytes(data)
    container = open_container(os.fsencode(path))

    with pytest.raises(ImageError, match="the tar file cannot be unpacked") as caught:
        container.read(member.place, LIMITS)
    container.file.close()

    assert caught.value.reason == "damaged"


def zip_with(path, change, name="a.jpg", content=b"abc"):
    """A zip file of one stored member, with changed bytes."""
    data = bytearray(pack(path, [(name, content)], packed=zipfile.ZIP_STORED).read_bytes())
    change(data, data.rindex(b"PK\1\2"))
    path.write_bytes(data)
    return path


def put(data, at, form, *numbers):
    data[at : at + struct.calcsize(form)] = struct.pack(form, *numbers)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data, entry: put(data, entry + 42, "<I", 7), "damaged"),  # no member is there
        (lambda data, entry: put(data, entry + 20, "<2I", 900, 900), "truncated"),
        (lambda data, entry: put(data, entry + 24, "<I", 4), "damaged"),  # its size
        (lambda data, entry: put(data, entry + 16, "<I", 1), "damaged"),  # its checksum
        (lambda data, entry: put(data, entry + 10, "<H", 8), "damaged"),  # it is not compressed
    ],
    ids=["place", "beyond the end", "size", "checksum", "method"],
)
def test_a_zip_member_that_is_not_what_the_directory_declares_is_an_error(tmp_path, change, reason):
    path = zip_with(tmp_path / "a.zip", change)

    (member,) = listed(path)

    assert member.fault is None
    assert reason_of(path, b"a.jpg") == reason


@pytest.mark.parametrize("offset", [7, 1 << 20])
def test_a_zip_member_that_is_not_there_has_no_first_bytes(tmp_path, offset):
    path = zip_with(tmp_path / "a.zip", lambda data, entry: put(data, entry + 42, "<I", offset))
    container = open_container(os.fsencode(path))

    heads = [container.head(member.place, 10) for member in container.directory(LIMITS)]
    container.file.close()

    assert heads == [b""]


def test_impossible_sizes_in_the_extra_field_are_damage(tmp_path):
    def change(data, entry):
        put(data, entry + 20, "<2I", 0xFFFF_FFFF, 0xFFFF_FFFF)
        put(data, entry + 30, "<H", 28)
        end = data.rindex(b"PK\5\6")
        put(data, end + 12, "<I", struct.unpack_from("<I", data, end + 12)[0] + 28)
        extra = struct.pack("<2H4s2H2Q", 0x5455, 4, b"time", 1, 16, 3, 1 << 62)
        data[entry + 46 + 5 : entry + 46 + 5] = extra

    (member,) = listed(zip_with(tmp_path / "a.zip", change))

    assert member.fault == ("damaged", "the zip file declares impossible sizes")


def test_a_zip_name_without_the_utf8_flag_is_of_code_page_437(tmp_path):
    def change(data, entry):
        data[entry + 46], data[30] = 0x82, 0x82

    (member,) = listed(zip_with(tmp_path / "a.zip", change))

    assert member.name == "é.jpg".encode()
    with zipfile.ZipFile(tmp_path / "a.zip") as twin:
        assert twin.namelist() == ["é.jpg"]


@pytest.mark.parametrize("moved", [0, 200])
def test_a_zip_directory_outside_the_file_is_damage(tmp_path, moved):
    def change(data, entry):
        end = data.rindex(b"PK\5\6")
        put(data, end + 12, "<2I", 1 << 20 if moved == 0 else 10, moved)

    found = listed(zip_with(tmp_path / "a.zip", change))

    assert len(found) == 0
    assert found.fault == (
        "damaged", "the directory of the zip file: it points outside the file"
    )  # fmt: skip


def test_a_folder_that_is_called_like_a_container_is_no_regular_file(tmp_path):
    (tmp_path / "a.zip").mkdir()

    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_container(os.fsencode(tmp_path / "a.zip"))


def test_a_file_is_read_the_same_without_pread(tmp_path, monkeypatch):
    content = bytes(range(256)) * 40
    (tmp_path / "a").write_bytes(content)
    monkeypatch.setattr(containers, "_PREAD", None)
    file = containers.PlainFile(os.fsencode(tmp_path / "a"))

    parts = [file.read(at, n) for at, n in ((0, 10), (10_000, 500), (10_240, 5), (20_000, 5))]
    file.close()

    assert parts == [content[:10], content[10_000:], b"", b""]
