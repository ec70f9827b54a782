"""The command line; each command parses, makes one library call, and prints.

This module has the group of commands, suggestions for mistyped words, and the exit code of every
exception. The module of a command is imported when that command is given, and heavy modules inside
the commands, so that ``-h`` and usage errors are printed at once.
"""

import difflib
import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from imgdup import __version__
from imgdup.cli.printing import VERBOSE, discard_output, note
from imgdup.errors import MORE_MEMORY, ImageError, ImgdupError, library_problem

COMMAND_WORDS = {  # words that other programs use, and ours
    "add": "index",
    "build": "index",
    "clean": "dedupe",
    "dedup": "dedupe",
    "delete": "apply",
    "duplicates": "dedupe",
    "find": "query",
    "hash": "index",
    "help": "--help",
    "leaks": "compare",
    "load": "import",
    "lookup": "query",
    "move": "apply",
    "remove": "apply",
    "restore": "undo",
    "scan": "index",
    "search": "query",
    "stats": "info",
    "status": "info",
    "update": "index",
    "verify": "check",
    "version": "--version",
}
OPTION_WORDS = {  # the same for options; "" means a path without an option
    "--cpus": "--workers",
    "--distance": "--max-dist",
    "--dry": "--dry-run",
    "--force": "--yes",
    "--ignore": "--exclude",
    "--image": "",
    "--images": "",
    "--jobs": "--workers",
    "--max-distance": "--max-dist",
    "--output": "--plan",
    "--processes": "--workers",
    "--query": "",
    "--radius": "--max-dist",
    "--threads": "--workers",
    "--threshold": "--max-dist",
    "--tolerance": "--max-dist",
}

INTERRUPTED = 128 + signal.SIGINT
ENDING = ("SIGTERM", "SIGHUP")  # signals that end a run; Windows has no SIGHUP
NO_THREAD = "can't start new thread"  # what Python says; it is no error of its own
MORE_THREADS = "use fewer processes, or raise the limits of memory and processes (ulimit -v, -u)"
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
REMEDIES = {
    errno.EMFILE: "use fewer --workers, or raise the limit, as in: ulimit -n 1024",
    errno.ENFILE: "too many files are open on this machine",
}

COMMANDS = {  # in the order in which they are used
    "index": "Build, update or resume an index.",
    "query": "Find the indexed images near an image.",
    "pairs": "Find all pairs of images within a distance.",
    "dedupe": "Find duplicates and plan which files to remove.",
    "apply": "Carry out a removal plan.",
    "undo": "Undo what apply did.",
    "compare": "Find the images of one set that have a duplicate in another set.",
    "split": "Make lists for training and testing that share no picture.",
    "evaluate": "Measure which copies are found at which distance.",
    "serve": "Look at an index in a browser, decide, and use it from other programs.",
    "info": "Show what the index holds.",
    "merge": "Make one index of several.",
    "subtract": "Make an index of the files whose picture is not in another index.",
    "forget": "Remove a folder from the index.",
    "check": "Verify the index or a removal plan.",
    "export": "Write the contents of the index for other programs.",
    "import": "Index the files that a pickle of the tutorial names.",
    "watch": "Keep an index current while files change.",
    "completion": "Print a script that completes commands and options in a shell.",
}
HIDDEN = {"man": "Print the manual page."}
FUNCTIONS = {"import": "import_hashes"}  # of the commands, where they have another name
MODULES = {  # of the commands, where they have another name than the function
    **dict.fromkeys(("info", "check", "export", "merge", "subtract"), "indexes"),
    **dict.fromkeys(("completion", "man"), "generated"),
    **dict.fromkeys(("compare", "split"), "sets"),
    "forget": "index",
    "undo": "apply",
    "watch": "indexing",
}


def no_such_command(typed: Sequence[str], commands: Collection[str]) -> str:
    """Write that there is no such command, and which one may be meant.

    Examples
    --------
    >>> no_such_command(["find", "a.jpg"], ["index", "query"])
    "No such command 'find'; did you mean: imgdup query a.jpg"
    >>> no_such_command(["help", "index"], ["index", "query"])
    "No such command 'help'; did you mean: imgdup index --help"
    """
    word, *more = typed
    near = difflib.get_close_matches(word, commands, n=1)
    meant = COMMAND_WORDS.get(word.lower()) or (near[0] if near else "")
    if os.path.exists(word):
        meant = "index" if os.path.isdir(word) else "query"
        more = list(typed)
    if meant == "--help":
        meant, more = " ".join([*(each for each in more[:1] if each in commands), meant]), []
    meant = shlex.join([*meant.split(), *more]) if meant else ""
    return f"No such command {word!r}" + (f"; did you mean: imgdup {meant}" if meant else "")


