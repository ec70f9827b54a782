"""Check the content of an index: hash files again, and compare the searches with each other."""

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImageError
from imgdup.index.columns import images
from imgdup.index.generation import Generation, GenerationRows
from imgdup.query.nearby import iter_within
from imgdup.query.probe import Probe, probe_files
from imgdup.search.hamming import Hashes, Matches, scan_within, to_hex
from imgdup.search.planner import STRATEGIES
from imgdup.system.files import stat_size_mtime
from imgdup.system.limits import Limits
from imgdup.workers.pool import decoding_pool

N_PROBES = 200  # indexed hashes that are looked up by each strategy
N_FILES = 200  # files that are hashed again
MAX_PEER_HASHES = 5000  # the vptree package recurses, so it cannot build larger trees
DISTANCES = (0, 2, 4, 10)  # bits


def check_deep(index: GenerationRows) -> Iterator[str]:
    """Yield what is wrong with the content of an index, one line each.

    Hashes up to 200 files again, and looks up to 200 hashes up by tree, bands and scan, and by the
    independent ``vptree`` package if there are at most 5,000 distinct hashes. The samples are
    evenly spaced, so every run checks the same ones.
    """
    yield from _check_files(index)
    yield from _check_answers(index)


def _spread(n: int, n_wanted: int) -> npt.NDArray[np.int64]:
    """Choose some of n positions, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, n_wanted)).astype(np.int64))


def _check_files(index: GenerationRows) -> Iterator[str]:
    """Hash some files again, in worker processes, since they may be hostile."""
    rows = images(index)
    chosen = [r for r in rows[_spread(len(rows), N_FILES)].tolist() if _is_unchanged(index, r)]
    paths = [index.path(row) for row in chosen]
    with decoding_pool(Limits()) as pool:
        answers = probe_files(paths, index.generation.probe_parameters, pool=pool)
        for row, answer in zip(chosen, answers, strict=True):
            if not isinstance(answer, ImageError):
                yield from _differences(index, row, answer[0])


def _differences(index: GenerationRows, row: int, probe: Probe) -> Iterator[str]:
    """Yield how a file that was hashed again differs from its row."""
    path = os.fsdecode(index.path(row))
    if not np.array_equal(probe.hashes[0], index.column("hashes")[row]):
        yield f"{path}: the index holds another hash of this file; touch it and index again"
    if probe.digest != index.column("digest")[row].tobytes():
        yield f"{path}: its content changed, but not its size and time; touch it and index again"


def _is_unchanged(index: GenerationRows, row: int) -> bool:
    """Return whether a file has the size and the time that are in the index."""
    try:
        facts = os.stat(os.fsdecode(index.path(row)))
    except (OSError, ValueError):  # ValueError: a forged name with a NUL in it
        return False
    return stat_size_mtime(facts) == (
        int(index.column("size")[row]),
        int(index.column("mtime_ns")[row]),
    )


def _check_answers(index: GenerationRows) -> Iterator[str]:
    tree = index.generation.tree
    if not len(tree):
        return
    probes = tree.hashes[_spread(len(tree), N_PROBES)]
    by_row = tree.by_row()
    for max_distance in DISTANCES:
        expected = scan_within(by_row, probes, max_distance)
        for strategy in STRATEGIES:
            found = _within(index.generation, probes, max_distance, strategy)
            if not _equal(found, expected):
                yield f"the {strategy} misses matches at distance {max_distance}; index again"
        if len(tree) <= MAX_PEER_HASHES and not _peer_agrees(
            by_row, probes, expected, max_distance
        ):
            yield f"the vptree package finds different matches at distance {max_distance}"


def _within(generation: Generation, probes: Hashes, max_distance: int, strategy: str) -> Matches:
    """Look up the probes, and sort the matches of each as a scan does."""
    each = [
        (near.indices[order], near.distances[order])
        for near in iter_within(generation, probes, max_distance, strategy)
        for order in [np.lexsort((near.indices, near.distances))]
    ]
    offsets = np.cumsum([0, *(len(indices) for indices, _ in each)])
    indices, bits = (np.concatenate(columns) for columns in zip(*each, strict=True))
    return Matches(offsets, indices, bits)


def _equal(left: Matches, right: Matches) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def _peer_agrees(
    hashes: npt.NDArray[np.uint64],
    probes: npt.NDArray[np.uint64],
    expected: Matches,
    max_distance: int,
) -> bool:
    """Compare with the vptree package.

    Its largest distance is exclusive, and it converts integers to floats, so texts are used.
    """
    import vptree

    texts = to_hex(hashes)
    peer = vptree.VPTree(texts, _text_distance)
    for i, probe in enumerate(to_hex(probes)):
        ours = slice(int(expected.offsets[i]), int(expected.offsets[i + 1]))
        pairs = zip(expected.distances[ours], expected.indices[ours], strict=True)
        found = sorted((d, str(text)) for d, text in peer.get_all_in_range(probe, max_distance + 1))
        if found != sorted((int(d), texts[j]) for d, j in pairs):
            return False
    return True


def _text_distance(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()
