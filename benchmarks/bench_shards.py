"""All pairs of very many hashes, whole and as shards: are they the same, and what does it take?

    python benchmarks/bench_shards.py [--sizes 1000000 10000000] [--shards 10] [--seed 1]

The hashes, of 256 bits, are those of `synthetic`, and every tenth is a copy of another. They are
mapped from a file, as those of an index. Each search runs in a process of its own; memory is the
most that it has beside what it maps from files, less what it had before. `--every` measures only
one of so many tasks of the shards, and tells what all take at their rate.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure
import numpy as np
import synthetic
from bench_pairs import shape

from imgdup.query.shards import Sharding, iter_sharded_pairs, layout_of_tasks
from imgdup.search import Chosen
from imgdup.search.equal import Pairs, group_equal
from imgdup.search.join import JoinStats, iter_pairs

DISTANCE = 31
COPIES = 10  # every tenth hash is one
BAR = 60  # bytes a hash
SAMPLE_S = 0.01  # between two looks at the memory
SLICE = 1 << 20  # hashes made at a time


def write_hashes(place: Path, n: int, seed: int) -> None:
    """Write hashes like those of photos to a file, some at a time; all are of the same scenes."""
    rng = np.random.default_rng(seed)
    shown = synthetic.scenes(rng)
    hashes = np.lib.format.open_memmap(place, "w+", np.uint64, (n, 4))
    for start in range(0, n, SLICE):
        some = hashes[start : start + SLICE]
        some[:] = synthetic.pdq_like(len(some), rng, shown)
        some[::COPIES] = some[rng.integers(0, len(some), len(some[::COPIES]))]
    hashes.flush()


def own_bytes() -> int:
    """Return the memory of this process that belongs to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak:
    """The most memory while it is open, looked at a hundred times a second."""

    def __enter__(self) -> "Peak":
        self.before = self.most = own_bytes()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self) -> None:
        while not self.is_over.wait(SAMPLE_S):
            self.most = max(self.most, own_bytes())

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()


class Some:
    """An executor that does every n-th task, and answers the others with no pairs."""

    def __init__(self, every: int) -> None:
        self.every, self.number, self.cpu_s = every, 0, []

    def submit(self, function, *arguments) -> Future:
        future, start = Future(), time.process_time()
        if self.number % self.every == self.every // 2:
            future.set_result(function(*arguments))
            self.cpu_s.append(time.process_time() - start)
        else:
            nothing = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
            future.set_result(nothing._asdict())
        self.number += 1
        return future


def search(place: Path, n_shards: int, every: int, threads: int) -> dict[str, Any]:
    """Group equal hashes, and find all pairs of the different ones; return what it took."""
    hashes = np.load(place, mmap_mode="r")
    with Peak() as peak, tempfile.TemporaryDirectory(dir=place.parent) as folder:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        classes = group_equal(Chosen(hashes))
        distinct, stats = classes.choose(Chosen(hashes)), JoinStats()
        grouped_s = time.process_time() - cpu_s
        some = Some(every) if every > 1 else None
        if n_shards == 1:
            blocks = iter_pairs(distinct, DISTANCE, threads=threads, stats=stats)
            predicted_s = None
        else:
            executor = some or ThreadPoolExecutor(1)
            sharding = Sharding(n_shards, Path(folder), executor, threads=threads)
            stats.layout = layout_of_tasks(distinct, None, DISTANCE, n_shards)
            blocks = iter_sharded_pairs(distinct, DISTANCE, sharding)
            predicted_s = stats.layout.cost_s * n_shards**2 / 2
        digests, n_pairs = [hashlib.sha256() for _ in range(3)], 0
        for block in blocks:
            n_pairs += len(block.left)
            for digest, column in zip(digests, block, strict=True):
                digest.update(column)
        seconds = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {
        "n_pairs": n_pairs,
        "digest": " ".join(digest.hexdigest()[:8] for digest in digests),
        "shape": shape(stats),
        "predicted_s": predicted_s or stats.layout.cost_s,
        "grouped_s": grouped_s,
        "wall_s": seconds[0],
        "cpu_s": seconds[1],
        "tasks_s": some.cpu_s if some else None,
        "n_tasks": some.number if some else n_shards * (n_shards + 1) // 2,
        "bytes": peak.most - peak.before,
    }


def apart(*arguments: object) -> dict[str, Any]:
    """Search in a process of its own."""
    command = [sys.executable, __file__, "--apart", json.dumps([str(each) for each in arguments])]
    return json.loads(subprocess.check_output(command))


def rows(options: argparse.Namespace) -> Iterator[Sequence[str]]:
    for n in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            place = Path(folder, "hashes.npy")
            write_hashes(place, n, options.seed)
            digests = set()
            for n_shards in [1] * (not options.every > 1) + [options.shards]:
                every = 1 if n_shards == 1 else options.every
                found = apart(place, n_shards, every, options.threads)
                digests.add(found["digest"])
                yield row(n, n_shards, found, len(digests) == 1)


def row(n: int, n_shards: int, found: dict[str, Any], is_same: bool) -> Sequence[str]:
    cpu_s, part = found["cpu_s"], ""
    if found["tasks_s"] is not None:
        mean = float(np.mean(found["tasks_s"]))
        cpu_s, part = mean * found["n_tasks"], f" ({len(found['tasks_s'])} measured)"
    a_hash = found["bytes"] / n
    return [
        f"{n:,}", "whole" if n_shards == 1 else f"{found['n_tasks']} tasks{part}", found["shape"],
        f"{found['n_pairs']:,}", "yes" if is_same else "**no**", f"{found['predicted_s']:.1f}",
        f"{cpu_s:.1f}", f"{found['grouped_s']:.1f}", f"{found['wall_s']:.1f}",
        f"{found['bytes'] / 1e6:.0f}", f"{a_hash:.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**6, 10**7])
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="do every n-th task, and not whole")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    parser.add_argument("--apart", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        place, *numbers = options.apart
        print(json.dumps(search(Path(place), *map(int, numbers))))
        return
    print(f"# bench_shards\n\n{measure.surroundings()}\nSeed {options.seed}.\n")
    header = ["hashes", "searched", "bands", "pairs", "same pairs", "predicted, s", "CPU, s",
              "of that grouping, s", "wall, s", "MB", "bytes a hash"]  # fmt: skip
    print(measure.table(header, rows(options)))


if __name__ == "__main__":
    main()
