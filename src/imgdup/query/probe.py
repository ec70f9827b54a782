"""Make probes, the hashes to look up in an index, from files or from pictures in memory."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from imgdup import hashing
from imgdup.containers.reading import read_content
from imgdup.errors import ImageError, as_image_error
from imgdup.images.decode import Picture, decode
from imgdup.images.gray import ORIENTATIONS, Pixels, rotated, to_gray
from imgdup.images.tiff import UPRIGHT
from imgdup.system.files import NEW_DIGEST_KIND, content_digest
from imgdup.system.limits import Limits, require_memory

if TYPE_CHECKING:
    from imgdup.workers.pool import Pool

Probes = list["Probe"]  # of one picture: one, or one for each of its orientations
FEW_FILES = 16  # hashed in this process: they are done before worker processes have started


class HasArray(Protocol):
    """An object that NumPy turns into an array, such as a tensor."""

    def __array__(self) -> npt.NDArray[Any]:
        """Return the array."""


class HasArrayInterface(Protocol):
    """An object whose memory NumPy can use, such as a PIL image."""

    @property
    def __array_interface__(self) -> Any:
        """A description of the memory."""


Given = HasArray | HasArrayInterface
"""A picture in memory: an array, a tensor, a PIL image."""


def picture_in_memory(given: Given) -> Picture:
    """Return the picture that a lossless file of an array, a tensor or a PIL image holds.

    Pixels are uint8 of shape (height, width) gray or (height, width, 3) RGB: an ndarray, or an
    object with ``__array__``. A PIL image may have any mode: it is turned as its EXIF data say, and
    laid on white if it is transparent.

    Raises TypeError if it is none of these. Raises ValueError for any other dtype or shape, or no
    pixels at all. Raises ImageError if a PIL image cannot be decoded.
    """
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(given, pillow.Image):
        from imgdup.images.pillow import pixels_of_image

        pixels = pixels_of_image(given)
    else:
        pixels = _checked_pixels(_as_array(given))
    gray = to_gray(pixels, (pixels.shape[0], pixels.shape[1]), 1, UPRIGHT)
    return Picture(gray, gray.width, gray.height, "unknown")


def _as_array(given: object) -> npt.NDArray[Any]:
    """Return an object as an array; raise TypeError if it is not like one."""
    if not (hasattr(given, "__array__") or hasattr(given, "__array_interface__")):
        raise TypeError(
            "an image is a path, the bytes of a file, an array, a tensor or a PIL image, "
            f"got {type(given).__name__}"
        )
    try:
        return np.asarray(given)
    except (RuntimeError, TypeError, ValueError) as error:  # as of a tensor on another device
        raise ValueError(f"no array can be made of this {type(given).__name__}: {error}") from error


def _checked_pixels(array: npt.NDArray[Any]) -> Pixels:
    """Return an array if it has the form of a picture; the error says how to get there."""
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype == np.uint8 and fits and array.size:
        return array
    hints = []
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        hints.append("the channels come first: move them to the end, as in a.transpose(1, 2, 0)")
    elif array.ndim == 3 and array.shape[2] == 1:
        hints.append("leave out the last axis")
    elif array.ndim == 3 and array.shape[2] == 4:
        hints.append("lay it on a background, or give a PIL image")
    elif array.ndim == 4:
        hints.append("give one picture at a time")
    if array.dtype.kind == "f":
        hints.append("scale it to 0 to 255 and convert it to uint8")
    elif array.dtype != np.uint8:
        hints.append("convert it to uint8")
    raise ValueError(
        "an image must be uint8 of shape (height, width) or, in RGB, (height, width, 3), "
        f"got {array.dtype} of shape {array.shape}" + "".join(f"; {hint}" for hint in hints)
    )


Image = str | bytes | bytearray | memoryview | os.PathLike[str] | Given


class Probe(NamedTuple):
    """An image to look up."""

    hashes: npt.NDArray[np.uint64]  # its search hash
    match: npt.NDArray[np.uint64]  # its match hash
    quality: int  # quality, 0 to 100
    digest: bytes  # digest of the file's content; empty for an array, and for a rotated picture
    # How the image was rotated before it was hashed, one of `imgdup.images.gray.ORIENTATIONS`.
    orientation: str = ORIENTATIONS[0]
    pdq: npt.NDArray[np.uint64] | None = None  # its PDQ hash, for an index that has PDQ hashes
    # Of the image as it is, in pixels, upright.
    width: int = 0
    height: int = 0
    format: str = "unknown"  # one of `imgdup.images.formats.FORMATS`
    # The match hash of what flat borders enclose, 0 without borders, for an index that has them.
    trimmed: npt.NDArray[np.uint64] | None = None


def make_probe(image: Image, parameters: Mapping[str, Any], limits: Limits | None = None) -> Probe:
    """Hash an image as indexing does.

    It is a file by its path (text or `Path`), the content of a file (bytes), or a picture in
    memory, as for `picture_in_memory`. The parameters are `Generation.probe_parameters` of the
    index: the search hash and its length, how contents are digested, and whether the PDQ hash is
    needed.

    Raises ImageError if the file cannot be read or decoded. Raises ImgdupError if this process has
    no memory left for it. Raises ValueError or TypeError if it is not such a picture.
    """
    picture, digest = _picture_and_digest(image, parameters, limits or Limits())
    return _probe(picture, digest, parameters)


def make_probes(
    image: Image,
    parameters: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    orientations: bool = False,
) -> Probes:
    """Hash an image once, or in its eight orientations; the first is the image as it is.

    The other parameters and the errors are those of `make_probe`.
    """
    if not orientations:
        return [make_probe(image, parameters, limits)]
    picture, digest = _picture_and_digest(image, parameters, limits or Limits())
    first = _probe(picture, digest, parameters)
    turned = [
        _probe(picture._replace(gray=rotated(picture.gray, i)), b"", parameters)
        for i in range(2, len(ORIENTATIONS) + 1)
    ]
    return [
        probe._replace(orientation=orientation)
        for probe, orientation in zip([first, *turned], ORIENTATIONS, strict=True)
    ]


def probe_files(
    paths: Sequence[bytes],
    parameters: Mapping[str, Any],
    *,
    orientations: bool = False,
    pool: "Pool | None" = None,
) -> Iterator[Probes | ImageError]:
    """Hash files for a query, with parameters as for `make_probe`; yield one answer for each file.

    Up to 16 files are hashed in this process, others in a pool: the given one, or a new one. A
    picture has one probe, or one for each of its eight orientations. Raises ImgdupError if this
    process has no memory left to decode anything.
    """
    limits = Limits()
    hash_one = partial(_hash_file, dict(parameters), limits, orientations)
    if pool is not None or len(paths) > FEW_FILES:
        from imgdup.workers.pool import decode_each, decoding_pool

        with nullcontext(pool) if pool is not None else decoding_pool(limits) as used:
            yield from decode_each(hash_one, paths, used)
    else:
        for path in paths:
            try:
                answer: Probes | ImageError = hash_one(path)
            except Exception as error:
                answer = as_image_error(error)
            yield answer


def _hash_file(
    parameters: Mapping[str, Any], limits: Limits, orientations: bool, path: bytes
) -> Probes:
    return make_probes(os.fsdecode(path), parameters, limits=limits, orientations=orientations)


def _picture_and_digest(
    image: Image, parameters: Mapping[str, Any], limits: Limits
) -> tuple[Picture, bytes]:
    """Return the gray pixels of an image with its size, and the digest of its file."""
    require_memory()
    if isinstance(image, bytes | bytearray | memoryview):
        return _decoded(bytes(image), parameters, limits)
    if not isinstance(image, str | os.PathLike):
        return picture_in_memory(image), b""
    try:
        return _decoded(read_content(os.fsencode(image), limits).data, parameters, limits)
    except ImageError as error:
        error.path = os.fspath(image)
        raise


def _decoded(data: bytes, parameters: Mapping[str, Any], limits: Limits) -> tuple[Picture, bytes]:
    """Return the gray pixels of a file's content with its size, and its digest."""
    needs_opencv = hashing.HASHERS[parameters["hash"]].needs_opencv
    picture = decode(data, limits, with_opencv=needs_opencv)
    return picture, content_digest(data, parameters["digest_kind"])


