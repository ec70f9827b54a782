"""usable_cores: what a container or an affinity mask leaves, not what the machine has.

Control groups are drawn as the files that Linux shows of them, below a folder of the test's own.
"""

import os
import subprocess
import sys

import pytest

from imgdup.system.limits import usable_cores

UNLIMITED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def write_groups(root, lines, files):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("\n".join(lines))
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "lines, files",
    [
        (["0::/"], {"cpu.max": "100000 100000\n"}),
        (["0::/"], {"cpu.max": "50000 100000\n"}),
        (["0::/a/b"], {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}),
        (["0::/../seen/from/outside"], {"cpu.max": "100000 100000\n"}),
        (
            ["4:cpu,cpuacct:/a", "0::/"],
            {"cpu/a/cpu.cfs_quota_us": "100000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
        ),
        (
            ["4:cpuacct,cpu:/docker/0123", "7:memory:/"],
            {"cpu/cpu.cfs_quota_us": "90000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        ),
    ],
    ids=["v2", "v2 half a core", "v2 parent", "v2 outside", "v1", "v1 container"],
)
def test_a_cgroup_of_one_core_gives_one_worker(tmp_path, lines, files):
    write_groups(tmp_path, lines, files)

    cores = usable_cores(tmp_path)

    assert cores == 1


@pytest.mark.parametrize(
    "lines, files",
    [
        (["0::/"], {"cpu.max": "max 100000\n"}),
        (["0::/"], {"cpu.max": "nonsense\n"}),
        (["0::/"], {"cpu.max": "100000 0\n"}),
        (["0::/"], {"cpu.max": "99900000 100000\n"}),
        (["1:cpu:/"], {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        (["1:cpuset:/"], {"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ([], {}),
    ],
    ids=["v2 max", "v2 nonsense", "v2 no period", "v2 much", "v1 none", "v1 other", "no groups"],
)
def test_without_a_quota_the_affinity_mask_counts(tmp_path, lines, files):
    write_groups(tmp_path, lines, files)

    cores = usable_cores(tmp_path)

    assert cores == UNLIMITED


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    cores = usable_cores(tmp_path)

    assert cores == UNLIMITED


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_an_affinity_mask_of_one_core_gives_one_worker():
    script = (
        "import os\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from imgdup.system.limits import usable_cores\n"
        "print(usable_cores())"
    )

    shown = subprocess.check_output([sys.executable, "-c", script], text=True)

    assert shown == "1\n"
