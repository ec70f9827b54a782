"""Print results to stdout and messages to stderr, in the encoding of each stream."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from imgdup.output import shown

if TYPE_CHECKING:
    from imgdup.apply.recheck import SkippedFile

Text = TypeVar("Text", str, bytes)

VERBOSE = "imgdup.verbose"  # in the meta data of a click context
N_LISTED = 10  # files of one kind that are named on stderr
STDOUT = 1  # its descriptor
PREFIX = "imgdup: "  # of errors and warnings
RELATION_COLOURS = {
    **dict.fromkeys(("same-bytes", "same-pixels", "same-picture"), "green"),
    **dict.fromkeys(("recoloured", "edited", "cropped", "turned"), "yellow"),
}
"""Green: a plan removes such files. Yellow: only if the user names the relation."""
RELATION = re.compile(
    r"^(relation +(?=[\w-]+$)| *(?:\S+ {2,})*(?=[\w-]+ {2,}))"
    rf"({'|'.join(RELATION_COLOURS)})(?![\w-])",
    re.MULTILINE,
)
"""The name of a relation: in a column of a table but the last, or on a line after its title."""


def write_bytes(lines: Iterable[bytes]) -> bool:
    """Write result lines to stdout one by one; stop and return False if the reader closed it."""
    stdout = sys.stdout.buffer
    return _write(lines, stdout.write, stdout.flush)


def write_text(lines: Iterable[str]) -> bool:
    """Write result text that stdout can encode; stop and return False if the reader closed it."""
    return _write(lines, sys.stdout.write, sys.stdout.flush)


def path_on_stdout(path: "str | bytes | os.PathLike[str]") -> str:
    """Write a path in a line of text so that stdout can encode it, without control characters."""
    return shown(os.fsencode(path), sys.stdout.encoding)


def write_table(texts: Iterable[str]) -> bool:
    """Write a table to stdout; on a terminal that shows colours, names of relations have one."""
    return write_text(map(_with_colours, texts) if shows_colours(sys.stdout) else texts)


def _write(
    lines: Iterable[Text], write: Callable[[Text], object], flush: Callable[[], object]
) -> bool:
    """Write lines until the reader closes the pipe; a broken pipe of `lines` itself is an error."""
    is_open = all(_works(partial(write, line)) for line in lines) and _works(flush)
    if not is_open:
        discard_output()
    return is_open


def _works(write: Callable[[], object]) -> bool:
    """Write to stdout; return False if the reader closed the pipe."""
    try:
        write()
    except BrokenPipeError:
        return False
    return True


def _with_colours(text: str) -> str:
    """Colour the first name of a relation in each line, but not the paths at its end."""
    return RELATION.sub(
        lambda found: found[1] + click.style(found[2], fg=RELATION_COLOURS[found[2]]), text
    )


def shows_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that shows colours, and NO_COLOR does not forbid them.

    A terminal of Windows shows them if it is Windows Terminal.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() and (sys.platform != "win32" or "WT_SESSION" in os.environ)


def discard_output() -> None:
    """Discard the rest of stdout, so that Python does not report a broken pipe at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def note(message: str, *, warns: bool = False) -> None:
    """Print a message on stderr: one line, without control characters; a warning may be yellow.

    A full or closed stderr is ignored; the exit code still gives the result.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    try:
        data = message.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that does not represent a byte
        data = message.encode("utf-8", "backslashreplace")
    pieces = data.split(b"\\")  # some names are escaped already
    text = "\\".join(shown(piece, encoding) for piece in pieces)
    with suppress(OSError):
        click.echo(_coloured(text, warns) if shows_colours(sys.stderr) else text, err=True)


def _coloured(text: str, warns: bool) -> str:
    """Colour a warning, or the word before an error, so that it stands out between messages."""
    if warns:
        return click.style(text, fg="yellow")
    if text.startswith(PREFIX):
        return click.style(PREFIX.strip(), fg="red", bold=True) + text[len(PREFIX) - 1 :]
    return text


def typed_command() -> str:
    """Return the command line that runs, as a shell reads it."""
    context = click.get_current_context(silent=True)
    typed = context.find_root().obj if context is not None else None
    return shlex.join(["imgdup", *(typed or ())])


def is_verbose() -> bool:
    """Return whether the command that runs was given -v."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(VERBOSE))


def note_path(path: bytes, message: str) -> None:
    """Print a message about a file on stderr."""
    note(f"{shown(path, sys.stderr.encoding)}: {message}")


def on_terminal() -> bool:
    """Return whether stdout is a terminal; if so, tables replace tab-separated lines."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return the columns of the terminal, those that COLUMNS names, or 80."""
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(STDOUT).columns or 80
    except OSError:  # it is no terminal
        return 80


def from_here(path: bytes) -> bytes:
    """Shorten an absolute path below the current folder, for people to read."""
    try:
        here = os.fsencode(os.getcwd().replace(os.sep, "/")).rstrip(b"/") + b"/"
    except FileNotFoundError:  # the current folder was deleted
        return path
    return path.removeprefix(here)


def note_first(messages: Iterable[tuple[bytes, str]], rest: str) -> None:
    """Print messages about the first files on stderr, and how many more there are: `rest`."""
    listed = list(messages)
    for path, message in listed[:N_LISTED]:
        note_path(path, message)
    if len(listed) > N_LISTED:
        note(f"... and {len(listed) - N_LISTED:,} more {rest}")


def note_skipped(skipped: "Iterable[SkippedFile]") -> None:
    """Print the first skipped files on stderr."""
    lines = ((each.path, f"skipped ({each.reason}: {each.detail})") for each in skipped)
    note_first(lines, "were skipped")
