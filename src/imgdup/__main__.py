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
    gc.set_threshold(50_000, 20, 20)  # imports make lasting objects: collecting takes 6 ms
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


def _end_at_once(code: int) -> None:
    """End this process, and leave its memory to the system: to free it would take 20 ms.

    Return if what was printed cannot be written; then Python ends the process.
    """
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


def main() -> NoReturn:
    """Run the command line, and end this process with its exit code."""
    run_commands_only()
    code = run()
    if threading.active_count() == 1:
        _end_at_once(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
