"""A path, bytes or an array -> the hashes to look up."""

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup import hashing
from imgdup.images import decode as images
from imgdup.images.gray import ORIENTATIONS, GrayImage, turned
from imgdup.system.limits import Limits, require_memory

Image = str | bytes | os.PathLike[str] | npt.NDArray[np.uint8]


class Probe(NamedTuple):
    """The image that is looked up.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (1, words)
        Its search hash.
    pdq : ndarray of uint64, shape (1, 4)
        Its PDQ hash.
    quality : int
        PDQ quality, 0 to 100.
    digest : bytes
        Digest of the file's content; empty for an array, and for a turned picture.
    orientation : str
        How the image was turned before it was hashed, one of `imgdup.images.gray.ORIENTATIONS`.
    """

    hashes: npt.NDArray[np.uint64]
    pdq: npt.NDArray[np.uint64]
    quality: int
    digest: bytes
    orientation: str = ORIENTATIONS[0]


def make_probe(image: Image, name: str, bits: int, limits: Limits | None = None) -> Probe:
    """Hash an image as indexing does.

    Parameters
    ----------
    image : path, bytes or ndarray
        A file by its path (text or `Path`); the content of a file (bytes); or pixels, uint8 of
        shape (height, width) gray or (height, width, 3) RGB.
    name, bits : str, int
        The search hash, one of `imgdup.hashing.HASHERS`, and its length.
    limits : Limits, optional
        What the file may cost.

    Raises
    ------
    ImageError
        If the file cannot be read or decoded.
    ImgdupError
        If this process has no memory left for it.
    ValueError
        If the array is no such picture.
    """
    gray, digest = _gray_and_digest(image, limits or Limits())
    return _probe(gray, digest, name, bits, ORIENTATIONS[0])


def make_turned_probes(
    image: Image, name: str, bits: int, limits: Limits | None = None
) -> list[Probe]:
    """Hash an image in its eight orientations, from one decode; the first is as it is.

    Parameters and errors are those of `make_probe`.
    """
    gray, digest = _gray_and_digest(image, limits or Limits())
    return [
        _probe(turned(gray, i), b"" if i > 1 else digest, name, bits, orientation)
        for i, orientation in enumerate(ORIENTATIONS, start=1)
    ]


def _gray_and_digest(image: Image, limits: Limits) -> tuple[GrayImage, bytes]:
    require_memory()
    if isinstance(image, np.ndarray):
        return images.picture_from_array(image).gray, b""
    data = image if isinstance(image, bytes) else images.read_file(os.fsencode(image), limits).data
    return images.decode(data, limits).gray, images.content_digest(data)


def _probe(gray: GrayImage, digest: bytes, name: str, bits: int, orientation: str) -> Probe:
    hashes, pdq, quality = hashing.fingerprint(gray, name, bits)
    return Probe(hashes[np.newaxis], pdq[np.newaxis], quality, digest, orientation)


def hash_image(image: Image, name: str = "dhash", bits: int = 64) -> npt.NDArray[np.uint64]:
    """Hash one image.

    Parameters
    ----------
    image : path, bytes or ndarray
        As in `ImageIndex.within`.
    name : str
        ``"dhash"``, ``"ahash"``, ``"phash"`` or ``"pdq"``.
    bits : int
        64 or 256; ``"pdq"`` has 256.

    Returns
    -------
    ndarray of uint64, shape (1, bits / 64)
        Bit i of the integer is the i-th comparison; word w holds bits 64 w to 64 w + 63.

    Raises
    ------
    ImageError
        If the image cannot be read or decoded.
    ValueError
        If there is no such hash, or the array is no picture.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.tile(np.arange(180, dtype=np.uint8), (100, 1))
    >>> hex(int(hash_image(ramp)[0, 0]))
    '0xffffffffffffffff'
    """
    if name not in hashing.HASHERS or bits not in hashing.HASHERS[name].widths:
        known = ", ".join(f"{n} {hasher.widths}" for n, hasher in hashing.HASHERS.items())
        raise ValueError(f"expected a hash and its bits out of {known}, got {name!r}, {bits}")
    return make_probe(image, name, bits).hashes
