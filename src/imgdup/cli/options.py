"""Parameters that several commands share: decorators, their types, and what they name."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from imgdup.cli.config import config
from imgdup.cli.printing import is_verbose, note
from imgdup.errors import ImgdupError, UsageError
from imgdup.images.formats import MARKED_BYTES, is_foreign_image
from imgdup.index.folder import (
    ENVIRONMENT_VARIABLE,
    FOLDER_NAME,
    VERDICTS,
    find,
    is_index,
    look_for,
    option_naming,
)
from imgdup.output import shown
from imgdup.system.limits import Limits

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from imgdup.api.index import ImageIndex

F = TypeVar("F", bound=Callable[..., Any])

SIZE = re.compile("0*[1-9][0-9]{0,17}", re.ASCII)
COUNT_OR_SHARE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(%?)", re.ASCII)
JOURNAL_HEAD = b'{"journal": "imgdup"'  # a test compares it with that of apply.journal
GROUP_FILES = (".csv", ".jsonl", ".parquet", ".png")  # a test compares them with what is written
GATE = 4  # exit code: a limit was exceeded
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class NamedPath(click.Path):
    """A path that is not empty, as it would be where a variable of the shell is not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if it is empty, which would mean the current folder."""
        if not os.fspath(value):
            self.fail("the path is empty: give one, or . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = NamedPath(path_type=Path)
FOLDER = NamedPath(path_type=Path, file_okay=False)


class Number(click.IntRange):
    """A whole number, named so in the help and in messages."""

    name = "number"


class Real(click.FloatRange):
    """A number with decimals, named so in messages."""

    name = "number"


class Seconds(click.FloatRange):
    """A time in seconds, named so in the help and in messages."""

    name = "number of seconds"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the name of the value in the help."""
        return "SECONDS"


class Bytes(click.ParamType[int]):
    """A number of bytes, as ``1G`` or ``500M``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS and text else (text, "")
        if not SIZE.fullmatch(number):
            self.fail(
                f"{value!r} is not a size; give a number of bytes, as in 500M or 1G", param, ctx
            )
        return int(number) * UNITS[unit]


class CountOrShare(click.ParamType[tuple[str, bool]]):
    """A whole number, or a share such as ``5%``: the value, and whether it is in percent."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, bool]:
        """Return the digits of the value, and whether it is in percent."""
        if isinstance(value, tuple):
            return value
        match = COUNT_OR_SHARE.fullmatch(str(value).strip())
        if match is None or (match[2] and float(match[1]) > 100):
            self.fail(f"{value!r} is neither a number nor a share, as in 3 or 5%", param, ctx)
        if not match[2] and "." in match[1]:
            self.fail(f"{value!r} is no whole number; a share ends in %, as in 5%", param, ctx)
        return match[1], bool(match[2])


class Distance(click.ParamType[int]):
    """A number of bits; `check_range` compares it with the length of the hash."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bits."""
        try:
            return int(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a distance; give a whole number of bits, from 0 to 64, "
                "or to 256 for hashes of 256 bits",
                param,
                ctx,
            )


