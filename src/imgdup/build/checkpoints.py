"""Save the results of a run in files, so that a killed run loses next to nothing.

Each worker appends blocks of rows to a file of its own: one block per batch, with a checksum. A
file is read up to the first incomplete block. Whether a file is done is decided row by row, so a
run can be resumed after files were added and with another number of workers.

A file is a sequence of records of equal size, so that a row is found by its number. A block begins
with a head and a compressed text, which fill whole records; then one record per row follows.
"""

import heapq
import json
import logging
import mmap
import os
import re
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError
from imgdup.index.columns import empty_columns, fields
from imgdup.system.files import NEW_DIGEST_KIND, PRIVATE, content_digest, open_regular, write_error
from imgdup.system.limits import Limits
from imgdup.system.paths import path_key

log = logging.getLogger(__name__)

NAME_BYTES = 8
CHECKPOINT_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")
REMEDY = "run the same command again to read its files again"
MEMBERS_SUFFIX = ".members"  # of a file with what a tar file on a server holds

MAGIC = b"imgdupc2"
RECORD_ALIGNMENT = 8  # bytes
MAX_TEXT_BYTES = 1 << 26  # of a block, before it is compressed; real ones have some kilobytes

# Of a block: the magic, the size of a record in bytes, how many records head and text fill, how
# many rows follow, the size of the compressed text in bytes, and when the batch began. Then the
# checksum of everything else in the block.
_HEAD = struct.Struct("<8sIIIIq")
_CHECKSUM_BYTES = 16
_TEXT_START = _HEAD.size + _CHECKSUM_BYTES

# A status byte of checkpoints alone: the file was read again and its bytes are those that the old
# generation knows, so nothing was decoded and the old row is kept.
SAME_BYTES = 255

Columns = Mapping[str, npt.NDArray[Any]]


class BatchSettings(NamedTuple):
    """What all batches of a run share; no other run has the same name `run`.

    With `by_value`, batches are hashed on machines that may not have the folder, and are returned
    as blocks. With `began_ns`, they count as begun then: the clock of another machine may be wrong.
    """

    checkpoints_folder: Path
    parameters: dict[str, Any]
    limits: Limits
    run: str = ""
    by_value: bool = False
    began_ns: int | None = None

    def empty_columns(self, n_rows: int) -> dict[str, npt.NDArray[Any]]:
        """Return a zeroed column for each fact and hash of a file."""
        words, with_pdq, with_trimmed = _form(self.parameters)
        return empty_columns(n_rows, words, with_pdq=with_pdq, with_trimmed=with_trimmed)


class CheckpointRow(NamedTuple):
    """The facts and hashes of one file, in a checkpoint."""

    checkpoint: str
    row: int
    size: int
    mtime_ns: int
    hashed_ns: int
    status: int
    container_bytes: int = 0


def _form(parameters: Mapping[str, Any]) -> tuple[int, bool, bool]:
    """Return the width of the search hash, and whether there are PDQ and trimmed hashes."""
    with_pdq, with_trimmed = (bool(parameters[name]) for name in ("with_pdq", "with_trimmed"))
    return int(parameters["bits"]) // 64, with_pdq, with_trimmed


