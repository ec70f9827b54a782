"""The command completion: a script that completes commands and options in a shell."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from imgdup.cli.printing import write_text

VARIABLE = "_IMGDUP_COMPLETE"  # the shell sets it when it asks imgdup for words
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


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
