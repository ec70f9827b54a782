"""The compiled library for this processor -> its functions.

A library is compiled for each level of x86-64: ``v2`` (SSE 4.2, every processor since 2009), ``v3``
(AVX2) and ``v4`` (AVX-512 with VPOPCNTDQ); elsewhere there is one, ``baseline``. The best that the
processor and its system support is loaded. The environment variable ``IMGDUP_NATIVE`` says which
one instead, as a level or as the path of a library. All of them give the same results.
"""

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

from imgdup.errors import ImgdupError

VARIABLE = "IMGDUP_NATIVE"
LEVELS = ("v2", "v3", "v4")  # of x86-64, each of which includes those before it
BASELINE = "baseline"  # of all other processors
INTERFACE = 1  # that of `imgdup.h`
FOLDER = Path(__file__).parent
REMEDY = "install imgdup again: python -m pip install --force-reinstall --no-deps imgdup"

_ENDINGS = {"win32": ".dll", "cygwin": ".dll", "darwin": ".dylib"}


def library_name(level: str) -> str:
    """Return the file name of the library of a level."""
    return f"imgdup-{level}{_ENDINGS.get(sys.platform, '.so')}"


@cache
def library() -> ctypes.CDLL:
    """Load the library, once.

    Raises
    ------
    ImgdupError
        If there is none for this processor, it cannot be loaded, or ``IMGDUP_NATIVE`` names none.
    """
    return _load(_chosen(os.environ.get(VARIABLE, "")))


def level() -> str:
    """Return the level that is used, such as ``"v3"``, or the path that the variable names."""
    return os.environ.get(VARIABLE, "") or best_level()


@cache
def best_level() -> str:
    """Return the highest level that the processor supports.

    Raises
    ------
    ImgdupError
        If it supports none, or the library that knows cannot be loaded.
    """
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return BASELINE
    lowest = _load(FOLDER / library_name(LEVELS[0]))
    found = int(lowest.imgdup_processor_level())
    if found < int(LEVELS[0][1:]):
        raise ImgdupError("this processor lacks SSE 4.2 and POPCNT, which imgdup needs")
    return f"v{found}"


def _chosen(asked: str) -> Path:
    """Find the library that the variable asks for, or the best one where it asks for none."""
    if os.sep in asked or "/" in asked:
        return Path(asked)
    best = best_level()
    supported = LEVELS[: LEVELS.index(best) + 1] if best in LEVELS else (BASELINE,)
    if asked and asked not in supported:
        raise ImgdupError(
            f"{VARIABLE}={asked}, but this processor supports {', '.join(supported)}: "
            "set it to one of them, or unset it"
        )
    return FOLDER / library_name(asked or best)


@cache
def _load(path: Path) -> ctypes.CDLL:
    """Load a library file and see whether it is of this version."""
    if not path.is_file():
        raise ImgdupError(f"there is no library {path}: {REMEDY}")
    try:
        loaded = ctypes.CDLL(os.fspath(path))
        found = int(loaded.imgdup_interface())
    except (OSError, AttributeError) as error:
        raise ImgdupError(f"the library {path} is broken ({error}): {REMEDY}") from error
    if found != INTERFACE:
        raise ImgdupError(
            f"the library {path} has interface {found}, this imgdup needs {INTERFACE}: {REMEDY}"
        )
    return loaded
