"""Hash one batch of files in a worker process, and save the results in a checkpoint.

Every file gives a row: its facts and hashes, or the reason why it has none. The parent process
imports this module only to name the function, so decoders are imported when they are first used.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from imgdup.build.checkpoints import SAME_BYTES, BatchSettings, append_rows, make_block
from imgdup.containers import Fault, Locator
from imgdup.containers.reading import read_content, read_together
from imgdup.errors import ImageError, as_image_error
from imgdup.hashing import HASHERS, fingerprints
from imgdup.images.decode import decode
from imgdup.images.formats import FORMATS, REASONS
from imgdup.images.gray import GrayImage
from imgdup.index.columns import PDQ, TRIMMED
from imgdup.system.files import FileBytes, content_digest, read_file
from imgdup.system.limits import Limits
from imgdup.system.paths import is_remote
from imgdup.workers.child import Stopped

# So many pictures are decoded, then hashed in one call: few enough to be in the cache still.
TOGETHER = 16
TOGETHER_BYTES = 2 << 20  # of pixels that wait for it at most; large pictures do not wait
MAX_AT_ONCE = 16  # objects on servers that are read at the same time
MAX_BYTES_AT_ONCE = 4 << 20  # in them together

FORMAT_BYTES = {name: i for i, name in enumerate(FORMATS)}
STATUS_BYTES = {reason: i for i, reason in enumerate(REASONS)}


class FileToHash(NamedTuple):
    """A file, or a member of a container, to hash.

    `digest` is that of its old row, if the content may be unchanged; otherwise it is empty. A
    member has a `locator`. Nothing is read if there is a `fault`, or a `content` that was read
    before.
    """

    row: int
    path: bytes
    size: int
    mtime_ns: int
    digest: bytes
    locator: Locator | None = None
    fault: Fault | None = None
    content: bytes | None = None

    @property
    def key(self) -> bytes:
        """Its name in a checkpoint: its path; for a member, also a NUL and its container's size."""
        if self.locator is None:
            return self.path
        return b"%s\0%d" % (self.path, self.locator.container_bytes)


class BatchResult(NamedTuple):
    """The checkpoint file ("" if nothing was written), its first row, and the status of each.

    A batch that comes back by value has a block of rows in place of the file.
    """

    checkpoint: str
    first_row: int
    statuses: bytes
    block: bytes = b""


def hash_batch(
    settings: BatchSettings, files: Sequence[FileToHash], before_item: Callable[[int], None]
) -> BatchResult:
    """Hash files in path order; append the results to a checkpoint, or return them as a block.

    `before_item` is called with the position of each file before it is read; if it raises
    `Stopped`, the finished files are saved.
    """
    hashed_ns = settings.began_ns or time.time_ns()
    rows = _BatchRows(settings, files)
    n_done = 0
    try:
        for i, file in enumerate(files):
            before_item(i)
            rows.fill(i, file)
            n_done = i + 1
    except Stopped:
        pass
    rows.hash_waiting()
    statuses = rows.columns["status"][:n_done]
    name, first_row, block = "", 0, b""
    if np.any(statuses != SAME_BYTES):
        answers = [file.key for file in files[:n_done]], rows.columns, rows.failures
        if settings.by_value:
            block = make_block(settings, hashed_ns, *answers)
        else:
            name, first_row = append_rows(settings, hashed_ns, *answers)
    return BatchResult(name, first_row, statuses.tobytes(), block)


