"""The chatter of C libraries: off the terminal, and heard where a JPEG file is damaged inside.

What cannot be taken back has a process of its own.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from make_sample import encode, photo

from cli_runs import shell
from imgdup import hash_image
from imgdup.errors import ImageError
from imgdup.images.decode import decode
from imgdup.system.limits import Limits
from imgdup.system.streams import chatter, heard, quiet_libraries


def run(script):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_libraries_fall_silent_and_python_does_not():
    result = run(
        "import os, sys\n"
        "from imgdup.system.streams import silence_libraries\n"
        "silence_libraries()\n"
        "silence_libraries()\n"
        "os.write(2, b'chatter of a library')\n"
        "print('a word of ours', file=sys.stderr)\n"
        "raise SystemExit('and the last one')\n"
    )

    assert result.stderr == "a word of ours\nand the last one\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX descriptors")
def test_a_closed_standard_error_is_no_error():
    result = run(
        "import os, sys\n"
        "os.close(2)\n"
        "sys.stderr = None\n"
        "from imgdup.system.streams import silence_libraries\n"
        "silence_libraries()\n"
        "print('done')\n"
    )

    assert result.stdout == "done\n"


def test_libraries_are_quiet_only_meanwhile(capfd):
    with quiet_libraries():
        os.write(2, b"Corrupt JPEG data\n")
    os.write(2, b"said after\n")

    assert capfd.readouterr().err == "said after\n"


def test_what_is_said_is_heard_once():
    with quiet_libraries():
        os.write(2, b"one\n")
        os.write(2, b"two\n")

        assert chatter() == b"one\ntwo\n"
        assert chatter() == b""
        os.write(2, b"three\n")
        assert chatter() == b"three\n"


def test_nothing_is_heard_where_no_one_listens(capfd):
    os.write(2, b"said\n")

    assert chatter() == b""
    assert capfd.readouterr().err == "said\n"


def test_listening_inside_listening_hears_the_same():
    with quiet_libraries():
        with quiet_libraries():
            os.write(2, b"inner\n")
        os.write(2, b"outer\n")

        assert chatter() == b"inner\nouter\n"


def test_what_others_print_while_a_library_is_heard_is_passed_on(capfd):
    def decode_among_others():
        os.write(2, b"a word of ours\nCorrupt JPEG data: bad Huffman code\n")
        return "done"

    result, said = heard(decode_among_others)

    assert (result, b"bad Huffman" in said) == ("done", True)
    assert capfd.readouterr().err == "a word of ours\n"


def test_threads_that_are_quiet_at_once_leave_standard_error_as_it_was(capfd):
    def be_quiet(_):
        with quiet_libraries():
            time.sleep(0.01)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(be_quiet, range(8)))
    os.write(2, b"said after\n")

    assert capfd.readouterr().err == "said after\n"


HOLED = encode(photo(1, 150, 100), ".jpg")[:3000] + b"\xff\xd9"


def test_the_library_says_of_a_file_what_indexing_says(tmp_path, capfd):
    (tmp_path / "holed.jpg").write_bytes(HOLED)

    for image in (tmp_path / "holed.jpg", HOLED):
        with pytest.raises(ImageError, match="premature end"):
            hash_image(image)

    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of POSIX")
@pytest.mark.parametrize("stderr", ["2>&1", "2>/dev/null", "2>&-"], ids=["open", "null", "closed"])
def test_indexing_finds_damage_whatever_standard_error_is(tmp_path, stderr):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holed.jpg").write_bytes(HOLED)
    (tmp_path / "photos" / "sound.jpg").write_bytes(encode(photo(2, 150, 100), ".jpg"))

    done = shell(f"cd {tmp_path} && imgdup index photos --workers 1 --json {stderr}")

    assert done.code == 3
    assert b'"hashed": 1' in done.out
    assert b'"failed": 1' in done.out


@pytest.mark.parametrize("reduced", [False, True], ids=["whole", "reduced"])
def test_jpeg_data_that_end_too_early_are_damaged(reduced):
    data = encode(photo(1, 900, 600) if reduced else photo(1, 150, 100), ".jpg")
    holed = data[: len(data) // 2] + data[-2:]

    with quiet_libraries(), pytest.raises(ImageError, match=r"damaged: libjpeg: .*premature end"):
        decode(holed, Limits())


def test_a_complaint_of_the_file_before_counts_for_no_other():
    data = encode(photo(1, 150, 100), ".jpg")

    with quiet_libraries():
        os.write(2, b"Corrupt JPEG data: premature end of data segment\n")

        assert decode(data, Limits()).width == 150
