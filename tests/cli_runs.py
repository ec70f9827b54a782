"""Runs of imgdup as a shell has them: pipes, closed or full streams, limits, terminals."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from typing import NamedTuple

from imgdup import cli

try:
    import fcntl
    import pty
    import struct
    import termios
except ImportError:  # Windows
    pty = None

IMGDUP = [sys.executable, "-m", "imgdup"]
TIMEOUT_S = (
    250  # below the limit of pytest, so that the process is ended; a busy machine may need long
)


class Run(NamedTuple):
    """Exit code, and what came on standard output and standard error."""

    code: int
    out: bytes
    err: bytes


def run(*args, **options):
    """Run ``python -m imgdup`` with its output in pipes."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run([*IMGDUP, *args], timeout=TIMEOUT_S, **options)
    return Run(done.returncode, done.stdout, done.stderr)


def run_here(capture, *args):
    """Run a command in this process; return its exit code, and what it printed on both streams."""
    capture.readouterr()
    code = cli.main([*map(str, args)])
    out, err = capture.readouterr()
    return code, out, err


def shell(line):
    """Run a line of sh, in which ``imgdup`` is the one under test."""
    script = f'imgdup() {{ "$PYTHON" -m imgdup "$@"; }}; {line}'
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, timeout=TIMEOUT_S, env=environment
    )
    return Run(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def stream(name, descriptor):
    """Let a standard stream of this process, and of those that it starts, be another file."""
    number = ("stdin", "stdout", "stderr").index(name)
    old, kept = getattr(sys, name), os.dup(number)
    os.dup2(descriptor, number)
    encoding = os.environ.get("PYTHONIOENCODING")
    ours = open(number, "r" if number == 0 else "w", encoding=encoding, closefd=False)
    setattr(sys, name, ours)
    try:
        yield
    finally:
        os.dup2(kept, number)
        with contextlib.suppress(OSError):
            getattr(sys, name).close()
        setattr(sys, name, old)
        os.close(kept)


def in_process(*args, out=None):
    """Run imgdup in this process, with its output in files, or where it is told to go."""
    with tempfile.TemporaryFile() as our_out, tempfile.TemporaryFile() as our_err:
        with stream("stdout", our_out.fileno() if out is None else out):
            with stream("stderr", our_err.fileno()):
                code = cli.main(args)
        return Run(code, *map(_content, (our_out, our_err)))


def _content(file):
    file.seek(0)
    return file.read()


def with_a_closed_pipe(*args):
    """Run imgdup with a standard output that no one reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return in_process(*args, out=writer)
    finally:
        os.close(writer)


def with_a_full_device(*args):
    """Run imgdup with a standard output that takes nothing."""
    with open("/dev/full", "wb") as full:
        return in_process(*args, out=full.fileno())


def terminal(columns):
    """A pseudo terminal of so many columns that passes everything on as it is."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    modes = termios.tcgetattr(theirs)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    return ours, theirs


def on_a_terminal(*args, columns=80, typed=b"", err=None):
    """Run imgdup in this process on a terminal; the exit code and all that it wrote there.

    Standard error is the terminal, too, unless it is another file.
    """
    ours, theirs = terminal(columns)
    os.write(ours, typed)
    written = []
    reader = threading.Thread(target=_drain, args=(ours, written))
    reader.start()
    errors = stream("stderr", theirs if err is None else err)
    with stream("stdin", theirs), stream("stdout", theirs), errors:
        code = cli.main(args)
    os.close(theirs)
    reader.join(TIMEOUT_S)
    os.close(ours)
    return code, b"".join(written)


def _drain(descriptor, written):
    with contextlib.suppress(OSError):  # Linux says EIO when the last writer has gone
        while data := os.read(descriptor, 1 << 16):
            written.append(data)