def _probe(picture: Picture, digest: bytes, parameters: Mapping[str, Any]) -> Probe:
    gray, size = picture.gray, (picture.width, picture.height)
    with_trimmed = bool(parameters.get("with_trimmed"))
    found = hashing.fingerprints(
        [gray],
        parameters["hash"],
        parameters["bits"],
        with_pdq=bool(parameters["with_pdq"]),
        with_trimmed=with_trimmed,
    )
    hashes, quality = (found.hashes, found.match), int(found.qualities[0])
    probe = Probe(*hashes, quality, digest, ORIENTATIONS[0], found.pdq, *size, picture.format)
    return probe._replace(trimmed=found.trimmed) if with_trimmed else probe


def hash_image(image: Image, name: str = "dhash", bits: int = 64) -> npt.NDArray[np.uint64]:
    """Hash one image.

    Parameters
    ----------
    image : path, bytes, ndarray, tensor or PIL image
        As in `ImageIndex.within`.
    name : str
        ``"dhash"``, ``"ahash"``, ``"phash"``, ``"pdq"`` or ``"dhash-tutorial"``.
    bits : int
        64 or 256; ``"pdq"`` has 256, ``"dhash-tutorial"`` 64.

    Returns
    -------
    ndarray of uint64, shape (1, bits / 64)
        Bit i of the integer is the i-th comparison; word w holds bits 64 w to 64 w + 63.

    Raises
    ------
    ImageError
        If the image cannot be read or decoded.
    ValueError
        If there is no such hash, or an array is not a picture.
    TypeError
        If `image` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.tile(np.arange(180, dtype=np.uint8), (100, 1))
    >>> hex(int(hash_image(ramp)[0, 0]))
    '0xffffffffffffffff'
    """
    if name not in hashing.HASHERS or bits not in hashing.HASHERS[name].widths:
        known = ", ".join(f"{n} {hasher.widths}" for n, hasher in hashing.HASHERS.items())
        raise ValueError(f"expected a hash and its bits from {known}, got {name!r}, {bits}")
    parameters = {"hash": name, "bits": bits, "digest_kind": NEW_DIGEST_KIND, "with_pdq": 0}
    return make_probe(image, parameters).hashes
