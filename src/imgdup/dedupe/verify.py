"""Compare the pictures of pairs of files, and give a verdict on each pair.

Workers read, decode and compare the files, with the limits that `Limits` gives. A worker reads both
files of a pair itself, unless it still has their pixels: that takes less time than to send them.
Pictures of large files or members of containers are decoded once, as long as they have room in
memory, and sent. Verdicts of earlier runs are used again. A file that cannot be read any more, that
changed, or that ends its worker gives the verdict ``unverified``.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

from imgdup.dedupe import DedupeOptions, Duplicates, find_duplicates
from imgdup.dedupe.components import PART_BYTES
from imgdup.dedupe.decide import Judge, Pair
from imgdup.dedupe.foreseen import BATCH_FILES, Answer, Foreseen
from imgdup.dedupe.groups import Inspection, Progress, star_groups
from imgdup.dedupe.keep import FactsOf
from imgdup.dedupe.known import FileContents, known_facts, known_verdicts
from imgdup.dedupe.plan import Plan
from imgdup.dedupe.relations import DIFFERENT, SAME_PICTURE, UNVERIFIED, Verdict
from imgdup.dedupe.sources import (
    EQUAL_PIXELS,
    SAME,
    UNKNOWN,
    File,
    Picture,
    Source,
    file_of_row,
    is_sent,
    recent,
    sent_bytes,
)
from imgdup.dedupe.tasks import MODULE, compare_files, describe_file
from imgdup.errors import ImageError
from imgdup.images.facts import ImageFacts
from imgdup.index.columns import RowNumbers, Rows, images
from imgdup.native.difference import keep_memory
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, decode_each, decoding_pool, falling

MOST_PAIRS = 4  # in a batch; a pair takes some milliseconds
BATCHES = 2  # for each worker, at least, of the pairs that are left
MOST_FILES = 4096  # rows whose files are kept; each is asked for several times
SAVE_S = 30.0  # between two writes of the verdicts
PRELOAD = (MODULE, "numpy.fft", "numpy.ma")  # NumPy imports these at their first use


class Verifier:
    """Compares the pictures of pairs of files; use it in a ``with`` block.

    Verdicts are kept in the index folder for the next run. `file_of` returns the file of a row,
    perhaps with its content. The processes of a pool stay; without one, new ones end with the
    ``with`` block.
    """

    def __init__(
        self,
        index_folder: Path | None = None,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        file_of: Callable[[Rows, int], File] | None = None,
        pool: Pool | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._file_of = file_of
        self._files: dict[int, Callable[[int], File]] = {}  # of rows, by their identity
        self._pool = pool or decoding_pool(self._limits, workers, preload=PRELOAD)
        self._closes_pool = pool is None
        self._verdicts = known_verdicts(index_folder)
        self._pictures: OrderedDict[File, Picture | ImageError] = OrderedDict()
        self._contents = known_facts(index_folder)
        self._foreseen = Foreseen(self._limits, self._pool)
        self._saved_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._closes_pool:
            self._pool.close()
        recent.clear()  # where this process did the work itself
        self._verdicts.save()
        self._contents.save()

    def start(self) -> None:
        """Start the workers if no verdicts are known, so that they import while pairs are found."""
        if not self._verdicts.keys():
            for _ in range(self._pool.n_workers):
                self._pool.submit(keep_memory)

    def _files_of(self, rows: Rows) -> Callable[[int], File]:
        """Return what gives the file of a row; without `file_of`, it is made once."""
        found = self._files.get(id(rows))
        if found is None:
            made = lru_cache(MOST_FILES)(partial(file_of_row, rows))
            found = partial(self._file_of, rows) if self._file_of else made
            self._files[id(rows)] = found  # which holds the rows, so that their identity is theirs
        return found

    def judge(self, left: Rows, right: Rows | None = None) -> Judge:
        """Return a function that compares pairs of rows, the second of `right` if that is given."""
        first = self._files_of(left)
        second = first if right is None else self._files_of(right)

        def judge_rows(pairs: Sequence[Pair]) -> list[Verdict]:
            return self.compare([(first(a), second(b)) for a, b in pairs])

        return judge_rows

    def facts(self, rows: Rows) -> FactsOf:
        """Return a function that describes the files of rows; None where one cannot be read."""
        file_of = self._files_of(rows)

        def describe(selected: RowNumbers) -> list[ImageFacts | None]:
            files = [file_of(row) for row in selected.tolist()]
            if len({each.digest for each in files}) == 1:  # no rule tells equal bytes apart
                return [None] * len(files)
            for file, answer in self._foreseen.finish():
                self._take(file, answer)
            self._describe(files)  # the others, and those whose worker ended
            found = (self._contents.find(each.digest) for each in files)
            return [each and each.facts for each in found]

        return describe

    def foresee(self, rows: Rows) -> Callable[[RowNumbers], None]:
        """Return a function that lets idle workers describe rows that `facts` will be asked for."""
        file_of = self._files_of(rows)

        def begin(selected: RowNumbers) -> None:
            files = (file_of(row) for row in dict.fromkeys(selected.tolist()))
            self._foreseen.begin(each for each in files if each.digest not in self._contents)

        return begin

    def inspection(self, rows: Rows) -> Inspection:
        """Return how to learn of the files of rows what the index does not know."""
        return Inspection(self.judge(rows), self.facts(rows), self.foresee(rows))

    def _describe(self, files: Sequence[File]) -> None:
        """Describe files that are not known yet, as many at a time as have room in memory."""
        missing = dict.fromkeys(each for each in files if each.digest not in self._contents)
        for batch in _batches([(each, each) for each in missing]):
            self._read([each for each, _ in batch])

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
            batch.sort(key=_n_pixels, reverse=True)  # the last ones take little time
            for (a, b), verdict in zip(batch, self._compare_batch(batch), strict=True):
                found[a.digest + b.digest] = verdict
                if verdict.relation != UNVERIFIED:
                    self._verdicts.add(a.digest + b.digest, verdict)
        if time.monotonic() - self._saved_s > SAVE_S:
            self._verdicts.save()
            self._saved_s = time.monotonic()
        return [found[key] for key in keys]

    def _compare_batch(self, pairs: Sequence[tuple[File, File]]) -> list[Verdict]:
        """Compare pairs whose pictures have room in memory, as far as they are sent."""
        self._read([file for pair in pairs for file in pair if is_sent(file)])
        answers = decode_each(
            partial(compare_files, self._limits),
            map(self._task, pairs),
            self._pool,
            batch_files=falling(len(pairs), BATCHES * self._pool.n_workers, MOST_PAIRS),
        )
        verdicts = []
        for (a, b), answer in zip(pairs, answers, strict=True):
            if isinstance(answer, ImageError):  # perhaps one of the files ends each worker
                self._read([a, b], again=True)
                verdicts.append(UNKNOWN)
                continue
            for file, found in zip((a, b), answer.files, strict=True):
                self._note(file, found)
            contents = (self._contents.find(file.digest) for file in (a, b))
            verdicts.append(_with_contents(answer.verdict, *contents))
        return verdicts

    def _task(self, pair: tuple[File, File]) -> tuple[Source, Source]:
        """Return what a worker needs of a pair, and whether it is to describe each file."""
        first, second = (
            (self._pictures.get(file, file), file.digest not in self._contents) for file in pair
        )
        return first, second

    def _read(self, files: Sequence[File], *, again: bool = False) -> None:
        """Read files that are not known yet: what they hold, and the pictures that are sent.

        Also known ones if `again`, because one of them may end each worker that reads it.
        """
        self._make_room(files)
        for file in files:
            if file in self._pictures:
                self._pictures.move_to_end(file)
        missing = [
            file
            for file in dict.fromkeys(files)
            if file not in self._pictures
            and (again or is_sent(file) or file.digest not in self._contents)
        ]
        answers = decode_each(
            partial(describe_file, self._limits), missing, self._pool, batch_files=BATCH_FILES
        )
        for file, answer in zip(missing, answers, strict=True):
            self._take(file, answer)

    def _take(self, file: File, answer: Answer) -> None:
        """Remember what `describe_file` returned, or why it returned nothing."""
        if isinstance(answer, ImageError):
            self._note(file, answer)
            return
        picture, contents = answer
        self._note(file, contents)
        if picture is not None:
            self._pictures[file] = picture

    def _note(self, file: File, found: FileContents | ImageError | None) -> None:
        """Remember what a file holds, or why it cannot be read."""
        if isinstance(found, ImageError):
            self._pictures[file] = found
        elif found is not None:
            self._contents.add(file.digest, found)

    def _make_room(self, files: Sequence[File]) -> None:
        """Drop the pictures that were not used for longest, but none of these files."""
        needed = set(files)
        room = PART_BYTES - sum(map(sent_bytes, needed))
        others = [file for file in self._pictures if file not in needed]
        n_bytes = sum(map(sent_bytes, others))
        for file in others:
            if n_bytes <= room:
                return
            if (n_file := sent_bytes(file)) > 0:
                n_bytes -= n_file
                del self._pictures[file]


def verified_duplicates(
    rows: Rows,
    options: DedupeOptions,
    verifier: Verifier | None,
    *,
    progress: Progress = lambda n_decided, n_files: None,
) -> Duplicates:
    """Find the duplicates of an index; the verifier, if there is one, compares their pictures.

    It is new, and used up afterwards. `progress` is called with the number of files that are
    decided, and of all that have candidates.
    """
    if verifier is None:
        return find_duplicates(rows, options, progress=progress)
    with verifier:
        verifier.start()
        selected = images(rows, options.folders)
        inspection = verifier.inspection(rows)
        groups = star_groups(rows, selected, options, inspection=inspection, progress=progress)
        return Duplicates(rows, options, selected, groups)


def check_pictures(plan: Plan, rows: Rows, verifier: Verifier) -> Iterator[str]:
    """Compare the pictures of all removals of a plan again.

    Yields one line for each removal whose pictures are not as the plan states. The verifier must be
    one without the verdicts of earlier runs.
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


def _n_pixels(pair: tuple[File, File]) -> int:
    """Return how large the pictures of a pair are."""
    return sum(file.width * file.height for file in pair)


def _batches(pairs: Sequence[tuple[File, File]]) -> Iterator[list[tuple[File, File]]]:
    """Yield pairs, as many at a time as have room in memory with all pictures that are sent."""
    batch: list[tuple[File, File]] = []
    files: set[File] = set()
    n_bytes = 0.0
    for pair in pairs:
        more = sum(sent_bytes(file) for file in set(pair) - files)
        if batch and n_bytes + more > PART_BYTES:
            yield batch
            batch, files, n_bytes = [], set(), 0.0
            more = sum(map(sent_bytes, set(pair)))
        batch.append(pair)
        files.update(pair)
        n_bytes += more
    if batch:
        yield batch
