"""Compute perceptual hashes (uint64 words) and qualities of gray pictures.

``HASHERS`` lists the hashes; `imgdup.native.hashes` computes them, but for that of the tutorial.
Bit ``i`` of a hash as an integer is the ``i``-th comparison, row by row; word ``w`` holds bits
``64 * w`` to ``64 * w + 63``.

References
----------
.. [1] N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013: the dHash. The order of its
   bits, and the hash of the tutorial: A. Rosebrock, "Image hashing with OpenCV and Python",
   PyImageSearch, 2017, and "Building an Image Hashing Search Engine with VP-Trees and OpenCV",
   PyImageSearch, 2019.
.. [2] N. Krawetz, "Looks Like It", The Hacker Factor Blog, 2011: the aHash.
.. [3] C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010: the
   pHash of 64 bits; that of 256 bits is the same with twice the side.
.. [4] Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import (
    FLIPPED_COLUMNS,
    FLIPPED_ROWS,
    ORIENTATIONS,
    TRANSPOSED,
    GrayImage,
)
from imgdup.native import hashes as native

PARAMETERS_VERSION = 1  # change it whenever the search hash of any picture changes

# The match hash, which proposes duplicates; the search hash is what a query looks up.
MATCH_BITS = 256
MATCH_MAX_DISTANCE = 31  # bits up to which two pictures are considered the same
MATCH_MIN_QUALITY = 50  # below it, a picture has too little structure to be compared

_PDQ = ("pdq", 256)
_ODD = 0xAAAA  # the bits of odd horizontal frequencies in 16 bits of a match hash

Words = npt.NDArray[np.uint64]


class Hasher(NamedTuple):
    """A perceptual hash."""

    name: str
    # The default distance of a search, in bits, for each length of the hash in bits. The first
    # length is the default.
    max_distance: Mapping[int, int]
    # Whether it is computed from `GrayImage.opencv`: what OpenCV makes of a file at full size.
    needs_opencv: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """The available lengths in bits, the default first."""
        return tuple(self.max_distance)


_DISTANCES = {64: 10, 256: 31}

HASHERS: Mapping[str, Hasher] = {
    "dhash": Hasher("dhash", _DISTANCES),  # is an average darker than its right neighbour?
    "ahash": Hasher("ahash", _DISTANCES),  # is an average brighter than the mean of all?
    "phash": Hasher("phash", _DISTANCES),  # is a low frequency above the median of the low ones?
    "pdq": Hasher("pdq", {256: 31}),  # the same, of other averages
    # is a sample of the picture darker than its right neighbour?
    "dhash-tutorial": Hasher("dhash-tutorial", {64: 10}, needs_opencv=True),
}


class Fingerprints(NamedTuple):
    """Search hashes, uint64 (n, words); match hashes, uint64 (n, 4); qualities, uint8 (n,).

    PDQ hashes, uint64 (n, 4), if they were requested. Match hashes of what flat borders enclose, 0
    where there is none: uint64 (n, 4) if they were requested, else (0, 4).
    """

    hashes: Words
    match: Words
    qualities: npt.NDArray[np.uint8]
    pdq: Words | None
    trimmed: Words


class Fingerprint(NamedTuple):
    """A picture's search hash, uint64 (words,), match hash, uint64 (4,), and quality, 0 to 100."""

    hashes: Words
    match: Words
    quality: int


def hash_pictures(pictures: Sequence[GrayImage], name: str, bits: int) -> Words:
    """Hash pictures by a key of ``HASHERS`` or by ``"match"``: uint64 of shape (n, bits // 64)."""
    if name in HASHERS and HASHERS[name].needs_opencv:
        return _tutorial_hashes(pictures)
    return native.hash_pictures(pictures, [(name, bits)]).hashes[name, bits]


def _tutorial_hashes(pictures: Sequence[GrayImage]) -> Words:
    """Compute the dHash as the tutorial [1] does: of 9 x 8 samples by cv2.resize."""
    from imgdup.images.opencv import resize_by_default

    hashes = np.empty((len(pictures), 1), dtype="<u8")
    for row, picture in zip(hashes, pictures, strict=True):
        gray = np.rint(picture.pixels).astype(np.uint8)
        small = resize_by_default(gray if picture.opencv is None else picture.opencv, 9, 8)
        row[:] = np.packbits(small[:, 1:] > small[:, :-1], bitorder="little").view("<u8")
    return hashes.astype(np.uint64, copy=False)


