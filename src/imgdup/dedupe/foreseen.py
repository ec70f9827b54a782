"""Describe files in idle workers while the search for candidates goes on."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice

from imgdup.dedupe.known import FileContents
from imgdup.dedupe.sources import File, Picture, sent_bytes
from imgdup.dedupe.tasks import describe_file
from imgdup.errors import ImageError
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, begin_each

BATCH_FILES = 4  # a picture is up to 3 MB
EARLY_FILES = 8  # in a batch: meanwhile, this process has other work than to send batches
MOST_FORESEEN = 1_000  # files that are begun and not asked for: in larger sets little time is won
MOST_LOOKED_AT = 10_000  # files for which there may be no room: some microseconds each
MOST_BYTES = 64 << 20  # of pictures that are sent, and wait here until they are asked for

Answer = tuple[Picture | None, FileContents] | ImageError


class Foreseen:
    """The files that workers were given to describe, and whose answers nobody asked for yet."""

    def __init__(self, limits: Limits, pool: Pool) -> None:
        self._limits, self._pool = limits, pool
        self._digests: set[bytes] = set()
        self._n_bytes = 0.0
        self._n_looked_at = 0
        self._begun: list[tuple[list[File], Future[list[Answer]]]] = []

    def begin(self, files: Iterable[File]) -> None:
        """Let workers describe files, as long as there is room for the pictures that are sent.

        Files beyond `MOST_FORESEEN` and `MOST_LOOKED_AT` are not even looked at, because large sets
        have very many.
        """
        few = list(islice(self._new(files), max(0, MOST_FORESEEN - len(self._digests))))
        describe = partial(describe_file, self._limits)
        self._begun += begin_each(describe, few, self._pool, batch_files=EARLY_FILES)

    def _new(self, files: Iterable[File]) -> Iterator[File]:
        """Yield the first file of each content that was not begun and has room."""
        for file in islice(files, max(0, MOST_LOOKED_AT - self._n_looked_at)):
            self._n_looked_at += 1
            n_bytes = self._n_bytes + sent_bytes(file)
            if file.digest not in self._digests and n_bytes <= MOST_BYTES:
                self._digests.add(file.digest)
                self._n_bytes = n_bytes
                yield file

    def finish(self) -> Iterator[tuple[File, Answer]]:
        """Wait for the files that were begun, and yield the answers that there are.

        There are none for a batch whose worker ended, whatever the cause.
        """
        begun, self._begun = self._begun, []
        self._digests.clear()
        self._n_bytes = 0.0
        self._n_looked_at = 0
        for files, future in begun:
            if future.exception() is None:
                yield from zip(files, future.result(), strict=True)
