"""What do `query --verify` and `pairs --verify` cost on many files, beside what they do without?

    python benchmarks/bench_verified.py [--data FOLDER] [--files 90000] [--probes 200]
        [--only query|pairs ...]

FOLDER holds caltech-101 (default: $IMGDUP_DATA). Each of its photos is cut in four; each part is
saved, and once or twice again, smaller or brighter, until there are enough files. Probes are some
of the brighter ones. Each command runs in a process of its own, first without --verify, then with
it, without and with verdicts of an earlier run; at last dedupe, which compares the same candidates.
CPU seconds are those of all processes; memory is the peak of the largest process.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import surroundings, table
from PIL import Image, ImageEnhance

from imgdup.index.folder import FACTS, VERDICTS

COMMANDS = {"query": ["query", "{probes}"], "pairs": ["pairs"]}


def paint(photos, folder, n_files):
    """Save parts of photos and copies of them; return the brighter copies."""
    brighter, n_saved = [], 0
    for number, path in enumerate(photos):
        inner = folder / f"{number // 100:03d}"
        inner.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            photo = image.convert("RGB")
        width, height = (max(2, side // 2) for side in photo.size)
        for place in range(4):
            left, top = place % 2 * width, place // 2 * height
            part = photo.crop((left, top, left + width, top + height))
            name = inner / f"{number:05d}-{place}"
            part.save(f"{name}-a.jpg", quality=90)
            part.resize((width * 3 // 4, height * 3 // 4)).save(f"{name}-b.jpg", quality=80)
            if place % 2:
                brighter.append(Path(f"{name}-c.jpg"))
                ImageEnhance.Brightness(part).enhance(1.15).save(brighter[-1], quality=85)
            n_saved += 2 + place % 2
        if n_saved >= n_files:
            break
    return brighter


def run(*arguments):
    """Run imgdup; return CPU and wall seconds, the peak of memory in MB, and the lines printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = "import resource, sys\nfrom imgdup.cli import main\nmain(sys.argv[1:])\n"
    code += "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
    code += "    print(resource.getrusage(who).ru_maxrss, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = max(map(int, done.stderr.split()[-2:])) / 1024
    return cpu, wall, peak, done.stdout.count(b"\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IMGDUP_DATA"))
    parser.add_argument("--files", type=int, default=90_000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or IMGDUP_DATA must name the folder of photos")
    print(surroundings())
    with tempfile.TemporaryDirectory() as scratch:
        files, probes, index = (Path(scratch) / name for name in ("files", "probes", "index"))
        brighter = paint(
            sorted((options.data / "caltech-101").rglob("*.jpg")), files, options.files
        )
        probes.mkdir()
        for path in brighter[:: max(1, len(brighter) // options.probes)][: options.probes]:
            shutil.copy(path, probes)
        place = ["--index", str(index)]
        run("index", str(files), *place)
        rows = []
        for name in options.only:
            command = [each.format(probes=probes) for each in COMMANDS[name]]
            plain = run(*command, *place)
            for kept in (VERDICTS, FACTS):
                (index / kept).unlink(missing_ok=True)
            found = {
                name: plain,
                f"{name} --verify": run(*command, "--verify", *place),
                f"{name} --verify, verdicts known": run(*command, "--verify", *place),
            }
            if name == "pairs":
                for kept in (VERDICTS, FACTS):
                    (index / kept).unlink(missing_ok=True)
                plan = str(Path(scratch) / "plan")
                found["dedupe"] = run("dedupe", "--plan", plan, *place)
            for title, (cpu, wall, peak, n_lines) in found.items():
                share = f"{cpu / plain[0]:.1f}"
                rows.append(
                    [title, f"{cpu:.1f}", share, f"{wall:.1f}", f"{peak:.0f}", f"{n_lines:,}"]
                )
        print(table(["command", "CPU s", "ratio", "wall s", "peak MB", "lines"], rows))


if __name__ == "__main__":
    main()
