"""The old generation -> what it knows of each path, as a sorted stream."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from imgdup.index.columns import Paths, hopeful_rows
from imgdup.index.terms import Terms
from imgdup.system.paths import path_key

BLOCK_ROWS = 1 << 16  # turned into Python numbers at a time


class OldRow(NamedTuple):
    """What the old generation knows of a path.

    `scanned_ns` is when its root was scanned; `hopeful` tells of a failure that it could end
    otherwise now.
    """

    row: int
    root: bytes
    size: int
    mtime_ns: int
    status: int
    scanned_ns: int
    hopeful: bool


def old_row_stream(
    paths: Paths, columns: Mapping[str, Any], scanned_ns: Mapping[bytes, int], terms: Terms
) -> Iterator[tuple[bytes, OldRow]]:
    """Yield ``(path_key, OldRow)`` of each row of a generation, in path order."""
    hopeful = hopeful_rows(columns, terms)
    for start in range(0, len(paths), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(paths))
        facts = zip(
            paths.between(start, stop),
            *(columns[f][start:stop].tolist() for f in ("size", "mtime_ns", "status")),
            strict=True,
        )
        for row, (path, size, mtime_ns, status) in enumerate(facts, start):
            root = paths.root_of(row)
            seen_ns = scanned_ns.get(root, 0)
            facts_of_row = (row, root, size, mtime_ns, status, seen_ns, row in hopeful)
            yield path_key(path), OldRow(*facts_of_row)
