"""The commands completion and man, whose output is generated from all commands and their help."""

import re

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from imgdup import __version__
from imgdup.cli import COMMANDS
from imgdup.cli.printing import write_text

VARIABLE = "_IMGDUP_COMPLETE"  # the shell sets it when it asks imgdup for words
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
EXIT_CODES = {
    "0": "Done.",
    "1": "Failed: nothing was changed.",
    "2": "Wrong usage.",
    "3": "Done, but some inputs failed or were skipped.",
    "4": "A limit was exceeded.",
    "130, 143": "Interrupted or terminated; run the same command again to continue.",
}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in a shell.

    Add the line for your shell to its start-up file.

    \b
    eval "$(imgdup completion bash)"      in ~/.bashrc
    eval "$(imgdup completion zsh)"       in ~/.zshrc
    imgdup completion fish | source       in ~/.config/fish/config.fish
    """
    script = SHELLS[shell](context.find_root().command, {}, "imgdup", VARIABLE)
    write_text([script.source_template % script.source_vars() + "\n"])


@click.command()
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page of imgdup, for man.

    \b
    imgdup man > imgdup.1
    """
    root = context.find_root()
    write_text(f"{line}\n" for line in manual_page(root))


def manual_page(root: click.Context) -> list[str]:
    """Return the lines of the manual page in the language of man(7)."""
    group = root.command
    lines = [
        f'.TH IMGDUP 1 "" "imgdup {__version__}" "User Commands"',
        ".SH NAME",
        "imgdup \\- find near-duplicate images",
        ".SH SYNOPSIS",
        ".B imgdup",
        ".I COMMAND",
        "[OPTION]... [ARGUMENT]...",
        ".SH DESCRIPTION",
        *_paragraphs(group.help or ""),
        *_options(root, group),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = group.get_command(root, name) if isinstance(group, click.Group) else None
        if command is not None:
            lines += _section(click.Context(command, info_name=name, parent=root), command)
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code}", meaning]
    return lines


def _section(context: click.Context, command: click.Command) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    return [
        f".SS imgdup {_escaped(command.name or '')} {_escaped(usage)}",
        *_paragraphs(command.help or ""),
        *_options(context, command),
    ]


def _options(context: click.Context, command: click.Command) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            lines += [".TP", f".B {_escaped(record[0])}", _escaped(record[1])]
    return lines


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text; one that begins with a backspace is an example."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        rows = [row.strip() for row in paragraph.strip().split("\n")]
        if rows[0] == "\b":
            lines += [".PP", ".nf", ".RS", *map(_escaped, rows[1:]), ".RE", ".fi"]
        else:
            lines += [".PP", _escaped(" ".join(rows))]
    return lines


def _escaped(text: str) -> str:
    """Return a line of text that man prints as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
