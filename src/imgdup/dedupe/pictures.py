"""Read, decode and compare the pictures of files, in a worker; say what each file holds.

A worker keeps the small pictures that it decoded last. The others are sent to it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.containers import Locator
from imgdup.containers.reading import read_content
from imgdup.dedupe.components import CHANNELS, MAX_SIDE
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.exact import same_pixels
from imgdup.dedupe.known import FileContents
from imgdup.dedupe.origin import only_levels_differ
from imgdup.dedupe.relations import SAME_BYTES, SAME_PICTURE, SAME_PIXELS, UNVERIFIED, Verdict
from imgdup.dedupe.resized import (
    MIDDLE,
    Middle,
    change_of_size,
    copy_of_equal_size,
    middle,
)
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb, shrink_to
from imgdup.images.facts import contents_digest, facts_and_whole
from imgdup.images.headers import Steps, rounding_steps
from imgdup.index.columns import Rows, locator_of
from imgdup.native.difference import keep_memory
from imgdup.query.probe import Probe
from imgdup.system.files import content_digest
from imgdup.system.limits import Limits
from imgdup.system.paths import is_remote

RECENT_BYTES = 64 << 20  # of pictures that a worker decoded last
PEAK_DIGITS = 2
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
    """The pictures that this process decoded last, as many as `RECENT_BYTES` has room for."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[File, Picture] = OrderedDict()  # the last used last
        self._n_bytes = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    def find(self, file: File) -> Picture | None:
        """Return the picture of a file; None if it is not there."""
        picture = self._pictures.get(file)
        if picture is not None:
            self._pictures.move_to_end(file)
        return picture

    def add(self, file: File, picture: Picture) -> None:
        """Keep a picture until others need its memory."""
        before = self._pictures.pop(file, None)
        if before is not None:
            self._n_bytes -= before.pixels.nbytes
        self._pictures[file] = picture
        self._n_bytes += picture.pixels.nbytes
        while self._n_bytes > RECENT_BYTES:
            self._n_bytes -= self._pictures.popitem(last=False)[1].pixels.nbytes

    def clear(self) -> None:
        """Keep none."""
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


def compare_files(limits: Limits, pair: tuple[Source, Source]) -> Compared:
    """Compare two pictures, in a worker, which may have to read them."""
    keep_memory()
    pictures: list[Picture] = []
    found: list[FileContents | ImageError | None] = []
    for source, is_new in pair:
        try:
            picture, contents = _seen(limits, source, is_new=is_new)
        except ImageError as error:
            found.append(error)
        else:
            found.append(contents)
            pictures.append(picture)
    verdict = UNKNOWN if len(pictures) < len(pair) else _verdict(*pictures)
    return Compared(verdict, tuple(found))


def _verdict(first: Picture, second: Picture) -> Verdict:
    """Compare two pictures."""
    if first.digest == second.digest and same_pixels(first.pixels, second.pixels):
        return EQUAL_PIXELS
    verdict = compare_pictures(first.pixels, second.pixels)
    verdict = verdict._replace(peak=round(verdict.peak, PEAK_DIGITS))
    if verdict.relation != SAME_PICTURE:
        return verdict
    return verdict._replace(
        levels_only=only_levels_differ(first.pixels, second.pixels),
        change_of_size=change_of_size(first.middle, second.middle),
        copy=copy_of_equal_size(first.middle, second.middle),
    )


def _seen(
    limits: Limits, source: File | Picture | ImageError, *, is_new: bool
) -> tuple[Picture, FileContents | None]:
    """Return a picture, read from its file unless that was done, and if it is new, its contents."""
    if isinstance(source, ImageError):
        raise source
    if isinstance(source, Picture):
        return source, None
    if is_new:
        return _whole(limits, source)
    picture = recent.find(source)
    if picture is not None:
        return picture, None
    data = indexed_content(limits, source)
    pixels = decode_rgb(data, limits, MAX_SIDE)
    return _remembered(source, _picture(pixels, "", rounding_steps(data))), None


def describe_file(limits: Limits, file: File) -> tuple[Picture | None, FileContents]:
    """Read a file: what it holds, and its picture if that is sent; in a worker."""
    keep_memory()
    picture, contents = _whole(limits, file)
    return picture if is_sent(file) else None, contents


def _whole(limits: Limits, file: File) -> tuple[Picture, FileContents]:
    """Read and decode a file once: its picture, and what else it holds."""
    data = indexed_content(limits, file)
    facts, whole = facts_and_whole(data, limits)
    pages_digest = contents_digest(data, limits) if facts.n_pages > 1 else b""
    picture = _remembered(file, _picture(whole.rgb(), facts.pixels_digest, rounding_steps(data)))
    return picture, FileContents(facts, pages_digest)


def _remembered(file: File, picture: Picture) -> Picture:
    """Keep a picture in this process until others need its memory; return it."""
    if not is_sent(file):
        recent.add(file, picture)
    return picture


def _picture(pixels: Pixels, digest: str, steps: Steps) -> Picture:
    """Reduce pixels with a digest; that of pixels at full size is not needed."""
    centre = middle(pixels, steps)
    if max(pixels.shape[:2]) <= MAX_SIDE:
        return Picture(pixels, b"", centre)
    centre = centre._replace(pixels=centre.pixels.copy())  # the rest takes much memory
    return Picture(shrink_to(pixels, MAX_SIDE), digest.encode(), centre)


def indexed_content(limits: Limits, file: File) -> bytes:
    """Read a file; raise ImageError unless its content is that of the index."""
    data = file.data
    if data is None:
        data = read_content(file.path, limits, file.locator).data
    if content_digest(data, file.digest_kind) != file.digest:
        raise ImageError("changed", "the content is not that of the index")
    return data
