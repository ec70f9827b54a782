"""How fast is `imgdup index --cluster` on a Dask cluster of this machine, compared with processes?

    python benchmarks/bench_cluster.py --images DIR [--copies 4] [--workers 2] [--rounds 5]

The scheduler and the workers, of one thread each, are started by their commands and stay for all
rounds; a first run, which starts their processes, does not count. Steady state is what one more
picture costs: several copies of the pictures less one copy, both from start to exit of the
command. Files are in the page cache. The indexes of both must be equal.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cases
import measure

SCHEDULER_FILE = "scheduler.json"


@contextmanager
def cluster(folder, n_workers):
    """Start a scheduler and workers; yield the scheduler file, and end them."""
    file = folder / SCHEDULER_FILE
    started = [start(folder, "scheduler", "--port", "0")]
    try:
        while not file.exists() or not file.stat().st_size:
            time.sleep(0.05)
        options = ["--nthreads", "1", "--local-directory", str(folder)]
        started += [start(folder, "worker", *options) for _ in range(n_workers)]
        yield file
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def start(folder, kind, *options):
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1"]
    command += ["--no-dashboard", "--scheduler-file", str(folder / SCHEDULER_FILE), *options]
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    with open(folder / f"{kind}.log", "a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def copied(images, folder, n_copies):
    """Copy a folder several times; return the folder of all copies, and that of one."""
    for number in range(n_copies):
        shutil.copytree(images, folder / "all" / str(number))
    return folder / "all", folder / "all" / "0"


def indexing(folder, index, options):
    """Measure the building of an index, from start to exit of the command."""
    shutil.rmtree(index, ignore_errors=True)
    command = [sys.executable, "-m", "imgdup", "index", str(folder), "--index", str(index)]
    return cases.run([*command, *options, "--json"])[0]


def index_file(place):
    return next(place.glob("index.*")).read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    n = arguments.workers
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        whole, part = copied(arguments.images, scratch, arguments.copies)
        n_files = sum(len(files) for _, _, files in os.walk(part)) * (arguments.copies - 1)
        with cluster(scratch, n) as file:
            ways = {"local": ["--workers", str(n)], "cluster": ["--cluster", str(file)]}
            for way, options in ways.items():
                indexing(part, scratch / way, options)
            if index_file(scratch / "local") != index_file(scratch / "cluster"):
                raise SystemExit("the indexes differ")

            def one_round():
                costs = {}
                for way, options in ways.items():
                    costs[way] = indexing(whole, scratch / way, options)
                    costs[f"{way}, one copy"] = indexing(part, scratch / way, options)
                return costs

            results = measure.rounds(arguments.rounds, one_round)
    report(results, n_files, n)


def report(results, n_files, n_workers):
    steady = {
        way: [n_files / (all_.wall_s - one.wall_s) for all_, one in zip(*both, strict=True)]
        for way in ("local", "cluster")
        for both in [(results[way], results[f"{way}, one copy"])]
    }
    rows = [
        (f"imgdup index, {n_workers} processes, steady state", measure.median(steady["local"])),
        (f"--cluster, {n_workers} Dask workers, steady state", measure.median(steady["cluster"])),
    ]
    print(measure.table(["", "images/s, median (least to most)"], rows))
    share = measure.ratio(steady["cluster"], steady["local"])
    row = ("cluster / local", measure.median(share, "{:.2f}"), measure.verdict(share, 0.8))
    print(measure.table(["ratio", "median (least to most)", "to reach"], [row]))
    more = [
        cluster.wall_s - local.wall_s
        for cluster, local in zip(
            results["cluster, one copy"], results["local, one copy"], strict=True
        )
    ]
    print(f"One copy takes {measure.median(more, '{:.2f}')} s more on the cluster.")


if __name__ == "__main__":
    main()
