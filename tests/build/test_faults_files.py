"""Faults of files: what becomes of each, in what time and with what memory.

`status_of` is what `imgdup index` would write beside the file. Time and memory are measured in
a worker as indexing has it, capped and all; the bounds are those of the promise, many times
what is needed.
"""

import contextlib
import errno
import os
import random
import shutil
import socket
import stat
import sys
import tempfile
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import file_tasks
import hostile_files as hostile
from file_tasks import status_of
from imgdup.build import sources
from imgdup.build.sources import walk
from imgdup.build.tally import Tally
from imgdup.errors import ImageError
from imgdup.hashing import MATCH_MIN_QUALITY, fingerprint
from imgdup.images.decode import decode, init_worker
from imgdup.index.parts import ScanOptions
from imgdup.query.probe import picture_in_memory
from imgdup.system import files
from imgdup.system.files import read_file
from imgdup.system.limits import Limits
from imgdup.workers.pool import Died, Pool, answers
from imgdup.workers.process import Processes, Setup
from real_pictures import DATA, needs_data

MIB = 1 << 20
HONEST = hostile.honest_files()
N_MUTANTS = int(os.environ.get("IMGDUP_FUZZ_MUTANTS", "4000"))

posix = pytest.mark.skipif(os.name != "posix", reason="needs files as on Unix")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def prints(data):
    return fingerprint(decode(data, Limits()).gray, "dhash", 64)


def dhash(data):
    return int(prints(data).hashes[0])


def n_different_bits(a, b):
    return (dhash(a) ^ dhash(b)).bit_count()


def reason_of(path):
    """Why a file cannot be read."""
    with pytest.raises(ImageError) as caught:
        read_file(path, Limits())
    return caught.value.reason


@pytest.fixture(scope="module")
def worker():
    """Calls functions in a worker process that is set up as for indexing."""
    with Processes(Setup(1, 60.0, init_worker, (Limits(),))) as executor:
        yield lambda function, *args: executor.submit(function, *args).result()


@pytest.fixture
def cost(worker, tmp_path):
    """Status, seconds and bytes of memory of one file, in a worker."""

    def measured(data):
        path = tmp_path / "file.jpg"
        path.write_bytes(data)
        worker(file_tasks.examine, str(path))  # whatever is loaded at the first use
        return worker(file_tasks.examine, str(path))

    return measured


def scan(folder, **options):
    """Paths of the candidates in a folder, relative to it, and the tally."""
    root, tally = os.fsencode(os.path.realpath(folder)), Tally()
    found = list(walk(root, root, ScanOptions(**options), b"", tally))
    return [candidate.path[len(root) + 1 :] for candidate in found], tally


CUT = {"truncated", "damaged"}  # the header of a format may say how long the file was


