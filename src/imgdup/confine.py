"""One process -> one whose memory is capped and whose decoders cannot write to the terminal."""

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator

from imgdup.errors import ImgdupError

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

LEAST_BYTES = 64 << 20  # without it OpenBLAS ends the process; it takes 32 MiB for a product

CAN_CAP_MEMORY = resource is not None and sys.platform != "darwin"  # macOS takes it for a hint


def cap_memory(more_bytes: int) -> None:
    """Limit the address space of this process, where the system can.

    Parameters
    ----------
    more_bytes : int
        What may be mapped beyond what is mapped now. A limit that is already lower stays.
    """
    if not CAN_CAP_MEMORY:
        return
    cap = _mapped_bytes() + more_bytes
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_force = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([cap, *in_force]), hard))


def require_memory() -> None:
    """Raise ImgdupError unless this process may take `LEAST_BYTES` more.

    With less, every file would seem to crash its decoder.
    """
    try:
        mmap.mmap(-1, LEAST_BYTES).close()
    except (OSError, MemoryError) as error:
        raise ImgdupError(
            f"a decoding process may not take even {LEAST_BYTES >> 20} MB more memory: raise "
            "--worker-memory, or the limit that this process has, as in: ulimit -v unlimited"
        ) from error


def _mapped_bytes() -> int:
    """Address space of this process, in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def silence_libraries() -> None:
    """Send to nowhere what C libraries print on standard error; Python's own stream goes on.

    libjpeg, libpng and libtiff print a line for many a damaged file, which no option of
    theirs that is within reach turns off.
    """
    if sys.stderr is None or sys.stderr.fileno() != 2:  # closed, or done already
        return
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = open(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Let libraries written in C print nothing meanwhile; Python's own stderr waits as well."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
