"""Do two threads of one process hash faster than one? Decoding releases the interpreter's lock.

    python benchmarks/bench_threads.py [--data FOLDER] [--files N] [--runs N]

FOLDER holds caltech-101 (default: $IMGDUP_DATA). One and two threads alternate; the ratio of the
medians of their times, with the spread, and the seconds of the processor that each took.
"""

import argparse
import os
import statistics
import threading
import time
from pathlib import Path

from imgdup import hash_image


def hash_all(files):
    for data in files:
        hash_image(data)


def hash_by(n_threads, files):
    """Measure the seconds that this number of threads needs for all files."""
    shares = [files[i::n_threads] for i in range(n_threads)]
    threads = [threading.Thread(target=hash_all, args=(share,)) for share in shares]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IMGDUP_DATA"))
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or IMGDUP_DATA must name the folder of photos")
    paths = sorted((options.data / "caltech-101").rglob("*.jpg"))[: options.files]
    files = [path.read_bytes() for path in paths]
    hash_by(1, files[:50])
    times = {1: [], 2: []}
    for _ in range(options.runs):
        for n_threads, times_s in times.items():
            times_s.append(hash_by(n_threads, files))
    for n_threads, times_s in times.items():
        spread = f"{min(times_s):.2f} to {max(times_s):.2f}"
        print(f"{n_threads} thread(s): {statistics.median(times_s):.2f} s ({spread})")
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    print(f"{len(files)} files, {options.runs} runs: two threads are {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
