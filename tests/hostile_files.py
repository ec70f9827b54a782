"""Files that attack a decoder, and honest ones to begin from, all made here from formulas.

Every function returns bytes. `photo` is a picture with enough structure for all hashes.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MIB = 1 << 20


def photo(height=120, width=160, seed=0):
    """RGB pixels: smooth blobs of many sizes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.cos(rng.uniform(0, 2 * np.pi) + f * (columns * np.cos(a) + rows * np.sin(a)))
        for f, a in zip(rng.uniform(2, 40, 36), rng.uniform(0, 2 * np.pi, 36), strict=True)
    ]
    channels = [sum(waves[i::3]) for i in range(3)]
    stacked = np.stack(channels, axis=-1)
    return np.uint8(255 * (stacked - stacked.min()) / np.ptp(stacked))


def saved(pixels, name, **options):
    """Save pixels, or a Pillow image, in a format."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def honest_files():
    """One file of every kind that is admitted, by name."""
    rgb = photo()
    image = Image.fromarray(rgb)
    frames = [Image.fromarray(photo(seed=seed)) for seed in (1, 2)]
    moving = {"save_all": True, "append_images": frames}
    with_alpha = image.convert("RGBA")
    return {
        "baseline.jpg": saved(rgb, "JPEG", quality=85),
        "progressive.jpg": saved(rgb, "JPEG", quality=85, progressive=True),
        "gray.jpg": saved(image.convert("L"), "JPEG"),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG"),
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(with_alpha, "PNG"),
        "palette.png": saved(image.quantize(64), "PNG"),
        "1-bit.png": saved(image.convert("1"), "PNG"),
        "16-bit.png": saved(Image.fromarray(rgb[:, :, 0].astype(np.uint16) * 257), "PNG"),
        "moving.png": saved(rgb, "PNG", **moving),
        "lossy.webp": saved(rgb, "WEBP"),
        "lossless.webp": saved(with_alpha, "WEBP", lossless=True),
        "moving.webp": saved(rgb, "WEBP", **moving),
        "still.gif": saved(image.quantize(64), "GIF"),
        "moving.gif": saved(rgb, "GIF", **moving),
        "rgb.bmp": saved(rgb, "BMP"),
        "deflated.tif": saved(rgb, "TIFF", compression="tiff_deflate"),
        "rgb.avif": saved(rgb, "AVIF"),
    }


def chunk(kind, content):
    """One chunk of a PNG file, with its checksum."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_of_zeros(width, height, *extra_chunks):
    """A 1-bit PNG of any size, valid in every respect."""
    packer = zlib.compressobj()
    row = bytes(1 + (width + 7) // 8)
    rows_a_time = max(1, MIB // len(row))
    pieces = [
        packer.compress(row * min(rows_a_time, height - y)) for y in range(0, height, rows_a_time)
    ]
    return b"".join(
        [
            PNG_SIGNATURE,
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
            *extra_chunks,
            chunk(b"IDAT", b"".join(pieces) + packer.flush()),
            chunk(b"IEND", b""),
        ]
    )


def png_of_a_chunk_beyond_the_file():
    """76 bytes for which some decoders take 4 GB."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    return (PNG_SIGNATURE + header + struct.pack(">I", 0xFFFF0000) + b"IDAT").ljust(76, b"\0")


def png_with_bombs(kind, n_bombs, bomb_bytes):
    """A small PNG beside chunks that unpack to `bomb_bytes` each."""
    packer = zlib.compressobj()
    zeros = bytes(MIB)
    packed = b"".join(packer.compress(zeros) for _ in range(bomb_bytes // MIB)) + packer.flush()
    bombs = [chunk(kind, b"bomb %d\0\0" % i + packed) for i in range(n_bombs)]
    return png_of_zeros(64, 48, *bombs)


def with_jpeg_size(data, width, height):
    """A JPEG file whose header lies about the size."""
    at = next(
        at for at in range(2, len(data)) if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC1, 0xC2)
    )
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def with_jpeg_segment(data, marker, content):
    """A JPEG file with one more segment right after its start."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


def exif(entries, byte_order="MM", first_directory=8):
    """EXIF of (tag, type, count, value) entries, all short enough to stand in place."""
    mark = ">" if byte_order == "MM" else "<"
    directory = struct.pack(mark + "H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack(mark + "HHIHH", tag, kind, count, value, 0)
    head = byte_order.encode() + struct.pack(mark + "HI", 42, first_directory)
    return b"Exif\0\0" + head + directory + struct.pack(mark + "I", first_directory)


def gif_of_canvas(width, height):
    """A GIF that claims any canvas and holds one pixel."""
    small = saved(np.zeros((1, 1), np.uint8), "GIF")
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


def gif_of_frames(n_frames):
    """An animation of small different frames."""
    rng = np.random.default_rng(3)
    frames = [Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)) for _ in range(n_frames)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def tiff_of_looping_directories():
    """A TIFF whose first directory names itself as the next."""
    data = bytearray(saved(photo(), "TIFF"))
    (at,) = struct.unpack_from("<I", data, 4)
    (n_entries,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * n_entries, at)
    return bytes(data)


def tiff_of_pages(n_pages):
    """A TIFF of one picture and many empty directories behind it."""
    data = bytearray(saved(photo(), "TIFF"))
    (at,) = struct.unpack_from("<I", data, 4)
    (n_entries,) = struct.unpack_from("<H", data, at)
    data += bytes(len(data) % 2)
    struct.pack_into("<I", data, at + 2 + 12 * n_entries, len(data))
    start = len(data)
    pages = b"".join(struct.pack("<HI", 0, start + 6 * (page + 1)) for page in range(n_pages - 1))
    return bytes(data) + pages + struct.pack("<HI", 0, 0)


MUTATIONS = {
    "flip": lambda data, at, rng: _put(data, at, bytes([data[at] ^ 1 << rng.integers(8)])),
    "ff": lambda data, at, rng: _put(data, at, b"\xff" * int(rng.integers(1, 5))),
    "zero": lambda data, at, rng: _put(data, at, bytes(int(rng.integers(1, 9)))),
    "noise": lambda data, at, rng: _put(data, at, rng.bytes(4)),
    "cut": lambda data, at, rng: data[: at + 1],
    "drop": lambda data, at, rng: data[:at] + data[at + int(rng.integers(1, 64)) :],
    "double": lambda data, at, rng: data[:at] + data[max(0, at - 64) :],
}


def _put(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def mutant(data, rng):
    """A file with one to four faults, most of them near its beginning where headers are."""
    for _ in range(rng.integers(1, 5)):
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        change = MUTATIONS[rng.choice(sorted(MUTATIONS))]
        data = change(data, int(rng.integers(reach)), rng) or data[:1]
    return data
