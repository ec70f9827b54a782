"""The head of an index file: the bytes that describe its arrays.

The file, all numbers little-endian::

    preamble   magic, version, size of the file, size of the pickle, number of arrays, CRC32
    table      one (bytes, CRC32) per array
    pickle     texts, numbers, and the names, types and shapes of the arrays
    arrays     one after the other, each from a page boundary, padded with zeros

There are no offsets: an array begins where the one before it ends. The CRC32 of the preamble covers
everything before the first array except itself, and the CRC32 of an array covers its padding, so
every byte is checked.

The pickle is protocol 5 with buffers out of band [1]_. Written without memo it names no callable
and shares no object, so 17 opcodes suffice. Reading first checks that there are no others, so
nothing can run and nothing can grow: each byte makes at most one object.

References
----------
.. [1] PEP 574, "Pickle protocol 5 with out-of-band data".
"""

import hashlib
import io
import os
import pickle
import pickletools
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from imgdup.errors import IndexFormatError

MAX_BYTES = 1 << 20  # of the pickle
MAX_OPCODES = 20_000  # checked in about 15 ms
MAX_DEPTH = 16
MAX_REASON = 100  # characters of the message of pickletools, which may quote the file
MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 64) - 1
OPCODES = frozenset(
    "PROTO FRAME STOP MARK EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS "
    "SHORT_BINUNICODE BINUNICODE BININT BININT1 BININT2 LONG1 NEXT_BUFFER".split()
)
# The place of a buffer. Writable, because a read-only one would need one more opcode.
BUFFER = pickle.PickleBuffer(bytearray())

FORMAT_VERSION = 2  # of files that are written
READABLE_VERSIONS = (1, 2)
MAGIC = b"\xffimgdup\n"  # no text and no pickle begins so; a change of line ends shows
PREAMBLE = struct.Struct("<8sIQIII")
TABLE_ROW = struct.Struct("<QI")
PAGE_BYTES = 4096
MAX_ARRAYS = 256
DIGEST_BYTES = 16


class _DataUnpickler(pickle.Unpickler):
    """A second protection: the allowed opcodes cannot refer to a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"it asks for {module}.{name}")


def dumps(value: dict[str, Any]) -> bytes:
    """Pickle plain data; ``BUFFER`` marks where ``loads`` puts the next buffer.

    Equal values give equal bytes: without a memo nothing depends on which texts are one object.

    Raises TypeError for any part but a text, integer, list, dict with texts as keys, or
    ``BUFFER``. Raises ValueError if it is larger than 1 MiB or than about 10,000 values.

    Examples
    --------
    >>> loads(dumps({"bits": 64, "data": BUFFER}), [b"12"])
    {'bits': 64, 'data': b'12'}
    """
    _check_plain(value, "head", [BUFFER])
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=5, buffer_callback=lambda _: None)
    pickler.fast = True
    pickler.dump(value)
    try:
        _check_opcodes(stream.getvalue())
    except ValueError as error:
        raise ValueError(f"too much data for the head of a file: {error}") from error
    return stream.getvalue()


def loads(data: bytes, buffers: Sequence[object]) -> dict[str, Any]:
    """Unpickle what ``dumps`` wrote; no byte of `data` is trusted.

    The buffers are put in the places of ``BUFFER``, in order. They should not be hashable: a forger
    can make one the key of a dict, and hashing a map reads all of it. The result holds them, texts,
    integers, lists and dicts with texts as keys, and nothing else. Raises ValueError if the pickle
    is not one of plain data, whatever else it is.
    """
    try:
        _check_opcodes(data)
    except ValueError as error:
        raise ValueError(f"damaged head ({str(error)[:MAX_REASON]})") from error
    try:
        value = _DataUnpickler(io.BytesIO(data), buffers=buffers).load()
        _check_plain(value, "head", buffers)
    except Exception as error:  # a forged pickle can make the machine raise anything
        raise ValueError(f"damaged head ({type(error).__name__})") from error
    if type(value) is not dict:
        raise ValueError(f"damaged head ({type(value).__name__} instead of dict)")
    return value


def _check_plain(value: object, where: str, buffers: Sequence[object], depth: int = 0) -> None:
    """Raise TypeError, naming the place, unless a value is plain data."""
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}, expected a text")
            _check_plain(item, f"{where}[{key!r}]", buffers, depth + 1)
    elif type(value) is list:
        for position, item in enumerate(value):
            _check_plain(item, f"{where}[{position}]", buffers, depth + 1)
    elif type(value) not in (str, int) and not any(value is buffer for buffer in buffers):
        raise TypeError(
            f"{where} is of type {type(value).__name__}, expected text, integer, list or dict"
        )


def _check_opcodes(data: bytes) -> None:
    """Raise ValueError unless a pickle has only admitted opcodes, few enough, up to its end."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data):,} bytes, at most {MAX_BYTES:,} are allowed")
    position = -1
    for count, (opcode, argument, place) in enumerate(pickletools.genops(data)):
        if opcode.name not in OPCODES:
            raise ValueError(f"the opcode {opcode.name} is refused")
        if type(argument) is int and not MIN_INTEGER <= argument <= MAX_INTEGER:
            raise ValueError("an integer of more than 64 bits")
        if count >= MAX_OPCODES:
            raise ValueError(f"more than {MAX_OPCODES:,} opcodes")
        position = place or 0
    if position + 1 != len(data):
        raise ValueError(f"{len(data) - position - 1} bytes follow its end")


