"""One batch of files -> one part: what a worker process does.

Every file gives a row, whatever is in it: its facts and hashes, or the reason why there are none.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImageError
from imgdup.executors import Stopped
from imgdup.formats import FORMATS, REASONS
from imgdup.hashing import Sampled, fingerprints, sample_picture
from imgdup.images import content_digest, decode, read_file
from imgdup.parts import SAME_BYTES, Item, Job, Result, write_part
from imgdup.table import empty_columns

# Samples of so many pictures are compared in one go: a call to NumPy costs as much as a picture,
# and they still fit in the cache.
COMPARED_TOGETHER = 8

Columns = dict[str, npt.NDArray[Any]]

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
    columns = empty_columns(len(items), job.words)
    details: dict[int, str] = {}
    sampled: dict[int, Sampled] = {}
    n_done = 0
    try:
        for i, item in enumerate(items):
            before_item(i)
            hash_file(job, item, columns, i, details, sampled)
            n_done = i + 1
            if len(sampled) == COMPARED_TOGETHER:
                _compare(job, columns, sampled)
    except Stopped:
        pass
    _compare(job, columns, sampled)
    statuses = columns["status"][:n_done]
    name = ""
    if np.any(statuses != SAME_BYTES):
        head = {**job.parameters, "hashed_ns": hashed_ns}
        name = write_part(
            job.parts_folder, head, [item.path for item in items[:n_done]], columns, details
        )
    return Result(name, statuses.tobytes())


def hash_file(
    job: Job,
    item: Item,
    columns: Columns,
    i: int,
    details: dict[int, str],
    sampled: dict[int, Sampled],
) -> None:
    """Fill row `i` of the columns with what the file holds, or with why it gave nothing.

    The hashes come later, from what is added to `sampled`.
    """
    columns["size"][i], columns["mtime_ns"][i] = item.size, item.mtime_ns
    try:
        _fill(job, item, columns, i, sampled)
    except ImageError as error:
        _fail(columns, i, details, error.reason, error.detail)
    except MemoryError:
        _fail(columns, i, details, "too-large", "needs more memory than --worker-memory allows")
    except Exception as error:  # one answer a file, also where a decoder's fault is a new one
        _fail(columns, i, details, "crashed", f"{type(error).__name__}: {error}")


def _fill(job: Job, item: Item, columns: Columns, i: int, sampled: dict[int, Sampled]) -> None:
    content = read_file(item.path, job.limits)
    columns["size"][i], columns["mtime_ns"][i] = content.size, content.mtime_ns
    digest = content_digest(content.data)
    if digest == item.digest:
        columns["status"][i] = SAME_BYTES
        return
    columns["digest"][i] = np.frombuffer(digest, np.uint8)
    picture = decode(content.data, job.limits)
    columns["format"][i] = FORMAT_BYTES[picture.format]
    columns["width"][i], columns["height"][i] = picture.width, picture.height
    parameters = job.parameters
    sampled[i] = sample_picture(picture.grey, parameters["hash"], parameters["bits"])


def _compare(job: Job, columns: Columns, sampled: dict[int, Sampled]) -> None:
    """Hash the pictures that were sampled, all at once, and forget them."""
    if sampled:
        rows = list(sampled)
        found = fingerprints(list(sampled.values()), job.parameters["hash"], job.parameters["bits"])
        columns["hashes"][rows], columns["pdq"][rows], columns["quality"][rows] = found
        sampled.clear()


def _fail(columns: Columns, i: int, details: dict[int, str], reason: str, detail: str) -> None:
    columns["status"][i] = STATUS_BYTES[reason]
    details[i] = detail
