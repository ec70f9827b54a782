"""A second reader of index files, written from the description of the layout alone.

It trusts the file, reads all of it and imports nothing from imgdup.
"""

import math
import pickle
import struct
import zlib

import numpy as np

PAGE = 4096
CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f4": "f"}
CODES |= {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "f8": "d"}


def read_store(data):
    """The head and the arrays of a whole file; AssertionError if a checksum is wrong."""
    fields = struct.unpack("<8sIQIII", data[:32])
    magic, version, total, pickle_bytes, n_arrays, checksum = fields
    table = [struct.unpack("<QI", data[32 + 12 * i : 44 + 12 * i]) for i in range(n_arrays)]
    table_end = 32 + 12 * n_arrays
    start = pages(table_end + pickle_bytes)
    assert (magic, version, total) == (b"\xffimgdup\n", 2, len(data))
    assert zlib.crc32(data[:28] + data[32:start]) == checksum
    buffers = []
    for n_bytes, checksum in table:
        assert zlib.crc32(data[start : start + pages(n_bytes)]) == checksum
        buffers.append(bytearray(data[start : start + n_bytes]))
        start += pages(n_bytes)
    assert start == total
    content = pickle.loads(data[table_end : table_end + pickle_bytes], buffers=buffers)
    return content["head"], {name: as_array(**each) for name, each in content["arrays"].items()}


def as_array(dtype, shape, data):
    values = struct.unpack(f"<{math.prod(shape)}{CODES[dtype[1:]]}", data)
    return np.array(values, dtype).reshape(shape)


def pages(n_bytes):
    return math.ceil(n_bytes / PAGE) * PAGE