class Span(NamedTuple):
    """The bytes of one array without its padding, and its CRC32 with it."""

    n_bytes: int
    checksum: int


class Front(NamedTuple):
    """The bytes before the arrays; ``digest`` (32 hex digits) identifies them and so the file."""

    version: int
    spans: list[Span]
    pickled: bytes
    digest: str


def padded(n_bytes: int) -> int:
    """Round up to whole pages."""
    return -(-n_bytes // PAGE_BYTES) * PAGE_BYTES


def front_bytes(n_arrays: int, pickle_bytes: int) -> int:
    """Count the bytes before the padding and the first array."""
    return PREAMBLE.size + TABLE_ROW.size * n_arrays + pickle_bytes


def starts(front: Front) -> Iterator[int]:
    """Yield where each array begins, and last where the file ends."""
    start = padded(front_bytes(len(front.spans), len(front.pickled)))
    for span in front.spans:
        yield start
        start += padded(span.n_bytes)
    yield start


def pack(total_bytes: int, spans: list[Span], pickled: bytes) -> bytes:
    """Make the bytes before the first array, padding included."""
    fields = (MAGIC, FORMAT_VERSION, total_bytes, len(pickled), len(spans))
    rest = b"".join(TABLE_ROW.pack(*span) for span in spans) + pickled
    rest += bytes(-(PREAMBLE.size + len(rest)) % PAGE_BYTES)
    return PREAMBLE.pack(*fields, _checksum(PREAMBLE.pack(*fields, 0), rest)) + rest


def read(path: Path, file: BinaryIO) -> Front:
    """Read the bytes before the first array and check all that needs no pickle.

    The path is for the message. Raises ValueError if the file is of another kind, truncated, too
    long or damaged; the text names the fault. Raises IndexFormatError if its format version is none
    of ``READABLE_VERSIONS``; the text names it and them.
    """
    preamble = file.read(PREAMBLE.size)
    size = os.fstat(file.fileno()).st_size
    _check_begin(path, preamble, size)
    _, version, total_bytes, pickle_bytes, n_arrays, checksum = PREAMBLE.unpack(preamble)
    if size < total_bytes:
        raise ValueError(f"truncated: {size} of {total_bytes} bytes")
    if size > total_bytes:
        raise ValueError(f"too long: {size} instead of {total_bytes} bytes")
    end = front_bytes(n_arrays, pickle_bytes)
    if n_arrays > MAX_ARRAYS or pickle_bytes > MAX_BYTES:
        raise ValueError("damaged head (sizes)")
    rest = file.read(padded(end) - PREAMBLE.size)
    if _checksum(preamble, rest) != checksum:
        raise ValueError("damaged head (checksum)")
    return _front(version, rest[: end - PREAMBLE.size], TABLE_ROW.size * n_arrays)


def _check_begin(path: Path, preamble: bytes, size: int) -> None:
    """Refuse another kind of file, one cut within the preamble, and another version."""
    if preamble[: len(MAGIC)] != MAGIC[: len(preamble)]:
        raise ValueError("not an imgdup index file")
    if len(preamble) < PREAMBLE.size:
        raise ValueError(f"truncated: {size} of at least {PAGE_BYTES} bytes")
    version = PREAMBLE.unpack(preamble)[1]
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        remedy = "upgrade imgdup" if version > FORMAT_VERSION else "run imgdup index again"
        raise IndexFormatError(
            f"{path}: format version {version}, this imgdup reads {readable}: {remedy}"
        )


def _front(version: int, data: bytes, table_bytes: int) -> Front:
    spans = [Span(*row) for row in TABLE_ROW.iter_unpack(data[:table_bytes])]
    digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
    return Front(version, spans, data[table_bytes:], digest)


def _checksum(preamble: bytes, rest: bytes) -> int:
    return zlib.crc32(rest, zlib.crc32(preamble[:-4]))