def test_an_empty_file_is_not_an_image():
    status = status_of(b"")

    assert status == "not-an-image"


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("name", ["baseline.jpg", "gray.jpg", "cmyk.jpg"])
def test_a_cut_jpeg_is_truncated(name, percent):
    data = HONEST[name]

    status = status_of(data[: len(data) * percent // 100])

    assert status == "truncated"


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
def test_a_cut_progressive_jpeg_is_truncated(percent):
    data = HONEST["progressive.jpg"]

    status = status_of(data[: len(data) * percent // 100])

    assert status == "truncated"


@pytest.mark.parametrize("percent", [30, 60, 90, 99])
@pytest.mark.parametrize("name", sorted(name for name in HONEST if not name.endswith(".jpg")))
def test_a_cut_file_of_any_other_format_has_no_hash(name, percent):
    data = HONEST[name]

    status = status_of(data[: len(data) * percent // 100])

    first_frame_may_be_whole = name.startswith("moving")
    assert status in CUT or (first_frame_may_be_whole and status == "ok")


@pytest.mark.parametrize("name", sorted(HONEST))
def test_a_file_cut_by_one_byte_has_no_hash_or_lacks_nothing_of_the_picture(name):
    data = HONEST[name]

    status = status_of(data[:-1])

    only_a_trailer_or_a_frame_is_missing = name.endswith((".gif", ".jpg")) or name.startswith(
        "moving"
    )
    assert status in CUT or (only_a_trailer_or_a_frame_is_missing and status == "ok")


def test_a_flipped_byte_in_png_data_is_damage():
    data = HONEST["rgb.png"]
    start = data.index(b"IDAT") + 4
    places = range(start, len(data) - 12, 97)

    statuses = {status_of(flipped(data, at)) for at in places}

    assert statuses == {"damaged"}


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_a_flipped_bit_in_jpeg_data_is_not_noticed_and_changes_little():
    data = HONEST["baseline.jpg"]

    changed = flipped(data, len(data) * 19 // 20, bit=2)

    assert status_of(changed) == "ok"
    assert n_different_bits(changed, data) <= 10


@pytest.mark.parametrize("wrong", ["a.jpg", "a.png", "a.gif", "a", "a.txt"])
@pytest.mark.parametrize("name", ["baseline.jpg", "rgb.png", "lossy.webp"])
def test_content_counts_and_not_the_name(tmp_path, name, wrong):
    (tmp_path / wrong).write_bytes(HONEST[name])

    found, _ = scan(tmp_path)

    assert found == [wrong.encode()]
    assert (
        decode(read_file(tmp_path / wrong, Limits()).data, Limits()).format
        == {
            "baseline.jpg": "jpeg",
            "rgb.png": "png",
            "lossy.webp": "webp",
        }[name]
    )


@pytest.mark.parametrize(
    "content",
    [b"text\n", b"<html></html>", b"<svg xmlns='x'/>", b"%PDF-1.7\n", b"PK\x03\x04" + bytes(40)],
    ids=["text", "html", "svg", "pdf", "zip"],
)
def test_another_kind_of_file_named_like_an_image_is_listed_and_not_an_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)

    found, _ = scan(tmp_path)

    assert found == [b"a.jpg"]
    assert status_of(content) == "not-an-image"


@pytest.mark.parametrize("side", [1, 2, 8])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_tiny_picture_is_read_and_its_quality_is_too_low_to_compare_it(side, format):
    data = hostile.saved(hostile.photo(side, side), format)

    status, quality = status_of(data), prints(data).quality

    assert status == "ok"
    assert quality < MATCH_MIN_QUALITY


@linux
@pytest.mark.parametrize(
    "height, width, format",
    [(1, 60000, "PNG"), (60000, 1, "PNG"), (1, 65500, "JPEG"), (65500, 1, "JPEG")],
)
def test_a_line_of_a_picture_is_read_in_bounded_time(cost, height, width, format):
    line = np.arange(height * width, dtype=np.uint32).astype(np.uint8).reshape(height, width)

    status, seconds, n_bytes = cost(hostile.saved(line, format))

    assert status == "ok"
    assert seconds < 2
    assert n_bytes < 300 * MIB


def sixteen_bits(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: (image.convert("L"), "PNG"),
        lambda image: (image.convert("L").quantize(256), "PNG"),
        lambda image: (image.quantize(256), "PNG"),
        lambda image: (image.convert("LA"), "PNG"),
        lambda image: (image.convert("RGBA"), "PNG"),
        lambda image: (image.convert("RGBA"), "WEBP"),
        lambda image: (sixteen_bits(image), "PNG"),
        lambda image: (image.convert("CMYK"), "JPEG"),
        lambda image: (image.convert("CMYK"), "TIFF"),
    ],
    ids="gray gray-palette palette LA RGBA WebP 16-bit CMYK CMYK-TIFF".split(),
)
def test_colour_models_give_the_hash_of_the_rgb_picture(convert):
    image, format = convert(Image.fromarray(hostile.photo()))
    options = {"quality": 95} if format in ("JPEG", "WEBP") else {}

    data = hostile.saved(image, format, **options)

    assert n_different_bits(data, HONEST["rgb.png"]) <= 2


def test_a_picture_of_one_bit_is_read():
    status = status_of(HONEST["1-bit.png"])

    assert status == "ok"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_what_transparency_hides_does_not_count(format):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    hidden = [
        np.dstack([hostile.photo(seed=seed), np.zeros((120, 160), np.uint8)]) for seed in (1, 2)
    ]

    first, second = (prints(hostile.saved(pixels, format, **options)) for pixels in hidden)

    assert first.hashes.tolist() == second.hashes.tolist()
    assert first.match.tolist() == second.match.tolist()


def jpeg_of_twelve_bits():
    data = HONEST["baseline.jpg"]
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + b"\xc1" + data[at + 2 : at + 4] + b"\x0c" + data[at + 5 :]


def ycck_jpeg():
    """A CMYK file that says by its Adobe marker that it is YCCK."""
    data = HONEST["cmyk.jpg"]
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


@pytest.mark.parametrize(
    "data, statuses",
    [
        (
            hostile.saved(np.linspace(0, 1, 4800, dtype=np.float32).reshape(60, 80), "TIFF"),
            {"unsupported"},
        ),
        (jpeg_of_twelve_bits(), {"unsupported"}),
        (ycck_jpeg(), {"ok"}),
    ],
    ids=["float32 TIFF", "12-bit JPEG", "YCCK JPEG"],
)
def test_rare_kinds_of_samples_are_read_or_unsupported(data, statuses):
    status = status_of(data)

    assert status in statuses


TURNED = [
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_270,
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_all_orientations_of_a_picture_hash_alike(orientation, format):
    image = Image.fromarray(hostile.photo())
    turn = TURNED[orientation - 1]
    stored = image if turn is None else image.transpose(turn)
    tags = Image.Exif()
    tags[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}

    data = hostile.saved(stored, format, exif=tags, **options)

    assert (decode(data, Limits()).width, decode(data, Limits()).height) == (160, 120)
    assert n_different_bits(data, HONEST["rgb.png"]) <= (2 if format == "JPEG" else 0)


@linux
@pytest.mark.parametrize(
    "segment",
    [
        b"Exif\0\0" + random.Random(0).randbytes(2000),
        b"Exif\0\0MM\0*" + b"\xff" * 60000,
        hostile.exif([(0x0112, 3, 1, 99)]),
        hostile.exif([(0x0112, 3, 1, 1), (0x8769, 4, 1, 8), (0x0201, 4, 1, 8)]),
        hostile.exif([(0x0112, 3, 0xFFFFFFFF, 1)], "II"),
        b"Exif\0\0",
    ],
    ids=["garbage", "huge", "no such orientation", "loop", "count", "nothing"],
)
def test_hostile_exif_costs_no_time(cost, segment):
    data = HONEST["baseline.jpg"]

    for _ in range(20):
        data = hostile.with_jpeg_segment(data, 0xE1, segment)
    status, seconds, _ = cost(data)

    assert status == "ok"
    assert seconds < 1


@linux
def test_of_three_thousand_frames_the_first_is_read_and_no_more(cost):
    data = hostile.gif_of_frames(3000)

    status, seconds, n_bytes = cost(data)

    assert status == "ok"
    assert seconds < 1
    assert n_bytes < 10 * len(data)


@pytest.mark.parametrize("name", ["moving.png", "moving.webp", "moving.gif"])
def test_an_animation_has_the_hash_of_its_first_frame(name):
    distance = n_different_bits(HONEST[name], HONEST["rgb.png"])

    assert distance <= 2


@linux
@pytest.mark.parametrize(
    "make, status",
    [
        (lambda: hostile.png_of_zeros(30000, 30000), "too-large"),
        (hostile.png_of_a_chunk_beyond_the_file, "damaged"),
        (lambda: hostile.with_jpeg_size(HONEST["progressive.jpg"], 30000, 30000), "too-large"),
        (lambda: hostile.with_jpeg_size(HONEST["progressive.jpg"], 65535, 65535), "too-large"),
        (lambda: hostile.with_jpeg_size(HONEST["baseline.jpg"], 65000, 65000), "too-large"),
        (lambda: hostile.gif_of_canvas(65535, 65535), "too-large"),
    ],
    ids=[
        "PNG of 30000x30000",
        "PNG chunk of 4 GB",
        "progressive JPEG of 30000x30000",
        "progressive JPEG of 65535x65535",
        "baseline JPEG of 65000x65000",
        "GIF canvas of 65535x65535",
    ],
)
def test_a_small_file_that_claims_much_is_refused_at_once(cost, make, status):
    data = make()

    refused, seconds, n_bytes = cost(data)

    assert len(data) < 200_000
    assert refused == status
    assert seconds < 0.1
    assert n_bytes < 100 * MIB


@linux
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_chunks_that_unpack_to_a_gigabyte_are_not_unpacked(cost, kind):
    data = hostile.png_with_bombs(kind, n_bombs=5, bomb_bytes=200 * MIB)

    status, seconds, n_bytes = cost(data)

    assert status in {"ok", "damaged"}
    assert seconds < 1
    assert n_bytes < 100 * MIB


@linux
@pytest.mark.parametrize(
    "make",
    [hostile.tiff_of_looping_directories, lambda: hostile.tiff_of_pages(1_000_000)],
    ids=["loop", "a million pages"],
)
def test_directories_of_a_tiff_behind_the_first_are_not_followed(cost, make):
    data = make()

    status, seconds, n_bytes = cost(data)

    assert status in {"ok", "damaged"}
    assert seconds < 1
    assert n_bytes < 100 * MIB


@pytest.mark.parametrize("extension", [".hdr", ".ras", ".pfm"])
def test_formats_that_are_not_decoded_are_recognised_and_refused(extension):
    pixels = hostile.photo()
    if extension in (".hdr", ".pfm"):
        pixels = pixels.astype(np.float32)
    _, data = cv2.imencode(extension, pixels)

    status = status_of(data.tobytes())

    assert status == "unsupported"


def test_a_jpeg_whose_header_lies_never_looks_like_a_good_picture():
    data = hostile.with_jpeg_size(HONEST["baseline.jpg"], 4000, 4000)

    status = status_of(data)

    assert status in {"damaged", "truncated"} or prints(data).quality < MATCH_MIN_QUALITY


def test_blank_pictures_of_any_colour_have_no_quality():
    colours = np.random.default_rng(26).integers(0, 256, (1000, 3), np.uint8)

    qualities = {
        fingerprint(
            picture_in_memory(np.broadcast_to(c, (32, 48, 3)).copy()).gray, "dhash", 64
        ).quality
        for c in colours
    }

    assert qualities == {0}


@pytest.fixture
def photo_folder(tmp_path):
    """A folder with one picture in a folder of it."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/photo.jpg").write_bytes(HONEST["baseline.jpg"])
    return tmp_path


@posix
def test_a_link_to_a_file_is_skipped_or_followed_as_the_same_file(photo_folder):
    (photo_folder / "link.jpg").symlink_to("inside/photo.jpg")
    root = os.fsencode(os.path.realpath(photo_folder))

    skipped, tally = scan(photo_folder)
    followed = list(walk(root, root, ScanOptions(follow_symlinks=True), b"", Tally()))

    assert skipped == [b"inside/photo.jpg"]
    assert tally.ignored == 1
    assert len(followed) == 2
    assert len({(file.device, file.inode) for file in followed}) == 1


@posix
@pytest.mark.parametrize("follow", [False, True])
def test_loops_of_links_end(photo_folder, follow):
    (photo_folder / "a.jpg").symlink_to("b.jpg")
    (photo_folder / "b.jpg").symlink_to("a.jpg")
    (photo_folder / "inside/up").symlink_to("..")
    (photo_folder / "inside/here").symlink_to(".")

    found, _ = scan(photo_folder, follow_symlinks=follow)

    to_be_read_and_found_broken = [b"a.jpg", b"b.jpg"] if follow else []
    assert found == [*to_be_read_and_found_broken, b"inside/photo.jpg"]


@posix
def test_a_loop_of_links_cannot_be_read(tmp_path):
    (tmp_path / "a.jpg").symlink_to("a.jpg")

    reason = reason_of(tmp_path / "a.jpg")

    assert reason == "unreadable"


@posix
@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("target", ["nothing.jpg", "inside/photo.jpg/below.jpg"])
def test_a_dangling_link_is_ignored_and_counted(photo_folder, follow, target):
    (photo_folder / "link.jpg").symlink_to(target)

    found, tally = scan(photo_folder, follow_symlinks=follow)

    assert (found, tally.ignored) == ([b"inside/photo.jpg"], 1)


@posix
def test_a_dangling_link_that_is_read_is_missing(tmp_path):
    (tmp_path / "link.jpg").symlink_to("nothing.jpg")

    reason = reason_of(tmp_path / "link.jpg")

    assert reason == "missing"


@posix
def test_hard_links_are_seen_to_be_one_file(photo_folder):
    os.link(photo_folder / "inside/photo.jpg", photo_folder / "other.jpg")
    root = os.fsencode(os.path.realpath(photo_folder))

    found = list(walk(root, root, ScanOptions(), b"", Tally()))

    assert len(found) == 2
    assert len({(file.device, file.inode) for file in found}) == 1
    assert found[0].inode != 0


@pytest.fixture
def guarded_folder():
    """A folder with pictures, one of them and one folder closed to this user, root or not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name in ("open.jpg", "closed.jpg", "closed/a.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(HONEST["baseline.jpg"])
    (folder / "closed.jpg").chmod(0)
    (folder / "closed").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    (folder / "closed").chmod(0o755)
    shutil.rmtree(folder)


@posix
def test_without_permission_a_file_is_unreadable_and_a_folder_is_noted(guarded_folder):
    reason = reason_of(guarded_folder / "closed.jpg")
    found, tally = scan(guarded_folder)

    assert reason == "unreadable"
    assert found == [b"closed.jpg", b"open.jpg"]
    assert tally.unlisted == [
        (os.fsencode(os.path.realpath(guarded_folder / "closed")), "Permission denied")
    ]


@posix
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder"])
def test_what_is_no_regular_file_is_ignored_and_reading_it_does_not_block(tmp_path, kind):
    path = tmp_path / "a.jpg"
    with contextlib.ExitStack() as stack:
        make_special(path, kind, stack)

        found, tally = scan(tmp_path)
        reason = reason_of(path)

    assert found == []
    assert tally.ignored == (0 if kind == "folder" else 1)
    assert reason == "unreadable"


def make_special(path, kind, stack):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        stack.enter_context(contextlib.chdir(path.parent))  # names of sockets must be short
        server.bind(path.name)
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")


@posix
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "/proc/kmsg"])
def test_files_of_the_system_that_never_end_are_not_read(path):
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    started = time.monotonic()  # a wait takes no time of the processor

    with pytest.raises(ImageError):
        read_file(path, Limits())

    assert time.monotonic() - started < 5


ODD_NAMES = [
    b"new\nline.jpg",
    b"tab\t.jpg",
    b"quote'\".jpg",
    b"-rf.jpg",
    b"\xe2\x80\xaegpj.exe.jpg",
    "é.jpg".encode(),
    "e\u0301.jpg".encode(),
    b"\\back.jpg",
    b" .jpg",
]


@posix
def test_odd_names_are_read_back_byte_for_byte(tmp_path):
    folder = os.fsencode(tmp_path)
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(HONEST["baseline.jpg"])

    found, _ = scan(tmp_path)

    assert sorted(found) == sorted(os.listdir(folder))
    assert {status_of(read_file(folder + b"/" + name, Limits()).data) for name in found} == {"ok"}


@posix
def test_a_name_that_is_not_utf_8_does_not_end_a_worker(tmp_path, worker):
    path = os.fsencode(tmp_path) + b"/bad\xff.jpg"
    try:
        with open(path, "wb") as file:
            file.write(HONEST["baseline.jpg"])
    except OSError:
        pytest.skip("this file system takes UTF-8 only")

    found, _ = scan(tmp_path)
    status = worker(file_tasks.status_of, read_file(path, Limits()).data)

    assert found == [b"bad\xff.jpg"]
    assert status == "ok"
    assert worker(file_tasks.examine, path)[0] == "ok"


@posix
def test_a_name_of_255_bytes_is_read(tmp_path):
    (tmp_path / ("n" * 251 + ".jpg")).write_bytes(HONEST["baseline.jpg"])

    found, _ = scan(tmp_path)

    assert [len(name) for name in found] == [255]
    assert status_of(read_file(tmp_path / os.fsdecode(found[0]), Limits()).data) == "ok"


@pytest.fixture
def too_deep(tmp_path):
    """A chain of folders whose path is longer than the system takes."""
    here = os.open(tmp_path, os.O_RDONLY)
    chain = [here]
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=chain[-1])
        chain.append(os.open("d" * 250, os.O_RDONLY, dir_fd=chain[-1]))
    yield tmp_path
    for parent, folder in reversed(list(pairwise(chain))):
        os.close(folder)
        os.rmdir("d" * 250, dir_fd=parent)
    os.close(here)


@posix
def test_a_path_too_long_for_the_system_is_noted_once(too_deep):
    found, tally = scan(too_deep)

    assert found == []
    assert [words for _, words in tally.unlisted] == ["File name too long"]


@posix
def test_a_path_too_long_for_the_system_is_unreadable():
    reason = reason_of("/" + "d" * 300)

    assert reason == "unreadable"


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only; not run here")
def test_windows_names_are_read_or_refused(tmp_path):
    name = "ü" * 100 + ".jpg"
    (tmp_path / name).write_bytes(HONEST["baseline.jpg"])

    found, _ = scan(tmp_path)

    assert [os.fsdecode(path) for path in found] == [name]


def test_a_file_that_vanished_after_the_listing_is_missing(tmp_path):
    reason = reason_of(tmp_path / "gone.jpg")

    assert reason == "missing"


def test_a_file_whose_folder_became_a_file_is_missing(tmp_path):
    (tmp_path / "folder").write_bytes(b"")

    reason = reason_of(tmp_path / "folder/photo.jpg")

    assert reason == "missing"


@pytest.fixture
def unsteady(tmp_path, monkeypatch):
    """A picture that grows whenever it is read, as often as asked for."""
    path = tmp_path / "growing.jpg"
    path.write_bytes(HONEST["baseline.jpg"])
    read_all = files._read_all

    def changing(n_times):
        left = [None] * n_times

        def read_then_grow(descriptor, size):
            data = read_all(descriptor, size)
            if left:
                left.pop()
                with path.open("ab") as file:
                    file.write(b"more")
            return data

        monkeypatch.setattr(files, "_read_all", read_then_grow)
        return path

    return changing


def test_a_file_that_changed_once_while_read_is_read_again(unsteady):
    path = unsteady(1)

    content = read_file(path, Limits())

    assert content.data == HONEST["baseline.jpg"] + b"more"
    assert (content.size, content.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_a_file_that_keeps_changing_is_changed(unsteady):
    path = unsteady(5)

    reason = reason_of(path)

    assert reason == "changed"


@posix
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_a_file_replaced_after_the_listing_is_unreadable(photo_folder, kind):
    [found], _ = scan(photo_folder)
    path = photo_folder / os.fsdecode(found)
    path.unlink()
    make_special(path, kind, contextlib.ExitStack())

    reason = reason_of(path)

    assert reason == "unreadable"


@linux
def test_a_read_that_stalls_is_timed_out_and_the_rest_is_done(tmp_path):
    names = ["a.jpg", "b.jpg", "stall.jpg", "z.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(HONEST["baseline.jpg"])
    paths = [str(tmp_path / name) for name in names]

    with Pool(Setup(workers=2, timeout_s=1.0)) as pool:
        got = dict(
            pair
            for items, result in answers(file_tasks.examine_stalling, [paths], pool)
            for pair in zip(
                items, [result.reason] if isinstance(result, Died) else result, strict=True
            )
        )

    assert got == dict(zip(paths, ["ok", "ok", "timed-out", "ok"], strict=True))


@pytest.mark.parametrize("number", [errno.EIO, getattr(errno, "ESTALE", errno.EIO)])
def test_an_error_while_reading_has_the_message_of_the_system(photo_folder, monkeypatch, number):
    def fail(descriptor, size):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "_read_all", fail)

    with pytest.raises(ImageError) as caught:
        read_file(photo_folder / "inside/photo.jpg", Limits())

    assert caught.value.reason == "unreadable"
    assert caught.value.detail == os.strerror(number)


def test_a_folder_of_many_entries_takes_the_memory_of_its_names(monkeypatch, photo_folder):
    n_entries = 50_000  # candidates that are held would take 10 MiB
    facts = os.stat(photo_folder / "inside/photo.jpg")
    entry_names = [b"photo-%07d.jpg" % n for n in range(n_entries)]
    monkeypatch.setattr(sources, "_names", lambda folder, tally: list(entry_names))
    monkeypatch.setattr(sources, "facts_of", lambda path, options, tally: facts)
    tracemalloc.start()

    n_found = sum(1 for _ in walk(b"/many", b"/many", ScanOptions(), b"", Tally()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_found == n_entries
    assert peak < MIB


@pytest.fixture
def thousand_deep(tmp_path):
    """A chain of a thousand folders with a picture at its end."""
    chain = [os.fsencode(tmp_path)]
    for _ in range(1000):
        chain.append(chain[-1] + b"/d")
        os.mkdir(chain[-1])
    picture = chain[-1] + b"/photo.jpg"
    Path(os.fsdecode(picture)).write_bytes(HONEST["baseline.jpg"])
    yield tmp_path
    os.unlink(picture)
    for folder in reversed(chain[1:]):
        os.rmdir(folder)


@posix
def test_a_thousand_folders_deep_a_picture_is_found(thousand_deep):
    found, _ = scan(thousand_deep)

    assert found == [b"d/" * 1000 + b"photo.jpg"]


def test_a_file_over_the_size_cap_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "sparse.jpg"
    path.touch()
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("this file system has no files of 1 TB")
    monkeypatch.setattr(files, "_read_all", lambda descriptor, size: pytest.fail("was read"))

    reason = reason_of(path)

    assert reason == "too-large"


@linux
def test_mutants_of_every_format_end_no_process_and_take_no_time_or_memory():
    rng = np.random.default_rng(44)
    names = sorted(HONEST)
    batches = (
        [hostile.mutant(HONEST[names[rng.integers(len(names))]], rng) for _ in range(100)]
        for _ in range(N_MUTANTS // 100)
    )

    with Pool(Setup(2, 20.0, init_worker, (Limits(),))) as pool:
        results = [result for _, result in answers(file_tasks.examine_all, batches, pool)]

    assert [result for result in results if isinstance(result, Died)] == []
    assert {status for statuses, _, _ in results for status in statuses} >= {"ok", "damaged"}
    assert max(seconds for _, seconds, _ in results) < 2
    assert max(n_bytes for _, _, n_bytes in results) < 1024 * MIB


@linux
@needs_data
def test_real_hostile_files_end_no_process_and_take_no_time_or_memory(worker):
    paths = [path for path in (DATA / "hostile").rglob("*") if path.is_file()]

    costs = {path: worker(file_tasks.examine, str(path)) for path in paths}

    assert len(costs) > 500
    assert max(seconds for _, seconds, _ in costs.values()) < 5
    assert max(n_bytes for _, _, n_bytes in costs.values()) < Limits().worker_memory_bytes
