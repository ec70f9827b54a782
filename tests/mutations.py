"""An intact file and a random generator in, a file with one to four faults out."""

import struct
import zlib

# Numbers at the edges of what 1, 2 and 4 bytes hold, where sizes and counts go wrong.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
HEAD_BYTES = 200  # where most headers are
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _put(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def _edge(data, at, rng):
    number, form = EDGES[rng.integers(len(EDGES))], "<H >H <I >I B".split()[rng.integers(5)]
    return _put(data, at, struct.pack(form, number & (1 << 8 * struct.calcsize(form)) - 1))


def _moved(data, at, rng):
    """A piece of the file once more, over another place."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
    return _put(data, at, data[start : start + length])


MUTATIONS = (
    lambda data, at, rng: _put(data, at, bytes([data[at] ^ 1 << rng.integers(8)])),
    lambda data, at, rng: _put(data, at, rng.bytes(int(rng.integers(1, 9)))),
    lambda data, at, rng: _put(data, at, b"\xff" * int(rng.integers(1, 5))),
    lambda data, at, rng: _put(data, at, bytes(int(rng.integers(1, 9)))),
    _edge,
    _edge,
    _moved,
    lambda data, at, rng: data[: at + 1],
    lambda data, at, rng: data[:at] + data[at + int(rng.integers(1, 64)) :],
    lambda data, at, rng: data[:at] + data[max(0, at - 64) :],
    lambda data, at, rng: data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:],
)


def mutant(data, rng):
    """Half of the faults are near the beginning; half of the PNG files hide theirs."""
    hidden = data.startswith(PNG_SIGNATURE) and rng.random() < 0.5
    if hidden and rng.random() < 0.5:
        return _with_other_pixels(data, lambda pixels: _with_faults(pixels, rng))
    data = _with_faults(data, rng)
    return _joined(_chunks(data)) if hidden else data


def _with_faults(data, rng):
    for _ in range(rng.integers(1, 5)):
        reach = len(data) if rng.random() < 0.5 else min(len(data), HEAD_BYTES)
        change = MUTATIONS[rng.integers(len(MUTATIONS))]
        data = change(data, int(rng.integers(reach)), rng) or data[:1]
    return data


def _chunks(data):
    """Kind and content of the chunks of a PNG, as far as they go."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _joined(chunks):
    """A PNG of chunks, with their right lengths and checksums."""
    bodies = [kind + content for kind, content in chunks]
    sizes = (struct.pack(">I", len(body) - 4) for body in bodies)
    sums = (struct.pack(">I", zlib.crc32(body)) for body in bodies)
    parts = zip(sizes, bodies, sums, strict=True)
    return PNG_SIGNATURE + b"".join(b"".join(part) for part in parts)


def _with_other_pixels(data, change):
    """A PNG whose packed pixels are changed, valid in every other respect."""
    chunks = list(_chunks(data))
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    again = (b"IDAT", zlib.compress(change(zlib.decompress(packed))))
    first = [kind for kind, _ in chunks].index(b"IDAT")
    others = [each for each in chunks[first:] if each[0] != b"IDAT"]
    return _joined([*chunks[:first], again, *others])
