"""How fast are all pairs and many probes, compared with the flat range search of faiss?

    python benchmarks/bench_pairs.py [--images DIR] [--threads 2] [--rounds 3]

Hashes are those of `synthetic`, whose pair rates and skew are shown first, with neighbours planted
at the distance and one bit beyond. Every ratio is one of two figures of the same round. faiss is
estimated from a slice of probes, since it takes the same time for each; it finds each pair twice
and does not sort. The first join is timed in a process of its own.
"""

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import synthetic

from imgdup.search.equal import Pairs, expand, group_equal
from imgdup.search.join import JoinStats, iter_pairs

try:
    import faiss
except ImportError:
    faiss = None

SLICE = 10_000  # probes from which faiss is estimated
N_PLANTED = 1_000
N_PROBES = 10_000
SCALING_BAR, FIRST_BAR, IMAGES_BAR = 0.9, 0.05, 0.2  # share, s, s


class Case(NamedTuple):
    """A join, and how many times faster than faiss it should be."""

    bits: int
    n: int
    max_distance: int
    bar: float | None


CASES = (
    Case(64, 200_000, 10, 15),
    Case(64, 200_000, 4, None),
    Case(256, 200_000, 31, 15),
    Case(256, 1_000_000, 31, 50),
)


def made(case: Case, seed: int) -> np.ndarray:
    """Make hashes like those of photos, with neighbours at `max_distance` and one bit beyond."""
    rng = np.random.default_rng(seed)
    hashes = synthetic.GENERATORS[case.bits](case.n, rng)
    synthetic.plant(hashes, planted_distances(case), rng)
    return hashes


def planted_distances(case: Case) -> list[int]:
    return [case.max_distance + k % 2 for k in range(N_PLANTED)]


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def repeated(action: Callable[[], object]) -> float:
    """Return the median of three; after a pause, the system may have taken the memory back."""
    return statistics.median(timed(action) for _ in range(3))


def joined(hashes: np.ndarray, max_distance: int, threads: int) -> tuple[int, JoinStats]:
    """Find all pairs of the distinct hashes and count them."""
    stats = JoinStats()
    distinct = group_equal(hashes).distinct(hashes)
    blocks = iter_pairs(distinct, max_distance, threads=threads, stats=stats)
    return sum(len(block.left) for block in blocks), stats


def find_pairs(hashes: np.ndarray, max_distance: int, threads: int) -> Pairs:
    """Return all pairs of rows, including equal hashes, in any order."""
    classes = group_equal(hashes)
    blocks = iter_pairs(classes.distinct(hashes), max_distance, threads=threads)
    found = [np.zeros((3, 0), np.int64)]
    found += [np.array(block, np.int64) for block in expand(classes, blocks)]
    return Pairs(*np.concatenate(found, axis=1))


def looked_up(hashes: np.ndarray, probes: np.ndarray, max_distance: int, threads: int) -> int:
    """Find all hashes near each of many probes and count them."""
    blocks = iter_pairs(probes, max_distance, other=hashes, threads=threads)
    return sum(len(block.left) for block in blocks)


def faiss_s(hashes: np.ndarray, probes: np.ndarray, max_distance: int, threads: int) -> float:
    """Measure the flat range search of faiss for some probes; its bound is exclusive."""
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexBinaryFlat(64 * hashes.shape[1])
    index.add(hashes.view(np.uint8))
    return timed(lambda: index.range_search(probes.view(np.uint8), max_distance + 1))


def check_planted(case: Case, seed: int, threads: int) -> None:
    """Check that all planted pairs at the distance are found, and none beyond."""
    rng = np.random.default_rng(seed)
    hashes = synthetic.GENERATORS[case.bits](case.n, rng)
    distances = planted_distances(case)
    planted = np.sort(synthetic.plant(hashes, distances, rng), axis=1)
    found = find_pairs(hashes, case.max_distance, threads=threads)
    numbers = found.left * case.n + found.right
    is_found = np.isin(planted[:, 0] * case.n + planted[:, 1], numbers)
    if is_found.tolist() != [distance <= case.max_distance for distance in distances]:
        raise SystemExit(f"{case}: planted pairs are wrong")


def join_round(case: Case, hashes: np.ndarray, threads: int) -> dict[str, float]:
    values = {"ours": timed(lambda: joined(hashes, case.max_distance, threads))}
    if faiss:
        slice_s = faiss_s(hashes, hashes[:SLICE], case.max_distance, threads)
        values["faiss"] = slice_s * case.n / min(SLICE, case.n)
    return values


def join_rows(options: argparse.Namespace) -> Iterator[list[str]]:
    for case in CASES:
        check_planted(case._replace(n=min(case.n, 200_000)), options.seed, options.threads)
        hashes = made(case, options.seed)
        n_pairs, stats = joined(hashes, case.max_distance, options.threads)
        results = measure.rounds(
            options.rounds, functools.partial(join_round, case, hashes, options.threads)
        )
        name = f"{case.n:,} of {case.bits} bits at {case.max_distance}: {shape(stats)}"
        work = [f"{n_pairs:,}", f"{stats.n_compared:.2g}", f"{stats.layout.n_expected:.2g}"]
        yield [name, *work, *beside_faiss(results, case.bar)]


