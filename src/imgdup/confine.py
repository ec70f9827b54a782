"""One process -> one whose memory is capped and whose decoders cannot write to the terminal."""

import os
import sys

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

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
