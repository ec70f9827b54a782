"""``python -m imgdup`` and the command ``imgdup``."""

import gc
import os
import sys
from typing import NoReturn

from imgdup.system.limits import THREAD_VARIABLES, run_commands_only


def run() -> int:
    """Run the command line, and return the exit code."""
    os.environ.update({name: "1" for name in THREAD_VARIABLES if name not in os.environ})
    gc.set_threshold(200_000, 20, 20)  # imports make lasting objects: collecting takes 9 ms
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
    """Run the command line, and end this process with its exit code."""
    run_commands_only()
    sys.exit(run())


if __name__ == "__main__":
    main()
