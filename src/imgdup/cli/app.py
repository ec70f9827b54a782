"""The command group, and the one place where exceptions become messages and exit codes."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from imgdup import __version__
from imgdup.cli import build, clean, pairs, search
from imgdup.errors import ImageError, ImgdupError

INTERRUPTED = 128 + signal.SIGINT

COMMANDS = (
    build.index,
    search.query,
    pairs.pairs,
    clean.dedupe,
    clean.apply,
    clean.undo,
    build.info,
    build.forget,
    clean.check,
    search.export,
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="imgdup")
def imgdup() -> None:
    """Find near-duplicate images: exactly, fast, and without losing one.

    \b
    imgdup index photos                 hash every image below a folder
    imgdup query photo.jpg              find where else it is
    """


for command in COMMANDS:
    imgdup.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done; 1 failed, nothing was changed; 2 usage; 3 done, but some inputs failed; 4 a gate was
    not met; 130 interrupted; 128 + signal for SIGTERM and SIGHUP.
    """
    _end_on_signals()
    try:
        code = imgdup.main(args, prog_name="imgdup", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        return _fail(_usage(error), 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; run the same command again to go on", INTERRUPTED)
    except ImageError as error:
        return _fail(str(error), error.exit_code)
    except ImgdupError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        _close_stdout()
        return 0
    except OSError as error:
        _close_stdout()
        return _fail(f"{_where(error)}{error.strerror or error}", 1)


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "imgdup"
    return f"{error.format_message()} (see: {path} --help)"


def _where(error: OSError) -> str:
    return f"{os.fsdecode(error.filename)}: " if error.filename else "cannot write the output: "


def _fail(message: str, code: int) -> int:
    """Print one line; what the terminal cannot show is escaped."""
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    line = f"imgdup: {' '.join(message.split())}"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=True)
    return code


def _close_stdout() -> None:
    """Throw away what no one reads, so that the interpreter does not complain at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())


def _end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does: workers ended, parts kept."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
