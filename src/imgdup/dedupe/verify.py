"""Compare the pictures of pairs of files, and give a verdict on each pair.

Files are read and decoded in worker processes, with the limits of memory and time that `Limits`
gives; each is decoded once, as long as its picture has room in memory. Verdicts of earlier runs are
used again. A file that cannot be read any more, that changed, or that ends its worker gives the
verdict ``unverified``.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from imgdup.containers.directory import Locator
from imgdup.containers.reading import read_content
from imgdup.dedupe import DedupeOptions, Duplicates, find_duplicates
from imgdup.dedupe.decide import Judge, Pair
from imgdup.dedupe.difference import Verdict, compare_pictures, same_pixels
from imgdup.dedupe.groups import CHANNELS, MAX_SIDE, PART_BYTES, Progress
from imgdup.dedupe.keep import FactsOf
from imgdup.dedupe.known import FileContents, known_facts, known_verdicts
from imgdup.dedupe.plan import Plan
from imgdup.dedupe.relations import DIFFERENT, SAME_BYTES, SAME_PICTURE, SAME_PIXELS, UNVERIFIED
from imgdup.errors import ImageError
from imgdup.images.decode import shrink_to
from imgdup.images.facts import ImageFacts, contents_digest, facts_and_whole
from imgdup.index.columns import RowNumbers, Rows, locator_of
from imgdup.native.difference import keep_memory
from imgdup.system.files import content_digest
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, decode_each, decoding_pool

BATCH_FILES = 4  # a picture is up to 3 MB
SAVE_S = 30.0  # between two writes of the verdicts
PEAK_DIGITS = 2
PRELOAD = ("imgdup.dedupe.verify",)

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
    """The pixels of a file, at most `MAX_SIDE` a side, and a digest of them at full size.

    The digest is empty if the pixels are at full size.
    """

    pixels: Pixels
    digest: bytes


def file_of_row(rows: Rows, row: int) -> File:
    """Return what an index knows of a file."""
    width, height = (int(rows.column(name)[row]) for name in ("width", "height"))
    digest = rows.column("digest")[row].tobytes()
    place = locator_of(rows, row)
    return File(rows.path(row), digest, rows.digest_kind, width, height, locator=place)


class Verifier:
    """Compares the pictures of pairs of files; use it in a ``with`` block.

    Parameters
    ----------
    index_folder : Path, optional
        Where verdicts are kept for the next run.
    limits : Limits, optional
        The limits for each file.
    workers : int, optional
        Processes that decode; one for each usable core by default.
    file_of : callable
        Returns the file of a row, perhaps with its content.
    pool : Pool, optional
        Processes that decode, which stay; else new ones, which end with the ``with`` block.
    """

    def __init__(
        self,
        index_folder: Path | None = None,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        file_of: Callable[[Rows, int], File] = file_of_row,
        pool: Pool | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._file_of = file_of
        self._pool = pool or decoding_pool(self._limits, workers, preload=PRELOAD)
        self._closes_pool = pool is None
        self._verdicts = known_verdicts(index_folder)
        self._pictures: OrderedDict[File, Picture | ImageError] = OrderedDict()
        self._contents = known_facts(index_folder)
        self._saved_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._closes_pool:
            self._pool.close()
        self._verdicts.save()
        self._contents.save()

    def judge(self, left: Rows, right: Rows | None = None) -> Judge:
        """Return a function that compares pairs of rows, the second of `right` if that is given."""
        second = left if right is None else right

        def judge_rows(pairs: Sequence[Pair]) -> list[Verdict]:
            return self.compare(
                [(self._file_of(left, a), self._file_of(second, b)) for a, b in pairs]
            )

        return judge_rows

    def facts(self, rows: Rows) -> FactsOf:
        """Return a function that describes the files of rows; None where one cannot be read."""

        def describe(selected: RowNumbers) -> list[ImageFacts | None]:
            files = [self._file_of(rows, row) for row in selected.tolist()]
            if len({each.digest for each in files}) == 1:  # no rule tells equal bytes apart
                return [None] * len(files)
            missing = [each for each in files if self._contents.find(each.digest) is None]
            for batch in _batches([(each, each) for each in dict.fromkeys(missing)]):
                wanted = [each for each, _ in batch]
                self._make_room(wanted)
                list(self._decoded(wanted))
            found = (self._contents.find(each.digest) for each in files)
            return [each and each.facts for each in found]

        return describe

    def compare(self, pairs: Sequence[tuple[File, File]]) -> list[Verdict]:
        """Compare the pictures of pairs of files, the better one first."""
        found: dict[bytes, Verdict] = {}
        missing: dict[bytes, tuple[File, File]] = {}
        keys = [a.digest + b.digest for a, b in pairs]
        for key, (a, b) in zip(keys, pairs, strict=True):
            known = SAME if a.digest == b.digest else self._verdicts.find(key)
            if known is None:
                missing[key] = a, b
            else:
                found[key] = known
        for batch in _batches(list(missing.values())):
            for (a, b), verdict in zip(batch, self._compare_batch(batch), strict=True):
                found[a.digest + b.digest] = verdict
                if verdict.relation != UNVERIFIED:
                    self._verdicts.add(a.digest + b.digest, verdict)
        if time.monotonic() - self._saved_s > SAVE_S:
            self._verdicts.save()
            self._saved_s = time.monotonic()
        return [found[key] for key in keys]

    def _compare_batch(self, pairs: Sequence[tuple[File, File]]) -> list[Verdict]:
        """Decode the files of some pairs, whose pictures have room in memory, and compare these."""
        files = list(dict.fromkeys(file for pair in pairs for file in pair))
        self._make_room(files)
        for _ in self._decoded(files):
            pass
        pictures = [(self._pictures[a], self._pictures[b]) for a, b in pairs]
        verdicts = [
            UNKNOWN if isinstance(answer, ImageError) else answer
            for answer in decode_each(_compare, pictures, self._pool, batch_files=1)
        ]
        return [
            _with_contents(verdict, self._contents.find(a.digest), self._contents.find(b.digest))
            for (a, b), verdict in zip(pairs, verdicts, strict=True)
        ]

    def _decoded(self, files: Sequence[File]) -> Iterator[File]:
        """Yield files as soon as their pictures are in memory: first those that are already."""
        for file in files:
            if file in self._pictures:
                self._pictures.move_to_end(file)
                yield file
        missing = [file for file in files if file not in self._pictures]
        answers = decode_each(
            partial(_read, self._limits), missing, self._pool, batch_files=BATCH_FILES
        )
        for file, answer in zip(missing, answers, strict=True):
            if isinstance(answer, ImageError):
                self._pictures[file] = answer
            else:
                self._pictures[file], contents = answer
                self._contents.add(file.digest, contents)
            yield file

    def _make_room(self, files: Sequence[File]) -> None:
        """Drop the pictures that were not used for longest, but none of these files."""
        needed = set(files)
        room = PART_BYTES - sum(map(_picture_bytes, needed))
        others = [file for file in self._pictures if file not in needed]
        n_bytes = sum(map(_picture_bytes, others))
        for file in others:
            if n_bytes <= room:
                return
            n_bytes -= _picture_bytes(file)
            del self._pictures[file]


def verified_duplicates(
    rows: Rows,
    index_folder: Path,
    options: DedupeOptions,
    *,
    verify: bool = True,
    progress: Progress = lambda n_decided, n_files: None,
) -> Duplicates:
    """Find the duplicates of an index and compare their pictures.

    Parameters
    ----------
    rows : Rows
    index_folder : Path
        Where verdicts are kept for the next run.
    options : DedupeOptions
    verify : bool
        Whether to compare the pictures; if not, duplicates are ``unverified``.
    progress : callable
        Is called with the number of files that are decided, and of all that have candidates.
    """
    if not verify:
        return find_duplicates(rows, options, progress=progress)
    with Verifier(index_folder) as verifier:
        return find_duplicates(rows, options, verifier.judge(rows), verifier.facts(rows), progress)


def check_pictures(plan: Plan, rows: Rows, verifier: Verifier) -> Iterator[str]:
    """Compare the pictures of all removals of a plan again.

    Parameters
    ----------
    plan : Plan
    rows : Rows
        The index that it was made from.
    verifier : Verifier
        One without the verdicts of earlier runs.

    Yields
    ------
    str
        One line for each removal whose pictures are not as the plan states.
    """
    pairs = [(removal.keep.row, removal.remove.row) for removal in plan.removals]
    for removal, verdict in zip(plan.removals, verifier.judge(rows)(pairs), strict=True):
        if verdict.relation not in plan.header.removable:
            yield (
                f"{os.fsdecode(removal.remove.path)!r} is {verdict.relation} and not "
                f"{removal.relation}, compared with {os.fsdecode(removal.keep.path)!r}"
            )


def _with_contents(
    verdict: Verdict, keep: FileContents | None, remove: FileContents | None
) -> Verdict:
    """Return a verdict that all contents of two files allow.

    A file that holds more than its first page may only be removed if the other holds all of it.
    """
    if verdict.relation in (DIFFERENT, UNVERIFIED):
        return verdict
    if keep is None or remove is None:
        return UNKNOWN
    one, other = keep.facts, remove.facts
    if (one.n_pages, keep.pages_digest) != (other.n_pages, remove.pages_digest):
        return UNKNOWN
    if not other.holds <= one.holds:
        return UNKNOWN
    if verdict == EQUAL_PIXELS and max(one.bit_depth, other.bit_depth) > 8:
        return verdict._replace(relation=SAME_PICTURE)  # only 8 bits were compared
    return verdict


def _batches(pairs: Sequence[tuple[File, File]]) -> Iterator[list[tuple[File, File]]]:
    """Yield pairs, as many at a time as have room in memory with all of their pictures."""
    batch: list[tuple[File, File]] = []
    files: set[File] = set()
    n_bytes = 0.0
    for pair in pairs:
        more = sum(_picture_bytes(file) for file in set(pair) - files)
        if batch and n_bytes + more > PART_BYTES:
            yield batch
            batch, files, n_bytes = [], set(), 0.0
            more = sum(map(_picture_bytes, set(pair)))
        batch.append(pair)
        files.update(pair)
        n_bytes += more
    if batch:
        yield batch


def _picture_bytes(file: File) -> float:
    """Return about how much memory the decoded picture of a file takes."""
    scale = min(1.0, MAX_SIDE / max(file.width, file.height, 1))
    return CHANNELS * file.width * file.height * scale**2


def _compare(pictures: tuple[Picture | ImageError, Picture | ImageError]) -> Verdict:
    """Compare two decoded pictures, in a worker."""
    keep_memory()
    first, second = pictures
    if isinstance(first, ImageError) or isinstance(second, ImageError):
        return UNKNOWN
    if first.digest == second.digest and same_pixels(first.pixels, second.pixels):
        return EQUAL_PIXELS
    verdict = compare_pictures(first.pixels, second.pixels)
    return verdict._replace(peak=round(verdict.peak, PEAK_DIGITS))


def _read(limits: Limits, file: File) -> tuple[Picture, FileContents]:
    """Read and decode a file once: its picture, and what else it holds; in a worker."""
    keep_memory()
    data = indexed_content(limits, file)
    facts, whole = facts_and_whole(data, limits)
    pages_digest = contents_digest(data, limits) if facts.n_pages > 1 else b""
    return _picture(whole.rgb(), facts.pixels_digest), FileContents(facts, pages_digest)


def _picture(pixels: Pixels, digest: str) -> Picture:
    """Reduce pixels with a digest; that of pixels at full size is not needed."""
    if max(pixels.shape[:2]) <= MAX_SIDE:
        return Picture(pixels, b"")
    return Picture(shrink_to(pixels, MAX_SIDE), digest.encode())


def indexed_content(limits: Limits, file: File) -> bytes:
    """Read a file; raise ImageError unless its content is that of the index."""
    data = file.data
    if data is None:
        data = read_content(file.path, limits, file.locator).data
    if content_digest(data, file.digest_kind) != file.digest:
        raise ImageError("changed", "the content is not that of the index")
    return data
