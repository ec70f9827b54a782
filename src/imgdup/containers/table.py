"""Read the pictures in a column of a Parquet or Arrow file, such as those of Hugging Face.

A cell holds the bytes of a file, or a path, or both in a struct with the fields ``bytes`` and
``path``. This module needs pyarrow, an extra, so it is imported for the first such file only.
"""

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pyarrow
import pyarrow.parquet

from imgdup.containers import (
    TABLE_ROW,
    ContainerChangedError,
    Directory,
    Fault,
    OpenFile,
    Place,
    PlainFile,
    Stamp,
    raise_if_unread,
)
from imgdup.errors import ImageError
from imgdup.images.formats import SNIFF_BYTES, sniff
from imgdup.system.files import read_file
from imgdup.system.limits import Limits
from imgdup.system.paths import is_remote

NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp")  # of columns
BATCH_ROWS = 16  # of a row group that are in memory at a time
BUFFER_BYTES = 1 << 18  # of a column that is read at a time; with more, memory is mapped again
MANY_NAMES = 8  # of columns in a message
FIRST_GROUPS = 8  # row groups in which the first picture of a column is looked for

# What pyarrow raises for a damaged file; that memory is short is another error.
ARROW_ERRORS = (
    pyarrow.ArrowInvalid,
    pyarrow.ArrowNotImplementedError,
    OSError,
    ValueError,
    KeyError,
)

_BYTES, _PATH = "bytes", "path"  # fields of a struct


class TableFile:
    """An open Parquet or Arrow file; `kind` is ``"parquet"`` or ``"arrow"``."""

    def __init__(self, file: OpenFile, kind: str) -> None:
        self.file = file
        self._reader = _ParquetReader(file) if kind == "parquet" else _ArrowReader(file)
        self._cursor: _Cursor | None = None

    def directory(self, limits: Limits, column: str = "") -> Directory:
        """List the cells of a column, by default the one with pictures.

        A damaged file gives a fault.
        """
        found = Directory()
        try:
            self._reader.open()
            number = self._column(column)
            name = os.fsencode(self._reader.names[number])
            row = 0
            for group, n_rows in enumerate(self._reader.group_sizes()):
                for i in range(n_rows):
                    found.add(b"%d/%s" % (row, name), (TABLE_ROW, group, i, 0, number))
                    row += 1
        except _NoColumn as error:
            found.fault = error.fault
        except ARROW_ERRORS as error:
            raise_if_unread(error)
            found.fault = Fault("damaged", f"the file cannot be read: {one_line(error)}")
        return found

    def _column(self, wanted: str) -> int:
        """Return the number of the column of pictures."""
        names = self._reader.names
        shown = ", ".join(names[:MANY_NAMES]) + (", ..." if len(names) > MANY_NAMES else "")
        if wanted:
            if wanted not in names:
                text = f"it has no column {wanted!r}; its columns are: {shown}"
                raise _NoColumn("unsupported", text)
            return names.index(wanted)
        types = self._reader.types
        possible = [i for i, each in enumerate(types) if _holds_bytes(each)]
        found = [i for i in possible if self._begins_with_pictures(i)]
        found = found or [i for i in possible if _is_struct(types[i])]
        if len(found) > 1:
            found = [i for name in NAMES for i in found if names[i].lower() == name][:1] or found
        if len(found) > 1:
            several = ", ".join(names[i] for i in found)
            text = f"several columns may hold pictures: {several}; name one with --column"
            raise _NoColumn("unsupported", text)
        if not found:
            text = f"no column holds pictures; its columns are: {shown}; --column names another"
            raise _NoColumn("not-an-image", text)
        return found[0]

    def _begins_with_pictures(self, number: int) -> bool:
        """Return whether the first cell of a column that is not empty is a picture, or damaged."""
        try:
            groups = (self._reader.batches(group, number) for group in range(FIRST_GROUPS))
            for batch in chain.from_iterable(groups):
                cells = _Cells(batch)
                for row in range(len(batch)):
                    data = cells.data(row)
                    if data is not None:
                        return sniff(bytes(data[:SNIFF_BYTES])) != "unknown"
        except ARROW_ERRORS as error:
            raise_if_unread(error)
            return True
        return False

    def read(self, place: Place, limits: Limits) -> bytes:
        """Read one cell; of a path in it, the file.

        Raises ImageError: ``not-an-image`` if it is empty, ``damaged``, ``too-large``, or as for
        the file.
        """
        cells, row = self._cells(place)
        data = cells.data(row)
        if data is not None:
            limits.check_bytes(len(data))
            return bytes(data)
        path = cells.path(row)
        if not path:
            raise ImageError("not-an-image", "there is no picture in this row")
        if "://" in path:
            raise ImageError("unsupported", "URLs in a table are not read")
        if is_remote(self.file.path):
            raise ImageError("unsupported", "paths in a table on a server are not read")
        folder = os.path.dirname(self.file.path)
        return read_file(os.path.join(folder, os.fsencode(path)), limits).data

    def head(self, place: Place, n_bytes: int) -> bytes:
        """Return the first bytes of a cell; none if they cannot be read."""
        try:
            return self.read(place, Limits())[:n_bytes]
        except ImageError:
            return b""

    def _cells(self, place: Place) -> "tuple[_Cells, int]":
        """Return some cells that are in memory, and which of them is at a place."""
        _, group, row, _, number = place
        if self._cursor is None or not self._cursor.is_before(group, number, row):
            try:
                self._reader.open()
                self._cursor = _Cursor(self._reader, group, number)
            except ARROW_ERRORS as error:
                raise_if_unread(error)
                raise ImageError("damaged", one_line(error)) from error
        return self._cursor.find(row)


