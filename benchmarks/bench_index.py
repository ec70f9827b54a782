"""How fast is `imgdup index`, beside the floor, the tutorial's pipeline and imagehash?

    python benchmarks/bench_index.py --images DIR [--rounds 5] [--scratch FOLDER]

The floor is reading each file and decoding it to grey at exactly the reduction that indexing
takes: no program that looks at every picture this way can be faster. Every ratio is one of two
figures of the same round; shown are medians, smallest and largest. Files come from the page cache.

Whole process is the command from start to exit. Steady state is what one more picture costs: the
whole collection less a fifth of it, copied, both from start to exit.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import floor
import measure
import painted

from imgdup.cores import usable_cores

PART = 5  # every fifth file is in the part that steady state subtracts
SOME_FAILED = 3  # exit code of imgdup: done, but some files gave no hash
IMAGEHASH_FILES = 1000  # at most; it is slow


class Bars(NamedTuple):
    """What is to be reached on a collection; None where nothing is asked."""

    steady: float | None = None  # of the floor
    scaling: float | None = None  # of the floor's own
    tutorial: float | None = None
    imagehash: float | None = None


class Collection(NamedTuple):
    name: str
    folder: Path
    part: Path
    files: list[str]
    n_part: int
    bars: Bars


def run(command):
    """Seconds from start to exit, and stdout."""
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True)
    seconds = time.perf_counter() - start
    if result.returncode not in (0, SOME_FAILED):
        raise SystemExit(f"{' '.join(command)}\n{result.stderr.decode(errors='replace')}")
    return seconds, result.stdout


def index_command(folder, index, n_workers):
    command = [sys.executable, "-m", "imgdup", "index", str(folder), "--index", str(index)]
    return [*command, "--workers", str(n_workers), "--json"]


def index_seconds(folder, scratch, n_workers):
    """Seconds of the whole process that makes a new index, and of one that finds it unchanged."""
    index = scratch / "index"
    shutil.rmtree(index, ignore_errors=True)
    first_s, output = run(index_command(folder, index, n_workers))
    counts = json.loads(output.splitlines()[-1])
    if counts["hashed"] == 0:
        raise SystemExit(f"nothing was hashed: {counts}")
    again_s, _ = run(index_command(folder, index, n_workers))
    return first_s, again_s


def index_round(collection, scratch, n_workers):
    whole_s, again_s = index_seconds(collection.folder, scratch, n_workers)
    part_s, _ = index_seconds(collection.part, scratch, n_workers)
    n_images = len(collection.files)
    return {
        f"whole {n_workers}": n_images / whole_s,
        f"steady {n_workers}": (n_images - collection.n_part) / (whole_s - part_s),
        f"unchanged {n_workers}": again_s,
    }


def tutorial_rate(collection, scratch, n_workers):
    script = Path(__file__).with_name("tutorial.py")
    arguments = [str(collection.folder), str(scratch / "hashes.pickle"), str(n_workers)]
    seconds, _ = run([sys.executable, str(script), *arguments])
    return len(collection.files) / seconds


def imagehash_rate(files):
    """Images a second of imagehash.dhash on one core; None where it is not installed."""
    try:
        import imagehash
        from PIL import Image
    except ImportError:
        return None
    sample = files[:: max(1, len(files) // IMAGEHASH_FILES)]
    start = time.perf_counter()
    for path in sample:
        with Image.open(path) as image:
            imagehash.dhash(image)
    return len(sample) / (time.perf_counter() - start)


def one_round(collection, pools, scratch):
    """All cases once, one after the other."""
    files = collection.files
    taken = [floor.FLAGS[floor.reduction(Path(path).read_bytes())] for path in files]
    values = {}
    for n_workers, pool in pools.items():
        values[f"floor {n_workers}"] = floor.rate(pool, files, taken)
        values |= index_round(collection, scratch, n_workers)
        values[f"tutorial {n_workers}"] = tutorial_rate(collection, scratch, n_workers)
    for fixed in (1, 8):
        values[f"floor at 1/{fixed}"] = floor.rate(
            pools[1], files, [floor.FLAGS[fixed]] * len(files)
        )
    if rate := imagehash_rate(files):
        values["imagehash"] = rate
    return values


def rate_rows(results, most):
    """Images a second of each case."""
    names = {
        "floor 1": "(a) floor: read and decode as indexing does, 1 process",
        "floor at 1/1": "floor at full size, 1 process",
        "floor at 1/8": "floor at 1/8, 1 process",
        f"floor {most}": f"(a) floor, {most} processes",
        "steady 1": "(b) imgdup index, 1 worker, steady state",
        f"steady {most}": f"(b) imgdup index, {most} workers, steady state",
        "whole 1": "(b) imgdup index, 1 worker, whole process",
        f"whole {most}": f"(b) imgdup index, {most} workers, whole process",
        "tutorial 1": "(c) tutorial's pipeline, 1 process, whole process",
        f"tutorial {most}": f"(c) tutorial's pipeline, {most} processes, whole process",
        "imagehash": "(d) imagehash.dhash, 1 process",
    }
    for key, name in names.items():
        if key in results:
            yield name, measure.median(results[key])
    if "imagehash" not in results:
        yield "(d) imagehash.dhash: skipped, not installed (pip install imagehash)", "-"


def ratios(results, most, bars):
    """(what, ratios, what is to be reached) for each question."""
    of = measure.ratio
    steady, many = results["steady 1"], results[f"steady {most}"]
    whole, tutorial = results[f"whole {most}"], results[f"tutorial {most}"]
    rows = [("steady state / floor, 1 worker", of(steady, results["floor 1"]), bars.steady)]
    if most > 1:
        floors = of(results[f"floor {most}"], results["floor 1"])
        share = of(many, results[f"floor {most}"])
        rows += [
            (f"steady state / floor, {most} workers", share, bars.steady),
            (
                f"scaling to {most} workers / the floor's",
                of(of(many, steady), floors),
                bars.scaling,
            ),
        ]
    rows.append((f"whole process / tutorial's, {most} workers", of(whole, tutorial), bars.tutorial))
    if "imagehash" in results:
        each = of(steady, results["imagehash"])
        rows.append(("steady state / imagehash.dhash, 1 core", each, bars.imagehash))
    return rows


def report(collection, results, most):
    """The Markdown of one collection."""
    print(f"\n## {collection.name}: {len(collection.files):,} pictures\n")
    print(measure.table(["images/s", "median (least to most)"], rate_rows(results, most)))
    rows = [
        (name, measure.median(values, "{:.2f}"), measure.verdict(values, bar))
        for name, values, bar in ratios(results, most, collection.bars)
    ]
    print(measure.table(["times", "median (least to most)", "to reach"], rows))
    again = measure.median(results[f"unchanged {most}"], "{:.2f}")
    print(f"Update with nothing changed, whole process: {again} s.")


def peak_memory(command):
    """Peak of the parent and of all processes together in MB, sampled; None without psutil."""
    try:
        import psutil
    except ImportError:
        return None
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parent, together = 0, 0
    while process.poll() is None:
        try:
            own = process.memory_info().rss
            others = process.children(recursive=True)
            total = own + sum(other.memory_info().rss for other in others)
        except psutil.Error:
            continue
        parent, together = max(parent, own), max(together, total)
        time.sleep(0.01)
    return parent / 1e6, together / 1e6


def report_memory(collection, scratch, n_workers):
    index = scratch / "index"
    shutil.rmtree(index, ignore_errors=True)
    peak = peak_memory(index_command(collection.folder, index, n_workers))
    if peak is None:
        print("Peak memory: not measured, psutil is not installed.")
    else:
        print(f"Peak memory, {n_workers} workers: parent {peak[0]:.0f} MB, all {peak[1]:.0f} MB.")


def collect(name, folder, scratch, bars):
    """List a collection's files, copy every fifth into a folder of its own, warm the cache."""
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    part = scratch / "part" / folder.name
    part.mkdir(parents=True, exist_ok=True)
    chosen = files[::PART]
    for number, path in enumerate(chosen):
        shutil.copy(path, part / f"{number}-{os.path.basename(path)}")
    for path in files:
        Path(path).read_bytes()
    return Collection(name, folder, part, files, len(chosen), bars)


