"""An opened index made of arrays in memory, for tests of what is looked up in it."""

from itertools import chain
from pathlib import Path

import numpy as np

from imgdup.images.formats import REASONS
from imgdup.index.columns import empty_columns
from imgdup.index.generation import Generation
from imgdup.query.matches import look_up_each
from imgdup.query.probe import Probe
from imgdup.search.vptree import VPTree


def made_generation(hashes, match=None, quality=None, failed=(), *, pdq=None, digest=None):
    """An index of files /0000.jpg, /0001.jpg, ... with these 64-bit hashes, some of them failed."""
    n = len(hashes)
    columns = empty_columns(n, 1, with_pdq=pdq is not None)
    if pdq is not None:
        columns["pdq"][:, 0] = pdq
    columns["hashes"][:, 0] = hashes
    columns["match"][:, 0] = hashes if match is None else match
    columns["quality"][:] = 100 if quality is None else quality
    columns["width"][:], columns["height"][:] = range(1, n + 1), range(2, n + 2)
    columns["digest"][:, 0] = np.arange(n) % 256 if digest is None else digest
    columns["status"][list(failed)] = REASONS.index("damaged")
    names = [b"%04d.jpg" % row for row in range(n)]
    classes = {}
    for row in sorted(set(range(n)) - set(failed)):
        classes.setdefault(int(hashes[row]), []).append(row)
    tree = VPTree.build(np.array(list(classes), np.uint64).reshape(-1, 1))
    arrays = {
        **columns,
        **{f"tree_{name}": array for name, array in tree.arrays().items()},
        "run_rows": np.zeros(1, np.int64),
        "run_roots": np.zeros(1, np.int64),
        "path_offsets": np.cumsum([0, *map(len, names)]).astype(np.uint64),
        "path_blob": np.frombuffer(b"".join(names), np.uint8),
        "class_offsets": np.cumsum([0, *map(len, classes.values())]),
        "class_rows": np.array([row for rows in classes.values() for row in rows], np.int64),
    }
    root = {"path": "/", "exclude": [], "follow_symlinks": 0, "hidden": 0}
    head = {
        "hash": "dhash", "bits": 64, "parameters": 1, "band_skew_thousandths": 1000,
        "roots": [root],
    }  # fmt: skip
    return Generation(Path("index.1"), head, arrays, "0" * 32, 2, {})


def a_probe(value, match=None, quality=100, digest=b"", orientation="none", pdq=None):
    """A probe with these hashes, written as integers."""
    hashes = np.array([[value]], np.uint64)
    words = np.array([[value if match is None else match, 0, 0, 0]], np.uint64)
    pdq_words = None if pdq is None else np.array([[pdq, 0, 0, 0]], np.uint64)
    return Probe(hashes, words, quality, digest, orientation, pdq_words)


def look_up_probes(generation, probes, options=None):
    """The matches of one picture, by its probes."""
    return list(chain.from_iterable(look_up_each(generation, [probes], options)))
