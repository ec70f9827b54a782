"""Standard error is not touched: nothing is printed, nothing that others print is lost.

Each test runs in a process of its own, where descriptor 2 is a pipe to this one.
"""

import os
import subprocess
import sys

import pytest
from make_sample import encode, photo

from cli_runs import shell
from encoded import photo as smooth_photo, png_chunk, save

posix = pytest.mark.skipif(os.name != "posix", reason="needs a shell or fork")

WHOLE = encode(photo(2, 150, 100), ".jpg")
HOLED = encode(photo(1, 150, 100), ".jpg")[:3000] + b"\xff\xd9"

# What hashes a whole and a damaged file again and again, in the library as a user calls it.
HASHING = """
import os, subprocess, sys, threading, time
import imgdup
whole, holed = (open(path, "rb").read() for path in sys.argv[1:])

def hash_both():
    imgdup.hash_image(whole)
    try:
        imgdup.hash_image(holed)
        print("a damaged file has a hash")
    except imgdup.ImageError:
        pass

def hash_until(stop):
    while not stop.is_set():
        hash_both()

hash_both()
stop = threading.Event()
thread = threading.Thread(target=hash_until, args=(stop,))
thread.start()
"""


@pytest.fixture
def files(tmp_path):
    for name, data in (("whole.jpg", WHOLE), ("holed.jpg", HOLED)):
        (tmp_path / name).write_bytes(data)
    return [str(tmp_path / name) for name in ("whole.jpg", "holed.jpg")]


def run(script, files):
    command = [sys.executable, "-c", script, *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@posix
@pytest.mark.parametrize("stderr", ["2>&1", "2>/dev/null", "2>&-"], ids=["open", "null", "closed"])
def test_indexing_finds_damage_whatever_standard_error_is(tmp_path, files, stderr):
    done = shell(f"cd {tmp_path} && imgdup index . --workers 1 --json {stderr}")

    assert done.code == 3
    assert b'"hashed": 1' in done.out
    assert b'"failed": 1' in done.out


@posix
@pytest.mark.parametrize("stderr", ["2>/dev/null", "2>&-"], ids=["open", "closed"])
def test_the_library_finds_damage_whatever_standard_error_is(files, stderr):
    script = (
        "import imgdup, sys\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        print(imgdup.hash_image(path))\n"
        "    except imgdup.ImageError as error:\n"
        "        print(error.reason)\n"
    )

    done = shell(f"'{sys.executable}' -c '{script}' {' '.join(files)} {stderr}")

    first, second = done.out.decode().splitlines()
    assert int(first.strip("[]")) > 0
    assert second == "damaged"


def test_lines_of_other_threads_and_of_children_all_arrive_while_pictures_are_hashed(files):
    script = HASHING + (
        "child = [sys.executable, '-c', 'import os, sys; os.write(2, sys.argv[1].encode())']\n"
        "for i in range(600):\n"
        "    if i % 100 == 0:\n"
        "        subprocess.run([*child, f'line {i}\\n'], check=True)\n"
        "    else:\n"
        "        os.write(2, f'line {i}\\n'.encode())\n"
        "        time.sleep(0.001)\n"
        "stop.set()\n"
        "thread.join()\n"
    )

    result = run(script, files)

    assert result.stdout == ""
    assert result.stderr.splitlines() == [f"line {i}" for i in range(600)]


def codes_of_forked_children(files):
    """Exit codes, as text, of twelve children that hash while another thread did at the fork."""
    script = HASHING + (
        "import signal, warnings\n"
        "warnings.simplefilter('ignore')  # of fork among threads\n"
        "codes = []\n"
        "for _ in range(12):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        signal.alarm(60)\n"
        "        hash_both()\n"
        "        os._exit(0)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "stop.set()\n"
        "thread.join()\n"
        "print(codes)\n"
    )
    return run(script, files).stdout


@posix
def test_children_that_are_forked_while_pictures_are_hashed_can_hash(files):
    assert codes_of_forked_children(files) == f"{[0] * 12}\n"


@posix
def test_children_that_are_forked_while_pillow_decodes_can_decode_by_pillow(tmp_path):
    whole = save(smooth_photo(), "gif")
    (tmp_path / "whole.gif").write_bytes(whole)
    (tmp_path / "holed.gif").write_bytes(whole[:500])

    codes = codes_of_forked_children([str(tmp_path / "whole.gif"), str(tmp_path / "holed.gif")])

    assert codes == f"{[0] * 12}\n"


def test_broken_files_of_any_format_print_nothing(tmp_path):
    script = (
        "import sys, pathlib\n"
        "import numpy as np\n"
        "from imgdup.errors import ImageError\n"
        "from imgdup.images.decode import decode\n"
        "from imgdup.system.limits import Limits\n"
        "rng = np.random.default_rng(0)\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    whole = path.read_bytes()\n"
        "    for _ in range(30):\n"
        "        data = bytearray(whole)\n"
        "        for at in rng.integers(0, len(data), 4).tolist():\n"
        "            data[at] = int(rng.integers(256))\n"
        "        try:\n"
        "            decode(bytes(data), Limits(max_pixels=10_000_000))\n"
        "        except ImageError:\n"
        "            pass\n"
    )
    kinds = {
        **{name: {} for name in ("jpeg", "png", "webp", "bmp", "gif", "avif", "jpeg2000", "tga")},
        **{name: {} for name in ("ico", "dds", "ppm")},
        **{f"tiff {each}": {"compression": each} for each in ("tiff_lzw", "tiff_adobe_deflate")},
    }
    for kind, options in kinds.items():
        data = save(smooth_photo(60, 80), kind.split()[0], **options)
        (tmp_path / kind).write_bytes(data)
    data = save(smooth_photo(60, 80), "png")
    strange = png_chunk(b"iCCP", b"x\0\0nonsense") + png_chunk(b"gAMA", b"\0") * 2
    (tmp_path / "png with strange chunks").write_bytes(data[:33] + strange + data[33:])

    result = run(script, [str(tmp_path)])

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
