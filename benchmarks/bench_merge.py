"""How long does it take to merge the parts of a large folder, and in how much memory?

The parts are synthetic; the merge is the program's own and runs in a process of its own. "Folders"
are parts of whole folders of 1,000 files, "flat" has all files in one folder, so that neighbouring
rows come from different parts.

    python benchmarks/bench_merge.py --files 1000000 4000000
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgdup import __version__
from imgdup.build.merge import merge_indexes
from imgdup.build.write import write_generation
from imgdup.hashing import PARAMETERS_VERSION
from imgdup.index import folder
from imgdup.index.columns import fields
from imgdup.index.generation import ScanOptions
from imgdup.index.parts import Part, number_of
from imgdup.index.paths import PathsBuilder

ROOT = b"/data/photos"
N_PARTS = 7
FOLDER_FILES = 1000
SAMPLE_S = 0.01  # between two looks at the memory


class MadeTable:
    """Rows with random hashes, digests and inodes, as `write_generation` takes them."""

    def __init__(self, names: Sequence[bytes], seed: int) -> None:
        rng = np.random.default_rng(seed)
        builder = PathsBuilder([ROOT])
        for name in names:
            builder.append(ROOT, ROOT + b"/" + name)
        self._paths, self._n = builder.paths(), len(names)
        self.parameters = {
            "hash": "dhash", "bits": 64, "parameters": PARAMETERS_VERSION,
            "digest_kind": "blake3", "with_pdq": 0,
        }  # fmt: skip
        self.fields = fields(1)
        self.mode = 0o644
        self._columns = {}
        for name, (dtype, shape) in self.fields.items():
            column = np.zeros((self._n, *shape), dtype)
            if name in ("digest", "match", "hashes"):
                column = np.frombuffer(rng.bytes(column.nbytes), dtype).reshape(column.shape)
            self._columns[name] = column
        self._identity = np.full((self._n, 2), 5, np.uint64)
        self._identity[:, 1] = rng.permutation(self._n) + (seed << 32) + 1
        self.same_file = np.full(self._n, -1, np.int64)

    def __len__(self) -> int:
        return self._n

    def path_arrays(self) -> Any:
        return self._paths.arrays()

    def identity_blocks(self) -> Iterator[Any]:
        yield self._identity

    def gather(self, field: str, start: int = 0, stop: int | None = None) -> Any:
        return self._columns[field][start:stop]

    def failures(self, status: Any) -> dict[int, str]:
        return {}


def make_parts(place: Path, n_files: int, *, flat: bool) -> None:
    names: list[list[bytes]] = [[] for _ in range(N_PARTS)]
    for i in range(n_files):
        name = b"%09d.jpg" % i if flat else b"n%06d/image_%09d.jpg" % (i // FOLDER_FILES, i)
        names[number_of(name.partition(b"/")[0], N_PARTS) - 1].append(name)
    for number, own in enumerate(names, 1):
        part = place / f"part{number}"
        folder.prepare(part)
        roots = {ROOT: ScanOptions(part=Part((number,), N_PARTS))}
        write_generation(folder.generation_path(part, 1), MadeTable(own, number), roots)
        folder.commit(part, folder.Current(1, "2026-01-01T00:00:00+00:00", __version__, {}))


def anonymous_mb() -> float:
    """Memory of this process that is not mapped from a file."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def merge(place: Path) -> None:
    """Merge the parts in `place`, and print rows, CPU seconds and the peak of memory."""
    base, peak = anonymous_mb(), 0.0

    def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, anonymous_mb())
            time.sleep(SAMPLE_S)

    threading.Thread(target=watch, daemon=True).start()
    started = time.process_time()
    merged = merge_indexes(sorted(place.glob("part*")), place / "merged", replace=True)
    cpu_s, n_mb = time.process_time() - started, peak - base
    a_row = n_mb * 2**20 / merged.n_rows
    print(f"{merged.n_rows:,} | {cpu_s:.1f} | {n_mb:.0f} | {a_row:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--merge", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.merge:
        return merge(options.merge)
    print(
        "| parts | rows | CPU, s | memory, MB | bytes a row |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for n_files in options.files:
        for flat in (False, True):
            with tempfile.TemporaryDirectory() as place:
                make_parts(Path(place), n_files, flat=flat)
                print("| flat" if flat else "| folders", end=" | ", flush=True)
                subprocess.run([sys.executable, __file__, "--merge", place], check=True)
    return None


if __name__ == "__main__":
    main()
