"""Describe how the two files of each pair of duplicates differ, as far as the index knows."""

import numpy as np
import numpy.typing as npt

from imgdup.index.columns import RowNumbers, Rows, byte_keys, one_file_test

RELATIONS = ("same-file", "same-bytes", "same-pixels", "resized", "re-encoded", "edited")
"""From the closest to the loosest; a relation is a position in this tuple.

``same-file``: one file under two names. ``same-bytes``: equal content. ``same-pixels``: different
bytes that decode to the same picture (see `imgdup.dedupe.pixels`). ``resized``: the same shape and
another size. ``re-encoded``: the same size, and a hash as near as saving again leaves it.
``edited``: the rest, such as cropped, stretched, retouched, written on.
"""

SAME_FILE, SAME_BYTES, SAME_PIXELS, RESIZED, RE_ENCODED, EDITED = range(len(RELATIONS))

# Bits of the match hash. 200 CALTECH-101 photos saved again at JPEG quality 30, WebP 80 and as PNG
# moved by at most 14, 99 % of them by at most 12.
RE_ENCODED_DISTANCE = 12


def relate(
    left: Rows,
    left_rows: RowNumbers,
    right: Rows,
    right_rows: RowNumbers,
    distances: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint8]:
    """Return the relation of each pair of duplicates.

    A slight change of brightness changes hash and size no more than saving again does, and so
    counts as ``re-encoded``.

    Parameters
    ----------
    left, right : Rows
        Two indexes, or one twice.
    left_rows, right_rows : ndarray of int64, shape (n,)
        Entry i of one and entry i of the other are a pair.
    distances : ndarray of uint16, shape (n,)
        Distances of the match hashes, in bits.

    Returns
    -------
    ndarray of uint8, shape (n,)
        Positions in ``RELATIONS``.
    """
    width, height = (left.column(name)[left_rows].astype(np.int64) for name in ("width", "height"))
    other_width, other_height = (
        right.column(name)[right_rows].astype(np.int64) for name in ("width", "height")
    )
    same_size = (width == other_width) & (height == other_height)
    # Each side was rounded to a pixel, so it may be off by half a pixel.
    slack = np.maximum(np.maximum(width, height), np.maximum(other_width, other_height))
    same_shape = np.abs(width * other_height - other_width * height) <= slack
    same_bytes = (byte_keys(left, left_rows) == byte_keys(right, right_rows)).all(axis=1)
    choices = [
        (SAME_FILE, one_file_test(left, right)(left_rows, right_rows)),
        (SAME_BYTES, same_bytes),
        (RE_ENCODED, same_size & (distances <= RE_ENCODED_DISTANCE)),
        (RESIZED, same_shape & ~same_size),
    ]
    return np.select([c for _, c in choices], [r for r, _ in choices], EDITED).astype(np.uint8)
