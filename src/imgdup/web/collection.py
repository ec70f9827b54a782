"""The index that the service shows: always its current generation, with what is decoded from it.

Pictures are read and decoded in lasting worker processes, with the limits of `Limits`; this process
only searches. All methods may be called by several threads.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from imgdup.api.index import ImageIndex
from imgdup.dedupe.pictures import indexed_content
from imgdup.dedupe.sources import File, file_of_row
from imgdup.dedupe.verify import PRELOAD
from imgdup.errors import ImageError, ImgdupError
from imgdup.images.decode import decode_rgb
from imgdup.images.facts import ImageFacts, image_facts
from imgdup.images.formats import OK
from imgdup.images.opencv import encode_jpeg
from imgdup.index.folder import CURRENT
from imgdup.query.probe import Probes, make_probes
from imgdup.system.limits import Limits, usable_cores
from imgdup.system.paths import is_below, is_remote, outer_file
from imgdup.web.requests import Refused, gone_or_unreadable
from imgdup.workers.pool import decode_each, decoding_pool

ID_DIGITS = 16  # of the generation's digest, in the id of an image
MAX_ROW_DIGITS = 18
THUMBNAIL_BYTES = 64 << 20  # that are kept for other requests
JPEG_QUALITY = 80
TIMEOUT_S = 10.0  # for one picture

Result = TypeVar("Result")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """An image of a generation."""

    index: ImageIndex
    row: int


class Collection:
    """An index folder, and the processes that decode its pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.limits = Limits(timeout_s=TIMEOUT_S)
        preload = (*PRELOAD, __name__)
        self.pool = decoding_pool(self.limits, preload=preload)
        # More searches at a time than processors only wait for each other, and for the interpreter.
        self.searching = threading.BoundedSemaphore(usable_cores())
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._index: ImageIndex | None = None
        self._thumbnails: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._n_bytes = 0

    def close(self) -> None:
        """End the worker processes."""
        self.pool.close()

    def index(self) -> ImageIndex:
        """Return the index as it is now; another process may have written a new generation.

        Raises Refused if there is no index any more. Raises ImgdupError if it cannot be read.
        """
        with self._lock:
            seen = _seen(self.folder / CURRENT)
            if self._index is None or seen != self._seen:
                self._index = ImageIndex.open(self.folder)
                self._seen = seen
            return self._index

    def row(self, image_id: str) -> Row:
        """Return the image that has this id in the current generation.

        Raises Refused if the id is of another generation, or no image has it.
        """
        index = self.index()
        prefix, _, number = image_id.partition("-")
        well_formed = len(prefix) == ID_DIGITS and number.isascii() and number.isdigit()
        if not well_formed or len(number) > MAX_ROW_DIGITS:
            raise Refused(404, "no-such-image", "no image has this id")
        if prefix != index.digest[:ID_DIGITS]:
            raise Refused(
                409, "old-generation", "the index was updated since this id was given; ask again"
            )
        row = int(number)
        if row >= len(index.rows) or index.column("status")[row] != OK:
            raise Refused(404, "no-such-image", "no image has this id")
        return Row(index, row)

    def thumbnail(self, image: Row, side: int) -> bytes:
        """Return a new JPEG file of an image; nothing else of its file is in it.

        Raises Refused if the file is missing, is not the one that was indexed, or cannot be
        decoded.
        """
        key = bytes(image.index.column("digest")[image.row]), side
        with self._lock:
            if key in self._thumbnails:
                self._thumbnails.move_to_end(key)
                return self._thumbnails[key]
        jpeg = self._of_row(partial(_draw, self.limits, side), image)
        with self._lock:
            if key not in self._thumbnails:
                self._thumbnails[key] = jpeg
                self._n_bytes += len(jpeg)
            while self._n_bytes > THUMBNAIL_BYTES:
                self._n_bytes -= len(self._thumbnails.popitem(last=False)[1])
        return jpeg

    def facts(self, image: Row) -> ImageFacts:
        """Return what the file of an image holds; raises as `thumbnail` does."""
        return self._of_row(partial(_describe, self.limits), image)

    def probes_of_row(self, image: Row, *, orientations: bool) -> Probes:
        """Hash the file of an image; raises as `thumbnail` does."""
        parameters = image.index.generation.probe_parameters
        return self._of_row(partial(_hash_file, self.limits, parameters, orientations), image)

    def probes(self, data: bytes, index: ImageIndex, *, orientations: bool) -> Probes:
        """Hash a picture that was sent.

        Raises ImageError if it is not a picture, or would cost too much.
        """
        parameters = index.generation.probe_parameters
        return self._ask(partial(_hash, self.limits, parameters, orientations), data)

    def _of_row(self, function: Callable[[File], Result], image: Row) -> Result:
        """Call a function on the file of an image, in a worker."""
        _check_inside(image)
        try:
            return self._ask(function, file_of_row(image.index.rows, image.row))
        except ImageError as error:
            raise gone_or_unreadable(error) from error

    def _ask(self, function: Callable[[Item], Result], item: Item) -> Result:
        (result,) = decode_each(function, [item], self.pool, batch_files=1)
        if isinstance(result, ImageError):
            raise result
        return result


def rows_of_content(index: ImageIndex, digest: bytes) -> list[int]:
    """Return the rows of all images with a content digest."""
    wanted = np.frombuffer(digest, np.uint8)
    same = (index.column("digest") == wanted).all(axis=1) & (index.column("status") == OK)
    return [int(row) for row in np.flatnonzero(same)]


def image_id(index: ImageIndex, row: int) -> str:
    """Return the id of a row; it is valid as long as this generation is the current one."""
    return f"{index.digest[:ID_DIGITS]}-{row}"


def _seen(path: Path) -> tuple[int, ...]:
    """Return what distinguishes two states of a file."""
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise Refused(503, "no-index", "the index is gone; run imgdup index again", {}) from error
    except OSError as error:
        raise ImgdupError(f"cannot read {path}: {error.strerror}") from error
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _check_inside(image: Row) -> None:
    """Raise if, because of a link, the file of an image is now outside of its indexed folder."""
    path = image.index.rows.path(image.row)
    if is_remote(path):
        return
    inside = [
        (root, options)
        for root, options in image.index.generation.roots.items()
        if root and is_below(path, root)
    ]
    if not inside or any(options.follow_symlinks for _, options in inside):
        return
    real = os.fsencode(os.path.realpath(outer_file(path))).replace(os.fsencode(os.sep), b"/")
    for root, _ in inside:
        real_root = os.fsencode(os.path.realpath(root)).replace(os.fsencode(os.sep), b"/")
        if is_below(real, real_root):
            return
    raise Refused(410, "missing", "the file is no longer in its folder")


def _draw(limits: Limits, side: int, file: File) -> bytes:
    """Encode the picture of a file again, reduced, in a worker."""
    return encode_jpeg(decode_rgb(indexed_content(limits, file), limits, side), JPEG_QUALITY)


def _describe(limits: Limits, file: File) -> ImageFacts:
    """Describe a file, in a worker."""
    return image_facts(indexed_content(limits, file), limits)


def _hash_file(
    limits: Limits, parameters: dict[str, object], orientations: bool, file: File
) -> Probes:
    """Hash a file, in a worker."""
    return _hash(limits, parameters, orientations, indexed_content(limits, file))


def _hash(limits: Limits, parameters: dict[str, object], orientations: bool, data: bytes) -> Probes:
    """Hash the content of a file, in a worker."""
    return make_probes(data, parameters, limits=limits, orientations=orientations)