def no_such_option(error: click.NoSuchOption) -> str:
    """Write that a command has no such option, and which of its options may be meant."""
    text = f"No such option {error.option_name}"
    if error.ctx and not error.ctx.parent and error.option_name in ("-v", "--verbose"):
        return f"{text}: write it after the command"
    parameters = error.ctx.command.params if error.ctx else []
    known = [name for each in parameters for name in each.opts if name.startswith("--")]
    meant = OPTION_WORDS.get(error.option_name)
    if meant == "":
        return f"{text}: write the path without it"
    if meant not in known:
        near = difflib.get_close_matches(error.option_name, known, n=1)
        meant = near[0] if near else ""
    return text + (f"; did you mean: {meant}" if meant else "")


def _be_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Remember -v for all functions that print."""
    if value:
        context.find_root().meta[VERBOSE] = True


VERBOSE_OPTION = click.Option(  # of every command
    ["-v", "--verbose"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_be_verbose,
    help="Print which settings and which index are used, and name every file that fails.",
)


class Commands(click.Group):
    """The commands, whose modules are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        name = FUNCTIONS.get(cmd_name, cmd_name)
        module = import_module(f"imgdup.cli.{MODULES.get(cmd_name, name)}")
        command: click.Command = getattr(module, name)
        if VERBOSE_OPTION not in command.params:
            command.params.append(VERBOSE_OPTION)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; if there is none, suggest one."""
        if args and args[0][:1] != "-" and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(no_such_command(args, COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, without importing the commands, or an option."""
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name]) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, "-V", "--version", prog_name="imgdup")
@click.option(
    "--config",
    "config_file",
    envvar="IMGDUP_CONFIG",
    metavar="FILE",
    help="The settings file; '' means none. Default: imgdup.toml, or [tool.imgdup] in "
    "pyproject.toml, here or in a folder above.",
)
def imgdup(config_file: str | None) -> None:
    """Find near-duplicate images: exact, fast, and safe for your files.

    \b
    imgdup index photos      hash every image in a folder
    imgdup query photo.jpg   find its near-duplicates
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done; 1 failed, nothing was changed; 2 wrong usage; 3 done, but some inputs failed; 4 a limit
    was exceeded; 130 interrupted. SIGTERM and SIGHUP raise SystemExit of 128 + signal.
    """
    _fill_closed_streams()
    typed = list(sys.argv[1:] if args is None else args)  # what commands repeat in messages
    with _ending_on_signals():
        try:
            code = imgdup.main(args, prog_name="imgdup", standalone_mode=False, obj=typed)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except (click.Abort, KeyboardInterrupt):
            return _fail("interrupted; run the same command again to continue", INTERRUPTED)
        except BrokenPipeError:
            discard_output()
            return 0
        except (click.ClickException, ImgdupError) as error:
            return _refused(error)
        except (OSError, ImportError, MemoryError) as error:
            return _failed(error)
        except RuntimeError as error:
            if str(error) != NO_THREAD:
                raise
            return _fail(f"no thread can be started; {MORE_THREADS}", 1)


def _refused(error: click.ClickException | ImgdupError) -> int:
    """Print an error of imgdup or click, and return its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "imgdup"
        words = no_such_option(error) if isinstance(error, click.NoSuchOption) else _one_line(error)
        return _fail(f"{words} (see: {path} --help)", 2)
    if isinstance(error, click.ClickException):
        return _fail(_one_line(error), 1)
    remedies = "" if isinstance(error, ImageError) else _remedies(error)
    return _fail(f"{error}{remedies}", error.exit_code)


def _failed(error: OSError | ImportError | MemoryError) -> int:
    """Print an error of the system, and return its exit code."""
    if isinstance(error, OSError):
        discard_output()
        return _fail(f"{_where(error)}{error.strerror or error}{_remedies(error)}", 1)
    if isinstance(error, ImportError):
        return _fail(library_problem(error), 1)
    return _fail(f"not enough memory; {MORE_MEMORY}", 1)


def _one_line(error: click.ClickException) -> str:
    return " ".join(error.format_message().split())


def _where(error: OSError) -> str:
    """Return the name of what could not be read or written."""
    if isinstance(error.filename, str | bytes) and error.filename:
        return f"{os.fsdecode(error.filename)}: "
    if isinstance(error, FileNotFoundError) and not _has_current_folder():
        return "the current folder was deleted; change to another one: "
    return "cannot write the output: " if error.errno in WRITE_ERRORS else ""


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _remedies(error: BaseException | None) -> str:
    """Return the known remedies for an error and its causes."""
    text = ""
    while error is not None:
        remedy = REMEDIES.get(getattr(error, "errno", None) or 0)
        text += f"; {remedy}" if remedy else ""
        error = error.__cause__
    return text


def _fail(message: str, code: int) -> int:
    note(f"imgdup: {message}")
    return code


def _fill_closed_streams() -> None:
    """Open the null device for each closed stream, so that no other file gets its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)  # for worker processes, which need them open, too
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(null, mode, encoding="utf-8", errors="surrogateescape"))


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """End a run on SIGTERM and SIGHUP as on Ctrl-C: end the workers, keep the finished work.

    Afterwards, the program that called `main` has its own handlers again.
    """
    replaced = []
    if threading.current_thread() is threading.main_thread():  # only this thread may set handlers
        for number in filter(None, (getattr(signal, name, None) for name in ENDING)):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _terminate)
                replaced.append(number)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
