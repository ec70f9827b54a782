"""The facts of files that earlier runs found: a file in the index folder, by content digest.

The file is an aid and is not trusted: one that is damaged, or that another version wrote, counts as
empty. It is replaced as a whole.
"""

import json
import logging
from pathlib import Path
from typing import NamedTuple

from imgdup.errors import ImgdupError
from imgdup.images.facts import ImageFacts
from imgdup.system.atomic import PRIVATE, open_regular, replacing
from imgdup.system.files import DIGEST_BYTES, NEW_DIGEST_KIND, content_digest

FACTS_VERSION = 1  # raise it if the same file would give other facts
HEAD = f"imgdup facts {FACTS_VERSION} {' '.join(ImageFacts._fields)}\n".encode()
MAX_BYTES = 256 << 20
MAX_FILES = 1_000_000

_log = logging.getLogger(__name__)


class FileContents(NamedTuple):
    """The facts of a file, and the digest of all its pages, empty if there is only one."""

    facts: ImageFacts
    pages_digest: bytes


class KnownFacts:
    """What files hold, by their content digests.

    Parameters
    ----------
    path : Path, optional
        The file, which need not exist; without it nothing is read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._found = {} if path is None else _read(path)
        self._n_saved = len(self._found)

    def find(self, digest: bytes) -> FileContents | None:
        """Return what a file of this digest holds; None if that is not known."""
        return self._found.get(digest)

    def add(self, digest: bytes, contents: FileContents) -> None:
        """Remember what a file holds."""
        self._found[digest] = contents

    def save(self) -> None:
        """Write the file if there is anything new; if that fails, log a warning."""
        if self._path is None or len(self._found) == self._n_saved:
            return
        data = "\n".join(map(_line, list(self._found.items())[-MAX_FILES:])).encode()
        try:
            with replacing(self._path, needed_bytes=len(data), sync=False, mode=PRIVATE) as file:
                file.write(HEAD + content_digest(data, NEW_DIGEST_KIND) + data)
        except ImgdupError as error:
            _log.warning("the facts of files are not kept for the next run: %s", error)
        self._n_saved = len(self._found)


def _line(item: tuple[bytes, FileContents]) -> str:
    digest, (facts, pages_digest) = item
    values = [sorted(each) if isinstance(each, frozenset) else each for each in facts]
    return json.dumps([digest.hex(), pages_digest.hex(), *values])


def _read(path: Path) -> dict[bytes, FileContents]:
    """Read the file; nothing if it is missing, damaged or of another version."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError:  # there is none, or it cannot be read; saving will tell
        return {}
    start = len(HEAD) + DIGEST_BYTES
    data = content[start:]
    if len(content) > MAX_BYTES or not content.startswith(HEAD):
        return {}
    if content_digest(data, NEW_DIGEST_KIND) != content[len(HEAD) : start]:
        return {}
    found = {}
    for line in data.splitlines():
        digest, pages_digest, n_pages, holds, *others = json.loads(line)
        facts = ImageFacts(n_pages, frozenset(holds), *others)
        found[bytes.fromhex(digest)] = FileContents(facts, bytes.fromhex(pages_digest))
    return found
