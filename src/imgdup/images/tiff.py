"""Read the directories of TIFF files, and of EXIF and MPF data, which are built alike.

What a directory states is checked against the length of the data: each walk is bounded, needs
little memory, and ends where the data make no sense (TIFF 6.0, section 2; BigTIFF has wider
fields).
"""

import itertools
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from imgdup.errors import ImageError

EXIF_PREFIX = b"Exif\0\0"
UPRIGHT = 1  # the orientation of a picture that is stored as it is shown
MAX_DIRECTORIES = 10_000  # of a file; scanned books have some hundreds
MAX_SUB_DIRECTORIES = 16  # of one directory; raw photos have three or four
MAX_VALUES = 1_000  # that are read of one field

# Tags
SUBFILE_TYPE = 254
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
MAKE, MODEL = 271, 272
ORIENTATION = 274  # CIPA DC-008 (EXIF), section 4.6.4
SUB_DIRECTORIES = 330
EXIF_DIRECTORY = 34665
_DNG_VERSION = 50706

_REDUCED, _MASK = 1, 4  # bits of the subfile type
_RAW_PHOTOMETRICS = frozenset({32803, 34892})  # colour filter array, linear raw
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
_RAW_MARKS = (b"CR\2", b"IIII", b"MMMM")  # of Canon and Phase One, behind the header

