"""How good and how fast is `imgdup dedupe`?

    python benchmarks/bench_dedupe.py --data FOLDER [--rows 1000000]

Three questions: which labelled pairs count as duplicates; how long `dedupe` takes on CALTECH-101
when the index is there; how long groups and plan take beside the join on a million synthetic rows
of which a tenth are duplicates, and how much memory.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from measure import median, surroundings, table

MIN_QUALITY = 50
MATCH_BITS = 256
DISTANCES = (31, 40)
HASH = {"hash": "dhash", "bits": 64, "digest_kind": "blake3", "with_pdq": 0}


def labelled(data: Path) -> str:
    """Count the pairs of each label that are duplicates at 31 and at 40 bits."""
    from imgdup.errors import ImageError
    from imgdup.query.probe import make_probe
    from imgdup.search import distances

    totals: Counter[str] = Counter()
    found: Counter[tuple[str, int]] = Counter()
    with open(data / "near-duplicates" / "pairs.csv", newline="") as file:
        for row in csv.DictReader(file):
            totals[row["label"]] += 1
            try:
                a, b = (make_probe(data / row[side], HASH) for side in ("a", "b"))
            except ImageError as error:
                print(f"{row['a']}, {row['b']}: {error}", file=sys.stderr)
                continue
            distance = int(distances(a.match, b.match)[0])
            structure = min(a.quality, b.quality) >= MIN_QUALITY
            for limit in DISTANCES:
                same = (distance <= limit and structure) or a.digest == b.digest
                found[row["label"], limit] += same
    rows = [
        [label, str(n), *(str(found[label, limit]) for limit in DISTANCES)]
        for label, n in totals.items()
    ]
    return table(["label", "pairs", *(f"duplicates at {d}" for d in DISTANCES)], rows)


def whole_process(data: Path, n_rounds: int) -> str:
    """Measure the seconds of `imgdup dedupe` on an existing index of CALTECH-101."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "imgdup"]
        run([*command, "index", str(data / "caltech-101"), "--index", scratch, "--quiet"])
        plan = os.path.join(scratch, "..", f"{os.path.basename(scratch)}.jsonl")
        dedupe = [*command, "dedupe", "--index", scratch, "--plan", plan]
        first, times = run(dedupe), [run(dedupe) for _ in range(n_rounds)]
        os.remove(plan)
    return f"first {first:.2f} s then {median(times, '{:.2f}')} s\n"


def run(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


class SyntheticRows:
    """A million files in memory, with the columns and paths of an index."""

    roots = (b"/data",)
    digest = "0" * 32

    def __init__(self, n_rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n_copies = n_rows // 10
        match = rng.integers(0, 2**64, (n_rows, 4), np.uint64)
        originals = rng.integers(0, n_rows - n_copies, n_copies)
        copies = match[originals]
        for _ in range(10):  # up to ten bits of 256 differ
            bits = rng.integers(0, MATCH_BITS, n_copies)
            copies[np.arange(n_copies), bits // 64] ^= np.uint64(1) << (bits % 64).astype(np.uint64)
        match[n_rows - n_copies :] = copies
        order = rng.permutation(n_rows)
        self.columns = {
            "match": match[order],
            "hashes": match[order][:, :1].copy(),
            "size": rng.integers(10_000, 5_000_000, n_rows),
            "mtime_ns": rng.integers(0, 2**60, n_rows),
            "width": rng.integers(100, 4000, n_rows).astype(np.uint32),
            "height": rng.integers(100, 4000, n_rows).astype(np.uint32),
            "format": np.ones(n_rows, np.uint8),
            "quality": np.full(n_rows, 100, np.uint8),
            "status": np.zeros(n_rows, np.uint8),
            "digest": rng.integers(0, 256, (n_rows, 16)).astype(np.uint8),
            "same_file": np.full(n_rows, -1, np.int64),
        }

    def __len__(self) -> int:
        return len(self.columns["match"])

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def path(self, row: int) -> bytes:
        return b"/data/%04d/%08d.jpg" % (row // 1000, row)


def synthetic(n_rows: int, seed: int) -> str:
    """Measure the join, groups and plan in seconds, and the memory in addition to the rows."""
    import resource

    from imgdup.dedupe import find_duplicates
    from imgdup.search.join import iter_pairs

    rows = SyntheticRows(n_rows, seed)
    list(iter_pairs(rows.column("match")[:1000], 31))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    n_pairs = sum(len(block.left) for block in iter_pairs(rows.column("match"), 31))
    joined = time.perf_counter()
    plan = find_duplicates(rows).plan()
    planned = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    join_s, plan_s = joined - started, planned - joined
    figures = [
        ["rows, pairs, removals", f"{n_rows:,}, {n_pairs:,}, {len(plan.removals):,}"],
        ["join", f"{join_s:.1f} s"],
        ["groups and plan beside the join", f"{plan_s - join_s:.1f} s"],
        ["memory beside the rows", f"{(peak - before) / 1e3:,.0f} MB"],
    ]
    return table(["figure", "value"], figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="holds near-duplicates and caltech-101")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(surroundings())
    if options.data:
        print(labelled(options.data))
        print(whole_process(options.data, options.rounds))
    print(synthetic(options.rows, options.seed))


if __name__ == "__main__":
    main()
