"""The command line: parse, one library call, print.

The module of a command is imported when that command is given, and heavy modules inside the
commands, so that ``-h`` and usage errors are printed at once.
"""

from imgdup.cli.main import main

__all__ = ["main"]
