"""One dict of texts and numbers with named arrays <-> one file that can only be data.

The file, all numbers little-endian::

    preamble   magic, version, size of the file, size of the pickle, number of arrays, CRC32
    table      one (bytes, CRC32) per array
    pickle     {"head": the caller's dict, "arrays": {name: {"dtype", "shape", "data"}}}
    arrays     one after the other, each from a page boundary, padded with zeros

There are no offsets in the file: an array lies where the one before it ends. The CRC32 of the
preamble covers all up to the first array, that of an array covers its padding too, so no byte
is unwatched.
"""

import hashlib
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup import plain
from imgdup.atomic import open_regular, replacing
from imgdup.errors import ImgdupError, IndexFormatError

FORMAT_VERSION = 1
MAGIC = b"\x89imgdup\n"  # no text begins so, and a change of line ends shows
PREAMBLE = struct.Struct("<8sIQIII")
TABLE_ROW = struct.Struct("<QI")
PAGE_BYTES = 4096
MAX_ARRAYS = 256
MAX_DIMENSIONS = 4
BLOCK_BYTES = 1 << 20  # of an array, checksummed and written at a time
DTYPES = ("|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8")
DIGEST_BYTES = 16
REMEDY = "restore this file from a copy, or delete the index folder and run imgdup index again"

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


