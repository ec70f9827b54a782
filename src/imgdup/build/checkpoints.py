"""Results of one batch <-> one part file, so that a killed run loses next to nothing.

Part names mean nothing. What counts as done is found out file by file, so a run resumes after
files were added, and with another number of workers.
"""

import heapq
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from imgdup.errors import ImgdupError
from imgdup.images.formats import REASONS
from imgdup.index import store
from imgdup.index.columns import TextBuilder, TextColumn, Why, failure_arrays, hopeful_rows
from imgdup.index.terms import Terms
from imgdup.system.limits import Limits
from imgdup.system.paths import path_key

log = logging.getLogger(__name__)

NAME_BYTES = 8
PART_NAME = re.compile(f"[0-9a-f]{{{2 * NAME_BYTES}}}")

OPEN_PARTS = 64  # at a time; each column is gathered from all parts, and opening takes 1 ms

# A status byte of parts alone: the file was read again and its bytes are those that the old
# generation knows, so nothing was decoded and the old row stays.
SAME_BYTES = 255

# Failures that say something of the moment, not of the file: tried again at every run.
PASSING = frozenset(REASONS.index(r) for r in ("unreadable", "changed", "missing"))

# A file may change within one tick of its clock without a new mtime. Whole seconds are taken
# for a clock of 2 s (FAT), others for one of 20 ms (the kernel's tick, with room).
COARSE_TICK_NS = 2_000_000_000
FINE_TICK_NS = 20_000_000


def is_settled(mtime_ns: int, seen_ns: int) -> bool:
    """Tell whether a file with this mtime could not have changed unseen after `seen_ns`."""
    tick_ns = FINE_TICK_NS if mtime_ns % 1_000_000_000 else COARSE_TICK_NS
    return mtime_ns < seen_ns - tick_ns


class Item(NamedTuple):
    """A file to hash; `digest` is that of the row that may still be true, or empty."""

    row: int
    path: bytes
    size: int
    mtime_ns: int
    digest: bytes


class Job(NamedTuple):
    """What all batches of a run share."""

    parts_folder: Path
    parameters: dict[str, Any]
    limits: Limits

    @property
    def words(self) -> int:
        """Width of the search hash."""
        return int(self.parameters["bits"]) // 64


class Result(NamedTuple):
    """The name of the part ("" where nothing had to be written) and the status of each row."""

    part: str
    statuses: bytes


class Done(NamedTuple):
    """A file that a part has the answer for; `hopeful` if it could end otherwise now."""

    part: str
    row: int
    size: int
    mtime_ns: int
    hashed_ns: int
    status: int
    hopeful: bool


def write_part(
    folder: Path,
    head: Mapping[str, Any],
    paths: Sequence[bytes],
    columns: Mapping[str, npt.NDArray[Any]],
    failures: Mapping[int, Why],
) -> str:
    """Write one part and return its name.

    Parameters
    ----------
    folder : Path
        Where parts lie.
    head : mapping
        The hash parameters (`Job.parameters`) and ``hashed_ns``, when the batch began.
    paths : sequence of bytes
        The absolute path of each row, in path order.
    columns : mapping of ndarray
        The fields of `imgdup.index.columns`, one row a path.
    failures : mapping of int to Why
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
    name = secrets.token_hex(NAME_BYTES)
    store.save(folder / name, dict(head), arrays, sync=False)
    return name


class Parts:
    """The part files of an interrupted run that fit the hash parameters of this one.

    Damaged parts, and those of other parameters, are left out: their files are done again.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], terms: Terms) -> None:
        self.folder = folder
        self.terms = terms
        self._first_keys: list[tuple[bytes, str]] = []
        for name in filter(PART_NAME.fullmatch, sorted(os.listdir(folder))):
            key = self._first_key(name, parameters)
            if key is not None:
                self._first_keys.append((key, name))
        self._first_keys.sort()

    def _first_key(self, name: str, parameters: Mapping[str, Any]) -> bytes | None:
        try:
            part = store.load(self.folder / name, verify=True)
            fits = all(part.head.get(key) == value for key, value in parameters.items())
            paths = TextColumn(part.arrays["path_offsets"], part.arrays["path_blob"])
            return path_key(paths[0]) if fits and len(paths) else None
        except (ImgdupError, OSError, KeyError) as error:
            log.warning("a damaged part is done again: %s", str(error).partition(";")[0])
            (self.folder / name).unlink(missing_ok=True)
            return None

    def __len__(self) -> int:
        """Count the usable parts."""
        return len(self._first_keys)

    def done(self) -> Iterator[tuple[bytes, Done]]:
        """Yield ``(path_key, Done)`` of each row of each part, in path order.

        A part is opened when the walk comes to its first path, so only parts that overlap are
        open at a time.
        """
        waiting = list(reversed(self._first_keys))
        open_rows: list[tuple[bytes, str, Done, Iterator[tuple[bytes, Done]]]] = []
        while waiting or open_rows:
            while waiting and (not open_rows or waiting[-1][0] <= open_rows[0][0]):
                _push(open_rows, self._rows(waiting.pop()[1]))
            key, _, done, rows = heapq.heappop(open_rows)
            yield key, done
            _push(open_rows, rows)

    def _rows(self, name: str) -> Iterator[tuple[bytes, Done]]:
        part = load_part(self.folder, name)
        paths = TextColumn(part.arrays["path_offsets"], part.arrays["path_blob"])
        facts = zip(*(part.arrays[f].tolist() for f in ("size", "mtime_ns", "status")), strict=True)
        hopeful, hashed_ns = hopeful_rows(part.arrays, self.terms), int(part.head["hashed_ns"])
        for row, (size, mtime_ns, status) in enumerate(facts):
            done = Done(name, row, size, mtime_ns, hashed_ns, status, row in hopeful)
            yield path_key(paths[row]), done


def _push(
    heap: list[tuple[bytes, str, Done, Iterator[tuple[bytes, Done]]]],
    rows: Iterator[tuple[bytes, Done]],
) -> None:
    following = next(rows, None)
    if following is not None:
        key, done = following
        heapq.heappush(heap, (key, done.part, done, rows))


@lru_cache(maxsize=OPEN_PARTS)
def load_part(folder: Path, name: str) -> store.Stored:
    """Open a part that was sound when this run began; some stay open until `sweep_parts`.

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


def sweep_parts(folder: Path) -> None:
    """Delete all parts: their rows are in a generation, or of no use."""
    load_part.cache_clear()  # what is mapped cannot be deleted on Windows
    for name in filter(PART_NAME.fullmatch, os.listdir(folder)):
        (folder / name).unlink(missing_ok=True)
