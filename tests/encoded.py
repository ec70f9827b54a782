"""Pictures as files, made in memory: every format, whole or forged."""

import functools
import io
import struct
import zlib

import make_sample
import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo(height=150, width=200):
    """A picture in colour, RGB, with structure of many sizes."""
    y, x = np.mgrid[:height, :width] * (150 / height)
    red = 110 + 60 * np.sin(x / 23 + y / 51) + 40 * np.sin(x * y / 700)
    green = 110 + 60 * np.cos(x / 37 - y / 19) + 40 * np.sin(x * x / 900 + y / 5)
    blue = (x * 0.8 + y * 0.6 + 30 * np.cos(y * y / 800)) % 230
    return np.dstack([red, green, blue]).astype(np.uint8)


@functools.cache
def painted(seed, width, height, suffix=".jpg", *, step=1):
    """Bytes of a file of a picture of the sample set, every `step`-th pixel; painted only once."""
    return make_sample.encode(make_sample.photo(seed, width, height)[::step, ::step], suffix)


def scenery(height, width, seed=0):
    """A picture with the spectrum of photos, RGB: amplitudes that fall as 1 / frequency."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.maximum(np.hypot(y, x), 1 / max(height, width))
    channels = []
    for _ in range(3):
        noise = np.fft.rfft2(rng.normal(size=(height, width)))
        plane = np.fft.irfft2(noise / frequency, s=(height, width))
        channels.append(128 + 35 * plane / plane.std())
    return np.clip(np.dstack(channels), 3, 252).astype(np.uint8)


def save(image, name, **options):
    """Bytes of a file that Pillow writes; the image may be an array."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def with_orientation(pixels, orientation, name, **options):
    """A file whose EXIF orientation turns what it stores into `pixels`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(stored(pixels, orientation), name, exif=exif, **options)


def stored(pixels, orientation):
    """What a file of an orientation holds of an upright picture: the inverse of the turn."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


def png_chunk(kind, content):
    tail = kind + content
    return struct.pack(">I", len(content)) + tail + struct.pack(">I", zlib.crc32(tail))


def png(width, height, data, colour=2, depth=8, extra=b""):
    """A PNG file of given, perhaps false, content; `data` is what IDAT holds."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), extra, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(chunks)


def blank_png(width, height, colour=0):
    """A PNG file of one colour, which is small whatever it claims."""
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[colour])
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    return png(width, height, packed, colour)


def jpeg_claiming(data, width, height):
    """A JPEG file whose header says another size."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def jpeg_with_exif(data, exif):
    """A JPEG file with an EXIF segment of any content."""
    segment = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
