"""One probe: does the planner find the better of tree and scan?

    python benchmarks/bench_planner.py [--sizes 10000 1000000] [--seed 1]

Bands are never the best for one probe: the tables alone take longer than a scan.
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator

import measure
import numpy as np
import synthetic

from imgdup.search.bands import band_skew
from imgdup.search.planner import Workload, plan
from imgdup.search.vptree import VPTree

DISTANCES = {64: (0, 2, 4, 6, 8, 10, 16), 256: (0, 16, 31, 60)}
BAR = 1.2  # times the better one
N_PROBES = 41


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def medians(tree: VPTree, probes: np.ndarray, distance: int) -> dict[str, float]:
    """Return the median milliseconds of both strategies, which take turns for each probe."""
    times: dict[str, list[float]] = {"tree": [], "scan": []}
    for probe in np.split(probes, len(probes)):
        for name, each in times.items():
            each.append(timed(functools.partial(tree.within, probe, distance, strategy=name)))
    return {name: 1e3 * float(np.median(each)) for name, each in times.items()}


def rows(sizes: list[int], rng: np.random.Generator) -> Iterator[list[str]]:
    for bits, n in ((bits, n) for bits in DISTANCES for n in sizes):
        hashes = synthetic.GENERATORS[bits](n, rng)
        tree, skew = VPTree.build(hashes), band_skew(hashes)
        probes = hashes[rng.integers(0, n, N_PROBES)]
        for distance in DISTANCES[bits]:
            work = Workload(1, n, bits // 64, distance, is_self=False)
            planned = plan(work, tree.visited_fractions.tolist(), skew)
            ms = medians(tree, probes, distance)
            ratio = ms[planned.strategy] / min(ms.values())
            shown = [f"{ms[name]:.3f}" for name in ("tree", "scan")]
            verdict = "reached" if ratio <= BAR else "**missed**"
            name = f"{n:,} of {bits} bits at {distance}"
            yield [name, *shown, planned.strategy, f"{ratio:.2f}", verdict]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"# bench_planner\n\n{measure.surroundings()}\nSeed {options.seed}.\n")
    header = ["one probe", "tree, ms", "scan, ms", "planned", "planned / best", f"{BAR}"]
    print(measure.table(header, rows(options.sizes, np.random.default_rng(options.seed))))


if __name__ == "__main__":
    main()
