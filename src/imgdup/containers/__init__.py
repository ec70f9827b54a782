"""Files that hold pictures: zip, tar, Parquet and Arrow.

An open container is bytes at any offset, with the facts by which a change is noticed. Its directory
has the name of each member and where it lies, in arrays: a million members take about 110 MB.
"""

import errno
import os
import re
import stat
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from imgdup.system.files import OPEN_FLAGS, stat_size_mtime
from imgdup.system.paths import as_uint64, path_key, safe_name

_PREAD: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)  # not on Windows
_MOST_AT_ONCE = 1 << 30  # bytes; a call of the system returns no more than 2 GB

# How a member is stored, the kind of its place:
STORED = 1  # length bytes at offset, as they are
ZIP_STORED = 2  # the same, behind the local header of a zip file that begins at offset
ZIP_DEFLATED = 3  # the same, compressed
STREAMED = 4  # length bytes at offset of what a compressed tar file unpacks to
TABLE_ROW = 5  # row length of row group, or record batch, offset; its size is not known

# Kinds that are read forwards only: members are read in the order of their places, not of names.
FORWARD = (STREAMED, TABLE_ROW)

N_PLACE = 5  # numbers that say where a member lies
Place = tuple[int, int, int, int, int]  # the first five of a locator
NO_PLACE: Place = (0, 0, 0, 0, 0)
_IN_SAMPLE = re.compile(rb"(?P<key>(?:.*/)?[^./]+)\.[^/]*", re.DOTALL)


class Stamp(NamedTuple):
    """Which file a container is, with its size and mtime; if the stamp differs, it has changed."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> "Stamp":
        """Return the stamp of a file."""
        return cls(as_uint64(facts.st_dev), as_uint64(facts.st_ino), *stat_size_mtime(facts))


class ContainerChangedError(OSError):
    """A container is not the one that was opened."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the container changed while it was read")


def raise_if_unread(error: Exception) -> None:
    """Raise an error if it means that bytes could not be read, not that they are damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


class OpenFile(Protocol):
    """A container as bytes: a file, or an object on a server."""

    path: bytes
    stamp: Stamp

    @property
    def raw(self) -> Any:
        """The same as a file object of Python."""

    @property
    def size(self) -> int:
        """Bytes in it when it was opened."""

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end."""

    def reaches(self, offset: int) -> bool:
        """Return whether there are bytes up to an offset."""

    def has_changed(self) -> bool:
        """Return whether it changed since it was opened."""

    def close(self) -> None:
        """Close it."""


class PlainFile:
    """An open file, and its stamp when it was opened.

    Raises OSError if it cannot be opened, or is no regular file.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.raw = open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, OPEN_FLAGS))
        facts = os.fstat(self.raw.fileno())
        if not stat.S_ISREG(facts.st_mode):
            self.raw.close()
            raise OSError("not a regular file")
        self.stamp = Stamp.of(facts)

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self.stamp.size

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end of the file."""
        if offset + n_bytes > self.size:
            n_bytes = max(0, self.size - offset)
        if _PREAD is not None and n_bytes <= _MOST_AT_ONCE:
            return _PREAD(self.raw.fileno(), n_bytes, offset)
        self.raw.seek(offset)
        parts = []
        while n_bytes and (part := self.raw.read(n_bytes)):
            parts.append(part)
            n_bytes -= len(part)
        return b"".join(parts)

    def reaches(self, offset: int) -> bool:
        """Return whether there are bytes up to an offset."""
        return offset <= self.size

    def has_changed(self) -> bool:
        """Return whether the file that is open has another size or mtime than at first."""
        return Stamp.of(os.fstat(self.raw.fileno())) != self.stamp

    def close(self) -> None:
        """Close it."""
        self.raw.close()


class Locator(NamedTuple):
    """Where a member lies, and the stamp of its container when that was found."""

    # How it is stored, one of the constants above; they say what offset and length mean.
    kind: int
    offset: int
    length: int
    size: int  # bytes of the member unpacked, as the container declares them
    check: int  # its CRC32, in zip files; else 0
    # Size and mtime of the container.
    container_bytes: int
    container_mtime_ns: int

    @property
    def place(self) -> Place:
        """The part that concerns the member alone."""
        return self.kind, self.offset, self.length, self.size, self.check

    @property
    def has_size(self) -> bool:
        """Whether the size is known before the member is read."""
        return self.kind != TABLE_ROW


