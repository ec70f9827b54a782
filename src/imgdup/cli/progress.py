"""A progress bar on stderr, where that is a terminal."""

import sys
from typing import Never

from tqdm import tqdm


class Bar:
    """Shows images a second and the time left; nothing where no one watches."""

    def __init__(self, *, quiet: bool) -> None:
        self.shown = not quiet and sys.stderr.isatty()
        self._bar: tqdm[Never] | None = None

    def start(self, n_files: int) -> None:
        """Begin to count."""
        if self.shown and n_files:
            self._bar = tqdm(total=n_files, unit=" images", dynamic_ncols=True, file=sys.stderr)

    def advance(self, n_files: int) -> None:
        """Count on."""
        if self._bar is not None:
            self._bar.update(n_files)

    def share(self, done: float) -> None:
        """Show how much of something is done, 0 to 1."""
        if self.shown:
            sys.stderr.write(f"\r\x1b[Kcomparing {done:4.0%}\r")
            sys.stderr.flush()

    def say(self, what: str) -> None:
        """Say what happens now, for as long as it happens."""
        self.close()
        if self.shown:
            sys.stderr.write(f"\r\x1b[K{what} ...\r")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave a clean line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elif self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
