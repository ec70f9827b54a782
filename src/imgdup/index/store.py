"""Store one dict of texts and numbers with named arrays in one file, which can run no code.

`imgdup.index.layout` describes the file. The pickle in its head holds
``{"head": the dict, "arrays": {name: {"dtype", "shape", "data"}}}``.
"""

import math
import mmap
import zlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.index import layout
from imgdup.index.layout import MAX_ARRAYS, Front, Span, padded
from imgdup.system.files import PUBLIC, open_regular, replacing

MAX_DIMENSIONS = 4
MAX_WIDTH = 1 << 20  # of every dimension but the first
BLOCK_BYTES = 1 << 20  # of an array, checksummed and written at a time
DTYPES = ("|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8")
REMEDY = "restore this file from a copy, or delete the index folder and run imgdup index again"

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


class Column(NamedTuple):
    """An array that is written chunk by chunk, so that it need not fit in memory.

    ``dtype`` is one of ``DTYPES``; ``chunks`` are arrays of that type whose rows, in order,
    make up ``shape``.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: Iterable[Array]


class Stored(NamedTuple):
    """What a file holds; ``arrays`` are read-only views of the map, ``digest`` names it all.

    ``version`` is that of its format; ``spans`` are the bytes of each array with its padding, and
    their CRC32, for `check_arrays`.
    """

    head: dict[str, Any]
    arrays: dict[str, Array]
    digest: str
    version: int
    spans: Mapping[str, tuple[Bytes, int]]


def save(
    path: Path,
    head: dict[str, Any],
    arrays: Mapping[str, Array | Column],
    *,
    sync: bool = True,
    mode: int = PUBLIC,
) -> None:
    """Write a dict and its arrays to one file, whole or not at all.

    Equal input gives equal bytes: the file contains no time and no data of the process. The head
    may hold texts (lone surrogates allowed), integers of at most 64 bits, lists, and dicts with
    texts as keys; at most 1 MiB and about 10,000 values. No floats, no booleans, no None. There may
    be 256 arrays of one to four dimensions, of the types ``DTYPES`` in any byte order. For `sync`
    and `mode` see `imgdup.system.files.replacing`.

    Raises TypeError, ValueError if the head holds something else or too much, or an array is not as
    declared. Raises ImgdupError if the file cannot be written; the old one is intact then.

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
    pickled = layout.dumps({"head": head, "arrays": _descriptions(columns)})
    data_start = padded(layout.front_bytes(len(columns), len(pickled)))
    total = data_start + sum(padded(_n_bytes(column)) for column in columns.values())
    with replacing(path, needed_bytes=total, sync=sync, mode=mode) as file:
        file.seek(data_start)
        spans = [_write_column(file, name, column) for name, column in columns.items()]
        file.seek(0)
        file.write(layout.pack(total, spans, pickled))


def load(path: Path, *, verify: bool = False) -> Stored:
    """Open a file that ``save`` wrote; takes the same time whatever its size.

    Nothing in the file is trusted and nothing in it can run; an invalid file is refused. The arrays
    are read-only and little-endian, and read from the disk when they are used. Should another
    program cut the file short while it is mapped, using it ends the process (SIGBUS); ``save``
    never does that. With `verify`, all of it is read and the checksum of every array compared. The
    digest distinguishes files, but does not protect against forgery.

    Raises IndexFormatError if the file is not an index file, is truncated, damaged or forged, or
    its format version is unknown; with `verify` the text names the damaged array. Raises
    ImgdupError if it cannot be read, FileNotFoundError if it is not there.
    """
    with open_regular(path) as file:
        try:
            front = layout.read(path, file)
            mapped = np.frombuffer(_mapped(path, file), dtype=np.uint8)
            spans = _spans(front, mapped)
            head, arrays = _interpreted(front, spans)
        except ValueError as error:
            raise IndexFormatError(f"{path}: {error}; {REMEDY}") from error
    edges = pairwise(layout.starts(front))
    padded_spans = [mapped[start:stop] for start, stop in edges]
    checksums = [span.checksum for span in front.spans]
    checked = dict(zip(arrays, zip(padded_spans, checksums, strict=True), strict=True))
    if verify:
        check_arrays(path, checked)
    return Stored(head, arrays, front.digest, front.version, checked)


def _as_column(name: str, array: Array | Column) -> Column:
    """Make an array a column of blocks of rows, and check what is declared."""
    column = array if isinstance(array, Column) else _blocks(np.asarray(array))
    if column.dtype not in DTYPES:
        raise TypeError(f"array {name!r} has dtype {column.dtype}, expected one of {DTYPES}")
    if not _is_shape([int(n) for n in column.shape]):
        raise ValueError(
            f"array {name!r} has shape {column.shape}, expected 1 to {MAX_DIMENSIONS} dimensions "
            f"and 1 to {MAX_WIDTH:,} values in all but the first"
        )
    return column


