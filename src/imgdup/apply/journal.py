"""Write the journal of a run before each step; read it to continue the run or to undo it.

The first line describes the run. The line of each step is on the disk before the step begins and
holds everything that undo needs; another line records how the step ended. If a run is killed, the
last line may be incomplete; the step that it announces did not begin.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from imgdup.apply.steps import (
    Header,
    Step,
    continues,
    header_record,
    parsed_header,
    parsed_step,
    step_record,
)
from imgdup.errors import ImgdupError, PlanError, UsageError
from imgdup.system import lock, records
from imgdup.system.files import open_regular, sync_folder, write_error
from imgdup.system.records import Record, json_line

FIRST_BYTES = b'{"journal": "imgdup"'
DONE = "done"  # how a step ended that was carried out; otherwise the reason why it was not
LINE_BYTES = 4096  # of a step, about


class Journal:
    """A journal being written; the file is made with the first step, and never overwritten.

    If the file exists, the run that it describes, `past`, is continued: the header gets its token.
    The file is locked, so that no other process undoes the run meanwhile. `register` is called with
    the first line before the first step is announced.
    """

    def __init__(self, path: Path, header: Header, register: Callable[[Path, bytes], None]) -> None:
        self.path = path
        self.header = header
        self.past = PastRun(None, b"", [], {}, set(), [])
        self._register = register
        self._descriptor = -1
        self._announced = 0  # number of the last step
        self._may_be_cut = False  # whether its last line may be incomplete

    def __enter__(self) -> Self:
        if os.path.lexists(self.path):
            try:
                self._open()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def exists(self) -> bool:
        """Whether a step was announced, in this run or an earlier one that it continues."""
        return self._announced > 0

    @property
    def next_number(self) -> int:
        """The number of the next step to announce."""
        return self._announced + 1

    def announce(self, step: Step) -> None:
        """Write what a step is about to do, and sync it to the disk.

        Raises ImgdupError if it cannot be written; then neither this step nor a later one may
        begin.
        """
        try:
            if self._descriptor < 0:
                self._create()
            self._append(step_record(step))
            os.fsync(self._descriptor)
        except (OSError, ImgdupError) as error:
            self._delete_if_empty()
            if isinstance(error, ImgdupError):
                raise
            raise write_error(self.path, error, LINE_BYTES) from error
        self._announced = step.number

    def ended(self, step: Step, result: str) -> None:
        """Record how an announced step ended: `DONE`, or the reason why it failed.

        Raises ImgdupError if it cannot be written; then no other step may begin.
        """
        if step.number <= self._announced:
            self._note({"end": step.number, "result": result})

    def undone(self, step: Step) -> None:
        """Record that an announced step, which was killed, was undone; raises as `ended` does."""
        self._note({"undone": step.number})

    def _note(self, record: dict[str, Any]) -> None:
        try:
            self._append(record)
        except OSError as error:
            raise write_error(self.path, error, LINE_BYTES) from error

    def _append(self, record: dict[str, Any]) -> None:
        if self._may_be_cut:
            cut_incomplete_line(self._descriptor)
            self._may_be_cut = False
        _write_all(self._descriptor, json_line(record).encode("ascii"))

    def _delete_if_empty(self) -> None:
        if self._descriptor >= 0 and not self._announced:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.path, flags, 0o666)
        lock.take(self._descriptor, describe(self.path))
        line = json_line(header_record(self.header)).encode("ascii")
        _write_all(self._descriptor, line)
        sync_folder(self.path.parent)
        self._register(self.path, line)

    def _open(self) -> None:
        past = read_journal(self.path)
        if past.header is None or not continues(self.header, past.header):
            raise PlanError(f"{self.path} is the journal of another run; it is not overwritten")
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            self._descriptor = os.open(self.path, flags | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            raise write_error(self.path, error, LINE_BYTES) from error
        lock.take(self._descriptor, describe(self.path))
        self.past = past = read_journal(self.path)
        if past.header is None:
            raise PlanError(f"{self.path} was changed while it was opened")
        self.header = past.header
        self._announced = max((step.number for step in past.steps), default=0)
        self._may_be_cut = True

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, line: bytes) -> None:
    """Write a whole line; the system may accept only a part at a time."""
    while line:
        line = line[os.write(descriptor, line) :]


class PastRun(NamedTuple):
    """A journal that was read."""

    # None if the run was killed before its first line was complete; then there are no steps.
    header: Header | None
    first_line: bytes
    steps: list[Step]
    results: dict[int, str]  # how each step ended, by its number, if that was recorded
    undone: set[int]  # numbers of the steps that were undone
    damaged_lines: list[int]  # numbers of the lines that could not be read

    @property
    def unfinished(self) -> set[int]:
        """Numbers of the steps that were announced, and neither ended nor undone."""
        return {step.number for step in self.steps} - self.undone - set(self.results)


@contextlib.contextmanager
def locked_journal(path: Path) -> Iterator[PastRun]:
    """Read a journal and lock it, so that no other process writes it or undoes its steps.

    Raises LockedError if another process has locked it. Raises UsageError, PlanError as
    `read_journal` does.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):  # read_journal reports it
            file = stack.enter_context(open_regular(path))
            lock.take(file.fileno(), describe(path))
        yield read_journal(path)


