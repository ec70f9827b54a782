"""What a Dask worker does: start processes, and have them make calls.

It starts them only if they hash as the machine that ordered them: the versions of the libraries and
the hashes of a golden picture must be equal. Dask is not imported here, because the processes
import this module, and need no Dask.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from imgdup import __version__
from imgdup.errors import ImgdupError
from imgdup.hashing import fingerprints
from imgdup.images import jpeg, opencv, pillow
from imgdup.images.decode import decode
from imgdup.images.gray import Pixels
from imgdup.system.limits import Limits
from imgdup.workers.process import Processes, Setup

IDLE_S = 60.0  # after which the processes of a Dask worker end
SIDES = 300, 400  # pixels: enough for a picture to be decoded at a reduced size
JPEG_QUALITY = 85
DECODERS = (jpeg, opencv, pillow)  # they import the libraries
LIBRARIES = {"NumPy": "numpy", "OpenCV": "cv2", "simplejpeg": "simplejpeg", "Pillow": "PIL"}


class Machine(NamedTuple):
    """What decides the hashes on a machine.

    ``versions`` has pairs of a library and its version, ``hashes`` the bytes of the search hash and
    the match hash of the golden picture.
    """

    versions: tuple[tuple[str, str], ...]
    hashes: bytes


class Order(NamedTuple):
    """What a Dask worker needs to know to start its processes."""

    setup: Setup
    machine: Machine


class _Started:
    """The processes of this Dask worker for one order."""

    def __init__(self, executor: Processes) -> None:
        self.executor = executor
        self.n_calls = 0
        self.used = time.monotonic()


_started: dict[Order, _Started] = {}
_lock = threading.Lock()  # of the above


class UnfitError(Exception):
    """A Dask worker cannot be used; the text says why, and what helps."""


@contextmanager
def processes(order: Order, n_threads: int) -> Iterator[Processes]:
    """Start the processes for an order, or use those that are there; they stay for a while."""
    with _lock:
        if order not in _started:
            _started[order] = _Started(_start(order, n_threads))
            threading.Thread(target=_end_when_idle, args=(order,), daemon=True).start()
        started = _started[order]
        started.n_calls += 1
    try:
        yield started.executor
    finally:
        with _lock:
            started.n_calls -= 1
            started.used = time.monotonic()


def _start(order: Order, n_threads: int) -> Processes:
    """Start processes, if they hash as the machine that ordered them."""
    if multiprocessing.current_process().daemon:
        raise UnfitError(
            "may not start processes: set DASK_DISTRIBUTED__WORKER__DAEMON=False in the "
            "environment of dask worker, or start it with --no-nanny"
        )
    try:
        executor = Processes(order.setup._replace(workers=n_threads))
        machine = executor.submit(describe).result()
    except (ImgdupError, OSError, ImportError) as error:
        raise UnfitError(f"cannot start processes: {first_line(error)}") from error
    if other := difference(machine, order.machine):
        executor.shutdown()
        raise UnfitError(f"has {other}: install the same versions there")
    return executor


def _end_when_idle(order: Order) -> None:
    """End the processes for an order when they were not used for a while."""
    started = _started[order]
    while True:
        time.sleep(IDLE_S)
        with _lock:
            if not started.n_calls and time.monotonic() - started.used >= IDLE_S:
                del _started[order]
                break
    started.executor.shutdown()


def find_problem(order: Order, n_threads: int) -> str:
    """Start the processes for an order; return why that is not possible, or nothing."""
    try:
        with processes(order, n_threads):
            return ""
    except UnfitError as error:
        return str(error)


def first_unseen(paths: Sequence[bytes]) -> bytes | None:
    """Return the first path that is not there or cannot be read, or is an empty folder."""
    for path in paths:
        try:
            if os.path.isdir(path):
                with os.scandir(path) as entries:
                    next(entries)
            else:
                with open(path, "rb") as file:
                    file.read(1)
        except (OSError, StopIteration):
            return path
    return None


def first_line(error: Exception) -> str:
    """Return the first line of the text of an error, or its kind if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def describe() -> Machine:
    """Describe this machine."""
    versions = {name: str(sys.modules[module].__version__) for name, module in LIBRARIES.items()}
    picture = decode(opencv.encode_jpeg(_golden_pixels(), JPEG_QUALITY), Limits())
    found = fingerprints([picture.gray], "dhash", 64)
    hashes = found.hashes.tobytes() + found.match.tobytes()
    return Machine((("imgdup", __version__), *versions.items()), hashes)


def difference(theirs: Machine, ours: Machine) -> str:
    """Describe how another machine differs from this one; empty if it does not.

    Examples
    --------
    >>> ours = Machine((("imgdup", "0.2.0"), ("NumPy", "2.4.6")), b"")
    >>> difference(Machine((("imgdup", "0.2.0"), ("NumPy", "2.0.0")), b""), ours)
    'NumPy 2.0.0 instead of 2.4.6'
    """
    wanted = dict(ours.versions)
    others = [
        f"{name} {version} instead of {wanted[name]}"
        for name, version in theirs.versions
        if version != wanted[name]
    ]
    if not others and theirs.hashes != ours.hashes:
        return "another hash of the same picture"
    return ", ".join(others)


def _golden_pixels() -> Pixels:
    """Paint waves that run in several directions, in three colours."""
    height, width = SIDES
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 29 + y / 53), np.cos(x / 17 - y / 31), np.sin(x * y / 9000)]
    return np.dstack([np.uint8(127.5 + 120 * wave) for wave in waves])