@cache
def _record(words: int, with_pdq: bool, with_trimmed: bool) -> np.dtype[np.void]:
    """Return the type of a row: its fields without gaps, then padding."""
    forms = fields(words, with_pdq=with_pdq, with_trimmed=with_trimmed)
    packed = np.dtype([(name, *form) for name, form in sorted(forms.items())])
    names = list(packed.names or ())
    return np.dtype(
        {
            "names": names,
            "formats": [packed[name] for name in names],
            "offsets": [packed.fields[name][1] for name in names] if packed.fields else [],
            "itemsize": -(-packed.itemsize // RECORD_ALIGNMENT) * RECORD_ALIGNMENT,
        }
    )


class _OwnFile(threading.local):
    """The file to which this thread appends, with its run, folder and process."""

    name = ""
    owner: tuple[str, Path, int] | None = None


_own_file = _OwnFile()


def make_block(
    settings: BatchSettings,
    hashed_ns: int,
    paths: Sequence[bytes],
    columns: Columns,
    failures: Mapping[int, str],
) -> bytes:
    """Write the rows of a batch, which began at `hashed_ns`, as a block of a checkpoint file.

    Each path is the key of a file, see `FileToHash`; the columns are those of
    `imgdup.index.columns`. `failures` has what went wrong, by row, for rows whose status is not ok.
    """
    record = _record(*_form(settings.parameters))
    rows = np.zeros(len(paths), record)
    for name in record.names or ():
        rows[name] = columns[name][: len(paths)]
    facts = {"parameters": settings.parameters, "failures": failures}
    lengths = array("I", map(len, paths)).tobytes()
    text = zlib.compress(b"".join([json.dumps(facts).encode(), b"\n", lengths, *paths]), level=1)
    n_text_records = -(-(_TEXT_START + len(text)) // record.itemsize)
    head = _HEAD.pack(MAGIC, record.itemsize, n_text_records, len(paths), len(text), hashed_ns)
    body = text.ljust(n_text_records * record.itemsize - _TEXT_START, b"\0") + rows.tobytes()
    return b"".join([head, content_digest(head + body, NEW_DIGEST_KIND), body])


def append_rows(
    settings: BatchSettings,
    hashed_ns: int,
    paths: Sequence[bytes],
    columns: Columns,
    failures: Mapping[int, str],
) -> tuple[str, int]:
    """Append the rows of a batch: make a block as `make_block` does, and call `append_block`."""
    block = make_block(settings, hashed_ns, paths, columns, failures)
    return append_block(settings, block, len(paths))


def append_block(settings: BatchSettings, block: bytes, n_rows: int) -> tuple[str, int]:
    """Append a block to the checkpoint file of this thread; return its name and first record.

    Raises ImgdupError if the file cannot be written.
    """
    owner = (settings.run, settings.checkpoints_folder, os.getpid())
    if _own_file.owner != owner:
        _own_file.owner, _own_file.name = owner, os.urandom(NAME_BYTES).hex()
    file = settings.checkpoints_folder / _own_file.name
    try:
        end = _append(file, block)
    except OSError as error:
        _own_file.owner = None  # what follows half of a block could not be read
        raise write_error(file, error, len(block)) from error
    return file.name, end // _record(*_form(settings.parameters)).itemsize - n_rows


def _append(file: Path, block: bytes) -> int:
    """Append a block to a file, which is made if it is not there; return its size then."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags, PRIVATE)
    try:
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


class _Block(NamedTuple):
    """A whole block: the number of its first row, how many there are, and the compressed text."""

    first_row: int
    n_rows: int
    hashed_ns: int
    text: memoryview

    def facts(self) -> tuple[dict[str, Any], memoryview]:
        """Return parameters and failures, and the rest of the text."""
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(self.text, MAX_TEXT_BYTES)
        line_end = text.index(b"\n")
        facts: dict[str, Any] = json.loads(text[:line_end])
        return facts, memoryview(text)[line_end + 1 :]

    def first_key(self) -> bytes:
        return min(path_key(key.partition(b"\0")[0]) for key in self.keys())

    def keys(self) -> list[bytes]:
        _, rest = self.facts()
        lengths, blob = rest[: 4 * self.n_rows].cast("I"), rest[4 * self.n_rows :]
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        return [bytes(blob[end - n : end]) for end, n in zip(ends, lengths, strict=True)]


class _Checkpoint:
    """A checkpoint file, mapped and read once: its records, and the blocks that are whole."""

    def __init__(self, file: Path, record: np.dtype[np.void]) -> None:
        self.name = file.name
        with open_regular(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            self._data = memoryview(
                mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ) if size else b""
            )
        self.records: npt.NDArray[np.void] = np.frombuffer(
            self._data, record, len(self._data) // record.itemsize
        )
        self.blocks = list(self._whole_blocks(record.itemsize))
        self.end = max((block.first_row + block.n_rows for block in self.blocks), default=0)

    def _whole_blocks(self, record_bytes: int) -> Iterator[_Block]:
        data, at = self._data, 0
        while at + _TEXT_START <= len(data):
            magic, size, n_text_records, n_rows, n_text, hashed_ns = _HEAD.unpack_from(data, at)
            rows_start = at + n_text_records * size
            if magic != MAGIC or _TEXT_START + n_text > rows_start - at:
                _warn(self.name)
                return
            if size != record_bytes:  # of a run with another hash
                return
            stop = rows_start + n_rows * size
            if stop > len(data):  # the worker was killed while it wrote
                return
            checked = b"".join([data[at : at + _HEAD.size], data[at + _TEXT_START : stop]])
            if data[at + _HEAD.size : at + _TEXT_START] != content_digest(checked, NEW_DIGEST_KIND):
                _warn(self.name)
                return
            text = data[at + _TEXT_START : at + _TEXT_START + n_text]
            yield _Block(rows_start // size, n_rows, hashed_ns, text)
            at = stop

    def rows_of(self, block: _Block) -> Iterator[tuple[bytes, CheckpointRow]]:
        """Yield the rows of a block with the keys of their paths, in path order."""
        rows = self.records[block.first_row : block.first_row + block.n_rows]
        columns = (rows[name].tolist() for name in ("size", "mtime_ns", "status"))
        facts = zip(block.keys(), *columns, strict=True)
        found = []
        for row, (key, size, mtime_ns, status) in enumerate(facts, block.first_row):
            path, _, container_bytes = key.partition(b"\0")
            each = CheckpointRow(self.name, row, size, mtime_ns, block.hashed_ns, status)
            if container_bytes:
                each = each._replace(container_bytes=int(container_bytes))
            found.append((path_key(path), each))
        yield from sorted(found)


def _warn(name: str) -> None:
    log.warning("the checkpoint %s is damaged; some files are hashed again", name)


class Checkpoints:
    """The checkpoints of a run, and of earlier ones with its hash parameters; each opened once."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = folder
        self._parameters = dict(parameters)
        self._record = _record(*_form(parameters))
        self._opened: dict[str, _Checkpoint] = {}

    def rows(self) -> Iterator[tuple[bytes, CheckpointRow]]:
        """Yield ``(path_key, CheckpointRow)`` of each row that earlier runs left, in path order.

        Earlier runs are those whose checkpoints exist when this is called. A block is unpacked when
        its first path is reached. Blocks with other parameters and damaged blocks are left out:
        their files are hashed again.
        """
        names = sorted(filter(CHECKPOINT_NAME.fullmatch, os.listdir(self.folder)))
        return self._rows([self._open(name) for name in names])

    def _rows(self, earlier: Sequence[_Checkpoint]) -> Iterator[tuple[bytes, CheckpointRow]]:
        waiting = sorted(
            (
                (block.first_key(), checkpoint.name, block)
                for checkpoint in earlier
                for block in checkpoint.blocks
                if block.n_rows and block.facts()[0]["parameters"] == self._parameters
            ),
            key=lambda each: (each[0], each[1], each[2].first_row),
            reverse=True,
        )
        open_rows: list[_OpenRows] = []
        while waiting or open_rows:
            while waiting and (not open_rows or waiting[-1][0] <= open_rows[0][0]):
                _, name, block = waiting.pop()
                _push(open_rows, self._opened[name].rows_of(block))
            key, *_, row, rest = heapq.heappop(open_rows)
            yield key, row
            _push(open_rows, rest)

    def _open(self, name: str) -> _Checkpoint:
        if name not in self._opened:
            self._opened[name] = _Checkpoint(self.folder / name, self._record)
        return self._opened[name]

    def columns(self, name: str, rows: npt.NDArray[np.int64]) -> Columns:
        """Return the columns of a checkpoint that holds some rows.

        Raises ImgdupError if it was damaged after the rows were written.
        """
        try:
            checkpoint = self._open(name)
        except (ImgdupError, OSError) as error:
            reason = str(error).partition(";")[0]
            raise ImgdupError(f"{reason}: {REMEDY}") from error
        if len(rows) and rows.max() >= checkpoint.end:
            raise ImgdupError(f"the checkpoint {self.folder / name} is damaged: {REMEDY}")
        records = checkpoint.records
        return {field: records[field] for field in records.dtype.names or ()}

    def failures(self, name: str) -> dict[int, str]:
        """Return what went wrong, by row of a checkpoint."""
        return {
            block.first_row + int(row): detail
            for block in self._open(name).blocks
            for row, detail in block.facts()[0]["failures"].items()
        }

    def sweep(self) -> None:
        """Delete all checkpoints: a generation has their rows, or they are of no use."""
        self._opened.clear()  # what is mapped cannot be deleted on Windows
        for name in os.listdir(self.folder):
            if CHECKPOINT_NAME.fullmatch(name) or name.endswith(MEMBERS_SUFFIX):
                (self.folder / name).unlink(missing_ok=True)


# The next row of a block with its key, the checkpoint's name and its number there, and the rows
# behind it.
_OpenRows = tuple[bytes, str, int, CheckpointRow, Iterator[tuple[bytes, CheckpointRow]]]


def _push(heap: list[_OpenRows], rows: Iterator[tuple[bytes, CheckpointRow]]) -> None:
    following = next(rows, None)
    if following is not None:
        key, row = following
        heapq.heappush(heap, (key, row.checkpoint, row.row, row, rows))
