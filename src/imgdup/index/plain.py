"""Pickle texts, integers, lists, dicts and buffer marks so that reading can run no code.

The pickle is protocol 5 with buffers out of band [1]_. Written without memo it names no callable
and shares no object, so 17 opcodes suffice. Reading first checks that there are no others, so
nothing can run and nothing can grow: each byte makes at most one object.

References
----------
.. [1] PEP 574, "Pickle protocol 5 with out-of-band data".
"""

import io
import pickle
import pickletools
from collections.abc import Sequence
from typing import Any

MAX_BYTES = 1 << 20
MAX_OPCODES = 20_000  # checked in about 15 ms
MAX_DEPTH = 16
MAX_REASON = 100  # characters of the message of pickletools, which may quote the file
MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 64) - 1
OPCODES = frozenset(
    "PROTO FRAME STOP MARK EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS "
    "SHORT_BINUNICODE BINUNICODE BININT BININT1 BININT2 LONG1 NEXT_BUFFER".split()
)
# The place of a buffer. Writable, because a read-only one would need one more opcode.
BUFFER = pickle.PickleBuffer(bytearray())


class _DataUnpickler(pickle.Unpickler):
    """A second protection: the allowed opcodes cannot refer to a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"it asks for {module}.{name}")


def dumps(value: dict[str, Any]) -> bytes:
    """Pickle plain data; ``BUFFER`` marks where ``loads`` puts the next buffer.

    Equal values give equal bytes: without a memo nothing depends on which texts are one object.

    Raises
    ------
    TypeError
        If a part is none of text, integer, list, dict with texts as keys, or ``BUFFER``.
    ValueError
        If it is larger than 1 MiB or than about 10,000 values.

    Examples
    --------
    >>> loads(dumps({"bits": 64, "data": BUFFER}), [b"12"])
    {'bits': 64, 'data': b'12'}
    """
    _check_plain(value, "head", [BUFFER])
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=5, buffer_callback=lambda _: None)
    pickler.fast = True
    pickler.dump(value)
    try:
        _check_opcodes(stream.getvalue())
    except ValueError as error:
        raise ValueError(f"too much data for the head of a file: {error}") from error
    return stream.getvalue()


def loads(data: bytes, buffers: Sequence[object]) -> dict[str, Any]:
    """Unpickle what ``dumps`` wrote; no byte of `data` is trusted.

    Parameters
    ----------
    data : bytes
        The pickle; forged or damaged ones are expected.
    buffers : sequence
        The objects to put in the places of ``BUFFER``, in order. They should not be
        hashable: a forger can make one the key of a dict, and hashing a map reads all of it.

    Returns
    -------
    dict
        Of texts, integers, lists, dicts with texts as keys, and `buffers`; nothing else.

    Raises
    ------
    ValueError
        If the pickle is not one of plain data, whatever else it is.
    """
    try:
        _check_opcodes(data)
    except ValueError as error:
        raise ValueError(f"damaged head ({str(error)[:MAX_REASON]})") from error
    try:
        value = _DataUnpickler(io.BytesIO(data), buffers=buffers).load()
        _check_plain(value, "head", buffers)
    except Exception as error:  # a forged pickle can make the machine raise anything
        raise ValueError(f"damaged head ({type(error).__name__})") from error
    if type(value) is not dict:
        raise ValueError(f"damaged head ({type(value).__name__} instead of dict)")
    return value


def _check_plain(value: object, where: str, buffers: Sequence[object], depth: int = 0) -> None:
    """Raise TypeError, naming the place, unless a value is plain data."""
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}, expected a text")
            _check_plain(item, f"{where}[{key!r}]", buffers, depth + 1)
    elif type(value) is list:
        for position, item in enumerate(value):
            _check_plain(item, f"{where}[{position}]", buffers, depth + 1)
    elif type(value) not in (str, int) and not any(value is buffer for buffer in buffers):
        raise TypeError(
            f"{where} is of type {type(value).__name__}, expected text, integer, list or dict"
        )


def _check_opcodes(data: bytes) -> None:
    """Raise ValueError unless a pickle has only admitted opcodes, few enough, up to its end."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data):,} bytes, at most {MAX_BYTES:,} are allowed")
    position = -1
    for count, (opcode, argument, place) in enumerate(pickletools.genops(data)):
        if opcode.name not in OPCODES:
            raise ValueError(f"the opcode {opcode.name} is refused")
        if type(argument) is int and not MIN_INTEGER <= argument <= MAX_INTEGER:
            raise ValueError("an integer of more than 64 bits")
        if count >= MAX_OPCODES:
            raise ValueError(f"more than {MAX_OPCODES:,} opcodes")
        position = place or 0
    if position + 1 != len(data):
        raise ValueError(f"{len(data) - position - 1} bytes follow its end")
