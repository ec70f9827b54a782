"""What one image may cost: pixels, bytes, seconds, memory."""

import math
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from imgdup.errors import ImgdupError, UsageError

MOST = 1 << 62  # pixels or bytes; what a system can be told
MOST_S = 1_000_000


@dataclass(frozen=True)
class Limits:
    """The caps on one file and on the process that decodes it.

    Parameters
    ----------
    max_pixels : int
        Largest picture, by its header, before any reduction.
    max_file_bytes : int
        Largest file.
    timeout_s : float
        Longest time for one file, in seconds.
    worker_memory_bytes : int
        Address space of a decoding process, above what is mapped after its imports.

    Raises
    ------
    UsageError
        If one is not above 0, or is beyond all sense.
    """

    max_pixels: int = 200_000_000
    max_file_bytes: int = 1 << 30
    timeout_s: float = 30.0
    worker_memory_bytes: int = 2 << 30

    def __post_init__(self) -> None:
        """Check the range of each."""
        for name, value in vars(self).items():
            most = MOST_S if name == "timeout_s" else MOST
            if not 0 < value <= most:
                raise UsageError(f"{name} must be above 0 and at most {most:,}, got {value}")


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


try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

LEAST_BYTES = 64 << 20  # without it OpenBLAS ends the process; it takes 32 MiB for a product

CAN_CAP_MEMORY = resource is not None and sys.platform != "darwin"  # macOS takes it for a hint


def cap_memory(more_bytes: int) -> None:
    """Limit the address space of this process, where the system can.

    Parameters
    ----------
    more_bytes : int
        What may be mapped beyond what is mapped now. A limit that is already lower stays.
    """
    if not CAN_CAP_MEMORY:
        return
    cap = _mapped_bytes() + more_bytes
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_force = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([cap, *in_force]), hard))


def require_memory() -> None:
    """Raise ImgdupError unless this process may take `LEAST_BYTES` more.

    With less, every file would seem to crash its decoder.
    """
    try:
        mmap.mmap(-1, LEAST_BYTES).close()
    except (OSError, MemoryError) as error:
        raise ImgdupError(
            f"a decoding process may not take even {LEAST_BYTES >> 20} MB more memory: raise "
            "--worker-memory, or the limit that this process has, as in: ulimit -v unlimited"
        ) from error


def _mapped_bytes() -> int:
    """Address space of this process, in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
