"""Helpers of the benchmarks: interleaved rounds, medians with their spread, Markdown tables."""

import datetime
import importlib.metadata
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from imgdup.native import level

try:
    import resource
except ImportError:  # Windows
    resource = None

T = TypeVar("T")

PACKAGES = ("imgdup", "numpy", "opencv-python-headless", "Pillow", "faiss-cpu", "ImageHash")


class Cost(NamedTuple):
    """Wall seconds, and CPU seconds of all processes."""

    wall_s: float
    cpu_s: float

    def __sub__(self, other):
        return Cost(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


class Speed(NamedTuple):
    """Images per second, and CPU milliseconds per image."""

    per_s: float
    cpu_ms: float

    @classmethod
    def of(cls, cost, n_images):
        return cls(n_images / cost.wall_s, 1e3 * cost.cpu_s / n_images)


def children_cpu_s():
    """Return the CPU time of all ended child processes; 0 on Windows."""
    if resource is None:
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rounds(n_rounds: int, one_round: Callable[[], Mapping[str, T]]) -> dict[str, list[T]]:
    """Run all cases in turn, several times, so that a busy moment affects all of them."""
    results = {}
    for number in range(n_rounds):
        print(f"round {number + 1} of {n_rounds}", file=sys.stderr)
        for name, value in one_round().items():
            results.setdefault(name, []).append(value)
    return results


def ratio(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratios of each round, which do not change if both cases slow down."""
    return [a / b if b else float("nan") for a, b in zip(above, below, strict=True)]


def median(values: Sequence[float], form: str = "{:,.0f}") -> str:
    """Format the median, the smallest and the largest value."""
    shown = [form.format(each) for each in (statistics.median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows)) + "\n"


def verdict(values: Sequence[float], bar: float | None) -> str:
    """State whether the median reaches the target, if there is one."""
    if bar is None:
        return ""
    return f"{bar:g}: " + ("reached" if statistics.median(values) >= bar else "**missed**")


def surroundings() -> str:
    """One paragraph: date, machine, versions, the command line."""
    versions = [f"{name} {version}" for name in PACKAGES if (version := version_of(name))]
    return (
        f"{datetime.date.today()}, {cpu_name()}, {platform.system()} {platform.machine()}, "
        f"compiled library {level()}, Python {platform.python_version()}, {', '.join(versions)}. "
        f"Command: `python {Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}`\n"
    )


def version_of(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """Return the name of the processor if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else "unknown processor"
