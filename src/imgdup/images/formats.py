"""Recognise the format of a file by its first bytes; the names of formats and of failures."""

import posixpath
import re
import struct

REASONS = (
    "ok",
    "truncated",
    "damaged",
    "too-large",
    "not-an-image",
    "unsupported",
    "unreadable",
    "changed",
    "missing",
    "timed-out",
    "crashed",
)
"""The status of a file. The position is the status byte in an index: only append."""

OK = REASONS.index("ok")

FORMATS = (
    *("unknown", "jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", "heif"),
    *("pnm", "jpeg2000", "tga", "ico", "psd", "dds", "jxl"),
)
"""Formats that are decoded. The position is the format byte in an index: only append."""

LOSSLESS_FORMATS = frozenset({"png", "bmp", "gif", "tiff", "pnm", "tga", "psd"})
"""Formats that usually store pixels without loss."""

IMAGE_EXTENSIONS = frozenset(
    """.jpg .jpeg .jpe .jfif .png .apng .webp .bmp .dib .gif .tif .tiff .avif .avifs .heic .heif
    .hif .pbm .pgm .ppm .pnm .jp2 .j2k .j2c .jpc .jpf .jpx .tga .icb .vda .vst .ico .psd .dds
    .jxl""".split()
)
"""Lower-case extensions of the formats."""

UNDECODED_EXTENSIONS = {
    ".hdr": "Radiance HDR",
    ".rgbe": "Radiance HDR",
    ".exr": "OpenEXR",
    ".ras": "Sun raster",
    ".sun": "Sun raster",
    ".pam": "PAM",
    ".pfm": "PFM",
    ".psb": "Photoshop large document",
    ".xcf": "GIMP",
    ".qoi": "QOI",
    ".pcx": "PCX",
    ".dcx": "PCX",
    ".sgi": "SGI",
    ".rgb": "SGI",
    ".bw": "SGI",
    ".cur": "Windows cursor",
    ".icns": "Apple icon",
    ".xbm": "XBM",
    ".xpm": "XPM",
    ".fits": "FITS",
    ".jxr": "JPEG XR",
    ".wdp": "JPEG XR",
    ".jls": "JPEG-LS",
    ".djvu": "DjVu",
    ".bpg": "BPG",
    ".flif": "FLIF",
    ".mng": "MNG",
    ".jng": "JNG",
    ".wmf": "Windows metafile",
    ".emf": "Windows metafile",
    ".svg": "SVG",
    ".dng": "raw",
    ".cr2": "raw",
    ".cr3": "raw",
    ".crw": "raw",
    ".nef": "raw",
    ".arw": "raw",
    ".raf": "raw",
    ".orf": "raw",
    ".rw2": "raw",
    ".pef": "raw",
    ".srw": "raw",
    ".x3f": "raw",
}
"""Lower-case extensions of picture formats that are not decoded."""

SNIFF_BYTES = 32  # enough for every signature below

MONTAGE_MARK = b"tEXtSoftware\0imgdup"
"""A PNG chunk of the pictures that we draw ourselves, which may be drawn again."""
MARKED_BYTES = 64  # of the beginning of such a picture, which hold the mark

_ISO_BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heif",
    b"heix": "heif",
    b"heim": "heif",
    b"heis": "heif",
    b"hevc": "heif",
    b"hevx": "heif",
}
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"8BPS\0\1", "psd"),
    (b"DDS \x7c\0\0\0", "dds"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)
_UNDECODED = (
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"P7\n", "PAM"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"8BPS\0\2", "Photoshop large document"),
    (b"gimp xcf ", "GIMP"),
    (b"qoif", "QOI"),
    (b"\x01\xda\0\1", "SGI"),
    (b"\x01\xda\1\1", "SGI"),
    (b"\0\0\2\0\1\0", "Windows cursor"),
    (b"icns", "Apple icon"),
    (b"/* XPM */", "XPM"),
    (b"SIMPLE  =", "FITS"),
    (b"II\xbc\1", "JPEG XR"),
    (b"AT&TFORM", "DjVu"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"FUJIFILMCCD-RAW", "raw of Fujifilm"),
    (b"IIRO", "raw of Olympus"),
    (b"IIU\0", "raw of Panasonic"),
    (b"FOVb", "raw of Sigma"),
)
_PNM = re.compile(rb"P[1-6]\s+(?:#|\d+\s+(?:#|\d+\s))")  # the first numbers are the size
_ICO_BITS = frozenset({0, 1, 4, 8, 16, 24, 32})
_TGA_TYPES = {1: {1, 9}, 0: {2, 3, 10, 11}}  # of the pixels, by the type of the colour map
_TGA_BITS = frozenset({1, 8, 15, 16, 24, 32})