class Column(NamedTuple):
    """An array that is written as it comes, so that it need not fit in memory.

    ``dtype`` is one of ``DTYPES``; ``chunks`` are arrays of that type whose rows, in order,
    make up ``shape``.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: Iterable[Array]


class Stored(NamedTuple):
    """What a file holds; ``arrays`` are read-only views of the map, ``digest`` names it all."""

    head: dict[str, Any]
    arrays: dict[str, Array]
    digest: str


class _Front(NamedTuple):
    """What lies before the arrays: their table of (bytes, CRC32), and the pickle."""

    table: list[tuple[int, int]]
    pickled: bytes
    data_start: int
    digest: str


def save(
    path: Path,
    head: dict[str, Any],
    arrays: Mapping[str, Array | Column],
    *,
    sync: bool = True,
) -> None:
    """Write a dict and its arrays to one file, whole or not at all.

    Equal input gives equal bytes: nothing of the clock or the process gets into the file.

    Parameters
    ----------
    path : Path
        The file to make or to replace; its folder must exist.
    head : dict
        Texts (lone surrogates allowed), integers of at most 64 bits, lists, and dicts with texts
        as keys; at most 1 MiB and about 10,000 values. No floats, no booleans, no None.
    arrays : mapping of str to ndarray or Column
        At most 256, of one to four dimensions, of the types ``DTYPES`` in any byte order.
    sync : bool
        Whether to wait until the disk has it.

    Raises
    ------
    TypeError, ValueError
        If the head holds something else or too much, or an array is not as declared.
    ImgdupError
        If the file cannot be written; the old one is intact then.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "index.1"
    >>> save(path, {"bits": 64}, {"hashes": np.array([[7], [9]], dtype=np.uint64)})
    >>> load(path).head, load(path).arrays["hashes"].tolist()
    ({'bits': 64}, [[7], [9]])
    """
    columns = {name: _as_column(name, array) for name, array in arrays.items()}
    if len(columns) > MAX_ARRAYS:
        raise ValueError(f"{len(columns)} arrays, at most {MAX_ARRAYS} fit in one file")
    pickled = plain.dumps({"head": head, "arrays": _descriptions(columns)})
    data_start = _padded(_front_bytes(len(columns), len(pickled)))
    total = data_start + sum(_padded(_n_bytes(column)) for column in columns.values())
    with replacing(path, needed_bytes=total, sync=sync) as file:
        file.seek(data_start)
        table = [_write_column(file, name, column) for name, column in columns.items()]
        file.seek(0)
        file.write(_front(total, table, pickled))


def load(path: Path, *, verify: bool = False) -> Stored:
    """Open a file that ``save`` wrote; takes the same time whatever its size.

    Nothing in the file is trusted and nothing in it can run; a file that is not sound is refused.
    The arrays are read from the disk when they are used. Should another program cut the file
    short while it is mapped, using it ends the process (SIGBUS); ``save`` never does that.

    Parameters
    ----------
    path : Path
        The file.
    verify : bool
        Whether to read all of it and compare the checksum of every array.

    Returns
    -------
    Stored
        ``head`` as saved; ``arrays`` by name, read-only and little-endian; ``digest``, 32 hex
        digits, equal for equal files. It tells files apart; it is no proof against a forger.

    Raises
    ------
    IndexFormatError
        If the file is not an index file, is truncated, damaged or forged, or its format version
        is not ``FORMAT_VERSION``; with `verify` the text names the damaged array.
    ImgdupError
        If it cannot be read.
    FileNotFoundError
        If it is not there.
    """
    with open_regular(path) as file:
        try:
            front = _read_front(path, file)
            mapped = np.frombuffer(_mapped(path, file), dtype=np.uint8)
            spans = _spans(front, mapped)
            head, arrays = _interpreted(front, spans)
            if verify:
                _verify(front, mapped, arrays)
        except ValueError as error:
            raise IndexFormatError(f"{path}: {error}; {REMEDY}") from error
    return Stored(head, arrays, front.digest)


def digest(path: Path) -> str:
    """Name the content of a file by 32 hex digits without reading it all; raises as ``load``."""
    return load(path).digest


def _as_column(name: str, array: Array | Column) -> Column:
    """Make an array a column of blocks of rows, and check what is declared."""
    column = array if isinstance(array, Column) else _blocks(np.asarray(array))
    if column.dtype not in DTYPES:
        raise TypeError(f"array {name!r} has dtype {column.dtype}, expected one of {DTYPES}")
    if not 1 <= len(column.shape) <= MAX_DIMENSIONS or min(column.shape) < 0:
        raise ValueError(f"array {name!r} has shape {column.shape}, expected 1 to 4 dimensions")
    return column


def _blocks(array: Array) -> Column:
    row_bytes = array.dtype.itemsize * math.prod(array.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    starts = range(0, len(array) if array.ndim else 0, step)
    blocks = (array[start : start + step] for start in starts)
    return Column(array.dtype.newbyteorder("<").str, array.shape, blocks)


def _descriptions(columns: Mapping[str, Column]) -> dict[str, Any]:
    return {
        name: {"dtype": column.dtype, "shape": [int(n) for n in column.shape], "data": plain.BUFFER}
        for name, column in columns.items()
    }


def _n_bytes(column: Column) -> int:
    return math.prod(column.shape) * np.dtype(column.dtype).itemsize


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // PAGE_BYTES) * PAGE_BYTES


def _front_bytes(n_arrays: int, pickle_bytes: int) -> int:
    return PREAMBLE.size + TABLE_ROW.size * n_arrays + pickle_bytes


def _write_column(file: BinaryIO, name: str, column: Column) -> tuple[int, int]:
    """Write the chunks and their padding; the bytes without it, the CRC32 with it."""
    checksum = n_rows = 0
    for chunk in column.chunks:
        raw = _raw(name, column, chunk)
        checksum = zlib.crc32(raw, checksum)
        file.write(raw)
        n_rows += len(chunk)
    if n_rows != column.shape[0]:
        raise ValueError(f"array {name!r} has {n_rows} rows, {column.shape[0]} were declared")
    padding = bytes(-_n_bytes(column) % PAGE_BYTES)
    file.write(padding)
    return _n_bytes(column), zlib.crc32(padding, checksum)


def _raw(name: str, column: Column, chunk: Array) -> memoryview:
    """Return one chunk as contiguous little-endian bytes."""
    found = chunk.dtype.newbyteorder("<").str
    if found != column.dtype or chunk.shape[1:] != column.shape[1:]:
        raise ValueError(
            f"array {name!r} was declared {column.dtype} of shape {column.shape}, "
            f"got a chunk {found} of shape {chunk.shape}"
        )
    return np.ascontiguousarray(chunk, dtype=column.dtype).reshape(-1).view(np.uint8).data


def _front(total_bytes: int, table: list[tuple[int, int]], pickled: bytes) -> bytes:
    """Preamble, table and pickle, padded to a page; the CRC32 covers all but itself."""
    fields = (MAGIC, FORMAT_VERSION, total_bytes, len(pickled), len(table))
    rest = b"".join(TABLE_ROW.pack(*row) for row in table) + pickled
    rest += bytes(-(PREAMBLE.size + len(rest)) % PAGE_BYTES)
    return PREAMBLE.pack(*fields, _checksum(PREAMBLE.pack(*fields, 0), rest)) + rest


def _checksum(preamble: bytes, rest: bytes) -> int:
    return zlib.crc32(rest, zlib.crc32(preamble[:-4]))


def _read_front(path: Path, file: BinaryIO) -> _Front:
    """Read and check all that lies before the arrays."""
    preamble = file.read(PREAMBLE.size)
    size = os.fstat(file.fileno()).st_size
    _check_begin(path, preamble, size)
    _, _, total_bytes, pickle_bytes, n_arrays, checksum = PREAMBLE.unpack(preamble)
    if size < total_bytes:
        raise ValueError(f"truncated: {size} of {total_bytes} bytes")
    if size > total_bytes:
        raise ValueError(f"{size - total_bytes} bytes too long: {size} instead of {total_bytes}")
    end = _front_bytes(n_arrays, pickle_bytes)
    if n_arrays > MAX_ARRAYS or pickle_bytes > plain.MAX_BYTES or _padded(end) > size:
        raise ValueError("damaged head (sizes)")
    rest = file.read(_padded(end) - PREAMBLE.size)
    if _checksum(preamble, rest) != checksum:
        raise ValueError("damaged head (checksum)")
    used = rest[: end - PREAMBLE.size]
    split = TABLE_ROW.size * n_arrays
    name = hashlib.blake2b(used, digest_size=DIGEST_BYTES).hexdigest()
    return _Front(list(TABLE_ROW.iter_unpack(used[:split])), used[split:], _padded(end), name)


def _check_begin(path: Path, preamble: bytes, size: int) -> None:
    """Refuse another kind of file, one cut within the preamble, and another version."""
    if preamble[: len(MAGIC)] != MAGIC[: len(preamble)]:
        raise ValueError("not an imgdup index file")
    if len(preamble) < PREAMBLE.size:
        raise ValueError(f"truncated: {size} of at least {PAGE_BYTES} bytes")
    version = PREAMBLE.unpack(preamble)[1]
    if version != FORMAT_VERSION:
        remedy = "upgrade imgdup" if version > FORMAT_VERSION else "run imgdup index again"
        raise IndexFormatError(
            f"{path}: format version {version}, this imgdup reads {FORMAT_VERSION}: {remedy}"
        )


def _mapped(path: Path, file: BinaryIO) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ImgdupError(f"cannot map {path}: {error.strerror}") from error


def _spans(front: _Front, mapped: Bytes) -> list[Bytes]:
    """Cut the map into the bytes of each array; together they must fill it."""
    starts = list(_starts(front))
    if starts[-1] != len(mapped):
        raise ValueError("damaged head (the arrays do not fill the file)")
    return [
        mapped[start : start + n_bytes]
        for start, (n_bytes, _) in zip(starts[:-1], front.table, strict=True)
    ]


def _starts(front: _Front) -> Iterator[int]:
    """Where each array begins, and the end of the file."""
    start = front.data_start
    for n_bytes, _ in front.table:
        yield start
        start += _padded(n_bytes)
    yield start


def _interpreted(front: _Front, spans: list[Bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Load the pickle and give each span its type and shape.

    The buffers handed over are arrays, which cannot be hashed: see ``plain.loads``.
    """
    content = _keys(plain.loads(front.pickled, spans), "head", "arrays")
    described = content["arrays"]
    head = content["head"]
    if type(head) is not dict or type(described) is not dict or len(described) != len(spans):
        raise ValueError("damaged head (structure)")
    try:
        plain.check_plain(head, "head")
    except TypeError as error:
        raise ValueError(f"damaged head ({error})") from error
    pairs = zip(described.items(), spans, strict=True)
    return head, {_text(name): _array(description, span) for (name, description), span in pairs}


