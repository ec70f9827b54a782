"""The memory limit of a process.

Each test has a process of its own, since a limit cannot be undone.
"""

import subprocess
import sys

import pytest

from imgdup.system.limits import CAN_CAP_MEMORY

needs_cap = pytest.mark.skipif(not CAN_CAP_MEMORY, reason="the system caps no address space")


def run(script):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@needs_cap
def test_memory_below_the_limit_is_given_and_above_it_refused():
    result = run(
        "import numpy as np\n"
        "from imgdup.system.limits import cap_memory\n"
        "cap_memory(300_000_000)\n"
        "np.ones(200_000_000, dtype=np.uint8)\n"
        "try:\n"
        "    np.ones(400_000_000, dtype=np.uint8)\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )

    assert (result.stdout, result.stderr) == ("refused\n", "")


@needs_cap
def test_a_lower_limit_remains_in_force():
    result = run(
        "import resource\n"
        "from imgdup.system.limits import cap_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**10))\n"
        "cap_memory(2 * 10**9)\n"
        "print(resource.getrlimit(resource.RLIMIT_AS))\n"
    )

    assert result.stdout == "(1000000000, 10000000000)\n"


@needs_cap
def test_a_library_that_is_loaded_late_does_not_count_and_the_limit_holds():
    result = run(
        "import numpy as np\n"
        "from imgdup.system.limits import cap_memory, import_uncapped\n"
        "cap_memory(100_000_000)\n"
        "import_uncapped('cv2')\n"
        "np.ones(80_000_000, dtype=np.uint8)\n"
        "try:\n"
        "    np.ones(130_000_000, dtype=np.uint8)\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )

    assert (result.stdout, result.stderr) == ("refused\n", "")


@needs_cap
def test_loading_a_library_does_not_lift_the_limit_that_the_process_was_started_with():
    result = run(
        "import resource\n"
        "from imgdup.system.limits import cap_memory, import_uncapped\n"
        "resource.setrlimit(resource.RLIMIT_AS, (200_000_000, 10**10))\n"
        "cap_memory(10_000_000)\n"
        "try:\n"
        "    import_uncapped('cv2')\n"
        "except (ImportError, MemoryError):\n"
        "    print('refused', resource.getrlimit(resource.RLIMIT_AS)[0] <= 200_000_000)\n"
    )

    assert result.stdout == "refused True\n"


@needs_cap
@pytest.mark.parametrize(("megabytes", "said"), [(60, "60 MB: refused\n"), (100, "100 MB: done\n")])
def test_a_process_that_could_decode_nothing_fails_at_once(megabytes, said):
    result = run(
        "from imgdup.system.limits import cap_memory, require_memory\n"
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
