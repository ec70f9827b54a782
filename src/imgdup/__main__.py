"""``python -m imgdup`` and the command ``imgdup``."""

import os
import sys

from imgdup.cli import main as run
from imgdup.cores import THREAD_VARIABLES


def main() -> int:
    """Run the command line in a process that it has for itself."""
    os.environ.update({name: "1" for name in THREAD_VARIABLES if name not in os.environ})
    return run()


if __name__ == "__main__":
    sys.exit(main())
