"""One batch of files -> one part: what a worker process does.

Every file gives a row, whatever is in it: its facts and hashes, or the reason why there are none.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from imgdup.build.checkpoints import SAME_BYTES, Item, Job, Result, write_part
from imgdup.errors import ImageError, as_image_error
from imgdup.hashing import fingerprints
from imgdup.images.decode import content_digest, decode, read_file
from imgdup.images.formats import FORMATS, REASONS
from imgdup.images.gray import GrayImage
from imgdup.index.columns import Why, empty_columns
from imgdup.index.terms import terms_of
from imgdup.workers.pool import Stopped

# So many pictures are decoded, then hashed in one call: few enough to be found in the cache still.
TOGETHER = 8
TOGETHER_BYTES = 2 << 20  # of pixels that wait for it at most; large pictures do not wait

FORMAT_BYTES = {name: i for i, name in enumerate(FORMATS)}
STATUS_BYTES = {reason: i for i, reason in enumerate(REASONS)}


def hash_batch(job: Job, items: Sequence[Item], before_item: Callable[[int], None]) -> Result:
    """Hash the files of one batch and write their part.

    Parameters
    ----------
    job : Job
        Hash parameters, limits, and where the part goes.
    items : sequence of Item
        The files, in path order.
    before_item : callable
        Is called with the position of each file before it is touched; it may raise `Stopped`,
        then what is finished is written.
    """
    hashed_ns = time.time_ns()
    sheet = _Sheet(job, len(items))
    n_done = 0
    try:
        for i, item in enumerate(items):
            before_item(i)
            sheet.fill(i, item)
            n_done = i + 1
    except Stopped:
        pass
    sheet.hash_waiting()
    statuses = sheet.columns["status"][:n_done]
    name = ""
    if np.any(statuses != SAME_BYTES):
        paths = [item.path for item in items[:n_done]]
        head = {**job.parameters, "hashed_ns": hashed_ns}
        name = write_part(job.parts_folder, head, paths, sheet.columns, sheet.failures)
    return Result(name, statuses.tobytes())


class _Sheet:
    """The rows of a batch as they fill; hashes come some pictures later than the other facts."""

    def __init__(self, job: Job, n_rows: int) -> None:
        self.columns = empty_columns(n_rows, job.words)
        self.failures: dict[int, Why] = {}
        self._job = job
        self._terms = terms_of(job.limits)
        self._waiting: list[tuple[int, GrayImage]] = []
        self._waiting_bytes = 0

    def fill(self, i: int, item: Item) -> None:
        """Fill row `i` with what the file holds, or with why it gave nothing."""
        self.columns["size"][i], self.columns["mtime_ns"][i] = item.size, item.mtime_ns
        try:
            self._read(i, item)
        except Exception as error:  # whatever it is, it is the answer for this file
            self._fail(i, as_image_error(error))
        if len(self._waiting) == TOGETHER or self._waiting_bytes > TOGETHER_BYTES:
            self.hash_waiting()

    def _fail(self, i: int, error: ImageError) -> None:
        self.columns["status"][i] = STATUS_BYTES[error.reason]
        self.failures[i] = Why(error.detail, self._terms)

    def _read(self, i: int, item: Item) -> None:
        columns, limits = self.columns, self._job.limits
        content = read_file(item.path, limits)
        columns["size"][i], columns["mtime_ns"][i] = content.size, content.mtime_ns
        digest = content_digest(content.data)
        if digest == item.digest:
            columns["status"][i] = SAME_BYTES
            return
        columns["digest"][i] = np.frombuffer(digest, np.uint8)
        picture = decode(content.data, limits)
        columns["format"][i] = FORMAT_BYTES[picture.format]
        columns["width"][i], columns["height"][i] = picture.width, picture.height
        self._waiting.append((i, picture.gray))
        self._waiting_bytes += picture.gray.pixels.nbytes

    def hash_waiting(self) -> None:
        """Hash the pictures that were decoded, and let go of them."""
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
            parameters = self._job.parameters
            found = fingerprints(
                [gray for _, gray in waiting], parameters["hash"], parameters["bits"]
            )
            columns["hashes"][rows], columns["pdq"][rows], columns["quality"][rows] = found
