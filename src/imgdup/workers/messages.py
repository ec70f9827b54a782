"""Send values through a pipe between two processes; large arrays in them are not copied on the way.

A value is pickled, but the memory of large arrays goes straight from one process to the other. A
decoded photo of 640 x 480 so takes a fifth of the processor's time that ``Connection.send`` takes.
"""

import os
import pickle
import socket
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

LARGE = 1 << 16  # bytes; less is pickled with the rest
PIPE_BYTES = 1 << 20  # that wait in a pipe, if the system allows it
HAS_DESCRIPTORS = sys.platform != "win32"  # there, only `Connection` can use the pipe


def widen(pipe: Connection) -> None:
    """Let more bytes wait in a pipe, so that both processes take turns less often."""
    if HAS_DESCRIPTORS:
        with suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_BYTES)


def send(pipe: Connection, value: object) -> None:
    """Send a value.

    Raises
    ------
    OSError
        If the other process has ended.
    Exception
        If the value cannot be pickled; then nothing was sent.
    """
    parts: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        part = buffer.raw()
        if part.nbytes < LARGE:
            return True
        parts.append(part)
        return False

    data = pickle.dumps(value, protocol=5, buffer_callback=is_small)
    pipe.send_bytes(pickle.dumps((data, [part.nbytes for part in parts])))
    for part in parts:
        _write(pipe, part)


def receive(pipe: Connection) -> Any:
    """Wait for a value, and return it.

    Raises
    ------
    EOFError, OSError
        If the other process has ended.
    Exception
        If the value cannot be made here from what was sent.
    """
    data, sizes = pickle.loads(pipe.recv_bytes())
    parts = [bytearray(n_bytes) for n_bytes in sizes]
    for part in parts:
        _read_into(pipe, part)
    return pickle.loads(data, buffers=parts)


def _write(pipe: Connection, part: memoryview) -> None:
    if not HAS_DESCRIPTORS:
        pipe.send_bytes(part)
        return
    while part.nbytes:
        part = part[os.write(pipe.fileno(), part) :]


def _read_into(pipe: Connection, part: bytearray) -> None:
    if not HAS_DESCRIPTORS:
        pipe.recv_bytes_into(part)
        return
    rest = memoryview(part)
    while rest.nbytes:
        n_read = os.readv(pipe.fileno(), [rest])
        if n_read == 0:
            raise EOFError
        rest = rest[n_read:]
