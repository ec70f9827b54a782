"""What earlier runs found, by content digests: verdicts on pairs of pictures, facts of files.

Each kind is a file in the index folder: a line of text for each entry. The files are an aid and are
not trusted: one that is damaged, or that another version wrote, counts as empty. A file is replaced
as a whole, so that two runs at a time cannot damage it.
"""

import json
import logging
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterable, KeysView, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.relations import RELATIONS, VERDICT_VERSION, Verdict
from imgdup.errors import ImgdupError
from imgdup.images.facts import ImageFacts
from imgdup.index.folder import FACTS, VERDICTS
from imgdup.system.files import (
    DIGEST_BYTES,
    NEW_DIGEST_KIND,
    PRIVATE,
    content_digest,
    open_regular,
    replacing,
)

FACTS_VERSION = 3  # raise it if the same file would give other facts
MAX_ENTRIES = 1_000_000  # of more, those that were not used for longest are dropped
MAX_BYTES = 512 << 20
READ_ENTRIES = 4096  # that are kept as values beside their lines

T = TypeVar("T")

_log = logging.getLogger(__name__)


class FileContents(NamedTuple):
    """The facts of a file, and the digest of all its pages, empty if there is only one."""

    facts: ImageFacts
    pages_digest: bytes


class _Kind(NamedTuple, Generic[T]):
    """One kind of entry: the name of its file, the first line there, and the forms of a value."""

    file_name: str
    title: str
    head: bytes
    to_json: Callable[[T], Any]
    from_json: Callable[[Any], T]


class Known(Generic[T]):
    """Entries of one kind by their keys: the digest of a content, or those of two in a row.

    Make one by `known_verdicts` or `known_facts`.
    """

    def __init__(self, kind: _Kind[T], folder: Path | None) -> None:
        self._kind = kind
        self._path = folder and folder / kind.file_name
        self._lines = {} if self._path is None else _read(self._path, kind.head)
        self._n_new = 0
        self._values: dict[bytes, T] = {}  # of the lines that were read or added last

    def keys(self) -> KeysView[bytes]:
        """Return the keys of all entries."""
        return self._lines.keys()

    def __contains__(self, key: bytes) -> bool:
        """Return whether there is an entry of a key."""
        return key in self._lines

    def find(self, key: bytes) -> T | None:
        """Return the entry of a key; None if there is none."""
        line = self._lines.pop(key, None)
        if line is None:
            return None
        self._lines[key] = line  # the entries that were used last are at the end
        value = self._values.pop(line, None)
        return self._keep(line, self._kind.from_json(json.loads(line)) if value is None else value)

    def add(self, key: bytes, entry: T) -> None:
        """Remember an entry."""
        self._lines.pop(key, None)
        line = self._lines[key] = json.dumps(self._kind.to_json(entry)).encode()
        self._keep(line, entry)
        self._n_new += 1

    def _keep(self, line: bytes, value: T) -> T:
        """Keep the value of a line beside it until others take its place; return it."""
        self._values[line] = value
        if len(self._values) > READ_ENTRIES:
            del self._values[next(iter(self._values))]
        return value

    def replace(self, others: "Sequence[Known[T]]", keeps: Callable[[bytes], bool]) -> None:
        """Take the entries of others instead, those of the keys that are kept, sorted by key."""
        united: dict[bytes, bytes] = {}
        for other in others:
            for key, line in other._lines.items():
                united[key] = min(line, united.get(key, line))
        kept = {key: united[key] for key in sorted(united) if keeps(key)}
        self._n_new = max(len(self._lines), len(kept))
        self._lines = kept
        self.save()

    def save(self) -> None:
        """Write the file if there is anything new; if that fails, log a warning."""
        if self._path is None or not self._n_new:
            return
        data = b"".join(_latest(self._lines))
        try:
            with replacing(self._path, needed_bytes=len(data), sync=False, mode=PRIVATE) as file:
                file.write(self._kind.head + content_digest(data, NEW_DIGEST_KIND) + data)
        except ImgdupError as error:
            _log.warning("%s are not kept for the next run: %s", self._kind.title, error)
        self._n_new = 0


