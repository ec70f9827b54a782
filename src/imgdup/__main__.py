"""``python -m imgdup`` and the command ``imgdup``."""

import sys

from imgdup.cli import main

if __name__ == "__main__":
    sys.exit(main())
