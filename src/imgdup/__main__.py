"""``python -m imgdup`` and the command ``imgdup``."""

import gc
import os
import sys

from imgdup.system.limits import THREAD_VARIABLES, run_commands_only


def main() -> int:
    """Run the command line in a process of its own, and return the exit code."""
    run_commands_only()
    os.environ.update({name: "1" for name in THREAD_VARIABLES if name not in os.environ})
    try:
        from imgdup.cli import (
            main as run,  # inside the try: the user may press Ctrl-C during the import
        )

        return run()
    except KeyboardInterrupt:
        print("imgdup: interrupted", file=sys.stderr)
        return 130
    finally:
        gc.freeze()  # Python's last garbage collection would take 20 ms, and free nothing needed


if __name__ == "__main__":
    sys.exit(main())
