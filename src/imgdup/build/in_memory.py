"""Hash pictures that are in memory, such as those of a table, into a table like that of an index.

No file is written, and no picture is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.build.hash_batch import FORMAT_BYTES, STATUS_BYTES
from imgdup.build.settings import DEFAULT_HASH
from imgdup.errors import ImageError
from imgdup.hashing import HASHERS, fingerprints
from imgdup.images.decode import decode
from imgdup.index.columns import TRIMMED, TRIMMED_ROWS, RowNumbers, empty_columns
from imgdup.system.files import NEW_DIGEST_KIND, content_digest, read_file
from imgdup.system.limits import Limits
from imgdup.workers.pool import decode_each, decoding_pool

BITS = HASHERS[DEFAULT_HASH].widths[0]
WORD_BITS = 64


class Content(NamedTuple):
    """The bytes of a file, or its path if they are not in memory; neither without a picture."""

    data: bytes | None
    path: str | None = None


@dataclass(frozen=True)
class MemoryRows:
    """Pictures in memory as `imgdup.index.columns.Rows`: row i is picture i."""

    columns: dict[str, npt.NDArray[Any]]
    failures: list[tuple[int, ImageError]]  # the pictures that could not be read, and why

    @property
    def roots(self) -> Sequence[bytes]:
        """Return no folder."""
        return ()

    @property
    def digest(self) -> str:
        """Return no digest: there is no generation."""
        return ""

    @property
    def digest_kind(self) -> str:
        """How the contents were digested."""
        return NEW_DIGEST_KIND

    def __len__(self) -> int:
        """Count the rows, failed pictures included."""
        return len(self.columns["status"])

    def path(self, row: int) -> bytes:
        """Return a name of the row; the names of all rows are in order and of equal length."""
        return b"/%012d" % row

    def rows_below(self, folder: bytes) -> RowNumbers:
        """Return no rows: there are no folders."""
        return np.zeros(0, np.int64)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, one entry per row."""
        return self.columns[name]


def hash_contents(contents: Iterable[Content], n: int, limits: Limits | None = None) -> MemoryRows:
    """Hash `n` pictures in worker processes; they are read as workers become free."""
    limits = limits or Limits()
    columns = empty_columns(n, BITS // WORD_BITS, with_trimmed=True)
    columns["same_file"] = np.full(n, -1, np.int64)
    failures = []
    with decoding_pool(limits) as pool:
        for i, answer in enumerate(decode_each(partial(_hash, limits), contents, pool)):
            if isinstance(answer, ImageError):
                columns["status"][i] = STATUS_BYTES[answer.reason]
                failures.append((i, answer))
            else:
                for name, value in answer.items():
                    columns[name][i] = value
    columns[TRIMMED_ROWS] = np.flatnonzero(columns[TRIMMED].any(axis=1))
    columns[TRIMMED] = columns[TRIMMED][columns[TRIMMED_ROWS]]
    return MemoryRows(columns, failures)


def _hash(limits: Limits, content: Content) -> dict[str, Any]:
    """Hash one picture, in a worker, and return what its row has in each column."""
    if content.data is None and content.path is None:
        raise ImageError("missing", "there is no picture")
    data = content.data
    if data is None:
        data = read_file(str(content.path).encode("utf-8", "surrogateescape"), limits).data
    picture = decode(data, limits)
    found = fingerprints([picture.gray], DEFAULT_HASH, BITS, with_trimmed=True)
    return {
        "size": len(data),
        "width": picture.width,
        "height": picture.height,
        "format": FORMAT_BYTES[picture.format],
        "quality": int(found.qualities[0]),
        "digest": np.frombuffer(content_digest(data, NEW_DIGEST_KIND), np.uint8),
        "match": found.match[0],
        "hashes": found.hashes[0],
        TRIMMED: found.trimmed[0],
    }
