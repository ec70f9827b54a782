"""Check an index: its structure, its files and the answers of its searches."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.containers.reading import stamp_of
from imgdup.errors import ImageError, ImgdupError
from imgdup.images.formats import OK, REASONS
from imgdup.index.columns import Rows, images, locator_of
from imgdup.index.generation import Generation, GenerationRows
from imgdup.query.nearby import iter_within
from imgdup.query.probe import Probe, probe_files
from imgdup.search import Hashes, Matches, scan_within, to_hex
from imgdup.search.planner import STRATEGIES
from imgdup.system.limits import Limits
from imgdup.system.paths import TEMPORARY_NAME, outer_file, path_key
from imgdup.workers.pool import decoding_pool

N_PROBES = 200  # indexed hashes that are looked up by each strategy
N_FILES = 200  # files that are hashed again
MAX_PEER_HASHES = 5000  # the vptree package recurses, so it cannot build larger trees
DISTANCES = (0, 2, 4, 10)  # bits


def check_structure(index: GenerationRows) -> Iterator[str]:
    """Yield what is wrong with the structure of an index, one line each.

    Checks the checksum of every array, the offsets, the hash dictionary and the order of the paths;
    reads no pictures.
    """
    try:
        index.generation.check_arrays()
    except ImgdupError as error:
        yield str(error)
        return
    arrays = index.generation.arrays
    for name in ("path_offsets", "class_offsets", "detail_offsets"):
        if not _rises(arrays[name]):
            yield f"{name}: the offsets do not ascend"
    n, rows = len(index), index.generation.class_rows
    ok = np.flatnonzero(index.column("status") == OK)
    if not np.array_equal(np.sort(rows), ok):
        yield "class_rows: the hash dictionary does not contain each image once"
    first = index.column("same_file")
    if n and not (first.min() >= -1 and bool(np.all(first < np.arange(n)))):
        yield "same_file: a row names itself or a later row as the first row of its file"
    if index.column("status").max(initial=0) >= len(REASONS):
        yield "status: an unknown number"
    keys = map(path_key, index.generation.paths)
    if not all(a < b for a, b in _neighbours(keys)):
        yield "paths: not in path order"


def _rises(offsets: npt.NDArray[Any]) -> bool:
    return len(offsets) > 0 and int(offsets[0]) == 0 and bool(np.all(offsets[1:] >= offsets[:-1]))


def _neighbours(keys: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    previous = next(keys, None)
    for key in keys:
        if previous is not None:
            yield previous, key
        previous = key


def temporary_files(rows: Rows) -> Iterator[tuple[bytes, bytes]]:
    """Yield the path of each temporary file of apply and undo, and the token of its run.

    Only the folders of the files in the index are searched, and its roots.
    """
    folders = {os.path.dirname(rows.path(row)) for row in range(len(rows))}
    for folder in sorted(folders.union(root for root in rows.roots if root)):
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # gone, or not for us: imgdup index reports that
            continue
        for name in names:
            if match := TEMPORARY_NAME.fullmatch(name):
                yield os.path.join(folder, name), match[1]


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
    locator = locator_of(index, row)
    path = index.path(row)
    try:
        stamp = stamp_of(path if locator is None else outer_file(path))
    except (OSError, ValueError):  # ValueError: a forged name with a NUL in it
        return False
    if locator is not None:
        return stamp[2:] == (locator.container_bytes, locator.container_mtime_ns)
    return stamp[2:] == (int(index.column("size")[row]), int(index.column("mtime_ns")[row]))


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
