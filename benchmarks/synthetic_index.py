"""An index folder of pictures that are not there, for benchmarks of what indexes do at any size."""

from pathlib import Path

import numpy as np

from imgdup import __version__
from imgdup.build.checkpoints import write_checkpoint
from imgdup.build.listing import Listing
from imgdup.build.sources import Candidate
from imgdup.build.write import Facts, write_generation
from imgdup.hashing import PARAMETERS_VERSION
from imgdup.index import folder
from imgdup.index.columns import empty_columns
from imgdup.index.generation import ScanOptions
from imgdup.system.files import NEW_DIGEST_KIND

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
    }
    columns = empty_columns(n, 1) | {"hashes": hashes, "match": match}
    columns["quality"][:] = 100
    paths = [b"%s/%05d/%09d.jpg" % (ROOT, row // FOLDER_FILES, row) for row in range(n)]

    folder.prepare(place)
    checkpoint = write_checkpoint(
        place / "parts", {**parameters, "hashed_ns": 0}, paths, columns, {}
    )
    listing = Listing([ROOT], checkpoint_names=["", checkpoint])
    for row, path in enumerate(paths):
        listing.add(ROOT, Candidate(path, 0, 0, 0, 0), 1, row)
    facts = Facts(listing, None, place / "parts", parameters)
    write_generation(folder.generation_path(place, 1), facts, {ROOT: ScanOptions()})
    (place / "parts" / checkpoint).unlink()
    folder.commit(place, folder.Current(1, "2000-01-01T00:00:00+00:00", __version__, {}))
