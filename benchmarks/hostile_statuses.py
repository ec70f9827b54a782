"""Which status does each file in a folder of hostile files get, set by set?

    python benchmarks/hostile_statuses.py --data FOLDER [--workers N]

A set is a folder in FOLDER. Each file is read, decoded and hashed in a worker as `imgdup index`
has them, memory cap and watchdog on; a file whose process dies is counted as crashed or timed-out.
Memory is the peak of the worker while at the file, the libraries that it has loaded included.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

import measure
from examined import Examined, examine

from imgdup.images.formats import REASONS
from imgdup.system.limits import Limits, usable_cores
from imgdup.workers.pool import Died, answers, batched, decoding_pool

BATCH = 8
BARS = {"seconds": 5.0, "bytes": Limits().worker_memory_bytes}


def examine_all(paths, n_workers):
    """Return the answer for each path, even if its worker ends."""
    found = {}
    with decoding_pool(Limits(), n_workers) as pool:
        for items, answer in answers(examine, batched(paths, BATCH), pool):
            if isinstance(answer, Died):
                answer = [Examined(answer.reason, 0.0, 0, 0)]
            found.update(zip(items, answer, strict=True))
    return found


def row(name, found, reasons):
    """One line of the table: counts by status, the slowest file, the largest peak."""
    counts = Counter(each.status for each in found.values())
    slowest = max(found, key=lambda path: found[path].seconds)
    largest = max(each.peak_bytes for each in found.values())
    return [
        name,
        f"{len(found):,}",
        *(str(counts[reason] or "-") for reason in reasons),
        f"{1e3 * found[slowest].seconds:,.0f} ({os.fsdecode(os.path.basename(slowest))})",
        f"{largest / 1e6:,.0f}" if largest else "-",
    ]


def sets(folder):
    """Return the files of each set by its name."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in place.rglob("*") if path.is_file())
        if files:
            yield place.name, [os.fsencode(path) for path in files]


def verdict(found):
    """Check that each file has one answer, in bounded time and memory."""
    slow = sum(each.seconds > BARS["seconds"] for each in found.values())
    large = sum(each.peak_bytes - each.before_bytes > BARS["bytes"] for each in found.values())
    dead = sum(each.status in ("crashed", "timed-out") for each in found.values())
    return (
        f"{len(found):,} files, one answer each; over {BARS['seconds']:g} s: {slow}; "
        f"over the memory cap of {BARS['bytes'] >> 20:,} MB: {large}; processes ended: {dead}."
    )


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of folders of files")
    parser.add_argument("--workers", type=int, default=usable_cores())
    return parser.parse_args()


def main():
    arguments = options()
    by_set = {name: examine_all(files, arguments.workers) for name, files in sets(arguments.data)}
    everything = {path: each for found in by_set.values() for path, each in found.items()}
    seen = {each.status for each in everything.values()}
    reasons = [reason for reason in REASONS if reason in seen]
    print(f"# hostile_statuses\n\n{measure.surroundings()}")
    header = ["set", "files", *reasons, "slowest, ms", "peak, MB"]
    rows = [row(name, found, reasons) for name, found in {**by_set, "all": everything}.items()]
    print(measure.table(header, rows))
    print(verdict(everything))


if __name__ == "__main__":
    main()