def beside_faiss(results: dict[str, list[float]], bar: float | None) -> list[str]:
    ours = measure.median(results["ours"], "{:.3f}")
    if "faiss" not in results:
        return [ours, "not installed", "", ""]
    ratios = measure.ratio(results["faiss"], results["ours"])
    theirs = measure.median(results["faiss"], "{:.1f}")
    return [ours, theirs, measure.median(ratios, "{:.1f}"), measure.verdict(ratios, bar)]


def shape(stats: JoinStats) -> str:
    """Describe the widths and radii of the bands."""
    kinds = [(len(band.bits), band.radius) for band in stats.layout.bands]
    if len(stats.layout.bands[0].bits) == 0:
        return "scan"
    parts = [f"{kinds.count(k)} bands of {k[0]} (radius {k[1]})" for k in dict.fromkeys(kinds)]
    return " + ".join(parts)


def within_rows(options: argparse.Namespace) -> Iterator[list[str]]:
    rng = np.random.default_rng(options.seed)
    for bits, max_distance, bar in ((64, 10, 10), (256, 31, None)):
        hashes = synthetic.GENERATORS[bits](10**6, rng)
        probes = hashes[rng.integers(0, len(hashes), N_PROBES)]

        def one_round(h: np.ndarray = hashes, p: np.ndarray = probes, d: int = max_distance):
            values = {"ours": repeated(lambda: looked_up(h, p, d, options.threads))}
            if faiss:
                values["faiss"] = faiss_s(h, p, d, options.threads)
            return values

        one_round()
        results = measure.rounds(options.rounds, one_round)
        name = f"{N_PROBES:,} probes, a million of {bits} bits, at {max_distance}"
        yield [name, *beside_faiss(results, bar)]


def popcounts(threads: int) -> None:
    """Run a pure popcount loop over arrays that fit in the cache, divided among threads."""
    words = np.random.default_rng(0).integers(0, 2**64, 1 << 15, dtype=np.uint64)

    def count(n_times: int) -> None:
        out = np.empty(len(words), np.uint8)
        for _ in range(n_times):
            np.bitwise_count(words, out=out)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(count, [60_000 // threads] * threads))


def scaling_rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """Compare several threads with one, for the join and for a loop limited only by the cores."""
    for case in (CASES[0], CASES[-1]):
        hashes = made(case, options.seed)

        def one_round(h: np.ndarray = hashes, d: int = case.max_distance) -> dict[str, float]:
            return {
                f"{name} {threads}": timed(functools.partial(action, threads))
                for threads in (1, options.threads)
                for name, action in (("loop", popcounts), ("join", functools.partial(joined, h, d)))
            }

        results = measure.rounds(options.rounds, one_round)
        ups = [
            measure.ratio(results[f"{name} 1"], results[f"{name} {options.threads}"])
            for name in ("join", "loop")
        ]
        shares = measure.ratio(*ups)
        name = f"{case.n:,} of {case.bits} bits at {case.max_distance}"
        shown = [measure.median(each, "{:.2f}") for each in (*ups, shares)]
        yield [name, *shown, measure.verdict(shares, SCALING_BAR)]


def first_row() -> list[str]:
    """Measure the first join of each width in a new process, without imports."""
    script = (
        "import time, numpy as np; from imgdup.search.join import iter_pairs\n"
        "a = np.zeros((9, 1), np.uint64); b = np.zeros((9, 4), np.uint64)\n"
        "start = time.perf_counter()\n"
        "for hashes, distance in ((a, 10), (b, 31)): list(iter_pairs(hashes, distance))\n"
        "print(time.perf_counter() - start)"
    )
    seconds = [float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(5)]
    verdict = "reached" if np.median(seconds) <= FIRST_BAR else "**missed**"
    return ["first join of both widths", measure.median(seconds, "{:.4f}"), verdict]


def images_row(images: Path, options: argparse.Namespace) -> list[str]:
    hashes = synthetic.real_hashes(images)[256]
    n_pairs = len(find_pairs(hashes, 31, threads=options.threads).left)
    seconds = [
        timed(lambda: find_pairs(hashes, 31, threads=options.threads))
        for _ in range(options.rounds)
    ]
    reached = "reached" if np.median(seconds) <= IMAGES_BAR else "**missed**"
    return [f"{len(hashes):,} PDQ hashes of {images.name} at 31", f"{n_pairs}",
            measure.median(seconds, "{:.4f}"), reached]  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="calibrate against these, and join them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def report(title: str, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    print(f"## {title}\n")
    print(measure.table(header, rows), flush=True)


def main() -> None:
    chosen = options()
    rng = np.random.default_rng(chosen.seed)
    print(f"# bench_pairs\n\n{measure.surroundings()}\nSeed {chosen.seed}.\n")
    print(synthetic.calibrations(rng, chosen.images))
    report("First use", ["", "s", f"{FIRST_BAR} s"], iter([first_row()]))
    beside = ["ours, s", "faiss, s (slice)", "times faster", "bar"]
    work = ["pairs", "compared", "expected"]
    report("All pairs", ["hashes", *work, *beside], join_rows(chosen))
    report("Many probes", ["", *beside], within_rows(chosen))
    if chosen.images:
        header = ["", "pairs", "s", f"{IMAGES_BAR} s"]
        report("Photos", header, iter([images_row(chosen.images, chosen)]))
    header = ["", "join, times faster", "popcount loop", "share", "bar"]
    report(f"{chosen.threads} threads beside one", header, scaling_rows(chosen))


if __name__ == "__main__":
    main()
