"""Write a container without some of its members; all others keep their bytes and order.

The members to leave out are named by numbers: the offset of the content in a tar file, that of the
local header in a zip file, the number of the row in a table.
"""

import bz2
import gzip
import importlib
import lzma
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from typing import IO, Any, BinaryIO, NamedTuple, Protocol

from imgdup.containers import OpenFile
from imgdup.containers.tar import Source, Unpacked, list_spans
from imgdup.containers.zip import Entry, central_directory, entries
from imgdup.errors import ImageError
from imgdup.system.limits import import_uncapped
from imgdup.system.paths import TABLES

TABLE_MODULE = "imgdup.containers.table_without"  # which imports pyarrow
COPIED_BYTES = 1 << 20  # at a time
_COMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    "tar.gz": lambda out: gzip.GzipFile("", "wb", fileobj=out, mtime=0),  # no name, no time
    "tar.xz": lambda out: lzma.open(out, "wb"),
    "tar.bz2": lambda out: bz2.open(out, "wb"),
}
_LOCAL_BYTES = 30  # of a local header, at least
_OFFSET_AT = 42  # in an entry of a zip directory, of the offset of its member
_EXTRA_AT = 46  # likewise, of name and extra field
_ZIP64 = 1  # the number of the extra field with long numbers
_IN_EXTRA = 0xFFFF_FFFF
_END_MAGIC, _END64_MAGIC = b"PK\5\6", b"PK\6\6"


class Stored(NamedTuple):
    """A member in the order of its container."""

    name: bytes  # as it is stored
    place: int  # its number, as above
    link: bytes = b""  # the name of another member whose content it shares; else empty


class Shard(Protocol):
    """An open container that can be written again."""

    def write_without(self, places: Collection[int], out: BinaryIO) -> None:
        """Write it without the members at some places; ImageError if it is damaged."""


class Table(Shard, Protocol):
    """An open table."""

    def write_tagged(self, column: str, tags: Mapping[int, str], out: BinaryIO) -> None:
        """Write it with one more column, of texts by the numbers of their rows, else null."""


def open_table(file: OpenFile, kind: str) -> Table:
    """Return an open Parquet or Arrow file."""
    import_uncapped(TABLE_MODULE)
    table: Table = importlib.import_module(TABLE_MODULE).TableRows(file, kind)
    return table


def open_shard(file: OpenFile, kind: str) -> Shard:
    """Return an open container by its kind; see `imgdup.system.paths.kind_of`."""
    return open_table(file, kind) if kind in TABLES else _archive(file, kind)


def stored_members(file: OpenFile, kind: str) -> list[Stored]:
    """Return the members of an open tar or zip file in their order.

    Raises ImageError if it is damaged.
    """
    return _archive(file, kind).members()


def _archive(file: OpenFile, kind: str) -> "_Tar | _Zip":
    return _Zip(file) if kind == "zip" else _Tar(file, kind)


class _Tar:
    def __init__(self, file: OpenFile, kind: str) -> None:
        self._source: Source = file if kind == "tar" else Unpacked(file, kind)
        self._compressor = _COMPRESSORS.get(kind)

    def members(self) -> list[Stored]:
        return [Stored(each.name, each.data, each.link) for each in list_spans(self._source)]

    def write_without(self, places: Collection[int], out: BinaryIO) -> None:
        left_out = [span for span in list_spans(self._source) if span.data in places]
        stream = out if self._compressor is None else self._compressor(out)
        at = 0
        for span in left_out:
            _copy(self._source, at, span.start, stream)
            at = span.stop
        _copy(self._source, at, None, stream)
        if stream is not out:
            stream.close()


