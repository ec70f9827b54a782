"""A progress bar on stderr, where that is a terminal that can move its cursor."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm


class Bar:
    """Shows images a second and the time left; nothing where no one watches.

    A terminal that goes away ends the showing and not the run.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.shown = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: tqdm[Never] | None = None

    def start(self, n_files: int) -> None:
        """Begin to count."""
        if self.shown and n_files:
            with self._watched():
                self._bar = tqdm(total=n_files, unit=" images", dynamic_ncols=True, file=sys.stderr)

    def advance(self, n_files: int) -> None:
        """Count on."""
        if self._bar is not None:
            with self._watched():
                self._bar.update(n_files)

    def count(self, n_seen: int, n_files: int) -> None:
        """Begin to count with the first file, and count on by one with each."""
        if n_seen == 1:
            self.start(n_files)
        self.advance(1)

    def share(self, done: float) -> None:
        """Show how much of something is done, 0 to 1."""
        self._show(f"comparing {done:4.0%}")

    def say(self, what: str) -> None:
        """Say what happens now, for as long as it happens."""
        self.close()
        self._show(f"{what} ...")

    def close(self) -> None:
        """Leave a clean line."""
        if self._bar is None:
            self._show("")
            return
        with self._watched():
            self._bar.close()
        self._bar = None

    def end(self) -> None:
        """Leave a clean line, and show nothing more."""
        self.close()
        self.shown = False

    def _show(self, text: str) -> None:
        """Write one line that the next one takes the place of."""
        if self.shown:
            with self._watched():
                columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
                sys.stderr.write(f"\r\x1b[K{text[: columns - 1]}\r")
                sys.stderr.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.shown = False
            if self._bar is not None:
                self._bar.disable = True
                self._bar = None
