"""The command line: parse, one library call, print.

Heavy modules are imported inside the commands, so that ``-h`` and usage errors come at once.
"""

from imgdup.cli.app import main

__all__ = ["main"]
