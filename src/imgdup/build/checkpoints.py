"""Results of one batch <-> one checkpoint file, so that a killed run loses next to nothing.

The names of checkpoints mean nothing. What counts as done is found out file by file, so a run
resumes after files were added, and with another number of workers.
"""

import heapq
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from imgdup.errors import ImgdupError
from imgdup.index import store
from imgdup.index.columns import TextBuilder, TextColumn, empty_columns, failure_arrays
from imgdup.system.limits import Limits
from imgdup.system.paths import path_key

log = logging.getLogger(__name__)

NAME_BYTES = 8
CHECKPOINT_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")

# At a time; each column is gathered from all checkpoints, and opening one takes 1 ms.
OPEN_CHECKPOINTS = 64

# A status byte of checkpoints alone: the file was read again and its bytes are those that the old
# generation knows, so nothing was decoded and the old row stays.
SAME_BYTES = 255


class FileToHash(NamedTuple):
    """A file to hash; `digest` is that of the old row that may still be true, or empty."""

    row: int
    path: bytes
    size: int
    mtime_ns: int
    digest: bytes


class BatchSettings(NamedTuple):
    """What all batches of a run share."""

    checkpoints_folder: Path
    parameters: dict[str, Any]
    limits: Limits

    def empty_columns(self, n_rows: int) -> dict[str, npt.NDArray[Any]]:
        """Return a zeroed column for each fact and hash of a file."""
        words = int(self.parameters["bits"]) // 64
        return empty_columns(n_rows, words, with_pdq=bool(self.parameters["with_pdq"]))


class BatchResult(NamedTuple):
    """The name of the checkpoint ("" where nothing had to be written); the status of each row."""

    checkpoint: str
    statuses: bytes


class CheckpointRow(NamedTuple):
    """The answer for one file, in a checkpoint."""

    checkpoint: str
    row: int
    size: int
    mtime_ns: int
    hashed_ns: int
    status: int


def write_checkpoint(
    folder: Path,
    head: Mapping[str, Any],
    paths: Sequence[bytes],
    columns: Mapping[str, npt.NDArray[Any]],
    failures: Mapping[int, str],
) -> str:
    """Write one checkpoint and return its name.

    Parameters
    ----------
    folder : Path
        Where checkpoints lie.
    head : mapping
        The hash parameters (`BatchSettings.parameters`) and ``hashed_ns``, when the batch began.
    paths : sequence of bytes
        The absolute path of each row, in path order.
    columns : mapping of ndarray
        The fields of `imgdup.index.columns`, one row per path.
    failures : mapping of int to str
        What went wrong, by row, for rows whose status is not ok.
    """
    texts = TextBuilder()
    for path in paths:
        texts.append(path)
    relative = texts.column()
    arrays: dict[str, npt.NDArray[Any]] = {
        "path_offsets": relative.offsets,
        "path_blob": relative.blob,
        **{name: column[: len(paths)] for name, column in columns.items()},
        **failure_arrays(failures),
    }
    name = os.urandom(NAME_BYTES).hex()
    store.save(folder / name, dict(head), arrays, sync=False)
    return name


class Checkpoints:
    """The checkpoints of an interrupted run that have the hash parameters of this one.

    Damaged ones, and those of other parameters, are left out: their files are hashed again.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = folder
        self._first_keys: list[tuple[bytes, str]] = []
        for name in filter(CHECKPOINT_NAME.fullmatch, sorted(os.listdir(folder))):
            key = self._first_key(name, parameters)
            if key is not None:
                self._first_keys.append((key, name))
        self._first_keys.sort()

    def _first_key(self, name: str, parameters: Mapping[str, Any]) -> bytes | None:
        try:
            found = store.load(self.folder / name, verify=True)
            fits = all(found.head.get(key) == value for key, value in parameters.items())
            fits &= found.version == store.FORMAT_VERSION
            paths = TextColumn(found.arrays["path_offsets"], found.arrays["path_blob"])
            return path_key(paths[0]) if fits and len(paths) else None
        except (ImgdupError, OSError, KeyError) as error:
            reason = str(error).partition(";")[0]
            log.warning("a checkpoint is damaged; its files are hashed again: %s", reason)
            (self.folder / name).unlink(missing_ok=True)
            return None

    def __len__(self) -> int:
        """Count the usable checkpoints."""
        return len(self._first_keys)

    def rows(self) -> Iterator[tuple[bytes, CheckpointRow]]:
        """Yield ``(path_key, CheckpointRow)`` of each row of each checkpoint, in path order.

        A checkpoint is opened when the walk comes to its first path, so only those that overlap
        are open at a time.
        """
        waiting = list(reversed(self._first_keys))
        open_rows: list[_OpenRows] = []
        while waiting or open_rows:
            while waiting and (not open_rows or waiting[-1][0] <= open_rows[0][0]):
                _push(open_rows, self._rows_of(waiting.pop()[1]))
            key, _, row, rest = heapq.heappop(open_rows)
            yield key, row
            _push(open_rows, rest)

    def _rows_of(self, name: str) -> Iterator[tuple[bytes, CheckpointRow]]:
        found = load_checkpoint(self.folder, name)
        arrays, hashed_ns = found.arrays, int(found.head["hashed_ns"])
        paths = TextColumn(arrays["path_offsets"], arrays["path_blob"])
        facts = zip(*(arrays[f].tolist() for f in ("size", "mtime_ns", "status")), strict=True)
        for row, (size, mtime_ns, status) in enumerate(facts):
            yield path_key(paths[row]), CheckpointRow(name, row, size, mtime_ns, hashed_ns, status)


# The next row of a checkpoint with its key and the checkpoint's name, and the rows behind it.
_OpenRows = tuple[bytes, str, CheckpointRow, Iterator[tuple[bytes, CheckpointRow]]]


def _push(heap: list[_OpenRows], rows: Iterator[tuple[bytes, CheckpointRow]]) -> None:
    following = next(rows, None)
    if following is not None:
        key, row = following
        heapq.heappush(heap, (key, row.checkpoint, row, rows))


@lru_cache(maxsize=OPEN_CHECKPOINTS)
def load_checkpoint(folder: Path, name: str) -> store.Stored:
    """Open a checkpoint that was valid when this run began; some stay open until they are swept.

    Raises
    ------
    ImgdupError
        If it is damaged now.
    """
    try:
        return store.load(folder / name)
    except (ImgdupError, OSError) as error:
        found = str(error).partition(";")[0]
        raise ImgdupError(
            f"{found}: run the same command again, its files are read again"
        ) from error


def sweep_checkpoints(folder: Path) -> None:
    """Delete all checkpoints: their rows are in a generation, or of no use."""
    load_checkpoint.cache_clear()  # what is mapped cannot be deleted on Windows
    for name in filter(CHECKPOINT_NAME.fullmatch, os.listdir(folder)):
        (folder / name).unlink(missing_ok=True)
