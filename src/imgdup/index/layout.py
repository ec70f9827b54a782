"""Write and check the first bytes of an index file, which describe its arrays.

The file, all numbers little-endian::

    preamble   magic, version, size of the file, size of the pickle, number of arrays, CRC32
    table      one (bytes, CRC32) per array
    pickle     texts, numbers, and the names, types and shapes of the arrays
    arrays     one after the other, each from a page boundary, padded with zeros

There are no offsets: an array begins where the one before it ends. The CRC32 of the preamble covers
everything before the first array except itself, and the CRC32 of an array covers its padding, so
every byte is checked.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from imgdup.errors import IndexFormatError
from imgdup.index import plain

FORMAT_VERSION = 2  # of files that are written
READABLE_VERSIONS = (1, 2)
MAGIC = b"\xffimgdup\n"  # no text and no pickle begins so; a change of line ends shows
PREAMBLE = struct.Struct("<8sIQIII")
TABLE_ROW = struct.Struct("<QI")
PAGE_BYTES = 4096
MAX_ARRAYS = 256
DIGEST_BYTES = 16


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

    Parameters
    ----------
    path : Path
        Its name, for the message.
    file : BinaryIO
        The file, open at its beginning.

    Raises
    ------
    ValueError
        If the file is of another kind, truncated, too long or damaged; the text names the fault.
    IndexFormatError
        If its format version is none of ``READABLE_VERSIONS``; the text names it and them.
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
    if n_arrays > MAX_ARRAYS or pickle_bytes > plain.MAX_BYTES:
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