class Fault(NamedTuple):
    """Why a container, or a member, cannot be read: a reason of `imgdup.images`, and a text."""

    reason: str
    detail: str


class Member(NamedTuple):
    """A member: its name in the container, and where it lies or why it cannot be read."""

    name: bytes
    place: Place
    fault: Fault | None


class Directory:
    """The members of a container in path order.

    `fault` is why the container could not be read, or not to its end. `ignored` has the members
    that are no files, and why.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.ignored: list[tuple[bytes, str]] = []
        self._names: list[bytes] = []
        self._places = array("q")
        self._faults: dict[int, Fault] = {}
        self._order: list[int] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def add(self, stored: bytes, place: Place, fault: Fault | None = None) -> None:
        """Add a member by the name that the container has for it."""
        if fault is not None:
            self._faults[len(self._names)] = fault
        self._names.append(safe_name(stored) or b"unnamed")
        self._places.extend(place)

    def ignore(self, stored: bytes, reason: str) -> None:
        """Note a member that is not a file."""
        self.ignored.append((safe_name(stored) or b"unnamed", reason))

    def find_last(self, stored: bytes) -> Place | None:
        """Return the position of the last member with a stored name, the target of a hard link."""
        name = safe_name(stored)
        for i in range(len(self._names) - 1, -1, -1):
            if self._names[i] == name:
                return self._place(i)
        return None

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in path order; the second of one name is called ``name#2``."""
        for i in self._sorted():
            yield Member(self._names[i], self._place(i), self._faults.get(i))

    def find(self, name: bytes) -> Member | None:
        """Return the member of a name, by bisection, or None."""
        order, key = self._sorted(), path_key(name)
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if path_key(self._names[order[middle]]) < key:
                low = middle + 1
            else:
                high = middle
        if low == len(order) or self._names[order[low]] != name:
            return None
        i = order[low]
        return Member(name, self._place(i), self._faults.get(i))

    def facts(self) -> dict[str, Any]:
        """Return the directory as JSON types; call this before it is sorted."""
        return {
            "fault": self.fault,
            "ignored": [(os.fsdecode(name), reason) for name, reason in self.ignored],
            "names": [os.fsdecode(name) for name in self._names],
            "places": self._places.tolist(),
            "faults": list(self._faults.items()),
        }

    @classmethod
    def of_facts(cls, facts: dict[str, Any]) -> "Directory":
        """Make a directory from what `facts` returned."""
        found = cls()
        found.fault = Fault(*facts["fault"]) if facts["fault"] else None
        found.ignored = [(os.fsencode(name), reason) for name, reason in facts["ignored"]]
        found._names = [os.fsencode(name) for name in facts["names"]]
        found._places.extend(facts["places"])
        found._faults = {i: Fault(*fault) for i, fault in facts["faults"]}
        return found

    def _place(self, i: int) -> Place:
        kind, offset, length, size, check = self._places[N_PLACE * i : N_PLACE * (i + 1)]
        return kind, offset, length, size, check

    def _sorted(self) -> list[int]:
        if self._order is None:
            names, order = self._names, _path_order(self._names)
            if any(names[i] == names[j] for i, j in pairwise(order)):
                self._rename_repeated()
                order = _path_order(names)
            self._order = order
        return self._order

    def _rename_repeated(self) -> None:
        """Add a number to every repeated name but the first, so that no two names are equal."""
        taken, seen = set(self._names), set[bytes]()
        count: dict[bytes, int] = {}
        for i, name in enumerate(self._names):
            if name in seen:
                number = count.get(name, 1) + 1
                while b"%s#%d" % (name, number) in taken:
                    number += 1
                count[name] = number
                self._names[i] = b"%s#%d" % (name, number)
                taken.add(self._names[i])
            seen.add(name)


def _path_order(names: Sequence[bytes]) -> list[int]:
    keys = [path_key(name) for name in names]
    return sorted(range(len(keys)), key=keys.__getitem__)


def key_of(name: bytes) -> bytes:
    """Return the key of the sample that a name belongs to; a name without a dot is its own.

    Examples
    --------
    >>> key_of(b"a/1.seg.png"), key_of(b"a.b/1"), key_of(b"a/.hidden")
    (b'a/1', b'a.b/1', b'a/.hidden')
    """
    match = _IN_SAMPLE.fullmatch(name)
    return match["key"] if match else name