def _array(description: object, span: Bytes) -> Array:
    """Give a span the type and shape of its description."""
    fields = _keys(description, "dtype", "shape", "data")
    dtype, shape = fields["dtype"], fields["shape"]
    if fields["data"] is not span or type(dtype) is not str or dtype not in DTYPES:
        raise ValueError("damaged head (array)")
    if type(shape) is not list or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise ValueError("damaged head (shape)")
    if any(type(n) is not int or not 0 <= n < 1 << 48 for n in shape):
        raise ValueError("damaged head (shape)")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(span):
        raise ValueError("damaged head (an array is not as long as its shape says)")
    array: Array = span.view(dtype).reshape(shape)
    return array


def _keys(value: object, *keys: str) -> dict[str, Any]:
    """Return a dict that has exactly these keys in this order, or raise ValueError."""
    if type(value) is not dict or list(value) != list(keys):
        raise ValueError(f"damaged head (expected {', '.join(keys)})")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("damaged head (the name of an array is not a text)")
    return value


def _verify(front: _Front, mapped: Bytes, names: Iterable[str]) -> None:
    """Compare the checksum of every array, with its padding."""
    rows = zip(names, front.table, _starts(front), strict=False)
    for name, (n_bytes, checksum), start in rows:
        if zlib.crc32(mapped[start : start + _padded(n_bytes)].data) != checksum:
            raise ValueError(f"array {name!r} is damaged (checksum)")
