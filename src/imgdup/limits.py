"""What one image may cost: pixels, bytes, seconds, memory."""

from dataclasses import dataclass


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
    """

    max_pixels: int = 200_000_000
    max_file_bytes: int = 1 << 30
    timeout_s: float = 30.0
    worker_memory_bytes: int = 2 << 30