def fingerprints(
    pictures: Sequence[GrayImage],
    name: str,
    bits: int,
    *,
    with_pdq: bool = False,
    with_trimmed: bool = False,
) -> Fingerprints:
    """Compute the search hash, the match hash and the quality of each picture.

    Both the match hash and the quality are made of 64 x 64 area averages. Bit ``16 * u + v`` of the
    match hash is 1 if the coefficient of their cosine transform with u half waves from top to
    bottom and v from left to right is positive; bit 0, of the mean brightness, is always 0. The
    quality is the sum of differences between neighbours that PDQ defines [4]_, from 0 to 100.

    The quality is 0 if the match hash is meaningless: if a side is shorter than 16 pixels, and if
    fewer than 96 of the 255 coefficients are a gray level or more. Smaller ones may be rounding
    errors. A picture that varies in one direction only, such as a barcode, has at most 15.

    A side has a flat border if the gray levels of its outermost line differ from their mean by 5 on
    average at most; it ends before the first line that differs more from this level. What borders
    enclose has a trimmed hash if it and the whole picture have a quality of at least 50, if both
    its sides are longer than a quarter of the picture's, and if 1/64 of a side is cut off.

    The search hash is named by a key of ``HASHERS`` and one of its lengths. The PDQ hash, and the
    match hash of what flat borders enclose, are computed only if requested.
    """
    needs_opencv = HASHERS[name].needs_opencv
    kinds = [native.MATCH]
    kinds += [_PDQ] if with_pdq else []
    kinds += [native.TRIMMED] if with_trimmed else []
    hashes, qualities = native.hash_pictures(
        pictures, kinds if needs_opencv else [(name, bits), *kinds]
    )
    search = _tutorial_hashes(pictures) if needs_opencv else hashes[name, bits]
    more = hashes.get(_PDQ), hashes.get(native.TRIMMED, np.zeros((0, 4), np.uint64))
    return Fingerprints(search, hashes[native.MATCH], qualities, *more)


def fingerprint(picture: GrayImage, name: str, bits: int) -> Fingerprint:
    """Compute the fingerprint of one picture, as `fingerprints` does for many.

    Examples
    --------
    >>> ramp = np.arange(0, 192, 2, dtype=np.uint8).reshape(1, 96).repeat(64, axis=0)
    >>> hashes, match, quality = fingerprint(GrayImage(ramp, 64, 96), "dhash", 64)
    >>> hex(hashes[0]), quality
    ('0xffffffffffffffff', 0)
    """
    found = fingerprints([picture], name, bits)
    return Fingerprint(found.hashes[0], found.match[0], int(found.qualities[0]))


def dihedral_hashes(match: Words, which: Sequence[int] = range(len(ORIENTATIONS))) -> Words:
    """Return the match hashes of pictures rotated and mirrored, made of those of the pictures.

    The shape is (len(which), n, 4); `which` has positions in `imgdup.images.gray.ORIENTATIONS`, the
    first of which are the hashes as they are. A mirrored picture has the same coefficients, but
    those of odd frequencies have the other sign; a transposed one has them transposed. Only
    coefficients of exactly 0 would be wrong, as pictures have them that are their own mirror image.

    Examples
    --------
    >>> mirrored = dihedral_hashes(np.zeros((1, 4), dtype=np.uint64))[1]
    >>> hex(mirrored[0, 3])
    '0xaaaaaaaaaaaaaaaa'
    """
    upright = np.ascontiguousarray(match, dtype="<u8").view("<u2")
    found = np.empty((len(which), *upright.shape), dtype="<u2")
    numbers = [position + 1 for position in which]  # as EXIF counts
    transposed = upright if TRANSPOSED.isdisjoint(numbers) else _transposed(upright)
    for orientation, hashes in zip(numbers, found, strict=True):
        hashes[:] = transposed if orientation in TRANSPOSED else upright
        if orientation in FLIPPED_COLUMNS:
            hashes ^= _ODD
        if orientation in FLIPPED_ROWS:
            hashes[:, 1::2] ^= 0xFFFF
    found[:, :, 0] &= 0xFFFE  # of the mean brightness
    return found.view("<u8").astype(np.uint64, copy=False)


def _transposed(rows: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Transpose squares of 16 x 16 bits, by exchanging ever smaller blocks; rows (n, 16).

    Source: H. S. Warren, "Hacker's Delight", section 7-3.
    """
    rows = rows.copy()
    for side, low in ((8, 0x00FF), (4, 0x0F0F), (2, 0x3333), (1, 0x5555)):
        blocks = rows.reshape(len(rows), 8 // side, 2, side)
        upper, lower = blocks[:, :, 0], blocks[:, :, 1]
        changed = ((upper >> side) ^ lower) & low
        lower ^= changed
        upper ^= changed << side
    return rows
