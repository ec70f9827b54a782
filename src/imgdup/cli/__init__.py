"""The command line: parse, one library call, print.

Heavy modules are imported inside the commands, so that ``-h`` and usage errors are printed at once.
"""

from imgdup.cli.main import main

__all__ = ["main"]
