"""``python -m imgdup`` and the command ``imgdup``."""

import atexit
import gc
import os
import sys
import threading
from typing import NoReturn

from imgdup.system.limits import THREAD_VARIABLES, run_commands_only


def run() -> int:
    """Run the command line, and return the exit code."""
    os.environ.update({name: "1" for name in THREAD_VARIABLES if name not in os.environ})
    try:
        from imgdup.cli import (
            main as command,  # inside the try: the user may press Ctrl-C during the import
        )

        return command()
    except KeyboardInterrupt:
        print("imgdup: interrupted", file=sys.stderr)
        return 130
    finally:
        gc.freeze()  # Python's last garbage collection would take 20 ms, and free nothing needed


def main() -> NoReturn:
    """Run the command line, and end this process with its exit code.

    What is registered for the end of the process is called, but the interpreter is not taken apart:
    that would take 10 ms, and free nothing that the system does not free.
    """
    run_commands_only()
    code = run()
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # of a closed stream: Python handles it
            sys.exit(code)
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
