"""What one image may cost: pixels, bytes, seconds, memory."""

from dataclasses import dataclass

from imgdup.errors import UsageError

MOST = 1 << 62  # pixels or bytes; what a system can be told
MOST_S = 1_000_000


@dataclass(frozen=True)
class Limits:
    """The caps on one file and on the process that decodes it.

    Parameters
    ----------
    max_pixels : int
        Largest picture, by its header, before any reduction.
    max_file_bytes : int
        Largest file.
    timeout_s : float
        Longest time for one file, in seconds.
    worker_memory_bytes : int
        Address space of a decoding process, above what is mapped after its imports.

    Raises
    ------
    UsageError
        If one is not above 0, or is beyond all sense.
    """

    max_pixels: int = 200_000_000
    max_file_bytes: int = 1 << 30
    timeout_s: float = 30.0
    worker_memory_bytes: int = 2 << 30

    def __post_init__(self) -> None:
        """Check the range of each."""
        for name, value in vars(self).items():
            most = MOST_S if name == "timeout_s" else MOST
            if not 0 < value <= most:
                raise UsageError(f"{name} must be above 0 and at most {most:,}, got {value}")
