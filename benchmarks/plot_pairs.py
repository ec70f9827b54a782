"""One plot: time to find all near pairs against the number of hashes, log-log, for three tools.

    python benchmarks/plot_pairs.py [--file docs/how-fast.png] [--largest 10000000] [--threads 2]

PDQ hashes (256 bits) at distance 31, as `synthetic` makes them. Filled marks are whole runs; hollow
ones are estimated from a slice of probes, each of which takes the same time. The vptree package
is plain Python on one thread, the others have two.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import synthetic
import vptree as package

from imgdup.search.join import iter_pairs

try:
    import faiss
except ImportError:
    faiss = None

DISTANCE = 31
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
FAISS_COMPARISONS = 5 * 10**9  # in the slice
PACKAGE_SIZES = (1_000, 3_000, 10_000, 30_000)
PACKAGE_PROBES = 20
X_LABELS = ("1,000", "10,000", "100,000", "a million", "10 millions")
INK, SURFACE = "#202124", "#ffffff"


class Line(NamedTuple):
    """Seconds by number of hashes, and how to draw them."""

    name: str
    seconds: dict[int, float]
    color: str
    marker: str
    is_estimate: bool


def ours(sizes: list[int], threads: int, rng: np.random.Generator) -> dict[int, float]:
    seconds = {}
    for n in sizes:
        hashes = synthetic.pdq_like(n, rng)
        start = time.perf_counter()
        n_pairs = sum(len(b.left) for b in iter_pairs(hashes, DISTANCE, threads=threads))
        seconds[n] = time.perf_counter() - start
        print(f"ours {n:,}: {seconds[n]:.3f} s, {n_pairs:,} pairs", file=sys.stderr)
    return seconds


def theirs(sizes: list[int], threads: int, rng: np.random.Generator) -> dict[int, float]:
    """faiss' flat range search, from a slice of probes."""
    if faiss is None:
        return {}
    faiss.omp_set_num_threads(threads)
    seconds = {}
    for n in sizes:
        hashes = synthetic.pdq_like(n, rng).view(np.uint8)
        probes = hashes[: max(100, min(n, FAISS_COMPARISONS // n))]
        index = faiss.IndexBinaryFlat(256)
        index.add(hashes)
        start = time.perf_counter()
        index.range_search(probes, DISTANCE + 1)
        seconds[n] = (time.perf_counter() - start) * n / len(probes)
        print(f"faiss {n:,}: {seconds[n]:.1f} s", file=sys.stderr)
    return seconds


def packaged(rng: np.random.Generator) -> dict[int, float]:
    """The vptree package: building it, and a search for each hash, from a few of them."""
    sys.setrecursionlimit(10**5)
    seconds = {}
    for n in PACKAGE_SIZES:
        numbers = [int.from_bytes(row.tobytes(), "little") for row in synthetic.pdq_like(n, rng)]
        start = time.perf_counter()
        tree = package.VPTree(numbers, lambda a, b: (a ^ b).bit_count())
        built = time.perf_counter() - start
        start = time.perf_counter()
        for number in numbers[:PACKAGE_PROBES]:
            tree.get_all_in_range(number, DISTANCE + 1)
        seconds[n] = built + (time.perf_counter() - start) * n / PACKAGE_PROBES
        print(f"vptree {n:,}: {seconds[n]:.1f} s", file=sys.stderr)
    return seconds


def draw(lines: list[Line], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=150, layout="constrained")
    for line in lines:
        n, seconds = zip(*sorted(line.seconds.items()), strict=True)
        face = SURFACE if line.is_estimate else line.color
        axes.loglog(n, seconds, color=line.color, marker=line.marker, mfc=face, lw=2, ms=6)
        axes.annotate(
            line.name, (n[-1], seconds[-1]), (8, 0), textcoords="offset points",
            color=line.color, va="center", fontweight="bold",
        )  # fmt: skip
    named = {1: "1 second", 60: "1 minute", 3600: "1 hour", 86400: "1 day"}
    shown = {s: text for s, text in named.items() if s < 2 * axes.get_ylim()[1]}
    axes.set_yticks([1e-3, 1e-2, 0.1, *shown], ["1 ms", "10 ms", "0.1 s", *shown.values()])
    axes.set_xticks([10**k for k in range(3, 8)], X_LABELS)
    axes.minorticks_off()
    axes.grid(color="#e0e0e0", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(right=8 * max(max(line.seconds) for line in lines))
    axes.set_xlabel("PDQ hashes (256 bits)", color=INK)
    axes.set_title("All pairs within 31 bits, time by number of hashes", color=INK, loc="left")
    note = f"2 threads (vptree: 1), {measure.cpu_name()}; hollow: estimated from a slice of probes"
    figure.supxlabel(note, fontsize=7, color="#5f6368")
    figure.savefig(file, facecolor=SURFACE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=Path("docs/how-fast.png"))
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sizes = [n for n in SIZES if n <= options.largest]
    lines = [
        Line("imgdup", ours(sizes, options.threads, rng), "#1a6fdf", "o", False),
        Line("faiss flat", theirs(sizes, options.threads, rng), "#c75000", "s", True),
        Line("vptree", packaged(rng), "#6f6f6f", "^", True),
    ]
    draw([line for line in lines if line.seconds], options.file)


if __name__ == "__main__":
    main()
