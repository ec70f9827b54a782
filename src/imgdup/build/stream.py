"""Read each tar file on a server once: list its members, and hash its pictures as they come.

A tar file on this machine is listed first and read later. On a server this would fetch nearly all
of it twice. Here the contents of pictures go to the workers while the next headers are read, and
the answers to checkpoints. What a tar file holds is stored beside these, so that a run that is
continued does not read it again.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from imgdup.build.checkpoints import MEMBERS_SUFFIX, BatchSettings, CheckpointRow, Checkpoints
from imgdup.build.hash_batch import FileToHash, hash_batch
from imgdup.build.known import PASSING
from imgdup.build.members import Listed, has_image_extension
from imgdup.build.read import record_death
from imgdup.containers import ContainerChangedError, Directory, Fault, Locator, Place, Stamp
from imgdup.containers.reading import Container
from imgdup.containers.tar import TarFile
from imgdup.errors import ImageError
from imgdup.images.formats import OK, SNIFF_BYTES, sniff
from imgdup.index.columns import LOCATOR
from imgdup.index.generation import Generation
from imgdup.system.files import (
    DIGEST_BYTES,
    NEW_DIGEST_KIND,
    PRIVATE,
    content_digest,
    error_words,
    replacing,
)
from imgdup.system.paths import containers_of, inside, is_remote, safe_name
from imgdup.workers.pool import Died, Pool, answers

NAME_BYTES = 16
BATCH_FILES = 64
BATCH_BYTES = 4 << 20
MOST_BYTES = 64 << 20  # of a picture; a worker reads larger ones itself, so that memory is bounded


class TarStreams:
    """Reads tar files on servers, one after another.

    The checkpoints are those that interrupted runs left, and where new ones go. Pictures that `old`
    has and that did not change are not hashed again. `log` is called with the tar file that is
    read.
    """

    def __init__(
        self,
        pool: Pool,
        checkpoints: Checkpoints,
        settings: BatchSettings,
        old: Generation | None,
        log: Callable[[str], None],
    ) -> None:
        self._pool, self._settings, self._old, self._log = pool, settings, old, log
        self._earlier = checkpoints.rows()
        self._done: set[tuple[bytes, int, int, int]] | None = None

    def read(self, container: Container, is_skipped: Callable[[bytes], bool]) -> Listed | None:
        """Return what an open tar file on a server holds; None for any other container."""
        path, stamp = container.file.path, container.file.stamp
        if not (is_remote(path) and isinstance(container, TarFile)):
            return None
        place = self._place(path, stamp)
        if (found := _load(place)) is not None:
            return found
        self._log(f"reading {path.decode(errors='replace')}")
        found, hashed_ns = Listed(Directory()), time.time_ns()
        batches = self._batches(container, is_skipped, found)
        with closing(answers(partial(hash_batch, self._settings), batches, self._pool)) as answered:
            for files, answer in answered:
                if isinstance(answer, Died):
                    answer = record_death(self._settings, files[0], answer)
                pairs = zip(files, answer.statuses, strict=True)
                for row, (file, status) in enumerate(pairs, answer.first_row):
                    found.answers[file.path] = CheckpointRow(
                        answer.checkpoint,
                        row,
                        file.size,
                        file.mtime_ns,
                        hashed_ns,
                        status,
                        stamp.size,
                    )
        if found.is_whole:
            _save(place, found)
        return found

    def _place(self, path: bytes, stamp: Stamp) -> Path:
        """Return the file that stores what this version of a tar file holds."""
        facts = (path, stamp.size, stamp.mtime_ns, self._settings.limits.max_file_bytes)
        name = hashlib.blake2b(repr(facts).encode(), digest_size=NAME_BYTES).hexdigest()
        return self._settings.checkpoints_folder / (name + MEMBERS_SUFFIX)

    def _batches(
        self, tar: TarFile, is_skipped: Callable[[bytes], bool], found: Listed
    ) -> Iterator[list[FileToHash]]:
        """Walk through a tar file; yield the pictures that need an answer, with their content."""
        batch: list[FileToHash] = []
        n_bytes, names, pictures = 0, set[bytes](), set[Place]()
        found.pictures = pictures
        try:
            for stored, place in tar.walk(self._settings.limits, found.directory):
                name = safe_name(stored)
                is_repeated = name in names  # it gets another name when all are known
                names.add(name)
                if is_repeated or not has_image_extension(name):
                    if sniff(tar.head(place, SNIFF_BYTES)) == "unknown":
                        continue
                    pictures.add(place)
                file = None if is_repeated or is_skipped(name) else self._picture(tar, name, place)
                if file is None:
                    continue
                batch.append(file)
                n_bytes += file.size
                if len(batch) == BATCH_FILES or n_bytes > BATCH_BYTES:
                    yield batch
                    batch, n_bytes = [], 0
        except OSError as error:
            reason = "changed" if isinstance(error, ContainerChangedError) else "unreadable"
            found.directory.fault = Fault(reason, error_words(error))
            found.is_whole = False
        if batch:
            yield batch

    def _picture(self, tar: TarFile, name: bytes, place: Place) -> FileToHash | None:
        """Return a picture with its content if it needs an answer, and is not too large."""
        limits, stamp = self._settings.limits, tar.file.stamp
        locator = Locator(*place, stamp.size, stamp.mtime_ns)
        path = inside(tar.file.path, name)
        before = self._old_row(path)
        if locator.size > min(MOST_BYTES, limits.max_file_bytes) or self._is_done(
            path, locator, before
        ):
            return None
        try:
            content = tar.read(place, limits)
        except ImageError:
            return None  # a worker finds it out, too
        digest = bytes(self._old_digest(before, locator.size))
        return FileToHash(0, path, locator.size, stamp.mtime_ns, digest, locator, content=content)

    def _old_row(self, path: bytes) -> int | None:
        """Return the row of a member in the old generation if it has a hash there."""
        if self._old is None or LOCATOR not in self._old.arrays:
            return None
        row = self._old.paths.find(path)
        return row if row is not None and self._old.arrays["status"][row] == OK else None

    def _old_digest(self, row: int | None, size: int) -> bytes:
        """Return the digest of an old row if a member of this size may be what it was."""
        if self._old is None or row is None or self._old.arrays["size"][row] != size:
            return b""
        return bytes(self._old.arrays["digest"][row])

    def _is_done(self, path: bytes, locator: Locator, row: int | None) -> bool:
        """Return whether the old generation, or an interrupted run, has a member as it is now."""
        if self._old is not None and row is not None:
            if tuple(self._old.arrays[LOCATOR][row].tolist()) == locator:
                return True
        if self._done is None:
            self._done = set(self._answers_of_unfinished())
        return (
            path,
            locator.size,
            locator.container_mtime_ns,
            locator.container_bytes,
        ) in self._done

    def _answers_of_unfinished(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Yield what interrupted runs answered for tar files that they did not read to the end."""
        for key, row in self._earlier:
            path = key.replace(b"\0", b"/")
            if row.container_bytes and row.status not in PASSING and is_remote(path):
                container = next(containers_of(path))
                stamp = Stamp(0, 0, row.container_bytes, row.mtime_ns)
                if not os.path.exists(self._place(container, stamp)):
                    yield path, row.size, row.mtime_ns, row.container_bytes


def _save(place: Path, found: Listed) -> None:
    """Store what a tar file holds, with a checksum."""
    facts = {"directory": found.directory.facts(), "pictures": sorted(found.pictures or ())}
    text = zlib.compress(json.dumps(facts).encode(), level=1)
    with replacing(place, needed_bytes=len(text), sync=False, mode=PRIVATE) as file:
        file.write(content_digest(text, NEW_DIGEST_KIND) + text)


def _load(place: Path) -> Listed | None:
    """Read what a tar file holds; None if that is not stored, or the file is damaged."""
    try:
        data = place.read_bytes()
    except OSError:
        return None
    digest, text = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if digest != content_digest(text, NEW_DIGEST_KIND):
        return None
    facts = json.loads(zlib.decompress(text))
    pictures = {
        (kind, offset, length, size, check)
        for kind, offset, length, size, check in facts["pictures"]
    }
    return Listed(Directory.of_facts(facts["directory"]), pictures)
