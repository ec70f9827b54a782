"""How many cores this process may use, which in a container is not how many the machine has."""

import math
import os
from pathlib import Path

# The number of processes uses the cores, not threads inside each of them: those that OpenBLAS
# starts when it is loaded take time and memory, and end the process where there is little.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are mounted; another folder only in tests.

    Returns
    -------
    int
        The size of the affinity mask, or the CPU quota of the control groups (version 1 or 2)
        rounded up, whichever is less; at least 1.
    """
    count = getattr(os, "process_cpu_count", _affinity)() or 1
    return max(1, math.ceil(min(count, _cgroup_cores(root))))


def _affinity() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cgroup_cores(root: Path) -> float:
    """Read how many cores' time the control groups of this process allow; infinite if no limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    return min((_group_cores(root, line) for line in lines), default=math.inf)


def _group_cores(root: Path, line: str) -> float:
    """Read the limit of one group, such as ``4:cpu,cpuacct:/a/b``, and of the groups above it.

    A container may see its own group as the top one, whatever the line says; hence the groups
    that are not there are passed over.
    """
    _, controllers, group = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return math.inf
    top, quota = ("cpu", _quota_v1) if controllers else ("", _quota_v2)
    folder = root / "sys/fs/cgroup" / top / group.lstrip("/")
    return min(quota(group_folder) for group_folder in [folder, *folder.parents])


def _quota_v1(folder: Path) -> float:
    return _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _quota_v2(folder: Path) -> float:
    return _quota(folder / "cpu.max")


def _quota(*files: Path) -> float:
    """Read a quota and its period; infinite if there are none, or if it is "max" or -1."""
    try:
        quota, period = map(int, " ".join(file.read_text() for file in files).split())
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
