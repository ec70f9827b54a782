"""What a worker does with one file, and what it cost; for the tests of hostile files."""

import os
import time
from pathlib import Path

from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.system import files
from imgdup.system.files import read_file
from imgdup.system.limits import Limits


def peak_bytes():
    """Most memory that this process has had since the last `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


DEFAULT_LIMITS = Limits()
FUZZ_LIMITS = Limits(max_pixels=16_000_000)  # so that what costs time is a fault, not a size


def status_of(data, limits=DEFAULT_LIMITS):
    """What becomes of a file of these bytes: "ok" or the reason why not."""
    try:
        fingerprint(decode(data, limits).gray, "dhash", 64)
    except ImageError as error:
        return error.reason
    return "ok"


def examine(path):
    """Status of a file, seconds of the processor and additional memory that it took."""
    forget_peak()
    before, started = peak_bytes(), time.process_time()
    try:
        status = status_of(read_file(path, Limits()).data)
    except ImageError as error:
        status = error.reason
    return status, time.process_time() - started, peak_bytes() - before


def examine_all(items, before_item):
    """Statuses, longest time and most memory of many contents."""
    statuses, seconds = [], []
    for i, data in enumerate(items):
        before_item(i)
        started = time.process_time()
        statuses.append(status_of(data, FUZZ_LIMITS))
        seconds.append(time.process_time() - started)
    return statuses, max(seconds), peak_bytes()


def examine_stalling(items, before_item):
    """Statuses of files; one whose name begins with "stall" never gives its bytes."""
    silent, _ = os.pipe()
    read_all = files._read_all
    statuses = []
    for i, path in enumerate(items):
        before_item(i)
        if os.path.basename(path).startswith("stall"):
            files._read_all = lambda descriptor, size: os.read(silent, size)
        statuses.append(examine(path)[0])
        files._read_all = read_all
    return statuses
