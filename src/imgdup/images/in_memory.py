"""Take an array, a tensor or a PIL image of the caller to the gray pixels of a picture."""

import sys
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imgdup.images.decode import Picture
from imgdup.images.gray import Pixels, to_gray
from imgdup.images.tiff import UPRIGHT


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
    """Take an array, a tensor or a PIL image for the picture that a lossless file of it holds.

    Parameters
    ----------
    given : object
        Pixels, uint8 of shape (height, width) gray or (height, width, 3) RGB: an ndarray, or an
        object with ``__array__``. Or a PIL image of any mode: it is turned as its EXIF data say,
        and laid on white if it is transparent.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        For any other dtype or shape, or no pixels at all.
    ImageError
        If a PIL image cannot be decoded.
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
