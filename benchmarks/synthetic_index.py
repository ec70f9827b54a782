"""An index folder of pictures that are not there, for benchmarks of what indexes do at any size."""

from pathlib import Path

import numpy as np

from imgdup import __version__
from imgdup.build.checkpoints import BatchSettings, Checkpoints, append_rows
from imgdup.build.listing import Listing
from imgdup.build.sources import Candidate
from imgdup.build.write import Facts, write_generation
from imgdup.hashing import PARAMETERS_VERSION
from imgdup.index import folder
from imgdup.index.columns import empty_columns
from imgdup.index.parts import ScanOptions
from imgdup.system.files import NEW_DIGEST_KIND
from imgdup.system.limits import Limits

ROOT = b"/photos"
FOLDER_FILES = 1000


def write(place: Path, hashes: np.ndarray, match: np.ndarray) -> None:
    """Write an index with these 64-bit and match hashes, one a row, by the program's own code."""
    n = len(hashes)
    parameters = {
        "hash": "dhash",
        "bits": 64,
        "parameters": PARAMETERS_VERSION,
        "digest_kind": NEW_DIGEST_KIND,
        "with_pdq": 0,
        "with_trimmed": 0,
    }
    folder.prepare(place)
    settings = BatchSettings(place / "parts", parameters, Limits())
    listing = Listing([ROOT])
    for start in range(0, n, FOLDER_FILES):
        rows = range(start, min(start + FOLDER_FILES, n))
        paths = [b"%s/%05d/%09d.jpg" % (ROOT, row // FOLDER_FILES, row) for row in rows]
        columns = empty_columns(len(rows), 1, with_trimmed=True)
        columns |= {
            "hashes": hashes[rows.start : rows.stop],
            "match": match[rows.start : rows.stop],
        }
        columns["quality"][:] = 100
        name, first_row = append_rows(settings, 0, paths, columns, {})
        number = listing.checkpoint_number(name)
        for i, path in enumerate(paths):
            listing.add(ROOT, Candidate(path, 0, 0, 0, 0), number, first_row + i)
    facts = Facts(listing, None, Checkpoints(place / "parts", parameters), parameters)
    write_generation(folder.generation_path(place, 1), facts, {ROOT: ScanOptions()})
    facts.checkpoints.sweep()
    folder.commit(place, folder.Current(1, "2000-01-01T00:00:00+00:00", __version__, {}))
