"""Find the duplicates of equal size but different bytes that decode to the same pixels.

An index does not hold pixels, so the files are read again and decoded in full, in worker
processes, up to a budget of pixels. Only pairs whose hashes allow equal pixels are decoded.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from imgdup.dedupe import Duplicates
from imgdup.dedupe.relations import RE_ENCODED, SAME_PIXELS
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb
from imgdup.images.formats import FORMATS, LOSSLESS_FORMATS
from imgdup.index.columns import RowNumbers, Rows
from imgdup.system.files import content_digest, read_file
from imgdup.system.limits import Limits
from imgdup.workers.pool import decode_each, decoding_pool

BUDGET_PIXELS = 1_000_000_000  # decoded in about 10 s by one core
DIGEST_BYTES = 16

File = tuple[bytes, bytes]  # path, content digest by the index
Flags = npt.NDArray[np.bool_]


def look_at_pixels(
    duplicates: Duplicates, limits: Limits | None = None, budget: int = BUDGET_PIXELS
) -> Duplicates:
    """Find the re-encoded duplicates that have the same pixels as their keeper.

    Parameters
    ----------
    duplicates : Duplicates
    limits : Limits, optional
        The limits for each file; one that cannot be decoded remains ``re-encoded``.
    budget : int
        The largest number of pixels to decode; the first groups are decoded first, and files
        beyond the budget remain ``re-encoded``.

    Returns
    -------
    Duplicates
        With the relation ``same-pixels`` where it was found.
    """
    rows, removed = duplicates.rows, duplicates.groups.removed
    keepers = duplicates.groups.keeper_of_each()
    places = np.flatnonzero(may_be_same(rows, removed, keepers, duplicates.relations))
    places = places[_within(rows, removed[places], budget)]
    pairs = list(zip(removed[places].tolist(), keepers[places].tolist(), strict=True))
    wanted = sorted({row for pair in pairs for row in pair})
    files = [_file(rows, row) for row in wanted]
    found = pixel_digests(files, rows.digest_kind, limits or Limits())
    digests = {row: found.get(rows.path(row)) for row in wanted}
    same = [digests[a] is not None and digests[a] == digests[b] for a, b in pairs]
    relations = duplicates.relations.copy()
    relations[places[np.array(same, bool)]] = SAME_PIXELS
    return replace(duplicates, relations=relations)


def may_be_same(
    rows: Rows, left: RowNumbers, right: RowNumbers, relations: npt.NDArray[np.uint8]
) -> Flags:
    """Return a mask of the pairs whose pixels may be equal, as far as the index knows.

    Equal pixels have equal hashes, unless one file is a JPEG, which is hashed from a small decode,
    and the other is not; then only a lossless file can have its pixels.
    """
    jpeg = FORMATS.index("jpeg")
    lossless = np.array([name in LOSSLESS_FORMATS for name in FORMATS])
    a, b = (rows.column("format")[side] for side in (left, right))
    known = (a < len(FORMATS)) & (b < len(FORMATS))
    other = np.where(a == jpeg, b, a)
    equal = np.ones(len(left), bool)
    for name in ("match", "hashes"):
        equal &= (rows.column(name)[left] == rows.column(name)[right]).all(axis=1)
    one_is_jpeg = (a == jpeg) != (b == jpeg)
    possible = np.where(one_is_jpeg, lossless[np.minimum(other, len(FORMATS) - 1)], equal)
    return np.asarray((relations == RE_ENCODED) & known & possible)


def _within(rows: Rows, selected: RowNumbers, budget: int) -> Flags:
    """Return a mask of the files that the budget reaches, at two pictures of their size each."""
    width, height = (rows.column(name)[selected].astype(np.float64) for name in ("width", "height"))
    return np.asarray(np.cumsum(2 * width * height) <= budget)


def _file(rows: Rows, row: int) -> File:
    return rows.path(row), rows.column("digest")[row].tobytes()


def pixel_digests(
    files: Sequence[File], digest_kind: str, limits: Limits
) -> Mapping[bytes, bytes | None]:
    """Decode files in worker processes.

    Parameters
    ----------
    files : sequence of (bytes, bytes)
        Path, and content digest by the index.
    digest_kind : str
        How the index digests contents.
    limits : Limits

    Returns
    -------
    mapping
        Path -> digest of shape and pixels; None for a file that changed or cannot be decoded.
    """
    with decoding_pool(limits) as pool:
        found = decode_each(partial(_digest, limits, digest_kind), files, pool)
        return {
            path: None if isinstance(answer, ImageError) else answer
            for (path, _), answer in zip(files, found, strict=True)
        }


def _digest(limits: Limits, digest_kind: str, file: File) -> bytes | None:
    """Digest shape and pixels of a file; None if its content is not that of the index."""
    path, content = file
    data = read_file(path, limits).data
    if content_digest(data, digest_kind) != content:
        return None
    pixels = decode_rgb(data, limits, limits.max_pixels)
    shape = repr(pixels.shape).encode()
    return hashlib.blake2b(shape + pixels.tobytes(), digest_size=DIGEST_BYTES).digest()
