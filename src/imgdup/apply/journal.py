"""What is about to be done -> lines on the disk before it is done; `imgdup.apply.past` reads them.

The first line says which run this is. Each step's line is on the disk before the step begins, and
holds all that is needed to take it back; a line after it says how it ended. A run that was killed
leaves a last line that may be cut off: what it would have announced was not begun.
"""

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from imgdup.dedupe.plan import FileFacts
from imgdup.system import lock
from imgdup.system.atomic import sync_folder, write_error
from imgdup.system.jsonl import json_line

KIND = "imgdup"  # value of the key "journal"
VERSION = 1
ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
TOKEN_BYTES = 8
DONE = "done"  # how a step ended that was carried out; else the reason why it was not
LINE_BYTES = 4096  # of a step, about
FIRST_BYTES = b'{"journal": "imgdup"'


class Rights(NamedTuple):
    """Who may do what with a file: its permissions, and the numbers of its owner and group."""

    mode: int
    owner: int
    group: int

    @classmethod
    def of(cls, path: bytes) -> "Rights | None":
        """Ask the disk; None where there is no such file."""
        try:
            status = os.lstat(path)
        except OSError:
            return None
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


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
    rights : Rights or None
        Whose the file is; None where that is not known.
    """

    token: str
    number: int
    remove: FileFacts
    keep: bytes
    to: bytes | None
    rights: "Rights | None" = None

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
        """Note how a step that was announced ended: `DONE`, or the reason why it was not.

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
        lock.take(self._descriptor, named(self.path))
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
        **(step.rights._asdict() if step.rights else {}),
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


def named(path: Path) -> str:
    """Name a journal in a message."""
    return f"the journal {path}"
