"""How fast is a probe, compared with a NumPy scan and with the vptree package?

    python benchmarks/bench_query.py [--sizes 1000000 10000000] [--rounds 5] [--images DIR]

The scan compares one probe with all 64-bit hashes in blocks of 65,536, in buffers that are used
again. Every probe goes through all cases in turn; a round is the median over its probes, and
every ratio is one of two figures of the same round. Shown are medians, smallest and largest.
Visited is the share of the hashes whose distance was computed: a cost that no machine changes.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import measure
import numpy as np
import synthetic
import synthetic_index
import vptree as package

from imgdup.index import store
from imgdup.search.vptree import VPTree

BLOCK = 1 << 16
DISTANCES = (0, 2, 4, 6, 8, 10)
NEIGHBOURS = (1, 10)
N_PROBES = 30  # per round
WHOLE_PROCESS = 10**6  # hashes in the index that `imgdup query` searches
N_COPIES = 20  # of them with the probe's hash
# The targets: hashes, measurement, largest value.
BARS = {
    (10**6, "within 2 / scan"): 0.30,
    (10**7, "within 2 / scan"): 0.12,
    (10**6, "within 10 / scan"): 1.1,
    (10**7, "within 10 / scan"): 1.1,
    (10**6, "build, s a million"): 0.6,
    (10**7, "build, s a million"): 0.6,
    (10**7, "open, ms"): 5.0,
    (WHOLE_PROCESS, "whole process, s more"): 0.3,
}


def numpy_scan(hashes: np.ndarray) -> Callable[[np.uint64, int], list[np.ndarray]]:
    """Run the baseline: only the comparisons, without sorting the matches."""
    column = hashes[:, 0]
    xor, near = np.empty(BLOCK, np.uint64), np.empty(BLOCK, bool)
    count = np.empty(BLOCK, np.uint8)

    def scan(probe: np.uint64, max_distance: int) -> list[np.ndarray]:
        found = []
        for start in range(0, len(column), BLOCK):
            block = column[start : start + BLOCK]
            m = len(block)
            np.bitwise_xor(block, probe, out=xor[:m])
            np.bitwise_count(xor[:m], out=count[:m])
            np.less_equal(count[:m], max_distance, out=near[:m])
            if near[:m].any():
                found.append(start + np.flatnonzero(near[:m]))
        return found

    return scan


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def probes_like(hashes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return indexed hashes with 0, 1 or 2 changed bits, as recompressed copies have."""
    probes = hashes[rng.integers(0, len(hashes), N_PROBES)]
    for probe, n_changed in zip(probes, rng.integers(0, 3, N_PROBES), strict=True):
        for bit in rng.choice(64, n_changed, replace=False).tolist():
            probe[0] ^= np.uint64(1 << bit)
    return probes


def stored(tree: VPTree, file: Path) -> tuple[VPTree, float]:
    """Write a tree to a file; return the median time to open it, in ms."""
    store.save(file, {}, tree.arrays())
    seconds = [timed(lambda: VPTree.from_arrays(store.load(file).arrays)) for _ in range(9)]
    return VPTree.from_arrays(store.load(file).arrays), 1e3 * statistics.median(seconds)


def cases(
    tree: VPTree, scan: Callable[[np.uint64, int], object]
) -> Iterator[tuple[str, Callable[[np.ndarray], object]]]:
    """Run all cases for each probe of shape (1, 1); a scan precedes each search."""
    for r in DISTANCES:
        yield f"scan {r}", lambda probe, r=r: scan(probe[0, 0], r)
        yield f"within {r}", lambda probe, r=r: tree.within(probe, r)
        yield f"scan {r}", lambda probe, r=r: scan(probe[0, 0], r)
        yield f"tree {r}", lambda probe, r=r: tree.within(probe, r, strategy="tree")
    for k in NEIGHBOURS:
        yield "scan 0", lambda probe: scan(probe[0, 0], 0)
        yield f"nearest {k}", lambda probe, k=k: tree.nearest(probe, k)