def known_verdicts(folder: Path | None = None) -> Known[Verdict]:
    """Open the verdicts on pairs, by the digests of the better and of the other content.

    They are in the folder of an index; without it nothing is read or written.
    """
    words = ("imgdup", "verdicts", VERDICT_VERSION, *Verdict._fields, *RELATIONS)
    return Known(_Kind(VERDICTS, "the verdicts", _head(words), list, _verdict), folder)


def known_facts(folder: Path | None = None) -> Known[FileContents]:
    """Open the facts of files, by their content digests; `folder` as for `known_verdicts`."""
    words = ("imgdup", "facts", FACTS_VERSION, *ImageFacts._fields)
    kind = _Kind(FACTS, "the facts of files", _head(words), _values, _file_contents)
    return Known(kind, folder)


def merge_known(places: Sequence[Path], target: Path, digests: npt.NDArray[np.uint8]) -> None:
    """Give an index the entries of several: those of contents that it has.

    The target gets them in place of its own; it may be one of `places`. The digests are those of
    the files of the target: shape (n, DIGEST_BYTES).
    """
    _merge(known_verdicts, places, target, digests)
    _merge(known_facts, places, target, digests)


def _merge(
    opened: Callable[[Path], Known[T]],
    places: Sequence[Path],
    target: Path,
    digests: npt.NDArray[np.uint8],
) -> None:
    """Do what `merge_known` does for one kind of entry."""
    others = [opened(place) for place in places]
    wanted = {digest for other in others for key in other.keys() for digest in _digests(key)}
    there = _those_in(wanted, digests)
    opened(target).replace(others, lambda key: there.issuperset(_digests(key)))


def _digests(key: bytes) -> list[bytes]:
    """Return the digests that make up a key."""
    return [key[start : start + DIGEST_BYTES] for start in range(0, len(key), DIGEST_BYTES)]


def _those_in(wanted: Set[bytes], digests: npt.NDArray[np.uint8]) -> set[bytes]:
    """Return which of the wanted digests occur; the first eight bytes exclude nearly all others."""
    starts = np.unique(np.array([int.from_bytes(each[:8], "little") for each in wanted], np.uint64))
    firsts = np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0]
    return {digests[row].tobytes() for row in np.flatnonzero(np.isin(firsts, starts))} & wanted


def _head(words: Iterable[object]) -> bytes:
    """Return the first line of a file: files with any other are of another version."""
    return " ".join(map(str, words)).encode() + b"\n"


def _verdict(values: Any) -> Verdict:
    relation, peak, box, *others = values
    return Verdict(relation, peak, box and tuple(box), *others)


def _values(contents: FileContents) -> list[Any]:
    facts = contents.facts._asdict() | {"holds": sorted(contents.facts.holds)}
    return [contents.pages_digest.hex(), *facts.values()]


def _file_contents(values: Any) -> FileContents:
    pages_digest, *others = values
    facts = ImageFacts(*others)
    facts = facts._replace(holds=frozenset(facts.holds), spectrum=tuple(facts.spectrum))
    return FileContents(facts, bytes.fromhex(pages_digest))


def _latest(lines: dict[bytes, bytes]) -> Iterable[bytes]:
    """Yield the lines of a file for the entries that were used last."""
    for key, line in islice(lines.items(), max(0, len(lines) - MAX_ENTRIES), None):
        yield b"%s %s\n" % (hexlify(key), line)


def _read(path: Path, head: bytes) -> dict[bytes, bytes]:
    """Read the lines by key; nothing if the file is missing, damaged or of another version."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ImgdupError):  # there is none, or it cannot be read; saving reports it
        return {}
    start = len(head) + DIGEST_BYTES
    data = content[start:]
    if len(content) > MAX_BYTES or not content.startswith(head):
        return {}
    if content_digest(data, NEW_DIGEST_KIND) != content[len(head) : start]:
        return {}
    parts = (line.partition(b" ") for line in data.splitlines())
    return {unhexlify(key): line for key, _, line in parts}
