"""All pairs of ten million hashes: how much memory do they need, and how does the time grow?

    python benchmarks/bench_large.py [--n 10000000] [--threads 2] [--seed 1]

Each join runs in a process of its own, so that its peak memory can be measured; making the
hashes is included in the memory and not in the time.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import measure
from bench_pairs import Case, joined, made, shape

CASES = (Case(256, 10**7, 31, None), Case(64, 10**7, 4, None))
BAR = 6.0  # GB


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    for case in CASES:
        ran = {n: run_apart(case._replace(n=n), options) for n in (options.n // 10, options.n)}
        for n, found in ran.items():
            growth = found["seconds"] / ran[options.n // 10]["seconds"]
            yield [
                f"{n:,} of {case.bits} bits at {case.max_distance}: {found['shape']}",
                f"{found['n_pairs']:,}",
                f"{found['n_compared']:.2g}",
                f"{found['n_expected']:.2g}",
                f"{found['seconds']:.2f}",
                f"{growth:.0f}",
                f"{found['peak_bytes'] / 1e9:.2f}",
                "reached" if found["peak_bytes"] <= BAR * 1e9 else "**missed**",
            ]


def run_apart(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    what = json.dumps([*case, options.seed, options.threads])
    return json.loads(subprocess.check_output([sys.executable, __file__, "--apart", what]))


def join_here(case: Case, seed: int, threads: int) -> dict[str, Any]:
    """Run one join; return its figures and the peak memory of this process."""
    hashes = made(case, seed)
    start = time.perf_counter()
    n_pairs, stats = joined(hashes, case.max_distance, threads)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "n_pairs": n_pairs,
        "n_compared": stats.n_compared,
        "n_expected": stats.layout.n_expected,
        "shape": shape(stats),
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10**7, help="hashes; a tenth of them goes first")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--apart", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        *case, seed, threads = options.apart
        print(json.dumps(join_here(Case(*case), seed, threads)))
        return
    print(f"# bench_large\n\n{measure.surroundings()}\nSeed {options.seed}.\n")
    header = ["hashes", "pairs", "compared", "expected", "s", "times the tenth", "GB", f"{BAR} GB"]
    print(measure.table(header, rows(options)))


if __name__ == "__main__":
    main()
