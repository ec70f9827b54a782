"""What is about to be done -> lines on the disk before it is done; and back, for undoing it.

The first line says which run this is. Each step's line is on the disk before the step begins, and
holds all that is needed to take it back; a line after it says how it ended. A run that was killed
leaves a last line that may be cut off: what it would have announced was not begun.
"""

import contextlib
import itertools
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from imgdup.atomic import open_regular, sync_folder, write_error
from imgdup.dedupe import records
from imgdup.dedupe.plan import FileFacts
from imgdup.dedupe.records import Record
from imgdup.errors import ImgdupError, PlanError, UsageError
from imgdup.folder import lock
from imgdup.jsonl import json_line

KIND = "imgdup"  # value of the key "journal"
VERSION = 1
ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
TOKEN_BYTES = 8
LINE_BYTES = 4096  # of a step, about
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
    def names(self) -> tuple[bytes, ...]:
        """All names of ours that the step may use."""
        return self.aside, self.link, self.part

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
        self._announced = 0  # number of the last step

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
        return self._announced > 0

    def announce(self, step: Step) -> None:
        """Write what a step is about to do, and wait until the disk has it.

        Raises
        ------
        ImgdupError
            If it cannot be written: then the step must not be done, and none after it.
        """
        try:
            if self._descriptor < 0:
                self._create()
            self._write(_record(step))
            os.fsync(self._descriptor)
        except OSError as error:
            self._withdraw()
            raise write_error(self.path, error, LINE_BYTES) from error
        self._announced = step.number

    def ended(self, step: Step, result: str) -> None:
        """Note how a step that was announced ended: ``done``, or the reason why it was not.

        Raises
        ------
        ImgdupError
            If it cannot be written: then no other step must follow.
        """
        if step.number != self._announced:
            return
        try:
            self._write({"end": step.number, "result": result})
        except OSError as error:
            raise write_error(self.path, error, LINE_BYTES) from error

    def _withdraw(self) -> None:
        """Leave no journal that announces nothing."""
        if self._descriptor >= 0 and not self._announced:
            with contextlib.suppress(OSError):
                self.path.unlink()

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
    return _journal_path(plan, 1 + len(earlier_journals(plan)))


def earlier_journals(plan: Path) -> list[Path]:
    """Return the journals beside a plan, the oldest first."""
    numbered = (_journal_path(plan, number) for number in itertools.count(1))
    return list(itertools.takewhile(os.path.lexists, numbered))


def _journal_path(plan: Path, number: int) -> Path:
    return plan.with_name(f"{plan.stem}.journal-{number}.jsonl")


def check_earlier(plan: Path) -> None:
    """Raise if an earlier run of a plan was killed in the middle of a step.

    Raises
    ------
    ImgdupError
        Names what lies about, and the command that brings it back.
    LockedError
        If the earlier run goes on, or is being taken back.
    """
    for path in earlier_journals(plan):
        with contextlib.suppress(PlanError), held_journal(path) as run:
            left = (name for step in run.unfinished for name in step.names)
            for name in filter(os.path.lexists, left):
                raise ImgdupError(
                    f"an earlier run was killed and left {os.fsdecode(name)}: take it back first: "
                    f"imgdup undo {shlex.quote(str(path))}"
                )


def _named(path: Path) -> str:
    return f"the journal {path}"


class PastRun(NamedTuple):
    """A journal that was read.

    Attributes
    ----------
    action : str
    steps : list of Step
    unfinished : list of Step
        Those of them whose end was not noted.
    damaged_lines : list of int
        Numbers of the lines that could not be read.
    """

    action: str
    steps: list[Step]
    unfinished: list[Step]
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
            return PastRun("", [], [], [])  # killed before the first step was announced
    try:
        action, token = _header(records.parsed(lines[0] if lines else b""))
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line 1: {error}") from error
    steps: list[Step] = []
    ended: set[int] = set()
    damaged: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = records.parsed(line)
            if "end" in record:
                ended.add(records.number(record, "end"))
            else:
                steps.append(_step(token, action, record))
        except ValueError:
            damaged.append(number)
    if damaged[-1:] == [len(lines)]:
        damaged.pop()
    return PastRun(action, steps, [step for step in steps if step.number not in ended], damaged)


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
