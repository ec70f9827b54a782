"""What C libraries print on standard error -> off the terminal, and heard.

libjpeg, libpng and libtiff print a line for many a damaged file, which no option of theirs that is
within reach turns off. For libjpeg that line is the only word about data that end too early: it
fills up the rest with grey and calls the picture done.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

STDERR = 2

_heard = False  # whether descriptor 2 leads into a file of ours


def silence_libraries() -> None:
    """Send what C libraries print into a file of ours; Python's own stream goes on.

    For the rest of this process, as for one that decodes and does nothing else.
    """
    global _heard
    if sys.stderr is None or sys.stderr.fileno() != STDERR:  # closed, or done already
        return
    terminal = os.dup(STDERR)
    sys.stderr.flush()
    _lead_into_a_file()
    _heard = True
    sys.stderr = open(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Do so meanwhile; Python's own stderr goes into the file as well."""
    global _heard
    sys.stderr.flush()
    saved, before = os.dup(STDERR), _heard
    try:
        _lead_into_a_file()
        _heard = True
        yield
    finally:
        _heard = before
        os.dup2(saved, STDERR)
        os.close(saved)


def chatter() -> bytes:
    """Return what has been printed since the last call; nothing where no one listens.

    Takes less than a microsecond where nothing was printed.
    """
    if not _heard:
        return b""
    n_bytes = os.lseek(STDERR, 0, os.SEEK_CUR)
    if n_bytes == 0:
        return b""
    os.lseek(STDERR, 0, os.SEEK_SET)
    said = os.read(STDERR, n_bytes)
    os.lseek(STDERR, 0, os.SEEK_SET)
    os.ftruncate(STDERR, 0)
    return said


def _lead_into_a_file() -> None:
    """Let descriptor 2 be a file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("chatter")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.dup2(descriptor, STDERR)
    os.close(descriptor)
