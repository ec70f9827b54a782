"""The first bytes of a file -> the name of its format; the words for formats and for failures."""

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
"""What became of a file. The position is the status byte in an index: only append."""

OK = REASONS.index("ok")

FORMATS = ("unknown", "jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", "heif")
"""Formats that are decoded. The position is the format byte in an index: only append."""

LOSSLESS_FORMATS = frozenset({"png", "bmp", "gif", "tiff"})
"""Formats that keep the pixels they are given, as a rule."""

IMAGE_EXTENSIONS = frozenset(
    """.jpg .jpeg .jpe .jfif .png .apng .webp .bmp .dib .gif .tif .tiff .avif .avifs .heic .heif
    .hif""".split()
)
"""Lower-case endings of names that promise an image of one of the formats."""

SNIFF_BYTES = 32  # enough for every signature below

MONTAGE_MARK = b"tEXtSoftware\0imgdup"
"""A PNG chunk of the pictures that we draw ourselves, which may be drawn anew."""
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
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)
_REFUSED = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"8BPS", "Photoshop"),
    *((b"P%d\n" % n, "PNM") for n in range(1, 8)),
    *((b"P%d " % n, "PNM") for n in range(1, 8)),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
)


def reason_of(status: int) -> str:
    """Return the word for a status byte; a forged one is damaged."""
    return REASONS[status] if status < len(REASONS) else "damaged"


def is_foreign_image(head: bytes) -> bool:
    """Tell whether a file that begins like this is an image, and none of our montages."""
    return sniff(head[:SNIFF_BYTES]) != "unknown" and MONTAGE_MARK not in head


def format_of(number: int) -> str:
    """Return the name for a format byte; a forged one is unknown."""
    return FORMATS[number] if number < len(FORMATS) else "unknown"


def sniff(head: bytes) -> str:
    r"""Tell the format of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The first ``SNIFF_BYTES`` bytes, or the whole of a shorter file.

    Returns
    -------
    str
        One of ``FORMATS``; ``"unknown"`` for anything that is not decoded, images among them.

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
    if head[:2] == b"BM" and head[15:18] == b"\0\0\0" and 12 <= head[14]:
        return "bmp"
    return "unknown"


def refused_name(head: bytes) -> str | None:
    r"""Name an image format that is recognised and not decoded, or None.

    Such decoders have a history of faults, or give no 8-bit pixels.

    Parameters
    ----------
    head : bytes
        The first ``SNIFF_BYTES`` bytes, or the whole of a shorter file.

    Examples
    --------
    >>> refused_name(b"P6\n640 480\n255\n")
    'PNM'
    """
    return next((name for signature, name in _REFUSED if head.startswith(signature)), None)


def _iso_format(head: bytes) -> str:
    """AVIF or HEIF by the major brand, else by the first compatible ones."""
    brands = (head[8:12], *(head[at : at + 4] for at in range(16, SNIFF_BYTES, 4)))
    return next((_ISO_BRANDS[brand] for brand in brands if brand in _ISO_BRANDS), "unknown")
