"""How fast is `imgdup index`, compared with the floor, the tutorial's pipeline and imagehash?

    python benchmarks/bench_index.py --images DIR [--rounds 5] [--scratch FOLDER]

The floor is reading each file and decoding it to gray at exactly the reduction that indexing
uses: no program that looks at every picture this way can be faster. Every ratio is one of two
figures of the same round; medians, smallest and largest are printed. Files are in the page cache.

Whole process is the command from start to exit. Steady state is what one more picture costs: the
whole collection less a fifth of it, copied, both from start to exit. CPU is the processor's time
of all processes together: it hardly depends on what else the machine does.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import cases
import floor
import measure
import painted

from imgdup.system.limits import usable_cores

PART = 5  # every fifth file is in the part that steady state subtracts


class Bars(NamedTuple):
    """The targets for a collection; None where there is no target."""

    steady: float | None = None  # of the floor
    scaling: float | None = None  # of the floor's own
    tutorial: float | None = None
    imagehash: float | None = None


def speed_rows(results, most):
    """Return images per second and CPU milliseconds per image for each case."""
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
            rates = [speed.per_s for speed in results[key]]
            shown = measure.median(rates, "{:,.0f}" if min(rates) >= 100 else "{:.1f}")
            yield name, shown, measure.median([each.cpu_ms for each in results[key]], "{:.2f}")
    if "imagehash" not in results:
        yield "(d) imagehash.dhash: skipped, not installed (pip install imagehash)", "-", "-"


def ratio_rows(results, most, bars):
    """Return the name, the ratio and the target of each comparison."""
    rates = {name: [speed.per_s for speed in speeds] for name, speeds in results.items()}
    cpu = {name: [speed.cpu_ms for speed in speeds] for name, speeds in results.items()}
    of = measure.ratio
    rows = [
        ("steady state / floor, 1 worker", of(rates["steady 1"], rates["floor 1"]), bars.steady),
        ("the same in CPU", of(cpu["floor 1"], cpu["steady 1"]), None),
    ]
    if most > 1:
        share = of(rates[f"steady {most}"], rates[f"floor {most}"])
        rows.append((f"steady state / floor, {most} workers", share, bars.steady))
        rows.append(("the same in CPU", of(cpu[f"floor {most}"], cpu[f"steady {most}"]), None))
        ours = of(rates[f"steady {most}"], rates["steady 1"])
        floors = of(rates[f"floor {most}"], rates["floor 1"])
        rows.append((f"scaling to {most} workers / the floor's", of(ours, floors), bars.scaling))
    whole = of(rates[f"whole {most}"], rates[f"tutorial {most}"])
    rows.append((f"whole process / tutorial's, {most} workers", whole, bars.tutorial))
    if "imagehash" in results:
        each = of(rates["steady 1"], rates["imagehash"])
        rows.append(("steady state / imagehash.dhash, 1 core", each, bars.imagehash))
    return [(name, measure.median(r, "{:.2f}"), measure.verdict(r, bar)) for name, r, bar in rows]


def report(collection, bars, results, most):
    """Print the Markdown of one collection."""
    print(f"\n## {collection.name}: {len(collection.files):,} pictures\n")
    shown = "median (least to most)"
    rates = ["", f"images/s, {shown}", f"CPU ms an image, {shown}"]
    print(measure.table(rates, speed_rows(results, most)))
    rows = ratio_rows(results, most, bars)
    print(measure.table(["ratio", shown, "to reach"], rows))
    again = [1 / speed.per_s for speed in results[f"unchanged {most}"]]
    print(f"Update with nothing changed, whole process: {measure.median(again, '{:.2f}')} s.")


def report_memory(collection, scratch, n_workers):
    index = scratch / "index"
    shutil.rmtree(index, ignore_errors=True)
    peak = cases.peak_memory(cases.index_command(collection.folder, index, n_workers))
    if peak is None:
        print("Peak memory: not measured, psutil is not installed.")
    else:
        print(f"Peak memory, {n_workers} workers: parent {peak[0]:.0f} MB, all {peak[1]:.0f} MB.")


def collect(name, folder, scratch):
    """List the files of a collection, copy every fifth to another folder, and warm the cache."""
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    part = scratch / "part" / folder.name
    part.mkdir(parents=True, exist_ok=True)
    chosen = files[::PART]
    for number, path in enumerate(chosen):
        shutil.copy(path, part / f"{number}-{os.path.basename(path)}")
    flags = [floor.FLAGS[floor.reduction(Path(path).read_bytes())] for path in files]
    return cases.Collection(name, folder, part, files, flags, len(chosen))


def collections(arguments, scratch):
    """Return the requested collections with their targets."""
    if arguments.images:
        bars = Bars(steady=0.75, scaling=0.93, tutorial=1.3, imagehash=3.5)
        yield collect(arguments.images.name, arguments.images, scratch), bars
    if arguments.photos:
        painted.paint_large(scratch / "large", arguments.photos)
        yield collect("12-megapixel photos", scratch / "large", scratch), Bars(steady=0.93)
    if arguments.sizes:
        painted.paint_sizes(scratch / "sizes", arguments.sizes)
        yield collect("as many sizes as pictures", scratch / "sizes", scratch), Bars(tutorial=1.3)


def warm_pools(workers):
    """Make pools of processes that have imported the modules of the floor."""
    context = multiprocessing.get_context("spawn")
    pools = {n_workers: context.Pool(n_workers) for n_workers in workers}
    for n_workers, pool in pools.items():
        pool.map(floor.read_and_decode, [[]] * 8 * n_workers)
    return pools


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
    workers = sorted({1, arguments.workers})
    pools = warm_pools(workers)
    print(f"# bench_index\n\n{measure.surroundings()}")
    for collection, bars in collections(arguments, scratch):
        case = collection, pools, scratch
        results = measure.rounds(arguments.rounds, lambda case=case: cases.one_round(*case))
        report(collection, bars, results, workers[-1])
        report_memory(collection, scratch, workers[-1])
    if not arguments.scratch:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
