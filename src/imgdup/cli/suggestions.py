"""Suggest the right word for a command or an option that does not exist, as text for a message."""

import difflib
import os
import shlex
from collections.abc import Collection, Sequence

import click

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
OPTION_WORDS = {  # the same for options; "" stands for a path without an option
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


def no_such_command(typed: Sequence[str], commands: Collection[str]) -> str:
    """Say that what was typed has no such command, and what may be meant.

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
    """Say that a command has no such option, and which of its options may be meant."""
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
