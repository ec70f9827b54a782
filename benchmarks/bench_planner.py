"""Does the planner find the cheapest strategy for one probe, and bands for all pairs?

    python benchmarks/bench_planner.py [--sizes 10000 1000000] [--seed 1]
    python benchmarks/bench_planner.py --joins [--kinds uniform like-photos] [--sizes 1000000]

Bands are never the best for one probe: the tables alone take longer than a scan. With `--joins`,
all pairs are found with the bands that the planner chooses and with the best of other numbers of
bands, as it sees them; CPU seconds are set beside its estimate. A scan is measured on a part.
"""

import argparse
import functools
import itertools
import time
from collections.abc import Callable, Iterator

import measure
import numpy as np
import synthetic

from imgdup.search import Chosen, planner
from imgdup.search.bands import Layout, band_skew, scan_layout
from imgdup.search.equal import group_equal
from imgdup.search.join import JoinStats, iter_pairs, measured_layout
from imgdup.search.planner import Shape, Workload, plan
from imgdup.search.vptree import VPTree

DISTANCES = {64: (0, 2, 4, 6, 8, 10, 16), 256: (0, 16, 31, 60)}
BAR = 1.2  # times the better one
N_PROBES = 41
JOINED = {64: 10, 256: 31}  # the distances of joins
FEWER, MORE = 0.7, 1.5  # other numbers of bands, relative to the chosen one
SCANNED = 100_000  # hashes that a scan is measured on
FACTOR = 1.5  # within which the estimates should be


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


def hashes_of(kind: str, bits: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Make different hashes: uniform random ones, or some like those of photos."""
    if kind == "uniform":
        return rng.integers(0, 2**64, (n, bits // 64), np.uint64)
    hashes = synthetic.GENERATORS[bits](n, rng)
    return hashes if bits == 64 else hashes[group_equal(hashes).rows]


def joined_s(hashes: np.ndarray, distance: int, layout: Layout, threads: int) -> float:
    """Return the CPU seconds of a join."""
    start = time.process_time()
    for _ in iter_pairs(hashes, distance, threads=threads, stats=JoinStats(layout=layout)):
        pass
    return time.process_time() - start


def with_bands(hashes: np.ndarray, distance: int, n_bands: int) -> Layout | None:
    """Let the planner choose among the shapes of so many bands."""
    shapes = planner._shapes

    def some(*arguments: object) -> Iterator[Shape]:
        return (s for s in shapes(*arguments) if s.n_wide + s.n_narrow == n_bands)

    planner.best_shape.cache_clear()
    planner._shapes = some
    try:
        layout = measured_layout(Chosen(hashes), None, distance)
    finally:
        planner._shapes = shapes
        planner.best_shape.cache_clear()
    return None if len(layout.bands[0].bits) == 0 else layout


def join_rows(options: argparse.Namespace, rng: np.random.Generator) -> Iterator[list[str]]:
    for n, bits, kind in itertools.product(options.sizes, options.bits, options.kinds):
        hashes, distance = hashes_of(kind, bits, n, rng), JOINED[bits]
        chosen = measured_layout(Chosen(hashes), None, distance)
        n_bands = len(chosen.bands)
        layouts = {n_bands: chosen}
        for other in (round(FEWER * n_bands), round(MORE * n_bands)) if options.others else ():
            if (layout := with_bands(hashes, distance, other)) is not None:
                layouts.setdefault(other, layout)
        taken = {
            number: joined_s(hashes, distance, layout, options.threads)
            for number, layout in layouts.items()
        }
        name = f"{n:,} of {bits} bits at {distance}, {kind}"
        least = min(taken.values())
        for number, layout in layouts.items():
            ratio = taken[number] / layout.cost_s
            yield [
                name, f"{number} bands" + " (chosen)" * (number == n_bands),
                f"{layout.cost_s:.2f}", f"{taken[number]:.2f}", f"{ratio:.2f}",
                "yes" if 1 / FACTOR <= ratio <= FACTOR else "**no**",
                f"{taken[number] / least:.2f}",
            ]  # fmt: skip
        yield scan_row(name, hashes, distance, options.threads, chosen)


def scan_row(
    name: str, hashes: np.ndarray, distance: int, threads: int, chosen: Layout
) -> list[str]:
    """Measure a scan of a part, and set the time of the whole beside its estimate."""
    part = hashes[:: -(-len(hashes) // SCANNED)]
    near = ((distance, chosen.pair_share),)
    works = [
        Workload(n, n, hashes.shape[1], distance, True, near) for n in (len(part), len(hashes))
    ]
    some_s = joined_s(part, distance, scan_layout(works[0], chosen.pair_share), threads)
    whole_s, estimate_s = some_s * works[1].n_pairs / works[0].n_pairs, works[1].scan_s
    ratio = whole_s / estimate_s
    verdict = "yes" if 1 / FACTOR <= ratio <= FACTOR else "**no**"
    return [name, "scan", f"{estimate_s:.1f}", f"{whole_s:.1f}", f"{ratio:.2f}", verdict, "-"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--joins", action="store_true", help="all pairs, not one probe")
    parser.add_argument("--kinds", nargs="*", default=["uniform", "like-photos"])
    parser.add_argument("--bits", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--others", type=int, default=1, help="0: only the chosen number of bands")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"# bench_planner\n\n{measure.surroundings()}\nSeed {options.seed}.\n")
    if options.joins:
        header = ["all pairs", "bands", "estimate, CPU s", "measured, CPU s", "measured / estimate",
                  f"within {FACTOR}", "measured / best"]  # fmt: skip
        print(measure.table(header, join_rows(options, np.random.default_rng(options.seed))))
        return
    header = ["one probe", "tree, ms", "scan, ms", "planned", "planned / best", f"{BAR}"]
    print(measure.table(header, rows(options.sizes, np.random.default_rng(options.seed))))


if __name__ == "__main__":
    main()
