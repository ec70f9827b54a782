"""Read the tutorial's dictionary of hashes from a pickle file, and compare its hashes with others.

The file is data from anywhere, so it is checked before anything is loaded: only the opcodes that
build numbers, texts, lists and one dictionary are allowed, and of all classes and functions only
those that NumPy uses for one number, in whose place functions of this module are called.

References
----------
.. [1] A. Rosebrock, "Building an Image Hashing Search Engine with VP-Trees and OpenCV",
   PyImageSearch, 2019.
"""

import io
import math
import os
import pickle
import pickletools
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from imgdup.errors import ImgdupError

TUTORIAL_HASH = "dhash-tutorial"  # the name of its hash in imgdup.hashing.HASHERS
MAX_KEY = 1 << 64  # float64 rounds the largest hashes of 64 bits up to it
_OPCODES = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET"
    " INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
    " STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " BINBYTES SHORT_BINBYTES BINBYTES8"
    " NONE NEWTRUE NEWFALSE EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS"
    " EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE BUILD".split()
)
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_NUMBERS = {"i8": "q", "u8": "Q", "f8": "d"}  # NumPy's name of a kind of number: that of struct


class TutorialPickle(NamedTuple):
    """The tutorial's dictionary: the paths as they were written, and the key of each.

    `is_rounded` says whether the keys passed through float64, as they do in the tutorial.
    """

    paths: list[bytes]
    keys: list[int]
    is_rounded: bool


class Changes(NamedTuple):
    """How far new hashes are from the keys of a dictionary, in bits, one number per path."""

    bits: list[int]

    @property
    def n_unchanged(self) -> int:
        """Count the hashes that are those of the dictionary."""
        return self.bits.count(0)

    @property
    def median(self) -> int:
        """The median of the hashes that changed; 0 if there are none."""
        changed = sorted(filter(None, self.bits))
        return changed[len(changed) // 2] if changed else 0


def tutorial_key(value: int) -> int:
    """Return the key that the tutorial makes of a hash: rounded by float64 to 53 bits.

    Examples
    --------
    >>> tutorial_key(2**60 + 1) == 2**60, tutorial_key(2**64 - 1) == 2**64
    (True, True)
    """
    return int(float(value))


def changes(keys: Iterable[int], hashes: Iterable[int], *, is_rounded: bool) -> Changes:
    """Compare keys with new hashes, which are rounded first if the keys are."""
    comparable = map(tutorial_key, hashes) if is_rounded else hashes
    pairs = zip(keys, comparable, strict=True)
    return Changes([(key ^ value).bit_count() for key, value in pairs])


def read_tutorial_pickle(file: Path) -> TutorialPickle:
    """Read the dictionary that the tutorial's index_images.py writes, ``{hash: [paths]}``.

    A key is an int, a float, or an int64, uint64 or float64 of NumPy. Raises ImgdupError if the
    file is no pickle, asks for any other class or function, or holds anything else. Raises OSError
    if it cannot be read.
    """
    data = file.read_bytes()
    try:
        _check_opcodes(data)
        return _checked(_Unpickler(io.BytesIO(data), encoding="bytes").load())
    except ImgdupError as error:
        raise ImgdupError(f"{file} is not the dictionary of the tutorial: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever bytes that are no pickle make the unpickler raise
        raise ImgdupError(
            f"{file} is not a valid pickle file: {' '.join(str(error).split())}"
        ) from error


def _check_opcodes(data: bytes) -> None:
    """Refuse opcodes that the dictionary does not need, and memo numbers that take memory."""
    for n_before, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise ImgdupError(f"it holds more than numbers and paths (pickle opcode {opcode.name})")
        if opcode.name in _PUTS and int(argument or 0) > n_before:
            raise ImgdupError("it has an impossible memo number")


class _Kind:
    """Replaces a dtype of NumPy: the kind of one number."""

    def __init__(self, name: str | bytes, *flags: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.order = order if order in ("<", ">") else "="


def _number(kind: _Kind, data: bytes) -> int | float:
    """Replace the function of NumPy that makes a number of its bytes."""
    if kind.name not in _NUMBERS:
        raise ImgdupError(f"it has numbers of the kind {kind.name!r}")
    value: int | float = struct.unpack(kind.order + _NUMBERS[kind.name], data)[0]
    return value


def _encoded(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ImgdupError(f"it has bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Kind,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    """Loads what `_check_opcodes` has accepted; of all classes it knows only stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a function of NumPy; refuse everything else."""
        if (module, name) not in _STAND_INS:
            raise ImgdupError(f"it asks for {module}.{name}, and holds more than numbers and paths")
        return _STAND_INS[module, name]


def _checked(table: Any) -> TutorialPickle:
    """Check that a loaded object is a dictionary of hashes and lists of paths."""
    if type(table) is not dict or not table:
        raise ImgdupError(f"it holds {'an empty' if table == {} else 'no'} dictionary")
    paths: list[bytes] = []
    keys: list[int] = []
    lists: set[int] = set()
    for key, names in table.items():
        number = _key(key)
        if type(names) is not list or id(names) in lists:
            raise ImgdupError(f"the hash {number} has no list of paths of its own")
        lists.add(id(names))
        for name in names:
            if type(name) not in (str, bytes) or not name or "\0" in os.fsdecode(name):
                raise ImgdupError(f"the hash {number} has a path that cannot be one: {name!r:.80}")
            paths.append(os.fsencode(name))
            keys.append(number)
    return TutorialPickle(paths, keys, all(tutorial_key(key) == key for key in keys))


def _key(key: Any) -> int:
    """Return a key as a whole number; int64 holds large hashes as negative numbers."""
    is_whole = type(key) is int or (type(key) is float and math.isfinite(key) and key == int(key))
    if not is_whole:
        raise ImgdupError(f"{key!r:.80} is not a hash")
    number = int(key)
    number += MAX_KEY if -(MAX_KEY >> 1) <= number < 0 else 0
    if not 0 <= number <= MAX_KEY:
        raise ImgdupError(f"a number of {number.bit_length()} bits is no hash of 64 bits")
    return number
