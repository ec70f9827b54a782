"""How fast is `imgdup index` on containers, compared with the same pictures as loose files?

    python benchmarks/bench_sources.py --images DIR [--rounds 5] [--scratch FOLDER]

The pictures are packed into ten tar shards, ten zip files, and Parquet files: ten with row groups
of 100 rows, and one as pyarrow writes it by default. All are in the page cache. Every ratio is one
of two whole processes of the same round, from start to exit, and so is that of the processor's
time.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BARS = {"tar": 0.9, "parquet": 0.85}
SHARDS = 10


def pack(images, scratch):
    """Pack the files of a folder in each way; return the folders by their names."""
    files = sorted(file for file in images.rglob("*") if file.is_file())
    places = {name: scratch / name for name in ("tar", "zip", "parquet", "one parquet")}
    for place in places.values():
        place.mkdir()
    size = -(-len(files) // SHARDS)
    for number in range(SHARDS):
        some = files[number * size : (number + 1) * size]
        with tarfile.open(
            places["tar"] / f"{number}.tar", "w", format=tarfile.USTAR_FORMAT
        ) as file:
            for each in some:
                file.add(each, each.relative_to(images))
        with zipfile.ZipFile(places["zip"] / f"{number}.zip", "w") as file:
            for each in some:
                file.write(each, each.relative_to(images))
        table = pa.table({"image": [picture(each, images) for each in some]})
        pq.write_table(table, places["parquet"] / f"{number}.parquet", row_group_size=100)
    table = pa.table({"image": [picture(each, images) for each in files]})
    pq.write_table(table, places["one parquet"] / "all.parquet")
    return {"folder": images, **places}


def picture(file, images):
    return {"bytes": file.read_bytes(), "path": str(file.relative_to(images))}


def run(place, index):
    """Index a folder from nothing; return seconds, and seconds of the processor."""
    shutil.rmtree(index, ignore_errors=True)
    command = [sys.executable, "-m", "imgdup", "index", "--containers", "--quiet"]
    before, start = os.times(), time.monotonic()
    subprocess.run([*command, "--index", str(index), str(place)], check=True)
    seconds, after = time.monotonic() - start, os.times()
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        places = pack(options.images, Path(scratch))
        rounds = []
        for _ in range(options.rounds + 1):  # the first warms the cache
            rounds.append({n: run(place, Path(scratch) / "index") for n, place in places.items()})
    print(
        "| source | s | speed / folder's | CPU, folder's / its own | bar |\n|---|---|---|---|---|"
    )
    for name in places:
        seconds = statistics.median(each[name][0] for each in rounds[1:])
        speed, cpu = (sorted(e["folder"][i] / e[name][i] for e in rounds[1:]) for i in (0, 1))
        shown = " | ".join(
            f"{statistics.median(r):.2f} ({r[0]:.2f}-{r[-1]:.2f})" for r in (speed, cpu)
        )
        print(f"| {name} | {seconds:.2f} | {shown} | {BARS.get(name, '-')} |")


if __name__ == "__main__":
    main()
