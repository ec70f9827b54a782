"""One small file of every kind that is admitted, by whatever can write it, for the fuzzer.

The pictures are those of the sample set. Pillow and OpenCV write what they can; interlaced PNG,
run-length BMP and tiled TIFF, which neither writes, are put together here.
"""

import io
import struct
import zlib

import cv2
import numpy as np
from make_sample import photo
from PIL import Image

WIDTH, HEIGHT = 112, 80
# First row, first column, step of rows, step of columns.
ADAM7 = "0088 0488 4084 0244 2042 0122 1021".split()
TILE = 16  # pixels, the side of a tile


def by_pillow(image, name, **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def by_opencv(pixels, suffix, *options):
    done, data = cv2.imencode(suffix, pixels, options)
    assert done
    return data.tobytes()


def png_chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def interlaced_png(rgb):
    """Adam7: seven reduced pictures, one after the other."""
    steps = [map(int, each) for each in ADAM7]
    passes = [rgb[top::down, left::across] for top, left, down, across in steps]
    rows = (b"\0" + row.tobytes() for part in passes for row in part if part.size)
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 8, 2, 0, 0, 1)
    chunks = [
        png_chunk(b"IHDR", header),
        png_chunk(b"IDAT", zlib.compress(b"".join(rows))),
        png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def run_length_bmp(gray):
    """RLE8 with a gray palette: runs of one, escapes at the ends of rows."""
    height, width = gray.shape
    rows = [b"".join(b"\x01" + bytes([value]) for value in row) + b"\0\0" for row in gray[::-1]]
    data = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes([level] * 3 + [0]) for level in range(256))
    start = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return head + info + palette + data


def tiled_tiff(gray):
    """Deflated tiles of 16 x 16; the sides of the picture are multiples of that."""
    height, width = gray.shape
    tiles = [
        zlib.compress(gray[top : top + TILE, left : left + TILE].tobytes())
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]
    n_tiles, n_entries = len(tiles), 11
    lists = 8 + 2 + 12 * n_entries + 4
    data = lists + 8 * n_tiles
    lengths = [len(tile) for tile in tiles]
    offsets = [data + sum(lengths[:i]) for i in range(n_tiles)]
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 8),  # Adobe deflate
        (262, 3, 1, 1),  # black is zero
        (277, 3, 1, 1),
        (284, 3, 1, 1),
        (322, 3, 1, TILE),
        (323, 3, 1, TILE),
        (324, 4, n_tiles, lists),
        (325, 4, n_tiles, lists + 4 * n_tiles),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tables = struct.pack(f"<{2 * n_tiles}I", *offsets, *lengths)
    head = struct.pack("<2sHIH", b"II", 42, 8, n_entries)
    return head + directory + struct.pack("<I", 0) + tables + b"".join(tiles)


