"""Confinement of a process: its memory, and the chatter of its C libraries.

Each test has a process of its own, since neither can be taken back.
"""

import os
import subprocess
import sys

import pytest

from imgdup.confine import CAN_CAP_MEMORY, quiet_libraries

needs_cap = pytest.mark.skipif(not CAN_CAP_MEMORY, reason="the system caps no address space")


def run(script):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@needs_cap
def test_memory_within_the_cap_is_given_and_beyond_it_refused():
    result = run(
        "import numpy as np\n"
        "from imgdup.confine import cap_memory\n"
        "cap_memory(300_000_000)\n"
        "np.ones(200_000_000, dtype=np.uint8)\n"
        "try:\n"
        "    np.ones(400_000_000, dtype=np.uint8)\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )

    assert (result.stdout, result.stderr) == ("refused\n", "")


@needs_cap
def test_a_lower_limit_stays():
    result = run(
        "import resource\n"
        "from imgdup.confine import cap_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**10))\n"
        "cap_memory(2 * 10**9)\n"
        "print(resource.getrlimit(resource.RLIMIT_AS))\n"
    )

    assert result.stdout == "(1000000000, 10000000000)\n"


@needs_cap
@pytest.mark.parametrize(("megabytes", "said"), [(60, "60 MB: refused\n"), (100, "100 MB: done\n")])
def test_a_process_that_could_decode_nothing_says_so_at_once(megabytes, said):
    result = run(
        "from imgdup.confine import cap_memory, require_memory\n"
        "from imgdup.errors import ImgdupError\n"
        f"cap_memory({megabytes} << 20)\n"
        "try:\n"
        "    require_memory()\n"
        f"    print('{megabytes} MB: done')\n"
        "except ImgdupError as error:\n"
        "    assert '--worker-memory' in str(error)\n"
        f"    print('{megabytes} MB: refused')\n"
    )

    assert (result.stdout, result.stderr) == (said, "")


def test_libraries_fall_silent_and_python_does_not():
    result = run(
        "import os, sys\n"
        "from imgdup.confine import silence_libraries\n"
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
        "from imgdup.confine import silence_libraries\n"
        "silence_libraries()\n"
        "print('done')\n"
    )

    assert result.stdout == "done\n"


def test_libraries_are_quiet_only_meanwhile(capfd):
    with quiet_libraries():
        os.write(2, b"Corrupt JPEG data\n")
    os.write(2, b"said after\n")

    assert capfd.readouterr().err == "said after\n"