class _Contents:
    """The contents of the files of a batch, in their order.

    Several objects on servers are read at a time, because a request takes longer than decoding.
    """

    def __init__(self, files: Sequence[FileToHash], limits: Limits) -> None:
        self._files, self._limits = files, limits
        self._read: dict[int, FileBytes | ImageError] = {}

    def of(self, i: int) -> FileBytes:
        """Return the content of a file; ImageError if it cannot be read."""
        file = self._files[i]
        if file.content is not None:
            return FileBytes(file.content, len(file.content), file.mtime_ns)
        if file.locator is not None:
            return read_content(file.path, self._limits, file.locator)
        if not is_remote(file.path):
            return read_file(file.path, self._limits)
        if i not in self._read:
            chosen = self._next(i)
            paths = [self._files[j].path for j in chosen]
            self._read = dict(zip(chosen, read_together(paths, self._limits), strict=True))
        found = self._read.pop(i)
        if isinstance(found, ImageError):
            raise found
        return found

    def _next(self, first: int) -> list[int]:
        """Return which objects to read together with a first one."""
        chosen, n_bytes = [first], self._files[first].size
        for i in range(first + 1, min(first + MAX_AT_ONCE, len(self._files))):
            file = self._files[i]
            n_bytes += file.size
            if n_bytes > MAX_BYTES_AT_ONCE:
                break
            if is_remote(file.path) and file.locator is None and file.fault is None:
                chosen.append(i)
        return chosen


class _BatchRows:
    """The rows of a batch as they fill; the hashes are filled in later than the other facts."""

    def __init__(self, settings: BatchSettings, files: Sequence[FileToHash]) -> None:
        self.columns = settings.empty_columns(len(files))
        self.failures: dict[int, str] = {}
        self._settings = settings
        self._contents = _Contents(files, settings.limits)
        self._with_opencv = HASHERS[settings.parameters["hash"]].needs_opencv
        self._waiting: list[tuple[int, GrayImage]] = []
        self._waiting_bytes = 0

    def fill(self, i: int, file: FileToHash) -> None:
        """Fill row `i` with the facts of a file, or with the reason why it has no hash."""
        self.columns["size"][i], self.columns["mtime_ns"][i] = file.size, file.mtime_ns
        try:
            self._read(i, file)
        except Exception as error:  # whatever it is, it is the answer for this file
            self._fail(i, as_image_error(error))
        if len(self._waiting) == TOGETHER or self._waiting_bytes > TOGETHER_BYTES:
            self.hash_waiting()

    def _fail(self, i: int, error: ImageError) -> None:
        self.columns["status"][i] = STATUS_BYTES[error.reason]
        self.failures[i] = error.detail

    def _read(self, i: int, file: FileToHash) -> None:
        columns, limits = self.columns, self._settings.limits
        if file.fault is not None:
            raise ImageError(*file.fault)
        content = self._contents.of(i)
        columns["size"][i], columns["mtime_ns"][i] = content.size, content.mtime_ns
        digest = content_digest(content.data, self._settings.parameters["digest_kind"])
        if digest == file.digest:
            columns["status"][i] = SAME_BYTES
            return
        columns["digest"][i] = np.frombuffer(digest, np.uint8)
        picture = decode(content.data, limits, with_opencv=self._with_opencv)
        columns["format"][i] = FORMAT_BYTES[picture.format]
        columns["width"][i], columns["height"][i] = picture.width, picture.height
        self._waiting.append((i, picture.gray))
        self._waiting_bytes += picture.gray.pixels.nbytes
        if picture.gray.opencv is not None:
            self._waiting_bytes += picture.gray.opencv.nbytes

    def hash_waiting(self) -> None:
        """Hash the decoded pictures that wait, and free their memory."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        try:
            self._hash(waiting)
        except Exception:  # of one, perhaps; each gets its own answer
            for each in waiting:
                try:
                    self._hash([each])
                except Exception as error:
                    self._fail(each[0], as_image_error(error))

    def _hash(self, waiting: Sequence[tuple[int, GrayImage]]) -> None:
        """Hash some pictures, or none of them."""
        if waiting:
            columns, rows = self.columns, [i for i, _ in waiting]
            parameters = self._settings.parameters
            pictures = [gray for _, gray in waiting]
            found = fingerprints(
                pictures,
                parameters["hash"],
                parameters["bits"],
                with_pdq=PDQ in columns,
                with_trimmed=TRIMMED in columns,
            )
            columns["hashes"][rows], columns["match"][rows] = found.hashes, found.match
            columns["quality"][rows] = found.qualities
            if PDQ in columns:
                columns[PDQ][rows] = found.pdq
            if TRIMMED in columns:
                columns[TRIMMED][rows] = found.trimmed
