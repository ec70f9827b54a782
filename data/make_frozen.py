"""Write the frozen index files of the current format version; run once, when a version is new.

    python data/make_frozen.py

They are committed, and tests open them for ever, so that every later version can read them
or reports that it cannot: ``store``, one file of arrays, and two index folders of pictures that are
not there, ``index`` and ``index-with-trimmed``, which has hashes of what flat borders enclose. What
they hold depends on nothing but this script.
"""

from pathlib import Path

import numpy as np

from imgdup.build.checkpoints import BatchSettings, Checkpoints, append_rows
from imgdup.build.listing import Listing
from imgdup.build.sources import Candidate
from imgdup.build.write import Facts, write_generation
from imgdup.images.formats import REASONS
from imgdup.index import folder, layout, store
from imgdup.index.columns import empty_columns
from imgdup.index.parts import ScanOptions
from imgdup.system.limits import Limits

ROOT = b"/photos"

HEAD = {
    "text": "a name that is no UTF-8: \udcff",
    "integer": -(1 << 40),
    "list": [1, "two", []],
    "dict": {"empty": {}, "largest": (1 << 64) - 1},
}


def arrays() -> dict[str, np.ndarray]:
    """One array of each admitted type, one of two dimensions, one empty."""
    every = {f"of {dtype[1:]}": np.arange(5).astype(dtype) for dtype in store.DTYPES}
    rows = np.arange(12, dtype="<u8").reshape(3, 4)
    return {**every, "of two dimensions": rows, "empty": np.zeros((0, 4), "<u8")}


def path() -> Path:
    """Name the file of the current format version."""
    return Path(__file__).parent / "indexes" / str(layout.FORMAT_VERSION) / "store"


def index_path(*, with_trimmed: bool = False) -> Path:
    """Name an index folder of the current format version."""
    return path().with_name("index-with-trimmed" if with_trimmed else "index")


def write_index(place: Path, *, with_trimmed: bool = False) -> None:
    """Write an index of six files: two of one hash, one under two names, one that failed."""
    folder.prepare(place)
    parameters = {
        "hash": "dhash", "bits": 64, "parameters": 1, "digest_kind": "blake3", "with_pdq": 1,
        "with_trimmed": int(with_trimmed),
    }  # fmt: skip
    names = [b"a.jpg", b"b/c.png", b"b/link.png", b"broken.jpg", b"odd-\xff.jpg", b"z.webp"]
    paths = [ROOT + b"/" + name for name in names]
    columns = empty_columns(len(paths), 1, with_pdq=True, with_trimmed=with_trimmed)
    if with_trimmed:
        columns["trimmed"][4] = [2, 0, 0, 1]
    columns["hashes"][:, 0] = [0, 1, 1, 0, 0b111, 1 << 63]
    columns["match"][:, 0] = [0, 3, 3, 0, 7, 1 << 40]
    columns["pdq"][:, 1] = [0, 5, 5, 0, 9, 1 << 50]
    columns["size"][:] = columns["mtime_ns"][:] = range(1000, 1006)
    columns["width"][:], columns["height"][:] = 640, 480
    columns["format"][:] = [1, 2, 2, 0, 1, 3]
    columns["quality"][:] = [100, 90, 90, 0, 49, 50]
    columns["status"][:] = [0, 0, 0, REASONS.index("truncated"), 0, 0]
    columns["digest"][:] = np.arange(16 * len(paths)).reshape(-1, 16)
    details = {3: "the JPEG file ends within its data"}
    settings = BatchSettings(place / "parts", parameters, Limits())
    name, first_row = append_rows(settings, 0, paths, columns, details)
    listing = Listing([ROOT], checkpoint_names=["", name])
    for row, file in enumerate(paths):
        inode = 7 if row in (1, 2) else 100 + row
        candidate = Candidate(file, 1000 + row, 1000 + row, 3, inode)
        listing.add(ROOT, candidate, 1, first_row + row)
    facts = Facts(listing, None, Checkpoints(place / "parts", parameters), parameters)
    write_generation(folder.generation_path(place, 1), facts, {ROOT: ScanOptions()})
    facts.checkpoints.sweep()
    folder.commit(place, folder.Current(1, "2026-01-01T00:00:00+00:00", "0.1.0", {}))


def main() -> None:
    """Write what is not there yet: what is frozen stays."""
    path().parent.mkdir(parents=True, exist_ok=True)
    if not path().exists():
        store.save(path(), HEAD, arrays())
    for with_trimmed in (False, True):
        place = index_path(with_trimmed=with_trimmed)
        if not place.exists():
            write_index(place, with_trimmed=with_trimmed)


if __name__ == "__main__":
    main()
