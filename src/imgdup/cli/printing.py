"""Print results to stdout and messages to stderr, in the encoding of each stream."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from imgdup.output.codecs import shown

if TYPE_CHECKING:
    from imgdup.apply.recheck import SkippedFile

VERBOSE = "imgdup.verbose"  # in the meta data of a click context
N_LISTED = 10  # skipped files that are named on stderr


def write_bytes(lines: Iterable[bytes]) -> None:
    """Write result lines to stdout one by one; stop if the reader has closed the pipe."""
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard_output()


def write_text(lines: Iterable[str]) -> None:
    """Write result text that stdout can encode; stop if the reader has closed the pipe."""
    try:
        for line in lines:
            sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Discard the rest of stdout, so that Python does not report a broken pipe at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def note(message: str) -> None:
    """Print a message on stderr: one line, without control characters.

    A full or closed stderr is ignored; the exit code still gives the result.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    try:
        data = message.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that does not represent a byte
        data = message.encode("utf-8", "backslashreplace")
    pieces = data.split(b"\\")  # some names are escaped already
    with suppress(OSError):
        click.echo("\\".join(shown(piece, encoding) for piece in pieces), err=True)


def is_verbose() -> bool:
    """Return whether the command that runs was given -v."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(VERBOSE))


def note_path(path: bytes, message: str) -> None:
    """Print a message about a file on stderr."""
    note(f"{shown(path, sys.stderr.encoding)}: {message}")


def on_terminal() -> bool:
    """Return whether stdout is a terminal; then tables replace tab-separated lines."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return the columns of the terminal."""
    return shutil.get_terminal_size().columns


def from_here(path: bytes) -> bytes:
    """Shorten an absolute path below the current folder, for people to read."""
    try:
        here = os.fsencode(os.getcwd().replace(os.sep, "/")).rstrip(b"/") + b"/"
    except FileNotFoundError:  # the current folder was deleted
        return path
    return path.removeprefix(here)


def note_skipped(skipped: "Sequence[SkippedFile]") -> None:
    """Print the first skipped files on stderr."""
    for each in skipped[:N_LISTED]:
        note_path(each.path, f"skipped ({each.reason}: {each.detail})")
    if len(skipped) > N_LISTED:
        note(f"... and {len(skipped) - N_LISTED:,} more were skipped")
