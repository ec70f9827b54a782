"""Options that several commands share, and how results get to stdout."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from imgdup.errors import UsageError
from imgdup.images.formats import MARKED_BYTES, is_foreign_image
from imgdup.output.codecs import shown

F = TypeVar("F", bound=Callable[..., Any])

SIZE = re.compile("0*[1-9][0-9]{0,17}", re.ASCII)
JOURNAL_HEAD = b'{"journal": "imgdup"'  # a test compares it with that of apply.journal
CURRENT = "current"  # and this name with that of folder
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Bytes(click.ParamType[int]):
    """A number of bytes, as ``1G`` or ``500M``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fail with the forms that are understood."""
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS and text else (text, "")
        if not SIZE.fullmatch(number):
            self.fail(f"{value!r} is no size; write bytes, or as in 500M, 1G", param, ctx)
        return int(number) * UNITS[unit]


class Distance(click.ParamType[int]):
    """A number of bits; `check_range` knows how many the hash has."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fail with the range."""
        try:
            return int(value)
        except ValueError:
            self.fail(
                f"{value!r} is no distance; write a whole number of bits, from 0 to 64, "
                "or to 256 for hashes of 256 bits",
                param,
                ctx,
            )


class OutputFile(click.Path):
    """A file to be written, looked at before any work is done.

    A slip of the shell, as in ``--errors *.jpg``, must not cost a picture.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; fail where nothing can be written, or an image would be lost."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        name = shown(os.fsencode(path))
        if path.is_dir():
            self.fail(f"{name} is a folder; name a file in it", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {shown(os.fsencode(path.parent))}", param, ctx)
        if not os.access(path.parent, os.W_OK):
            self.fail(f"nothing can be written in {shown(os.fsencode(path.parent))}", param, ctx)
        head = _head(path)
        for would_be_lost, what in (
            (is_foreign_image(head), "an image"),
            (head.startswith(JOURNAL_HEAD), "the journal of apply, which undo needs,"),
        ):
            if would_be_lost:
                self.fail(f"{name} is {what} and would be lost; name another file", param, ctx)
        if (path.parent / CURRENT).is_file():
            self.fail(f"{name} would lie in an index folder; name another file", param, ctx)
        return path


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file; none of one that cannot be read."""
    if not path.is_file():
        return b""
    with suppress(OSError), path.open("rb") as file:
        return file.read(MARKED_BYTES)
    return b""


def index_option(function: F) -> F:
    """Add ``--index``."""
    return click.option(
        "--index",
        "index_folder",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="The index folder. Default: IMGDUP_INDEX, or the nearest .imgdup from here upwards.",
    )(function)


def limit_options(function: F) -> F:
    """Add the options that make `Limits`."""
    options = [
        click.option("--max-pixels", type=click.IntRange(min=1), default=200_000_000,
                     show_default=True, help="Largest picture, by its header."),
        click.option("--max-file-size", type=Bytes(), default="1G", show_default=True,
                     help="Largest file."),
        click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0,
                     show_default=True, metavar="SECONDS", help="Longest time for one file."),
        click.option("--worker-memory", type=Bytes(), default="2G", show_default=True,
                     help="Most memory that a decoding process may take for a file."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


removals_option = click.option(
    "--allow-removals", is_flag=True, help="A folder may lose most of its files."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def find_index(explicit: Path | None) -> Path:
    """Return the index folder that a command means."""
    from imgdup.index import folder

    return folder.find(Path.cwd(), explicit)


def read_list(null: bool) -> list[bytes]:
    """Read paths from stdin: lines, or separated by NUL."""
    data = sys.stdin.buffer.read()
    if null:
        return [path for path in data.split(b"\0") if path]
    if b"\0" in data:
        raise UsageError("the list on stdin is separated by NUL: say --null")
    return [path for path in (line.rstrip(b"\r") for line in data.split(b"\n")) if path]


def named_or_listed(paths: Sequence[str], null: bool) -> list[bytes]:
    """Return the paths of the command line, ``-`` replaced by those on stdin; note if none."""
    found: list[bytes] = []
    for path in paths:
        found.extend(read_list(null) if path == "-" else [os.fsencode(path)])
    if paths and not found:
        note("imgdup: the list on stdin is empty: nothing to do")
    return found


def write_bytes(lines: Iterable[bytes]) -> None:
    """Write result lines to stdout as they come, for as long as someone reads them."""
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard_output()


def write_text(lines: Iterable[str]) -> None:
    """Write result text, which stdout can encode, for as long as someone reads it."""
    try:
        for line in lines:
            sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Throw away what no one reads, so that the interpreter does not complain at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def from_here(path: bytes) -> bytes:
    """Shorten an absolute path that lies below the current folder, for people to read."""
    here = os.fsencode(os.getcwd().replace(os.sep, "/")).rstrip(b"/") + b"/"
    return path.removeprefix(here)


def note(message: str) -> None:
    """Say something on stderr, in one line without control characters.

    Where stderr is full or gone, the exit code has to do.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    try:
        data = message.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not from a name
        data = message.encode("utf-8", "backslashreplace")
    pieces = data.split(b"\\")  # some names are escaped already
    with suppress(OSError):
        click.echo("\\".join(shown(piece, encoding) for piece in pieces), err=True)


def check_range(value: int | None, bits: int) -> None:
    """Raise UsageError for a distance that no two hashes can have."""
    if value is not None and not 0 <= value <= bits:
        raise UsageError(f"--max-dist {value}: expected 0 to {bits}, the bits of the hash")
