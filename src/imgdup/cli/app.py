"""The command group, and the one place where exceptions become messages and exit codes."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from imgdup import __version__
from imgdup.cli import acting, build, clean, compare, pairs, search
from imgdup.cli.common import discard_output, note
from imgdup.errors import ImageError, ImgdupError

INTERRUPTED = 128 + signal.SIGINT
MORE_MEMORY = "free some memory, or raise the limit, as in: ulimit -v unlimited"
REMEDIES = {
    errno.EMFILE: "take fewer --workers, or raise the limit, as in: ulimit -n 1024",
    errno.ENFILE: "too many files are open on this machine",
}

COMMANDS = (
    build.index,
    search.query,
    pairs.pairs,
    clean.dedupe,
    acting.apply,
    acting.undo,
    compare.compare,
    compare.split,
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
    _fill_closed_streams()
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
        return _fail(_one_line(error), 1)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; run the same command again to go on", INTERRUPTED)
    except ImageError as error:
        return _fail(str(error), error.exit_code)
    except ImgdupError as error:
        return _fail(str(error), error.exit_code, error)
    except BrokenPipeError:
        discard_output()
        return 0
    except OSError as error:
        discard_output()
        return _fail(f"{_where(error)}{error.strerror or error}", 1, error)
    except ImportError as error:
        return _fail(f"cannot load a library ({_last_line(error)}); {MORE_MEMORY}", 1)
    except MemoryError:
        return _fail(f"not enough memory; {MORE_MEMORY}", 1)


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "imgdup"
    return f"{_one_line(error)} (see: {path} --help)"


def _one_line(error: click.ClickException) -> str:
    return " ".join(error.format_message().split())


def _where(error: OSError) -> str:
    return f"{os.fsdecode(error.filename)}: " if error.filename else "cannot write the output: "


def _last_line(error: ImportError) -> str:
    """Return what the system said; NumPy writes a page before it."""
    return str(error).strip().rpartition("\n")[2]


def _fail(message: str, code: int, error: BaseException | None = None) -> int:
    """Print one line, with the remedy where the system's own words name none."""
    while error is not None:
        remedy = REMEDIES.get(getattr(error, "errno", None) or 0)
        message += f"; {remedy}" if remedy else ""
        error = error.__cause__
    note(f"imgdup: {message}")
    return code


def _fill_closed_streams() -> None:
    """Open nothing in the place of closed streams, before an index file gets their number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)  # for worker processes, which need them open, too
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(null, mode, encoding="utf-8", errors="surrogateescape"))


def _end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does: workers ended, parts kept."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
