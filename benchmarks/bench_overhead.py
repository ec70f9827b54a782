"""What do the protections of `imgdup index` cost: watchdog, memory caps, content digests?

    python benchmarks/bench_overhead.py --images DIR [--rounds 7] [--workers N]

Every run is a process of its own that indexes the whole folder, from start to exit, with all
protections, without one of them, or without any (`disarmed.py`); all kinds of run in turn, so that
a busy moment hits them all. A ratio is one of two figures of the same round. CPU is the processor's
time of all processes together: it hardly depends on what else the machine does.
Files are in the page cache.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import disarmed
import measure
from cases import run

from imgdup.system.limits import usable_cores

BAR = 1.10  # all protections together / none
CASES = {
    "none": tuple(disarmed.PROTECTIONS),
    **{f"all but {name}": (name,) for name in disarmed.PROTECTIONS},
    "all": (),
}


def one_round(folder, n_workers, scratch):
    """Measure each kind of run once."""
    costs = {}
    for name, switched_off in CASES.items():
        place = scratch / "index"
        shutil.rmtree(place, ignore_errors=True)
        order = [str(folder), str(place), str(n_workers), ",".join(switched_off)]
        costs[name], output = run([sys.executable, __file__, "--run", *order])
        if int(output) == 0:
            raise SystemExit(f"nothing was hashed in {folder}")
    return costs


def rows(results):
    """Return seconds, and ratios to a run without protection, for each kind of run."""
    for name, costs in results.items():
        wall = measure.ratio([c.wall_s for c in costs], [c.wall_s for c in results["none"]])
        cpu = measure.ratio([c.cpu_s for c in costs], [c.cpu_s for c in results["none"]])
        yield (
            name,
            measure.median([cost.wall_s for cost in costs], "{:.2f}"),
            measure.median(wall, "{:.3f}"),
            measure.median([cost.cpu_s for cost in costs], "{:.2f}"),
            measure.median(cpu, "{:.3f}"),
        )


def report(results):
    """Print the table and whether the target is reached."""
    header = ["protections", "s", "/ none", "CPU s", "/ none"]
    print("Medians (least to most).\n")
    print(measure.table(header, rows(results)))
    for name in ("wall_s", "cpu_s"):
        above = [getattr(cost, name) for cost in results["all"]]
        ratios = measure.ratio(above, [getattr(cost, name) for cost in results["none"]])
        reached = "reached" if statistics.median(ratios) <= BAR else "**missed**"
        print(f"All / none in {name}: {statistics.median(ratios):.3f}; at most {BAR:g}: {reached}.")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of pictures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)  # one run, in this process
    return parser.parse_args()


def main():
    arguments = options()
    if arguments.run:
        folder, place, n_workers, off = arguments.run
        print(
            disarmed.index(folder, place, int(n_workers), [each for each in off.split(",") if each])
        )
        return
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as scratch:
        case = arguments.images, arguments.workers, Path(scratch)
        results = measure.rounds(arguments.rounds, lambda: one_round(*case))
    print(f"# bench_overhead\n\n{measure.surroundings()}")
    n_files = sum(path.is_file() for path in arguments.images.rglob("*"))
    print(f"{arguments.images.name}: {n_files:,} files, {arguments.workers} workers.\n")
    report(results)


if __name__ == "__main__":
    main()