class _NoColumn(ValueError):
    """There is no column of pictures, or there are several."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(reason, detail)


class _Cursor:
    """Walks through the cells of a row group; it only moves on, as neighbours are read in order."""

    def __init__(self, reader: "_ParquetReader | _ArrowReader", group: int, number: int) -> None:
        self._key = group, number
        self._batches = reader.batches(group, number)
        self._start, self._batch = 0, _Cells(next(self._batches, pyarrow.array([], "binary")))
        self._error: ImageError | None = None

    def is_before(self, group: int, number: int, row: int) -> bool:
        """Return whether a cell is at the cursor or behind it."""
        return self._key == (group, number) and row >= self._start

    def find(self, row: int) -> "tuple[_Cells, int]":
        """Return the cells with a row, and its number there; ``damaged`` behind a damaged page."""
        while self._error is None and row >= self._start + len(self._batch):
            self._start += len(self._batch)
            try:
                self._batch = _Cells(next(self._batches))
            except StopIteration:
                self._error = ImageError("damaged", "the row group ends before this row")
            except ARROW_ERRORS as error:
                if isinstance(error, OSError) and error.errno is not None:
                    self._key = -1, -1  # the next cell is looked for from the beginning
                    raise
                detail = f"the column is damaged from row {self._start:,} of a row group on"
                self._error = ImageError("damaged", f"{detail}: {one_line(error)}")
        if self._error is not None:
            raise self._error
        return self._batch, row - self._start


class _Cells:
    """Some cells of a column: the bytes, or the path, in each.

    A cell of a struct is slow to make, so its fields are divided first.
    """

    def __init__(self, column: Any) -> None:
        self._n_cells = len(column)
        self._bytes = self._path = None
        if pyarrow.types.is_struct(column.type):
            named = zip((field.name for field in column.type), column.flatten(), strict=True)
            fields = dict(named)
            self._bytes, self._path = fields.get(_BYTES), fields.get(_PATH)
        elif _holds_bytes(column.type):
            self._bytes = column
        else:
            self._path = column

    def __len__(self) -> int:
        return self._n_cells

    def data(self, row: int) -> memoryview | None:
        """Return the bytes in a cell; None if there are none."""
        cell = None if self._bytes is None else self._bytes[row]
        if isinstance(cell, pyarrow.DictionaryScalar):
            cell = cell.value
        if cell is None or not cell.is_valid or not hasattr(cell, "as_buffer"):
            return None
        return memoryview(cell.as_buffer())

    def path(self, row: int) -> str | None:
        """Return the path in a cell; None if there is none."""
        value = None if self._path is None else self._path[row].as_py()
        return value if isinstance(value, str) else None


def _native(file: OpenFile) -> Any:
    """Return a file as pyarrow opens it itself, to read into memory that it uses again.

    What Python reads is copied into new memory for each page, which takes a third longer.
    """
    if not isinstance(file, PlainFile) or not file.path.isascii():
        return file.raw
    opened = pyarrow.OSFile(os.fsdecode(file.path))
    if Stamp.of(os.fstat(opened.fileno())) != file.stamp:
        raise ContainerChangedError()
    return opened


class _ParquetReader:
    """The columns of a Parquet file."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._opened: Any = None

    def open(self) -> None:
        if self._opened is None:
            options = {"buffer_size": BUFFER_BYTES, "pre_buffer": False}
            self._opened = pyarrow.parquet.ParquetFile(_native(self._file), **options)

    @property
    def names(self) -> list[str]:
        return list(self._opened.schema_arrow.names)

    @property
    def types(self) -> list[Any]:
        return list(self._opened.schema_arrow.types)

    def group_sizes(self) -> Iterator[int]:
        metadata = self._opened.metadata
        return (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))

    def batches(self, group: int, number: int) -> Iterator[Any]:
        """Yield the cells of a column of a row group, some at a time."""
        if group >= self._opened.metadata.num_row_groups:
            return
        rows = self._opened.iter_batches(
            BATCH_ROWS, row_groups=[group], columns=[self.names[number]], use_threads=False
        )
        for batch in rows:
            yield batch.column(0)


