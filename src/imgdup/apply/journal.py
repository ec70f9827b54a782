"""What is about to be done -> lines on the disk before it is done; and back, for undoing it.

The first line says which run this is. Each step's line is on the disk before the step begins, and
holds all that is needed to take it back; a line after it says how it ended. A run that was killed
leaves a last line that may be cut off: what it would have announced was not begun.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from imgdup.atomic import open_regular, sync_folder, write_error
from imgdup.dedupe import records
from imgdup.dedupe.plan import FileFacts
from imgdup.dedupe.records import Record
from imgdup.errors import PlanError, UsageError
from imgdup.folder import lock
from imgdup.jsonl import json_line

KIND = "imgdup"  # value of the key "journal"
VERSION = 1
ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
TOKEN_BYTES = 8
FIRST_BYTES = b'{"journal": "imgdup"'


class Step(NamedTuple):
    """One removal of a run, and the names of ours that it may use.

    Attributes
    ----------
    token : str
        Of the run, in hex.
    number : int
        From 1.
    remove : FileFacts
    keep : bytes
        Path of the file that stays.
    to : bytes or None
        Where the file goes, if it is moved.
    """

    token: str
    number: int
    remove: FileFacts
    keep: bytes
    to: bytes | None

    @property
    def aside(self) -> bytes:
        """A name beside the file, under which it waits while it is looked at again."""
        return self._ours(self.remove.path, b"aside")

    @property
    def link(self) -> bytes:
        """A name beside the file, for the link that takes its place, or a copy that undo makes."""
        return self._ours(self.remove.path, b"link")

    @property
    def part(self) -> bytes:
        """A name beside the place where the file goes, for a copy in the making."""
        return self._ours(self.to or self.remove.path, b"part")

    def _ours(self, path: bytes, ending: bytes) -> bytes:
        name = b".imgdup-%s-%d.%s" % (self.token.encode(), self.number, ending)
        return os.path.join(os.path.dirname(path), name)


class Journal:
    """A journal being written; the file is made with the first step, and never overwritten.

    It is locked for as long, so that nobody takes back what is being done.
    """

    def __init__(self, path: Path, action: str, generation: str) -> None:
        self.path = path
        self.token = secrets.token_hex(TOKEN_BYTES)
        self._header = {
            "journal": KIND,
            "version": VERSION,
            "action": action,
            "generation": generation,
            "token": self.token,
        }
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def exists(self) -> bool:
        """Whether a step was announced."""
        return self._descriptor >= 0

    def announce(self, step: Step) -> None:
        """Write what a step is about to do, and wait until the disk has it.

        Raises
        ------
        ImgdupError
            If it cannot be written: then the step must not be done.
        """
        try:
            if self._descriptor < 0:
                self._create()
            self._write(_record(step))
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(self.path, error, 4096) from error

    def ended(self, step: Step, result: str) -> None:
        """Note how a step ended: ``done``, or the reason why it was not."""
        try:
            self._write({"end": step.number, "result": result})
        except OSError as error:
            raise write_error(self.path, error, 4096) from error

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.path, flags, 0o666)
        lock.take(self._descriptor, _named(self.path))
        self._write(self._header)
        sync_folder(self.path.parent)

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json_line(record).encode("ascii")
        while line:
            line = line[os.write(self._descriptor, line) :]


def _record(step: Step) -> dict[str, Any]:
    facts = step.remove
    return {
        "step": step.number,
        "remove": facts.path,
        "keep": step.keep,
        "to": step.to,
        "size": facts.size,
        "mtime_ns": facts.mtime_ns,
        "digest": facts.digest.hex(),
    }


def free_journal_path(plan: Path) -> Path:
    """Return a name beside a plan that no journal has: ``NAME.journal-1.jsonl`` and so on."""
    number = 1
    while os.path.lexists(path := plan.with_name(f"{plan.stem}.journal-{number}.jsonl")):
        number += 1
    return path


def _named(path: Path) -> str:
    return f"the journal {path}"


class PastRun(NamedTuple):
    """A journal that was read: the action, its steps, and the lines that could not be read."""

    action: str
    steps: list[Step]
    damaged_lines: list[int]


@contextlib.contextmanager
def held_journal(path: Path) -> Iterator[PastRun]:
    """Read a journal, and hold it: no other process writes it meanwhile, or takes it back.

    Raises
    ------
    LockedError
        If another process holds it.
    UsageError, PlanError
        As `read_journal` does.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(FileNotFoundError):  # told by what reads it
            file = held.enter_context(open_regular(path))
            lock.take(file.fileno(), _named(path))
        yield read_journal(path)


def read_journal(path: Path) -> PastRun:
    """Read a journal.

    A last line that cannot be read was being written when the run ended, and is ignored.

    Raises
    ------
    UsageError
        If there is no such file.
    PlanError
        If it is no journal, or of a newer version.
    """
    try:
        lines = list(records.lines_of(path))
    except FileNotFoundError as error:
        raise UsageError(f"no journal at {path}; imgdup apply prints where it wrote it") from error
    if len(lines) <= 1 and FIRST_BYTES.startswith(b"".join(lines)[: len(FIRST_BYTES)]):
        if not b"".join(lines).endswith(b"\n"):
            return PastRun("", [], [])  # killed before the first step was announced
    try:
        action, token = _header(records.parsed(lines[0] if lines else b""))
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line 1: {error}") from error
    run = PastRun(action, [], [])
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = records.parsed(line)
            if "end" not in record:
                run.steps.append(_step(token, action, record))
        except ValueError:
            run.damaged_lines.append(number)
    if run.damaged_lines[-1:] == [len(lines)]:
        run.damaged_lines.pop()
    return run


def _header(record: Record) -> tuple[str, str]:
    if record.get("journal") != KIND:
        raise ValueError('not a journal: the first line has no "journal": "imgdup"')
    records.check_version(record, "journal", VERSION)
    action, token = records.text(record, "action"), records.text(record, "token")
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r}; there are {', '.join(ACTIONS)}")
    if len(bytes.fromhex(token)) != TOKEN_BYTES or not token.isalnum():
        raise ValueError("'token' is damaged")
    return action, token


def _step(token: str, action: str, record: Record) -> Step:
    facts = FileFacts(
        0,
        records.absolute_path(record, "remove"),
        records.number(record, "size"),
        records.number(record, "mtime_ns", least=-records.MAX_INT),
        records.digest(record, "digest"),
    )
    to = records.absolute_path(record, "to") if action == "move" else None
    keep = records.absolute_path(record, "keep")
    return Step(token, records.number(record, "step"), facts, keep, to)
