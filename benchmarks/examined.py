"""Read, decode and hash one file in a worker as indexing does, and measure the cost."""

import time
from pathlib import Path
from typing import NamedTuple

from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.system.files import NEW_DIGEST_KIND, content_digest, read_file
from imgdup.system.limits import Limits

LIMITS = Limits()


class Examined(NamedTuple):
    """The status; seconds; the peak of memory while at it, and what it was before, in bytes."""

    status: str
    seconds: float
    peak_bytes: int
    before_bytes: int


def examine(items, before_item):
    """Examine files one after the other; memory is 0 if the system does not report it."""
    found = []
    for i, path in enumerate(items):
        before_item(i)
        forget_peak()
        before = peak_bytes()
        started = time.perf_counter()
        status = status_of(path)
        found.append(Examined(status, time.perf_counter() - started, peak_bytes(), before))
    return found


def status_of(path):
    """Read, decode and hash one file; return "ok" or the reason for the failure."""
    try:
        data = read_file(path, LIMITS).data
        content_digest(data, NEW_DIGEST_KIND)
        fingerprint(decode(data, LIMITS).gray, "dhash", 64)
    except ImageError as error:
        return error.reason
    except MemoryError:
        return "too-large"
    return "ok"


def peak_bytes():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def forget_peak():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