def read_journal(path: Path) -> PastRun:
    """Read a journal.

    An unreadable last line is ignored: it was being written when the run ended.

    Raises UsageError if there is no such file. Raises PlanError if it is not a journal, or has a
    newer version.
    """
    try:
        lines = list(records.read_lines(path))
    except FileNotFoundError as error:
        raise UsageError(
            f"no journal at {path}; imgdup apply prints the path of its journal"
        ) from error
    first = lines[0] if lines else b""
    run = PastRun(None, first, [], {}, set(), [])
    if not first.endswith(b"\n") and _begins_journal(first):
        return run  # killed before the first step was announced
    try:
        run = run._replace(header=parsed_header(records.parse_line(first)))
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line 1: {error}") from error
    for number, line in enumerate(lines[1:], start=2):
        try:
            _add_line(run, records.parse_line(line))
        except ValueError:
            run.damaged_lines.append(number)
    if run.damaged_lines[-1:] == [len(lines)]:
        run.damaged_lines.pop()
    return run


def _begins_journal(line: bytes) -> bool:
    return FIRST_BYTES.startswith(line[: len(FIRST_BYTES)])


def _add_line(run: PastRun, record: Record) -> None:
    """Add the content of a line after the first; ValueError if it is damaged."""
    if "end" in record:
        result = record.get("result")
        run.results[records.number(record, "end")] = result if isinstance(result, str) else ""
    elif "undone" in record:
        run.undone.add(records.number(record, "undone"))
    elif run.header is not None:
        run.steps.append(parsed_step(run.header, record))


def note_undone(path: Path, number: int) -> None:
    """Record in a journal that a step was undone, so that undo does not touch it again.

    Raises OSError if it cannot be written.
    """
    append_line(path, json_line({"undone": number}).encode("ascii"))


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file and sync it to the disk.

    An incomplete line before it, whose writer was killed, is removed.

    Raises OSError if it cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o666), "rb", buffering=0) as file:
        cut_incomplete_line(file.fileno())
        _write_all(file.fileno(), line)
        os.fsync(file.fileno())


def cut_incomplete_line(descriptor: int) -> None:
    """Remove the incomplete last line of an open file, whose writer was killed."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    length = end
    while length:
        start = max(0, length - LINE_BYTES)
        os.lseek(descriptor, start, os.SEEK_SET)
        piece = os.read(descriptor, length - start)
        newline = piece.rfind(b"\n")
        length = start + newline + 1 if newline >= 0 else start
        if newline >= 0:
            break
    if length < end:
        os.ftruncate(descriptor, length)
    os.lseek(descriptor, 0, os.SEEK_END)


def describe(path: Path) -> str:
    """Name a journal in a message."""
    return f"the journal {path}"
