"""Compute hashes and qualities of gray pictures, by calling ``hash.c``."""

import ctypes
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from imgdup.native import address_of, load_library

MAX_SIDE = 1 << 31  # pixels
REDUCTIONS = (1, 2, 4, 8)
ALIGNMENT = 64  # bytes; a cache line
PLANES = 4  # bits of a weight
DTYPES = (np.dtype(np.uint8), np.dtype(np.float32))  # of pixels

Kind = tuple[str, int]  # name and bits of a hash
MATCH: Kind = ("match", 256)  # computed together with the qualities
TRIMMED: Kind = ("trimmed", 256)  # the match hash of what flat borders enclose
KINDS: tuple[Kind, ...] = (  # in the order of ImgdupHashes
    ("dhash", 64),
    ("dhash", 256),
    ("ahash", 64),
    ("ahash", 256),
    ("phash", 64),
    ("phash", 256),
    ("pdq", 256),
    MATCH,
    TRIMMED,
)


class Picture(Protocol):
    """The attributes that `hash_pictures` reads; `imgdup.images.gray.GrayImage` explains them."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8 | np.float32]:
        """Shape (ceil(height / reduction), ceil(width / reduction))."""

    @property
    def height(self) -> int:
        """Height of the full picture, in pixels."""

    @property
    def width(self) -> int:
        """Width of the full picture, in pixels."""

    @property
    def reduction(self) -> int:
        """By how much the picture was reduced: 1, 2, 4 or 8."""

    @property
    def short_first(self) -> tuple[bool, bool]:
        """Whether the rows begin with a partial block, and whether the columns do."""


class Hashed(NamedTuple):
    """Hashes by kind, uint64 (n, bits // 64), and qualities from 0 to 100, uint8 (n,).

    The qualities are 0 without the match hash.
    """

    hashes: Mapping[Kind, npt.NDArray[np.uint64]]
    qualities: npt.NDArray[np.uint8]


# ImgdupPicture: the address of the pixels, the bytes from row to row, height, width, reduction,
# whether rows and columns begin with a partial block, and whether the pixels are floats. It takes
# an eighth of the time that a structure of ctypes takes.
_PICTURE = struct.Struct("@Pqqqiiii")


def hash_pictures(pictures: Sequence[Picture], kinds: Iterable[Kind]) -> Hashed:
    """Compute each kind of hash for all pictures.

    Parameters
    ----------
    pictures : sequence of Picture
        Pixels of uint8 or float32 with any strides; rows that are not C-contiguous are copied.
    kinds : iterable of (str, int)
        Elements of ``KINDS``. The match hash gives the qualities, too, and ``TRIMMED`` needs it.

    Raises
    ------
    ValueError
        If a kind is unknown or lacks the match hash, or if pixels, size and reduction do not match.
    TypeError
        If pixels are neither uint8 nor float32.

    Examples
    --------
    >>> from imgdup.images.gray import GrayImage
    >>> ramp = np.arange(0, 180, 2, dtype=np.uint8)[np.newaxis].repeat(80, axis=0)
    >>> found = hash_pictures([GrayImage(ramp, 80, 90)], [("dhash", 64)])
    >>> found.hashes["dhash", 64] == 2**64 - 1
    array([[ True]])
    """
    n = len(pictures)
    hashes = {kind: np.zeros((n, _words(kind)), dtype=np.uint64) for kind in kinds}
    if TRIMMED in hashes and MATCH not in hashes:
        raise ValueError("the trimmed hash is only computed together with the match hash")
    qualities = np.zeros(n, dtype=np.uint8)
    pixels = [_checked(each) for each in pictures]
    if n:
        functions = _functions()
        results = [hashes.get(kind) for kind in KINDS]
        longest = max([sum(each.shape) for each in pixels])
        scratch = np.empty(functions.scratch_bytes(longest) + ALIGNMENT, dtype=np.uint8)
        functions.hash_all(
            b"".join(map(_described, pictures, pixels)),
            n,
            (ctypes.c_void_p * (len(KINDS) + 1))(
                *[None if each is None else address_of(each) for each in results],
                address_of(qualities),
            ),
            -(-address_of(scratch) // ALIGNMENT) * ALIGNMENT,
        )
    return Hashed(hashes, qualities)


class LikelyParts(NamedTuple):
    """What the match hashes of parts of some pictures are likely to be.

    Attributes
    ----------
    hashes : ndarray of uint64, shape (n, 4)
    planes : ndarray of uint64, shape (4, n, 4)
        Bit i of plane k is bit k of the weight of frequency i: how sure its sign is.
    weights : ndarray of int64, shape (n,)
        The weights of all frequencies together.
    """

    hashes: npt.NDArray[np.uint64]
    planes: npt.NDArray[np.uint64]
    weights: npt.NDArray[np.int64]


def likely_parts(
    match: npt.NDArray[np.uint64],
    sizes: npt.NDArray[np.float64],
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
) -> LikelyParts:
    """Compute about the match hashes that a part of each picture has.

    Parameters
    ----------
    match : ndarray of uint64, shape (n, 4)
    sizes : ndarray of float64, shape (16, 16)
        What the frequencies are taken to be, without their signs; whole numbers.
    rows, columns : ndarray of float64, shape (16, 16)
        Take vertical and horizontal frequencies to those of the part; whole numbers.

    Raises
    ------
    ValueError
        If `match` is not uint64 of shape (n, 4), or another array is not (16, 16).
    """
    n = len(match)
    if match.dtype != np.uint64 or match.shape != (n, 4):
        raise ValueError(f"expected uint64 of shape (n, 4), got {match.dtype} of {match.shape}")
    squares = [np.array(each, np.float64, order="C") for each in (sizes, rows, columns.T)]
    if any(each.shape != (16, 16) for each in squares):
        raise ValueError(f"expected shapes (16, 16), got {[each.shape for each in squares]}")
    found = LikelyParts(
        np.empty((n, 4), np.uint64), np.empty((PLANES, n, 4), np.uint64), np.empty(n, np.int64)
    )
    if n:
        match = np.array(match, order="C")
        arrays = [address_of(each) for each in squares]
        results = [address_of(each) for each in found]
        _functions().likely_parts(address_of(match), n, *arrays, *results)
    return found


class _Functions(NamedTuple):
    """The functions of ``hash.c``."""

    hash_all: Any
    scratch_bytes: Any
    likely_parts: Any


@cache
def _functions() -> _Functions:
    """Set the argument types of the functions."""
    hash_all, scratch_bytes = load_library().imgdup_hash, load_library().imgdup_hash_scratch
    hash_all.restype = None
    hash_all.argtypes = (
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_void_p,
    )
    scratch_bytes.restype, scratch_bytes.argtypes = ctypes.c_int64, (ctypes.c_int64,)
    likely_parts = load_library().imgdup_likely_parts
    likely_parts.restype = None
    likely_parts.argtypes = (ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 6)
    return _Functions(hash_all, scratch_bytes, likely_parts)


def _words(kind: Kind) -> int:
    """Length of a hash in 64-bit words."""
    if kind not in KINDS:
        raise ValueError(f"expected a hash and its bits from {KINDS}, got {kind!r}")
    return kind[1] // 64


def _checked(picture: Picture) -> npt.NDArray[Any]:
    """Check a picture, and return its pixels so that those of a row are adjacent."""
    pixels, reduction = picture.pixels, picture.reduction
    height, width = picture.height, picture.width
    if pixels.dtype not in DTYPES:
        raise TypeError(f"pixels must be uint8 or float32, got {pixels.dtype}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"the reduction must be one of {REDUCTIONS}, got {reduction}")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"sides must be from 1 to {MAX_SIDE} pixels, got {height} x {width}")
    shape = (-(-height // reduction), -(-width // reduction))
    if pixels.shape != shape:
        raise ValueError(
            f"pixels must have shape {shape} for {height} x {width} reduced by {reduction}, "
            f"got {pixels.shape}"
        )
    if pixels.flags.carray:
        return pixels
    aligned = pixels.flags.aligned and pixels.strides[0] % pixels.itemsize == 0
    touching = pixels.strides[1] == pixels.itemsize
    return pixels if aligned and touching else np.array(pixels, order="C")


def _described(picture: Picture, pixels: npt.NDArray[Any]) -> bytes:
    size = picture.height, picture.width, picture.reduction
    form = *picture.short_first, pixels.itemsize > 1
    return _PICTURE.pack(address_of(pixels), pixels.strides[0], *size, *form)