class _ArrowReader:
    """The columns of an Arrow file, or of a stream, as `datasets` writes it."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._schema: Any = None
        self._sizes: list[int] = []

    def open(self) -> None:
        if self._schema is None:
            self._schema = arrow_reader(self._file).schema

    @property
    def names(self) -> list[str]:
        return list(self._schema.names)

    @property
    def types(self) -> list[Any]:
        return list(self._schema.types)

    def group_sizes(self) -> Iterator[int]:
        return (batch.num_rows for batch in record_batches(arrow_reader(self._file)))

    def batches(self, group: int, number: int) -> Iterator[Any]:
        """Yield the cells of a column of a record batch; a stream is read up to it."""
        for i, batch in enumerate(record_batches(arrow_reader(self._file))):
            if i == group:
                yield batch.column(number)
                return


def arrow_reader(file: OpenFile) -> Any:
    """Open an Arrow file, or a stream, from its start."""
    file.raw.seek(0)
    try:
        return pyarrow.ipc.open_file(file.raw)
    except pyarrow.ArrowInvalid:
        file.raw.seek(0)
        return pyarrow.ipc.open_stream(file.raw)


def record_batches(reader: Any) -> Iterator[Any]:
    """Yield the record batches of an Arrow file or a stream."""
    if hasattr(reader, "get_batch"):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)


def one_line(error: Exception) -> str:
    """Return the text of an error of pyarrow as one short line."""
    return " ".join(str(error).split())[:200]


def _is_struct(kind: Any) -> bool:
    """Return whether a type is a struct of bytes and a path, as Hugging Face writes pictures."""
    if not pyarrow.types.is_struct(kind):
        return False
    return {field.name for field in kind} == {_BYTES, _PATH}


def _holds_bytes(kind: Any) -> bool:
    """Return whether cells of a type are bytes, or would be if no dictionary stored them once."""
    if pyarrow.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    is_binary = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
    return is_binary or _is_struct(kind)
