"""Index files that lie: pickles that attack, and heads that claim what is not so.

Their sizes and checksums are right, so that nothing but what they say can give them away.
"""

import importlib
import io
import os
import pickle
import pickletools
import struct
import sys
import zlib

import numpy as np

from imgdup.index import layout

PAGE = layout.PAGE_BYTES


def forged(pickled, *contents):
    """A file of this pickle and these arrays whose sizes and checksums are right."""
    padded = [data + bytes(-len(data) % PAGE) for data in contents]
    spans = [
        layout.Span(len(data), zlib.crc32(page))
        for data, page in zip(contents, padded, strict=True)
    ]
    front = len(layout.pack(0, spans, pickled))
    return layout.pack(front + sum(map(len, padded)), spans, pickled) + b"".join(padded)


class Runs:
    """An object whose unpickling makes a file called ``ran``."""

    def __init__(self, function, *arguments):
        self._reduced = function, arguments

    def __reduce__(self):
        return self._reduced


def opcodes(*parts):
    return b"\x80\x05" + b"".join(parts) + b"."


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def command(tmp_path):
    return f'"{sys.executable}" -c "open({str(tmp_path / "ran")!r}, chr(119))"'


def reduced(function, *arguments, protocol=5):
    """A pickle that calls a function, without memo as ours are."""
    return pickletools.optimize(pickle.dumps(Runs(function, *arguments), protocol))


def doubling(n_levels):
    """Lists of lists of the same list: 2 ** n_levels values in a few bytes, by a memo."""
    return opcodes(b"](K\x01K\x01e\x94", *(b"](h%ch%ce\x94" % (n, n) for n in range(n_levels)))


def nested_key(depth):
    """A tuple of tuples as the key of a dict: hashing it takes 2 ** depth steps."""
    return opcodes(b"})", *(b"\x940h%ch%c\x86" % (n, n) for n in range(depth)), b"K\x01s")


def without_memo(value):
    """A pickle of anything, in the way ours are made."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=5, buffer_callback=lambda _: None)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


def described(dtype="<u8", shape=(2,), **changes):
    fields = {"dtype": dtype, "shape": list(shape), "data": layout.BUFFER, **changes}
    return {"head": {}, "arrays": {"rows": fields}}


EVAL = "open({!r}, 'w').close()"
U8 = struct.Struct("<Q")
ATTACKS = {  # name -> what is said, and the pickle
    "os.system, protocol 0": (
        "opcode GLOBAL",
        lambda p: reduced(os.system, command(p), protocol=0),
    ),
    "os.system, protocol 5": ("opcode STACK_GLOBAL", lambda p: reduced(os.system, command(p))),
    "os.system within the head": (
        "opcode STACK_GLOBAL",
        lambda p: without_memo({"head": {"x": Runs(os.system, command(p))}, "arrays": {}}),
    ),
    "eval": ("opcode STACK_GLOBAL", lambda p: reduced(eval, EVAL.format(str(p / "ran")))),
    "import_module": (
        "opcode STACK_GLOBAL",
        lambda p: reduced(importlib.import_module, "antigravity"),
    ),
    "dotted name of ours": (
        "opcode STACK_GLOBAL",
        lambda p: opcodes(text("imgdup.index.store"), text("mmap.mmap"), b"\x93"),
    ),
    "object by INST": ("opcode INST", lambda p: opcodes(b"(", text("x"), b"ios\nsystem\n")),
    "object by OBJ": ("opcode OBJ", lambda p: opcodes(b"(", text("x"), b"o")),
    "object by NEWOBJ": ("opcode NEWOBJ", lambda p: opcodes(b"}}\x81")),
    "call by REDUCE": ("opcode REDUCE", lambda p: opcodes(b"}}R")),
    "state by BUILD": ("opcode BUILD", lambda p: opcodes(b"}}b")),
    "extension registry": ("opcode EXT1", lambda p: opcodes(b"\x82\x01")),
    "persistent id": ("opcode PERSID", lambda p: opcodes(b"Pran\n")),
    "NumPy array": ("opcode STACK_GLOBAL", lambda p: without_memo({"x": np.arange(9)})),
    "NumPy object array": (
        "opcode STACK_GLOBAL",
        lambda p: without_memo(np.array([Runs(eval, "1")], object)),
    ),
    "memo bomb": ("opcode MEMOIZE", lambda p: doubling(60)),
    "hash bomb": ("opcode EMPTY_TUPLE", lambda p: nested_key(60)),
    "long decimal": ("4300 digits", lambda p: opcodes(b"I" + b"9" * 1_000_000 + b"\n")),
    "long integer": ("64 bits", lambda p: opcodes(b"\x8a\xff" + b"\x7f" * 255)),
    "text that would be quoted": ("quotes", lambda p: opcodes(b"S" + b"x" * 1_000_000 + b"\n")),
    "million lists": ("more than 20,000 opcodes", lambda p: opcodes(b"]" * 1_000_000)),
    "nine thousand levels": ("(TypeError)", lambda p: opcodes(b"]" * 9_000, b"a" * 8_999)),
    "length of 2**62": ("only 2 remain", lambda p: opcodes(b"\x8d", U8.pack(1 << 62), b"x")),
    "frame of 2**62": ("(", lambda p: opcodes(b"\x95", U8.pack(1 << 62), b"}")),
    "a set": ("opcode EMPTY_SET", lambda p: without_memo({"x": {1}})),
    "bytes": ("opcode SHORT_BINBYTES", lambda p: without_memo({"x": b"1"})),
    "a float": ("opcode BINFLOAT", lambda p: without_memo({"x": 1.0})),
    "no protocol": ("(", lambda p: b"}."),
    "protocol 255": ("(", lambda p: b"\x80\xff}."),
    "buffer as a key": ("(TypeError)", lambda p: opcodes(b"}\x97K\x01s")),
    "list as a key": ("(TypeError)", lambda p: opcodes(b"}]K\x01s")),
    "integer as a key": (
        "(TypeError)",
        lambda p: without_memo({**described(), "head": {"x": {1: 2}}}),
    ),
    "seventeen levels": (
        "(TypeError)",
        lambda p: without_memo({**described(), "head": {"x": nested_list(16)}}),
    ),
    "buffers that are not there": (
        "(UnpicklingError)",
        lambda p: opcodes(b"}(", text("a"), b"\x97", text("b"), b"\x97u"),
    ),
    "bytes behind the end": ("5 bytes follow", lambda p: without_memo(described()) + b"extra"),
    "a list": ("list instead of dict", lambda p: opcodes(b"]")),
    "nothing to return": ("(", lambda p: opcodes()),
    "marks": ("(", lambda p: opcodes(b"(" * 1000)),
    "empty": ("(", lambda p: b""),
}


def nested_list(depth):
    """A list in a list, `depth` of them."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