class _Zip:
    def __init__(self, file: OpenFile) -> None:
        self._file = file

    def members(self) -> list[Stored]:
        found, _, _, moved = self._listed()
        return [Stored(each.name, each.offset + moved) for each in found]

    def write_without(self, places: Collection[int], out: BinaryIO) -> None:
        found, directory, start, moved = self._listed()
        kept = [each for each in found if each.offset + moved not in places]
        offsets = sorted({each.offset + moved for each in found})
        staying = {each.offset + moved for each in kept}
        new, at = dict[int, int](), 0
        _copy(self._file, 0, offsets[0] if offsets else start, out)
        at = offsets[0] if offsets else start
        for offset, end in pairwise([*offsets, start]):
            if offset in staying:
                new[offset] = at - moved
                _copy(self._file, offset, end, out)
                at += end - offset
        entries_now = b"".join(
            _moved_entry(directory[each.start : each.stop], each, new[each.offset + moved])
            for each in kept
        )
        out.write(entries_now)
        tail_at = start + len(directory)
        tail = self._file.read(tail_at, self._file.size - tail_at)
        out.write(_end(tail, len(kept), len(entries_now), at, moved))

    def _listed(self) -> tuple[list[Entry], bytes, int, int]:
        """Return the entries, their bytes, where these begin, and how far all is moved."""
        try:
            start, n_bytes, n_entries, moved = central_directory(self._file)
        except (ValueError, struct.error) as error:
            raise ImageError("damaged", f"the directory of the zip file: {error}") from error
        directory = self._file.read(start, n_bytes)
        found = list(entries(directory))
        if len(found) != n_entries or (found and found[-1].stop != n_bytes):
            raise ImageError("damaged", "the directory of the zip file is incomplete")
        _check_apart(found, start - moved)
        return found, directory, start, moved


def _check_apart(found: list[Entry], end: int) -> None:
    """Raise ImageError unless each member ends before the next begins."""
    longest: dict[int, int] = {}
    for each in found:
        longest[each.offset] = max(each.packed, longest.get(each.offset, 0))
    for offset, following in pairwise([*sorted(longest), end]):
        if offset + _LOCAL_BYTES + longest[offset] > following:
            raise ImageError("damaged", "members of the zip file overlap")


def _moved_entry(data: bytes, entry: Entry, offset: int) -> bytes:
    """Return an entry with another offset of its member."""
    new = bytearray(data)
    if entry.fields[16] != _IN_EXTRA:
        struct.pack_into("<I", new, _OFFSET_AT, offset)
        return bytes(new)
    at = _EXTRA_AT + entry.fields[10]
    end = at + len(entry.extra)
    while at + 4 <= end:
        number, n_bytes = struct.unpack_from("<2H", new, at)
        if number == _ZIP64:
            n_before = (entry.fields[8] == _IN_EXTRA) + (entry.fields[9] == _IN_EXTRA)
            struct.pack_into("<Q", new, at + 4 + 8 * n_before, offset)
            break
        at += 4 + n_bytes
    return bytes(new)


def _end(tail: bytes, n_entries: int, n_bytes: int, at: int, moved: int) -> bytes:
    """Return what follows the directory, with other numbers; `at` is where it ends up."""
    new = bytearray(tail)
    if tail[:4] == _END64_MAGIC:
        struct.pack_into("<4Q", new, 24, n_entries, n_entries, n_bytes, at - moved)
        behind = 12 + struct.unpack_from("<Q", tail, 4)[0]
        struct.pack_into("<Q", new, behind + 8, at + n_bytes - moved)
    end = tail.rfind(_END_MAGIC)
    for form, place, number in (
        ("<H", 8, n_entries),
        ("<H", 10, n_entries),
        ("<I", 12, n_bytes),
        ("<I", 16, at - moved),
    ):
        most = (1 << 8 * struct.calcsize(form)) - 1
        if struct.unpack_from(form, tail, end + place)[0] != most:  # else it is in the long form
            struct.pack_into(form, new, end + place, number)
    return bytes(new)


def _copy(source: Source, start: int, stop: int | None, out: IO[bytes]) -> None:
    """Copy bytes from an offset up to another, or up to the end."""
    for data in _parts(source, start, stop):
        out.write(data)


def _parts(source: Source, start: int, stop: int | None) -> Iterator[bytes]:
    while stop is None or start < stop:
        wanted = COPIED_BYTES if stop is None else min(COPIED_BYTES, stop - start)
        data = source.read(start, wanted)
        if not data:
            if stop is not None:
                raise ImageError("truncated", "the file ends too early")
            return
        start += len(data)
        yield data
