"""The cases of bench_index.py: the floor, `imgdup index`, the tutorial's pipeline, imagehash."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import floor
from measure import Cost, Speed, children_cpu_s

SOME_FAILED = 3  # exit code of imgdup: done, but some files gave no hash
IMAGEHASH_FILES = 1000  # at most; it is slow


class Collection(NamedTuple):
    name: str
    folder: Path
    part: Path  # a folder with copies of some of the files
    files: list[str]
    flags: list[int]  # of cv2.imdecode, for the reduction that indexing uses
    n_part: int


def one_round(collection, pools, scratch):
    """Measure all cases once, one after the other."""
    files = collection.files
    speeds = {}
    for n_workers, pool in pools.items():
        cost = floor.cost(pool, files, collection.flags)
        speeds[f"floor {n_workers}"] = Speed.of(cost, len(files))
        speeds |= indexing(collection, scratch, n_workers)
        speeds[f"tutorial {n_workers}"] = tutorial(collection, scratch, n_workers)
    for fixed in (1, 8):
        cost = floor.cost(pools[1], files, [floor.FLAGS[fixed]] * len(files))
        speeds[f"floor at 1/{fixed}"] = Speed.of(cost, len(files))
    if speed := imagehash(files):
        speeds["imagehash"] = speed
    return speeds


def indexing(collection, scratch, n_workers):
    """Measure `imgdup index`: whole process, steady state, and an update without changes."""
    whole, again = new_index(collection.folder, scratch, n_workers)
    part, _ = new_index(collection.part, scratch, n_workers)
    n_images = len(collection.files)
    return {
        f"whole {n_workers}": Speed.of(whole, n_images),
        f"steady {n_workers}": Speed.of(whole - part, n_images - collection.n_part),
        f"unchanged {n_workers}": Speed.of(again, 1),
    }


def new_index(folder, scratch, n_workers):
    """Measure building an index, and an update that finds nothing changed."""
    index = scratch / "index"
    shutil.rmtree(index, ignore_errors=True)
    command = index_command(folder, index, n_workers)
    first, output = run(command)
    counts = json.loads(output.splitlines()[-1])
    if counts["hashed"] == 0:
        raise SystemExit(f"nothing was hashed: {counts}")
    return first, run(command)[0]


def index_command(folder, index, n_workers):
    command = [sys.executable, "-m", "imgdup", "index", str(folder), "--index", str(index)]
    return [*command, "--workers", str(n_workers), "--json"]


def tutorial(collection, scratch, n_workers):
    script = Path(__file__).with_name("tutorial.py")
    arguments = [str(collection.folder), str(scratch / "hashes.pickle"), str(n_workers)]
    cost, _ = run([sys.executable, str(script), *arguments])
    return Speed.of(cost, len(collection.files))


def imagehash(files):
    """Measure imagehash.dhash on one core; None if it is not installed."""
    try:
        import imagehash
        from PIL import Image
    except ImportError:
        return None
    sample = files[:: max(1, len(files) // IMAGEHASH_FILES)]
    start, cpu = time.perf_counter(), time.process_time()
    for path in sample:
        with Image.open(path) as image:
            imagehash.dhash(image)
    cost = Cost(time.perf_counter() - start, time.process_time() - cpu)
    return Speed.of(cost, len(sample))


def run(command):
    """Measure a command from start to exit; also return its stdout."""
    start, cpu = time.perf_counter(), children_cpu_s()
    result = subprocess.run(command, capture_output=True)
    cost = Cost(time.perf_counter() - start, children_cpu_s() - cpu)
    if result.returncode not in (0, SOME_FAILED):
        raise SystemExit(f"{' '.join(command)}\n{result.stderr.decode(errors='replace')}")
    return cost, result.stdout


def peak_memory(command):
    """Return the peak memory of the parent and of all its processes, in MB; None without psutil."""
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