HEADS = {
    "object dtype": described("|O"),
    "big-endian dtype": described(">u8"),
    "structured dtype": described("<u4,<u4"),
    "text dtype": described("<U4"),
    "dtype of no length": described("|V0", [1 << 62]),
    "a list as dtype": described(["<u8"]),
    "longer than its bytes": described(shape=[3]),
    "shorter than its bytes": described(shape=[1]),
    "2**62 rows": described(shape=[1 << 62]),
    "2**62 rows of no bytes": described(shape=[1 << 62, 0]),
    "product over 64 bits": described(shape=[1 << 32, 1 << 32, 2]),
    "negative": described(shape=[-2, -1]),
    "no dimension": described(shape=[]),
    "five dimensions": described(shape=[2, 1, 1, 1, 1]),
    "a text as dimension": described(shape=["2"]),
    "a text as shape": {"head": {}, "arrays": {"rows": {**described(), "shape": "2"}}},
    "a field too many": described(offset=0),
    "no data": {"head": {}, "arrays": {"rows": {"dtype": "<u8", "shape": [2]}}},
    "a number for its data": {
        "head": {"x": layout.BUFFER},
        "arrays": {"rows": {"dtype": "<u8", "shape": [2], "data": 7}},
    },
    "no arrays": {"head": {}, "arrays": {}},
    "no head": {"arrays": described()["arrays"]},
    "the buffer in the head": {"head": {"x": layout.BUFFER}, "arrays": {"rows": {}}},
    "a list as head": {"head": [], "arrays": described()["arrays"]},
    "a list as arrays": {"head": {}, "arrays": [described()["arrays"]["rows"]]},
    "a number as array": {"head": {}, "arrays": {"rows": 7}},
}


def with_right_checksum(data):
    """The same file with the checksum that its preamble should have."""
    size = layout.PREAMBLE.size
    preamble = bytes(data[:size])
    _, _, _, pickle_bytes, n_arrays, _ = layout.PREAMBLE.unpack(preamble)
    end = layout.padded(layout.front_bytes(n_arrays, pickle_bytes))
    checksum = layout._checksum(preamble, bytes(data[size:end]))
    return preamble[:-4] + struct.pack("<I", checksum) + bytes(data[size:])


def mutated(rng, data, start, end):
    """One to four bytes between `start` and `end` flipped, set, moved or repeated."""
    data = bytearray(data)
    interesting = [*b"\x80\x95}]()lu.K\x8a\x8c\x97\x98\x93R\x94hjXBsaeNIcob0", 0, 1, 255]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(start, end)
        length = rng.randint(1, 12)
        action = rng.randrange(4)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.choice(interesting)
        elif action == 2:
            other = rng.randrange(start, end)
            data[at : at + length] = data[other : other + length]
        else:
            data[at:at] = rng.choices(interesting, k=length)
    return data