class OutputFile(NamedPath):
    """A file to write, checked before any work is done.

    A mistake such as ``--errors *.jpg`` must not overwrite a picture.
    """

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path)
        self.suffixes = suffixes  # any of these, in lower case; none means any name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; fail if it cannot be written, or if an image would be overwritten."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        name = shown(os.fsencode(path))
        if path.is_dir():
            self.fail(f"{name} is a folder; name a file in it", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {shown(os.fsencode(path.parent))}", param, ctx)
        if not os.access(path.parent, os.W_OK):
            self.fail(f"the folder {shown(os.fsencode(path.parent))} cannot be written", param, ctx)
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            self.fail(f"{name}: expected a name that ends in {' '.join(self.suffixes)}", param, ctx)
        head = _head(path)
        for would_be_lost, what in (
            (is_foreign_image(head), "an image"),
            (head.startswith(JOURNAL_HEAD), "the journal of apply, which undo needs,"),
        ):
            if would_be_lost:
                self.fail(
                    f"{name} is {what} and would be overwritten; name another file", param, ctx
                )
        if is_index(path.parent):
            self.fail(f"{name} is in an index folder; name another file", param, ctx)
        return path


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file; none if it cannot be read."""
    if path.is_file():
        with suppress(OSError), path.open("rb") as file:
            return file.read(MARKED_BYTES)
    return b""


index_option = click.option(
    "--index",
    "index_folder",
    type=PATH,
    metavar="FOLDER",
    help="The index folder, or the folder that it is in. Default: IMGDUP_INDEX, then the settings "
    "file, then the nearest .imgdup, here or in a folder above.",
)
force_option = click.option(
    "--force", is_flag=True, help="Overwrite plans and lists that exist; normally they are kept."
)
removals_option = click.option(
    "--allow-removals",
    is_flag=True,
    help="Allow the update even if most files of a folder are gone (normally treated as an "
    "unmounted drive).",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line."
)
by_option = click.option(
    "--by",
    type=click.Choice(["match", "search"]),
    default="match",
    show_default=True,
    help="The hash to compare.",
)
verify_option = click.option(
    "--verify",
    is_flag=True,
    help="Compare the pictures, and print their relation: same-bytes, same-pixels, same-picture, "
    "recoloured, edited, cropped, turned, different, or unverified.",
)
false_pairs_option = click.option(
    "--max-false-pairs",
    type=Real(min=0, min_open=True),
    metavar="F",
    help="Instead of --max-dist: the largest distance within which at most F pairs of different "
    "images are expected by chance.",
)


def orientations_option(default: bool) -> Callable[[F], F]:
    """Add --orientations and --no-orientations."""
    return click.option(
        "--orientations/--no-orientations",
        default=default,
        show_default=True,
        help="Also find duplicates that are rotated by quarter turns or mirrored.",
    )


match_distance_option = click.option(
    "--max-dist",
    type=Distance(),
    help="Largest match distance in bits, inclusive. Default: 31; in sets of up to 200,000 images, "
    "possible edited, framed and cropped copies are looked for as well.",
)
labels_option = click.option(
    "--labels",
    type=PATH,
    metavar="FILE.csv",
    help="A table of paths and labels. Default: the label is the first folder of a path.",
)
page_option = click.option(
    "--report", type=OutputFile(), metavar="FILE.html", help="Write an HTML page with pictures."
)


def limit_parameters(function: F) -> F:
    """Add the parameters that limit the size, time and memory of one file, as one `Limits`."""
    parameters = [
        click.option("--max-pixels", type=Number(min=1), default=200_000_000,
                     show_default=True, help="Largest picture in pixels, from its header."),
        click.option("--max-file-size", "max_file_bytes", type=Bytes(), default="1G",
                     show_default=True, help="Largest file."),
        click.option("--timeout", "timeout_s", type=Seconds(min=0.1), default=30.0,
                     show_default=True, help="Longest time for one file."),
        click.option("--worker-memory", "worker_memory_bytes", type=Bytes(), default="2G",
                     show_default=True, help="Most memory that a worker may use for one file."),
    ]  # fmt: skip
    function = gathered(Limits, "limits")(function)
    for parameter in reversed(parameters):
        function = parameter(function)
    return function


def gathered(kind: "type[DataclassInstance]", name: str) -> Callable[[F], F]:
    """Pass the parameters that are the fields of a dataclass to a command as one object."""
    fields = [field.name for field in dataclasses.fields(kind)]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_object(**parameters: Any) -> Any:
            values = {field: parameters.pop(field) for field in fields}
            return function(**parameters, **{name: kind(**values)})

        return cast(F, with_object)

    return decorate


def check_new(files: Iterable[Path | None], *, force: bool) -> None:
    """Raise UsageError for the first file that exists and is not empty, unless `force`."""
    for file in files:
        if file is not None and not force and file.is_file() and file.stat().st_size:
            raise UsageError(f"{file} exists: name another file, or add --force to overwrite it")


def check_range(value: int | None, bits: int) -> None:
    """Raise UsageError for a distance that is out of range."""
    if value is not None and not 0 <= value <= bits:
        raise UsageError(f"--max-dist {value}: expected 0 to {bits}, the bits of the hash")


def note_wide(value: int | None, default: int, meaning: str) -> None:
    """Print on stderr what to expect of a distance beyond the default."""
    if value is not None and value > default:
        note(f"--max-dist {value} is beyond the default of {default} bits: {meaning}", warns=True)


def check_one_limit(max_distance: int | None, max_false_pairs: float | None) -> None:
    """Raise UsageError if both --max-dist and --max-false-pairs are given."""
    if max_distance is not None and max_false_pairs is not None:
        raise UsageError("--max-dist and --max-false-pairs exclude each other: leave out one")


def note_false_pairs(distance: int, max_false_pairs: float) -> None:
    """Print on stderr the distance that follows from --max-false-pairs."""
    note(f"pairs expected by chance within {distance} bits: at most {max_false_pairs:g}")


def find_index(explicit: Path | None) -> Path:
    """Return the index folder to use; raise ImgdupError if there is none."""
    return announced(find(Path(), _named(explicit)), explicit)


def _named(explicit: Path | None) -> Path | None:
    """Return the folder of --index; the settings file counts if IMGDUP_INDEX is not set."""
    return explicit or (None if os.environ.get(ENVIRONMENT_VARIABLE) else config().index)


def has_no_verdicts(explicit: Path | None) -> bool:
    """Return whether there is an index to use that keeps no verdicts on pictures."""
    found = look_for(Path(), _named(explicit))
    return found is not None and is_index(found) and not (found / VERDICTS).exists()


def is_named(explicit: Path | None) -> bool:
    """Return whether --index, IMGDUP_INDEX or the settings file names the index."""
    return bool(_named(explicit) or os.environ.get(ENVIRONMENT_VARIABLE))


def option_to_find(index_folder: Path) -> str:
    """Return `` --index FOLDER`` for a command to run next, or nothing if it finds it anyway."""
    return option_naming(index_folder, _named(None))


def open_found(explicit: Path | None) -> "ImageIndex":
    """Open the index to use."""
    from imgdup.api.index import ImageIndex  # NumPy takes 0.1 s, which the help does not need

    return ImageIndex.open(find_index(explicit))


def find_or_new_index(explicit: Path | None) -> Path:
    """Return the index folder to use, or the place of a new one in the current folder."""
    found = look_for(Path(), _named(explicit))
    return Path(FOLDER_NAME) if found is None else announced(found, explicit)


def announced(found: Path, explicit: Path | None) -> Path:
    """Print on stderr the path of an index in a folder above, since the user may not know it."""
    if is_above(found, explicit) or is_verbose():
        note(f"using the index {found}")
    return found


def is_above(index_folder: Path, explicit: Path | None) -> bool:
    """Return whether an index was not named but found in a folder above the current one."""
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    return not named and index_folder.parent != Path().absolute()


@contextmanager
def needing_extra(name: str, user: str, packages: Collection[str]) -> Iterator[None]:
    """Name the extra that is needed if one of its packages cannot be imported meanwhile."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in packages:
            remedy = f"pip install 'neardup[{name}]'"
            raise ImgdupError(f"{user} needs more packages: {remedy}") from error
        raise
