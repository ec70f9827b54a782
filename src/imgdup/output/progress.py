"""A progress display: on stderr, if that is a terminal that can move its cursor; in a notebook."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.progress import Progress

PAUSE_S = 0.1  # between two updates of the display
NOTEBOOK_COLUMNS = 100
DUMB_TERMINALS = ("dumb", "unknown")  # values of TERM; their cursor cannot be moved
WHOLE = 1000  # steps of the bar for a share


class Bar:
    """Shows the current step, the number of finished files, and the remaining time.

    Prints nothing if stderr is not a terminal. If the terminal is closed, the run continues.
    In a notebook, the display is in the output of the cell that runs.
    """

    def __init__(self, *, quiet: bool) -> None:
        can_move = sys.stderr.isatty() and os.environ.get("TERM") not in DUMB_TERMINALS
        self._cell = None if quiet else _running_cell()
        self.shown = not quiet and (can_move or self._cell is not None)
        self._progress: Progress | None = None
        self._is_share = False
        self._n_compared: int | None = None
        self._drawn_s = 0.0

    def log(self, step: str) -> None:
        """Show the current step until something else is shown."""
        self._show(f"{step} ...", [])

    def start(self, n_files: int) -> None:
        """Show a bar for some files."""
        if n_files:
            texts = ["{task.completed:,.0f}/{task.total:,.0f}", "{task.fields[rate]}"]
            self._show("", texts, n_files)

    def advance(self, n_files: int) -> None:
        """Count more files as done."""
        if self._progress is not None:
            task = self._progress.tasks[0]
            self._progress.update(task.id, advance=n_files, rate=f"{task.speed or 0:,.0f}/s")
            self._draw()

    def count(self, n_seen: int, n_files: int) -> None:
        """Count one file as done; the first one starts the bar."""
        if n_seen == 1:
            self.start(n_files)
        self.advance(1)

    def compared(self, n_decided: int, n_files: int) -> None:
        """Show how many files were decided by a comparison of their pictures."""
        if self._n_compared is None:
            self._show("comparing pictures", ["{task.completed:,.0f}/{task.total:,.0f}"], n_files)
        self.advance(n_decided - (self._n_compared or 0))
        self._n_compared = n_decided

    def share(self, done: float) -> None:
        """Show the share of a comparison that is done, from 0 to 1."""
        self._update("comparing", [], done * WHOLE, WHOLE)

    def shards(self, n_done: int, n_tasks: int) -> None:
        """Show how many pairs of shards were compared."""
        self._update(
            "comparing shards", ["{task.completed:,.0f}/{task.total:,.0f}"], n_done, n_tasks
        )

    def close(self) -> None:
        """Remove the display."""
        if self._progress is not None:
            self._progress.stop()
            if self._cell is not None:
                self._cell.show("")
        self._progress, self._is_share = None, False

    def end(self) -> None:
        """Remove the display and show nothing more."""
        self.close()
        self.shown = False

    def _update(self, step: str, texts: list[str], completed: float, total: int) -> None:
        """Show how much of a comparison is done; the first call starts the bar."""
        if not self._is_share:
            self._show(step, texts, total)
            self._is_share = True
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=completed)
            self._draw()

    def _show(self, step: str, texts: list[str], total: int | None = None) -> None:
        """Replace the display by a text and, if there is something to count, a bar."""
        self.close()
        if not self.shown:
            return
        self._progress = _display(texts, has_bar=total is not None)
        self._progress.add_task(step, total=total, rate="")
        if self._cell is None:
            self._progress.start()
        else:
            self._cell.show(_text(self._progress))

    def _draw(self) -> None:
        """Update the display, but not too often; always update it at the end."""
        now = time.monotonic()
        if self._progress and (self._progress.finished or now - self._drawn_s >= PAUSE_S):
            if self._cell is None:
                self._progress.refresh()
            else:
                self._cell.show(_text(self._progress))
            self._drawn_s = now


@contextmanager
def showing(progress: bool) -> Iterator[Bar]:
    """Show progress while a block runs, if it is wanted."""
    with closing(Bar(quiet=not progress)) as bar:
        yield bar


def _display(texts: list[str], *, has_bar: bool) -> "Progress":
    """Make a display that starts no thread and uses no colours."""
    from rich import console, progress, table  # the import takes 0.1 s and only a terminal needs it

    terminal = console.Console(
        file=cast(IO[str], _Terminal()),
        force_terminal=True,
        force_jupyter=False,
        color_system=None,
        legacy_windows=False,
    )

    def column() -> table.Column:
        return table.Column(no_wrap=True, overflow="crop")  # the other modes need more than ASCII

    def text(form: str) -> progress.TextColumn:
        return progress.TextColumn(form, table_column=column())

    columns: list[progress.ProgressColumn] = [text("{task.description}")]
    if has_bar:
        columns += [progress.BarColumn(), text("{task.percentage:>3.0f}%"), *map(text, texts)]
        columns.append(progress.TimeRemainingColumn(table_column=column()))
    return progress.Progress(
        *columns,
        console=terminal,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _text(display: "Progress") -> str:
    """Return the display as plain text of one line."""
    console = display.console
    with console.capture() as capture:
        console.print(display.get_renderable(), width=NOTEBOOK_COLUMNS)
    return capture.get().strip()


class _Cell:
    """The output of the cell of a notebook that runs; `display` is that of IPython."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._shown: Any = None

    def show(self, text: str) -> None:
        markup = text.replace("&", "&amp;").replace("<", "&lt;")
        data = {"text/plain": text, "text/html": f"<pre>{markup}</pre>" if text else ""}
        if self._shown is None:
            self._shown = self._display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)


def _running_cell() -> _Cell | None:
    """Return the cell that runs, or None outside of a notebook.

    IPython is imported in every notebook; its shell has a kernel there, but not in a terminal.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    return _Cell(sys.modules["IPython.display"].display)


class _Terminal:
    """The stream stderr without errors: if the terminal is closed, text is dropped."""

    def __init__(self) -> None:
        self.encoding = sys.stderr.encoding
        self._is_gone = False

    def write(self, text: str) -> int:
        """Write to the terminal while it is there."""
        if not self._is_gone:
            try:
                sys.stderr.write(text)
                sys.stderr.flush()
            except OSError:
                self._is_gone = True
        return len(text)

    def flush(self) -> None:
        """Do nothing: `write` has flushed."""

    def isatty(self) -> bool:
        """Return True, since only a terminal has a display."""
        return True

    def fileno(self) -> int:
        return sys.stderr.fileno()