def _blocks(array: Array) -> Column:
    row_bytes = array.dtype.itemsize * math.prod(array.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    starts = range(0, len(array) if array.ndim else 0, step)
    blocks = (array[start : start + step] for start in starts)
    return Column(array.dtype.newbyteorder("<").str, array.shape, blocks)


def _descriptions(columns: Mapping[str, Column]) -> dict[str, Any]:
    return {
        name: {
            "dtype": column.dtype,
            "shape": [int(n) for n in column.shape],
            "data": layout.BUFFER,
        }
        for name, column in columns.items()
    }


def _n_bytes(column: Column) -> int:
    return math.prod(column.shape) * np.dtype(column.dtype).itemsize


def _write_column(file: BinaryIO, name: str, column: Column) -> Span:
    checksum = n_rows = 0
    for chunk in column.chunks:
        raw = _raw(name, column, chunk)
        checksum = zlib.crc32(raw, checksum)
        file.write(raw)
        n_rows += len(chunk)
    if n_rows != column.shape[0]:
        raise ValueError(f"array {name!r} has {n_rows} rows, {column.shape[0]} were declared")
    padding = bytes(-_n_bytes(column) % layout.PAGE_BYTES)
    file.write(padding)
    return Span(_n_bytes(column), zlib.crc32(padding, checksum))


def _raw(name: str, column: Column, chunk: Array) -> memoryview:
    """Return one chunk as contiguous little-endian bytes."""
    found = chunk.dtype.newbyteorder("<").str
    if found != column.dtype or chunk.shape[1:] != column.shape[1:]:
        raise ValueError(
            f"array {name!r} was declared {column.dtype} of shape {column.shape}, "
            f"got a chunk {found} of shape {chunk.shape}"
        )
    return np.ascontiguousarray(chunk, dtype=column.dtype).reshape(-1).view(np.uint8).data


def _mapped(path: Path, file: BinaryIO) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ImgdupError(f"cannot map {path}: {error.strerror}") from error


def _spans(front: Front, mapped: Bytes) -> list[Bytes]:
    """Cut the map into the bytes of each array; together they must fill it."""
    starts = list(layout.starts(front))
    if starts[-1] != len(mapped):
        raise ValueError("damaged head (the arrays do not fill the file)")
    return [
        mapped[start : start + span.n_bytes]
        for start, span in zip(starts[:-1], front.spans, strict=True)
    ]


def _interpreted(front: Front, spans: list[Bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Load the pickle, and give each span the type and shape of its description.

    Each description uses one span and no span is used twice, so none is left for the head.
    """
    content = _dict_of(layout.loads(front.pickled, spans), "head", "arrays")
    head, described = content["head"], content["arrays"]
    if type(head) is not dict or type(described) is not dict or len(described) != len(spans):
        raise ValueError("damaged head (structure)")
    pairs = zip(described.items(), spans, strict=True)
    return head, {name: _array(description, span) for (name, description), span in pairs}


def _array(description: object, span: Bytes) -> Array:
    fields = _dict_of(description, "dtype", "shape", "data")
    dtype, shape = fields["dtype"], fields["shape"]
    if fields["data"] is not span or dtype not in DTYPES or not _is_shape(shape):
        raise ValueError("damaged head (description of an array)")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(span):
        raise ValueError(f"damaged head (an array of {len(span)} bytes is no {dtype} {shape})")
    array: Array = span.view(dtype).reshape(shape)
    return array


def _is_shape(shape: object) -> bool:
    """Whether a shape is of ours; one of no bytes could else claim 2**60 rows or columns."""
    if type(shape) is not list or not 1 <= len(shape) <= MAX_DIMENSIONS:
        return False
    if any(type(n) is not int for n in shape):
        return False
    return shape[0] >= 0 and all(1 <= n <= MAX_WIDTH for n in shape[1:])


def _dict_of(value: object, *keys: str) -> dict[str, Any]:
    """Return a dict that has exactly these keys, in this order."""
    if type(value) is not dict or list(value) != list(keys):
        raise ValueError(f"damaged head (expected {', '.join(keys)})")
    return value


def check_arrays(path: Path, spans: Mapping[str, tuple[Bytes, int]]) -> None:
    """Compare the arrays of an opened file with their checksums, see `Stored`.

    Raises IndexFormatError if one differs; the text names the file, the array and the remedy.
    """
    for name, (content, checksum) in spans.items():
        if zlib.crc32(content.data) != checksum:
            raise IndexFormatError(f"{path}: array {name!r} is damaged (checksum); {REMEDY}")