_FORMS = {  # of `struct`, by the type of a field
    **{1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii"},
    **{11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"},
}
_INTEGERS = frozenset({1, 3, 4, 6, 8, 9, 13, 16, 17, 18})
_TEXTS = frozenset({2, 7, 129})


class Tiff(NamedTuple):
    """Data with directories."""

    data: bytes
    order: str  # byte order, as for `struct`
    big: bool  # whether offsets have 64 bits (BigTIFF)
    first: int  # offset of the first directory


class Field(NamedTuple):
    """A field of a directory: its type, how many values it claims, and where they begin."""

    kind: int
    n_values: int
    at: int


Directory = Mapping[int, Field]


def open_tiff(data: bytes) -> Tiff | None:
    """Read the header of TIFF data; None for any other data."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 42:
        return Tiff(data, order, False, *struct.unpack_from(order + "I", data, 4))
    if version == 43 and len(data) >= 16:
        return Tiff(data, order, True, *struct.unpack_from(order + "Q", data, 8))
    return None


def directories(tiff: Tiff) -> Iterator[Directory]:
    """Yield the directories in the chain that begins with the first."""
    at, seen = tiff.first, set[int]()
    while at and at not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(at)
        read = _directory(tiff, at)
        if read is None:
            return
        fields, at = read
        yield fields


def directory_at(tiff: Tiff, at: int) -> Directory:
    """Read the directory at an offset; it is empty if there is none."""
    read = _directory(tiff, at)
    return read[0] if read else {}


def _entries(tiff: Tiff, at: int) -> tuple[int, int] | None:
    """Return where the entries of a directory begin, and how many it claims."""
    form = tiff.order + ("Q" if tiff.big else "H")
    start = at + struct.calcsize(form)
    if start > len(tiff.data):
        return None
    (n_entries,) = struct.unpack_from(form, tiff.data, at)
    return start, n_entries


def _directory(tiff: Tiff, at: int) -> tuple[dict[int, Field], int] | None:
    """Read a directory, and the offset of the next; entries beyond the data are left out."""
    entries = _entries(tiff, at)
    if entries is None:
        return None
    data, order, big, _ = tiff
    start, n_entries = entries
    entry, offset = (order + form for form in (("HHQ", "Q") if big else ("HHI", "I")))
    head_bytes, value_bytes = struct.calcsize(entry), struct.calcsize(offset)
    entry_bytes = head_bytes + value_bytes
    n_whole = min(n_entries, (len(data) - start) // entry_bytes)
    end = start + entry_bytes * n_whole
    fields: dict[int, Field] = {}
    for place in range(start, end, entry_bytes):
        tag, kind, count = struct.unpack_from(entry, data, place)
        value = place + head_bytes
        if count * struct.calcsize(order + _FORMS.get(kind, "B")) > value_bytes:
            (value,) = struct.unpack_from(offset, data, value)
        fields.setdefault(tag, Field(kind, count, value))
    has_next = n_whole == n_entries and end + value_bytes <= len(data)
    return fields, struct.unpack_from(offset, data, end)[0] if has_next else 0


def integers(tiff: Tiff, directory: Directory, tag: int) -> tuple[int, ...]:
    """Return the integers of a field, at most `MAX_VALUES`; none if they are not there."""
    field = directory.get(tag)
    if field is None or field.kind not in _INTEGERS:
        return ()
    form = tiff.order + _FORMS[field.kind] * min(field.n_values, MAX_VALUES)
    if field.at + struct.calcsize(form) > len(tiff.data):
        return ()
    return struct.unpack_from(form, tiff.data, field.at)


def integer(tiff: Tiff, directory: Directory, tag: int, default: int = 0) -> int:
    """Return the first integer of a field."""
    return next(iter(integers(tiff, directory, tag)), default)


def text(tiff: Tiff, directory: Directory, tag: int) -> str:
    """Return the printable text of a field up to its first zero byte; empty if there is none."""
    field = directory.get(tag)
    if field is None or field.kind not in _TEXTS:
        return ""
    stored = tiff.data[field.at : field.at + min(field.n_values, MAX_VALUES)]
    words = stored.split(b"\0")[0].decode("utf-8", "replace")
    return " ".join("".join(filter(str.isprintable, words)).split())


def exif_orientation(exif: bytes) -> int:
    r"""Read the orientation, 1 to 8, from EXIF data; whatever makes no sense is upright.

    EXIF prescribes a SHORT; files of some writers hold a LONG or a BYTE. Only the first directory
    is read: no pointer is followed but the one to it.

    Examples
    --------
    >>> exif_orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    6
    """
    tiff = open_tiff(exif.removeprefix(EXIF_PREFIX))
    first = next(directories(tiff), {}) if tiff and not tiff.big else {}
    if tiff is None or ORIENTATION not in first:
        return UPRIGHT
    orientation = integer(tiff, first, ORIENTATION, UPRIGHT)
    return orientation if 1 <= orientation <= 8 else UPRIGHT


def check_tiff(data: bytes) -> None:
    """Refuse a TIFF file whose pictures cannot be decoded.

    Raises ImageError: ``truncated`` if the first directory is not inside the file; ``unsupported``
    if the file is a raw photo, whose first picture is a preview.
    """
    tiff = open_tiff(data)
    entries = _entries(tiff, tiff.first) if tiff else None
    if tiff is None or entries is None:
        raise ImageError("truncated", "the TIFF file ends before its first directory")
    start, n_entries = entries
    if start + n_entries * (20 if tiff.big else 12) > len(data):
        raise ImageError("truncated", "the TIFF file ends within its first directory")
    if is_raw(tiff):
        raise ImageError("unsupported", "raw photos are not decoded")


def is_raw(tiff: Tiff) -> bool:
    """Return whether a TIFF file is a raw photo, such as NEF, CR2, ARW or DNG.

    It is one if any of its pictures, also those that its directories contain, holds the values of a
    sensor, or if the first one is a preview of one that it contains.
    """
    if tiff.data[8:12].startswith(_RAW_MARKS):
        return True
    first = next(directories(tiff), {})
    if _DNG_VERSION in first or (SUB_DIRECTORIES in first and _is_extra(tiff, first)):
        return True
    return any(_holds_sensor_values(tiff, each) for each in _all_directories(tiff))


def pages(tiff: Tiff) -> list[int]:
    """Return the numbers of the directories of the chain that are pages, not previews or masks.

    If no directory is a page, it is that of the first.
    """
    chain = enumerate(directories(tiff))
    return [number for number, each in chain if not _is_extra(tiff, each)] or [0]


def first_page(tiff: Tiff) -> Directory:
    """Return the directory of the first page; it is empty if there is none."""
    return next(itertools.islice(directories(tiff), pages(tiff)[0], None), {})


def _is_extra(tiff: Tiff, directory: Directory) -> bool:
    """Return whether a picture is a preview or a mask of another."""
    return bool(integer(tiff, directory, SUBFILE_TYPE) & (_REDUCED | _MASK))


def _holds_sensor_values(tiff: Tiff, directory: Directory) -> bool:
    return (
        integer(tiff, directory, PHOTOMETRIC) in _RAW_PHOTOMETRICS
        or integer(tiff, directory, COMPRESSION) in _RAW_COMPRESSIONS
    )


def _all_directories(tiff: Tiff) -> Iterator[Directory]:
    """Yield each directory of the chain, and those that it contains, one level down."""
    for n_seen, each in enumerate(directories(tiff)):
        yield each
        if n_seen < MAX_VALUES:
            for at in integers(tiff, each, SUB_DIRECTORIES)[:MAX_SUB_DIRECTORIES]:
                yield directory_at(tiff, at)