def reason_of(status: int) -> str:
    """Return the word for a status byte; a forged one is damaged."""
    return REASONS[status] if status < len(REASONS) else "damaged"


def is_foreign_image(head: bytes) -> bool:
    """Return whether a file that begins like this is an image, but not a montage of imgdup."""
    return sniff(head[:SNIFF_BYTES]) != "unknown" and MONTAGE_MARK not in head


def format_of(number: int) -> str:
    """Return the name for a format byte; a forged one is unknown."""
    return FORMATS[number] if number < len(FORMATS) else "unknown"


def sniff(head: bytes) -> str:
    r"""Return the format of a file from its first ``SNIFF_BYTES`` bytes.

    It is ``"unknown"`` for anything that is not decoded, images among them.

    Examples
    --------
    >>> sniff(b"\xff\xd8\xff\xe0\0\x10JFIF")
    'jpeg'
    >>> sniff(b"<html>")
    'unknown'
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    return next((name for name, fits in _BY_FIELDS.items() if fits(head)), "unknown")


def undecoded_name(head: bytes) -> str | None:
    r"""Name an image format that is recognised by its first bytes and not decoded, or return None.

    Their decoders have a history of faults, do not give 8-bit pixels, or do not exist.

    Examples
    --------
    >>> undecoded_name(b"#?RADIANCE\n")
    'Radiance HDR'
    """
    if head[4:12] == b"ftypcrx ":
        return "raw of Canon"
    return next((name for signature, name in _UNDECODED if head.startswith(signature)), None)


def undecoded_extension(name: str) -> str | None:
    """Name the format of a picture that is not decoded, by the ending of the file's name, or None.

    Examples
    --------
    >>> undecoded_extension("studio/lamp.EXR")
    'OpenEXR'
    """
    return UNDECODED_EXTENSIONS.get(posixpath.splitext(name)[1].lower())


def _is_bmp(head: bytes) -> bool:
    """Look at the size of the second header, which has been 12 to 124 bytes."""
    return head[:2] == b"BM" and head[15:18] == b"\0\0\0" and head[14] >= 12


def _is_pnm(head: bytes) -> bool:
    return _PNM.match(head) is not None


def _is_ico(head: bytes) -> bool:
    """Look at the first entry of the directory."""
    if len(head) < 22 or head[:4] != b"\0\0\1\0":
        return False
    n_entries, reserved, planes, bits, size, offset = struct.unpack_from("<4xH3xBHHII", head)
    looks_right = n_entries > 0 and reserved == 0 and planes <= 1 and bits in _ICO_BITS
    return bool(looks_right and size > 0 and offset >= 6 + 16 * n_entries)


def _is_tga(head: bytes) -> bool:
    """Look whether all fields of the header fit together, for want of a signature."""
    if len(head) < 18:
        return False
    map_type, pixel_type, map_start, map_length, map_bits = struct.unpack_from("<xBBHHB", head)
    width, height, bits, descriptor = struct.unpack_from("<12xHHBB", head)
    has_map = map_type == 1 and map_length > 0 and map_bits in _TGA_BITS
    no_map = map_type == 0 and not (map_start or map_length or map_bits)
    fits = pixel_type in _TGA_TYPES.get(map_type, ()) and bits in _TGA_BITS and descriptor < 64
    return bool((has_map or no_map) and fits and width and height)


_BY_FIELDS = {"bmp": _is_bmp, "pnm": _is_pnm, "ico": _is_ico, "tga": _is_tga}


def _iso_format(head: bytes) -> str:
    """AVIF or HEIF by the major brand, else by the first compatible ones."""
    brands = (head[8:12], *(head[at : at + 4] for at in range(16, SNIFF_BYTES, 4)))
    return next((_ISO_BRANDS[brand] for brand in brands if brand in _ISO_BRANDS), "unknown")
