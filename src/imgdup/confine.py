"""One process -> one whose memory is capped."""

import mmap
import os
import sys

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
