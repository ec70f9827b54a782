"""An index made of arrays, for tests of what is done with an index and not of the index itself."""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from imgdup.dedupe.relations import Verdict
from imgdup.images.formats import FORMATS
from imgdup.system.paths import is_below, path_key

DIGESTS = {
    "blake2b": lambda content: hashlib.blake2b(content, digest_size=16).digest(),
    "blake3": lambda content: blake3(content).digest(16),
}
GENERATIONS = itertools.count()  # each has a digest of its own


@dataclass(frozen=True)
class File:
    """One row. ``match`` and ``search`` are integers; equal ``inode`` means the same file.

    Without a content, the bytes are like no other file's.
    """

    path: bytes
    match: int = 0
    quality: int = 100
    content: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    width: int = 100
    height: int = 100
    format: str = "jpeg"
    status: int = 0
    search: int = 0
    trimmed: int = 0  # 0 without a border
    inode: int = 0

    def __post_init__(self):
        object.__setattr__(self, "content", self.content or self.path)


@dataclass(frozen=True)
class ArrayRows:
    """What ImageIndex gives: rows in path order, columns, paths, roots, a digest."""

    columns: dict
    paths: tuple
    roots: tuple = (b"/data",)
    digest: str = "0" * 32
    digest_kind: str = "blake3"

    def __len__(self):
        return len(self.paths)

    def path(self, row):
        return self.paths[row]

    def rows_below(self, folder):
        inside = [row for row, path in enumerate(self.paths) if is_below(path, folder)]
        return np.array(inside, np.int64)

    def column(self, name):
        return self.columns[name]


def same_picture(pairs):
    """A judge that finds no difference between any two pictures."""
    return [Verdict("same-picture", 1.0, None)] * len(pairs)


def words(values, n_words):
    mask = (1 << 64) - 1
    return np.array(
        [[value >> (64 * w) & mask for w in range(n_words)] for value in values], np.uint64
    ).reshape(len(values), n_words)


def rows_of(files, roots=(b"/data",), *, in_path_order=True, digest_kind="blake3"):
    """Make rows of `File`s, sorted by path unless a test wants another numbering."""
    files = sorted(files, key=lambda file: path_key(file.path)) if in_path_order else list(files)
    digests = [DIGESTS[digest_kind](f.content) for f in files]
    first, same_file = {}, []
    for row, file in enumerate(files):
        leader = first.setdefault(file.inode or -row - 1, row)
        same_file.append(-1 if leader == row else leader)
    ids = [[1, file.inode] if file.inode else [0, 0] for file in files]
    columns = {
        "identity": np.array(ids, np.uint64).reshape(len(files), 2),
        "size": np.array([f.size for f in files], np.int64),
        "mtime_ns": np.array([f.mtime_ns for f in files], np.int64),
        "width": np.array([f.width for f in files], np.uint32),
        "height": np.array([f.height for f in files], np.uint32),
        "format": np.array([FORMATS.index(f.format) for f in files], np.uint8),
        "quality": np.array([f.quality for f in files], np.uint8),
        "status": np.array([f.status for f in files], np.uint8),
        "digest": np.frombuffer(b"".join(digests), np.uint8).reshape(len(files), 16),
        "match": words([f.match for f in files], 4),
        "hashes": words([f.search for f in files], 1),
        "same_file": np.array(same_file, np.int64),
        "trimmed_rows": np.array([row for row, f in enumerate(files) if f.trimmed], np.int64),
        "trimmed": words([f.trimmed for f in files if f.trimmed], 4),
    }
    paths = tuple(f.path for f in files)
    return ArrayRows(columns, paths, tuple(roots), f"{next(GENERATIONS):032x}", digest_kind)
