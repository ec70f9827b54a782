"""Limits for one file and for a process that decodes: pixels, bytes, seconds, memory, cores."""

import importlib
import math
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from imgdup.errors import ImageError, ImgdupError, UsageError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MAX_LIMIT = 1 << 62  # pixels or bytes
MAX_SIDE = 1 << 17  # pixels; twice what a JPEG can have
MAX_PIXELS_UNCAPPED = 64_000_000  # where memory cannot be capped; baseline JPEG needs little
SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB")
MAX_TIMEOUT_S = 1_000_000
MIN_FREE_BYTES = 64 << 20  # with less, OpenBLAS ends the process: it takes 32 MiB for a product
CAN_CAP_MEMORY = resource is not None and sys.platform != "darwin"  # macOS ignores the limit

# The variables that set the number of threads of libraries. They are set to 1, since there is one
# process per core: threads of OpenBLAS need time and memory, and end the process if memory is low.
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


@dataclass(frozen=True)
class Limits:
    """Limits for one file and for the process that decodes it.

    Parameters
    ----------
    max_pixels : int
        Largest picture, by the size in its header.
    max_file_bytes : int
        Largest file.
    timeout_s : float
        Longest time for one file, in seconds.
    worker_memory_bytes : int
        How much more memory a decoding process may map than after its imports.

    Raises
    ------
    UsageError
        If a limit is not above 0 or too large; it is also a `ValueError`.
    """

    max_pixels: int = 200_000_000
    max_file_bytes: int = 1 << 30
    timeout_s: float = 30.0
    worker_memory_bytes: int = 2 << 30

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most = MAX_TIMEOUT_S if name == "timeout_s" else MAX_LIMIT
            if not 0 < value <= most:
                raise UsageError(f"{name} must be above 0 and at most {most:,}, got {value}")

    def most_pixels(self, *, lean: bool = False) -> int:
        """Return how many pixels a picture may have.

        A lean decoder does not need memory for all of them.
        """
        if lean or CAN_CAP_MEMORY:
            return self.max_pixels
        return min(self.max_pixels, MAX_PIXELS_UNCAPPED)

    def check_size(self, height: int, width: int, *, lean: bool = False) -> None:
        """Raise `ImageError` with the reason ``too-large`` if a picture is."""
        most = self.most_pixels(lean=lean)
        if height * width > most:
            raise ImageError("too-large", f"{width} x {height} pixels are more than {most:,}")
        if max(height, width) > MAX_SIDE:
            raise ImageError("too-large", f"{width} x {height} pixels, a side over {MAX_SIDE:,}")

    def check_bytes(self, n_bytes: int) -> None:
        """Raise `ImageError` with the reason ``too-large`` if a file, or a member, is."""
        if n_bytes > self.max_file_bytes:
            has, most = size_text(n_bytes), size_text(self.max_file_bytes)
            raise ImageError("too-large", f"it has {has}, and at most {most} are allowed")


def cap_memory(more_bytes: int) -> None:
    """Limit how much address space this process may map beyond what is mapped now, where possible.

    A lower limit stays in force.
    """
    if not CAN_CAP_MEMORY:
        return
    cap = _mapped_bytes() + more_bytes
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_force = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([cap, *in_force]), hard))
    global _uncapped
    _uncapped = soft if _uncapped is None else _uncapped


_uncapped: int | None = None  # the limit of the address space before `cap_memory`, if it set one


def import_uncapped(module: str) -> None:
    """Import a module now if it is not loaded; the memory that its code takes does not count.

    A capped process can so load a decoder when it first needs it: the cap rises by what was mapped.
    """
    if module in sys.modules:
        return
    if _uncapped is None:
        importlib.import_module(module)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = _mapped_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (_uncapped, hard))
    try:
        importlib.import_module(module)
    finally:
        cap = soft + _mapped_bytes() - mapped
        limits = [cap, *(each for each in (_uncapped, hard) if each != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))


def _mapped_bytes() -> int:
    """Return the size of the address space of this process; 0 if it is unknown."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def require_memory() -> None:
    """Raise ImgdupError unless this process can map `MIN_FREE_BYTES` more.

    With less, every file would seem to crash its decoder.
    """
    try:
        mmap.mmap(-1, MIN_FREE_BYTES).close()
    except (OSError, MemoryError) as error:
        raise ImgdupError(
            f"a decoding process cannot get {MIN_FREE_BYTES >> 20} MB of memory: raise the limit "
            "of this process, as in: ulimit -v unlimited; or --worker-memory, if that was given"
        ) from error


_runs_commands_only = False


def run_commands_only() -> None:
    """Declare that this process runs nothing but a command of imgdup.

    Then its workers may be forked from it: it has no open files and locks that they must not have.
    """
    global _runs_commands_only
    _runs_commands_only = True


def runs_commands_only() -> bool:
    """Return whether this process runs nothing but a command of imgdup."""
    return _runs_commands_only


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1.

    It is the size of the affinity mask, or the CPU quota of the control groups (version 1 or 2)
    rounded up, whichever is less. In tests, ``proc`` and ``sys`` are in another folder than the
    root.
    """
    count = getattr(os, "process_cpu_count", _affinity)() or 1
    return max(1, math.ceil(min(count, _quota_cores(root))))


def _affinity() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _quota_cores(root: Path) -> float:
    """Return the CPU quota of this process's control groups, in cores; infinite if there is none.

    Each line of the file names one group, such as ``4:cpu,cpuacct:/a/b``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    return min((_group_quota(root, *line.split(":", 2)[1:]) for line in lines), default=math.inf)


def _group_quota(root: Path, controllers: str, group: str) -> float:
    """Return the quota of one group and of the groups above it, whichever is less.

    In a container the path may be that of the host; missing folders are skipped.
    """
    if controllers and "cpu" not in controllers.split(","):
        return math.inf
    if controllers:  # version 1
        mount, files = "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
    else:
        mount, files = "", ["cpu.max"]
    folder = root / "sys/fs/cgroup" / mount / group.lstrip("/")
    return min(_folder_quota(above, files) for above in [folder, *folder.parents])


def _folder_quota(folder: Path, files: list[str]) -> float:
    """Read a quota and its period; infinite if there are none, or if the quota is max or -1."""
    try:
        quota, period = map(int, " ".join((folder / name).read_text() for name in files).split())
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def size_text(n_bytes: float) -> str:
    """Write a number of bytes in decimal units, with two or three digits.

    Examples
    --------
    >>> size_text(980), size_text(12_345), size_text(7_204_117)
    ('980 bytes', '12 kB', '7.2 MB')
    """
    value, unit = float(n_bytes), 0
    while value >= 999.5 and unit < len(SIZE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if not unit:
        return "1 byte" if n_bytes == 1 else f"{n_bytes:.0f} bytes"
    return f"{value:{'.1f' if value < 9.95 else ',.0f'}} {SIZE_UNITS[unit]}"
