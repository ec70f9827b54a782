"""Is the search for all pairs faster than `find_duplicates` of imagededup, and do both agree?

    python benchmarks/peers_imagededup.py --images DIR [--rounds 3] [--bk-tree]

Both get the same dHashes of the pictures below DIR and find all pairs within 10 bits; imagededup
by its compiled brute force with two processes (``--bk-tree``: by its default tree, which takes
minutes). It is installed without what its neural network needs (``pip install --no-deps
imagededup``, then PyWavelets and scikit-learn): empty modules replace torch and torchvision, as
nothing of them is called. Without the package, this prints a message and ends.
"""

import argparse
import contextlib
import importlib.util
import io
import logging
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import measure
import numpy as np
import synthetic
from bench_pairs import find_pairs

from imgdup.search import to_hex

MAX_DISTANCE = 10
PROCESSES = 2


class StandIns:
    """Replaces torch and torchvision by modules with any attribute that do nothing."""

    def find_spec(self, name, path=None, target=None):
        is_ours = name.split(".")[0] in ("torch", "torchvision")
        return ModuleSpec(name, self, is_package=True) if is_ours else None

    def create_module(self, spec):
        return MagicMock(__path__=[], __spec__=spec, __name__=spec.name)

    def exec_module(self, module):
        pass


def imagededup_dhash():
    """imagededup's dHash; None if the package is not installed."""
    if importlib.util.find_spec("torch") is None:
        sys.meta_path.insert(0, StandIns())
    try:
        from imagededup.methods.hashing import DHash
    except ImportError:
        return None
    logging.disable(logging.INFO)
    return DHash(verbose=False)


def theirs(dhash, texts, method):
    """All pairs by imagededup, as sorted pairs of rows."""
    names = {str(i): text for i, text in enumerate(texts)}
    with contextlib.redirect_stderr(io.StringIO()):
        found = dhash.find_duplicates(
            encoding_map=names,
            max_distance_threshold=MAX_DISTANCE,
            search_method=method,
            num_dist_workers=PROCESSES,
        )
    return sorted((int(a), int(b)) for a, near in found.items() for b in near if int(a) < int(b))


def ours(hashes):
    """All pairs by imgdup, as sorted pairs of rows."""
    found = find_pairs(hashes, MAX_DISTANCE, PROCESSES)
    return sorted(zip(found.left.tolist(), found.right.tolist(), strict=True))


def timed(action):
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bk-tree", action="store_true")
    options = parser.parse_args()
    dhash = imagededup_dhash()
    if dhash is None:
        print("imagededup is not installed: pip install --no-deps imagededup")
        return
    hashes = synthetic.real_hashes(options.images)[64]
    texts = to_hex(hashes)
    method = "bktree" if options.bk_tree else "brute_force_cython"
    rows = []
    for _ in range(options.rounds):
        mine, our_s = timed(lambda: ours(hashes))
        peer, their_s = timed(lambda: theirs(dhash, texts, method))
        rows.append((our_s, their_s, mine == peer))
    our_times, their_times, agree = (list(column) for column in zip(*rows, strict=True))
    print(f"# peers_imagededup\n\n{measure.surroundings()}")
    header = ["", "pairs", "ours, s", f"imagededup {method}, s", "times faster", "same pairs"]
    times = [measure.median(each, "{:.3f}") for each in (our_times, their_times)]
    faster = measure.median(measure.ratio(their_times, our_times))
    same = "yes" if np.all(agree) else "**no**"
    name = f"{len(hashes):,} dHashes of {options.images.name} at {MAX_DISTANCE}"
    print(measure.table(header, [[name, f"{len(mine):,}", *times, faster, same]]))


if __name__ == "__main__":
    main()