def one_round(n: int, hashes: np.ndarray, file: Path, rng: np.random.Generator) -> dict[str, float]:
    """Build and open a tree and look up probes; return seconds unless the name gives a unit."""
    built: list[VPTree] = []
    values = {"build, s a million": timed(lambda: built.append(VPTree.build(hashes))) * 1e6 / n}
    tree, values["open, ms"] = stored(built.pop(), file)
    probes = probes_like(hashes, rng)
    times: dict[str, list[float]] = {}
    for probe in np.split(probes, len(probes)):
        for name, case in cases(tree, numpy_scan(hashes)):
            times.setdefault(name, []).append(timed(lambda case=case, p=probe: case(p)))
    values |= {name: statistics.median(each) for name, each in times.items()}
    for distance in DISTANCES:
        values[f"visited {distance}"] = tree.n_visited(probes, distance) / (n * len(probes))
    return values


def build_bytes(hashes: np.ndarray) -> float:
    """Return the peak memory of building per hash, without the input."""
    tracemalloc.start()
    VPTree.build(hashes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / len(hashes)


def with_ratios(results: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return the results, and for each distance the cost of the cases relative to a scan."""
    every = {name: list(values) for name, values in results.items()}
    for distance in DISTANCES:
        for case in ("within", "tree"):
            name = f"{case} {distance}"
            every[f"{name} / scan"] = measure.ratio(every[name], every[f"scan {distance}"])
    for k in NEIGHBOURS:
        every[f"nearest {k} / scan"] = measure.ratio(every[f"nearest {k}"], every["scan 0"])
    return every


def probe_table(results: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for r in DISTANCES:
        ms = measure.median([1e3 * s for s in results[f"scan {r}"]], "{:.2f}")
        shares = [measure.median(results[f"{c} {r} / scan"], "{:.2f}") for c in ("within", "tree")]
        visited = measure.median([100 * share for share in results[f"visited {r}"]], "{:.1f}")
        rows.append([f"within {r} bits", ms, *shares, visited])
    for k in NEIGHBOURS:
        share = measure.median(results[f"nearest {k} / scan"], "{:.2f}")
        rows.append([f"nearest {k}", "", share, "", ""])
    header = ["one probe", "scan, ms", "ours / scan", "tree alone / scan", "tree visits, %"]
    return measure.table(header, rows)


def bar_table(every: Mapping[tuple[int, str], Sequence[float]]) -> str:
    rows = []
    for (n, name), values in every.items():
        bar = BARS.get((n, name))
        reached = (
            "" if bar is None else "reached" if statistics.median(values) <= bar else "**missed**"
        )
        at_most = "" if bar is None else f"{bar:g}"
        rows.append([f"{n:,}: {name}", measure.median(values, "{:.2f}"), at_most, reached])
    return measure.table(["hashes: what", "median (least to most)", "at most", ""], rows)


def package_round(hashes: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Compare the vptree package with imgdup on the same distinct hashes and probes."""
    sys.setrecursionlimit(10**5)
    numbers = np.unique(hashes).tolist()
    theirs: list[package.VPTree] = []
    values = {
        "build, package": timed(
            lambda: theirs.append(
                package.VPTree(rng.permutation(len(numbers)).tolist(), _number_distance(numbers))
            )
        )
    }
    distinct = np.array(numbers, np.uint64)[:, None]
    ours: list[VPTree] = []
    values["build, ours"] = timed(lambda: ours.append(VPTree.build(distinct)))
    members = rng.integers(0, len(numbers), 5).tolist()
    for distance in (0, 2, 10):
        values[f"within {distance}, package"] = statistics.median(
            timed(lambda i=i, r=distance: theirs[0].get_all_in_range(i, r + 1)) for i in members
        )
        values[f"within {distance}, ours"] = statistics.median(
            timed(lambda i=i, r=distance: ours[0].within(distinct[i : i + 1], r)) for i in members
        )
    return values


def _number_distance(numbers: list[int]) -> Callable[[int, int], int]:
    return lambda i, j: (numbers[i] ^ numbers[j]).bit_count()


def package_table(results: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for what in ("build", "within 0", "within 2", "within 10"):
        theirs, ours = results[f"{what}, package"], results[f"{what}, ours"]
        each = [measure.median([1e3 * s for s in times], "{:,.2f}") for times in (theirs, ours)]
        rows.append([what, *each, measure.median(measure.ratio(theirs, ours), "{:,.0f}")])
    return measure.table(["vptree package", "package, ms", "ours, ms", "times faster"], rows)


def process_round(place: Path, probe: Path) -> dict[str, float]:
    """Measure the command from start to exit, and the import of numpy and cv2."""
    query = ["-m", "imgdup", "query", str(probe), "--index", str(place), "--max-dist"]
    commands = {
        "numpy and cv2": ["-c", "import numpy, cv2"],
        "query at 2": [*query, "2"],
        "query at 10": [*query, "10"],
    }
    return {name: timed(lambda c=command: run(c)) for name, command in commands.items()}


def run(arguments: list[str]) -> bytes:
    """Run Python and return its stderr."""
    result = subprocess.run([sys.executable, *arguments], capture_output=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{result.stderr.decode(errors='replace')}")
    return result.stderr


def paint_probe(file: Path) -> None:
    import cv2

    file.parent.mkdir()
    y, x = np.mgrid[0:225, 0:300]
    gray = 127 + 60 * np.sin(x / 31 + y / 47) + 60 * np.cos(x * y / 6000)
    cv2.imwrite(str(file), gray.astype(np.uint8))


def report_process(n: int, n_rounds: int, rng: np.random.Generator, scratch: Path) -> list[float]:
    """Print the whole-process table; return the seconds that a query takes beyond the imports."""
    place, probe = scratch / "index", scratch / "probes" / "probe.jpg"
    paint_probe(probe)
    hashes, pdq = synthetic.dhash_like(n, rng), synthetic.pdq_like(n, rng)
    hashes[rng.integers(0, n, N_COPIES)] = synthetic.real_hashes(probe.parent)[64]
    synthetic_index.write(place, hashes, pdq)
    results = measure.rounds(n_rounds, lambda: process_round(place, probe))
    rows = [(name, measure.median(times, "{:.3f}")) for name, times in results.items()]
    print(f"## imgdup query, whole process, index of {n:,}\n")
    print(measure.table(["command", "s"], rows))
    slowest = zip(results["query at 10"], results["numpy and cv2"], strict=True)
    return [query - imports for query, imports in slowest]


def report_size(
    n: int, n_rounds: int, rng: np.random.Generator, scratch: Path
) -> dict[str, list[float]]:
    hashes = synthetic.dhash_like(n, rng)
    file = scratch / "tree"
    results = with_ratios(measure.rounds(n_rounds, lambda: one_round(n, hashes, file, rng)))
    results["build, bytes a hash"] = [build_bytes(hashes)]
    print(f"## {n:,} hashes of 64 bits\n")
    print(probe_table(results))
    return results


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**6, 10**7], help="hashes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--package", type=int, default=10**5, help="hashes, 0: leave out")
    parser.add_argument("--process", type=int, default=WHOLE_PROCESS, help="rows, 0: leave out")
    parser.add_argument("--images", type=Path, help="calibrate against these, not CALTECH-101's")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    arguments = options()
    rng = np.random.default_rng(arguments.seed)
    print(f"# bench_query\n\n{measure.surroundings()}\nSeed {arguments.seed}.\n")
    print(synthetic.calibrations(rng, arguments.images))
    every: dict[tuple[int, str], Sequence[float]] = {}
    scratch = Path(tempfile.mkdtemp(prefix="bench-query-"))
    try:
        for n in arguments.sizes:
            results = report_size(n, arguments.rounds, rng, scratch)
            every |= {(n, name): results[name] for name in SUMMARY}
        if arguments.package:
            hashes = synthetic.dhash_like(arguments.package, rng)
            results = measure.rounds(min(arguments.rounds, 3), lambda: package_round(hashes, rng))
            print(f"## {arguments.package:,} hashes of 64 bits, beside the vptree package\n")
            print(package_table(results))
        if arguments.process:
            more = report_process(arguments.process, arguments.rounds, rng, scratch)
            every[arguments.process, "whole process, s more"] = more
    finally:
        shutil.rmtree(scratch)
    print(f"## Targets\n\n{bar_table(every)}")


SUMMARY = (
    "within 2 / scan",
    "within 10 / scan",
    "build, s a million",
    "build, bytes a hash",
    "open, ms",
)

if __name__ == "__main__":
    main()
