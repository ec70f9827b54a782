"""How much memory does the parent process need for millions of files?

Synthetic checkpoints replace the answers of the workers, and a synthetic walk the disk; the
listing, the merge, the writing and the tree are the program's own. Each size
runs in a process of its own.

    python benchmarks/bench_memory.py --files 1000000 5000000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PART_FILES = 1000
FOLDER_FILES = 1000
MTIME_NS = 1_600_000_000_123_456_789
BASE_MB, BYTES_A_FILE = 150, 150  # the bar: parent <= 150 MB + 150 bytes a file


def name(i: int) -> bytes:
    """Return a path of about 40 bytes, as in ImageNet; it ascends with i."""
    folder = i // FOLDER_FILES
    return b"n%08d/n%08d_%010d_image.JPEG" % (folder, folder, i)


def write_parts(place: Path, root: bytes, n_files: int, rng: np.random.Generator) -> None:
    from imgdup.build.checkpoints import BatchSettings, append_rows
    from imgdup.hashing import PARAMETERS_VERSION
    from imgdup.index import folder
    from imgdup.index.columns import empty_columns
    from imgdup.system.files import NEW_DIGEST_KIND
    from imgdup.system.limits import Limits

    folder.prepare(place)
    parameters = {
        "hash": "dhash",
        "bits": 64,
        "parameters": PARAMETERS_VERSION,
        "digest_kind": NEW_DIGEST_KIND,
        "with_pdq": 0,
        "with_trimmed": 1,
    }
    settings = BatchSettings(place / "parts", parameters, Limits())
    for start in range(0, n_files, PART_FILES):
        n = min(PART_FILES, n_files - start)
        columns = empty_columns(n, 1, with_trimmed=True)
        columns["size"][:] = np.arange(start, start + n)
        columns["mtime_ns"][:] = MTIME_NS
        columns["quality"][:] = 100
        columns["hashes"][:] = rng.integers(0, 2**64, (n, 1), np.uint64)
        columns["match"][:] = rng.integers(0, 2**64, (n, 4), np.uint64)
        columns["digest"][:] = rng.integers(0, 256, (n, 16), np.uint8)
        paths = [root + b"/" + name(i) for i in range(start, start + n)]
        append_rows(settings, time.time_ns(), paths, columns, {})


def merge(place: Path, root: bytes, n_files: int) -> None:
    """Run the update of the program on the checkpoints, and print time and memory."""
    import resource

    from imgdup.build import listing
    from imgdup.build.sources import Candidate
    from imgdup.build.update import update_index

    listing.walk = lambda *_: (
        Candidate(root + b"/" + name(i), i, MTIME_NS, 1, i + 1) for i in range(n_files)
    )
    started = time.perf_counter()
    outcome = update_index(place, [root])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    bar = BASE_MB * 10**6 + BYTES_A_FILE * n_files
    if outcome.hashed != n_files:
        raise SystemExit(f"expected {n_files} rows, got {outcome.hashed}")
    size = sum(f.stat().st_size for f in place.glob("index.*"))
    print(
        f"| {n_files:,} | {peak / 1e6:,.0f} MB | {bar / 1e6:,.0f} MB | {peak / bar:.2f} "
        f"| {size / n_files:.0f} B | {seconds:.1f} s |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--merge", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.merge:
        place, root, n_files = options.merge
        merge(Path(place), os.fsencode(root), int(n_files))
        return
    print(f"seed {options.seed}; {PART_FILES} files a part\n", flush=True)
    print("| files | parent's peak | bar | peak / bar | file a row | merge and build |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for n_files in options.files:
        with tempfile.TemporaryDirectory() as scratch:
            root, place = os.path.join(os.path.realpath(scratch), "photos"), Path(scratch, "index")
            os.mkdir(root)
            rng = np.random.default_rng(options.seed)
            write_parts(place, os.fsencode(root), n_files, rng)
            command = [sys.executable, __file__, "--merge", str(place), root, str(n_files)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