def collections(arguments, scratch):
    if arguments.images:
        bars = Bars(steady=0.70, scaling=0.93, tutorial=1.0, imagehash=4.0)
        yield collect(arguments.images.name, arguments.images, scratch, bars)
    if arguments.photos:
        painted.paint_large(scratch / "large", arguments.photos)
        bars = Bars(steady=0.90)
        yield collect("12-megapixel photos", scratch / "large", scratch, bars)
    if arguments.sizes:
        painted.paint_sizes(scratch / "sizes", arguments.sizes)
        yield collect("pictures of as many sizes", scratch / "sizes", scratch, Bars())


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of real photos")
    parser.add_argument("--photos", type=int, default=40, help="12-megapixel photos to paint")
    parser.add_argument("--sizes", type=int, default=2000, help="pictures of many sizes to paint")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=usable_cores(), help="besides 1")
    parser.add_argument("--scratch", type=Path, help="where to paint and index; kept")
    return parser.parse_args()


def main():
    arguments = options()
    scratch = arguments.scratch or Path(tempfile.mkdtemp(prefix="bench-index-"))
    scratch.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    workers = sorted({1, arguments.workers})
    pools = {n_workers: context.Pool(n_workers) for n_workers in workers}
    print(f"# bench_index\n\n{measure.surroundings()}")
    for collection in collections(arguments, scratch):
        case = collection, pools, scratch
        results = measure.rounds(arguments.rounds, lambda case=case: one_round(*case))
        report(collection, results, workers[-1])
        report_memory(collection, scratch, workers[-1])
    if not arguments.scratch:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
