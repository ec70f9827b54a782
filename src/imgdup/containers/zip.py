"""Read the directory and the members of a zip file.

The standard library's `zipfile` makes an object of 550 bytes for each member and needs the whole
directory to read one of them; here a member is read from its place alone. Source of the layout:
PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imgdup.containers import NO_PLACE, ZIP_DEFLATED, ZIP_STORED, Directory, Fault, OpenFile, Place
from imgdup.errors import ImageError
from imgdup.system.limits import Limits, size_text

_END = struct.Struct("<4s4H2IH")  # of the central directory; 4.3.16
_END_MAGIC = b"PK\5\6"
_LOCATOR64 = struct.Struct("<4sIQI")  # 4.3.15
_LOCATOR64_MAGIC = b"PK\6\7"
_END64 = struct.Struct("<4sQ2H2I4Q")  # 4.3.14
_END64_MAGIC = b"PK\6\6"
_ENTRY = struct.Struct("<4s6H3I5H2I")  # 4.3.12
_ENTRY_MAGIC = b"PK\1\2"
_LOCAL = struct.Struct("<4s5H3I2H")  # 4.3.7
_LOCAL_MAGIC = b"PK\3\4"
_LONGEST_COMMENT = 0xFFFF
_IN_EXTRA = 0xFFFF_FFFF  # means that the number is in the extra field
_ZIP64 = 1  # the number of that field
_ENCRYPTED = 1  # bits of the flags
_UTF8 = 1 << 11
_METHODS = {0: ZIP_STORED, 8: ZIP_DEFLATED}
_UNIX = 3  # the system that wrote an entry, whose attributes hold a mode
_RAW_DEFLATE = -zlib.MAX_WBITS


def list_zip(file: OpenFile) -> Directory:
    """Read the directory of a zip file; a damaged one up to its damage."""
    found = Directory()
    try:
        start, n_bytes, n_entries, moved = central_directory(file)
        data = file.read(start, n_bytes)
        n_found = _add_entries(found, data, moved)
        if n_found < n_entries:
            found.fault = Fault("damaged", f"{n_found:,} of {n_entries:,} members can be found")
    except (ValueError, struct.error) as error:
        found.fault = Fault("damaged", f"the directory of the zip file: {error}")
    return found


def central_directory(file: OpenFile) -> tuple[int, int, int, int]:
    """Return where the directory begins, its bytes, its entries, and how far all is moved.

    All offsets are moved if something was put before the zip file, as in a program that unpacks
    itself.
    """
    size = file.size
    tail_start = max(0, size - _LONGEST_COMMENT - _END.size)
    tail = file.read(tail_start, size - tail_start)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or at + _END.size > len(tail):
        raise ValueError("it has no end record; the file is truncated or not a zip file")
    *_, n_entries, n_bytes, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    before = file.read(max(0, end - _LOCATOR64.size), _LOCATOR64.size)
    if before[:4] == _LOCATOR64_MAGIC and len(before) == _LOCATOR64.size:
        declared = _LOCATOR64.unpack(before)[2]
        for place in (declared, end - _LOCATOR64.size - _END64.size):
            end64 = file.read(min(place, size), _END64.size)
            if end64[:4] == _END64_MAGIC and len(end64) == _END64.size:
                *_, n_entries, n_bytes, offset = _END64.unpack(end64)
                end = place
                break
    start = end - n_bytes
    if start < 0 or start < offset:
        raise ValueError("it points outside the file")
    return start, n_bytes, n_entries, start - offset


class Entry(NamedTuple):
    """An entry of the directory: its name, its numbers, and where it is there."""

    name: bytes
    fields: tuple[int, ...]
    extra: bytes
    start: int
    stop: int

    @property
    def packed(self) -> int:
        """Bytes of the member as it is stored."""
        return _numbers(self.fields[8], self.fields[9], self.fields[16], self.extra)[0]

    @property
    def offset(self) -> int:
        """Where the member begins, as the directory gives it."""
        return _numbers(self.fields[8], self.fields[9], self.fields[16], self.extra)[2]


def entries(data: bytes) -> Iterator[Entry]:
    """Yield the entries of a directory."""
    at = 0
    while at + _ENTRY.size <= len(data) and data[at : at + 4] == _ENTRY_MAGIC:
        start, fields = at, _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        n_name, n_extra, n_comment = fields[10:13]
        name, extra = data[at : at + n_name], data[at + n_name : at + n_name + n_extra]
        at += n_name + n_extra + n_comment
        if not fields[3] & _UTF8 and not name.isascii():
            name = name.decode("cp437").encode()
        yield Entry(name.replace(b"\0", b"_"), fields, extra, start, at)


def _add_entries(found: Directory, data: bytes, moved: int) -> int:
    """Add the members of a directory, and return how many entries there were."""
    n_entries = 0
    for entry in entries(data):
        n_entries += 1
        _add_entry(found, entry.name, entry.fields, entry.extra, moved)
    return n_entries


def _add_entry(
    found: Directory, name: bytes, fields: tuple[int, ...], extra: bytes, moved: int
) -> None:
    version, flags, method, check = fields[1], fields[3], fields[4], fields[7]
    packed, size, offset = _numbers(fields[8], fields[9], fields[16], extra)
    mode = fields[15] >> 16 if version >> 8 == _UNIX else 0
    if name.endswith(b"/"):
        return
    if stat.S_ISLNK(mode):
        found.ignore(name, "a link that is not followed")
    elif flags & _ENCRYPTED:
        found.add(name, NO_PLACE, Fault("unsupported", "the member of the zip file is encrypted"))
    elif method not in _METHODS:
        detail = f"compression method {method} of zip files is not unpacked"
        found.add(name, NO_PLACE, Fault("unsupported", detail))
    elif max(packed, size, offset) >= 1 << 62:
        found.add(name, NO_PLACE, Fault("damaged", "the zip file declares impossible sizes"))
    else:
        found.add(name, (_METHODS[method], offset + moved, packed, size, check))


def _numbers(packed: int, size: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Return compressed size, size and offset, those of long files from the extra field."""
    if _IN_EXTRA not in (packed, size, offset):
        return packed, size, offset
    at = 0
    while at + 4 <= len(extra):
        number, n_bytes = struct.unpack_from("<2H", extra, at)
        if number == _ZIP64:
            content = extra[at + 4 : at + 4 + n_bytes]
            longs = iter(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
            size = next(longs, size) if size == _IN_EXTRA else size
            packed = next(longs, packed) if packed == _IN_EXTRA else packed
            offset = next(longs, offset) if offset == _IN_EXTRA else offset
            break
        at += 4 + n_bytes
    return packed, size, offset


class ZipFile:
    """An open zip file."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file

    def directory(self, limits: Limits, column: str = "") -> Directory:
        """List its members; a damaged directory up to its damage."""
        return list_zip(self.file)

    def read(self, place: Place, limits: Limits) -> bytes:
        """Read one member, at most `Limits.max_file_bytes` whatever is declared.

        Raises ImageError: ``too-large``, ``truncated`` or ``damaged``.
        """
        kind, _, packed, size, check = place
        limits.check_bytes(max(size, packed if kind == ZIP_STORED else 0))
        start = self._data_start(place)
        if kind == ZIP_STORED:
            data = _stored(self.file, start, packed)
        else:
            data = _inflated(self.file, start, packed, size + 1)
        if len(data) != size:
            has = "more" if len(data) > size else size_text(len(data))
            raise ImageError("damaged", f"the zip file declares {size_text(size)} and holds {has}")
        if zlib.crc32(data) != check:
            raise ImageError("damaged", "the checksum of the zip file differs")
        return data

    def head(self, place: Place, n_bytes: int) -> bytes:
        """Return the first bytes of a member; none if they cannot be read."""
        kind, _, packed, _, _ = place
        try:
            start = self._data_start(place)
            if kind == ZIP_STORED:
                return self.file.read(start, min(n_bytes, packed))
            return _inflated(self.file, start, packed, n_bytes)
        except ImageError:
            return b""

    def _data_start(self, place: Place) -> int:
        local = self.file.read(place[1], _LOCAL.size)
        if len(local) < _LOCAL.size or local[:4] != _LOCAL_MAGIC:
            raise ImageError(
                "damaged", "the zip file has no member at the position in its directory"
            )
        n_name, n_extra = _LOCAL.unpack(local)[9:]
        return int(place[1] + _LOCAL.size + n_name + n_extra)


def _stored(file: OpenFile, start: int, n_bytes: int) -> bytes:
    data = file.read(start, n_bytes)
    if len(data) < n_bytes:
        raise ImageError("truncated", "the zip file ends within the member")
    return data


_PART_BYTES = 1 << 20  # of a compressed member, read at a time


def _inflated(file: OpenFile, start: int, packed: int, n_bytes: int) -> bytes:
    """Unpack at most `n_bytes` of a member."""
    unpacker, parts, n_left = zlib.decompressobj(_RAW_DEFLATE), list[bytes](), n_bytes
    stop = start + packed
    try:
        while not unpacker.eof and n_left and start < stop:
            data = file.read(start, min(_PART_BYTES, stop - start))
            if not data:
                raise ImageError("truncated", "the zip file ends within the member")
            start += len(data)
            while data and n_left:
                parts.append(unpacker.decompress(data, n_left))
                n_left -= len(parts[-1])
                data = unpacker.unconsumed_tail
    except zlib.error as error:
        raise ImageError("damaged", f"the member cannot be unpacked: {error}") from error
    return b"".join(parts)
