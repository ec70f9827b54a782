"""Files and pictures that are compared: what is known of them, and what is sent to a worker.

Reading and comparing them is the work of `imgdup.dedupe.pictures`, in the workers.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.containers import Locator
from imgdup.dedupe.components import CHANNELS, MAX_SIDE
from imgdup.dedupe.known import FileContents
from imgdup.dedupe.relations import SAME_BYTES, SAME_PIXELS, UNVERIFIED, Verdict
from imgdup.dedupe.resized import MIDDLE, Middle
from imgdup.errors import ImageError
from imgdup.index.columns import Rows, locator_of
from imgdup.query.probe import Probe
from imgdup.system.paths import is_remote

RECENT_BYTES = 64 << 20  # of pictures that a worker decoded last
Pixels = npt.NDArray[np.uint8]
SAME = Verdict(SAME_BYTES, 0.0, None)
EQUAL_PIXELS = Verdict(SAME_PIXELS, 0.0, None)
UNKNOWN = Verdict(UNVERIFIED, 0.0, None)


class File(NamedTuple):
    """A file as an index describes it: absolute path, content digest and its kind, size.

    Where ``data`` is given, it is the content, and no file is read. A member of a container has a
    ``locator``.
    """

    path: bytes
    digest: bytes
    digest_kind: str
    width: int
    height: int
    data: bytes | None = None
    locator: Locator | None = None


class Picture(NamedTuple):
    """The pixels of a file, at most `MAX_SIDE` a side, and what is known of them at full size."""

    pixels: Pixels
    digest: bytes  # of the pixels at full size; empty if `pixels` are
    middle: Middle


class Compared(NamedTuple):
    """What a worker found: the verdict, and of each file the contents or why it cannot be read.

    Contents are there only of files that were read to describe them.
    """

    verdict: Verdict
    files: tuple[FileContents | ImageError | None, ...]


# What is compared: a file that the worker reads, a picture that was read, or why it cannot be; and
# whether the contents of the file are to be described.
Source = tuple[File | Picture | ImageError, bool]


class RecentPictures:
    """The pictures that this process decoded last, as many as `RECENT_BYTES` has room for.

    Several threads may use them.
    """

    def __init__(self) -> None:
        self._pictures: OrderedDict[File, Picture] = OrderedDict()  # the last used last
        self._n_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    def find(self, file: File) -> Picture | None:
        """Return the picture of a file; None if it is not there."""
        with self._lock:
            picture = self._pictures.get(file)
            if picture is not None:
                self._pictures.move_to_end(file)
            return picture

    def add(self, file: File, picture: Picture) -> None:
        """Keep a picture until others need its memory."""
        with self._lock:
            before = self._pictures.pop(file, None)
            if before is not None:
                self._n_bytes -= before.pixels.nbytes
            self._pictures[file] = picture
            self._n_bytes += picture.pixels.nbytes
            while self._n_bytes > RECENT_BYTES:
                self._n_bytes -= self._pictures.popitem(last=False)[1].pixels.nbytes

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._pictures.clear()
            self._n_bytes = 0


recent = RecentPictures()


def file_of_row(rows: Rows, row: int) -> File:
    """Return what an index knows of a file."""
    width, height = (int(rows.column(name)[row]) for name in ("width", "height"))
    digest = rows.column("digest")[row].tobytes()
    place = locator_of(rows, row)
    return File(rows.path(row), digest, rows.digest_kind, width, height, locator=place)


def file_of_probe(probe: Probe, digest_kind: str, path: bytes, data: bytes | None = None) -> File:
    """Return what is known of a file that was hashed as a probe."""
    return File(path, probe.digest, digest_kind, probe.width, probe.height, data)


def compare_bytes(pairs: Iterable[tuple[File, File]]) -> list[Verdict]:
    """Judge pairs of files by their content digests; read none of them."""
    return [SAME if one.digest == other.digest else UNKNOWN for one, other in pairs]


def is_sent(file: File) -> bool:
    """Return whether a picture is decoded once and sent to the workers that compare it.

    To decode a large file takes longer than to send its reduced picture, and a container or a
    server would have to look for the file again.
    """
    is_elsewhere = file.locator is not None or is_remote(file.path)
    return is_elsewhere or max(file.width, file.height) > MAX_SIDE


def sent_bytes(file: File) -> float:
    """Return about how much memory the picture of a file takes, if it is sent."""
    if not is_sent(file):
        return 0.0
    scale = min(1.0, MAX_SIDE / max(file.width, file.height, 1))
    return CHANNELS * (file.width * file.height * scale**2 + MIDDLE**2)
