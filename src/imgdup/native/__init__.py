"""Compiled loops over arrays: C without Python's headers, called by ctypes.

This module loads the library and checks arguments; the others call the functions of one or two C
sources each. A call processes many items, because a call itself takes a microsecond or two. It
releases the interpreter's lock, so that other threads run meanwhile.

There is one library for each level of x86-64: ``v2`` (SSE 4.2, every processor since 2009), ``v3``
(AVX2) and ``v4`` (AVX-512 with VPOPCNTDQ). Other processors have one library, ``baseline``. The
best one that the processor and its system support is loaded. The environment variable
``IMGDUP_NATIVE`` selects another one, by level or by path. All of them give the same results.
"""

import ctypes
import json
import operator
import os
import platform
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError

VARIABLE = "IMGDUP_NATIVE"
LEVELS = ("v2", "v3", "v4")  # of x86-64; each includes the previous ones
BASELINE = "baseline"  # the level of all other processors
INTERFACE = 41  # the same as in `imgdup.h`
FOLDER = Path(__file__).parent
CHECKSUMS = "checksums.json"  # CRC-32 by file name; a damaged library could end the process
REMEDY = "install imgdup again from its source"

ADDRESS, INTEGER = ctypes.c_void_p, ctypes.c_int64  # types of arguments
Shape: TypeAlias = tuple[int | None, ...]  # None is any length
Pixels: TypeAlias = npt.NDArray[np.uint8]
Plane: TypeAlias = npt.NDArray[np.float32]  # shape (height, width)

_from_buffer: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer
_ENDINGS = {"win32": ".dll", "cygwin": ".dll", "darwin": ".dylib"}


def library_name(level: str) -> str:
    """Return the file name of the library of a level."""
    return f"imgdup-{level}{_ENDINGS.get(sys.platform, '.so')}"


@cache
def load_library() -> ctypes.CDLL:
    """Load the library, once.

    Raises
    ------
    ImgdupError
        If there is no library for this processor, it cannot be loaded, or ``IMGDUP_NATIVE`` is
        wrong.
    """
    requested = os.environ.get(VARIABLE, "")
    return (
        _load(Path(requested))
        if _is_path(requested)
        else _load_own(library_name(_supported(requested)))
    )


def level() -> str:
    """Return the level in use, such as ``"v3"``, or the path in the environment variable."""
    requested = os.environ.get(VARIABLE, "")
    return requested if _is_path(requested) else _supported(requested)


@cache
def best_level() -> str:
    """Return the highest level that the processor supports.

    Raises
    ------
    ImgdupError
        If it supports none, or the library that detects it cannot be loaded.
    """
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return BASELINE
    lowest = _load_own(library_name(LEVELS[0]))
    found = int(lowest.imgdup_processor_level())
    if found < int(LEVELS[0][1:]):
        raise ImgdupError("this processor lacks SSE 4.2 and POPCNT, which imgdup needs")
    return f"v{found}"


def _is_path(requested: str) -> bool:
    """Return whether the variable is a path instead of a level."""
    return "/" in requested or os.sep in requested


def _supported(requested: str) -> str:
    """Return the requested level, or the best one if none is requested."""
    best = best_level()
    supported = LEVELS[: LEVELS.index(best) + 1] if best in LEVELS else (BASELINE,)
    if requested and requested not in supported:
        raise ImgdupError(
            f"{VARIABLE}={requested}, but this processor supports {', '.join(supported)}: "
            "set it to one of them, or unset it"
        )
    return requested or best


@cache
def _load_own(name: str) -> ctypes.CDLL:
    """Load a library that was installed with imgdup; refuse it if its checksum differs."""
    path = FOLDER / name
    try:
        checksums = json.loads((FOLDER / CHECKSUMS).read_text(encoding="utf-8"))
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImgdupError(f"the library {path} cannot be used ({error}): {REMEDY}") from error
    if zlib.crc32(content) != checksums.get(name):
        raise ImgdupError(f"the library {path} is damaged: {REMEDY}")
    return _load(path)


def _load(path: Path) -> ctypes.CDLL:
    """Load a library file and check that it belongs to this version."""
    try:
        loaded = ctypes.CDLL(os.fspath(path))
        found = int(loaded.imgdup_interface())
    except (OSError, AttributeError) as error:
        raise ImgdupError(f"the library {path} cannot be used ({error}): {REMEDY}") from error
    if found != INTERFACE:
        raise ImgdupError(
            f"the library {path} has interface {found}, but {INTERFACE} is needed: {REMEDY}"
        )
    return loaded


def declared(signatures: Mapping[str, tuple[Any, ...]]) -> ctypes.CDLL:
    """Load the library, and declare what some functions return and the types of their arguments."""
    library = load_library()
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def read_address(array: npt.NDArray[Any], dtype: type[np.generic], shape: Shape) -> int:
    """Return the address of an array to read; refuse another dtype, shape or layout."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected an ndarray of {np.dtype(dtype)}, got {type(array).__name__}")
    found, flags, sides = array.dtype, array.flags, array.shape
    fits = found.type is dtype and found.isnative and flags.c_contiguous and flags.aligned
    if sides != shape:
        fits = fits and len(sides) == len(shape)
        for wanted, side in zip(shape, sides, strict=False):
            fits = fits and (wanted is None or wanted == side)
    if not fits:
        wanted_shape = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(
            f"expected a contiguous array of {np.dtype(dtype)} of shape ({wanted_shape}), "
            f"got {array.dtype} of shape {array.shape} and strides {array.strides}"
        )
    return address_of(array)


def write_address(array: npt.NDArray[Any], dtype: type[np.generic], shape: Shape) -> int:
    """Return the address of an array to write to; refuse one that must not be written."""
    address = read_address(array, dtype, shape)
    if not array.flags.writeable:
        raise ValueError(f"cannot write to a read-only array of shape {array.shape}")
    return address


def address_of(array: npt.NDArray[Any]) -> int:
    """Return the address of an array that was made or checked before."""
    try:
        return ctypes.addressof(_from_buffer(array))  # in a third of the time of what follows
    except (TypeError, ValueError):  # read-only, not contiguous, or empty
        address: int = array.__array_interface__["data"][0]
        return address


def checked_plane(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Check a plane, and return it contiguous."""
    if plane.dtype != np.float32 or plane.ndim != 2 or plane.shape != shape:
        raise ValueError(
            f"expected planes of float32 of one shape (height, width), got {plane.dtype} "
            f"of shape {plane.shape} beside {shape}"
        )
    return np.ascontiguousarray(plane)


def checked_number(name: str, value: int, least: int, greatest: int) -> int:
    """Return a whole number; refuse one that is out of range."""
    number = operator.index(value)
    if not least <= number <= greatest:
        raise ValueError(f"the {name} must be from {least} to {greatest}, got {number}")
    return number