def jpegs(image, bgr):
    exif = Image.Exif()
    exif[0x0112] = 6
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)
    return {
        "baseline.jpg": by_pillow(image, "JPEG", quality=85),
        "progressive.jpg": by_pillow(image, "JPEG", progressive=True, subsampling=0),
        "optimised.jpg": by_pillow(image, "JPEG", optimize=True, quality=20),
        "orientation.jpg": by_pillow(image, "JPEG", exif=exif),
        "gray.jpg": by_pillow(image.convert("L"), "JPEG"),
        "cmyk.jpg": by_pillow(image.convert("CMYK"), "JPEG"),
        "restarts.jpg": by_opencv(bgr, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "4-1-1.jpg": by_opencv(bgr, ".jpg", *sampling),
    }


def pngs(image, bgr, frames):
    deep = bgr.astype(np.uint16) * 257
    palette = image.quantize(32)
    return {
        "rgb.png": by_pillow(image, "PNG"),
        "rgba.png": by_pillow(with_alpha(image), "PNG"),
        "gray-alpha.png": by_pillow(with_alpha(image).convert("LA"), "PNG"),
        "palette.png": by_pillow(palette, "PNG", transparency=3),
        "1-bit.png": by_pillow(image.convert("1"), "PNG"),
        "16-bit.png": by_opencv(deep, ".png"),
        "16-bit-gray.png": by_opencv(deep[:, :, 0], ".png"),
        "interlaced.png": interlaced_png(np.asarray(image)),
        "moving.png": by_pillow(image, "PNG", save_all=True, append_images=frames),
    }


def webps(image, bgr, frames):
    return {
        "lossy.webp": by_pillow(image, "WEBP", quality=70),
        "lossless.webp": by_pillow(image, "WEBP", lossless=True),
        "alpha.webp": by_pillow(with_alpha(image), "WEBP"),
        "moving.webp": by_pillow(image, "WEBP", save_all=True, append_images=frames),
        "opencv.webp": by_opencv(bgr, ".webp", cv2.IMWRITE_WEBP_QUALITY, 30),
    }


def gifs(image, frames):
    palette = image.quantize(32)
    moving = {"save_all": True, "append_images": [each.quantize(16) for each in frames]}
    return {
        "still.gif": by_pillow(palette, "GIF", interlace=0),
        "interlaced.gif": by_pillow(palette, "GIF", interlace=1),
        "transparent.gif": by_pillow(palette, "GIF", transparency=2),
        "moving.gif": by_pillow(palette, "GIF", disposal=2, **moving),
    }


def tiffs(image, bgr, frames):
    deep = Image.fromarray(bgr[:, :, 0].astype(np.uint16) * 257)
    packed = {
        f"{kind}.tif": by_pillow(image, "TIFF", compression=kind)
        for kind in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
    }
    return {
        **packed,
        "fax.tif": by_pillow(image.convert("1"), "TIFF", compression="group4"),
        "16-bit.tif": by_pillow(deep, "TIFF", compression="tiff_lzw"),
        "cmyk.tif": by_pillow(image.convert("CMYK"), "TIFF"),
        "palette.tif": by_pillow(image.quantize(32), "TIFF"),
        "rgba.tif": by_pillow(with_alpha(image), "TIFF", compression="tiff_lzw"),
        "pages.tif": by_pillow(image, "TIFF", save_all=True, append_images=frames),
        "opencv.tif": by_opencv(bgr, ".tiff"),
        "tiled.tif": tiled_tiff(np.asarray(image.convert("L"))),
    }


def bmps(image):
    return {
        "rgb.bmp": by_pillow(image, "BMP"),
        "rgba.bmp": by_pillow(with_alpha(image), "BMP"),
        "palette.bmp": by_pillow(image.quantize(256), "BMP"),
        "1-bit.bmp": by_pillow(image.convert("1"), "BMP"),
        "run-length.bmp": run_length_bmp(np.asarray(image.convert("L"))),
    }


def avifs(image, bgr, frames):
    return {
        "opencv.avif": by_opencv(bgr, ".avif"),
        "lossy.avif": by_pillow(image, "AVIF", quality=60, speed=10),
        "alpha.avif": by_pillow(with_alpha(image), "AVIF", speed=10),
        "moving.avif": by_pillow(image, "AVIF", speed=10, save_all=True, append_images=frames),
    }


def heifs(image):
    """HEIC, where the package for it is installed."""
    try:
        from pillow_heif import from_pillow
    except ImportError:
        return {}
    file = io.BytesIO()
    from_pillow(image).save(file, quality=60)
    return {"photo.heic": file.getvalue()}


def with_alpha(image):
    """The picture with a corner that cannot be seen."""
    transparent = image.convert("RGBA")
    transparent.paste((0, 0, 0, 0), (0, 0, WIDTH // 4, HEIGHT // 4))
    return transparent


def seeds():
    """The content of one file of each kind, by a name that says what it is."""
    image, *frames = (Image.fromarray(photo(seed, WIDTH, HEIGHT)) for seed in (3, 4, 5))
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    return {
        **jpegs(image, bgr),
        **pngs(image, bgr, frames),
        **webps(image, bgr, frames),
        **gifs(image, frames),
        **tiffs(image, bgr, frames),
        **bmps(image),
        **avifs(image, bgr, frames),
        **heifs(image),
    }
