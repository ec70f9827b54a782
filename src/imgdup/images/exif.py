"""EXIF data -> the orientation of a picture."""

import struct

EXIF_PREFIX = b"Exif\0\0"
ORIENTATION_TAG = 0x0112  # CIPA DC-008 (EXIF), section 4.6.4
UPRIGHT = 1  # the orientation of a picture that is stored as it is shown

_INTEGER_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # TIFF 6.0, section 2
_ENTRY_BYTES = 12


def exif_orientation(exif: bytes) -> int:
    r"""Read the orientation, 1 to 8, from EXIF data; whatever makes no sense is upright.

    EXIF prescribes a SHORT; files of some writers hold a LONG or a BYTE. Only the first directory
    is read: no pointer is followed but the one to it.

    Examples
    --------
    >>> exif_orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    6
    """
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return UPRIGHT
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return UPRIGHT
    (count,) = struct.unpack_from(order + "H", tiff, at)
    start = at + 2
    end = start + _ENTRY_BYTES * min(count, (len(tiff) - start) // _ENTRY_BYTES)
    for tag, kind, value in struct.iter_unpack(order + "HH4x4s", tiff[start:end]):
        if tag == ORIENTATION_TAG:
            return _checked_orientation(order, kind, value)
    return UPRIGHT


def _checked_orientation(order: str, kind: int, value: bytes) -> int:
    """Read the value of an entry by its type."""
    if kind not in _INTEGER_TYPES:
        return UPRIGHT
    orientation: int = struct.unpack_from(order + _INTEGER_TYPES[kind], value)[0]
    return orientation if 1 <= orientation <= 8 else UPRIGHT
