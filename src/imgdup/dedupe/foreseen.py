"""Describe files in idle workers while the search for candidates goes on."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice

from imgdup.dedupe.known import FileContents
from imgdup.dedupe.sources import File, Picture, is_sent
from imgdup.dedupe.tasks import describe_file
from imgdup.errors import ImageError
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, begin_each

BATCH_FILES = 4  # a picture is up to 3 MB
MOST_FORESEEN = 1_000  # files that are begun and not asked for: in larger sets little time is won

Answers = list[tuple[Picture | None, FileContents] | ImageError]


class Foreseen:
    """The files that workers were given to describe, and whose answers nobody asked for yet."""

    def __init__(self, limits: Limits, pool: Pool) -> None:
        self._limits, self._pool = limits, pool
        self._files: set[File] = set()
        self._begun: list[tuple[list[File], Future[Answers]]] = []

    def begin(self, files: Iterable[File]) -> None:
        """Let workers describe files, but none whose picture is sent, as that takes memory here.

        Files beyond `MOST_FORESEEN` are not even looked at, because large sets have very many.
        """
        new = (each for each in files if each not in self._files and not is_sent(each))
        few = list(islice(new, max(0, MOST_FORESEEN - len(self._files))))
        self._files.update(few)
        describe = partial(describe_file, self._limits)
        self._begun += begin_each(describe, few, self._pool, batch_files=BATCH_FILES)

    def finish(self) -> Iterator[tuple[File, FileContents | ImageError]]:
        """Wait for the files that were begun, and yield the answers that there are.

        There are none for a batch whose worker ended, whatever the cause.
        """
        begun, self._begun = self._begun, []
        self._files.clear()
        for files, future in begun:
            if future.exception() is not None:
                continue
            for file, answer in zip(files, future.result(), strict=True):
                yield file, answer if isinstance(answer, ImageError) else answer[1]
