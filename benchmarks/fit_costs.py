"""Fit the unit costs of `imgdup.search.planner` to joins of many shapes.

    python benchmarks/fit_costs.py [--sizes 200000 1000000] [--seed 1]

Each join runs on one thread; its CPU time is laid out as a sum of counts times unit costs, none
negative, such that the relative errors are least. The last table shows the remaining errors.
"""

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

import measure
import numpy as np
import synthetic

from imgdup.search import planner as costs
from imgdup.search.bands import Band, Layout, deal_bits
from imgdup.search.join import JoinStats, iter_pairs
from imgdup.search.planner import Workload

UNITS = (
    *("BUILD_S", "BUCKET_S", "LOOK_S", "BEGIN_S", "FETCH_S", "COMPARE_S", "FIND_S"),
    "FETCH_PAIR_S",
)
SHAPES = {  # bits, distance: numbers of bands and their widths
    (64, 10): ((3, (18, 21)), (4, (8, 10, 12, 14, 16)), (5, (8, 10, 12)), (8, (8,))),
    (64, 4): ((2, (12, 16, 20)), (3, (12, 16, 20)), (4, (12, 16)), (5, (12,))),
    (256, 31): ((11, (12, 16, 20)), (13, (12, 16, 19)), (16, (8, 10, 12, 14, 16)), (20, (12,))),
}
LARGE = 500_000  # hashes from which only bands of at least 14 bits are tried


class Join(NamedTuple):
    """One join: its name, its CPU time, and how often each unit cost applies."""

    name: str
    seconds: float
    counts: list[float]


def radii(n_bands: int, max_distance: int) -> list[int]:
    whole, more = divmod(max_distance + 1, n_bands)
    return [whole - (k >= more) for k in range(n_bands)]


def joins(n: int, bits: int, max_distance: int, rng: np.random.Generator) -> Iterator[Join]:
    hashes = synthetic.GENERATORS[bits](n, rng)
    sample = np.unpackbits(hashes[:512].view(np.uint8), axis=1, bitorder="little")
    for n_bands, widths in SHAPES[bits, max_distance]:
        for width in widths:
            if n < LARGE or width >= 14:
                dealt = deal_bits(sample, [width] * n_bands)
                pairs = zip(dealt, radii(n_bands, max_distance), strict=True)
                yield joined(hashes, [Band(*pair) for pair in pairs], max_distance)


def joined(hashes: np.ndarray, bands: list[Band], max_distance: int) -> Join:
    n, words = hashes.shape
    stats = JoinStats(layout=Layout(tuple(bands), 0, 0.0, 1.0, 1e-9))
    start = time.process_time()
    blocks = iter_pairs(hashes, max_distance, threads=1, stats=stats)
    n_pairs = sum(len(block.left) for block in blocks)
    seconds = time.process_time() - start
    work = Workload(n, n, words, max_distance, True)
    work = work._replace(near=((max_distance, n_pairs / work.n_pairs),))
    shares = stats.n_compared / work.n_pairs / len(bands)
    shapes = [(len(band.bits), band.radius) for band in bands]
    counts = [units(work, width, radius, shares) for width, radius in shapes]
    width, radius = shapes[0]
    name = f"{n:,} of {64 * words} bits at {max_distance}: {len(bands)} x {width}, radius {radius}"
    return Join(name, seconds, np.sum(counts, axis=0).tolist())


def units(work: Workload, width: int, radius: int, share: float) -> list[float]:
    """Return `band_s` with one unit cost set to 1 and the others to 0."""
    saved = {name: getattr(costs, name) for name in UNITS}
    found = []
    try:
        for unit in UNITS:
            for name in UNITS:
                setattr(costs, name, float(name == unit))
            found.append(costs.band_s(work, width, radius, share))
    finally:
        for name, value in saved.items():
            setattr(costs, name, value)
    return found


def fitted(measured: list[Join]) -> np.ndarray:
    """Solve for least relative squares without negative costs, by projected gradients."""
    matrix = np.array([join.counts for join in measured])
    matrix /= np.array([[join.seconds] for join in measured])
    scale = matrix.max(axis=0)
    matrix /= scale
    step = 1 / np.linalg.norm(matrix, 2) ** 2
    values = np.zeros(len(UNITS))
    for _ in range(200_000):
        values = np.maximum(0, values - step * matrix.T @ (matrix @ values - 1))
    return values / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[200_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sets = [(n, *kind) for n in options.sizes for kind in SHAPES if n < LARGE or kind != (64, 10)]
    measured = [join for each in sets for join in joins(*each, rng)]
    values = fitted(measured)
    print(f"# fit_costs\n\n{measure.surroundings()}\nSeed {options.seed}.\n")
    rows = [
        (name, f"{getattr(costs, name):.1e}", f"{value:.1e}")
        for name, value in zip(UNITS, values, strict=True)
    ]
    print(measure.table(["unit cost", "in use, s", "fitted, s"], rows))
    used = np.array([getattr(costs, name) for name in UNITS])
    rows = [
        (join.name, f"{join.seconds:.3f}", *(f"{c @ join.counts:.3f}" for c in (used, values)))
        for join in measured
    ]
    print(measure.table(["join", "CPU, s", "by those in use", "by the fitted"], rows))


if __name__ == "__main__":
    main()
